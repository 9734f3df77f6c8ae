"""Faults of insert, replace, delete and delete_subject."""

import asyncio
from dataclasses import replace

from aiohttp_lionrock.errors import DuplicateRecord, StorageUnavailable
from aiohttp_lionrock.storage import Clock, JtiRecord
from aiohttp_lionrock.storage.memory import MemoryStorage

from .catching import caught_by


@caught_by("replace_of_an_absent_record_creates_nothing", "replace_after_delete_creates_nothing")
class ReplaceUpserts(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        if current is not None and current.version != expected_version:
            return False
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


@caught_by("replace_with_a_wrong_version_changes_nothing", "a_version_wins_only_once")
class ReplaceIgnoresTheVersion(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        return current is not None and await super().replace(record, current.version)


@caught_by(
    "of_many_concurrent_replaces_one_wins",
    "concurrent_counters_lose_no_update",
    "replaces_that_race_a_delete_never_bring_the_record_back",
    "replaces_that_race_a_delete_subject_never_bring_a_record_back",
)
class ReplaceReadsThenWrites(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        await asyncio.sleep(0)
        if current is None or current.version != expected_version:
            return False
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


@caught_by("replace_stores_every_field_with_the_next_version", "a_version_wins_only_once")
class ReplaceKeepsTheVersion(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        replaced = await super().replace(record, expected_version)
        if replaced:
            self._records[record.sid] = replace(record, version=expected_version)
        return replaced


@caught_by("replace_compares_the_stored_version_and_not_the_records_own")
class ReplaceTrustsTheRecordsOwnVersion(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await super().replace(record, record.version)


@caught_by("replace_stores_every_field_with_the_next_version")
class ReplaceDropsMetadata(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await super().replace(replace(record, metadata={}), expected_version)


@caught_by("replace_stores_every_field_with_the_next_version")
class ReplaceDropsRotatedAt(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await super().replace(replace(record, rotated_at=None), expected_version)


@caught_by("replace_of_an_expired_record_revives_nothing", "replace_of_an_expired_record_is_false_at_that_very_second")
class ReplaceRevivesTheExpired(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._records.get(record.sid)
        if current is None or current.version != expected_version:
            return False
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


@caught_by("replace_moves_the_expiry")
class ReplaceKeepsTheOldExpiry(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        return current is not None and await super().replace(
            replace(record, expires_at=current.expires_at), expected_version
        )


@caught_by("replace_touches_no_other_record")
class ReplaceHasNoWhereClause(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        replaced = await super().replace(record, expected_version)
        if replaced:
            for sid in self._records:
                self._records[sid] = replace(record, sid=sid, version=expected_version + 1)
        return replaced


@caught_by("a_second_insert_raises_duplicate_record_and_keeps_the_first", "of_many_concurrent_inserts_one_wins")
class InsertOverwritesTheLive(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        self._records[record.sid] = record


@caught_by("insert_takes_the_place_of_an_expired_record")
class InsertRefusesOverTheExpired(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        if record.sid in self._records:
            raise DuplicateRecord("a record has this sid")
        self._records[record.sid] = record


@caught_by("a_deleted_sid_can_be_inserted_again", "a_purged_sid_can_be_inserted_again")
class InsertRefusesWhatWasRemoved(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._seen: set[str] = set()

    async def insert(self, record: JtiRecord) -> None:
        if record.sid in self._seen and record.sid not in self._records:
            raise DuplicateRecord("a record had this sid")
        await super().insert(record)
        self._seen.add(record.sid)


@caught_by("of_many_concurrent_inserts_one_wins")
class InsertReadsThenWrites(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        if self._live(record.sid) is not None:
            raise DuplicateRecord("a live record has this sid")
        await asyncio.sleep(0)
        self._records[record.sid] = record


@caught_by("fields_that_are_none_come_back_as_none")
class InsertStoresNoneAsEmptyText(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, access_jti=record.access_jti or ""))


@caught_by("a_record_comes_back_with_every_field")
class InsertStoresItsOwnTime(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, created_at=int(self.clock())))


@caught_by("metadata_comes_back_unchanged_up_to_its_limit")
class InsertCutsMetadataShort(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, metadata={key: text[:255] for key, text in record.metadata.items()}))


@caught_by("empty_text_and_zero_do_not_become_none")
class InsertStoresEmptyTextAsNone(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, access_jti=record.access_jti or None))


@caught_by("delete_subject_keeps_the_session_it_is_told_to")
class DeleteSubjectIgnoresKeep(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        return await super().delete_subject(subject)


@caught_by("delete_subject_ends_every_session_and_counts_them")
class DeleteSubjectEndsOnlyTheNewest(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        newest = [record.sid for record in await self.list_subject(subject) if record.sid != keep][:1]
        return sum([await self.delete(sid) for sid in newest])


@caught_by("of_many_concurrent_delete_subjects_each_record_counts_once")
class DeleteSubjectCountsThenRemoves(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        count = len([record for record in self._live_of(subject) if record.sid != keep])
        await asyncio.sleep(0)
        await super().delete_subject(subject, keep)
        return count


@caught_by("delete_subject_keeps_the_session_it_is_told_to")
class DeleteSubjectCountsTheKept(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        kept = keep is not None and any(record.sid == keep for record in self._live_of(subject))
        return await super().delete_subject(subject, keep) + kept


@caught_by("delete_subject_touches_no_other_subject")
class DeleteSubjectEndsOthersToo(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        ended = [sid for sid, record in self._records.items() if record.subject and sid != keep]
        for sid in ended:
            del self._records[sid]
        return len(ended)


@caught_by("delete_subject_does_not_count_expired_records")
class DeleteSubjectCountsTheExpired(MemoryStorage):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        ended = [sid for sid, record in self._records.items() if record.subject == subject and sid != keep]
        for sid in ended:
            del self._records[sid]
        return len(ended)


@caught_by("a_record_comes_back_with_every_field", "each_field_comes_back_when_it_is_the_only_one")
class InsertDropsTheSuccessor(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, successor=None))


@caught_by("replace_stores_every_field_with_the_next_version")
class ReplaceDropsTheSuccessor(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await super().replace(replace(record, successor=None), expected_version)


@caught_by("replace_can_clear_fields")
class ReplaceLeavesWhatIsNone(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        kept = record.successor or (current.successor if current else None)
        return await super().replace(replace(record, successor=kept), expected_version)


@caught_by("each_field_comes_back_when_it_is_the_only_one")
class InsertKeepsRotatedAtWithAPreviousJtiAlone(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record if record.previous_jti else replace(record, rotated_at=None))


@caught_by("the_largest_numbers_come_back_exactly")
class NumbersAreFloats(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        replaced = await super().replace(record, expected_version)
        if replaced and expected_version > 2**52:
            self._records[record.sid] = replace(record, version=2**53 - 2)
        return replaced


@caught_by("any_text_comes_back_unchanged_in_every_field")
class TextIsStripped(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        await super().insert(replace(record, successor=record.successor and record.successor.strip()))


@caught_by("the_largest_record_comes_back_unchanged")
class InsertHasAColumnOf30000Bytes(MemoryStorage):
    async def insert(self, record: JtiRecord) -> None:
        if len(record.pack().encode()) > 30_000:
            raise StorageUnavailable("value too long for the type of the column")
        await super().insert(record)


@caught_by("every_insert_of_many_at_once_is_listed_when_the_last_is_acknowledged")
class InsertIsListedALittleLater(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._listed: set[str] = set()

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        asyncio.get_running_loop().call_later(0.001, self._listed.add, record.sid)

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return [record for record in await super().list_subject(subject) if record.sid in self._listed]


@caught_by(
    "delete_gives_the_whole_record_that_it_removed_and_then_none", "of_many_concurrent_deletes_one_gets_the_record"
)
class DeleteSaysOnlyWhetherItDid(MemoryStorage):
    async def delete(self, sid: str) -> JtiRecord | None:
        return (await super().delete(sid) is not None) or None  # type: ignore[return-value]


@caught_by("delete_gives_the_whole_record_that_it_removed_and_then_none")
class DeleteLeavesOutTheMetadata(MemoryStorage):
    async def delete(self, sid: str) -> JtiRecord | None:
        removed = await super().delete(sid)
        return removed and replace(removed, metadata={})


@caught_by("delete_gives_the_record_as_it_was_stored_last")
class DeleteGivesTheRecordAsItWasInserted(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._inserted: dict[str, JtiRecord] = {}

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        self._inserted[record.sid] = record

    async def delete(self, sid: str) -> JtiRecord | None:
        return await super().delete(sid) and self._inserted[sid]


@caught_by("of_many_concurrent_deletes_one_gets_the_record")
class DeleteReadsThenRemoves(MemoryStorage):
    async def delete(self, sid: str) -> JtiRecord | None:
        record = self._live(sid)
        await asyncio.sleep(0)
        self._records.pop(sid, None)
        return record


@caught_by("a_delete_that_races_replaces_gets_the_record_that_the_last_winner_stored")
class DeleteGivesWhatItReadBefore(MemoryStorage):
    async def delete(self, sid: str) -> JtiRecord | None:
        record = self._live(sid)
        await asyncio.sleep(0)
        return record if await super().delete(sid) else None


@caught_by("delete_of_an_absent_record_is_none", "delete_gives_the_whole_record_that_it_removed_and_then_none")
class DeleteAlwaysGivesARecord(MemoryStorage):
    async def delete(self, sid: str) -> JtiRecord | None:
        return await super().delete(sid) or JtiRecord("made up", version=1, expires_at=1, created_at=1)


@caught_by("delete_touches_no_other_record")
class DeleteMatchesPrefixes(MemoryStorage):
    async def delete(self, sid: str) -> JtiRecord | None:
        live = self._live(sid)
        for key in [key for key in self._records if key.startswith(sid)] if live else []:
            del self._records[key]
        return live


@caught_by("delete_of_an_expired_record_is_none")
class DeleteGivesTheExpired(MemoryStorage):
    async def delete(self, sid: str) -> JtiRecord | None:
        return self._records.pop(sid, None)
