"""`SqliteStorage`: the storage contract on a SQLite file."""

import asyncio
import operator
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, ClassVar, Self

from aiohttp_lionrock.errors import CorruptRecord, DuplicateRecord, LionRockError, StorageUnavailable
from aiohttp_lionrock.storage import Clock, Coalescer, JtiRecord, JtiStorage, is_storable_text

from .connection import connect_memory, connect_writer
from .database import Database
from .schema import VERSION, hash_of
from .settings import OPTIONS, Settings
from .statements import Row, Statements, judge, record_of, row_of, sound, to_json
from .transaction import Deletes, PurgeStep, Transaction, Writes

__all__ = ["SqliteStorage"]

FIRST_HASH = -(2**63)  # the least of the table's keys: where a scan begins
BATCH = 500  # calls or records in one transaction, so that no other writer waits long


@dataclass(slots=True, eq=False)
class _Write:
    """The parameters of one caller's write; equal only to itself."""

    row: tuple[object, ...]


class SqliteStorage(JtiStorage):
    """Keeps the records in one table of a SQLite file, or of a private database in memory (``:memory:``).

    ``busy_timeout`` is how many seconds to wait for another process's lock: above 0, at most 60. With the mode "rw"
    nothing is created that is missing. Concurrent calls of one kind share a statement or a commit. An open storage
    must not be carried across a fork. Raises ConfigError with every fault of the arguments.
    """

    CONTRACT: ClassVar[int] = 1

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: str = "FULL",
        busy_timeout: float = 1.0,
        table: str = "lionrock_sessions",
        create_parents: bool = False,
        mode: str = "rwc",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self._settings = Settings(os.fspath(path), synchronous, busy_timeout, table, create_parents, mode)
        self.may_create: bool = self._settings.mode == "rwc"
        # In memory the one connection is the database: cached, a second opening finds it again.
        self._connect = cache(connect_memory) if self._settings.in_memory else connect_writer
        self._sql = Statements(table)
        self._opening: asyncio.Task[Database] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._gets: Coalescer[str, JtiRecord | None] = Coalescer(self._find, default=None, limit=BATCH)
        self._inserts = _batched(partial(self._settle, partial(Writes, self._sql.insert)))
        self._replaces = _batched(partial(self._settle, partial(Writes, self._sql.replace)))
        self._deletes = _batched(partial(self._settle, partial(Deletes, self._sql.delete)))

    @property
    def waits(self) -> Mapping[str, float]:
        wait = self._settings.busy_timeout
        return {"busy_timeout": wait} if wait != OPTIONS["busy_timeout"].default else {}

    @classmethod
    def from_url(cls, url: str) -> Self:
        return cls(**asdict(Settings.from_url(url)))

    async def open(self) -> None:
        if self._opening is None or self._opening.cancelled():
            self._opening = asyncio.create_task(self._open(self._closing))
        await asyncio.shield(self._opening)

    async def _open(self, closing: asyncio.Task[None] | None) -> Database:
        try:
            if closing is not None and not closing.done():  # two threads on one database in memory
                await asyncio.wait([closing])
            connect = partial(self._connect, self._settings, self.may_create)
            return await Database.open(self._settings, connect)
        except Exception:
            if self._opening is asyncio.current_task():
                self._opening = None
            raise

    async def aclose(self) -> None:
        opening, self._opening = self._opening, None
        if opening is None or opening.cancelled():
            return
        # The driver waits for its thread whatever happens; who closes need not.
        self._closing = asyncio.create_task(_close(opening))
        await asyncio.shield(self._closing)

    @property
    def _database(self) -> Database:
        if self._opening is None or not self._opening.done() or self._opening.cancelled():
            raise StorageUnavailable(
                "the SQLite storage is not open: call open() first, and aclose() last", maybe_done=False
            )
        return self._opening.result()

    async def insert(self, record: JtiRecord) -> None:
        if not await self._inserts(_Write(row_of(record, record.version))):
            raise DuplicateRecord(f"there is a live record with the sid {record.sid!r}")

    async def get(self, sid: str) -> JtiRecord | None:
        return await self._gets(sid) if is_storable_text(sid) else None

    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        wanted = [sid for sid in dict.fromkeys(sids) if is_storable_text(sid)]
        found = await self._find(wanted)
        return {sid: sound(found[sid]) for sid in wanted if sid in found}

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        expected = operator.index(expected_version)
        if not 0 <= expected < 2**53 - 1:
            return False
        won: bool = await self._replaces(_Write(row_of(record, expected)))
        return won

    async def delete(self, sid: str) -> JtiRecord | None:
        """Removes a damaged record, too. CorruptRecord is then raised after the removal: there is nothing to return."""
        if not is_storable_text(sid):
            return None
        row = await self._deletes(_Write((hash_of(sid), sid)))
        try:
            return None if row is None else record_of(row)
        except CorruptRecord as exc:
            raise CorruptRecord(f"{exc}; it was removed", sid=sid) from exc

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        if not is_storable_text(subject):
            return 0
        kept = keep if is_storable_text(keep) else None
        return len(await self._database.write(self._sql.delete_subject, (subject, kept, self.clock())))

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        if not is_storable_text(subject):
            return []
        rows = await self._database.read(self._sql.list_subject, (subject, self.clock()))
        return [record_of(row) for row in rows]

    async def purge(self, limit: int) -> int:
        now = self.clock()
        removed = 0
        while (step := min(limit - removed, BATCH)) > 0:
            gone, deferred = await self._database.transact(PurgeStep(self._sql, now, step, BATCH))
            removed += gone
            if not gone and not deferred:
                break
        return removed

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        limit = max(limit, 0)
        start = FIRST_HASH if cursor is None else int(cursor)
        rows = await self._database.read(self._sql.scan, (start, self.clock(), limit + 1))
        beyond = str(rows[limit][0]) if len(rows) > limit else None
        return [record_of(row[1:]) for row in rows[:limit]], beyond

    async def ping(self) -> None:
        await self._database.read(self._sql.can_read)
        await self._database.write(self._sql.can_write)

    async def facts(self) -> Mapping[str, str]:
        [(version, size, indexes)] = await self._database.read(self._sql.facts)
        return {
            "file": f"{self._settings.path}, {size // 1024} KiB, by SQLite {version}",
            "schema": f"table {self._settings.table}, version {VERSION}",
            "indexes": indexes or "none: look-ups of a subject and purges read the whole table",
        }

    async def _find(self, sids: Sequence[str]) -> dict[str, JtiRecord | CorruptRecord]:
        """What the keys of these sids lead to: a record of another sid with the same key, too, under its own."""
        rows = await self._database.read(self._sql.get, (to_json([hash_of(sid) for sid in sids]), self.clock()))
        return {row[0]: judge(row) for row in rows}

    async def _settle(
        self, transaction: Callable[[list[Row]], Transaction], writes: Sequence[_Write]
    ) -> dict[_Write, Any]:
        """Runs the writes of one kind and moment, one after the other, in one transaction."""
        now = self.clock()
        verdicts = await self._database.transact(transaction([(*write.row, now) for write in writes]))
        return {
            write: self._database.refused(verdict) if isinstance(verdict, sqlite3.Error) else verdict
            for write, verdict in zip(writes, verdicts, strict=True)
        }


def _batched(settle: Callable[[Sequence[_Write]], Awaitable[dict[_Write, Any]]]) -> Coalescer[_Write, Any]:
    return Coalescer(settle, default=None, limit=BATCH)


async def _close(opening: asyncio.Task[Database]) -> None:
    try:
        database = await asyncio.shield(opening)
    except LionRockError:  # open() has raised it
        return
    await database.close()
