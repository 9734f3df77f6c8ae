"""Watching without a web framework: one look for all, renewals, damaged records, and listeners that fail."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage
from support.browser import Browser, make_manager
from support.storages import Recorder

from aiohttp_lionrock import MemoryStorage, Session, SessionManager
from aiohttp_lionrock.sessions import watching
from aiohttp_lionrock.testing import FakeClock

SOON = 0.02  # seconds between two looks


async def looked(looks: int = 3) -> None:
    """Until so many looks have been taken."""
    await asyncio.sleep(SOON * (looks + 1))


async def watched(manager: SessionManager, browser: Browser, ended: list[str], every: float = SOON) -> watching.Watcher:
    watcher = manager.watch(await browser.visit(), ended.append, every)
    assert watcher is not None
    return watcher


async def test_a_new_session_is_not_watched(manager: SessionManager, browser: Browser) -> None:
    assert manager.watch(await browser.visit(), print) is None
    await browser.log_in()
    assert manager.watch(await browser.log_out(), print) is None


@pytest.mark.parametrize("every", [None, 0, -1, float("nan"), "5"])
async def test_an_interval_that_is_none_is_refused_and_ends_no_other_watch(
    manager: SessionManager, browser: Browser, clock: FakeClock, every: Any
) -> None:
    ended: list[str] = []
    await browser.log_in()
    await watched(manager, browser, ended)
    with pytest.raises(ValueError, match=r"^every must be a positive number of seconds"):
        await watched(manager, browser, ended, every)
    assert manager.storage is not None
    await manager.storage.delete(browser.access["sid"])
    await looked()
    assert ended == ["ended elsewhere"]


async def _close(why: str) -> None:
    pass


@pytest.mark.parametrize("wrong", [None, _close])
async def test_what_cannot_be_told_of_the_end_is_refused(manager: SessionManager, browser: Browser, wrong: Any) -> None:
    session = await browser.log_in()
    with pytest.raises(TypeError, match="on_end takes a plain function, which may begin a task"):
        manager.watch(session, wrong)


def test_a_manager_watches_in_the_loop_after_one_that_was_given_up(clock: FakeClock) -> None:
    manager = make_manager(MemoryStorage(clock=clock), clock)
    ended: list[str] = []

    async def watch() -> Browser:
        browser = Browser(manager)
        await browser.log_in()
        await watched(manager, browser, ended)
        await asyncio.sleep(0)
        return browser

    async def watch_and_end() -> None:
        browser = await watch()
        assert manager.storage is not None
        await manager.storage.delete(browser.access["sid"])
        await looked()

    given_up = asyncio.new_event_loop()
    given_up.run_until_complete(watch())
    [left] = asyncio.all_tasks(given_up)
    asyncio.run(watch_and_end())
    assert ended == ["ended elsewhere"]
    left.cancel()
    given_up.run_until_complete(asyncio.gather(left, return_exceptions=True))
    given_up.close()


async def test_who_stops_hears_nothing(manager: SessionManager, browser: Browser) -> None:
    ended: list[str] = []
    await browser.log_in()
    watcher = await watched(manager, browser, ended)
    watcher.stop()
    watcher.stop()
    await browser.log_out()
    await looked()
    assert (ended, watcher.ended) == ([], None)


async def test_a_connection_that_cannot_be_ended_keeps_no_other(
    manager: SessionManager, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(why: str) -> None:
        raise RuntimeError("a bug")

    ended: list[str] = []
    await browser.log_in()
    for on_end in (fail, ended.append, fail, ended.append):
        manager.watch(await browser.visit(), on_end)
    assert await manager.revoke(browser.access["sid"])
    assert ended == ["revoked"] * 2
    assert len(caplog.records) == 2


async def test_many_sessions_are_asked_for_in_batches_and_each_once(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BATCH", 10)
    storage = Recorder(MemoryStorage(clock=clock))
    manager, other = make_manager(storage, clock), make_manager(storage, clock)
    ended: list[str] = []
    browsers = [Browser(manager) for _ in range(25)]
    for browser in browsers:
        await browser.log_in()
        for _ in range(2):
            await watched(manager, browser, ended, every=0.2)
    for browser in browsers[::2]:
        await other.revoke(browser.access["sid"])
    storage.calls.clear()
    await asyncio.sleep(0.3)
    assert storage.calls == ["get_many"] * 3
    assert ended == ["ended elsewhere"] * 26
    await manager.aclose()


async def test_a_chain_of_renewals_elsewhere_is_followed_in_one_look(
    manager: SessionManager, browser: Browser, build: Callable[..., SessionManager]
) -> None:
    ended: list[str] = []
    await browser.log_in()
    watcher = await watched(manager, browser, ended)
    elsewhere = browser.copy(build())
    for _ in range(5):
        await elsewhere.visit(Session.renew)
    await looked()
    assert (ended, watcher.sid) == ([], elsewhere.access["sid"])
    await elsewhere.log_out()
    await looked()
    assert ended == ["ended elsewhere"]


async def test_of_a_chain_that_ended_meanwhile_nothing_goes_on(
    manager: SessionManager, browser: Browser, build: Callable[..., SessionManager]
) -> None:
    ended: list[str] = []
    await browser.log_in()
    await watched(manager, browser, ended)
    elsewhere = browser.copy(build())
    await elsewhere.visit(Session.renew)
    await elsewhere.log_out()
    await looked()
    assert ended == ["ended elsewhere"]


async def test_a_damaged_record_ends_nothing_and_hides_no_other(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "sessions.db"
    async with SqliteStorage(path, clock=clock) as storage:
        manager, other = make_manager(storage, clock), make_manager(storage, clock)
        browsers = [Browser(manager) for _ in range(7)]
        ended: dict[int, str] = {}
        for number, browser in enumerate(browsers):
            await browser.log_in()
            on_end = lambda why, number=number: ended.setdefault(number, why)  # noqa: E731
            assert manager.watch(await browser.visit(), on_end, SOON) is not None
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(
                "UPDATE lionrock_sessions SET packed = 'garbage' WHERE sid = ?", (browsers[3].access["sid"],)
            )
        connection.close()
        for number in (2, 6):
            await other.revoke(browsers[number].access["sid"])
        await looked(10)
        assert ended == {2: "ended elsewhere", 6: "ended elsewhere"}
        await manager.aclose()


async def test_a_manager_watches_again_after_it_was_closed(manager: SessionManager, browser: Browser) -> None:
    ended: list[str] = []
    await browser.log_in()
    await watched(manager, browser, ended)
    await manager.aclose()
    await manager.open()
    await watched(manager, browser, ended)
    assert manager.storage is not None
    await manager.storage.delete(browser.access["sid"])
    await looked()
    assert ended == ["ended elsewhere"]


async def test_where_this_process_heard_of_the_end_it_is_not_told_as_an_expiry(
    manager: SessionManager, browser: Browser, clock: FakeClock
) -> None:
    ended: list[str] = []
    await browser.log_in()
    await watched(manager, browser, ended)
    await watched(manager, browser, ended)
    clock.advance(40 * 24 * 3600)
    await looked()
    assert ended == ["expired"] * 2
    assert manager.stats["ended.expired"] == 1


@pytest.mark.parametrize("end", [Browser.log_out, Browser.log_in], ids=["ended", "another user's"])
async def test_the_end_of_one_watch_may_stop_the_others(
    manager: SessionManager, browser: Browser, end: Callable[[Browser], Awaitable[object]]
) -> None:
    ended: list[str] = []
    watchers: list[watching.Watcher] = []

    def stop_all(why: str) -> None:
        ended.append(why)
        for watcher in watchers:
            watcher.stop()

    await browser.write(cart=[])
    for _ in range(3):
        watcher = manager.watch(await browser.visit(), stop_all, SOON)
        assert watcher is not None
        watchers.append(watcher)
    await end(browser)
    await browser.log_out()
    await looked()
    assert len(ended) == 1
