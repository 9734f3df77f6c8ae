"""Storages that behave as real ones do on a bad day: slow in any order, failing, hanging, late, away."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from aiohttp_lionrock import JtiRecord, JtiStorage, StorageUnavailable

__all__ = ["FaultyStorage", "Interleaved", "Recorder", "Wrapper"]

T = TypeVar("T")
Call = Callable[[], Awaitable[T]]


class Wrapper(JtiStorage):
    """Passes every call on to another storage through `around`."""

    def __init__(self, inner: JtiStorage) -> None:
        super().__init__(clock=inner.clock)
        self.inner = inner

    @classmethod
    def from_url(cls, url: str) -> Self:
        raise NotImplementedError("a wrapper is given the storage that it wraps")

    async def around(self, name: str, call: Call[T]) -> T:
        return await call()

    async def open(self) -> None:
        await self.around("open", self.inner.open)

    async def aclose(self) -> None:
        await self.around("aclose", self.inner.aclose)

    async def insert(self, record: JtiRecord) -> None:
        await self.around("insert", lambda: self.inner.insert(record))

    async def get(self, sid: str) -> JtiRecord | None:
        return await self.around("get", lambda: self.inner.get(sid))

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

    async def ping(self) -> None:
        await self.around("ping", self.inner.ping)


class Recorder(Wrapper):
    """Remembers the name of every call, and each record that was stored, in order."""

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


class Interleaved(Recorder):
    """Gives the event loop to others around every call, for a random but repeatable number of turns."""

    def __init__(self, inner: JtiStorage, seed: int = 0, turns: int = 4) -> None:
        super().__init__(inner)
        self._random = random.Random(seed)
        self._turns = turns

    async def around(self, name: str, call: Call[T]) -> T:
        await self._pause()
        answer = await super().around(name, call)
        await self._pause()
        return answer

    async def _pause(self) -> None:
        for _ in range(self._random.randrange(self._turns)):
            await asyncio.sleep(0)


class FaultyStorage(Recorder):
    """Fails as it is told to. What a call did is unknown to its caller in every mode but ``before``.

    ``before`` fails and does nothing; ``after`` does its work, then fails; ``hang`` never answers and does
    nothing; ``hang after`` does its work, then never answers; ``late`` never answers, and does its work
    ``LATE`` seconds after its caller gave up.
    """

    MODES = ("before", "after", "hang", "hang after", "late")
    LATE = 0.03

    def __init__(self, inner: JtiStorage) -> None:
        super().__init__(inner)
        self._faults: dict[str, list[str]] = {}
        self._late: set[asyncio.Task[object]] = set()
        self.down = False

    def fail(self, name: str, mode: str = "before", times: int = 1, skip: int = 0) -> None:
        """``times`` calls of this name go wrong, after ``skip`` that do not."""
        assert mode in self.MODES
        self._faults[name] = [""] * skip + [mode] * times

    def heal(self) -> None:
        """Nothing goes wrong from now on."""
        self._faults.clear()
        self.down = False

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing works inside this block."""
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
        mode = planned.pop(0) if planned else ""
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
