"""The table and its version.

The file may be shared with the application's own tables and with further tables of ours: the version of
each table is a row in a small table of its own, and what belongs to the whole file is left alone.

What a change of one record has to write is a single page, however many records there are, and the look-up is one
descent through small numbers. So the key is a number, `hash_of` the sid, and the purge's index is over ``due_at``: a
time that is never later than ``expires_at``, and stays where it is while the expiry moves on.
"""

import sqlite3
from hashlib import sha256
from struct import Struct

from aiohttp_lionrock.errors import ConfigError

__all__ = ["COLUMNS", "VERSION", "VERSIONS_TABLE", "hash_of", "is_there", "prepare"]

VERSION = 3
VERSIONS_TABLE = "lionrock_schema"

COLUMNS = {
    "sid_hash": "INTEGER",
    "sid": "TEXT",
    "version": "INTEGER",
    "expires_at": "INTEGER",
    "created_at": "INTEGER",
    "subject": "TEXT",
    "packed": "TEXT",
    "due_at": "INTEGER",
}

_CREATE_VERSIONS = f"""
CREATE TABLE IF NOT EXISTS {VERSIONS_TABLE} (
    table_name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

_CREATE = (
    """
    CREATE TABLE "{table}" (
        sid_hash INTEGER PRIMARY KEY,
        sid TEXT NOT NULL,
        version INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        subject TEXT,
        packed TEXT NOT NULL,
        due_at INTEGER NOT NULL
    ) STRICT
    """,
    'CREATE INDEX "{table}__subject" ON "{table}" (subject, created_at DESC) WHERE subject IS NOT NULL',
    'CREATE INDEX "{table}__due_at" ON "{table}" (due_at)',
)

_first_number = Struct(">q").unpack_from


def hash_of(sid: str) -> int:
    """The key of a record: the first 64 bits of its sid's SHA-256, as a signed number.

    Sids are random, so that among ten million records about one insertion in two trillion finds its key taken by
    another sid. It is refused as a duplicate, and the next sid will do. The sid is compared wherever a key is found.
    """
    key: int = _first_number(sha256(sid.encode()).digest())[0]
    return key


def is_there(connection: sqlite3.Connection, table: str) -> bool:
    """Changes nothing. Raises ConfigError where a table of this name is there and cannot be ours."""
    with connection:
        connection.execute("BEGIN")
        return _is_there(connection, table)


def prepare(connection: sqlite3.Connection, table: str) -> None:
    """Creates the table where it is missing, in one transaction. Raises ConfigError where it cannot be ours."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if _is_there(connection, table):
            return
        connection.execute(_CREATE_VERSIONS)
        for statement in _CREATE:
            connection.execute(statement.format(table=table))
        connection.execute(f"INSERT OR REPLACE INTO {VERSIONS_TABLE} VALUES (?, ?)", (table, VERSION))  # noqa: S608


def _is_there(connection: sqlite3.Connection, table: str) -> bool:
    version = _version(connection, table)
    columns = _columns(connection, table)
    if version is not None and version > VERSION:
        raise ConfigError(
            f"the SQLite table {table!r} has schema version {version}, newer than {VERSION}, the newest known here:"
            " upgrade aiohttp-lionrock-sqlite"
        )
    if not columns:
        return False
    if version is None:
        raise ConfigError(f"the SQLite table {table!r} is not one of ours: name another with table=")
    if version < VERSION:
        raise ConfigError(
            f"the SQLite table {table!r} has schema version {version}, older than {VERSION}, the only one used here:"
            " name another table with table=, or drop this one, which ends its sessions"
        )
    if columns != COLUMNS:
        raise ConfigError(f"the SQLite table {table!r} has other columns than ours: name another with table=")
    return True


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    return dict(connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall())


def _version(connection: sqlite3.Connection, table: str) -> int | None:
    if not _columns(connection, VERSIONS_TABLE):
        return None
    query = f"SELECT version FROM {VERSIONS_TABLE} WHERE table_name = ?"  # noqa: S608
    row = connection.execute(query, (table,)).fetchone()
    return None if row is None else int(row[0])
