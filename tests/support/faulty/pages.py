"""Faults of purge and scan: the calls that go through all records in steps."""

import asyncio
import sys
from dataclasses import replace

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import Clock, JtiRecord
from aiohttp_lionrock.storage.memory import MemoryStorage

from .catching import caught_by

Page = tuple[list[JtiRecord], str | None]


@caught_by("purge_never_removes_a_live_record", "purge_leaves_the_live_among_the_expired")
class PurgeRemovesTheLive(MemoryStorage):
    async def purge(self, limit: int) -> int:
        removed = list(self._records)[:limit]
        for sid in removed:
            del self._records[sid]
        return len(removed)


@caught_by("purge_removes_at_most_its_limit_until_nothing_is_left")
class PurgeIgnoresItsLimit(MemoryStorage):
    async def purge(self, limit: int) -> int:
        return await super().purge(sys.maxsize)


@caught_by("purge_removes_at_most_its_limit_until_nothing_is_left")
class PurgeTakesZeroForNoLimit(MemoryStorage):
    async def purge(self, limit: int) -> int:
        return await super().purge(limit or sys.maxsize)


@caught_by("purge_removes_the_expired_and_counts_them")
class PurgeLeavesTheSecondOfExpiry(MemoryStorage):
    async def purge(self, limit: int) -> int:
        self.clock, clock = (lambda: clock() - 1), self.clock
        try:
            return await super().purge(limit)
        finally:
            self.clock = clock


@caught_by("a_purge_that_races_inserts_over_expired_records_removes_none_of_the_new")
class PurgeFindsThenRemoves(MemoryStorage):
    async def purge(self, limit: int) -> int:
        expired = [sid for sid, record in self._records.items() if record.expires_at <= self.clock()][:limit]
        await asyncio.sleep(0)
        return sum(self._records.pop(sid, None) is not None for sid in expired)


@caught_by("a_purge_of_more_than_there_is_removes_all_at_once")
class PurgeRemovesTenAtMost(MemoryStorage):
    async def purge(self, limit: int) -> int:
        return await super().purge(min(limit, 10))


@caught_by("a_scan_meets_every_record_whole_and_once_whatever_its_limit")
class ScanIgnoresItsLimit(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        return await super().scan(cursor, sys.maxsize)


@caught_by("a_scan_meets_every_record_whole_and_once_whatever_its_limit")
class ScanLeavesOutTheMetadata(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        records, cursor = await super().scan(cursor, limit)
        return [replace(record, metadata={}) for record in records], cursor


@caught_by("a_scan_meets_every_record_whole_and_once_whatever_its_limit")
class ScanForgetsItsLastPage(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        records, cursor = await super().scan(cursor, limit)
        return (records, cursor) if cursor is not None or len(records) == limit else ([], None)


@caught_by("a_scan_meets_every_record_whole_and_once_whatever_its_limit")
class ScanBeginsAPageWithTheLastOfThePageBefore(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        records, following = await super().scan(cursor, limit)
        last = self._live(cursor) if cursor is not None else None
        return [last, *records][:limit] if last and limit > 1 else records, following  # type: ignore[list-item]


@caught_by("a_scan_of_nothing_is_empty")
class ScanOfNothingFails(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        if not self._records:
            raise StorageUnavailable("list index out of range")
        return await super().scan(cursor, limit)


@caught_by("a_scan_leaves_out_the_expired")
class ScanSeesTheExpired(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        clock, self.clock = self.clock, lambda: 0.0
        try:
            return await super().scan(cursor, limit)
        finally:
            self.clock = clock


@caught_by("a_scan_leaves_out_the_expired")
class ScanEndsWithAShortPage(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        page = sorted(sid for sid in self._records if cursor is None or sid > cursor)[:limit]
        live = [record for sid in page if (record := self._live(sid)) is not None]
        return live, live[-1].sid if len(live) == limit else None


@caught_by("a_scan_goes_on_after_any_sid")
class ScanStripsItsCursor(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        records, cursor = await super().scan(cursor, limit)
        return records, None if cursor is None else cursor.strip()


@caught_by("a_scan_leaves_out_what_expires_or_is_deleted_before_its_page")
class ScanTakesAPictureAtItsBeginning(MemoryStorage):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._picture: list[JtiRecord] = []

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        if cursor is None:
            self._picture, _ = await super().scan(None, sys.maxsize)
        rest = [record for record in self._picture if cursor is None or record.sid > cursor]
        return rest[:limit], rest[limit - 1].sid if len(rest) > limit else None


@caught_by("a_scan_meets_each_record_once_while_others_come_go_and_change")
class ScanCountsItsWay(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        records, _ = await super().scan(None, sys.maxsize)
        start = int(cursor or 0)
        return records[start : start + limit], str(start + limit) if len(records) > start + limit else None


@caught_by("a_scan_meets_each_record_once_while_others_come_go_and_change")
class ScanGoesByExpiry(MemoryStorage):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> Page:
        records, _ = await super().scan(None, sys.maxsize)
        keys = {f"{record.expires_at} {record.sid}": record for record in records}
        rest = [key for key in sorted(keys) if cursor is None or key > cursor]
        return [keys[key] for key in rest[:limit]], rest[limit - 1] if len(rest) > limit else None
