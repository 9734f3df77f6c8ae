"""SessionManager: cookies in -> Session -> cookies out. Framework-free.

`load` says what was presented, `plan` what is to be done, and `save` has it done; between them the session only
remembers. Ids are the business of a `JtiAuthority`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from inspect import iscoroutinefunction
from types import MappingProxyType, TracebackType
from typing import Self

from ..faults import is_number, shown
from ..settings.config import SessionConfig
from ..settings.cookies import CookieChange
from ..storage.contract import Clock, JtiRecord, JtiStorage, system_time
from ..storage.registry import open_storage
from ..tokens.cache import TokenCache
from ..tokens.codec import TokenCodec
from ..tokens.keys import KeyRings
from .authorities import authority_for
from .contents import ContentsReader
from .events import Events, SessionEvent
from .life import Arrival, Presented, Rules
from .link import Deadline, StorageLink
from .living import LivingRecords
from .loading import Cookies, Loader
from .mint import TokenMint
from .own_ends import share_notes
from .replays import Replays, ReuseListener
from .saving import Saver
from .session import Session, life_of, session_of
from .stored import StoredSessions
from .term import Limits
from .watching import Watcher, Watching

__all__ = ["SessionManager"]

_MAPPINGS = (dict, MappingProxyType, Mapping)  # the usual ones first: asking an ABC takes its time


class SessionManager:
    """Loads and saves sessions under one configuration. Raises ConfigError where a secret or setting is wrong.

    ``storage`` takes precedence over ``config.storage``; ``clock`` gives epoch seconds (the system's by default), and
    ``environ`` the environment that secrets are looked for in (the process's by default). ``events`` has lists of
    listeners for whatever becomes of a session. ``on_reuse`` is one more, whose listeners are given a JtiEvent when a
    refresh token that was rotated away comes back and its session is revoked.
    """

    def __init__(
        self,
        config: SessionConfig,
        storage: JtiStorage | str | None = None,
        *,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        config = SessionConfig.coerce(config)
        self.config: SessionConfig = config if storage is None else replace(config, storage=storage)
        self.events: Events = Events()
        self.on_reuse: list[ReuseListener] = []
        self._clock: Clock = system_time if clock is None else clock
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self._keys = KeyRings(self.config, self.environ)
        policies = (self.config.access, self.config.refresh)
        self.cookie_names: frozenset[str] = frozenset(policy.name for policy in policies if policy)
        self._link = self._make_link()
        self._deadline = Deadline(self.config.storage_timeout, "the storage" if self._link else "a jti callback")
        reader = ContentsReader(self.config.subject_key)
        limits = Limits(self.config)
        rules = Rules(
            reader.subject_of,
            resave=self.config.resave,
            save_uninitialized=self.config.save_uninitialized,
            rotate=self.config.rotate,
            has_records=self._link is not None,
            counts_idleness=limits.idle is not None,
        )
        tokens = TokenCache(TokenCodec(self.config), reader)
        mint = TokenMint(self.config, tokens, limits)
        self._authority = authority_for(self.config, mint, self._link, self._deadline, self.events)
        replays = Replays(self.config, self._authority, self.events, lambda: self.on_reuse)
        self._loader = Loader(
            self.config, tokens, self._authority, self._clock, reader.subject_of, limits, replays.stop
        )
        self._saver = Saver(
            self.config, rules, limits, reader.check, self._authority, self._keys, self._clock, self.events
        )
        self._watching = Watching(self._link, self._clock, self.events)
        self._stored = StoredSessions(self._link, self._authority, self._keys, self._clock)

    @property
    def storage(self) -> JtiStorage | None:
        """The storage behind jti records, or None."""
        return self._link.storage if self._link else None

    @property
    def stats(self) -> Mapping[str, int]:
        """How often each event was told since this manager was made: "ended", "ended.logout", "refused", ..."""
        return self.events.stats

    async def open(self) -> None:
        """Opens the storage. Raises StorageUnavailable; a later call of `load` or `save` tries again."""
        self._authority.open()
        if self._link:
            await self._link.open()

    async def aclose(self) -> None:
        """Settles what was left to be done after answers, and closes the storage."""
        await self._watching.aclose()
        await self._authority.aclose()
        await self.events.aclose()
        if self._link:
            await self._link.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def now(self) -> float:
        """Epoch seconds by the manager's clock."""
        return self._clock()

    def require_secret(self) -> None:
        """Raises ConfigError where neither the process environment nor the settings hold a secret."""
        self._keys.own()

    async def load(self, cookies: Cookies, env: Mapping[str, str] | None = None, *, waited: float = 0) -> Session:
        """The session that these raw cookies stand for; a new one, with ``rejected`` set, where they are refused.

        ``env`` is the request's own environment, for tenants with secrets of their own. ``waited`` is for how many
        seconds the request has been there: what was renewed meanwhile was good when it came. Raises StorageUnavailable
        where the storage cannot answer, ConfigError where no good secret is found.
        """
        if not isinstance(cookies, _MAPPINGS):
            raise TypeError(f"load takes a mapping of cookie names to values, as request.cookies, not {shown(cookies)}")
        if waited and not (is_number(waited) and waited >= 0):
            raise ValueError(f"waited must be a number of seconds, not {shown(waited)}")
        share_notes()
        fresh = self._nothing_presented if env is None else Presented(Arrival.FRESH, self._keys.of(env), env)
        if self.cookie_names.isdisjoint(cookies):
            return session_of(self._loader.new(fresh))
        if self.config.jti_policy is None:
            life = await self._loader.load(cookies, fresh, waited)
        else:
            life = await self._deadline(self._loader.load, cookies, fresh, waited)
        if (fault := life.rejected) is not None:
            self.events.tell(SessionEvent("refused", fault.sid, fault.subject, code=fault.code))
        return session_of(life)

    async def save(self, session: Session, *, is_awaited: Callable[[], bool] | None = None) -> list[CookieChange]:
        """The cookies that the response is to carry. Nothing is stored where the data cannot be kept.

        Where ``is_awaited`` says that nobody waits for them any more, all but an ending is left undone. Raises
        SessionDataError naming the key, SessionLimitReached, or StorageUnavailable; the client's cookies then stay.
        """
        if not isinstance(session, Session):
            raise TypeError(f"save takes a session, as load answers it, not {shown(session)}")
        return await self._saver.save(life_of(session), is_awaited)

    async def revoke(self, sid: str, *, subject: object = None) -> bool:
        """Ends the session of this sid, and what it goes on as if it was renewed. Needs a storage (else ConfigError).

        With a ``subject``, only where it is the session of that user. True for the one caller that ended something
        alive.
        """
        return await self._stored.revoke(sid, subject)

    async def revoke_subject(self, subject: object, keep: Session | str | None = None) -> int:
        """Ends every session of a subject (``session["sub"]``) but the one to keep; returns how many.

        ``keep`` is a session or a sid, of a session that was just renewed or logged in too, before or after it is
        saved. Raises ValueError where no session has that sid: nobody is to be logged out by a mistake.
        """
        return await self._stored.revoke_subject(subject, keep)

    async def revoke_others(self, session: Session) -> int:
        """Ends every other session of the user that this one belongs to; returns how many."""
        return await self._stored.revoke_subject(session.subject, keep=session)

    async def revoke_all(self, before: float | None = None, *, env: Mapping[str, str] | None = None) -> int:
        """Ends every session that began up to ``before`` (epoch seconds; None: now), by one record in the storage.

        With ``env``, the environment of a tenant, only those whose tokens were last signed with a secret of that
        tenant. Returns up to when they are over, which is later where a former call said so: none is taken back. This
        process knows at once, another one after ``jti.cache_ttl`` or one second, whichever is longer. Needs a storage.
        Raises ValueError for a time that is more than five minutes ahead.
        """
        over = await self._stored.revoke_all(before, env)
        await self._watching.look_at_once()
        return over

    async def sessions(self, subject: object) -> list[JtiRecord]:
        """The live sessions of a subject, newest first. Needs a storage."""
        return await self._stored.sessions(subject)

    def watch(self, session: Session, on_end: Callable[[str], None], every: float = 5.0) -> Watcher | None:
        """Calls ``on_end`` once, with the reason, when a saved session has ended or is another user's; until `stop`.

        At once where this manager ended it; within ``every`` seconds where another process did, or it expired. Without
        a storage only its expiry is watched. None for a new session: there is nothing to watch.
        """
        if not is_number(every) or not every > 0:
            raise ValueError(f"every must be a positive number of seconds, not {shown(every)}")
        if not callable(on_end) or iscoroutinefunction(on_end):
            raise TypeError(f"on_end takes a plain function, which may begin a task, not {shown(on_end)}")
        life = life_of(session)
        if life.is_new or life.expires_at is None:
            return None
        return self._watching.add(life.sid, life.subject, life.expires_at, every, on_end)

    async def purge(self) -> int:
        """Removes all expired records, in small steps; returns how many. Needs a storage."""
        return await self._stored.purge()

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
        ttl = 0 if self.config.jti_policy is None else self.config.jti_policy.cache_ttl
        records = LivingRecords(storage, self._clock, max(ttl, 1), self._keys.own_signers)
        return StorageLink(storage, records, self.config.storage_timeout)
