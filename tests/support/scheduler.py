"""Every order in which the storage calls of a few requests can happen, each run once, by one choice after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from aiohttp_lionrock import JtiStorage

from .storages import Call, Recorder, T

__all__ = ["Gates", "Schedule", "schedules"]

TURNS = 12  # of the event loop, in which whatever can go on without the storage has gone on
LONGEST = 400  # choices in one run


class Schedule:
    """The choices of one run: those given first, then always the first one. ``widths`` is how many there were."""

    def __init__(self, prefix: tuple[int, ...] = ()) -> None:
        self._prefix = prefix
        self.chosen: list[int] = []
        self.widths: list[int] = []

    def choose(self, width: int) -> int:
        at = len(self.chosen)
        choice = self._prefix[at] if at < len(self._prefix) else 0
        self.chosen.append(choice)
        self.widths.append(width)
        assert at < LONGEST, "the requests do not come to an end"
        return choice

    def next(self) -> "Schedule | None":
        """The run after this one in lexical order, or None after the last."""
        for at in reversed(range(len(self.chosen))):
            if self.chosen[at] + 1 < self.widths[at]:
                return Schedule((*self.chosen[:at], self.chosen[at] + 1))
        return None


def schedules() -> Iterator[Schedule]:
    """All of them; each is to be run before the next one is asked for."""
    schedule: Schedule | None = Schedule()
    while schedule is not None:
        yield schedule
        schedule = schedule.next()


class Gates(Recorder):
    """Stops each call of another storage, while ``run`` lets one of them go at a time.

    Each stops before its work, and with ``after`` once more behind it: what a process does between two calls matters
    to the others only where they share its memory.
    """

    def __init__(self, inner: JtiStorage, *, after: bool = True) -> None:
        super().__init__(inner)
        self._after = after
        self._is_open = True
        self._stopped: list[asyncio.Future[None]] = []

    async def around(self, name: str, call: Call[T]) -> T:
        await self._stop()
        self.calls.append(name)
        answer = await call()
        if self._after:
            await self._stop()
        return answer

    async def _stop(self) -> None:
        if self._is_open:
            return
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopped.append(gate)
        try:
            await gate
        finally:
            if gate in self._stopped:
                self._stopped.remove(gate)

    async def run(self, schedule: Schedule, *requests: Coroutine[Any, Any, Any]) -> list[Any]:
        """Runs requests and what they leave in the background in the order of a schedule; the answers or exceptions."""
        self._is_open = False
        tasks = [asyncio.create_task(request) for request in requests]
        try:
            await self._turn()
            while self._stopped:
                self._stopped.pop(schedule.choose(len(self._stopped))).set_result(None)
                await self._turn()
            return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        finally:
            self._is_open = True

    async def run_to(self, stop: int, request: Awaitable[T], then: Callable[["asyncio.Task[T]"], object]) -> T:
        """Runs one request, and does something to its task where it stops for the ``stop`` th time, if it does."""
        self._is_open = False
        task = asyncio.ensure_future(request)
        await self._turn()
        for _ in range(stop):
            if self._stopped:
                self._stopped.pop(0).set_result(None)
                await self._turn()
        then(task)  # type: ignore[arg-type]
        self._is_open = True
        await self._turn()
        for gate in self._stopped[:]:
            if not gate.done():
                gate.set_result(None)
        return await task

    async def _turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
