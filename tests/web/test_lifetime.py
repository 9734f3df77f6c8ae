"""The life of the storage, from the start of the application to its end."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from support.browser import SECRET, Browser
from support.storages import FaultyStorage, Recorder
from support.visitor import install, start
from support.webapp import BOTH, application, stream, text, wrapped

from aiohttp_lionrock import ConfigError, MemoryStorage, StorageUnavailable, get_manager, setup


async def test_the_storage_opens_and_closes_with_the_app(aiohttp_client: Any) -> None:
    storage = Recorder(MemoryStorage())
    app, _ = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    assert storage.calls == ["open", "ping", "get_many"]
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


async def test_workers_that_live_shorter_than_the_interval_do_their_share_of_purges(
    aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low)  # the earliest that chance allows
    storage = FaultyStorage(MemoryStorage())
    app, _ = application(storage=storage, purge_interval=3600)
    await start(aiohttp_client, app)
    async with asyncio.timeout(5):
        while "purge" not in storage.calls:
            await asyncio.sleep(0.005)


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


async def run(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app)
    await runner.setup()
    return runner


@pytest.mark.usefixtures("_purges_at_once")
@pytest.mark.parametrize("where", ["on_startup", "cleanup_ctx"])
async def test_setup_called_while_the_app_starts_opens_purges_and_closes_like_any_other(
    aiohttp_client: Any, where: str
) -> None:
    storage = Recorder(MemoryStorage())
    app = web.Application()

    async def on_startup(app: web.Application) -> None:
        install(app, storage=storage, purge_interval=1)

    async def context(app: web.Application) -> AsyncIterator[None]:
        install(app, storage=storage, purge_interval=1)
        yield

    if where == "on_startup":
        app.on_startup.append(on_startup)
    else:
        app.cleanup_ctx.append(context)
    app.router.add_get("/text", text)
    app.router.add_get("/stream", stream)
    visitor = await start(aiohttp_client, app)
    for path in ("/text", "/stream"):
        assert (await visitor.get(path)).set_cookies.keys() == BOTH
    async with asyncio.timeout(5):
        while "purge" not in storage.calls:
            await asyncio.sleep(0.005)
    assert storage.calls[:3] == ["open", "ping", "get_many"]
    await visitor.client.close()
    assert storage.calls[-1] == "aclose"
    assert storage.calls.count("aclose") == 1


async def test_a_storage_that_is_required_stops_a_start_and_is_closed_again(storage: FaultyStorage) -> None:
    app, _ = application(storage=storage, require_storage=True)
    storage.fail("ping", "before")
    runner = web.AppRunner(app)
    with pytest.raises(StorageUnavailable, match="ping: refused"):
        await runner.setup()
    assert storage.calls[-1] == "aclose"
    await runner.cleanup()
    assert storage.calls.count("aclose") == 1


async def test_a_storage_that_is_required_and_serves_is_no_hindrance(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, _ = application(storage=storage, require_storage=True)
    assert (await (await start(aiohttp_client, app)).get("/log_in")).status == 200


def test_a_storage_that_is_required_and_not_there_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="there is no storage"):
        install(web.Application(), require_storage=True)


async def test_a_start_that_is_under_way_cannot_be_made_to_require_a_storage() -> None:
    app = web.Application()

    async def on_startup(app: web.Application) -> None:
        install(app, storage="memory://", require_storage=True)

    app.on_startup.append(on_startup)
    with pytest.raises(ConfigError, match="before the app starts"):
        await run(app)


async def test_without_it_a_storage_that_is_away_at_the_start_is_one_line_of_error(
    storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = application(storage=storage)
    storage.fail("ping", "before")
    runner = await run(app)
    await runner.cleanup()
    [record] = caplog.records
    assert (record.levelname, "ping: refused" in record.getMessage()) == ("ERROR", True)


@pytest.mark.parametrize("when", ["before setup", "after setup", "in on_startup's context"])
async def test_a_cleanup_handler_still_has_the_manager(storage: FaultyStorage, when: str) -> None:
    found: list[Any] = []
    app = web.Application()

    async def log_out_all(app: web.Application) -> None:
        found.append(await get_manager(app).revoke_subject("ann"))

    async def context(app: web.Application) -> AsyncIterator[None]:
        yield
        await log_out_all(app)

    if when == "before setup":
        app.on_cleanup.append(log_out_all)
    if when == "in on_startup's context":
        app.cleanup_ctx.append(context)
    manager = install(app, storage=storage)
    if when == "after setup":
        app.on_cleanup.append(log_out_all)
    runner = await run(app)
    browser = Browser(manager)
    await browser.log_in()
    await runner.cleanup()
    assert found == [1]
    assert storage.calls[-1] == "aclose"
    assert storage.calls.count("open") == 1


async def test_a_start_that_fails_after_ours_closes_the_storage(storage: FaultyStorage) -> None:
    async def fail(app: web.Application) -> None:
        raise RuntimeError("a bug in the application")

    app, _ = application(storage=storage)
    app.on_startup.append(fail)
    runner = web.AppRunner(app)
    with pytest.raises(RuntimeError):
        await runner.setup()
    await runner.cleanup()
    assert storage.calls == ["open", "ping", "get_many", "aclose"]


async def test_a_sub_application_opens_and_closes_its_storage_with_the_outer_one(storage: FaultyStorage) -> None:
    app, _ = application(storage=storage)
    runner = await run(wrapped(app))
    assert storage.calls == ["open", "ping", "get_many"]
    await runner.cleanup()
    assert storage.calls == ["open", "ping", "get_many", "aclose"]


async def test_a_manager_that_two_apps_have_closes_with_the_last_of_them(storage: FaultyStorage) -> None:
    first, second = web.Application(), web.Application()
    manager = install(first, storage=storage)
    setup(second, manager=manager)
    runners = [await run(app) for app in (first, second)]
    await runners[0].cleanup()
    assert "aclose" not in storage.calls
    await Browser(manager).log_in()
    await runners[1].cleanup()
    assert storage.calls.count("aclose") == 1


async def test_a_storage_that_two_apps_have_closes_with_the_last_of_them(storage: FaultyStorage) -> None:
    first, second = web.Application(), web.Application()
    install(first, storage=storage)
    manager = install(second, name="second", storage=storage)
    runners = [await run(app) for app in (first, second)]
    await runners[0].cleanup()
    assert "aclose" not in storage.calls
    await Browser(manager).log_in()
    await runners[1].cleanup()
    assert storage.calls.count("aclose") == 1
