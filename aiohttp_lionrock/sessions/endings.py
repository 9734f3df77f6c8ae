"""Endings: how a session is ended, and whatever took over from it with it."""

import asyncio

from ..errors import CorruptRecord, StorageUnavailable
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

    async def end(self, sid: str, known: JtiRecord | None = None) -> bool:
        """Ends a session, and through any number of renewals the one that it goes on as.

        ``known`` is its record, where that was read before. True for the one caller that ended something alive.
        """
        passed = None
        try:
            record = known or await self._read(sid)
            for _ in range(LONGEST_CHAIN):
                if record is None:
                    return False
                passed = record if state_of(record) is State.SUPERSEDED else passed
                removed = await self._storage.delete(record.sid)
                if removed is None or state_of(removed) is not State.SUPERSEDED:
                    return removed is not None
                passed = removed
                record = await self._successor_of(removed)
        except CorruptRecord:
            return True  # it is removed all the same, and no token was honoured for it any more
        except (StorageUnavailable, asyncio.CancelledError):
            if passed is not None:
                self._end_later(passed)
            raise
        return False

    async def end_subject(self, subject: str, keep: str | None) -> int:
        """Ends every session of a subject but the sid ``keep``; returns how many were alive."""
        try:
            listed = await self._storage.list_subject(subject)
        except CorruptRecord:
            listed = []  # one that cannot be read keeps no other alive
        superseded = sum(record.sid != keep and state_of(record) is State.SUPERSEDED for record in listed)
        return max(0, await self._storage.delete_subject(subject, keep) - superseded)

    async def _read(self, sid: str) -> JtiRecord | None:
        try:
            return await self._storage.get(sid)
        except CorruptRecord:
            await self._storage.delete(sid)  # raises it again, once it is removed
            return None

    async def _successor_of(self, superseded: JtiRecord) -> JtiRecord | None:
        """What took over, where it belongs to the same subject; else it is not ours to end."""
        assert superseded.successor is not None
        successor = await self._storage.get(superseded.successor)
        return successor if successor is not None and successor.subject == superseded.subject else None

    def _end_later(self, superseded: JtiRecord) -> None:
        """Ends what took over from a record that may be deleted by now: nobody else will find the way."""

        async def end() -> bool:
            if (successor := await self._successor_of(superseded)) is not None:
                await self.end(successor.sid)
            return True

        self._repairs.add(Urgency.HELD, f"end {superseded.sid}", end)
