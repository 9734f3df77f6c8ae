"""The faults: what is done to a replica set while people use it. Each returns when all members serve again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pymongo.errors import PyMongoError

from .history import Fault

if TYPE_CHECKING:
    from support.mongod import Mongod, ReplicaSet

__all__ = ["DISRUPTIONS", "Disruptor"]

ATTEMPTS = 10
ALONE = 1.5  # seconds that a primary is one although nobody follows; it gives up after the election time-out

P = ParamSpec("P")
T = TypeVar("T")

# Its threads last as long as the tests: a server dies with the thread that started it.
HANDS = ThreadPoolExecutor(3, thread_name_prefix="disruptor")


@dataclass(frozen=True)
class Disruptor:
    """Breaks a replica set and lets it heal. ``pause`` is how long a member stays frozen or dead, in seconds."""

    members: "ReplicaSet"
    pause: float

    async def step_down(self) -> Fault:
        """``replSetStepDown``: the primary hands over."""
        began, old = await self._begin()
        await _insist(self.members.step_down)
        elected = await self._elected(old)
        return await self._end("step down", began, elected)

    async def kill_primary(self) -> Fault:
        """``kill -9``; the member comes back after a while."""
        began, old = await self._begin()
        await _off_the_loop(old.kill)
        elected = await self._elected(old)
        await _until(began + self.pause)
        await _off_the_loop(old.restart)
        return await self._end("kill -9 of the primary", began, elected)

    async def freeze_primary(self) -> Fault:
        """SIGSTOP of the primary: its connections stay open and say nothing. Then it wakes, and knows nothing."""
        began, old = await self._begin()
        old.stop()
        try:
            elected = await self._elected(old)
            await _until(began + self.pause)
        finally:
            old.cont()
        return await self._end("SIGSTOP of the primary", began, elected)

    async def freeze_secondaries(self) -> Fault:
        """SIGSTOP of both secondaries: the primary is alone, and gives up being one."""
        began, primary = await self._begin()
        secondaries = [member for member in self.members.members if member is not primary]
        for member in secondaries:
            member.stop()
        try:
            await _until(began + self.pause)
        finally:
            for member in secondaries:
                member.cont()
        elected = await self._elected(None)
        return await self._end("SIGSTOP of both secondaries", began, elected)

    async def lose_writes(self) -> Fault:
        """``kill -9`` of both secondaries, then of the primary, which returns last: what it alone had is undone."""
        began, primary = await self._begin()
        others = [member for member in self.members.members if member is not primary]
        await _each(member.kill for member in others)
        await _until(began + ALONE)
        await _off_the_loop(primary.kill)
        await _each(member.restart for member in others)
        elected = await self._elected(primary)
        await _until(began + self.pause)
        await _off_the_loop(primary.restart)
        return await self._end("loss of what only the primary has", began, elected)

    async def restart_all(self) -> Fault:
        """``kill -9`` of all three members at once, and their return."""
        began, _ = await self._begin()
        await _each(member.kill for member in self.members.members)
        await _each(member.restart for member in self.members.members)
        elected = await self._elected(None)
        return await self._end("restart of all members", began, elected)

    async def _begin(self) -> "tuple[float, Mongod]":
        await _insist(self._make_checkpoints)
        primary = await _off_the_loop(self.members.primary)
        return time.monotonic(), primary

    def _make_checkpoints(self) -> None:
        """A member that never made one cannot roll back, it aborts; and it makes none before it has joined."""
        for member in self.members.members:
            with member.client() as client:
                client.admin.command("fsync")

    async def _elected(self, old: "Mongod | None") -> float:
        """When the new primary was elected, by its own account."""
        primary = await _off_the_loop(self.members.primary, other_than=old)
        return await _off_the_loop(_election_of, primary)

    async def _end(self, name: str, began: float, elected: float) -> Fault:
        await _off_the_loop(self.members.wait_until_whole)
        return Fault(name, began, max(began, elected), time.monotonic())


DISRUPTIONS: dict[str, Callable[[Disruptor], Awaitable[Fault]]] = {
    "step_down": Disruptor.step_down,
    "kill_primary": Disruptor.kill_primary,
    "freeze_primary": Disruptor.freeze_primary,
    "freeze_secondaries": Disruptor.freeze_secondaries,
    "lose_writes": Disruptor.lose_writes,
    "restart_all": Disruptor.restart_all,
}


def _election_of(primary: "Mongod") -> float:
    with primary.client() as client:
        metrics = client.admin.command("replSetGetStatus")["electionCandidateMetrics"]
    ago: timedelta = datetime.now(UTC) - metrics["lastElectionDate"].replace(tzinfo=UTC)
    return time.monotonic() - ago.total_seconds()


async def _insist(act: Callable[[], None]) -> None:
    """Tries again what a server may refuse for a while: a primary hands over only when a secondary has caught up."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await _off_the_loop(act)
        except PyMongoError:
            if attempt == ATTEMPTS:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def _off_the_loop(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(HANDS, partial(act, *args, **kwargs))


async def _each(acts: Iterable[Callable[[], None]]) -> None:
    await asyncio.gather(*(_off_the_loop(act) for act in acts))


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
