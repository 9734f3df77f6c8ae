"""The reference backend keeps the storage contract, and what is its own."""

import asyncio
import time

import pytest

from aiohttp_lionrock.errors import ConfigError
from aiohttp_lionrock.storage import Clock, JtiRecord, JtiStorage
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import FakeClock, StorageConformance


class TestMemoryStorage(StorageConformance):
    good_url = "memory://"
    bad_urls = tuple(
        (url, "write memory://") for url in ("memory://host", f"memory://u:{StorageConformance.password}@", "memory:")
    )

    def bare_url(self) -> str:
        return "memory://"

    absent_url = bare_url

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


async def test_the_time_is_looked_up_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    record = JtiRecord("sid", version=1, expires_at=2_000, created_at=1_000)
    monkeypatch.setattr(time, "time", lambda: 1_999.5)
    await storage.insert(record)
    assert await storage.get("sid") == record
    monkeypatch.setattr(time, "time", lambda: 2_000.0)
    assert await storage.get("sid") is None


async def test_a_page_of_a_scan_may_be_as_large_as_all_there_is() -> None:
    storage = MemoryStorage(clock=FakeClock())
    records = [JtiRecord(f"{n:04}", version=1, expires_at=5_000_000_000, created_at=1) for n in range(1001)]
    for record in records:
        await storage.insert(record)
    first, cursor = await storage.scan()
    assert (first, cursor) == (records[:1000], "0999")
    assert await storage.scan(cursor) == (records[1000:], None)
    assert await storage.scan(limit=1001) == (records, None)


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
