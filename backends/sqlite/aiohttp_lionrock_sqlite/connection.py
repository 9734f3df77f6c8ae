"""One connection to the database, made ready outside the event loop, and what SQLite's errors mean."""

import sqlite3
import time
from contextlib import suppress
from operator import methodcaller
from pathlib import Path
from typing import Any

from aiohttp_lionrock.errors import ConfigError, StorageUnavailable

from . import schema
from .place import WAY_OUT, Identities, check_access, check_there, files_of, identities, prepare_folder, unusable
from .settings import Settings
from .transaction import Transaction

__all__ = ["DRIVER_ERRORS", "connect_memory", "connect_reader", "connect_writer", "unavailable"]

DRIVER_ERRORS = (sqlite3.Error, OSError, ValueError)  # aiosqlite says with a ValueError that it is closed
OLDEST_SQLITE = (3, 37, 0)  # the first with STRICT tables
PAGE_SIZE = 1024  # bytes, of a new file: a changed record of 250 bytes takes its page along, to the WAL and back
WAL_SIZE = 4 * 2**20  # bytes, about, after which the WAL is merged into the file
OPENING_PATIENCE = 5  # times busy_timeout: many processes may open one fresh file at once

_MEANING = {
    sqlite3.SQLITE_BUSY: "another connection kept it locked for longer than busy_timeout",
    sqlite3.SQLITE_FULL: "the disk or the quota is full: free some space",
    sqlite3.SQLITE_READONLY: "it is read-only: let this process write the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: let this process read and write the file and its folder",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database: restore it from a backup, or name another",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore it from a backup",
    sqlite3.SQLITE_IOERR: "the disk or the file system failed, or has become read-only",
}

# Text that is not UTF-8 must not fail a whole statement: it is found out when its row becomes a record.
_decode = methodcaller("decode", "utf-8", "surrogateescape")


def unavailable(path: str, exc: Exception, *, maybe_done: bool) -> StorageUnavailable:
    """What a driver's error means for the database at this path; raise it ``from`` that error."""
    meaning = _MEANING.get(_code(exc))
    text = f"SQLite database {path}: {f'{meaning} ({exc})' if meaning else exc}"
    return StorageUnavailable(text, maybe_done=maybe_done)


def connect_writer(settings: Settings, may_create: bool) -> sqlite3.Connection:
    """Opens or creates the file and its table. Blocks; raises ConfigError, StorageUnavailable and DRIVER_ERRORS."""
    _check_sqlite()
    if not may_create:
        check_there(settings.path)
    prepare_folder(settings.path, settings.create_parents)
    check_access(settings.path)
    connection = _connect(settings, mode="rwc" if may_create else "rw")
    try:
        is_there = schema.is_there(connection, settings.table)  # before anything is changed: it may be another's file
        if not is_there and not may_create:
            raise unusable(settings.path, f"there is no table {settings.table}; {WAY_OUT}")
        _use_wal(connection, settings)
        connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
        schema.prepare(connection, settings.table)
        connection.watch(settings)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(settings: Settings) -> sqlite3.Connection:
    """A second connection to the file that `connect_writer` has made ready, for reading only. Blocks."""
    connection = _connect(settings, mode="rw")
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.watch(settings)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_memory(settings: Settings, may_create: bool) -> sqlite3.Connection:
    """A private database in memory, with its table."""
    _check_sqlite()
    if not may_create:
        raise unusable(settings.path, "a database in memory is seen by the process of its application alone")
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=_MemoryConnection)
    connection.text_factory = _decode
    schema.prepare(connection, settings.table)
    return connection


class _Connection(sqlite3.Connection):
    """The driver's thread calls ``execute(...).fetchall()`` in one go: the way in for a whole transaction."""

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        if isinstance(parameters, Transaction):
            self._execute(sql)
            return parameters.run(self)
        return self._execute(sql, parameters)

    def _execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return super().execute(sql, parameters)


class _FileConnection(_Connection):
    """Waits for locks, and does not go on in a file that is no longer there."""

    patience = 0.0
    files: tuple[str, ...] = ()
    found: Identities = ()

    def watch(self, settings: Settings) -> None:
        """Ends the opening: from now on each of the three files must stay the one that it is."""
        self.files = files_of(settings.path)
        self.found = identities(self.files)
        self.patience = settings.busy_timeout

    def _execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        deadline = time.monotonic() + self.patience
        while True:
            self._check_place()
            try:
                return super()._execute(sql, parameters)
            except sqlite3.OperationalError as exc:
                if _code(exc) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
            # SQLite's own waiting looks every 100 ms in the end, and starves beside a busy writer.
            time.sleep(0.001)

    def _check_place(self) -> None:
        if self._is_moved():
            raise sqlite3.OperationalError(
                "the file, its -wal or its -shm was deleted or replaced while it was open: put it back,"
                " or restart the application"
            )

    def close(self) -> None:
        with suppress(sqlite3.Error, OSError):
            if self._is_moved():
                # SQLite would leave the old WAL behind, and play it into the file that has come in the old one's place.
                super()._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        super().close()

    def _is_moved(self) -> bool:
        """SQLite would go on in a deleted file without a word, and what it acknowledged would be lost."""
        try:
            return identities(self.files) != self.found
        except FileNotFoundError:
            return True


class _MemoryConnection(_Connection):
    """A private database would end with its connection; this one lives for as long as its storage."""

    def close(self) -> None:
        pass

    def __del__(self) -> None:
        super().close()


def _connect(settings: Settings, mode: str) -> _FileConnection:
    uri = f"{Path(settings.path).as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False, factory=_FileConnection
    )
    connection.text_factory = _decode
    connection.patience = settings.busy_timeout * OPENING_PATIENCE
    return connection


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigError(f"SQLite {oldest} or newer is needed; this Python has {sqlite3.sqlite_version}")


def _use_wal(connection: sqlite3.Connection, settings: Settings) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise ConfigError(
            f"SQLite database {settings.path}: its journal stays in mode {mode!r} where WAL is needed:"
            " put the file on a local file system"
        )
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_SIZE // page_size}")


def _code(exc: Exception) -> int:
    """SQLite's primary result code; 0 where the error is not SQLite's."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF
