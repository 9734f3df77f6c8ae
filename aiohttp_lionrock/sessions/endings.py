"""Endings: how a session is ended, and whatever took over from it with it."""

from ..errors import StorageUnavailable
from ..storage.contract import JtiRecord, JtiStorage
from .repairs import Repairs, Urgency
from .verdicts import State, state_of

__all__ = ["Endings"]

LONGEST_CHAIN = 1000  # renewals within the ten minutes that a superseded record stays


class Endings:
    """Ends the sessions of a storage."""

    def __init__(self, storage: JtiStorage, repairs: Repairs) -> None:
        self._storage = storage
        self._repairs = repairs

    async def end(self, sid: str) -> bool:
        """Ends a session, and through any number of renewals the one that it goes on as.

        True for the one caller that ended something alive.
        """
        for _ in range(LONGEST_CHAIN):
            removed = await self._storage.delete(sid)
            if removed is None or state_of(removed) is not State.SUPERSEDED:
                return removed is not None
            successor = await self._successor_of(removed)
            if successor is None:
                return False
            sid = successor
        return False

    async def end_subject(self, subject: str, keep: str | None) -> int:
        """Ends every session of a subject but the sid ``keep``; returns how many were alive."""
        listed = await self._storage.list_subject(subject)
        superseded = sum(record.sid != keep and state_of(record) is State.SUPERSEDED for record in listed)
        return max(0, await self._storage.delete_subject(subject, keep) - superseded)

    async def _successor_of(self, removed: JtiRecord) -> str | None:
        """The sid that took over, where it belongs to the same subject; else it is not ours to end."""
        assert removed.successor is not None
        try:
            successor = await self._storage.get(removed.successor)
        except StorageUnavailable:
            # The record that named it is gone: nobody else will find the way.
            self._end_later(removed)
            raise
        return successor.sid if successor is not None and successor.subject == removed.subject else None

    def _end_later(self, removed: JtiRecord) -> None:
        async def end() -> bool:
            if (successor := await self._successor_of(removed)) is not None:
                await self.end(successor)
            return True

        self._repairs.add(Urgency.HELD, f"end {removed.sid}", end)
