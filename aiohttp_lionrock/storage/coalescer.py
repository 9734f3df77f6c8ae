"""Coalescer: the concurrent calls of one moment become one batch. For backends."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from copy import copy
from itertools import islice
from typing import Generic, TypeVar

from ..errors import StorageUnavailable

__all__ = ["Coalescer", "own_copy"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Coalescer(Generic[K, V]):
    """Turns concurrent calls of one event-loop moment into one batch, without a timer.

    ``run`` takes the gathered keys and answers a mapping; a key that it leaves out gets ``default``, a
    value that is an exception is raised to that key's callers alone. While a batch runs, the next one
    gathers. Callers with an equal key share one answer: right for reads; writes need keys that are equal to
    themselves alone. A cancelled caller does not hurt the others.
    """

    def __init__(
        self,
        run: Callable[[Sequence[K]], Awaitable[Mapping[K, V | Exception]]],
        *,
        default: V,
        limit: int = 500,
    ) -> None:
        self._run = run
        self._default = default
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: asyncio.Task[None] | None = None
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        self._running: dict[K, list[asyncio.Future[V]]] = {}

    def __call__(self, key: K) -> Awaitable[V]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # An event loop that has ended took its callers with it; nobody waits for their answers.
            self._loop, self._worker, self._waiting, self._running = loop, None, {}, {}
        future: asyncio.Future[V] = loop.create_future()
        if key in self._waiting:
            self._waiting[key].append(future)
        else:
            self._waiting[key] = [future]
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
            self._worker.add_done_callback(self._ended)
        return future

    async def _work(self) -> None:
        while self._waiting:
            self._running = self._gather()
            keys = list(self._running)
            try:
                answers = await self._run(keys) if keys else {}
            except Exception as exc:
                answers = dict.fromkeys(keys, exc)
            for key, futures in self._running.items():
                _answer(futures, answers.get(key, self._default))

    def _gather(self) -> dict[K, list[asyncio.Future[V]]]:
        """Takes the next batch from those that wait, without the calls that nobody waits for any more."""
        if len(self._waiting) <= self._limit:
            gathered, self._waiting = self._waiting, {}
        else:
            gathered = {key: self._waiting.pop(key) for key in list(islice(self._waiting, self._limit))}
        for key in [key for key, futures in gathered.items() if futures[0].done() and all(f.done() for f in futures)]:
            del gathered[key]
        return gathered

    def _ended(self, worker: asyncio.Task[None]) -> None:
        cause = asyncio.CancelledError() if worker.cancelled() else worker.exception()
        if cause is None:
            return
        failure = StorageUnavailable("the storage was interrupted")
        failure.__cause__ = cause
        for futures in (*self._running.values(), *self._waiting.values()):
            _answer(futures, failure)
        self._running, self._waiting = {}, {}


def _answer(futures: Iterable[asyncio.Future[V]], answer: V | Exception) -> None:
    for future in futures:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(own_copy(answer))
        else:
            future.set_result(answer)


def own_copy(exc: Exception) -> Exception:
    """One for each caller: an exception that is raised in many tasks would gather the tracebacks of all."""
    try:
        twin = copy(exc)
    except Exception:  # another library's, which cannot be copied
        return exc
    twin.__cause__ = exc.__cause__
    return twin
