"""The reference backend keeps the storage contract, and what is its own."""

import asyncio
import time

import pytest

from aiohttp_lionrock.errors import ConfigError
from aiohttp_lionrock.storage import Clock, JtiRecord, JtiStorage
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import FakeClock, StorageConformance


class TestMemoryStorage(StorageConformance):
    async def make_storage(self, clock: Clock) -> JtiStorage:
        return MemoryStorage(clock=clock)


def test_the_url_of_a_memory_storage_is_its_scheme_alone() -> None:
    assert isinstance(MemoryStorage.from_url("memory://"), MemoryStorage)
    assert isinstance(MemoryStorage.from_url("MEMORY://"), MemoryStorage)


@pytest.mark.parametrize(
    "url", ["memory://host", "memory:///x.db", "memory://?limit=1", "memory://user:hunter2@", "memory:"]
)
def test_anything_behind_the_scheme_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="write memory://") as caught:
        MemoryStorage.from_url(url)
    assert "hunter2" not in str(caught.value)


async def test_two_memory_storages_share_nothing() -> None:
    record = JtiRecord("sid", version=1, expires_at=5_000_000_000, created_at=4_000_000_000)
    one, two = MemoryStorage(clock=FakeClock()), MemoryStorage(clock=FakeClock())
    await one.insert(record)
    assert await two.get("sid") is None


async def test_a_storage_tells_the_time_by_the_wall_clock_unless_given_another() -> None:
    storage = MemoryStorage()
    now = int(time.time())
    await storage.insert(JtiRecord("live", version=1, expires_at=now + 60, created_at=now))
    await storage.insert(JtiRecord("expired", version=1, expires_at=now - 1, created_at=now))
    assert list(await storage.get_many(["live", "expired"])) == ["live"]


async def test_a_memory_storage_takes_any_number_of_event_loops_one_after_the_other() -> None:
    storage = MemoryStorage(clock=FakeClock())

    async def add(sid: str) -> None:
        async with storage:
            await storage.insert(JtiRecord(sid, version=1, expires_at=5_000_000_000, created_at=4_000_000_000))

    for sid in "ab":
        await asyncio.to_thread(asyncio.run, add(sid))
    assert sorted(await storage.get_many("ab")) == ["a", "b"]


def test_the_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()
    assert clock() == clock() == 4_000_000_000
    clock.advance(0.5)
    assert clock() == 4_000_000_000.5
    assert FakeClock(7)() == 7
    assert isinstance(FakeClock(7)(), float)
