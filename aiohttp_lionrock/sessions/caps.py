"""Caps: how many sessions one user may have at a time."""

from ..errors import SessionLimitReached
from ..settings.config import SessionConfig
from ..storage.contract import JtiRecord, JtiStorage
from .verdicts import State, state_of

__all__ = ["Caps"]


class Caps:
    """Keeps the sessions of a subject to ``max_sessions``, however many log in at once.

    Each login inserts its session, and then lists: what an insert has acknowledged is in every later listing, so the
    last of them sees all, and what it leaves is exact.
    """

    def __init__(self, config: SessionConfig, storage: JtiStorage) -> None:
        self._most = config.max_sessions
        self._refuses = config.when_full == "refuse"
        self._storage = storage

    async def keep_to(self, record: JtiRecord, left: str | None) -> None:
        """Makes room for a session that was just inserted; ``left`` is the sid that it takes over from.

        Raises SessionLimitReached where the new one is one too many.
        """
        if self._most is None or record.subject is None:
            return
        listed = await self._storage.list_subject(record.subject)
        alive = [other for other in listed if state_of(other) is not State.SUPERSEDED and other.sid != left]
        alive.sort(key=lambda other: (other.created_at, other.sid))
        if not self._refuses:
            for oldest in alive[: -self._most]:
                await self._storage.delete(oldest.sid)
        elif record.sid in [other.sid for other in alive[self._most :]]:
            raise SessionLimitReached(f"the user has {self._most} sessions already, as many as max_sessions allows")
