"""SessionManager: cookies in -> Session -> cookies out. Framework-free.

`load` judges what came in, `save` makes what goes out; between them the session only remembers. Ids are the
business of a `JtiAuthority`.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from ..errors import ConfigError, TokenClaimError, TokenError, TokenExpired, TokenReused, TokenRevoked
from ..log import logger
from ..settings.config import JtiEvent, SessionConfig, TokenPolicy
from ..settings.cookies import CookieChange
from ..storage.contract import Clock, JtiRecord, JtiStorage
from ..storage.registry import open_storage
from ..tokens.cache import TokenCache
from ..tokens.codec import TokenCodec, read_time
from ..tokens.keys import KeyRings
from .gate import StorageGate
from .jti import CallbackJti, JtiAuthority, Stateless
from .mint import Issued, Origin, TokenMint, Write
from .records import RecordJti
from .session import Session, subject_text

__all__ = ["SessionManager"]

MAX_CANDIDATES = 4  # cookies of one name that are tried
PURGE_BATCH = 1000
PURGE_PATIENCE = 10  # times storage_timeout, for a batch: no request waits for it, and much may stand before it

Cookies = Mapping[str, str | Sequence[str]]
ReuseListener = Callable[[JtiEvent], Awaitable[None]]


class SessionManager:
    """Loads and saves sessions under one configuration. Raises ConfigError where a secret or setting is wrong.

    ``storage`` takes precedence over ``config.storage``. ``on_reuse`` is a list of coroutine functions; each
    is given a JtiEvent when a refresh token that was rotated away comes back and its session is revoked.
    """

    def __init__(
        self,
        config: SessionConfig,
        storage: JtiStorage | str | None = None,
        *,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config if storage is None else replace(config, storage=storage)
        self.on_reuse: list[ReuseListener] = []
        self._clock = clock or time.time
        self._tokens = TokenCache(TokenCodec(self.config))
        self._mint = TokenMint(self.config, self._tokens)
        self._policies = tuple(policy for policy in (self.config.access, self.config.refresh) if policy)
        self.cookie_names = frozenset(policy.name for policy in self._policies)
        self._gate = self._make_gate()
        self._authority = self._make_authority()
        self._keys = KeyRings(self.config, os.environ if environ is None else environ)

    @property
    def storage(self) -> JtiStorage | None:
        """The storage behind jti records, or None."""
        return self._gate.storage if self._gate else None

    async def open(self) -> None:
        """Opens the storage. Raises StorageUnavailable; a later call of `load` or `save` tries again."""
        self._authority.open()
        if self._gate:
            await self._gate(self._gate.storage.ping)

    async def aclose(self) -> None:
        """Ends background repairs and closes the storage."""
        await self._authority.aclose()
        if self._gate:
            await self._gate.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def require_secret(self) -> None:
        """Raises ConfigError where neither the process environment nor the settings hold a secret."""
        self._keys.own()

    async def load(self, cookies: Cookies, env: Mapping[str, str] | None = None) -> Session:
        """The session that these raw cookies stand for; a new one, with ``rejected`` set, where they are refused.

        ``env`` is the request's own environment, for tenants with secrets of their own. Raises
        StorageUnavailable where the storage cannot answer, ConfigError where no good secret is found.
        """
        origin = Origin(self._keys.of(env), env)
        access, refresh = self.config.access, self.config.refresh
        access_tokens = _candidates(cookies, access.name)
        refresh_tokens = _candidates(cookies, refresh.name) if refresh else []
        if not access_tokens and not refresh_tokens:
            return self._new(origin)
        blamed = access
        try:
            if access_tokens:
                try:
                    return await self._read(access_tokens, access, origin)
                except TokenExpired:
                    if refresh is None:
                        raise
                    if not refresh_tokens:
                        return self._new(origin)
            assert refresh is not None
            blamed = refresh
            return await self._read(refresh_tokens, refresh, origin)
        except TokenError as fault:
            return self._new(self._refused(fault, blamed, cookies, origin), fault)

    async def save(self, session: Session) -> list[CookieChange]:
        """The cookies that the response is to carry. Nothing is stored where the data cannot be kept.

        Raises SessionDataError naming the key, or StorageUnavailable; the client's cookies then stay as they are.
        """
        origin = session._origin or Origin(self._keys.of(None), None)
        modified = session._is_modified()
        if session._dropped and not modified:
            return await self._end(session)
        if not (modified or self._must_write(session, origin)):
            return []
        session._check_data()
        try:
            issued = await self._authority.issue(Write(self._mint, session, origin, int(self._clock()), modified))
        except TokenRevoked as fault:
            session._rejected = fault
            return []
        self._remember(session, origin, issued)
        return [CookieChange(token.policy.name, token.token, token.policy.cookie) for token in issued]

    async def revoke(self, sid: str) -> bool:
        """Ends the session of this sid; True for the one caller that did. Needs a storage (else ConfigError)."""
        self._records()
        return await self._authority.end(sid)

    async def revoke_subject(self, subject: object, keep: str | None = None) -> int:
        """Ends every session of a subject (``session["sub"]``) but the sid ``keep``; returns how many."""
        self._records()
        return await self._authority.end_subject(_subject(subject), keep)

    async def sessions(self, subject: object) -> list[JtiRecord]:
        """The live sessions of a subject, newest first. Needs a storage."""
        storage, gate = self._records()
        records = await gate(storage.list_subject, _subject(subject))
        return [record for record in records if record.access_jti or record.refresh_jti]

    async def purge(self) -> int:
        """Removes all expired records, in small steps; returns how many. Needs a storage."""
        storage, gate = self._records()
        patience = self.config.storage_timeout * PURGE_PATIENCE
        total = 0
        while removed := await gate.within(patience, storage.purge, PURGE_BATCH):
            total += removed
        return total

    def _make_gate(self) -> StorageGate | None:
        storage = self.config.storage
        if storage is None:
            return None
        if isinstance(storage, str):
            storage = open_storage(storage)
            storage.clock = self._clock
        return StorageGate(storage, self.config.storage_timeout)

    def _make_authority(self) -> JtiAuthority:
        jti = self.config.jti_policy
        if jti is None:
            return Stateless(self.config)
        if self._gate is None and not (jti.generate or jti.persist or jti.verify):
            raise ConfigError("jti is on with nothing behind it: give a storage, or callbacks (persist and verify)")
        return RecordJti(self.config, jti, self._gate) if self._gate else CallbackJti(self.config, jti)

    def _records(self) -> tuple[JtiStorage, StorageGate]:
        if self._gate is None:
            raise ConfigError("sessions can be revoked and listed only with a storage: set storage, for example sqlite")
        return self._gate.storage, self._gate

    def _new(self, origin: Origin, fault: TokenError | None = None) -> Session:
        session = Session(rejected=fault)
        session._origin = origin
        return session

    async def _read(self, tokens: list[str], policy: TokenPolicy, origin: Origin) -> Session:
        """The session of the first token that is honoured. Raises the gravest fault where none is."""
        faults: list[TokenError] = []
        reused: list[tuple[Session, Mapping[str, Any]]] = []
        found, now = None, int(self._clock())
        for token in tokens:
            try:
                claims = self._tokens.verify(token, origin.keys, policy, now)
                session = Session._from_claims(claims)
                if self.config.max_lifetime is not None:
                    self._check_age(session, claims, now, self.config.max_lifetime)
                if self.config.jti_policy is not None:
                    await self._authority.judge(session, claims, policy, origin, now)
            except TokenReused as fault:
                faults.append(fault)
                reused.append((session, claims))
            except TokenError as fault:
                faults.append(fault)
            else:
                found = session
                break
        for stolen, stolen_claims in reused:
            if found is None or stolen.sid != found.sid:  # whoever holds the current token too is no thief
                await self._stop_reuse(stolen, stolen_claims, policy, origin)
        if found is None:
            raise min(faults, key=_gravity)
        origin.refreshed = policy.use == "refresh"
        found._origin = origin
        return found

    def _check_age(self, session: Session, claims: Mapping[str, Any], now: int, longest: float) -> None:
        began = read_time(claims, "orig_iat" if "orig_iat" in claims else "iat")
        if began is None:
            began = now
        if began > now + self.config.clock_tolerance:
            raise TokenClaimError("session begins in the future")
        if began + longest <= now:
            raise TokenExpired("session has reached its max_lifetime")
        session.created_at = int(began)

    async def _stop_reuse(
        self, session: Session, claims: Mapping[str, Any], policy: TokenPolicy, origin: Origin
    ) -> None:
        logger.warning("a refresh token of session %r was used again: the session is revoked", session.sid)
        if not await self._authority.end(session.sid):
            return
        event = JtiEvent(claims["jti"], session, policy.use, int(claims["exp"]), dict(claims), self.config, origin.env)
        for listener in self.on_reuse:
            try:
                await listener(event)
            except Exception:
                logger.exception("an on_reuse listener failed")

    def _refused(self, fault: TokenError, blamed: TokenPolicy, cookies: Cookies, origin: Origin) -> Origin:
        refused = Origin(origin.keys, origin.env)
        if isinstance(fault, TokenRevoked):
            refused.stale = self._policies
        elif blamed.use == "access":
            refused.stale = (blamed,)
        else:
            refused.stale = tuple(policy for policy in self._policies if cookies.get(policy.name))
        return refused

    def _must_write(self, session: Session, origin: Origin) -> bool:
        """Whether cookies are to go out although the data is as it was."""
        if self.config.resave:
            return True
        if session.is_new:
            return self.config.save_uninitialized
        return origin.refreshed or session._ended_sid is not None or (self._gate is not None and bool(session._labels))

    async def _end(self, session: Session) -> list[CookieChange]:
        if session._ended_sid is not None:
            await self._authority.end(session._ended_sid)
        return self._deletions(self._policies)

    def _remember(self, session: Session, origin: Origin, issued: list[Issued]) -> None:
        session._written(max([token.claims["exp"] for token in issued]))
        if self.config.max_lifetime is not None:
            session.created_at = issued[0].claims["orig_iat"]
        session._origin = Origin(origin.keys, origin.env)
        if self._gate:
            session._origin.subject = session.subject

    def _deletions(self, policies: Sequence[TokenPolicy]) -> list[CookieChange]:
        return [CookieChange(policy.name, None, replace(policy.cookie, max_age=0)) for policy in policies]


def _candidates(cookies: Cookies, name: str) -> list[str]:
    """The values to try, in the order of the wire contract: the first one, then the others, last first."""
    values = cookies.get(name)
    if not values:
        return []
    if isinstance(values, str):
        return [values]
    if len(values) == 1:
        return [values[0]] if values[0] else []
    first, *others = values
    tried = dict.fromkeys(value for value in [first, *reversed(others)] if value)
    return list(tried)[:MAX_CANDIDATES]


def _gravity(fault: TokenError) -> int:
    """Revoked is never refreshed; expired may be; anything else is only junk beside those."""
    return 0 if isinstance(fault, TokenRevoked) else 1 if isinstance(fault, TokenExpired) else 2


def _subject(value: object) -> str:
    subject = subject_text(value)
    if subject is None:
        raise ValueError("a subject is needed: the value of session['sub']")
    return subject
