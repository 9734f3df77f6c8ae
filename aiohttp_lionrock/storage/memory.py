"""The reference backend: one process, one dictionary, every promise of `JtiStorage` in a few lines.

For tests, for development and for an application that is one process and may forget at its end. No method
awaits anything, so the event loop cannot run another one in its middle: each is atomic.
"""

from bisect import bisect_right
from dataclasses import replace
from itertools import islice
from typing import Self

from ..errors import ConfigError, DuplicateRecord, StorageUnavailable
from .contract import Clock, JtiRecord, JtiStorage

__all__ = ["MemoryStorage"]


class MemoryStorage(JtiStorage):
    """Keeps the records in this object, for as long as it lives; closing and opening it again loses nothing."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self._records: dict[str, JtiRecord] = {}

    @classmethod
    def from_url(cls, url: str) -> Self:
        if url.lower() != "memory://":
            raise ConfigError("a memory storage takes no address and no options: write memory://")
        return cls()

    async def open(self) -> None:
        if not self.may_create and not self._records:
            raise StorageUnavailable("a memory storage is seen by the process of its application alone")

    async def insert(self, record: JtiRecord) -> None:
        if self._live(record.sid) is not None:
            raise DuplicateRecord("a live record has this sid")
        self._records[record.sid] = record

    async def get(self, sid: str) -> JtiRecord | None:
        return self._live(sid)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        if current is None or current.version != expected_version:
            return False
        version = expected_version + 1
        self._records[record.sid] = record if record.version == version else replace(record, version=version)
        return True

    async def delete(self, sid: str) -> JtiRecord | None:
        live = self._live(sid)
        if live is not None:
            del self._records[sid]
        return live

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        ended = [record.sid for record in self._live_of(subject) if record.sid != keep]
        for sid in ended:
            del self._records[sid]
        return len(ended)

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return sorted(self._live_of(subject), key=lambda record: (-record.created_at, record.sid))

    async def purge(self, limit: int) -> int:
        now = self.clock()
        expired = (sid for sid, record in self._records.items() if record.expires_at <= now)
        removed = list(islice(expired, limit))
        for sid in removed:
            del self._records[sid]
        return len(removed)

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        now = self.clock()
        live = sorted(sid for sid, record in self._records.items() if record.expires_at > now)
        page = live[bisect_right(live, cursor) :] if cursor is not None else live
        records = [self._records[sid] for sid in page[:limit]]
        return records, records[-1].sid if records and len(page) > limit else None

    async def ping(self) -> None:
        pass

    def _live(self, sid: str) -> JtiRecord | None:
        record = self._records.get(sid)
        return record if record is not None and record.expires_at > self.clock() else None

    def _live_of(self, subject: str) -> list[JtiRecord]:
        now = self.clock()
        return [record for record in self._records.values() if record.subject == subject and record.expires_at > now]
