"""The floor under SQLite: a table as one writes it by hand, worked on in the thread that asks."""

import sqlite3
import time
from itertools import cycle

from aiohttp_lionrock.storage import JtiRecord

from .harness import Case, per_call
from .records import TASKS, records

__all__ = ["CREATE", "GET", "INSERT", "fields_of", "reading", "rewriting"]

FIELDS = (
    "expires_at",
    "created_at",
    "access_jti",
    "refresh_jti",
    "previous_jti",
    "rotated_at",
    "subject",
    "successor",
    "metadata",
)
CREATE = (
    """
    CREATE TABLE sessions (
        sid TEXT NOT NULL PRIMARY KEY,
        version INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        access_jti TEXT,
        refresh_jti TEXT,
        previous_jti TEXT,
        rotated_at INTEGER,
        subject TEXT,
        successor TEXT,
        metadata TEXT
    ) WITHOUT ROWID
    """,
    "CREATE INDEX sessions_subject ON sessions (subject, created_at) WHERE subject IS NOT NULL",
    "CREATE INDEX sessions_expires_at ON sessions (expires_at)",
)
INSERT = f"INSERT INTO sessions (sid, version, {', '.join(FIELDS)}) VALUES (?, 1{', ?' * len(FIELDS)})"
GET = f"SELECT sid, version, {', '.join(FIELDS)} FROM sessions WHERE sid = ? AND expires_at > ?"
REPLACE = (
    f"UPDATE sessions SET version = ?, {', '.join(f'{name} = ?' for name in FIELDS)}"
    " WHERE sid = ? AND version = ? AND expires_at > ?"
)


def fields_of(record: JtiRecord) -> list[object]:
    return [getattr(record, name) or None for name in FIELDS]


def reading(database: sqlite3.Connection, count: int) -> Case:
    """Point reads."""
    sids = cycle([each.sid for each in records(count)])

    def get() -> tuple[object, ...]:
        row: tuple[object, ...] = database.execute(GET, (next(sids), time.time())).fetchone()
        return row

    def check() -> None:
        assert len(get()) == len(FIELDS) + 2

    return Case(per_call(get), check)


def rewriting(database: sqlite3.Connection, count: int) -> Case:
    """Compare-and-sets, ``TASKS`` in each transaction."""
    known = records(count)
    rows = [[each.sid, *fields_of(each)] for each in known]
    versions = [database.execute(GET, (each.sid, 0)).fetchone()[1] for each in known]
    numbers = cycle(range(len(known)))

    def run(transactions: int) -> None:
        for _ in range(transactions):
            now = time.time()
            database.execute("BEGIN IMMEDIATE")
            for _ in range(TASKS):
                number = next(numbers)
                version, (key, *fields) = versions[number], rows[number]
                versions[number] = version + 1
                assert database.execute(REPLACE, (version + 1, *fields, key, version, now)).rowcount == 1
            database.execute("COMMIT")

    def check() -> None:
        run(1)
        number = next(numbers)
        row = database.execute(GET, (rows[number][0], 0)).fetchone()
        assert row[1] == versions[number]
        assert database.execute(REPLACE, (0, *rows[number][1:], row[0], row[1] - 1, 0)).rowcount == 0

    return Case(run, check, unit=TASKS)
