"""Faults that show where two storages use one database."""

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

from aiohttp_lionrock.errors import DuplicateRecord, StorageUnavailable
from aiohttp_lionrock.storage import Clock, JtiRecord

from .catching import SharedMemory, caught_by
from .writes import ReplaceUpserts


@caught_by(
    "the_other_storage_sees_an_insert_at_once",
    "the_other_storage_sees_a_replace_at_once",
    "the_other_storage_sees_a_delete_at_once",
)
class RemembersWhatItRead(SharedMemory):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._seen: dict[str, JtiRecord | None] = {}

    async def get(self, sid: str) -> JtiRecord | None:
        return self._seen.setdefault(sid, await super().get(sid))


@caught_by(
    "of_many_replaces_in_two_storages_one_wins",
    "of_many_inserts_in_two_storages_one_wins",
    "of_many_deletes_in_two_storages_one_gets_the_record",
    "purges_in_two_storages_count_each_record_once",
)
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

    async def delete(self, sid: str) -> JtiRecord | None:
        async with self._lock:
            found = self._live(sid)
            await asyncio.sleep(0)
            self._records.pop(sid, None)
            return found

    async def purge(self, limit: int) -> int:
        async with self._lock:
            expired = [sid for sid, record in self._records.items() if record.expires_at <= self.clock()][:limit]
            await asyncio.sleep(0)
            for sid in expired:
                self._records.pop(sid, None)
            return len(expired)


@caught_by("a_record_deleted_in_one_storage_is_not_revived_by_the_other")
class RevivesWhatTheOtherDeleted(ReplaceUpserts, SharedMemory):
    pass


@caught_by("before_open_two_storages_open_a_fresh_database_at_once")
class FailsWhereAnotherOpens(SharedMemory):
    async def open(self) -> None:
        if self._opening:
            raise StorageUnavailable("database is locked")
        self._opening.append(self)
        await asyncio.sleep(0)
        self._opening.remove(self)


@caught_by("closing_one_storage_leaves_the_other_serving")
class ClosesTheDatabaseForAll(SharedMemory):
    async def aclose(self) -> None:
        self._records.clear()


@caught_by("the_other_storage_sees_an_insert_at_once")
class ListsItsOwnRecordsOnly(SharedMemory):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._own: set[str] = set()

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        self._own.add(record.sid)

    def _live_of(self, subject: str) -> list[JtiRecord]:
        return [record for record in super()._live_of(subject) if record.sid in self._own]


@caught_by("inserts_in_two_storages_are_listed_by_both_when_the_last_is_acknowledged")
class ListsTheOthersRecordsALittleLater(SharedMemory):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._known: set[str] = set()

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        self._known.add(record.sid)

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        records = await super().list_subject(subject)
        known = [
            record for record in records if record.sid in self._known or record.subject != "u" or len(records) == 1
        ]
        self._known |= {record.sid for record in records}
        return known


@caught_by("a_scan_meets_what_the_other_storage_inserted")
class ScansItsOwnRecordsOnly(SharedMemory):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._own: set[str] = set()

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        self._own.add(record.sid)

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        records, cursor = await super().scan(cursor, limit)
        return [record for record in records if record.sid in self._own], cursor


class HasOneUrl:
    def bare_url(self) -> str:
        return "shelf://host"


class AtAUrl(SharedMemory):
    """Honest: its URL leads to the database that was made last."""

    hooks: tuple[type, ...] = (HasOneUrl,)
    made: ClassVar[SharedMemory]

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        type(self).made = self

    @classmethod
    def from_url(cls, url: str) -> Any:
        return cls.made.beside()


@caught_by("the_bare_url_leads_to_the_same_database")
class AnotherDatabaseAtTheUrl(AtAUrl):
    @classmethod
    def from_url(cls, url: str) -> Any:
        return cls(clock=cls.made.clock)
