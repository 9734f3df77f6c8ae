"""Faults of get, get_many, list_subject, and of how time is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import Clock, JtiRecord
from aiohttp_lionrock.storage.memory import MemoryStorage

from .catching import caught_by


@caught_by("get_does_not_see_an_expired_record", "insert_succeeds_at_the_very_second_of_expiry")
class LiveAtTheSecondOfExpiry(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        record = self._records.get(sid)
        return record if record is not None and record.expires_at >= self.clock() else None


@caught_by("a_record_is_live_until_the_second_it_expires")
class DeadASecondBeforeExpiry(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        record = self._records.get(sid)
        return record if record is not None and record.expires_at - 1 > self.clock() else None


@caught_by("get_does_not_see_an_expired_record")
class GetSeesTheExpired(MemoryStorage):
    async def get(self, sid: str) -> JtiRecord | None:
        return self._records.get(sid)


@caught_by("an_absent_sid_is_none")
class GetRaisesForTheAbsent(MemoryStorage):
    async def get(self, sid: str) -> JtiRecord | None:
        return self._live(sid) or self._records[sid]


@caught_by("many_concurrent_gets_answer_each_caller_with_its_own")
class GetMixesUpItsCallers(MemoryStorage):
    async def get(self, sid: str) -> JtiRecord | None:
        self._asked = sid
        await asyncio.sleep(0)
        return self._live(self._asked)


@caught_by("a_cancelled_caller_does_not_hurt_the_others")
class GetCancelsTheCallersItIsSharedWith(MemoryStorage):
    _reading: asyncio.Task[None] | None = None

    async def get(self, sid: str) -> JtiRecord | None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(asyncio.sleep(0))
        await self._reading
        return self._live(sid)


@caught_by("get_many_does_not_see_an_expired_record")
class GetManySeesTheExpired(MemoryStorage):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return {sid: self._records[sid] for sid in sids if sid in self._records}


@caught_by("get_many_of_nothing_is_empty")
class GetManyOfNothingIsASyntaxError(MemoryStorage):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        if not sids:
            raise StorageUnavailable('near ")": syntax error')
        return await super().get_many(sids)


@caught_by("get_many_has_no_upper_limit")
class GetManyDropsTheLargestBatch(MemoryStorage):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return await super().get_many(sids[:999])


@caught_by("list_subject_does_not_see_an_expired_record")
class ListSeesTheExpired(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return [record for record in self._records.values() if record.subject == subject]


@caught_by("list_subject_returns_whole_records")
class ListLeavesOutMetadata(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return [replace(record, metadata={}) for record in await super().list_subject(subject)]


@caught_by("list_subject_forgets_a_deleted_record")
class ListRemembersTheDeleted(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._deleted: list[JtiRecord] = []

    async def delete(self, sid: str) -> JtiRecord | None:
        removed = await super().delete(sid)
        self._deleted += [removed] if removed else []
        return removed

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return await super().list_subject(subject) + [r for r in self._deleted if r.subject == subject]


@caught_by("list_subject_is_newest_first_and_ties_by_sid")
class ListIsOldestFirst(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return (await super().list_subject(subject))[::-1]


@caught_by("list_subject_is_newest_first_and_ties_by_sid")
class ListLeavesTiesAsTheyCame(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return sorted(self._live_of(subject), key=lambda record: -record.created_at)


@caught_by("list_subject_lists_that_subject_alone")
class ListMatchesPrefixes(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return [r for r in self._records.values() if r.subject is not None and r.subject.startswith(subject)]


@caught_by("list_subject_follows_a_replace_to_another_subject", "delete_subject_goes_by_the_subject_stored_last")
class SubjectIndexIsWrittenAtInsertOnly(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._subjects: dict[str, str | None] = {}

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        self._subjects[record.sid] = record.subject

    def _live_of(self, subject: str) -> list[JtiRecord]:
        sids = [sid for sid, name in self._subjects.items() if name == subject]
        return [record for sid in sids if (record := self._live(sid)) is not None]


@caught_by("list_subject_lists_that_subject_alone", "delete_subject_touches_no_other_subject")
class SubjectsFoldCase(MemoryStorage):
    def _live_of(self, subject: str) -> list[JtiRecord]:
        live = [r for r in self._records.values() if r.expires_at > self.clock()]
        return [r for r in live if r.subject is not None and r.subject.lower() == subject.lower()]


@caught_by("any_text_is_a_sid_of_its_own")
class SidsFoldCase(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        found = [key for key in self._records if key.lower() == sid.lower()]
        return super()._live(found[0]) if found else None


@caught_by("keys_that_are_never_stored_find_nothing")
class SidsEndAtNul(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        return super()._live(sid.split("\x00")[0])


@caught_by("keys_that_are_never_stored_find_nothing")
class SidsMustBeUtf8(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        return super()._live(sid.encode().decode())


@caught_by("get_many_returns_exactly_the_live_records_asked_for")
class GetManyLeavesOutTheSuccessor(MemoryStorage):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return {sid: replace(record, successor=None) for sid, record in (await super().get_many(sids)).items()}


@caught_by("another_clock_is_looked_at_from_the_next_call_on")
class RemembersItsFirstClock(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._first = clock

    async def get(self, sid: str) -> JtiRecord | None:
        record = self._records.get(sid)
        return record if record is not None and record.expires_at > self._first() else None


@caught_by("list_subject_leaves_out_none_however_many_there_are")
class ListsAThousandAtMost(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return (await super().list_subject(subject))[:1000]
