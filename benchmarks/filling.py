"""Tables of any size, filled fast: one record goes in through the storage, and the rest are copies of what it made."""

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock.storage import JtiRecord

from .records import LATE, record

__all__ = ["fill_mongodb", "fill_sqlite"]

TABLE = "lionrock_sessions"
CHUNK = 10_000
CACHE_KIB = 4_000_000  # so that inserting all over the table stays in memory


async def fill_sqlite(path: Path, count: int, expires_at: int = LATE, *, first: int = 0) -> None:
    """Adds so many records, in the order of their numbers, which is no order of their sids."""
    template = record(first, expires_at)
    async with SqliteStorage(path) as storage:
        await storage.insert(template)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    found = database.execute(f"SELECT * FROM {TABLE} WHERE sid = ?", (template.sid,))
    columns = [column[0] for column in found.description]
    row = dict(zip(columns, found.fetchone(), strict=True))
    database.execute("BEGIN")
    database.executemany(
        f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        ([each.get(name) for name in columns] for each in _copies(row, template, first, count)),
    )
    database.execute("COMMIT")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    with path.open("rb+") as file:  # else the system writes it out while others are measured
        os.fsync(file.fileno())


async def fill_mongodb(storage: MongoStorage, database: Any, count: int) -> None:
    """Adds so many records to an open storage's collection, in the same order."""
    template = record(0)
    await storage.insert(template)
    collection = database[TABLE]
    document = await collection.find_one({"_id": template.sid})
    for chunk in _chunks(_copies(document, template, 0, count)):
        await collection.insert_many(chunk, ordered=False)


def _copies(stored: dict[str, Any], template: JtiRecord, first: int, count: int) -> Iterator[dict[str, Any]]:
    """What the database keeps for one record, with the ids and the user of the others."""
    places = {
        name: field
        for field in ("sid", "access_jti", "refresh_jti", "previous_jti", "subject")
        for name, value in stored.items()
        if value == getattr(template, field)
    }
    assert len(places) == 5, stored
    for number in range(first + 1, first + count):
        other = record(number)
        yield stored | {name: getattr(other, field) for name, field in places.items()}


def _chunks(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        yield chunk
