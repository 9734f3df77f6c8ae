"""Endings: how a session is ended, and whatever took over from it with it."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import CorruptRecord, StorageUnavailable
from ..storage.contract import JtiRecord
from .events import Events, SessionEvent, Why
from .living import LivingRecords
from .repairs import Repairs, Urgency
from .verdicts import State, is_somebodys, state_of

__all__ = ["Endings", "all_of"]

T = TypeVar("T")

MOST_ONE_BY_ONE = 1000  # sessions of one user


class Endings:
    """Ends the sessions of a storage, and tells so."""

    def __init__(self, storage: LivingRecords, repairs: Repairs, events: Events) -> None:
        self._storage = storage
        self._repairs = repairs
        self._events = events

    async def end(self, sid: str, why: Why, known: JtiRecord | None = None, before: Iterable[str] = ()) -> bool:
        """Ends a session, and through any number of renewals the one that it goes on as.

        ``known`` is its record, where that was read already, and ``before`` the sids that it had before, as far as
        known. True for the one caller that ended something alive.
        """
        passed = None
        former = [*before]
        try:
            record = known or await self._read(sid)
            while record is not None:
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
        ended = replace(record, version=record.version + 1, expires_at=0)
        if not await self._storage.replace(ended, record.version):
            return False
        self._tell(record, why, ())
        if record.predecessor is not None:
            await self._remove(record.predecessor)  # which it may not have taken over from yet
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
        former = _former(ended)
        alive = [record for record in ended if is_somebodys(record)]
        if keep is not None and listed and len(ended) <= MOST_ONE_BY_ONE:
            # One by one, for what is kept may go on as another one since they were listed.
            outcomes = await all_of(
                self.end(record.sid, Why.REVOKED_SUBJECT, record, former.get(record.sid, ())) for record in alive
            )
            await all_of(self._remove(record.sid) for record in ended if not is_somebodys(record))
            await self._storage.remove_hidden(subject)
            return sum(outcomes)
        removed = await self._storage.delete_subject(subject, keep)
        for record in alive:
            self._tell(record, Why.REVOKED_SUBJECT, former.get(record.sid, ()))
        return max(0, removed - (len(ended) - len(alive)))

    async def _remove(self, sid: str) -> None:
        with suppress(CorruptRecord):  # it is removed all the same
            await self._storage.delete(sid)

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


async def all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What these answer, all at once. Where some fail the others are done all the same; then the failure is raised."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes  # type: ignore[return-value]


def _kin(records: Sequence[JtiRecord], sid: str | None) -> set[str | None]:
    """The sids that are one session with this one: whatever it goes on as, be the hand-over done or not."""
    follows: dict[str | None, list[str]] = {}
    for record in records:
        if record.predecessor is not None:
            follows.setdefault(record.predecessor, []).append(record.sid)
        if record.successor is not None:
            follows.setdefault(record.sid, []).append(record.successor)
    kin, left = {sid}, [sid]
    while left:
        further = set(follows.get(left.pop(), ())) - kin
        kin |= further
        left += further
    return kin


def _former(records: Sequence[JtiRecord]) -> Mapping[str, list[str]]:
    """For each sid that a session has now, those that it had before."""
    successors = {record.sid: record.successor for record in records if record.successor is not None}
    current: dict[str, str] = {}
    for sid in successors:
        passed: dict[str, None] = {}
        while sid in successors and sid not in current and sid not in passed:
            passed[sid] = None
            sid = successors[sid]
        current |= dict.fromkeys(passed, current.get(sid, sid))
    former: dict[str, list[str]] = {}
    for sid, now in current.items():
        former.setdefault(now, []).append(sid)
    return former
