"""The open database: one connection that writes and one that reads, so that no read waits for a write's fsync."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any, Self, cast

import aiosqlite

from aiohttp_lionrock.errors import StorageUnavailable

from .connection import DRIVER_ERRORS, connect_reader, unavailable
from .settings import Settings
from .statements import Row
from .transaction import Single, Transaction

__all__ = ["Database"]

Connector = Callable[[], sqlite3.Connection]


class Database:
    """Runs statements and transactions, each in one thread hop; a driver's failure is StorageUnavailable."""

    def __init__(self, path: str, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(cls, settings: Settings, connect: Connector) -> Self:
        """Opens the writer with ``connect``; raises ConfigError where only another configuration helps."""
        try:
            writer = await _start(connect)
            try:
                reader = writer if settings.in_memory else await _start(partial(connect_reader, settings))
            except BaseException:
                await writer.close()
                raise
        except DRIVER_ERRORS as exc:
            raise unavailable(settings.path, exc, maybe_done=False) from exc
        return cls(settings.path, writer, reader)

    async def close(self) -> None:
        """Ends both connections; the writer last, because the last one out merges the WAL into the file."""
        try:
            try:
                await self._reader.close()
            finally:
                await self._writer.close()
        except DRIVER_ERRORS as exc:
            raise unavailable(self._path, exc, maybe_done=False) from exc

    async def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Runs one statement that changes nothing."""
        try:
            return cast(list[Row], await self._reader.execute_fetchall(sql, parameters))
        except DRIVER_ERRORS as exc:
            raise unavailable(self._path, exc, maybe_done=False) from exc

    async def write(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Runs one statement in a transaction of its own."""
        return await self.transact(Single(sql, parameters))

    async def transact(self, transaction: Transaction) -> list[Any]:
        """Gives the results of a transaction when it is committed."""
        try:
            return cast(list[Any], await self._writer.execute_fetchall(Transaction.BEGIN, cast(Any, transaction)))
        except DRIVER_ERRORS as exc:
            raise unavailable(self._path, exc, maybe_done=transaction.maybe_done) from exc

    def refused(self, cause: sqlite3.Error) -> StorageUnavailable:
        """What it means for one write that the database refused it, while its neighbours were committed."""
        failure = unavailable(self._path, cause, maybe_done=True)  # a trigger may refuse and keep what was done
        failure.__cause__ = cause
        return failure


async def _start(connector: Connector) -> aiosqlite.Connection:
    """Connects before aiosqlite comes in: where connecting fails, it leaves its thread behind."""
    connection = await asyncio.to_thread(connector)
    return await _in_daemon_thread(lambda: aiosqlite.Connection(lambda: connection, iter_chunk_size=64))


def _in_daemon_thread(make: Callable[[], aiosqlite.Connection]) -> aiosqlite.Connection:
    """A thread is a daemon, for which the interpreter's exit does not wait, where the one that made it is."""
    made: list[aiosqlite.Connection] = []
    maker = Thread(target=lambda: made.append(make()), daemon=True)
    maker.start()
    maker.join()
    return made[0]
