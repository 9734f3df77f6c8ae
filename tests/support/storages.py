"""One storage of each kind, and storages that behave as real ones do on a bad day: failing, or slow in any order."""

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock import JtiStorage, MemoryStorage
from aiohttp_lionrock.storage import Clock
from aiohttp_lionrock.testing.storages import Call, FaultyStorage, Mode, Recorder, T, Wrapper

__all__ = ["KINDS", "Call", "FaultyStorage", "Interleaved", "Mode", "Recorder", "T", "Wrapper", "storage_of_kind"]

KINDS = ("memory", "sqlite", "mongodb")


def storage_of_kind(kind: str, request: pytest.FixtureRequest, clock: Clock) -> JtiStorage:
    """A storage of this test alone: in memory, in a SQLite file, or on the MongoDB server of the tests."""
    if kind == "memory":
        return MemoryStorage(clock=clock)
    if kind == "sqlite":
        path: Path = request.getfixturevalue("tmp_path")
        return SqliteStorage(path / "sessions.db", clock=clock)
    storage = MongoStorage.from_url(request.getfixturevalue("standalone_database"))
    storage.clock = clock
    return storage


class Interleaved(Recorder):
    """Gives the event loop to others around every call, for a random but repeatable number of turns."""

    def __init__(self, inner: JtiStorage, seed: int = 0, turns: int = 4) -> None:
        super().__init__(inner)
        self._random = random.Random(seed)
        self._turns = turns

    async def around(self, name: str, call: Call[T]) -> T:
        await self._pause()
        answer = await super().around(name, call)
        await self._pause()
        return answer

    async def _pause(self) -> None:
        for _ in range(self._random.randrange(self._turns)):
            await asyncio.sleep(0)
