"""Term and Limits: until when a session lasts.

The earliest end counts. The lifetimes of the tokens and ``idle_timeout`` are the usual ones, and what a handler asked
for with `expire_in` takes their place; ``anonymous_lifetime`` and ``max_lifetime`` bound whatever that gives.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import TokenClaimError, TokenExpired
from ..settings.config import SessionConfig
from ..settings.names import TERM
from ..tokens.codec import read_term_end, read_time

__all__ = ["Limits", "Term"]


class Term(NamedTuple):
    """How long one login is to last, where its handler said so: until a time, or until the browser is closed."""

    until: int | None = None
    at_close: bool = False

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> "Term":
        """The term that a token carries."""
        told = claims.get(TERM)
        if not isinstance(told, dict):
            return _USUAL
        return cls(read_term_end(claims), told.get("at_close") is True)

    def claim(self) -> dict[str, Any] | None:
        """As a token carries it; None for the usual term."""
        if self.until is not None:
            return {"until": self.until}
        return {"at_close": True} if self.at_close else None


_USUAL = Term()


class Limits:
    """The ends that a configuration sets to every session; times in whole seconds."""

    def __init__(self, config: SessionConfig) -> None:
        self.idle: int | None = _whole(config.idle_timeout)
        self.touch = _whole(config.touch_interval)
        if self.touch is None and self.idle is not None:
            self.touch = max(1, self.idle // 10)
        self.total: int | None = _whole(config.max_lifetime)
        self.anonymous: int | None = _whole(config.anonymous_lifetime)
        self._has_refresh = config.refresh is not None
        self._access = config.access
        self._tolerance = config.clock_tolerance
        self.are_any: bool = any(limit is not None for limit in (self.idle, self.total, self.anonymous))

    def check(self, claims: Mapping[str, Any], subject: str | None, now: int) -> int:
        """When the session of a token began. Raises TokenExpired where one of the ends that are set has come."""
        issued = read_time(claims, "iat")
        is_idle = self.idle is not None and issued is not None and issued + self.idle <= now
        if is_idle and read_term_end(claims) is None:
            raise TokenExpired("session was not used for longer than idle_timeout")
        began = read_time(claims, "orig_iat") if "orig_iat" in claims else issued
        if began is None:
            began = now
        if began > now + self._tolerance:
            raise TokenClaimError("session begins in the future")
        if self.total is not None and began + self.total <= now:
            raise TokenExpired("session has reached its max_lifetime")
        if self.anonymous is not None and subject is None and began + self.anonymous <= now:
            raise TokenExpired("session without a user has reached its anonymous_lifetime")
        if subject is not None and issued is not None and self._access.alone > self._access.lifetime:
            self._check_length(claims, issued)
        return int(began)

    def _check_length(self, claims: Mapping[str, Any], issued: float) -> None:
        """A user's access token may live only for as long as one that can be refreshed."""
        is_long = claims["exp"] - issued > self._access.lifetime + self._tolerance
        if is_long and claims.get("token_use") != "refresh" and read_term_end(claims) is None:
            raise TokenExpired("token lifetime is longer than configured")

    def gives_refresh(self, subject: str | None) -> bool:
        """Whether a session of this subject has a refresh token; nobody's has none under ``anonymous_lifetime``."""
        return self._has_refresh and (subject is not None or self.anonymous is None)

    def is_due(self, claims: Mapping[str, Any], now: int) -> bool:
        """Whether it is time to note that the session is used."""
        if self.touch is None or claims.get("iat", now) + self.touch > now:
            return False
        return read_term_end(claims) is None

    def begin(self, created_at: int | None, now: int) -> int | None:
        """What the tokens say of when the session began; None: nothing."""
        counts = self.total is not None or self.anonymous is not None
        return now if counts and created_at is None else created_at

    def end(self, usual: int, issued: int, began: int | None, subject: str | None, term: Term) -> int:
        """The time at which a token expires that would usually, or by its term, expire then."""
        if not self.are_any:
            return usual
        ends = [usual]
        if self.idle is not None and term.until is None:
            ends.append(issued + self.idle)
        if began is not None and self.total is not None:
            ends.append(began + self.total)
        if began is not None and self.anonymous is not None and subject is None:
            ends.append(began + self.anonymous)
        return min(ends)


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
