"""Endings: how a session is ended, and whatever took over from it with it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..errors import CorruptRecord, StorageUnavailable
from ..storage.contract import JtiRecord
from .events import Events, SessionEvent, Why
from .living import LivingRecords
from .repairs import Repairs, Urgency
from .verdicts import State, is_somebodys, state_of

__all__ = ["LONGEST_CHAIN", "Endings"]

LONGEST_CHAIN = 1000  # renewals within the ten minutes that a superseded record stays
MOST_ONE_BY_ONE = 1000  # sessions of one user


class Endings:
    """Ends the sessions of a storage, and tells so."""

    def __init__(self, storage: LivingRecords, repairs: Repairs, events: Events) -> None:
        self._storage = storage
        self._repairs = repairs
        self._events = events

    async def end(self, sid: str, why: Why, known: JtiRecord | None = None) -> bool:
        """Ends a session, and through any number of renewals the one that it goes on as.

        ``known`` is its record, where that was read before. True for the one caller that ended something alive.
        """
        passed = None
        former: list[str] = []
        try:
            record = known or await self._read(sid)
            for _ in range(LONGEST_CHAIN):
                if record is None:
                    return False
                passed = record if state_of(record) is State.SUPERSEDED else passed
                removed = await self._storage.delete(record.sid)
                if removed is None:
                    return False
                if state_of(removed) is not State.SUPERSEDED:
                    self._tell(removed, why, former)
                    return True
                passed = removed
                former.append(removed.sid)
                record = await self._successor_of(removed)
        except CorruptRecord:
            self._events.tell(SessionEvent("ended", sid, former=tuple(former), why=why))
            return True  # it is removed all the same, and no token was honoured for it any more
        except (StorageUnavailable, asyncio.CancelledError):
            if passed is not None:
                self._end_later(passed, why)
            raise
        return False

    async def end_listed(self, record: JtiRecord, why: Why) -> bool:
        """Ends a session that is as it was listed; False where it has changed, moved or ended since."""
        if not await self._storage.replace(replace(record, expires_at=0), record.version):
            return False
        self._tell(record, why, ())
        return True

    async def end_signed(self, sid: str, signers: Sequence[str]) -> bool:
        """`end` by a logout, where one of these has signed the session. A damaged record does not say, and ends too."""
        try:
            record = await self._storage.get(sid)
        except CorruptRecord:
            return await self.end(sid, Why.LOGOUT)
        return record is not None and record.signer in signers and await self.end(sid, Why.LOGOUT, record)

    async def end_subject(self, subject: str, keep: str | None) -> int:
        """Ends every session of a subject but the one of the sid ``keep``; returns how many were alive."""
        try:
            listed = await self._storage.list_subject(subject)
        except CorruptRecord:
            listed = []  # one that cannot be read keeps no other alive
        kept = _kin(listed, keep)
        ended = [record for record in listed if record.sid not in kept]
        if keep is not None and listed and len(ended) <= MOST_ONE_BY_ONE:
            removed = await self._remove(ended)
            await self._storage.remove_hidden(subject)
        else:
            removed = await self._storage.delete_subject(subject, keep)
        former = _former(ended)
        alive = [record for record in ended if is_somebodys(record)]
        for record in alive:
            self._tell(record, Why.REVOKED_SUBJECT, former.get(record.sid, ()))
        return max(0, removed - (len(ended) - len(alive)))

    async def _remove(self, records: Sequence[JtiRecord]) -> int:
        """Removes these alone, and not what a session that is kept may go on as since they were listed."""

        async def remove(sid: str) -> bool:
            try:
                return await self._storage.delete(sid) is not None
            except CorruptRecord:  # it is removed all the same
                return True

        return sum(await asyncio.gather(*(remove(record.sid) for record in records)))

    def _tell(self, record: JtiRecord, why: Why, former: Iterable[str]) -> None:
        self._events.tell(SessionEvent("ended", record.sid, record.subject, tuple(former), why))

    async def _read(self, sid: str) -> JtiRecord | None:
        try:
            return await self._storage.get(sid)
        except CorruptRecord:
            await self._storage.delete(sid)  # raises it again, once it is removed
            return None

    async def _successor_of(self, superseded: JtiRecord) -> JtiRecord | None:
        """What took over, where it belongs to the same subject; else it is not ours to end."""
        assert superseded.successor is not None
        successor = await self._read(superseded.successor)
        return successor if successor is not None and successor.subject == superseded.subject else None

    def _end_later(self, superseded: JtiRecord, why: Why) -> None:
        """Ends what took over from a record that may be deleted by now: nobody else will find the way."""

        async def end() -> bool:
            if (successor := await self._successor_of(superseded)) is not None:
                await self.end(successor.sid, why)
            return True

        self._repairs.add(Urgency.HELD, f"end {superseded.sid}", end)


def _kin(records: Sequence[JtiRecord], sid: str | None) -> set[str | None]:
    """The sids that are one session with this one: whatever it goes on as, be the hand-over done or not."""
    kin, size = {sid}, 0
    while size < len(kin):
        size = len(kin)
        kin |= {record.sid for record in records if record.predecessor is not None and record.predecessor in kin}
        kin |= {record.successor for record in records if record.successor is not None and record.sid in kin}
    return kin


def _former(records: Sequence[JtiRecord]) -> Mapping[str, list[str]]:
    """Of each sid the sids that go on as it."""
    successors = {record.sid: record.successor for record in records if record.successor is not None}
    former: dict[str, list[str]] = {}
    for sid, successor in successors.items():
        for _ in range(len(successors)):
            successor = successors.get(successor, successor)
        former.setdefault(successor, []).append(sid)
    return former
