"""What is to be done with a session at the end of a request: one pure decision.

It has three grounds: what was *presented* by the request, what was *asked* by the handler, and the *data* as it is now.
Whoever does I/O carries the plan out and decides nothing.
"""

from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import TokenError
from ..storage.contract import JtiRecord
from ..tokens.keys import KeyRing
from .contents import Contents
from .data import SessionData

__all__ = [
    "ASKED_NOTHING",
    "Act",
    "Arrival",
    "Asked",
    "Level",
    "Plan",
    "Presented",
    "Rules",
    "logs_out",
    "needs_nothing",
    "plan",
]


class Arrival(Enum):
    """How the session came with the request."""

    FRESH = "no token, or a refused one"
    LOADED = "an honoured access token"
    REFRESHED = "an honoured refresh token"
    SUPERSEDED = "a token of a session that was renewed a moment ago"


class Presented(NamedTuple):
    """What a request brought. Made once, by ``load``; never changed.

    ``sid``, ``subject``, ``record`` and ``jti`` (of the refresh token) are those of the session that came, where one
    did; ``is_due``: it is written in any case, be it to note that it is used; ``fault`` is why a token was refused,
    ``refused_sid`` the sid of one that has expired or was revoked, and ``left`` what one says that is superseded.
    """

    arrival: Arrival
    keys: KeyRing
    env: Mapping[str, str] | None = None
    sid: str | None = None
    subject: str | None = None
    record: JtiRecord | None = None
    jti: str | None = None
    is_due: bool = False
    fault: TokenError | None = None
    refused_sid: str | None = None
    left: Contents | None = None


class Level(IntEnum):
    """What the handler wants at least. It only rises."""

    KEEP = 0
    WRITE = 1
    RENEW = 2
    END = 3


class Asked(NamedTuple):
    """What the handler asked for, beside changing the data: a level, and labels for the record.

    ``sets_term``: this login lasts as long as it says.
    """

    level: Level = Level.KEEP
    labels: Mapping[str, str] = MappingProxyType({})
    sets_term: bool = False

    def at_least(self, level: Level, **more: Any) -> "Asked":
        """The same and at least this much; ``more`` are other fields."""
        return self._replace(level=max(self.level, level), **more)


ASKED_NOTHING = Asked()


class Rules(NamedTuple):
    """The settings that the decision goes by.

    ``has_records``: there is a storage. ``counts_idleness``: both tokens say when the session was last used.
    """

    subject_of: Callable[[Mapping[str, Any]], str | None]
    resave: bool = False
    save_uninitialized: bool = False
    rotate: bool = True
    has_records: bool = False
    counts_idleness: bool = False


class Act(Enum):
    """What becomes of the session."""

    NOTHING = "no cookies"
    WRITE = "new tokens, same sid"
    START = "new tokens under a new sid"
    MOVE = "new tokens under a new sid, which takes over from the old one"
    END = "the session ends, its cookies are deleted"


class Plan(NamedTuple):
    """The decision.

    ``refreshes``: the refresh token is written too. ``begins``: this is a login, a visitor's first session or the one
    after a logout. ``inherits``: the new sid takes data over from a session that belongs to the same subject, so it may
    only begin while that one lives. ``insists``: it is a login of that subject, and begins also where a renewal or
    another login has taken over meanwhile or, without the data, where the request itself has ended that session.
    ``leaves``: somebody's session is left; only what the request assigned goes along, and whatever took over from that
    session meanwhile is left as well.
    """

    act: Act
    refreshes: bool = True
    begins: bool = False
    inherits: bool = False
    insists: bool = False
    leaves: bool = False


# Looking a member up in its class costs about as much as the rest of a decision.
_FRESH, _LOADED, _REFRESHED, _SUPERSEDED = Arrival
_ASKS_KEEP, _ASKS_WRITE, _ASKS_RENEW, _ASKS_END = Level

_NOTHING = Plan(Act.NOTHING)
_WRITE = Plan(Act.WRITE)
_WRITE_ACCESS = Plan(Act.WRITE, refreshes=False)
_START = Plan(Act.START, begins=True)
_LOGIN = Plan(Act.MOVE, begins=True)
_RENEW = Plan(Act.MOVE, inherits=True)
_LOGIN_AGAIN = Plan(Act.MOVE, begins=True, inherits=True, insists=True)
_LEAVE = Plan(Act.MOVE, begins=True, leaves=True)
_END = Plan(Act.END)


def plan(presented: Presented, asked: Asked, data: SessionData, rules: Rules) -> Plan:
    """Decides. Reads nothing but its arguments and changes nothing."""
    changed = asked.level is _ASKS_WRITE or data.is_changed()
    if asked.level is _ASKS_END:
        return _after_the_end(presented) if changed else _END
    if presented.arrival is _SUPERSEDED:
        return _NOTHING if rules.subject_of(data.view()) is None else _START
    if presented.arrival is _FRESH:
        return _START if changed or rules.resave or rules.save_uninitialized else _NOTHING
    if changed and (subject := rules.subject_of(data.view())) != presented.subject:
        return _to_another(presented, subject, data)
    if asked.level is _ASKS_RENEW:
        return _RENEW if rules.subject_of(data.assigned_view()) is None else _LOGIN_AGAIN
    is_refreshed = presented.arrival is _REFRESHED
    if changed or is_refreshed or presented.is_due or (rules.has_records and asked.labels):
        needs_both = changed or rules.rotate or not is_refreshed or rules.counts_idleness
        return _WRITE if needs_both else _WRITE_ACCESS
    return _NOTHING


def logs_out(plan: Plan, asked: Asked, subject: str | None) -> bool:
    """Whether somebody's session is left for good, and not for another user's: that holds, whoever waits for it."""
    return plan.leaves and (asked.level is _ASKS_END or subject is None)


def needs_nothing(presented: Presented, asked: Asked, data: SessionData) -> bool:
    """Whether the decision is NOTHING, at a glance: an access token came and nothing was done. False: ask `plan`."""
    return asked is ASKED_NOTHING and not data.is_touched and presented.arrival is _LOADED and not presented.is_due


def _after_the_end(presented: Presented) -> Plan:
    """Something was stored after a logout: that is a new session."""
    return _START if presented.sid is None else _LEAVE


def _to_another(presented: Presented, subject: str | None, data: SessionData) -> Plan:
    """The subject changed. Data crosses only out of nobody's session."""
    if presented.subject is None:
        return _LOGIN
    return _LEAVE if data.assigned.intersection(data) else _END
