"""Loader: from the cookies of a request to the session that it presents."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import TokenError, TokenExpired, TokenReused, TokenRevoked, TokenSuperseded
from ..faults import shown
from ..settings.config import SessionConfig, TokenPolicy
from ..storage.contract import Clock, JtiRecord
from ..tokens.cache import TokenCache
from ..tokens.codec import read_time
from .contents import Contents
from .jti import Candidate, JtiAuthority, Verdict
from .life import Arrival, Presented
from .state import Life
from .term import Limits

__all__ = ["Cookies", "Loader"]

MAX_CANDIDATES = 4  # cookies of one name that are tried

Cookies = Mapping[str, str | Sequence[str]]

_NO_IDS = Verdict()
_LISTS = (list, tuple, Sequence)  # the usual ones first: asking an ABC takes its time


class _Honoured(NamedTuple):
    contents: Contents
    created_at: int | None
    verdict: Verdict


class _Refused(NamedTuple):
    fault: TokenError
    contents: Contents | None
    record: JtiRecord | None


class Loader:
    """Judges the tokens that came, and says whose session the request brings.

    ``on_replay`` is told of each refresh token that was used before, and that only a thief explains.
    """

    def __init__(
        self,
        config: SessionConfig,
        tokens: TokenCache[Contents],
        authority: JtiAuthority,
        clock: Clock,
        subject_of: Callable[[Mapping[str, Any]], str | None],
        limits: Limits,
        on_replay: Callable[[Candidate], Awaitable[None]],
    ) -> None:
        self._access, self._refresh = config.access, config.refresh
        self._tokens = tokens
        self._resave = config.resave
        self._authority = authority
        self._has_ids = config.jti_policy is not None
        self._clock = clock
        self._subject_of = subject_of
        self._limits = limits
        self._on_replay = on_replay

    def new(self, fresh: Presented) -> Life:
        """A session that nothing was presented for."""
        return Life(fresh, None, self._subject_of, None, self._clock)

    async def load(self, cookies: Cookies, fresh: Presented, waited: float) -> Life:
        """The session that these cookies stand for, or a new one; ``fresh`` has the keys and the environment.

        ``waited``: seconds since the request came.
        """
        access, refresh, sid = self._access, self._refresh, None
        try:
            if tokens := _candidates(cookies, access.name):
                try:
                    return await self._read(tokens, access, fresh, waited)
                except TokenExpired as fault:
                    sid = fault.sid
                    if refresh is None:
                        raise
            if refresh is not None and (tokens := _candidates(cookies, refresh.name)):
                return await self._read(tokens, refresh, fresh, waited)
        except TokenError as fault:
            if isinstance(fault, TokenRevoked):
                sid = fault.sid
            return self.new(fresh._replace(fault=fault, refused_sid=sid))
        return self.new(fresh if sid is None else fresh._replace(refused_sid=sid))

    async def _read(self, tokens: list[str], policy: TokenPolicy, fresh: Presented, waited: float) -> Life:
        """The session of the best token that is honoured. Raises the most severe fault where none is."""
        honoured: list[_Honoured] = []
        refused: list[_Refused] = []
        now = int(self._clock())
        came = now - int(waited)
        for token in tokens:
            contents, verdict = None, _NO_IDS
            try:
                contents = self._tokens.verify(token, fresh.keys, policy, now)
                created_at = contents.claims.get("orig_iat")
                if self._limits.are_any:
                    created_at = self._limits.check(contents.claims, contents.subject, now)
                if self._has_ids:
                    verdict = await self._authority.judge(Candidate(contents, policy, fresh, now, came))
                if verdict.superseded is not None:
                    raise verdict.superseded
            except TokenError as fault:
                refused.append(_Refused(fault, contents, verdict.record))
            else:
                if len(tokens) == 1:
                    return self._loaded(contents, created_at, verdict, policy, fresh, now)
                honoured.append(_Honoured(contents, created_at, verdict))
        if refused:
            await self._tell_replays(honoured, refused, policy, fresh, now, came)
        return self._loaded(*_newest(honoured), policy, fresh, now) if honoured else self._refused(refused, fresh)

    async def _tell_replays(
        self,
        honoured: list[_Honoured],
        refused: list[_Refused],
        policy: TokenPolicy,
        fresh: Presented,
        now: int,
        came: int,
    ) -> None:
        for fault, contents, _ in refused:
            if not isinstance(fault, TokenReused) or contents is None:
                continue
            if all(contents.sid != good.contents.sid for good in honoured):  # who has the current token is no thief
                await self._on_replay(Candidate(contents, policy, fresh, now, came))

    def _loaded(
        self,
        contents: Contents,
        created_at: int | None,
        verdict: Verdict,
        policy: TokenPolicy,
        fresh: Presented,
        now: int,
    ) -> Life:
        arrival = Arrival.LOADED if policy.use == "access" else Arrival.REFRESHED
        record, jti, _ = verdict
        is_due = self._resave or (self._limits.are_any and self._limits.is_due(contents.claims, now))
        presented = Presented(arrival, fresh.keys, fresh.env, contents.sid, contents.subject, record, jti, is_due)
        return Life(presented, contents, self._subject_of, created_at, self._clock)

    def _refused(self, refused: list[_Refused], fresh: Presented) -> Life:
        fault, contents, record = min(refused, key=lambda one: _severity(one.fault))
        if contents is not None:
            fault.sid, fault.subject = contents.sid, contents.subject
        if not isinstance(fault, TokenSuperseded) or contents is None:
            raise fault
        sid, subject = contents.sid, contents.subject
        presented = fresh._replace(arrival=Arrival.SUPERSEDED, sid=sid, subject=subject, record=record, fault=fault)
        return self.new(presented._replace(left=contents))


def _candidates(cookies: Cookies, name: str) -> list[str]:
    """The values to try, in the order of the wire contract: the first one, then the others, last first."""
    values = cookies.get(name)
    if not values:
        return []
    if isinstance(values, str):
        return [values]
    if not isinstance(values, _LISTS):
        raise _no_text(name, values)
    for value in values:
        if not isinstance(value, str):
            raise _no_text(name, value)
    if len(values) == 1:
        return [values[0]] if values[0] else []
    first, *others = values
    tried = dict.fromkeys(value for value in [first, *reversed(others)] if value)
    return list(tried)[:MAX_CANDIDATES]


def _no_text(name: str, value: object) -> TypeError:
    return TypeError(
        f"the value of the cookie {name} must be text, or a list of texts, not {shown(value)}; "
        "of a SimpleCookie pass {name: morsel.value for name, morsel in cookie.items()}"
    )


def _newest(honoured: list[_Honoured]) -> _Honoured:
    """Of the tokens of one session the one issued last: after a change of ``domain`` the older cookie comes first.

    Another session beside it changes nothing: a sibling domain cannot put its own over the visitor's.
    """
    first = honoured[0]
    if len(honoured) == 1 or first.contents.id is None:
        return first
    same = [one for one in honoured if one.contents.id == first.contents.id]
    return max(same, key=lambda one: read_time(one.contents.claims, "iat") or 0)


def _severity(fault: TokenError) -> int:
    """Superseded and revoked are never refreshed; expired may be; anything else is only junk beside those."""
    order = (TokenSuperseded, TokenRevoked, TokenExpired)
    return next((rank for rank, kind in enumerate(order) if isinstance(fault, kind)), len(order))
