"""The default driver, Motor. This is the one file that imports it, and only when a storage made from a URL opens."""

import asyncio
from typing import Any

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import PyMongoError

from aiohttp_lionrock.errors import ConfigError

from .settings import Target

__all__ = ["Client", "close", "connect"]

Client = AsyncIOMotorClient[dict[str, Any]]


def connect(target: Target) -> Client:
    """A client for the running event loop. It connects at its first call."""
    try:
        return AsyncIOMotorClient(target.url, io_loop=asyncio.get_running_loop(), **target.waits)
    except (PyMongoError, OSError, ValueError, TypeError) as exc:
        # Not "from exc": the driver's text may repeat parts of the URL.
        raise ConfigError(f"the MongoDB driver refuses the options of the URL ({type(exc).__name__})") from None


async def close(client: Client) -> None:
    """Closes a client, in a thread: it takes leave of servers that may not answer, for a second at most."""
    with pymongo.timeout(1):
        await asyncio.to_thread(client.delegate.close)
