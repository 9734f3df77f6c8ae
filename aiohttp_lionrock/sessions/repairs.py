"""Repairs: what follows an answer, and what an unanswered storage call left unknown, is settled in the background.

One worker takes the most urgent first, many at a time, and waits longer from try to try while the storage is away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, IntEnum
from heapq import heappop, heappush
from random import uniform

from ..errors import CorruptRecord, LionRockError, StorageError
from ..log import logger

__all__ = ["Repairs", "Urgency"]

MOST = 10_000  # that wait at one time
BATCH = 100
UNTOLD_BATCH = 20  # of each kind that nobody waits for: the end of an outage belongs to those who wait for an answer
CLOSING = 2.0  # seconds
FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 5.0
SHORTEST_OUTAGE = 0.5
GIVE_UP_AFTER = 600.0
REPORT_EVERY = 60.0

Job = Callable[[], Awaitable[bool]]


class Urgency(IntEnum):
    """What comes first, and what is given up last."""

    HELD = 0  # what somebody holds the cookies of
    LEEWAY = 1  # a replaced token that is honoured until this is done
    UNTOLD = 2  # what nobody was ever told of
    SEEN = 3  # when a session was last used


class _Outcome(Enum):
    DONE = "settled"
    AGAIN = "the storage has answered, and is to be asked once more"
    AWAY = "the storage cannot answer"


class _Repair:
    __slots__ = ("due", "ends", "job", "key", "outcome", "tries", "urgency")

    def __init__(self, urgency: Urgency, key: str, job: Job, now: float) -> None:
        self.urgency = urgency
        self.key = key
        self.job = job
        self.tries = 0
        self.outcome = _Outcome.AGAIN
        self.due = now
        self.ends = now + GIVE_UP_AFTER

    def __lt__(self, other: "_Repair") -> bool:
        return self.due < other.due


class Repairs:
    """Jobs by key, each tried until it returns True, until the storage has stayed away too long, or `aclose`.

    ``deadline`` runs a job within the storage's time; a job that meets a storage that cannot answer comes again.
    """

    def __init__(self, deadline: Callable[[Job], Awaitable[bool]]) -> None:
        self._deadline = deadline
        self._queues: dict[Urgency, list[_Repair]] = {urgency: [] for urgency in Urgency}
        self._keys: set[tuple[Urgency, str]] = set()
        self._worker: asyncio.Task[None] | None = None
        self._news, self._back = asyncio.Event(), asyncio.Event()
        self._closed = False
        self._failures = 0  # batches in a row that met a storage that was away
        self._lost = 0
        self._reported = float("-inf")

    def open(self) -> None:
        """Takes jobs again after `aclose`."""
        self._closed = False

    def add(self, urgency: Urgency, key: str, job: Job) -> None:
        """Takes a job, unless one of its urgency and key waits already. Beyond a bound the least urgent is given up."""
        if (urgency, key) in self._keys:
            return
        loop = asyncio.get_running_loop()
        if self._closed or (len(self._keys) >= MOST and not self._give_up_below(urgency)):
            self._report_lost(loop.time())
            return
        self._put(_Repair(urgency, key, job, loop.time()))
        if self._worker is None or self._worker.done() or self._worker.get_loop() is not loop:
            self._news, self._back = asyncio.Event(), asyncio.Event()  # of the loop that runs now
            self._worker = loop.create_task(self._work())
        self._news.set()

    def wake(self) -> None:
        """Says that the storage answers: it need not be waited for any more."""
        if self._failures:
            self._back.set()

    async def aclose(self) -> None:
        """Tries what is left once more, and takes no more."""
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is not None and worker.get_loop() is asyncio.get_running_loop():
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        left = [repair for queue in self._queues.values() for repair in queue]
        await self._try_all(left)
        for queue in self._queues.values():
            queue.clear()
        self._keys.clear()
        lost, self._lost = self._lost + sum(repair.outcome is not _Outcome.DONE for repair in left), 0
        if lost:
            logger.warning("%d session records were left to be settled when the session manager closed", lost)

    async def _try_all(self, left: list[_Repair]) -> None:
        """Many at a time, until the storage is away or closing has taken long enough."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + CLOSING
        for first in range(0, len(left), BATCH):
            batch = left[first : first + BATCH]
            await asyncio.gather(*map(self._try, batch))
            if loop.time() >= ends or all(repair.outcome is _Outcome.AWAY for repair in batch):
                return

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._keys:
            batch = self._take(loop.time())
            try:
                await asyncio.gather(*map(self._try, batch))
            finally:  # also where `aclose` ends this, and tries the rest itself
                is_away = bool(batch) and all(repair.outcome is _Outcome.AWAY for repair in batch)
                for repair in batch:
                    if repair.outcome is not _Outcome.DONE:
                        self._again(repair, loop.time(), waits=not is_away)
            if batch:
                self._failures = self._failures + 1 if is_away else 0
            if is_away:
                await self._wait_for_storage(_pause_after(self._failures))  # this batch stands for all
            elif self._keys:
                await _wait(self._news, self._next_due() - loop.time())

    async def _try(self, repair: _Repair) -> None:
        repair.tries += 1
        try:
            repair.outcome = _Outcome.DONE if await self._deadline(repair.job) else _Outcome.AGAIN
        except CorruptRecord:
            repair.outcome = _Outcome.AGAIN
        except StorageError:
            repair.outcome = _Outcome.AWAY
        except LionRockError:
            repair.outcome = _Outcome.DONE  # the storage has answered, and there is nothing left to be done
        except Exception:
            logger.exception("a session record could not be settled")
            repair.outcome = _Outcome.DONE

    def _take(self, now: float) -> list[_Repair]:
        """The most urgent that are due."""
        batch: list[_Repair] = []
        for urgency, queue in self._queues.items():
            most = BATCH if urgency < Urgency.UNTOLD else min(BATCH, len(batch) + UNTOLD_BATCH)
            while queue and queue[0].due <= now and len(batch) < most:
                repair = heappop(queue)
                self._keys.discard((repair.urgency, repair.key))
                batch.append(repair)
        return batch

    def _put(self, repair: _Repair) -> None:
        heappush(self._queues[repair.urgency], repair)
        self._keys.add((repair.urgency, repair.key))

    def _again(self, repair: _Repair, now: float, *, waits: bool) -> None:
        if now >= repair.ends:
            self._report_lost(now)
        elif (repair.urgency, repair.key) not in self._keys:
            repair.due = now + _pause_after(repair.tries) if waits else now
            self._put(repair)

    def _next_due(self) -> float:
        return min(queue[0].due for queue in self._queues.values() if queue)

    async def _wait_for_storage(self, seconds: float) -> None:
        """Waits so long or, after some tenths of a second, until a request finds that the storage answers."""
        at_least = min(seconds, SHORTEST_OUTAGE)
        await asyncio.sleep(at_least)
        await _wait(self._back, seconds - at_least)

    def _give_up_below(self, urgency: Urgency) -> bool:
        """Makes room by giving up the newest of the least urgent, where that is less urgent than this."""
        for lower in reversed(Urgency):
            if lower > urgency and self._queues[lower]:
                given_up = self._queues[lower].pop()
                self._keys.discard((given_up.urgency, given_up.key))
                self._report_lost(asyncio.get_running_loop().time())
                return True
        return False

    def _report_lost(self, now: float) -> None:
        self._lost += 1
        if now - self._reported >= REPORT_EVERY:
            logger.warning(
                "%d session records of unknown state were given up: the storage was away too long, or too much waits",
                self._lost,
            )
            self._reported, self._lost = now, 0


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until the event happens from now on."""
    event.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()


def _pause_after(tries: int) -> float:
    longest: float = min(FIRST_PAUSE * 2 ** min(tries, 10), LONGEST_PAUSE)
    return uniform(0.5, 1) * longest  # noqa: S311 - the end of an outage must not be a stampede
