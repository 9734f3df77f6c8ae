"""MongoStorage: sessions in MongoDB, one document each, for many machines at once.

Importing this file imports no driver: PyMongo is imported when a URL is read or a storage opens, Motor
when a storage made from a URL opens.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from aiohttp_lionrock.errors import ConfigError, CorruptRecord, StorageUnavailable
from aiohttp_lionrock.storage import Clock, Coalescer, JtiRecord, JtiStorage, is_storable_text

from ._settings import DEFAULT_COLLECTION, DEFAULT_TIMEOUT, Target, check_settings

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase
    from pymongo.asynchronous.database import AsyncDatabase

    from ._driver import Database
    from ._motor import Client
    from ._sessions import Sessions

__all__ = ["MongoStorage"]

BATCH = 100_000  # all calls of one moment, so that none waits for a second batch
PURGE_STEP = 1000


class MongoStorage(JtiStorage):
    """Keeps sessions in one MongoDB collection.

    Takes a ready database of Motor or of PyMongo's `AsyncMongoClient`, whose client stays the caller's to close.
    `from_url` makes a Motor client of its own. No call takes longer than ``timeout`` seconds; for `purge`, no thousand.
    """

    def __init__(
        self,
        database: "AsyncIOMotorDatabase[Any] | AsyncDatabase[Any] | Target",
        *,
        collection: str = DEFAULT_COLLECTION,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Clock = time.time,
    ) -> None:
        super().__init__(clock=clock)
        if faults := [*_check_database(database), *check_settings(collection, timeout)]:
            raise ConfigError(faults)
        self.timeout = timeout
        self._database = database
        self._collection = collection
        self._client: Client | None = None
        self._sessions: Sessions | None = None
        self._reads: Coalescer[str, JtiRecord | None] = Coalescer(self._read, default=None, limit=BATCH)
        self._reader: asyncio.Task[Any] | None = None
        self._gates: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @classmethod
    def from_url(cls, url: str) -> Self:
        from ._url import read_url

        target = read_url(url)
        return cls(target, collection=target.collection, timeout=target.timeout)

    def __repr__(self) -> str:
        database = self._database
        place = f"{database.hosts}/{database.database}" if isinstance(database, Target) else database.name
        return f"<{type(self).__name__} {place}.{self._collection}>"

    async def open(self) -> None:
        async with self._gate():
            if self._sessions is None:
                await self._connect()

    async def aclose(self) -> None:
        async with self._gate():
            self._sessions, client, self._client = None, self._client, None
            try:
                if self._reader is not None:
                    await asyncio.wait([self._reader], timeout=self.timeout)
            finally:
                await _close(client)

    async def insert(self, record: JtiRecord) -> None:
        sessions = self._opened()
        await sessions.write(sessions.insert(record, self.clock()))

    async def get(self, sid: str) -> JtiRecord | None:
        self._opened()
        if not is_storable_text(sid):
            return None
        if self._reader is None:
            return await self._reads(sid)  # the batch that begins at this moment keeps to the deadline
        try:
            async with asyncio.timeout(self.timeout):
                return await self._reads(sid)
        except TimeoutError as exc:
            raise StorageUnavailable(f"MongoDB did not answer within {self.timeout:g} s") from exc

    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        wanted = list(dict.fromkeys(filter(is_storable_text, sids)))
        sessions = self._opened()
        found = await sessions.read(sessions.find(wanted, self.clock())) if wanted else {}
        for record in found.values():
            if isinstance(record, CorruptRecord):
                raise record
        return cast("dict[str, JtiRecord]", found)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        sessions = self._opened()
        if type(expected_version) is not int or not 0 <= expected_version < 2**53:
            return False
        return await sessions.write(sessions.replace(record, expected_version, self.clock()))

    async def delete(self, sid: str) -> bool:
        """Ends a session. True for the one caller that removed a live record.

        False as well where the record is gone and only a lost answer could tell who removed it.
        """
        sessions = self._opened()
        if not is_storable_text(sid):
            return False
        return await sessions.write(sessions.delete(sid, self.clock()))

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        sessions = self._opened()
        if not is_storable_text(subject):
            return 0
        kept = keep if is_storable_text(keep) else None
        return await sessions.write(sessions.delete_subject(subject, kept, self.clock()))

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        sessions = self._opened()
        if not is_storable_text(subject):
            return []
        return await sessions.read(sessions.of_subject(subject, self.clock()))

    async def purge(self, now: float, limit: int) -> int:
        sessions = self._opened()
        total = 0
        while (step := min(limit - total, PURGE_STEP)) > 0:
            removed = await sessions.write(sessions.purge(now, step))
            total += removed
            if removed < step:
                break
        return total

    async def ping(self) -> None:
        sessions = self._opened()
        await sessions.read(sessions.ping())

    async def _read(self, sids: Sequence[str]) -> Mapping[str, JtiRecord | CorruptRecord]:
        """One batch of `get`."""
        sessions = self._opened()
        self._reader = asyncio.current_task()
        try:
            return await sessions.read(sessions.find(sids, self.clock()))
        finally:
            self._reader = None

    async def _connect(self) -> None:
        from ._sessions import Sessions

        client, database = self._client_and_database()
        try:
            self._sessions = await Sessions.open(database, self._collection, self.timeout)
        except BaseException:
            await _close(client)
            raise
        self._client = client

    def _client_and_database(self) -> "tuple[Client | None, Database]":
        """The client is ours to close; a ready database comes without one."""
        if not isinstance(self._database, Target):
            return None, cast("Database", self._database)
        from ._motor import connect

        client = connect(self._database)
        return client, cast("Database", client[self._database.database])

    def _opened(self) -> "Sessions":
        if self._sessions is None:
            raise StorageUnavailable("the MongoDB storage is not open: await its open() first")
        return self._sessions

    def _gate(self) -> asyncio.Lock:
        """One lock for each event loop: a lock that was once waited for stays with its loop."""
        loop = asyncio.get_running_loop()
        if self._gates is None or self._gates[0] is not loop:
            self._gates = loop, asyncio.Lock()
        return self._gates[1]


async def _close(client: "Client | None") -> None:
    if client is not None:
        from ._motor import close

        await close(client)


def _check_database(database: object) -> list[str]:
    if isinstance(database, Target):
        return []
    kind = type(database)  # not the object itself: a client and a collection have an attribute of every name
    if kind.__module__.startswith("pymongo.synchronous") or not hasattr(kind, "get_collection"):
        return ["MongoStorage needs a database of Motor or of PyMongo's AsyncMongoClient, or from_url"]
    return []
