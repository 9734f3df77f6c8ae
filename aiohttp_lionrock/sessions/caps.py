"""Caps: how many sessions one user may have at a time."""

import random
from collections.abc import Collection, Sequence
from dataclasses import replace

from ..errors import CorruptRecord, SessionLimitReached, TokenRevoked
from ..settings.config import SessionConfig
from ..storage.contract import JtiRecord, JtiStorage
from .endings import Endings, all_of
from .events import Why
from .verdicts import State, is_somebodys, state_of

__all__ = ["Caps"]

MOST_AT_ONCE = 64  # sessions that are ended side by side


class Caps:
    """Keeps the sessions of a subject to ``max_sessions``, however many log in at once.

    Each login takes a place after all that it finds, whatever the clocks say, inserts its session, and then lists: what
    an insert has acknowledged is in every later listing, so the last of them sees all, and what it leaves is exact.
    Where a login may be refused it is inserted as one that waits, for at most ``patience`` seconds: who was told of a
    success is never ended for another one.
    """

    def __init__(self, config: SessionConfig, storage: JtiStorage, endings: Endings, patience: float) -> None:
        self._most = config.max_sessions
        self._refuses = config.when_full == "refuse"
        self._storage = storage
        self._endings = endings
        self._patience = int(patience) + 1

    async def check(self, subject: str | None, left: Collection[str | None]) -> int | None:
        """Before a session begins: its place; ``left`` are the sids that it takes over from.

        Raises SessionLimitReached where there is no room, and none is to be made.
        """
        if self._most is None or subject is None:
            return None
        listed = await self._listed(subject)
        others = [other for other in listed if other.sid not in left and is_somebodys(other)]
        if self._refuses and len(others) >= self._most:
            raise self._full()
        return 1 + max((other.place or 0 for other in listed), default=0)

    def first(self, record: JtiRecord) -> JtiRecord:
        """The record as it is inserted, before `admit` has given it its place."""
        if not self._may_refuse(record.subject):
            return record
        ends = min(record.expires_at, record.created_at + self._patience)
        return replace(record, access_jti=None, refresh_jti=None, expires_at=ends)

    async def admit(self, record: JtiRecord, left: Collection[str | None]) -> None:
        """Gives an inserted session its place; ``left`` are the sids that it takes over from.

        Raises SessionLimitReached where there is none, and none is to be made.
        """
        if not self._may_refuse(record.subject):
            return
        has_place = await self._has_place(record, left)
        if not has_place or not await self._storage.replace(replace(record, version=2), record.version):
            raise self._full()

    async def make_room(self, sid: str, subject: str | None) -> None:
        """Ends the oldest of too many, where nobody is refused; once the new session has taken over from the old.

        Raises TokenRevoked where the new one, of this sid, is itself too many: others that came after it end it.
        """
        if self._most is None or subject is None or self._refuses:
            return
        gone: set[JtiRecord] = set()
        while listed := await self._listed(subject):
            if all(other.sid != sid for other in listed[-self._most :]):
                raise TokenRevoked("logins at the same moment have taken all places that max_sessions allows the user")
            if await self._end([other for other in listed[: -self._most] if other not in gone], gone):
                break

    async def _end(self, surplus: list[JtiRecord], gone: set[JtiRecord]) -> bool:
        """Ends these, more at a time as long as nobody else does; False where somebody did, and others may be too many.

        Of many logins at once each begins elsewhere. ``gone`` is what need not be ended any more, be it listed or not.
        """
        random.shuffle(surplus)
        at_once = 1
        while surplus:
            batch, surplus = surplus[:at_once], surplus[at_once:]
            gone.update(batch)
            if not all(await all_of(self._endings.end_listed(other, Why.CAP) for other in batch)):
                return False
            at_once = min(2 * at_once, MOST_AT_ONCE)
        return True

    def _may_refuse(self, subject: str | None) -> bool:
        return self._refuses and self._most is not None and subject is not None

    async def _has_place(self, record: JtiRecord, left: Collection[str | None]) -> bool:
        """Whether one that waits may be let in: of all that wait those that began first, as many as there is room for.

        A login is let in only after every login behind it in line was made to expire. So of those let in, the one that
        was inserted last has listed all others and found room: they are never more than the cap. And whoever is kept
        out stood behind as many others as there are places, and all of those are let in.
        """
        assert self._most is not None
        assert record.subject is not None
        while listed := await self._listed(record.subject, left):
            waiting = [other for other in listed if state_of(other) is State.WAITING]
            room = max(0, self._most - (len(listed) - len(waiting)))
            if record.sid not in [other.sid for other in waiting[:room]]:
                return False
            if await self._keep_out(waiting[room:]):
                break
        return True

    async def _keep_out(self, surplus: Sequence[JtiRecord]) -> bool:
        """Lets these expire; False where one of them has changed since it was listed."""
        for other in surplus:
            if not await self._storage.replace(replace(other, expires_at=0), other.version):
                return False
        return True

    def _full(self) -> SessionLimitReached:
        return SessionLimitReached(f"the user has {self._most} sessions already, as many as max_sessions allows")

    async def _listed(self, subject: str, left: Collection[str | None] = ()) -> list[JtiRecord]:
        """The sessions that count or wait, oldest first; of one that is being renewed what takes over."""
        try:
            listed = await self._storage.list_subject(subject)
        except CorruptRecord:
            return []  # one that cannot be read keeps nobody out
        former = {*left, *(other.predecessor for other in listed)}
        alive = [other for other in listed if state_of(other) is not State.SUPERSEDED and other.sid not in former]
        return sorted(alive, key=lambda other: (other.place or 0, other.created_at, other.sid))
