"""Verdicts: what a token and a record come to, by zones of time, between servers whose clocks differ."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from aiohttp_lionrock import JtiRecord
from aiohttp_lionrock.errors import (
    TokenClaimError,
    TokenError,
    TokenExpired,
    TokenReused,
    TokenRevoked,
    TokenSuperseded,
)
from aiohttp_lionrock.sessions.verdicts import Leeway, State, check_access, check_refresh, presented_jti, state_of
from aiohttp_lionrock.tokens.codec import MAX_ID

BEGAN = 4_000_000_000
FAR = BEGAN + 10**6

RECORD = JtiRecord("sid", 1, FAR, BEGAN, access_jti="access", refresh_jti="current")
ROTATED = replace(RECORD, previous_jti="previous", rotated_at=BEGAN)
ROTATING = replace(ROTATED, rotated_at=None)
GONE_ON = JtiRecord("sid", 2, FAR, BEGAN, rotated_at=BEGAN, successor="the next")

APART = [0, 6, -6, 12, -12, 29, -29, 31, -31, 59, -59]  # seconds that the judge's clock is ahead of the writer's
LEEWAYS = [Leeway(reuse, skew) for reuse in (0, 10, 30) for skew in (0, 30)]

HONOURED = "honoured"
Outcome = str | type[TokenError]
Judge = Callable[..., Outcome]


def refresh(
    record: JtiRecord | None, jti: str | None, now: int, leeway: Leeway, exp: float = FAR, came: int | None = None
) -> Outcome:
    try:
        assert check_refresh(record, jti, exp, now, leeway, came) is record
    except TokenError as fault:
        return type(fault)
    return HONOURED


def access(record: JtiRecord | None, jti: str | None, now: int, leeway: Leeway, exp: float = FAR) -> Outcome:
    try:
        assert check_access(record, jti, exp, now, leeway) is record
    except TokenError as fault:
        return type(fault)
    return HONOURED


ZONES: dict[Leeway, list[tuple[float, Outcome]]] = {
    # up to so many seconds, by the two clocks, since the rotation; the last goes on for ever
    Leeway(0, 0): [(-1, TokenSuperseded), (FAR, TokenReused)],
    Leeway(0, 30): [(-31, TokenSuperseded), (FAR, TokenReused)],
    Leeway(10, 0): [(-1, TokenSuperseded), (10, HONOURED), (FAR, TokenReused)],
    Leeway(30, 0): [(-1, TokenSuperseded), (30, HONOURED), (FAR, TokenReused)],
    Leeway(10, 30): [(-31, TokenSuperseded), (10, HONOURED), (40, TokenSuperseded), (FAR, TokenReused)],
    Leeway(30, 30): [(-31, TokenSuperseded), (30, HONOURED), (60, TokenSuperseded), (FAR, TokenReused)],
}


def tenths(last: int, first: int = 0) -> range:
    """Tenths of a second, from so many seconds to so many."""
    return range(first * 10, last * 10 + 1)


def second(tenths: int, apart: int = 0) -> int:
    """What a clock shows so long after BEGAN: whole seconds, as a server reads it."""
    return BEGAN + tenths // 10 + apart


@pytest.mark.parametrize("leeway", LEEWAYS)
@pytest.mark.parametrize("apart", APART)
def test_a_replaced_refresh_token_is_judged_by_the_zones(leeway: Leeway, apart: int) -> None:
    for written in (0, 1, 9):
        record = replace(ROTATED, rotated_at=second(written))
        for passed in tenths(130):
            now = second(written + passed, apart)
            expected = next(outcome for until, outcome in ZONES[leeway] if now - second(written) <= until)
            assert refresh(record, "previous", now, leeway) == expected, passed


@pytest.mark.parametrize("leeway", [one for one in LEEWAYS if one.reuse])
@pytest.mark.parametrize("apart", APART)
def test_clocks_inside_the_skew_never_make_a_thief_of_who_comes_in_time(leeway: Leeway, apart: int) -> None:
    for written, passed in product(range(10), tenths(int(leeway.reuse))):
        record = replace(ROTATED, rotated_at=second(written))
        outcome = refresh(record, "previous", second(written + passed, apart), leeway)
        if abs(apart) <= leeway.skew:
            assert outcome in (HONOURED, TokenSuperseded), (written, passed)
        if apart == 0:
            assert outcome == HONOURED, (written, passed)


@pytest.mark.parametrize("leeway", LEEWAYS)
@pytest.mark.parametrize("apart", APART)
def test_a_replay_is_called_one_whatever_the_clocks_once_skew_and_leeway_have_passed_twice(
    leeway: Leeway, apart: int
) -> None:
    begin = int(leeway.zone) + abs(apart) + 1
    for passed in tenths(begin + 100, begin):
        assert refresh(ROTATED, "previous", second(passed, apart), leeway) == TokenReused, passed


@pytest.mark.parametrize("leeway", LEEWAYS)
def test_a_writer_ahead_by_more_than_the_skew_leaves_the_age_unknown(leeway: Leeway) -> None:
    for ahead in (leeway.skew + 1, leeway.skew + 29, 3600, 10**6):
        assert refresh(ROTATED, "previous", BEGAN - int(ahead), leeway) == TokenSuperseded


@pytest.mark.parametrize(
    ("came", "now", "outcome"),
    [
        (-1, 600, HONOURED),
        (30, 600, HONOURED),
        (31, 600, TokenSuperseded),
        (60, 600, TokenSuperseded),
        (61, 600, TokenReused),
        (30, 601, TokenSuperseded),
        (-31, 10**5, TokenSuperseded),
    ],
)
def test_who_came_in_time_is_no_thief_however_long_the_body_took(came: int, now: int, outcome: Outcome) -> None:
    assert refresh(ROTATED, "previous", BEGAN + now, Leeway(30, 30), came=BEGAN + came) == outcome


@pytest.mark.parametrize(("came", "outcome"), [(-31, TokenSuperseded), (-30, TokenReused), (0, TokenReused)])
@pytest.mark.parametrize("reuse", [0, 30])
def test_of_a_token_two_rotations_old_nothing_is_known_where_the_request_came_before_the_last(
    reuse: int, came: int, outcome: Outcome
) -> None:
    assert refresh(ROTATED, "older", BEGAN + 600, Leeway(reuse, 30), came=BEGAN + came) == outcome


def test_nor_where_the_moment_of_the_last_is_not_known() -> None:
    assert refresh(ROTATING, "older", BEGAN + 600, Leeway(30, 30), came=BEGAN + 599) == TokenSuperseded
    assert refresh(ROTATING, "older", BEGAN + 600, Leeway(30, 30)) == TokenReused


def test_a_renewal_is_judged_by_when_the_request_came_too() -> None:
    for came, fault in [(-600, TokenSuperseded), (60, TokenSuperseded), (61, TokenRevoked)]:
        with pytest.raises(fault):
            check_access(GONE_ON, "access", FAR, BEGAN + 599, Leeway(30, 30), BEGAN + came)


def test_without_leeway_there_is_no_zone_between() -> None:
    assert refresh(ROTATED, "previous", BEGAN, Leeway(0, 30)) == TokenReused
    assert refresh(ROTATED, "previous", BEGAN + 1, Leeway(0, 30)) == TokenReused


@pytest.mark.parametrize("leeway", LEEWAYS)
@pytest.mark.parametrize("passed", [-59, 0, 1, 3600, 10**5])
def test_the_token_before_is_honoured_until_its_successor_is_known_to_be_on_its_way(
    leeway: Leeway, passed: int
) -> None:
    assert refresh(ROTATING, "previous", BEGAN + passed, leeway) == HONOURED


@pytest.mark.parametrize("leeway", LEEWAYS)
@pytest.mark.parametrize("record", [RECORD, ROTATED, ROTATING])
@pytest.mark.parametrize("passed", [-59, 0, 3600])
def test_the_current_token_is_honoured_and_one_that_is_neither_is_a_replay(
    leeway: Leeway, record: JtiRecord, passed: int
) -> None:
    now = BEGAN + passed
    assert refresh(record, "current", now, leeway) == HONOURED
    assert refresh(record, None, now, leeway) == HONOURED  # of a use whose ids are not covered
    assert refresh(record, "older", now, leeway) == TokenReused
    assert refresh(record, "access", now, leeway) == TokenReused
    assert access(record, "access", now, leeway) == HONOURED
    assert access(record, None, now, leeway) == HONOURED
    for other in ("current", "previous", "older", ""):
        assert access(record, other, now, leeway) == TokenRevoked


@pytest.mark.parametrize("leeway", LEEWAYS)
@pytest.mark.parametrize("apart", APART)
@pytest.mark.parametrize("judge", [access, refresh])
def test_a_renewed_session_is_superseded_for_leeway_and_skew_and_revoked_later(
    judge: Judge, leeway: Leeway, apart: int
) -> None:
    last = leeway.reuse + leeway.skew
    for passed, jti in product(tenths(130), ("access", "current", "previous", None)):
        now = second(passed, apart)
        expected = TokenSuperseded if now - BEGAN <= last else TokenRevoked
        assert judge(GONE_ON, jti, now, leeway) == expected, (passed, jti)


@pytest.mark.parametrize("judge", [access, refresh])
def test_a_session_without_a_record_was_ended_or_has_expired(judge: Judge) -> None:
    for leeway, jti in product(LEEWAYS, ("access", None)):
        assert judge(None, jti, BEGAN, leeway, exp=BEGAN + 1) == TokenRevoked
        for exp in (BEGAN, BEGAN - 59):  # inside the clock tolerance: the refresh token may still be good
            assert judge(None, jti, BEGAN, leeway, exp=exp) == TokenExpired


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (RECORD, State.LIVE),
        (ROTATED, State.LIVE),
        (ROTATING, State.ROTATING),
        (replace(RECORD, rotated_at=BEGAN), State.LIVE),
        (replace(ROTATED, rotated_at=0), State.LIVE),
        (GONE_ON, State.SUPERSEDED),
        (replace(ROTATED, successor="the next"), State.SUPERSEDED),
        (replace(ROTATING, successor="the next"), State.SUPERSEDED),
    ],
)
def test_a_record_is_in_one_of_three_states(record: JtiRecord, state: State) -> None:
    assert state_of(record) is state


@pytest.mark.parametrize("jti", ["a", "x" * MAX_ID])
def test_a_jti_is_text_of_a_sensible_length(jti: str) -> None:
    assert presented_jti({"jti": jti}, require=True) == jti
    assert presented_jti({"jti": jti}, require=False) == jti


@pytest.mark.parametrize("require", [True, False])
@pytest.mark.parametrize("jti", ["x" * (MAX_ID + 1), 0, False, 7, 1.5, [], ["a"], {"$gt": ""}, True])
def test_a_jti_of_any_other_kind_is_refused(jti: object, require: bool) -> None:
    with pytest.raises(TokenClaimError):
        presented_jti({"jti": jti}, require=require)


@pytest.mark.parametrize("claims", [{}, {"jti": None}, {"jti": ""}])
def test_no_jti_is_refused_where_one_is_required(claims: dict[str, object]) -> None:
    assert presented_jti(claims, require=False) is None
    with pytest.raises(TokenClaimError, match="no jti"):
        presented_jti(claims, require=True)
