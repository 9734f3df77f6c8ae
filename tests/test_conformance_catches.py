"""The conformance suite catches what a backend can get wrong: each fault here makes named tests fail."""

import asyncio
import functools
import subprocess
import sys
import unittest
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from aiohttp_lionrock.errors import DuplicateRecord, StorageUnavailable
from aiohttp_lionrock.storage import Clock, JtiRecord, JtiStorage
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import SharedStorageConformance, StorageConformance


class ReplaceUpserts(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        if current is not None and current.version != expected_version:
            return False
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


class ReplaceIgnoresTheVersion(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        return current is not None and await super().replace(record, current.version)


class ReplaceReadsThenWrites(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        await asyncio.sleep(0)
        if current is None or current.version != expected_version:
            return False
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


class ReplaceKeepsTheVersion(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        replaced = await super().replace(record, expected_version)
        if replaced:
            self._records[record.sid] = replace(record, version=expected_version)
        return replaced


class ReplaceTrustsTheRecordsOwnVersion(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await super().replace(record, record.version)


class ReplaceDropsMetadata(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await super().replace(replace(record, metadata={}), expected_version)


class ReplaceDropsRotatedAt(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await super().replace(replace(record, rotated_at=None), expected_version)


class ReplaceRevivesTheExpired(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._records.get(record.sid)
        if current is None or current.version != expected_version:
            return False
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


class ReplaceKeepsTheOldExpiry(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        return current is not None and await super().replace(
            replace(record, expires_at=current.expires_at), expected_version
        )


class ReplaceHasNoWhereClause(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        replaced = await super().replace(record, expected_version)
        if replaced:
            for sid in self._records:
                self._records[sid] = replace(record, sid=sid, version=expected_version + 1)
        return replaced


class LiveAtTheSecondOfExpiry(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        record = self._records.get(sid)
        return record if record is not None and record.expires_at >= self.clock() else None


class DeadASecondBeforeExpiry(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        record = self._records.get(sid)
        return record if record is not None and record.expires_at - 1 > self.clock() else None


class GetSeesTheExpired(MemoryStorage):
    async def get(self, sid: str) -> JtiRecord | None:
        return self._records.get(sid)


class GetRaisesForTheAbsent(MemoryStorage):
    async def get(self, sid: str) -> JtiRecord | None:
        return self._live(sid) or self._records[sid]


class GetMixesUpItsCallers(MemoryStorage):
    async def get(self, sid: str) -> JtiRecord | None:
        self._asked = sid
        await asyncio.sleep(0)
        return self._live(self._asked)


class GetCancelsTheCallersItIsSharedWith(MemoryStorage):
    _reading: asyncio.Task[None] | None = None

    async def get(self, sid: str) -> JtiRecord | None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(asyncio.sleep(0))
        await self._reading
        return self._live(sid)


class GetManySeesTheExpired(MemoryStorage):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return {sid: self._records[sid] for sid in sids if sid in self._records}


class GetManyOfNothingIsASyntaxError(MemoryStorage):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        if not sids:
            raise StorageUnavailable('near ")": syntax error')
        return await super().get_many(sids)


class GetManyDropsTheLargestBatch(MemoryStorage):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return await super().get_many(sids[:999])


class ListSeesTheExpired(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return [record for record in self._records.values() if record.subject == subject]


class ListLeavesOutMetadata(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return [replace(record, metadata={}) for record in await super().list_subject(subject)]


class ListRemembersTheDeleted(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._deleted: list[JtiRecord] = []

    async def delete(self, sid: str) -> bool:
        self._deleted += [record] if (record := self._live(sid)) else []
        return await super().delete(sid)

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return await super().list_subject(subject) + [r for r in self._deleted if r.subject == subject]


class ListIsOldestFirst(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return (await super().list_subject(subject))[::-1]


class ListLeavesTiesAsTheyCame(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return sorted(self._live_of(subject), key=lambda record: -record.created_at)


class ListMatchesPrefixes(MemoryStorage):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return [r for r in self._records.values() if r.subject is not None and r.subject.startswith(subject)]


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


class SubjectsFoldCase(MemoryStorage):
    def _live_of(self, subject: str) -> list[JtiRecord]:
        live = [r for r in self._records.values() if r.expires_at > self.clock()]
        return [r for r in live if r.subject is not None and r.subject.lower() == subject.lower()]


class SidsFoldCase(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        found = [key for key in self._records if key.lower() == sid.lower()]
        return super()._live(found[0]) if found else None


class SidsEndAtNul(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        return super()._live(sid.split("\x00")[0])


class SidsMustBeUtf8(MemoryStorage):
    def _live(self, sid: str) -> JtiRecord | None:
        return super()._live(sid.encode().decode())


class InsertOverwritesTheLive(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        self._records[record.sid] = record


class InsertRefusesOverTheExpired(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        if record.sid in self._records:
            raise DuplicateRecord("a record has this sid")
        self._records[record.sid] = record


class InsertRefusesWhatWasRemoved(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._seen: set[str] = set()

    async def insert(self, record: JtiRecord) -> None:
        if record.sid in self._seen and record.sid not in self._records:
            raise DuplicateRecord("a record had this sid")
        await super().insert(record)
        self._seen.add(record.sid)


class InsertReadsThenWrites(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        if self._live(record.sid) is not None:
            raise DuplicateRecord("a live record has this sid")
        await asyncio.sleep(0)
        self._records[record.sid] = record


class InsertStoresNoneAsEmptyText(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, access_jti=record.access_jti or ""))


class InsertStoresItsOwnTime(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, created_at=int(self.clock())))


class InsertCutsMetadataShort(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, metadata={key: text[:255] for key, text in record.metadata.items()}))


class InsertStoresEmptyTextAsNone(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, access_jti=record.access_jti or None))


class DeleteIsAlwaysTrue(MemoryStorage):
    async def delete(self, sid: str) -> bool:
        await super().delete(sid)
        return True


class DeleteMatchesPrefixes(MemoryStorage):
    async def delete(self, sid: str) -> bool:
        found = [key for key in self._records if key.startswith(sid)] if self._live(sid) else []
        for key in found:
            del self._records[key]
        return bool(found)


class DeleteOfTheExpiredIsTrue(MemoryStorage):
    async def delete(self, sid: str) -> bool:
        return self._records.pop(sid, None) is not None


class DeleteSubjectIgnoresKeep(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        return await super().delete_subject(subject)


class DeleteSubjectEndsOnlyTheNewest(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        newest = [record.sid for record in await self.list_subject(subject) if record.sid != keep][:1]
        return sum([await self.delete(sid) for sid in newest])


class DeleteSubjectCountsThenRemoves(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        count = len([record for record in self._live_of(subject) if record.sid != keep])
        await asyncio.sleep(0)
        await super().delete_subject(subject, keep)
        return count


class DeleteSubjectCountsTheKept(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        kept = keep is not None and any(record.sid == keep for record in self._live_of(subject))
        return await super().delete_subject(subject, keep) + kept


class DeleteSubjectEndsOthersToo(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        ended = [sid for sid, record in self._records.items() if record.subject and sid != keep]
        for sid in ended:
            del self._records[sid]
        return len(ended)


class DeleteSubjectCountsTheExpired(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        ended = [sid for sid, record in self._records.items() if record.subject == subject and sid != keep]
        for sid in ended:
            del self._records[sid]
        return len(ended)


class PurgeRemovesTheLive(MemoryStorage):
    async def purge(self, now: float, limit: int) -> int:
        removed = list(self._records)[:limit]
        for sid in removed:
            del self._records[sid]
        return len(removed)


class PurgeIgnoresItsLimit(MemoryStorage):
    async def purge(self, now: float, limit: int) -> int:
        return await super().purge(now, sys.maxsize)


class PurgeTakesZeroForNoLimit(MemoryStorage):
    async def purge(self, now: float, limit: int) -> int:
        return await super().purge(now, limit or sys.maxsize)


class PurgeIgnoresItsNow(MemoryStorage):
    async def purge(self, now: float, limit: int) -> int:
        return await super().purge(self.clock(), limit)


class PurgeLeavesTheSecondOfExpiry(MemoryStorage):
    async def purge(self, now: float, limit: int) -> int:
        return await super().purge(now - 1, limit)


class PurgeFindsThenRemoves(MemoryStorage):
    async def purge(self, now: float, limit: int) -> int:
        expired = [sid for sid, record in self._records.items() if record.expires_at <= now][:limit]
        await asyncio.sleep(0)
        return sum(self._records.pop(sid, None) is not None for sid in expired)


class ReopenLosesTheRecords(MemoryStorage):
    async def aclose(self) -> None:
        self._records.clear()


class SecondOpenLosesTheRecords(MemoryStorage):
    async def open(self) -> None:
        self._records.clear()


class SecondCloseFails(MemoryStorage):
    _open = False

    async def open(self) -> None:
        self._open = True

    async def aclose(self) -> None:
        if not self._open:
            raise RuntimeError("not open")
        self._open = False


class NotOpenIsAnAttributeError(SecondCloseFails):
    async def aclose(self) -> None:
        self._open = False

    async def ping(self) -> None:
        if not self._open:
            raise AttributeError("'NoneType' object has no attribute 'execute'")


class CloseBreaksTheCallsInFlight(SecondCloseFails):
    async def aclose(self) -> None:
        self._open = False

    async def get(self, sid: str) -> JtiRecord | None:
        opened = self._open
        await asyncio.sleep(0)
        if opened and not self._open:
            raise ValueError("no active connection")
        return await super().get(sid)


class PingNeverAnswersWell(MemoryStorage):
    async def ping(self) -> None:
        raise StorageUnavailable("no answer")


class EnterGivesNothing(MemoryStorage):
    async def __aenter__(self) -> Self:
        return None  # type: ignore[return-value]


class CancelledReplaceIsHalfDone(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        if current is None or current.version != expected_version:
            return False
        self._records[record.sid] = replace(current, version=expected_version + 1)
        await asyncio.sleep(0)
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


class CancelledCallKeepsTheLock(MemoryStorage):
    _busy = False

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        if self._busy:
            raise RuntimeError("cannot start a transaction within a transaction")
        self._busy = True
        await asyncio.sleep(0)
        self._busy = False
        return await super().list_subject(subject)


CAUGHT_BY: dict[type[MemoryStorage], set[str]] = {
    ReplaceUpserts: {"replace_of_an_absent_record_creates_nothing", "replace_after_delete_creates_nothing"},
    ReplaceIgnoresTheVersion: {"replace_with_a_wrong_version_changes_nothing", "a_version_wins_only_once"},
    ReplaceReadsThenWrites: {
        "of_many_concurrent_replaces_one_wins",
        "concurrent_counters_lose_no_update",
        "replaces_that_race_a_delete_never_bring_the_record_back",
        "replaces_that_race_a_delete_subject_never_bring_a_record_back",
    },
    ReplaceKeepsTheVersion: {"replace_stores_every_field_with_the_next_version", "a_version_wins_only_once"},
    ReplaceTrustsTheRecordsOwnVersion: {"replace_compares_the_stored_version_and_not_the_records_own"},
    ReplaceDropsMetadata: {"replace_stores_every_field_with_the_next_version"},
    ReplaceDropsRotatedAt: {"replace_stores_every_field_with_the_next_version"},
    ReplaceRevivesTheExpired: {
        "replace_of_an_expired_record_revives_nothing",
        "replace_of_an_expired_record_is_false_at_that_very_second",
    },
    ReplaceKeepsTheOldExpiry: {"replace_moves_the_expiry"},
    ReplaceHasNoWhereClause: {"replace_touches_no_other_record"},
    LiveAtTheSecondOfExpiry: {"get_does_not_see_an_expired_record", "insert_succeeds_at_the_very_second_of_expiry"},
    DeadASecondBeforeExpiry: {"a_record_is_live_until_the_second_it_expires"},
    GetSeesTheExpired: {"get_does_not_see_an_expired_record"},
    GetRaisesForTheAbsent: {"an_absent_sid_is_none"},
    GetMixesUpItsCallers: {"many_concurrent_gets_answer_each_caller_with_its_own"},
    GetCancelsTheCallersItIsSharedWith: {"a_cancelled_caller_does_not_hurt_the_others"},
    GetManyOfNothingIsASyntaxError: {"get_many_of_nothing_is_empty"},
    GetManySeesTheExpired: {"get_many_does_not_see_an_expired_record"},
    GetManyDropsTheLargestBatch: {"get_many_has_no_upper_limit"},
    ListSeesTheExpired: {"list_subject_does_not_see_an_expired_record"},
    ListLeavesOutMetadata: {"list_subject_returns_whole_records"},
    ListRemembersTheDeleted: {"list_subject_forgets_a_deleted_record"},
    ListIsOldestFirst: {"list_subject_is_newest_first_and_ties_by_sid"},
    ListLeavesTiesAsTheyCame: {"list_subject_is_newest_first_and_ties_by_sid"},
    ListMatchesPrefixes: {"list_subject_lists_that_subject_alone"},
    SubjectIndexIsWrittenAtInsertOnly: {
        "list_subject_follows_a_replace_to_another_subject",
        "delete_subject_goes_by_the_subject_stored_last",
    },
    SubjectsFoldCase: {"list_subject_lists_that_subject_alone", "delete_subject_touches_no_other_subject"},
    SidsFoldCase: {"any_text_is_a_sid_of_its_own"},
    SidsEndAtNul: {"keys_that_are_never_stored_find_nothing"},
    SidsMustBeUtf8: {"keys_that_are_never_stored_find_nothing"},
    InsertOverwritesTheLive: {
        "a_second_insert_raises_duplicate_record_and_keeps_the_first",
        "of_many_concurrent_inserts_one_wins",
    },
    InsertRefusesOverTheExpired: {"insert_takes_the_place_of_an_expired_record"},
    InsertRefusesWhatWasRemoved: {"a_deleted_sid_can_be_inserted_again", "a_purged_sid_can_be_inserted_again"},
    InsertReadsThenWrites: {"of_many_concurrent_inserts_one_wins"},
    InsertStoresEmptyTextAsNone: {"empty_text_and_zero_do_not_become_none"},
    InsertStoresNoneAsEmptyText: {"fields_that_are_none_come_back_as_none"},
    InsertStoresItsOwnTime: {"a_record_comes_back_with_every_field"},
    InsertCutsMetadataShort: {"metadata_comes_back_unchanged_up_to_its_limit"},
    DeleteMatchesPrefixes: {"delete_touches_no_other_record"},
    DeleteIsAlwaysTrue: {"delete_of_an_absent_record_is_false", "of_many_concurrent_deletes_one_is_true"},
    DeleteOfTheExpiredIsTrue: {"delete_of_an_expired_record_is_false"},
    DeleteSubjectIgnoresKeep: {"delete_subject_keeps_the_session_it_is_told_to"},
    DeleteSubjectEndsOnlyTheNewest: {"delete_subject_ends_every_session_and_counts_them"},
    DeleteSubjectCountsThenRemoves: {"of_many_concurrent_delete_subjects_each_record_counts_once"},
    DeleteSubjectCountsTheKept: {"delete_subject_keeps_the_session_it_is_told_to"},
    DeleteSubjectEndsOthersToo: {"delete_subject_touches_no_other_subject"},
    DeleteSubjectCountsTheExpired: {"delete_subject_does_not_count_expired_records"},
    PurgeRemovesTheLive: {"purge_never_removes_a_live_record", "purge_leaves_the_live_among_the_expired"},
    PurgeIgnoresItsLimit: {"purge_removes_at_most_its_limit_until_nothing_is_left"},
    PurgeTakesZeroForNoLimit: {"purge_removes_at_most_its_limit_until_nothing_is_left"},
    PurgeIgnoresItsNow: {"purge_goes_by_its_argument_and_not_by_the_clock"},
    PurgeLeavesTheSecondOfExpiry: {"purge_removes_the_expired_and_counts_them"},
    PurgeFindsThenRemoves: {"a_purge_that_races_inserts_over_expired_records_removes_none_of_the_new"},
    ReopenLosesTheRecords: {"records_outlive_close_and_open"},
    SecondOpenLosesTheRecords: {"a_second_open_does_nothing"},
    SecondCloseFails: {"a_second_aclose_does_nothing", "before_open_aclose_does_nothing"},
    NotOpenIsAnAttributeError: {
        "before_open_a_call_works_or_raises_storage_unavailable",
        "after_aclose_a_call_works_or_raises_storage_unavailable",
    },
    CloseBreaksTheCallsInFlight: {"a_call_in_flight_at_aclose_works_or_raises_storage_unavailable"},
    PingNeverAnswersWell: {"ping_answers_where_the_storage_serves"},
    EnterGivesNothing: {"before_open_async_with_opens_and_closes"},
    CancelledReplaceIsHalfDone: {"a_cancelled_replace_is_done_whole_or_not_at_all"},
    CancelledCallKeepsTheLock: {"a_cancelled_call_leaves_the_storage_usable"},
}


class SharedMemory(MemoryStorage):
    """Two of these on one dictionary stand for two processes on one database."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._opening: list[MemoryStorage] = []

    def beside(self) -> Self:
        sibling = type(self)(clock=self.clock)
        sibling._records, sibling._opening = self._records, self._opening
        return sibling


class RemembersWhatItRead(SharedMemory):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._seen: dict[str, JtiRecord | None] = {}

    async def get(self, sid: str) -> JtiRecord | None:
        return self._seen.setdefault(sid, await super().get(sid))


class LocksWithinOneProcessOnly(SharedMemory):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._lock = asyncio.Lock()

    async def insert(self, record: JtiRecord) -> None:
        async with self._lock:
            if self._live(record.sid) is not None:
                raise DuplicateRecord("a live record has this sid")
            await asyncio.sleep(0)
            self._records[record.sid] = record

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        async with self._lock:
            current = self._live(record.sid)
            await asyncio.sleep(0)
            if current is None or current.version != expected_version:
                return False
            self._records[record.sid] = replace(record, version=expected_version + 1)
            return True

    async def delete(self, sid: str) -> bool:
        async with self._lock:
            found = self._live(sid) is not None
            await asyncio.sleep(0)
            self._records.pop(sid, None)
            return found

    async def purge(self, now: float, limit: int) -> int:
        async with self._lock:
            expired = [sid for sid, record in self._records.items() if record.expires_at <= now][:limit]
            await asyncio.sleep(0)
            for sid in expired:
                self._records.pop(sid, None)
            return len(expired)


class RevivesWhatTheOtherDeleted(ReplaceUpserts, SharedMemory):
    pass


class ListsItsOwnRecordsOnly(SharedMemory):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._own: set[str] = set()

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        self._own.add(record.sid)

    def _live_of(self, subject: str) -> list[JtiRecord]:
        return [record for record in super()._live_of(subject) if record.sid in self._own]


class FailsWhereAnotherOpens(SharedMemory):
    async def open(self) -> None:
        if self._opening:
            raise StorageUnavailable("database is locked")
        self._opening.append(self)
        await asyncio.sleep(0)
        self._opening.remove(self)


class ClosesTheDatabaseForAll(SharedMemory):
    async def aclose(self) -> None:
        self._records.clear()


SHARED_CAUGHT_BY: dict[type[SharedMemory], set[str]] = {
    RemembersWhatItRead: {
        "the_other_storage_sees_an_insert_at_once",
        "the_other_storage_sees_a_replace_at_once",
        "the_other_storage_sees_a_delete_at_once",
    },
    LocksWithinOneProcessOnly: {
        "of_many_replaces_in_two_storages_one_wins",
        "of_many_inserts_in_two_storages_one_wins",
        "of_many_deletes_in_two_storages_one_is_true",
        "purges_in_two_storages_count_each_record_once",
    },
    RevivesWhatTheOtherDeleted: {"a_record_deleted_in_one_storage_is_not_revived_by_the_other"},
    ListsItsOwnRecordsOnly: {"the_other_storage_sees_an_insert_at_once"},
    FailsWhereAnotherOpens: {"before_open_two_storages_open_a_fresh_database_at_once"},
    ClosesTheDatabaseForAll: {"closing_one_storage_leaves_the_other_serving"},
}


def without_debug_mode(storage: JtiStorage) -> JtiStorage:
    # In debug mode, which unittest sets, the loop keeps a stack trace for each callback: most of a run's time.
    asyncio.get_running_loop().set_debug(False)
    return storage


def suite_of(backend: type[MemoryStorage]) -> type[StorageConformance]:
    class Suite(StorageConformance):
        async def make_storage(self, clock: Clock) -> JtiStorage:
            return without_debug_mode(backend(clock=clock))

    return Suite


def shared_suite_of(backend: type[SharedMemory]) -> type[SharedStorageConformance]:
    class Suite(SharedStorageConformance):
        async def make_storage(self, clock: Clock) -> JtiStorage:
            return without_debug_mode(backend(clock=clock))

        async def make_sibling(self, clock: Clock) -> JtiStorage:
            assert isinstance(self.storage, SharedMemory)
            return self.storage.beside()

    return Suite


@functools.cache
def failures(backend: type[MemoryStorage]) -> set[str]:
    """The names of the conformance tests that fail for a backend."""
    suite = shared_suite_of(backend) if issubclass(backend, SharedMemory) else suite_of(backend)
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(suite)
    result = unittest.TestResult()
    tests.run(result)
    assert result.testsRun == tests.countTestCases()
    assert result.skipped == []
    return {test.id().rpartition(".test_")[2] for test, _ in result.failures + result.errors}


def names_of(suite: type[unittest.TestCase]) -> set[str]:
    return {name.removeprefix("test_") for name in unittest.defaultTestLoader.getTestCaseNames(suite)}


@pytest.mark.parametrize("fault", CAUGHT_BY, ids=lambda fault: fault.__name__)
def test_the_suite_catches(fault: type[MemoryStorage]) -> None:
    assert failures(fault) >= CAUGHT_BY[fault]
    assert failures(fault) < names_of(StorageConformance), "a fault that fails every test shows nothing"


@pytest.mark.parametrize("fault", SHARED_CAUGHT_BY, ids=lambda fault: fault.__name__)
def test_the_shared_suite_catches(fault: type[SharedMemory]) -> None:
    assert failures(fault) >= SHARED_CAUGHT_BY[fault]
    assert failures(fault) < names_of(SharedStorageConformance), "a fault that fails every test shows nothing"


def test_every_test_of_the_suite_catches_some_fault() -> None:
    caught = [failures(fault) for fault in (*CAUGHT_BY, *SHARED_CAUGHT_BY)]
    assert set().union(*caught) == names_of(SharedStorageConformance)


def test_an_honest_shared_backend_passes_the_whole_suite() -> None:
    assert failures(SharedMemory) == set()


BACKEND_TESTS = """
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import SharedStorageConformance, StorageConformance

class MemoryTests(StorageConformance):
    async def make_storage(self, clock):
        return MemoryStorage(clock=clock)
"""


@pytest.mark.parametrize(
    "runner", [["pytest", "-q", "-p", "no:cacheprovider"], ["unittest"]], ids=["pytest", "unittest"]
)
def test_importing_the_suite_into_a_test_module_does_not_run_it(runner: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_backend.py").write_text(BACKEND_TESTS)
    count = len(names_of(StorageConformance))
    done = subprocess.run(
        [sys.executable, "-m", *runner, "test_backend.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert f"{count} passed" in output or f"Ran {count} tests" in output, output
