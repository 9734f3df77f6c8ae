"""Caps: how many sessions one user may have at a time."""

from ..errors import CorruptRecord, SessionLimitReached
from ..settings.config import SessionConfig
from ..storage.contract import JtiRecord, JtiStorage
from .endings import Endings
from .events import Why
from .verdicts import State, state_of

__all__ = ["Caps"]


class Caps:
    """Keeps the sessions of a subject to ``max_sessions``, however many log in at once.

    Each login inserts its session, and then lists: what an insert has acknowledged is in every later listing, so the
    last of them sees all, and what it leaves is exact.
    """

    def __init__(self, config: SessionConfig, storage: JtiStorage, endings: Endings) -> None:
        self._most = config.max_sessions
        self._refuses = config.when_full == "refuse"
        self._storage = storage
        self._endings = endings

    async def check(self, subject: str | None, left: str | None) -> None:
        """Before a session begins: raises SessionLimitReached where there is no room, and none is to be made."""
        if self._most is None or subject is None or not self._refuses:
            return
        if len(await self._alive(subject, left)) >= self._most:
            raise SessionLimitReached(f"the user has {self._most} sessions already, as many as max_sessions allows")

    async def keep_to(self, record: JtiRecord, left: str | None) -> None:
        """Ends what is too many, once a session is inserted; ``left`` is the sid that it takes over from.

        Raises SessionLimitReached where that is the new one itself: another login of the same moment was faster.
        """
        if self._most is None or record.subject is None:
            return
        alive = await self._alive(record.subject, left)
        surplus = alive[self._most :] if self._refuses else alive[: -self._most]
        if self._refuses and record.sid in [other.sid for other in surplus]:
            raise SessionLimitReached(f"the user has {self._most} sessions already, as many as max_sessions allows")
        for other in surplus:
            await self._endings.end(other.sid, Why.CAP, other)

    async def _alive(self, subject: str, left: str | None) -> list[JtiRecord]:
        """The sessions that count, oldest first."""
        try:
            listed = await self._storage.list_subject(subject)
        except CorruptRecord:
            return []  # one that cannot be read keeps nobody out
        alive = [other for other in listed if state_of(other) is not State.SUPERSEDED and other.sid != left]
        return sorted(alive, key=lambda other: (other.created_at, other.sid))
