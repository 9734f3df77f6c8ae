"""MongoStorage: one document for each session. No driver is imported before a URL is read or a storage opens."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from aiohttp_lionrock.errors import ConfigError, CorruptRecord, StorageUnavailable
from aiohttp_lionrock.storage import Clock, Coalescer, JtiRecord, JtiStorage, Patience, is_storable_text

from .documents import to_record
from .settings import DEFAULT_COLLECTION, DEFAULT_TIMEOUT, Target, check_database, check_settings

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase
    from pymongo.asynchronous.database import AsyncDatabase

    from .calls import Calls
    from .driver import Database
    from .motor import Client
    from .sessions import Sessions

__all__ = ["MongoStorage"]

BATCH = 100_000  # all calls of one moment, so that none waits for a second batch
PURGE_STEP = 1000
OTHER_LOOP = "the client of this MongoDB database serves another event loop: make the client in this one, or give a URL"


@dataclass(frozen=True, slots=True)
class _Open:
    """What `open` took. ``client`` is ours to close; a ready database comes without one."""

    loop: asyncio.AbstractEventLoop
    client: "Client | None"
    sessions: "Sessions"
    calls: "Calls"


class MongoStorage(JtiStorage):
    """Keeps sessions in one MongoDB collection.

    Takes a database of Motor or of PyMongo's `AsyncMongoClient`, whose client the caller closes. `from_url` makes a
    Motor client. No call takes longer than ``timeout`` seconds, and `purge` no longer for 1,000 records.
    """

    CONTRACT: ClassVar[int] = 1

    def __init__(
        self,
        database: "AsyncIOMotorDatabase[Any] | AsyncDatabase[Any] | Target",
        *,
        collection: str = DEFAULT_COLLECTION,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        if faults := [*check_database(database), *check_settings(collection, timeout)]:
            raise ConfigError(faults)
        self.timeout = timeout
        self._database = database
        self._collection = collection
        self._open: _Open | None = None
        self._reads: Coalescer[str, JtiRecord | None] = Coalescer(self._read, default=None, limit=BATCH)
        self._reader: asyncio.Task[Any] | None = None
        self._gates: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @property
    def waits(self) -> Mapping[str, float]:
        return {"timeout": self.timeout} if self.timeout != DEFAULT_TIMEOUT else {}

    @classmethod
    def from_url(cls, url: str) -> Self:
        from .url import read_url

        target = read_url(url)
        return cls(target, collection=target.collection, timeout=target.timeout)

    def __repr__(self) -> str:
        database = self._database
        place = f"{database.hosts}/{database.database}" if isinstance(database, Target) else database.name
        return f"<{type(self).__name__} {place}.{self._collection}>"

    async def open(self) -> None:
        async with self._gate():
            if self._open is not None and self._open.loop is asyncio.get_running_loop():
                return
            if self._open is not None and self._open.loop.is_running():
                raise StorageUnavailable(
                    "the MongoDB storage is open in another event loop, which still runs: send the call there, "
                    "as asyncio.run_coroutine_threadsafe does",
                    maybe_done=False,
                )
            await self._let_go()  # of what an event loop that ended without aclose has left
            self._open = await self._connect()

    async def aclose(self) -> None:
        async with self._gate():
            await self._let_go()

    async def insert(self, record: JtiRecord) -> None:
        opened = self._opened()
        await opened.calls.write(opened.sessions.insert(record, self.clock()))

    async def get(self, sid: str) -> JtiRecord | None:
        self._opened()
        if not is_storable_text(sid):
            return None
        if self._reader is None:
            return await self._reads(sid)  # the batch that begins at this moment keeps to the deadline
        try:
            async with Patience(self.timeout):
                return await self._reads(sid)
        except TimeoutError as exc:
            raise StorageUnavailable(f"MongoDB did not answer within {self.timeout:g} s", maybe_done=False) from exc

    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        wanted = list(dict.fromkeys(filter(is_storable_text, sids)))
        opened = self._opened()
        found = await opened.calls.read(opened.sessions.find(wanted, self.clock())) if wanted else {}
        for record in found.values():
            if isinstance(record, CorruptRecord):
                raise record
        return cast("dict[str, JtiRecord]", found)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        opened = self._opened()
        if type(expected_version) is not int or not 0 <= expected_version < 2**53:
            return False
        return await opened.calls.write(opened.sessions.replace(record, expected_version, self.clock()))

    async def delete(self, sid: str) -> JtiRecord | None:
        """Ends a session: the live record that this one call removed, or None.

        Where the answer of MongoDB is lost and the record is gone, it is the record that was there a moment before,
        although another call may have removed it. Raises CorruptRecord where what was removed is not a record.
        """
        opened = self._opened()
        if not is_storable_text(sid):
            return None
        removed = await opened.calls.write(opened.sessions.delete(sid, self.clock()))
        return None if removed is None else to_record(removed)

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        opened = self._opened()
        if not is_storable_text(subject):
            return 0
        kept = keep if is_storable_text(keep) else None
        return await opened.calls.write(opened.sessions.delete_subject(subject, kept, self.clock()))

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        opened = self._opened()
        if not is_storable_text(subject):
            return []
        return await opened.calls.read(opened.sessions.of_subject(subject, self.clock()))

    async def purge(self, limit: int) -> int:
        opened = self._opened()
        now, total = self.clock(), 0
        while (step := min(limit - total, PURGE_STEP)) > 0:
            removed = await opened.calls.write(opened.sessions.purge(now, step))
            total += removed
            if removed < step:
                break
        return total

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        opened = self._opened()
        limit = max(limit, 0)
        records = await opened.calls.read(opened.sessions.scan(cursor, limit + 1, self.clock()))
        page = records[:limit]
        return page, page[-1].sid if page and len(records) > limit else None

    async def ping(self) -> None:
        opened = self._opened()
        await opened.calls.read(opened.sessions.ping())

    async def facts(self) -> Mapping[str, str]:
        opened = self._opened()
        return await opened.calls.read(opened.sessions.facts(self.clock))

    async def _read(self, sids: Sequence[str]) -> Mapping[str, JtiRecord | CorruptRecord]:
        """One batch of `get`."""
        opened = self._opened()
        self._reader = asyncio.current_task()
        try:
            return await opened.calls.read(opened.sessions.find(sids, self.clock()))
        finally:
            self._reader = None

    async def _connect(self) -> _Open:
        from .calls import Calls
        from .driver import hosts_of
        from .reasons import Place
        from .sessions import Sessions

        client, database = self._client_and_database()
        hosts = self._database.hosts if isinstance(self._database, Target) else hosts_of(database)
        place = Place(database, hosts)
        calls = Calls(place, self.timeout)
        try:
            sessions = await Sessions.open(place, self._collection, calls, may_create=self.may_create)
        except BaseException as exc:
            await _close(client)
            if client is None and isinstance(exc, RuntimeError):  # each driver's word for an event loop not its own
                raise StorageUnavailable(OTHER_LOOP, maybe_done=False) from exc
            raise
        return _Open(asyncio.get_running_loop(), client, sessions, calls)

    async def _let_go(self) -> None:
        opened, self._open = self._open, None
        if opened is None:
            return
        try:
            if opened.loop is not asyncio.get_running_loop():
                self._reader = None
            elif self._reader is not None:
                await asyncio.wait([self._reader], timeout=self.timeout)
        finally:
            await _close(opened.client)

    def _client_and_database(self) -> "tuple[Client | None, Database]":
        """The client is ours to close; a ready database comes without one."""
        if not isinstance(self._database, Target):
            return None, cast("Database", self._database)
        from .motor import connect

        client = connect(self._database)
        return client, cast("Database", client[self._database.database])

    def _opened(self) -> _Open:
        opened = self._open
        if opened is None or opened.loop is not asyncio.get_running_loop():
            raise StorageUnavailable("the MongoDB storage is not open: await its open() first", maybe_done=False)
        return opened

    def _gate(self) -> asyncio.Lock:
        """One lock for each event loop: a lock that was once waited for stays with its loop."""
        loop = asyncio.get_running_loop()
        if self._gates is None or self._gates[0] is not loop:
            self._gates = loop, asyncio.Lock()
        return self._gates[1]


async def _close(client: "Client | None") -> None:
    if client is not None:
        from .motor import close

        await close(client)
