"""Verdicts: may this token in? Pure judgements of a record, and the states that a record has."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from ..errors import TokenClaimError, TokenExpired, TokenReused, TokenRevoked, TokenSuperseded
from ..storage.contract import JtiRecord
from ..tokens.codec import MAX_ID

__all__ = ["Leeway", "State", "check_access", "check_refresh", "is_somebodys", "living", "presented_jti", "state_of"]


MOST_HELD = 600  # seconds after a rotation: a request that came before it is still given the successor


class State(Enum):
    """The states of a stored session."""

    LIVE = "its current ids are honoured, and for a leeway its previous refresh id"
    ROTATING = "its previous refresh id is honoured until its successor is known to be on its way"
    SUPERSEDED = "it goes on under the sid of its successor, and honours no id"
    WAITING = "a login that waits for its place under max_sessions, and honours no id yet"


class Leeway(NamedTuple):
    """``reuse``: seconds for which a rotated refresh token still gets its successor; ``skew``: by how many seconds the
    clocks of servers may differ before a verdict of replay can be wrong."""

    reuse: float
    skew: float

    @property
    def zone(self) -> float:
        """Seconds after a rotation in which an old token is no proof of anything: none if strict."""
        return self.reuse + self.skew if self.reuse else 0


def state_of(record: JtiRecord) -> State:
    """In which state a record is."""
    if record.successor is not None:
        return State.SUPERSEDED
    if record.access_jti is None and record.refresh_jti is None:
        return State.WAITING
    return State.ROTATING if record.previous_jti is not None and record.rotated_at is None else State.LIVE


def is_somebodys(record: JtiRecord) -> bool:
    """Whether somebody holds the tokens of a stored session, and it is theirs under this very sid."""
    return state_of(record) in (State.LIVE, State.ROTATING)


def living(record: JtiRecord | None) -> JtiRecord:
    """The record, where its session still goes on under this sid. Raises TokenRevoked or TokenSuperseded."""
    if record is None:
        raise TokenRevoked("session was ended while the request was handled")
    if state_of(record) is State.SUPERSEDED:
        raise TokenSuperseded("session was renewed while the request was handled")
    return record


def presented_jti(claims: Mapping[str, Any], *, require: bool) -> str | None:
    """The jti of a covered token; None where it has none and none is required. Raises TokenClaimError."""
    jti = claims.get("jti")
    if isinstance(jti, str) and 0 < len(jti) <= MAX_ID:
        return jti
    if jti in (None, "") and not require:
        return None
    raise TokenClaimError("token has no jti" if jti in (None, "") else "token jti is not text of a sensible length")


def check_access(
    record: JtiRecord | None, jti: str | None, exp: float, now: int, leeway: Leeway, came: int | None = None
) -> JtiRecord:
    """The record, where it honours an access token; ``jti`` None: of a use whose ids are not covered.

    ``came`` is when the request did, where that was before ``now``. Raises TokenRevoked, TokenSuperseded or, inside
    the clock tolerance, TokenExpired.
    """
    record = _alive(record, exp, now, leeway, now if came is None else came)
    if jti is not None and jti != record.access_jti:
        raise TokenRevoked("jti is not the session's")
    return record


def check_refresh(
    record: JtiRecord | None, jti: str | None, exp: float, now: int, leeway: Leeway, came: int | None = None
) -> JtiRecord:
    """The same for a refresh token, by the zones of DESIGN: honoured, superseded, replayed (TokenReused).

    The age of a rotation is told by two clocks, the one that wrote ``rotated_at`` and ours. Where the first is ahead
    by more than the skew nothing is known of the age: the token is superseded, and nobody is called a thief. Nor is
    who came before the rotation, in a request whose body took its time.
    """
    came = now if came is None else came
    record = _alive(record, exp, now, leeway, came)
    if jti is None or jti == record.refresh_jti:
        return record
    if jti == record.previous_jti and state_of(record) is State.ROTATING:
        return record
    age, age_then = _age(record, now), _age(record, came)
    if jti != record.previous_jti:
        if came < now and (state_of(record) is State.ROTATING or age_then < -leeway.skew):
            raise TokenSuperseded("refresh token was rotated while the request waited")
        raise TokenReused("refresh token was used before")
    if leeway.reuse and age_then <= leeway.reuse and -leeway.skew <= age <= max(leeway.reuse, MOST_HELD):
        return record
    if age_then < -leeway.skew or (leeway.zone and age_then <= leeway.zone):  # if strict, not in the same second
        raise TokenSuperseded("refresh token was rotated a moment ago")
    raise TokenReused("refresh token was used before")


def _alive(record: JtiRecord | None, exp: float, now: int, leeway: Leeway, came: int) -> JtiRecord:
    if record is None:
        if exp <= now:  # inside the clock tolerance, where the record has expired as well
            raise TokenExpired("token has expired")
        raise TokenRevoked("session was ended")
    if state_of(record) is State.SUPERSEDED:
        if _age(record, came) <= leeway.reuse + leeway.skew:
            raise TokenSuperseded("session was renewed a moment ago")
        raise TokenRevoked("session was renewed")
    return record


def _age(record: JtiRecord, then: int) -> float:
    """Seconds since a record was rotated or superseded."""
    return then - (record.rotated_at or 0)
