"""Turns: changes of one record that meet in one process share one compare-and-set, in the order in which they came."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import uniform
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import StorageUnavailable
from ..storage.coalescer import own_copy
from ..storage.contract import JtiRecord, JtiStorage

__all__ = ["Change", "Changed", "Turns"]

MAX_ATTEMPTS = 100
FIRST_PAUSE = 0.001  # seconds; between attempts, so that of two processes none starves
LONGEST_PAUSE = 0.1

T = TypeVar("T")
Change = Callable[[JtiRecord | None], Awaitable[tuple[JtiRecord, T]]]
"""From a record (None: there is none) to what it is to be and what the caller gets. Raises where nothing may change."""


class Changed(NamedTuple, Generic[T]):
    """What a change came to: the record as it stands now, and the change's own result."""

    record: JtiRecord
    result: T


class _Waiting(NamedTuple):
    change: Change[Any]
    future: "asyncio.Future[Changed[Any]]"


class Turns:
    """Changes records of a storage. Whoever is alone goes straight on; those who meet go together."""

    def __init__(self, storage: JtiStorage, deadline: Callable[..., Awaitable[None]]) -> None:
        self._storage = storage
        self._deadline = deadline
        self._waiting: dict[str, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def change(self, sid: str, known: JtiRecord | None, change: Change[T]) -> Changed[T]:
        """Applies a change to the record as it is stored, beginning with the one that is known, if any.

        Raises what ``change`` raises, and StorageUnavailable. A cancelled caller's change may be done or not.
        """
        if sid in self._waiting:
            future: asyncio.Future[Changed[T]] = asyncio.get_running_loop().create_future()
            self._waiting[sid].append(_Waiting(change, future))
            return await future
        self._waiting[sid] = []
        try:
            return await self._alone(sid, known, change)
        finally:
            self._pass_on(sid)

    def _pass_on(self, sid: str) -> None:
        if not self._waiting[sid]:
            del self._waiting[sid]
            return
        task = asyncio.get_running_loop().create_task(self._drain(sid))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _alone(self, sid: str, known: JtiRecord | None, change: Change[T]) -> Changed[T]:
        is_fresh = known is None
        record = await self._storage.get(sid) if known is None else known
        for attempt in range(MAX_ATTEMPTS):
            wanted, result = await change(record)
            if wanted != record and record is not None and (stored := await self._put(wanted, record)):
                return Changed(stored, result)
            if wanted == record and is_fresh:
                return Changed(wanted, result)
            if is_fresh:
                await _back_off(attempt)
            latest = await self._storage.get(sid)
            if wanted == record == latest:  # what was known still is
                return Changed(wanted, result)
            record, is_fresh = latest, True
        raise _contended()

    async def _drain(self, sid: str) -> None:
        """Serves those who wait, all of one moment together, until nobody does."""
        try:
            while group := [one for one in self._waiting[sid] if not one.future.done()]:
                self._waiting[sid] = []
                try:
                    await self._deadline(self._together, sid, group)
                except Exception as exc:
                    for one in group:
                        if not one.future.done():
                            one.future.set_exception(own_copy(exc))
        finally:
            for one in self._waiting.pop(sid):
                one.future.cancel()

    async def _together(self, sid: str, group: list[_Waiting]) -> None:
        for attempt in range(MAX_ATTEMPTS):
            stored = await self._storage.get(sid)
            record, outcomes = await _apply(stored, group)
            if record is not None and stored is not None and record != stored:
                record = await self._put(record, stored)
            if record is not None or stored is None:
                for one, outcome in outcomes:
                    _answer(one.future, record, outcome)
                return
            await _back_off(attempt)
        raise _contended()

    async def _put(self, wanted: JtiRecord, record: JtiRecord) -> JtiRecord | None:
        """Stores what a record is to be; None where another one was faster."""
        stored = replace(wanted, version=record.version + 1)
        return stored if await self._storage.replace(stored, record.version) else None


async def _apply(
    record: JtiRecord | None, group: list[_Waiting]
) -> tuple[JtiRecord | None, list[tuple[_Waiting, Any]]]:
    """The record after all of these changes, and what each gave or raised; one that raised has changed nothing.

    Nothing is done for a caller that has gone away: it may be taking its change back by now.
    """
    outcomes: list[tuple[_Waiting, Any]] = []
    for one in group:
        if one.future.done():
            continue
        try:
            record, result = await one.change(record)
        except Exception as exc:
            outcomes.append((one, exc))
        else:
            outcomes.append((one, result))
    return record, outcomes


def _answer(future: "asyncio.Future[Changed[Any]]", record: JtiRecord | None, outcome: object) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        assert record is not None
        future.set_result(Changed(record, outcome))


def _contended() -> StorageUnavailable:
    return StorageUnavailable("the session's record changes faster than it can be written", maybe_done=False)


async def _back_off(attempt: int) -> None:
    await asyncio.sleep(uniform(0, min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)))  # noqa: S311 - spreads rivals over time
