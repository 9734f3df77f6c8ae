"""Patience: a time-out that the event loop's own delays do not use up."""

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["Patience"]

STEPS = 10


class Patience:
    """As `asyncio.timeout`: raises TimeoutError where its block takes longer than so many seconds.

    They are counted in steps. A step that ends late, because something else kept the event loop, counts once: an
    answer that waits for its turn meanwhile is not late.
    """

    __slots__ = ("_left", "_limit", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._left = STEPS
        self._seconds = seconds / STEPS
        self._limit = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._timer = self._loop.call_later(self._seconds, self._go_on)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(exc_type, exc, tb)

    def _go_on(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._seconds, self._go_on)
        else:
            self._limit.reschedule(self._loop.time())
