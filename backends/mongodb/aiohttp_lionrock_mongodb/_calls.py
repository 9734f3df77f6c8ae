"""Driver calls under one deadline, with a truthful end: done, not done, or StorageUnavailable."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pymongo
from bson.errors import BSONError
from pymongo.errors import ConnectionFailure, PyMongoError, ServerSelectionTimeoutError, WriteConcernError

from aiohttp_lionrock.errors import StorageUnavailable

__all__ = ["see_through", "settle", "within"]

# The driver is to say in time why it failed, and it looks for a server up to half a second longer than it is told to.
DRIVER_SHARE = 0.7
PAUSE = 0.05

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Holds all that ``work`` asks of the driver to one deadline: server selection, connecting, server time.

    Whatever the driver raises becomes StorageUnavailable; the driver's text stays in the cause.
    """
    try:
        async with asyncio.timeout(seconds):
            with pymongo.timeout(seconds * DRIVER_SHARE):
                return await work
    except TimeoutError as exc:
        raise StorageUnavailable(f"MongoDB did not answer within {seconds:g} s") from exc
    except (PyMongoError, BSONError, OSError) as exc:
        raise StorageUnavailable(f"MongoDB did not serve: {_reason(exc)}") from exc


async def settle(attempt: Callable[[], Awaitable[bool | None]], look: Callable[[], Awaitable[bool | None]]) -> bool:
    """Repeats a write until its outcome is known; the deadline around it ends the rest.

    A broken connection and a majority not heard of in time leave open whether the write was made, or yet will be.
    Then, and where ``attempt`` answers None, ``look`` judges by what is there: True, False or None (unknown).
    """
    doubt: Exception | None = None
    while True:
        try:
            done = await attempt()
        except (ConnectionFailure, WriteConcernError) as exc:
            if isinstance(exc, ServerSelectionTimeoutError):
                raise
            doubt = exc
        else:
            if done or (done is False and doubt is None):
                return done
        try:
            verdict = await look()
        except StorageUnavailable as exc:
            raise exc from doubt
        if verdict is not None:
            return verdict
        await asyncio.sleep(PAUSE)


async def see_through(work: Coroutine[Any, Any, T]) -> T:
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


def _reason(exc: Exception) -> str:
    """The kind of error, and the server's name for it where there is one."""
    details = getattr(exc, "details", None)
    name = details.get("codeName") if isinstance(details, Mapping) else None
    return f"{type(exc).__name__} ({name})" if name else type(exc).__name__
