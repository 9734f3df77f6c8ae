"""Driver calls under one deadline, with a truthful end: done, not done, or StorageUnavailable."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pymongo
from bson.errors import BSONError
from pymongo.errors import ConnectionFailure, PyMongoError, ServerSelectionTimeoutError, WriteConcernError

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import Patience

from .reasons import Place, was_never_sent

__all__ = ["Calls", "settle"]

PAUSE = 0.05

T = TypeVar("T")


class Calls:
    """Holds all that a call asks of the driver to one deadline: server selection, connecting, server time.

    Whatever the driver raises becomes StorageUnavailable; the driver's text stays in the cause.
    """

    def __init__(self, place: Place, timeout: float) -> None:
        self._place = place
        self._timeout = timeout

    async def read(self, work: Awaitable[T], *, seconds: float = 0) -> T:
        """Awaits what changes no session; it may take ``seconds`` where that is longer than the deadline."""
        return await self._within(max(self._timeout, seconds), work, changes=False)

    async def write(self, work: Awaitable[T]) -> T:
        """Awaits what may change a session: begun, it is finished, although the caller is cancelled."""
        return await _see_through(self._within(self._timeout, work, changes=True))

    async def _within(self, seconds: float, work: Awaitable[T], *, changes: bool) -> T:
        try:
            async with Patience(seconds):
                with pymongo.timeout(_share(seconds)):
                    return await work
        except TimeoutError as exc:
            raise StorageUnavailable(self._place.silence(seconds), maybe_done=changes) from exc
        except (PyMongoError, BSONError, OSError) as exc:
            maybe_done = changes and not was_never_sent(exc)
            raise StorageUnavailable(self._place.failure(exc), maybe_done=maybe_done) from exc


async def settle(attempt: Callable[[], Awaitable[bool]], look: Callable[[], Awaitable[bool | None]]) -> bool:
    """Repeats a write until its outcome is known; the deadline around it ends the rest.

    A broken connection and a majority not heard of in time leave open whether the write was made, or yet will be.
    Then ``look`` judges by what is there: True, False or None (unknown). Where no verdict is reached, such an error
    is raised rather than a later one that says that nothing was sent.
    """
    doubt: PyMongoError | None = None
    while True:
        try:
            done = await attempt()
            if done or doubt is None:
                return done
        except PyMongoError as exc:
            if not _leaves_doubt(exc):
                if doubt is None:
                    raise
                raise doubt from exc
            doubt = exc
        try:
            verdict = await look()
        except StorageUnavailable as exc:
            raise exc from doubt
        except PyMongoError as exc:
            raise doubt from exc
        if verdict is not None:
            return verdict
        await asyncio.sleep(PAUSE)


def _share(seconds: float) -> float:
    """What the driver gets of a deadline: it is to say in time why it failed, and looks for a server 0.5 s too long."""
    return max(seconds * 0.5, min(seconds * 0.7, seconds - 0.55))


def _leaves_doubt(exc: PyMongoError) -> bool:
    if isinstance(exc, ServerSelectionTimeoutError):
        return False
    return isinstance(exc, ConnectionFailure | WriteConcernError)


async def _see_through(work: Coroutine[Any, Any, T]) -> T:
    """Finishes a write although its caller is cancelled: when the caller goes on, nothing is in flight."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
    return task.result()
