"""The table, its version, and the way from an older version to this one.

The file may be shared with the application's own tables and with further tables of ours: the version of
each table is a row in a small table of its own, and what belongs to the whole file is left alone.

What a change of one record has to write is a single page, however many records there are, and the look-up is one
descent through small numbers. So the key is a number, `hash_of` the sid, and the purge's index is over ``due_at``: a
time that is never later than ``expires_at``, and stays where it is while the expiry moves on.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from hashlib import sha256

from aiohttp_lionrock.errors import ConfigError

__all__ = ["COLUMNS", "VERSIONS_TABLE", "hash_of", "prepare"]

VERSION = 2
VERSIONS_TABLE = "lionrock_schema"

COLUMNS = {
    "sid_hash": "INTEGER",
    "sid": "TEXT",
    "version": "INTEGER",
    "expires_at": "INTEGER",
    "created_at": "INTEGER",
    "access_jti": "TEXT",
    "refresh_jti": "TEXT",
    "previous_jti": "TEXT",
    "rotated_at": "INTEGER",
    "subject": "TEXT",
    "metadata": "TEXT",
    "due_at": "INTEGER",
}

_CREATE_VERSIONS = f"""
CREATE TABLE IF NOT EXISTS {VERSIONS_TABLE} (
    table_name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

_CREATE_TABLE = """
    CREATE TABLE "{table}" (
        sid_hash INTEGER PRIMARY KEY,
        sid TEXT NOT NULL,
        version INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        access_jti TEXT,
        refresh_jti TEXT,
        previous_jti TEXT,
        rotated_at INTEGER,
        subject TEXT,
        metadata TEXT,
        due_at INTEGER NOT NULL
    ) STRICT
"""

_CREATE_INDEXES = (
    'CREATE INDEX "{table}__subject" ON "{table}" (subject, created_at DESC) WHERE subject IS NOT NULL',
    'CREATE INDEX "{table}__due_at" ON "{table}" (due_at)',
)

# Statements that lift a table of the version named to the next one. A table is not renamed for that: the views and
# triggers of an application would go on naming the old one. Where two sids share a key, one of the sessions ends.
MIGRATIONS: Mapping[int, Sequence[str]] = {
    1: (
        'CREATE TEMP TABLE "{table}__1" AS SELECT * FROM "{table}"',
        'DROP TABLE "{table}"',
        _CREATE_TABLE,
        """
        INSERT OR IGNORE INTO "{table}"
        SELECT lionrock_hash(sid), sid, version, expires_at, created_at, access_jti, refresh_jti, previous_jti,
            rotated_at, subject, metadata, expires_at
        FROM temp."{table}__1" ORDER BY 1
        """,
        *_CREATE_INDEXES,
        'DROP TABLE temp."{table}__1"',
    )
}


def hash_of(sid: str) -> int:
    """The key of a record: the first 64 bits of its sid's SHA-256, as a signed number.

    Sids are random, so that among ten million records about one insertion in two trillion finds its key taken by
    another sid. It is refused as a duplicate, and the next sid will do. The sid is compared wherever a key is found.
    """
    return int.from_bytes(sha256(sid.encode()).digest()[:8], "big", signed=True)


def prepare(connection: sqlite3.Connection, table: str) -> None:
    """Creates the table or lifts it to this version, in one transaction. Raises ConfigError where it cannot."""
    connection.create_function("lionrock_hash", 1, hash_of, deterministic=True)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_CREATE_VERSIONS)
        version = _version(connection, table)
        if version is not None and version > VERSION:
            raise ConfigError(
                f"the SQLite table {table!r} has schema version {version}, newer than {VERSION}, the newest known here:"
                " upgrade aiohttp-lionrock-sqlite"
            )
        if not _columns(connection, table):
            _run(connection, table, [_CREATE_TABLE, *_CREATE_INDEXES])
        elif version is None:
            raise ConfigError(f"the SQLite table {table!r} is not one of ours: name another with table=")
        else:
            _lift(connection, table, version)
        if version != VERSION:
            connection.execute(f"INSERT OR REPLACE INTO {VERSIONS_TABLE} VALUES (?, ?)", (table, VERSION))  # noqa: S608
        if _columns(connection, table) != COLUMNS:
            raise ConfigError(f"the SQLite table {table!r} has other columns than ours: name another with table=")


def _lift(connection: sqlite3.Connection, table: str, version: int) -> None:
    for step in range(version, VERSION):
        if step not in MIGRATIONS:
            raise ConfigError(
                f"the SQLite table {table!r} has schema version {version}, and no way from it to version {VERSION} is"
                " known here: name another table with table=, or drop this one, which ends its sessions"
            )
        _run(connection, table, MIGRATIONS[step])


def _run(connection: sqlite3.Connection, table: str, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(statement.format(table=table))


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    return dict(connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall())


def _version(connection: sqlite3.Connection, table: str) -> int | None:
    query = f"SELECT version FROM {VERSIONS_TABLE} WHERE table_name = ?"  # noqa: S608
    row = connection.execute(query, (table,)).fetchone()
    return None if row is None else int(row[0])
