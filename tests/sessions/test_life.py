"""The decision of what becomes of a session, spelt out row by row; each combination is decided by exactly one row."""

import copy
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import pytest

from aiohttp_lionrock.sessions.contents import ContentsReader
from aiohttp_lionrock.sessions.data import SessionData
from aiohttp_lionrock.sessions.life import (
    ASKED_NOTHING,
    Act,
    Arrival,
    Asked,
    Level,
    Plan,
    Presented,
    Rules,
    needs_nothing,
    plan,
)
from aiohttp_lionrock.tokens.keys import KeyRing

KEYS = KeyRing(signing=b"x" * 32, verifying=(b"x" * 32,))

FRESH, LOADED, REFRESHED, SUPERSEDED = Arrival
KEEP, WRITE, RENEW, END = Level
CAME = {LOADED, REFRESHED}

NOTHING = Plan(Act.NOTHING)
TOKENS = Plan(Act.WRITE)
ACCESS_ONLY = Plan(Act.WRITE, refreshes=False)
START = Plan(Act.START, begins=True)
LOGIN = Plan(Act.MOVE, begins=True)
RENEWAL = Plan(Act.MOVE, inherits=True)
LOGIN_AGAIN = Plan(Act.MOVE, begins=True, inherits=True, insists=True)
LEAVE = Plan(Act.MOVE, begins=True, leaves=True)
ENDED = Plan(Act.END)


class Case(NamedTuple):
    """One combination. ``whose``: the subject presented and the one now; ``kept``: a key that was assigned is left."""

    arrival: Arrival
    level: Level
    changed: bool
    whose: str
    kept: bool
    labels: bool
    resave: bool
    uninitialized: bool
    rotate: bool
    records: bool


Row = tuple[dict[str, Any], Plan]

SAME = {"nobody", "ann", "ann again"}  # the same at the response as in the token
LOGGED_IN = {"nobody then ann"}
LEFT = {"ann then bob", "ann then nobody"}
NAMED = {"ann", "ann again", "nobody then ann", "ann then bob"}
UNNAMED = {"nobody", "ann then nobody"}

TABLE: list[Row] = [
    # a logout, and what was stored after it
    ({"level": END, "changed": False}, ENDED),
    ({"level": END, "changed": True, "arrival": FRESH}, START),
    ({"level": END, "changed": True, "arrival": CAME | {SUPERSEDED}}, LEAVE),
    # a session that was renewed a moment ago: only a login is delivered
    ({"arrival": SUPERSEDED, "level": {KEEP, WRITE, RENEW}, "whose": UNNAMED}, NOTHING),
    ({"arrival": SUPERSEDED, "level": {KEEP, WRITE, RENEW}, "whose": NAMED}, START),
    # no session came
    ({"arrival": FRESH, "level": WRITE}, START),
    ({"arrival": FRESH, "level": {KEEP, RENEW}, "changed": True}, START),
    ({"arrival": FRESH, "level": {KEEP, RENEW}, "changed": False, "resave": True}, START),
    ({"arrival": FRESH, "level": {KEEP, RENEW}, "changed": False, "resave": False, "uninitialized": True}, START),
    ({"arrival": FRESH, "level": {KEEP, RENEW}, "changed": False, "resave": False, "uninitialized": False}, NOTHING),
    # a session came, and at the response it is another one's
    ({"arrival": CAME, "level": {KEEP, WRITE, RENEW}, "whose": LOGGED_IN}, LOGIN),
    ({"arrival": CAME, "level": {KEEP, WRITE, RENEW}, "whose": LEFT, "kept": True}, LEAVE),
    ({"arrival": CAME, "level": {KEEP, WRITE, RENEW}, "whose": LEFT, "kept": False}, ENDED),
    # a session came, and is the same one's
    ({"arrival": CAME, "level": RENEW, "whose": {"nobody", "ann"}}, RENEWAL),
    ({"arrival": CAME, "level": RENEW, "whose": "ann again"}, LOGIN_AGAIN),
    ({"arrival": CAME, "level": WRITE, "whose": SAME}, TOKENS),
    ({"arrival": CAME, "level": KEEP, "whose": SAME, "changed": True}, TOKENS),
    ({"arrival": REFRESHED, "level": KEEP, "changed": False, "rotate": True}, TOKENS),
    ({"arrival": REFRESHED, "level": KEEP, "changed": False, "rotate": False}, ACCESS_ONLY),
    ({"arrival": LOADED, "level": KEEP, "changed": False, "resave": True}, TOKENS),
    ({"arrival": LOADED, "level": KEEP, "changed": False, "resave": False, "labels": True, "records": True}, TOKENS),
    ({"arrival": LOADED, "level": KEEP, "changed": False, "resave": False, "labels": True, "records": False}, NOTHING),
    ({"arrival": LOADED, "level": KEEP, "changed": False, "resave": False, "labels": False}, NOTHING),
]


class Edit(NamedTuple):
    """What a handler does to the data, and what that comes to for data that was ``nobody`` 's, ``ann`` 's or empty."""

    make: Callable[[SessionData], None]
    changed: bool
    whose: Mapping[str, str]
    kept: bool


def _change_in_place(data: SessionData) -> None:
    if "cart" in data:
        data["cart"].append(3)


def _assign_the_same(data: SessionData) -> None:
    if "cart" in data:
        data["cart"] = [1, 2]


def _edit(data: SessionData) -> None:
    data["theme"] = "light"


def _sub(name: str) -> Callable[[SessionData], None]:
    def become(data: SessionData) -> None:
        data["sub"] = name

    return become


def _drop_user(data: SessionData) -> None:
    del data["sub"]


def _drop_user_and_what_was_assigned(data: SessionData) -> None:
    data["note"] = "soon gone"
    del data["note"], data["sub"]


def _drop_user_and_keep(data: SessionData) -> None:
    del data["sub"]
    data["theme"] = "light"


SAME_OWNER = {"nobody": "nobody", "ann": "ann"}
EDITS_OF_FULL = [
    Edit(lambda data: None, False, SAME_OWNER, False),
    Edit(lambda data: data["cart"] and None, False, SAME_OWNER, False),
    Edit(_assign_the_same, False, SAME_OWNER, True),
    Edit(_change_in_place, True, SAME_OWNER, False),
    Edit(_edit, True, SAME_OWNER, True),
    Edit(_sub("ann"), True, {"nobody": "nobody then ann"}, True),
    Edit(_sub("ann"), False, {"ann": "ann again"}, True),
    Edit(_sub("bob"), True, {"nobody": "nobody then ann", "ann": "ann then bob"}, True),
    Edit(SessionData.clear, True, {"nobody": "nobody", "ann": "ann then nobody"}, False),
    Edit(_drop_user, True, {"ann": "ann then nobody"}, False),
    Edit(_drop_user_and_what_was_assigned, True, {"ann": "ann then nobody"}, False),
    Edit(_drop_user_and_keep, True, {"ann": "ann then nobody"}, True),
]
EMPTY_OWNER = {"nobody": "nobody", "ann": "ann then nobody"}  # what a session that begins empty comes to
EDITS_OF_EMPTY = [
    Edit(lambda data: None, False, EMPTY_OWNER, False),
    Edit(_edit, True, EMPTY_OWNER, True),
    Edit(_sub("ann"), True, {"nobody": "nobody then ann", "ann": "ann"}, True),
    Edit(_sub("bob"), True, {"nobody": "nobody then ann", "ann": "ann then bob"}, True),
]
OWNERS: Mapping[str, dict[str, Any]] = {
    "nobody": {"theme": "dark", "cart": [1, 2]},
    "ann": {"theme": "dark", "cart": [1, 2], "sub": "ann"},
}

SWITCHES = list(product([False, True], repeat=5))


class Arguments(NamedTuple):
    presented: Presented
    asked: Asked
    data: SessionData
    rules: Rules


def combinations() -> Iterator[tuple[Case, Arguments]]:
    """The whole product: how it came x what was asked x whose it was x what became of the data x labels x settings."""
    for arrival, level, owner in product(Arrival, Level, OWNERS):
        if arrival is FRESH and owner != "nobody":
            continue  # nothing came, so nobody's
        begins_empty = arrival in (FRESH, SUPERSEDED) or level is END
        for edit in EDITS_OF_EMPTY if begins_empty else EDITS_OF_FULL:
            if owner in edit.whose:
                for switches in SWITCHES:
                    yield (
                        Case(arrival, level, edit.changed, edit.whose[owner], edit.kept, *switches),
                        _arguments(arrival, level, owner, begins_empty, edit, *switches),
                    )


def _arguments(
    arrival: Arrival,
    level: Level,
    owner: str,
    begins_empty: bool,
    edit: Edit,
    labels: bool,
    resave: bool,
    uninitialized: bool,
    rotate: bool,
    records: bool,
) -> Arguments:
    presented = Presented(arrival, KEYS, is_due=resave)  # as the loader makes it
    if arrival is not FRESH:
        presented = presented._replace(sid="the old one", subject="ann" if owner == "ann" else None)
    asked = Asked(level, {"device": "phone"} if labels else {}) if level or labels else ASKED_NOTHING
    data = SessionData() if begins_empty else SessionData(copy.deepcopy(OWNERS[owner]))
    edit.make(data)
    rules = Rules(ContentsReader("sub").subject_of, resave, uninitialized, rotate, records)
    return Arguments(presented, asked, data, rules)


def _covers(conditions: Mapping[str, Any], case: Case) -> bool:
    for name, wanted in conditions.items():
        value = getattr(case, name)
        if value not in wanted if isinstance(wanted, set) else value != wanted:
            return False
    return True


ALL = list(combinations())


def test_each_combination_is_decided_by_exactly_one_row() -> None:
    decided = {case: [row for row in TABLE if _covers(row[0], case)] for case, _ in ALL}
    assert {case: rows for case, rows in decided.items() if len(rows) != 1} == {}


@pytest.mark.parametrize("row", TABLE)
def test_what_the_row_says_is_what_is_planned(row: Row) -> None:
    conditions, expected = row
    cases = [(case, plan(*arguments)) for case, arguments in ALL if _covers(conditions, case)]
    assert cases, "no combination is decided by this row"
    assert [case for case, planned in cases if planned != expected] == []


def test_the_combinations_are_all_that_the_enumerations_allow() -> None:
    seen = {(case.arrival, case.level, *case[5:]) for case, _ in ALL}
    assert seen == set(product(Arrival, Level, *[[False, True]] * 5))


def _state(arguments: Arguments) -> tuple[Any, ...]:
    presented, asked, data, rules = arguments
    view = data.view()
    return (
        presented,
        asked.level,
        dict(asked.labels),
        copy.deepcopy(dict(view)),
        {key: id(value) for key, value in view.items()},
        id(view),
        set(data.assigned),
        data.is_changed(),
        rules,
    )


def test_planning_changes_none_of_its_arguments_and_comes_to_the_same_again() -> None:
    for case, arguments in ALL:
        before = _state(arguments)
        assert plan(*arguments) == plan(*arguments), case
        assert _state(arguments) == before, case


def test_what_needs_nothing_at_a_glance_is_planned_to_be_left() -> None:
    glanced = [(case, plan(*arguments)) for case, arguments in ALL if needs_nothing(*arguments[:3])]
    assert {case.arrival for case, _ in glanced} == {LOADED}
    assert [case for case, planned in glanced if planned != NOTHING] == []


@pytest.mark.parametrize("first", Level)
@pytest.mark.parametrize("second", Level)
def test_what_is_asked_only_rises(first: Level, second: Level) -> None:
    assert Asked().at_least(first).at_least(second).level == max(first, second)


def test_the_subject_is_read_by_the_rules_and_not_by_a_fixed_name() -> None:
    data = SessionData({"user": {"id": 7}, "sub": "ann"})
    data["sub"] = "bob"
    rules = Rules(ContentsReader(lambda found: found.get("user", {}).get("id")).subject_of)
    presented = Presented(LOADED, KEYS, sid="the old one", subject="7")
    assert plan(presented, Asked(), data, rules) == TOKENS
    data["user"]["id"] = 8
    assert plan(presented, Asked(), data, rules) == LEAVE  # ``sub`` was assigned, and goes along
