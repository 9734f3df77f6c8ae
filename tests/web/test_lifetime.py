"""The life of the storage, from the start of the application to its end."""

import asyncio
import random
from typing import Any

import pytest
from aiohttp import web
from support.browser import SECRET
from support.storages import FaultyStorage, Recorder
from support.visitor import start
from support.webapp import (
    BOTH,
    application,
    text,
)

from aiohttp_lionrock import (
    MemoryStorage,
    setup,
)


async def test_the_storage_opens_and_closes_with_the_app(aiohttp_client: Any) -> None:
    storage = Recorder(MemoryStorage())
    app, _ = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    assert storage.calls == ["open", "ping"]
    await visitor.get("/log_in")
    assert storage.calls.count("open") == 1
    await visitor.client.close()
    assert storage.calls[-1] == "aclose"
    assert storage.calls.count("aclose") == 1


async def test_setup_takes_a_storage_and_settings_of_its_ids_beside_it(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app = web.Application()
    manager = setup(app, storage=storage, secret=SECRET, refresh_token=True, jti={"reuse_leeway": 0})
    assert manager.storage is storage
    app.router.add_get("/text", text)
    assert (await (await start(aiohttp_client, app)).get("/text")).set_cookies.keys() == BOTH


@pytest.fixture
def _purges_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.005)


@pytest.mark.usefixtures("_purges_at_once")
async def test_expired_records_are_purged_while_the_app_runs_and_no_longer(aiohttp_client: Any) -> None:
    storage = FaultyStorage(MemoryStorage())
    app, _ = application(storage=storage, purge_interval=1)
    visitor = await start(aiohttp_client, app)
    storage.fail("purge", "before", times=2)
    async with asyncio.timeout(5):
        while storage.calls.count("purge") < 4:
            await asyncio.sleep(0.005)
    await visitor.client.close()
    count = storage.calls.count("purge")
    await asyncio.sleep(0.03)
    assert storage.calls.count("purge") == count
    assert storage.calls[-1] == "aclose"


@pytest.mark.usefixtures("_purges_at_once")
async def test_a_purge_that_crashes_does_not_keep_the_storage_from_closing(
    aiohttp_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Crashing(Recorder):
        async def purge(self, limit: int) -> int:
            raise ZeroDivisionError("a bug in a backend")

    storage = Crashing(MemoryStorage())
    app, _ = application(storage=storage, purge_interval=1)
    visitor = await start(aiohttp_client, app)
    async with asyncio.timeout(5):
        while "ZeroDivisionError" not in caplog.text:
            await asyncio.sleep(0.005)
    assert (await visitor.get("/log_in")).status == 200
    await visitor.client.close()
    assert storage.calls[-1] == "aclose"


async def test_an_app_ends_in_time_and_in_peace_while_its_storage_hangs(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = application(storage=storage, storage_timeout=0.05)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    storage.fail("aclose", "hang")
    await asyncio.wait_for(visitor.client.close(), 5)
    assert "did not close" in caplog.text


@pytest.mark.usefixtures("_purges_at_once")
async def test_without_an_interval_nothing_is_purged(aiohttp_client: Any) -> None:
    storage = Recorder(MemoryStorage())
    app, _ = application(storage=storage, purge_interval=None)
    visitor = await start(aiohttp_client, app)
    await asyncio.sleep(0.03)
    await visitor.client.close()
    assert "purge" not in storage.calls
