"""Storages as commands use them: opened for one command, each call under a deadline."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ParamSpec, Self, TypeVar

from ..errors import LionRockError
from ..sessions.link import Deadline
from ..sessions.living import LivingRecords
from ..sessions.manager import SessionManager
from ..settings.config import SessionConfig
from ..storage.contract import JtiRecord, JtiStorage, system_time
from ..storage.registry import open_storage

__all__ = ["LookOnly", "Opened", "existing", "manager_of", "opened"]

P = ParamSpec("P")
T = TypeVar("T")


class Opened:
    """An open storage. Called with a method and its arguments it holds the call to the deadline."""

    def __init__(self, storage: JtiStorage, timeout: float) -> None:
        self.storage = storage
        self.living: LivingRecords = LivingRecords(storage, system_time)
        self._deadline = Deadline(timeout)

    async def __call__(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._deadline(work, *args, **kwargs)

    async def pages(self, batch: int, storage: JtiStorage | None = None) -> AsyncIterator[list[JtiRecord]]:
        """Every live record, page by page; of ``living``, those that are sessions."""
        cursor = None
        while True:
            records, cursor = await self((storage or self.storage).scan, cursor, batch)
            yield records
            if cursor is None:
                return


def existing(url: str) -> JtiStorage:
    """The storage of a URL, which opens where it is there already: a mistyped URL makes no empty one."""
    storage = open_storage(url)
    storage.may_create = False
    return storage


@asynccontextmanager
async def opened(there: JtiStorage, timeout: float) -> AsyncIterator[Opened]:
    """A storage, opened and found serving; closed at the end."""
    storage = Opened(there, timeout)
    try:
        await storage(storage.storage.open)
        await storage(storage.storage.ping)
        yield storage
    finally:
        await storage(storage.storage.aclose)


def manager_of(url: str, timeout: float) -> SessionManager:
    """A manager for what needs no secret: to list and to end sessions."""
    return SessionManager(SessionConfig(storage=existing(url), storage_timeout=timeout), environ={})


class LookOnly(JtiStorage):
    """Reads from another storage and changes nothing in it: a token is judged as by an application, without effect."""

    def __init__(self, inner: JtiStorage) -> None:
        super().__init__(clock=inner.clock)
        self.inner = inner

    @classmethod
    def from_url(cls, url: str) -> Self:
        return cls(existing(url))

    async def open(self) -> None:
        await self.inner.open()

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def get(self, sid: str) -> JtiRecord | None:
        return await self.inner.get(sid)

    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return await self.inner.get_many(sids)

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return await self.inner.list_subject(subject)

    async def ping(self) -> None:
        await self.inner.ping()

    async def insert(self, record: JtiRecord) -> None:
        raise LionRockError("nothing is written while a token is looked at")

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return False

    async def delete(self, sid: str) -> JtiRecord | None:
        return None

    async def purge(self, limit: int) -> int:
        return 0
