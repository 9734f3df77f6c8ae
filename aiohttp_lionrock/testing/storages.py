"""Storages around another one: one that counts the calls, and one that fails as it is told."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Self, TypeVar

from ..errors import ConfigError, StorageUnavailable
from ..storage.contract import JtiRecord, JtiStorage

__all__ = ["Call", "FaultyStorage", "Mode", "Recorder", "Wrapper"]

T = TypeVar("T")
Call = Callable[[], Awaitable[T]]
Mode = Literal["before", "after", "hang", "hang after", "late"]


class Wrapper(JtiStorage):
    """Passes every call on to another storage, ``inner``, through `around`."""

    def __init__(self, inner: JtiStorage) -> None:
        super().__init__(clock=inner.clock)
        self.inner = inner

    @classmethod
    def from_url(cls, url: str) -> Self:
        raise ConfigError(f"{cls.__name__} has no URL: it is given the storage that it wraps")

    async def around(self, name: str, call: Call[T]) -> T:
        """Makes one call; ``name`` is that of the method."""
        return await call()

    async def open(self) -> None:
        await self.around("open", self.inner.open)

    async def aclose(self) -> None:
        await self.around("aclose", self.inner.aclose)

    async def insert(self, record: JtiRecord) -> None:
        await self.around("insert", lambda: self.inner.insert(record))

    async def get(self, sid: str) -> JtiRecord | None:
        return await self.around("get", lambda: self.inner.get(sid))

    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return await self.around("get_many", lambda: self.inner.get_many(sids))

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await self.around("replace", lambda: self.inner.replace(record, expected_version))

    async def delete(self, sid: str) -> JtiRecord | None:
        return await self.around("delete", lambda: self.inner.delete(sid))

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        return await self.around("delete_subject", lambda: self.inner.delete_subject(subject, keep))

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return await self.around("list_subject", lambda: self.inner.list_subject(subject))

    async def purge(self, limit: int) -> int:
        return await self.around("purge", lambda: self.inner.purge(limit))

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        return await self.around("scan", lambda: self.inner.scan(cursor, limit))

    async def ping(self) -> None:
        await self.around("ping", self.inner.ping)


class Recorder(Wrapper):
    """Remembers in ``calls`` the name of every call, and in ``stored`` each record that was stored, in order."""

    def __init__(self, inner: JtiStorage) -> None:
        super().__init__(inner)
        self.calls: list[str] = []
        self.stored: list[JtiRecord] = []

    async def around(self, name: str, call: Call[T]) -> T:
        self.calls.append(name)
        return await super().around(name, call)

    async def insert(self, record: JtiRecord) -> None:
        await super().insert(record)
        self.stored.append(record)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        replaced = await super().replace(record, expected_version)
        if replaced:
            self.stored.append(record)
        return replaced


class FaultyStorage(Recorder):
    """A storage that fails as it is told to. What a call did is unknown to its caller in every mode but ``before``.

    ``before`` fails and does nothing; ``after`` does its work, then fails; ``hang`` never answers and does
    nothing; ``hang after`` does its work, then never answers; ``late`` never answers, and does its work
    ``LATE`` seconds after its caller gave up.
    """

    MODES: tuple[Mode, ...] = ("before", "after", "hang", "hang after", "late")
    LATE = 0.03

    def __init__(self, inner: JtiStorage) -> None:
        super().__init__(inner)
        self._faults: dict[str, list[Mode | None]] = {}
        self._late: set[asyncio.Task[object]] = set()
        self.down: bool = False

    def fail(self, name: str, mode: Mode = "before", times: int = 1, skip: int = 0) -> None:
        """``times`` calls of the method of this name go wrong, after ``skip`` that do not."""
        if mode not in self.MODES:
            raise ValueError(f"mode must be one of {', '.join(self.MODES)}")
        self._faults[name] = [*[None] * skip, *[mode] * times]

    def heal(self) -> None:
        """Nothing goes wrong from now on."""
        self._faults.clear()
        self.down = False

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing works inside this block: every call raises StorageUnavailable."""
        self.down = True
        try:
            yield
        finally:
            self.down = False

    async def late_work(self) -> None:
        """Waits until everything that was to happen late has happened."""
        await asyncio.gather(*self._late, return_exceptions=True)

    async def around(self, name: str, call: Call[T]) -> T:
        self.calls.append(name)
        if self.down:
            raise StorageUnavailable(f"{name}: the storage is away")
        planned = self._faults.get(name)
        mode = planned.pop(0) if planned else None
        if mode == "before":
            raise StorageUnavailable(f"{name}: refused")
        if mode == "late":
            await self._hang_and_do_it_late(call)
        if mode in ("hang", "late"):
            await asyncio.Event().wait()
        answer = await call()
        if mode == "after":
            raise StorageUnavailable(f"{name}: the acknowledgement was lost")
        if mode == "hang after":
            await asyncio.Event().wait()
        return answer

    async def _hang_and_do_it_late(self, call: Call[object]) -> None:
        async def work() -> None:
            await asyncio.sleep(self.LATE)
            await call()

        try:
            await asyncio.Event().wait()
        finally:
            task = asyncio.create_task(work())
            self._late.add(task)
            task.add_done_callback(self._late.discard)
