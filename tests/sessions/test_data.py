"""What a handler sees of its session: a mapping in which every change is seen, and nothing is anybody else's."""

import asyncio
import copy
import json
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from support.browser import Browser, make_manager

from aiohttp_lionrock import JtiEvent, Session
from aiohttp_lionrock.sessions.contents import Contents, ContentsReader
from aiohttp_lionrock.sessions.data import SessionData, copied
from aiohttp_lionrock.sessions.session import life_of, session_of
from aiohttp_lionrock.sessions.state import Life
from aiohttp_lionrock.testing import FakeClock

DEEP: dict[str, Any] = {"list": [1, [2, {"a": [3]}]], "table": {"x": {"y": [0.0]}}, "text": "t", "none": None}


def fresh() -> SessionData:
    return SessionData(copy.deepcopy(DEEP))


# A change is seen


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["list"].append(4),
        lambda data: data["list"][1][1]["a"].append(4),
        lambda data: data["list"][1][1].update(b=1),
        lambda data: data["table"]["x"]["y"].clear(),
        lambda data: data["table"].__delitem__("x"),
        lambda data: data["list"].reverse(),
        lambda data: data["table"]["x"]["y"].__setitem__(0, -0.0),
        lambda data: data["table"]["x"]["y"].__setitem__(0, 0),
        lambda data: data["list"].__setitem__(0, True),
        lambda data: data["list"].__setitem__(0, 1.0),
        lambda data: data.__setitem__("none", False),
        lambda data: data.__setitem__("none", 0),
        lambda data: data.__delitem__("none"),
        lambda data: data.__setitem__("new", None),
        lambda data: (data.__delitem__("none"), data.__setitem__("new", None)),
        SessionData.clear,
    ],
)
def test_a_change_at_any_depth_is_seen_until_it_is_written(change: Callable[[SessionData], object]) -> None:
    data = fresh()
    change(data)
    assert data.is_changed()
    data.written(data.snapshot())
    assert not data.is_changed()
    assert list(data.changes()) == []


VALUES = [
    0,
    1,
    True,
    False,
    1.0,
    0.0,
    -0.0,
    "1",
    "",
    None,
    [],
    {},
    [1],
    [True],
    [1.0],
    [0.0],
    [-0.0],
    {"a": 1},
    {"a": 1.0},
]


@pytest.mark.parametrize("was", VALUES)
@pytest.mark.parametrize("now", VALUES)
def test_two_values_are_the_same_only_where_a_token_would_say_the_same(was: object, now: object) -> None:
    data = SessionData({"key": copy.deepcopy(was)})
    data["key"] = copy.deepcopy(now)
    assert data.is_changed() == (json.dumps(was) != json.dumps(now))


class Role(StrEnum):
    ADMIN = "admin"


class Rank(IntEnum):
    FIRST = 1


SUBCLASSES = [
    ("admin", Role.ADMIN),
    (1, Rank.FIRST),
    ({"a": [1]}, OrderedDict(a=[1])),
    ({"a": [1]}, defaultdict(list, a=[1])),
    ([{"a": "admin"}], [OrderedDict(a=Role.ADMIN)]),
]


@pytest.mark.parametrize(("was", "now"), SUBCLASSES)
def test_a_value_of_a_subclass_that_a_token_writes_the_same_is_no_change(was: object, now: object) -> None:
    data = SessionData({"key": was})
    data["key"] = now
    assert not data.is_changed()


@pytest.mark.parametrize(("was", "now"), SUBCLASSES)
def test_a_value_of_a_subclass_is_not_changed_again_once_it_is_written(was: object, now: Any) -> None:
    data = SessionData()
    data["key"] = now
    data.written(data.snapshot())
    assert not data.is_changed()
    if isinstance(now, dict):
        now["a"].append(2)
        assert list(data.changes()) == ["key"]


def test_reading_is_no_change_and_copies_only_what_is_asked_for() -> None:
    before = copy.deepcopy(DEEP)
    data = SessionData(before)
    assert (data["text"], len(data), "list" in data, list(data)) == ("t", 4, True, list(DEEP))
    assert data.view() is before
    assert data["list"] == DEEP["list"]
    assert not data.is_changed()
    assert data.view()["table"] is before["table"]  # nobody has asked for it
    data.written(data.snapshot())
    data["text"] = "u"
    data.written(data.snapshot())
    assert data.view()["table"] is before["table"]


def test_two_requests_share_what_neither_touches() -> None:
    contents = contents_of(**copy.deepcopy(DEEP))
    first, second = two_requests(contents)
    assert life_of(first).data.view() is life_of(second).data.view() is contents.data
    first["text"] = "u"
    assert life_of(first).data.view()["list"] is contents.data["list"]


def contents_of(**data: Any) -> Contents:
    """What one token says, as it is kept for all requests that bring the token."""
    return Contents({"sid": "sid", "id": "id", "exp": 5_000_000_000, **data}, ContentsReader("sub").subject_of)


def two_requests(contents: Contents) -> tuple[Session, Session]:
    return session_of(Life(None, contents)), session_of(Life(None, contents))


# Nothing is another one's


WAYS: dict[str, Callable[[Session], Any]] = {
    "[]": lambda session: session["list"],
    "get": lambda session: session.get("list"),
    "setdefault": lambda session: session.setdefault("list", []),
    "values": lambda session: next(iter(session.values())),
    "items": lambda session: dict(session.items())["list"],
    "dict": lambda session: dict(session)["list"],
    "pop": lambda session: session.pop("list"),
    "popitem": lambda session: session.popitem()[1],
    "copy": lambda session: session.copy()["list"],
    "copy.copy": lambda session: copy.copy(session)["list"],
    "deepcopy": lambda session: copy.deepcopy(session)["list"],
    "unpickled": lambda session: pickle.loads(pickle.dumps(session))["list"],
    "reduce": lambda session: session.__reduce__()[1][0]["list"],
    "match": lambda session: _matched(session),
}


def _matched(session: Session) -> Any:
    match session:
        case {"list": found}:
            return found
    return None


@pytest.mark.parametrize("way", WAYS)
def test_what_one_request_got_hold_of_is_never_another_ones(way: str) -> None:
    contents = contents_of(list=[1, [2]])
    first, second = two_requests(contents)
    spoilt = WAYS[way](first)
    spoilt.append("mine")
    spoilt[1].append("mine")
    assert dict(second) == contents.data == {"list": [1, [2]]}
    assert WAYS[way](second) == [1, [2]]


@pytest.mark.parametrize("way", WAYS)
async def test_what_one_request_got_hold_of_is_not_in_the_token_when_it_comes_again(browser: Browser, way: str) -> None:
    await browser.write(list=[1, [2]])
    for _ in range(3):
        spoilt = WAYS[way](await browser.manager.load(browser.cookies))
        assert spoilt == [1, [2]]
        spoilt.append("mine")
        spoilt[1].append("mine")


async def test_two_requests_at_once_change_one_nested_list_each_for_itself() -> None:
    contents = contents_of(list=[[]])
    met = asyncio.Event()

    async def request(session: Session, name: str) -> list[Any]:
        session["list"][0].append(name)
        await met.wait()
        session["list"][0].append(name)
        data = life_of(session).data
        data.written(data.snapshot())
        await asyncio.sleep(0)
        session["list"][0].append(name)
        found: list[Any] = session["list"]
        return found

    first, second = two_requests(contents)
    both = [asyncio.create_task(request(session, name)) for session, name in ((first, "a"), (second, "b"))]
    await asyncio.sleep(0)
    met.set()
    assert await asyncio.gather(*both) == [[["a"] * 3], [["b"] * 3]]
    assert contents.data == {"list": [[]]}


async def test_what_was_saved_is_the_next_requests_own(browser: Browser) -> None:
    mine = [[1]]
    session = await browser.manager.load({})
    session["list"] = mine
    browser.receive(await browser.manager.save(session))
    mine[0].append("mine")
    assert (await browser.manager.load(browser.cookies))["list"] == [[1]]
    browser.receive(await browser.manager.save(session))
    assert (await browser.manager.load(browser.cookies))["list"] == [[1, "mine"]]


async def test_the_payloads_of_events_are_copies() -> None:
    def spoil(event: JtiEvent) -> bool:
        event.payload["list"][0].append("spoilt")
        event.payload["note"] = "spoilt"
        return True

    callbacks = {"verify": spoil, "persist": spoil, "token_use": "access"}
    manager = make_manager(None, FakeClock(), jti=callbacks, refresh_token=False)
    browser = Browser(manager)
    await browser.write(list=[[]])
    for _ in range(3):
        session = await browser.visit(lambda session: session.update(n=session.get("n", 0) + 1))
    assert dict(session) == {"list": [[]], "n": 3}


async def test_what_a_verifier_does_to_its_session_stays_there() -> None:
    def spoil(event: JtiEvent) -> bool:
        event.session["list"].append("spoilt")
        event.session["note"] = "spoilt"
        return True

    manager = make_manager(None, FakeClock(), jti={"verify": spoil, "token_use": "access"}, refresh_token=False)
    browser = Browser(manager)
    await browser.write(list=[])
    assert dict(await manager.load(browser.cookies)) == {"list": []}


# Against a plain dictionary


KEYS = st.sampled_from(["a", "b", "c", "ä", "list"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, -0.0, 1.0, 1.5, "", "x", "1"])
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


def text_of(data: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in data.items()}


def containers(value: Any) -> list[Any]:
    """Every list and dictionary in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [value] if isinstance(value, list | dict) else []
    return found + [container for one in inner for container in containers(one)]


class AgainstADictionary(RuleBasedStateMachine):
    """Two requests of one token, each beside a plain dictionary of its own, and the data that both were given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, Any] = {"list": [1, [2.0]], "a": {"b": [True]}, "b": "x"}
        self.untouched = copy.deepcopy(self.given)
        self.requests = [SessionData(self.given), SessionData(self.given)]
        self.models = [copy.deepcopy(self.given) for _ in range(2)]
        self.written = [copy.deepcopy(self.given) for _ in range(2)]

    @rule(who=st.integers(0, 1), key=KEYS, value=JSON_VALUES)
    def put(self, who: int, key: str, value: Any) -> None:
        self.requests[who][key] = value
        self.models[who][key] = copy.deepcopy(value)
        assert key in self.requests[who].assigned

    @rule(who=st.integers(0, 1), key=KEYS)
    def drop(self, who: int, key: str) -> None:
        if key in self.models[who]:
            del self.models[who][key]
            del self.requests[who][key]
        else:
            with pytest.raises(KeyError):
                del self.requests[who][key]

    @rule(who=st.integers(0, 1), key=KEYS, value=JSON_VALUES, at=st.integers(0, 5))
    def change_in_place(self, who: int, key: str, value: Any, at: int) -> None:
        if key not in self.models[who]:
            return
        for found in (containers(self.requests[who][key]), containers(self.models[who][key])):
            if found:
                target = found[at % len(found)]
                target.append(copy.deepcopy(value)) if isinstance(target, list) else target.update(in_place=value)

    @rule(who=st.integers(0, 1), key=KEYS)
    def read(self, who: int, key: str) -> None:
        if key in self.requests[who]:
            assert json.dumps(self.requests[who][key]) == json.dumps(self.models[who][key])

    @rule(who=st.integers(0, 1))
    def clear(self, who: int) -> None:
        self.requests[who].clear()
        self.models[who].clear()

    @rule(who=st.integers(0, 1))
    def save(self, who: int) -> None:
        self.requests[who].written(self.requests[who].snapshot())
        self.written[who] = copy.deepcopy(self.models[who])
        assert self.requests[who].assigned == set()

    @rule(who=st.integers(0, 1))
    def keep_assigned(self, who: int) -> None:
        assigned = self.requests[who].assigned
        self.requests[who].keep_assigned()
        self.models[who] = {key: value for key, value in self.models[who].items() if key in assigned}

    @invariant()
    def each_has_what_its_dictionary_has(self) -> None:
        for request, model in zip(self.requests, self.models, strict=True):
            assert text_of(dict(request.view())) == text_of(model)
            assert (len(request), set(request)) == (len(model), set(model))

    @invariant()
    def a_change_is_seen_exactly_where_there_is_one(self) -> None:
        for request, model, written in zip(self.requests, self.models, self.written, strict=True):
            now, was = text_of(model), text_of(written)
            assert request.is_changed() == (now != was)
            assert set(request.changes()) == {key for key in now if now[key] != was.get(key)}

    @invariant()
    def what_both_were_given_is_untouched(self) -> None:
        assert text_of(self.given) == text_of(self.untouched)


def test_it_is_a_dictionary_that_knows_what_changed() -> None:
    run_state_machine_as_test(
        AgainstADictionary, settings=settings(max_examples=60, stateful_step_count=30, deadline=None, database=None)
    )


@settings(max_examples=100, deadline=None, database=None)
@given(JSON_VALUES)
def test_a_copy_is_the_same_and_shares_nothing_that_changes(value: Any) -> None:
    twin = copied(value)
    assert json.dumps(twin) == json.dumps(value)
    assert not {id(one) for one in containers(twin)} & {id(one) for one in containers(value)}
