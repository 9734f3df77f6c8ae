"""Repairs: finishes in the background what an unanswered storage call left unknown."""

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import StorageError
from ..log import logger

__all__ = ["Repairs"]

MAX_PENDING = 10_000
FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 2.0
GIVE_UP_AFTER = 600.0

Job = Callable[[int], Awaitable[bool]]


class Repairs:
    """Jobs by key, each tried again until it returns True, the storage stays away too long, or `aclose`.

    A job is given the number of its try, from 1; one that met an unavailable storage does not count.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def open(self) -> None:
        """Takes jobs again after `aclose`."""
        self._closed = False

    def add(self, key: str, job: Job) -> None:
        """Starts a job; a key that is at work already, and jobs beyond a sane number, are left out."""
        if self._closed or key in self._tasks or len(self._tasks) >= MAX_PENDING:
            return
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def _run(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        deadline, pause, attempt = loop.time() + GIVE_UP_AFTER, FIRST_PAUSE, 0
        while loop.time() < deadline:
            try:
                if await job(attempt := attempt + 1):
                    return
            except StorageError:
                attempt -= 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        logger.warning("a storage call of unknown outcome could not be settled within %d s", GIVE_UP_AFTER)

    async def aclose(self) -> None:
        """Stops all jobs, and takes no more."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
