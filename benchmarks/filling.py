"""Tables of any size, filled fast."""

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_sqlite import SqliteStorage
from aiohttp_lionrock_sqlite.statements import Statements, row_of

from . import byhand
from .records import LATE, record

__all__ = ["TABLE", "fill_by_hand", "fill_mongodb", "fill_sqlite"]

TABLE = "lionrock_sessions"
CHUNK = 10_000
CACHE_KIB = 4_000_000  # so that inserting all over the table stays in memory


async def fill_sqlite(path: Path, count: int, expires_at: int = LATE, *, first: int = 0) -> None:
    """Adds so many records, in the order of their numbers, which is no order of their sids."""
    async with SqliteStorage(path):
        pass
    (insert,) = Statements(TABLE).insert
    rows = (row_of(record(number, expires_at), 1) for number in range(first, first + count))
    _pour(path, (), insert.sql, (insert.parameters((*row, 0)) for row in rows))


def fill_by_hand(path: Path, count: int) -> None:
    """Makes the table that one would write by hand, with the same records."""
    _pour(
        path, byhand.CREATE, byhand.INSERT, ([each.sid, *byhand.fields_of(each)] for each in map(record, range(count)))
    )


def _pour(path: Path, create: Sequence[str], insert: str, rows: Iterable[Sequence[object]]) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
        database.execute(f"PRAGMA {setting}")
    database.execute("BEGIN")
    for statement in create:
        database.execute(statement)
    database.executemany(insert, rows)
    database.execute("COMMIT")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    with path.open("rb+") as file:  # else the system writes it out while others are measured
        os.fsync(file.fileno())


async def fill_mongodb(storage: MongoStorage, database: Any, count: int) -> None:
    """Adds so many records to an open storage's collection: copies of one that went in through it."""
    template = record(0)
    await storage.insert(template)
    collection = database[TABLE]
    document = await collection.find_one({"_id": template.sid})
    for chunk in _chunks(_copies(document, 0, count)):
        await collection.insert_many(chunk, ordered=False)


def _copies(stored: dict[str, Any], first: int, count: int) -> Iterator[dict[str, Any]]:
    """What the database keeps for one record, with the ids and the user of the others."""
    assert stored["packed"] == record(first).pack(), stored
    for number in range(first + 1, first + count):
        other = record(number)
        yield stored | {"_id": other.sid, "subject": other.subject, "packed": other.pack()}


def _chunks(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        yield chunk
