"""SessionManager: cookies in -> Session -> cookies out. Framework-free.

`load` says what was presented, `plan` what is to be done, and `save` has it done; between them the session only
remembers. Ids are the business of a `JtiAuthority`.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Self

from ..errors import ConfigError
from ..log import logger
from ..settings.config import JtiEvent, SessionConfig
from ..settings.cookies import CookieChange
from ..storage.contract import Clock, JtiRecord, JtiStorage, system_time
from ..storage.registry import open_storage
from ..tokens.cache import TokenCache
from ..tokens.codec import TokenCodec
from ..tokens.keys import KeyRings
from .contents import ContentsReader, subject_text
from .data import copied
from .jti import CallbackJti, Candidate, JtiAuthority, Stateless
from .life import Arrival, Presented, Rules
from .link import Deadline, StorageLink
from .loading import Cookies, Loader
from .mint import TokenMint
from .records import RecordJti
from .saving import Saver
from .session import Session, life_of, session_of
from .state import life_in_hand
from .verdicts import State, state_of

__all__ = ["SessionManager"]

PURGE_BATCH = 1000
PURGE_PATIENCE = 10  # times storage_timeout, for a batch: no request waits for it, and much may stand before it

ReuseListener = Callable[[JtiEvent], Awaitable[None]]


class SessionManager:
    """Loads and saves sessions under one configuration. Raises ConfigError where a secret or setting is wrong.

    ``storage`` takes precedence over ``config.storage``; ``clock`` gives epoch seconds (the system's by default), and
    ``environ`` the environment that secrets are looked for in (the process's by default). ``on_reuse`` is a list of
    coroutine functions; each is given a JtiEvent when a refresh token that was rotated away comes back and its
    session is revoked.
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
        self._clock: Clock = system_time if clock is None else clock
        self._keys = KeyRings(self.config, os.environ if environ is None else environ)
        self.cookie_names = frozenset(policy.name for policy in (self.config.access, self.config.refresh) if policy)
        self._link = self._make_link()
        self._deadline = Deadline(self.config.storage_timeout)
        reader = ContentsReader(self.config.subject_key)
        rules = Rules(
            reader.subject_of,
            resave=self.config.resave,
            save_uninitialized=self.config.save_uninitialized,
            rotate=self.config.rotate,
            has_records=self._link is not None,
        )
        tokens = TokenCache(TokenCodec(self.config), reader)
        self._authority = self._make_authority(TokenMint(self.config, tokens))
        self._loader = Loader(self.config, tokens, self._authority, self._clock, reader.subject_of, self._stop_replay)
        self._saver = Saver(self.config, rules, self._authority, self._keys, self._clock)

    @property
    def storage(self) -> JtiStorage | None:
        """The storage behind jti records, or None."""
        return self._link.storage if self._link else None

    async def open(self) -> None:
        """Opens the storage. Raises StorageUnavailable; a later call of `load` or `save` tries again."""
        self._authority.open()
        if self._link:
            await self._link.open()

    async def aclose(self) -> None:
        """Settles what was left to be done after answers, and closes the storage."""
        await self._authority.aclose()
        if self._link:
            await self._link.aclose()

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
        fresh = self._nothing_presented if env is None else Presented(Arrival.FRESH, self._keys.of(env), env)
        if self.cookie_names.isdisjoint(cookies):
            return session_of(self._loader.new(fresh))
        if self.config.jti_policy is None:
            return session_of(await self._loader.load(cookies, fresh))
        return session_of(await self._deadline(self._loader.load, cookies, fresh))

    async def save(self, session: Session) -> list[CookieChange]:
        """The cookies that the response is to carry. Nothing is stored where the data cannot be kept.

        Raises SessionDataError naming the key, or StorageUnavailable; the client's cookies then stay as they are.
        """
        return await self._saver.save(life_of(session))

    async def revoke(self, sid: str) -> bool:
        """Ends the session of this sid, and what it goes on as if it was renewed. Needs a storage (else ConfigError).

        True for the one caller that ended something alive.
        """
        self._records()
        return await self._authority.end(sid)

    async def revoke_subject(self, subject: object, keep: Session | str | None = None) -> int:
        """Ends every session of a subject (``session["sub"]``) but the one to keep; returns how many.

        ``keep`` is a session or a sid, of a session that was just renewed or logged in too, before or after it is
        saved. Raises ValueError where no session has that sid: nobody is to be logged out by a mistake.
        """
        link = self._records()
        named = _subject(subject)
        kept = None if keep is None else await link(self._sid_to_keep, keep)
        return await self._authority.end_subject(named, kept)

    async def revoke_others(self, session: Session) -> int:
        """Ends every other session of the user that this one belongs to; returns how many."""
        return await self.revoke_subject(session.subject, keep=session)

    async def sessions(self, subject: object) -> list[JtiRecord]:
        """The live sessions of a subject, newest first. Needs a storage."""
        link = self._records()
        records = await link(link.storage.list_subject, _subject(subject))
        return [record for record in records if state_of(record) is not State.SUPERSEDED]

    async def purge(self) -> int:
        """Removes all expired records, in small steps; returns how many. Needs a storage."""
        link = self._records()
        await link(_nothing)  # opens the storage, or says that the manager is closed
        patient = Deadline(self.config.storage_timeout * PURGE_PATIENCE)
        total = 0
        while removed := await patient(link.storage.purge, PURGE_BATCH):
            total += removed
        return total

    @cached_property
    def _nothing_presented(self) -> Presented:
        """What a request without a token and without an environment of its own brings, the same for all of them."""
        return Presented(Arrival.FRESH, self._keys.own())

    def _make_link(self) -> StorageLink | None:
        storage = self.config.storage
        if storage is None:
            return None
        if isinstance(storage, str):
            storage = open_storage(storage)
            storage.clock = self._clock
        return StorageLink(storage, self.config.storage_timeout)

    def _make_authority(self, mint: TokenMint) -> JtiAuthority:
        jti = self.config.jti_policy
        if jti is None:
            return Stateless(mint)
        if self._link is None and not (jti.generate or jti.persist or jti.verify):
            raise ConfigError("jti is on with nothing behind it: give a storage, or callbacks (persist and verify)")
        if self._link is None:
            return CallbackJti(self.config, jti, mint, self._deadline)
        return RecordJti(self.config, jti, mint, self._link)

    def _records(self) -> StorageLink:
        if self._link is None:
            raise ConfigError("sessions can be revoked and listed only with a storage: set storage, for example sqlite")
        return self._link

    async def _sid_to_keep(self, keep: Session | str) -> str | None:
        """The stored sid of the session to keep, or of what it goes on as; None where it is not stored yet."""
        life = life_of(keep) if isinstance(keep, Session) else life_in_hand(keep)
        sid = keep if life is None else life.presented and life.presented.sid
        if sid is None:
            return None
        assert isinstance(sid, str)
        storage = self._records().storage
        record = await storage.get(sid)
        while record is not None and record.successor is not None:
            record = await storage.get(record.successor)
        if record is None and life is None:
            raise ValueError(f"no session has the sid to keep, {sid!r}: pass the session itself, as in keep=session")
        return None if record is None else record.sid

    async def _stop_replay(self, candidate: Candidate) -> None:
        contents, policy, presented, _ = candidate
        logger.warning("a refresh token of session %r was used again: the session is revoked", contents.sid)
        if not await self._authority.end(contents.sid):
            return
        payload = copied(contents.claims)
        event = JtiEvent(
            payload["jti"],
            candidate.session(),
            policy.use,
            contents.expires_at,
            payload,
            self.config,
            presented.env,
        )
        for listener in self.on_reuse:
            try:
                await listener(event)
            except Exception:
                logger.exception("an on_reuse listener failed")


async def _nothing() -> None:
    pass


def _subject(value: object) -> str:
    subject = subject_text(value)
    if subject is None:
        raise ValueError("a subject is needed: the value of session['sub']")
    return subject
