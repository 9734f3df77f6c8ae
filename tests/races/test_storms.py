"""Many at once on real storages: logins that fail, a lock that is held, labels that meet on one record."""

import asyncio
import gc
import logging
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from support.browser import ZONE, Browser, leeway_begun, make_manager
from support.mongod import Mongod, database_url
from support.storages import FaultyStorage

from aiohttp_lionrock import SessionManager, StorageUnavailable, TokenReused, open_storage
from aiohttp_lionrock.storage.contract import system_time
from aiohttp_lionrock.testing import FakeClock

from .fleet import Fleet, fleet_of
from .losses import lock_of
from .options import Options

LOGINS = 10_000
AT_ONCE = 2500
TIMEOUT = 0.5  # seconds that managers wait for a storage
MARGIN = 0.3  # seconds that an answer may take beyond that
MORE_THAN_WAIT = LOGINS + AT_ONCE
MOST_HELD = 200_000  # KiB
BATCH = 100  # repairs that are tried at one time
PARALLEL = 300
LABELS = 20
PATIENCE = 10.0  # seconds
SAMPLE = 200

T = TypeVar("T")


async def fail_to_log_in(manager: SessionManager) -> float:
    """Seconds until the login was refused."""
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await Browser(manager).log_in()
    return time.monotonic() - began


async def storm(manager: SessionManager, logins: int = LOGINS) -> None:
    for _ in range(logins // AT_ONCE):
        await asyncio.gather(*(fail_to_log_in(manager) for _ in range(AT_ONCE)))


async def served_again(manager: SessionManager) -> float:
    """Seconds until a login succeeds."""
    began = time.monotonic()
    while True:
        try:
            await Browser(manager).log_in()
            return time.monotonic() - began
        except StorageUnavailable:
            assert time.monotonic() - began < PATIENCE


async def slowest_of(count: int, manager: SessionManager) -> float:
    """Of so many logins one after the other."""
    seconds = []
    for _ in range(count):
        began = time.monotonic()
        await Browser(manager).log_in()
        seconds.append(time.monotonic() - began)
    return sorted(seconds)[int(count * 0.99)]


def memory() -> int:
    """KiB that the process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


class Slow(FaultyStorage):
    """Takes its time over every call."""

    seconds = 0.0

    async def around(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(self.seconds)
        return await super().around(name, call)


async def until_it_holds(browser: Browser, key: str, value: object) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await browser.manager.load(browser.cookies)).get(key) != value:
            await asyncio.sleep(0.01)


@pytest.fixture
def mongod(mongod_program: Path, tmp_path: Path) -> Iterator[Mongod]:
    server = Mongod(mongod_program, tmp_path / "data")
    try:
        server.start()
        yield server
    finally:
        server.terminate()


def tasks_of_the_library() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if "Repairs" in repr(task.get_coro())}


def workers(tasks: set[asyncio.Task[object]]) -> list[asyncio.Task[object]]:
    """Those that go through what waits; the others are the one batch that is being tried right now."""
    return [task for task in tasks if "Repairs._work" in repr(task.get_coro())]


async def test_ten_thousand_logins_on_a_refused_connection_leave_nothing_to_be_done() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"mongodb://127.0.0.1:{nobody.getsockname()[1]}/refused"
        manager = make_manager(url, system_time, storage_timeout=TIMEOUT)
        await storm(manager)
        assert tasks_of_the_library() == set()
        await manager.aclose()


async def test_ten_thousand_logins_on_a_storage_that_hangs_leave_one_worker_and_are_counted(
    mongod: Mongod, caplog: pytest.LogCaptureFixture
) -> None:
    url, trusting = database_url(mongod.url, "storm"), {"cache_ttl": 60}  # no login reads anything before its insert
    async with make_manager(url, system_time, storage_timeout=TIMEOUT, jti=trusting) as manager:
        mongod.stop()
        try:
            before = memory()
            with caplog.at_level(logging.WARNING, "aiohttp_lionrock"):
                await storm(manager, MORE_THAN_WAIT)
            held = memory() - before
        finally:
            mongod.cont()
        tasks = tasks_of_the_library()
        assert len(workers(tasks)) == 1
        assert len(tasks) <= 1 + BATCH
        assert held < MOST_HELD
        await served_again(manager)
        assert await slowest_of(SAMPLE, manager) < TIMEOUT
    counted = [int(text.split()[0]) for text in caplog.messages if "records" in text]
    assert sum(counted) >= MORE_THAN_WAIT - LOGINS
    assert tasks_of_the_library() == set()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_of(Options(f"sqlite:///{tmp_path / 'sessions.db'}", storage_timeout=TIMEOUT)) as fleet:
        yield fleet


@pytest.mark.parametrize("before", [None, "fill", "log_in"])
async def test_a_login_is_answered_in_time_while_the_file_is_locked(
    fleet: Fleet, tmp_path: Path, before: str | None
) -> None:
    visitors = [fleet.browser() for _ in range(4)]
    if before:
        await asyncio.gather(*(one.ask(number % 2, before, sub="ann") for number, one in enumerate(visitors)))
    async with lock_of(tmp_path / "sessions.db"):
        for number, visitor in enumerate(visitors):
            began = time.monotonic()
            answer = await visitor.ask(number % 2, "log_in", sub="ann")
            assert answer.status == 503
            assert time.monotonic() - began < TIMEOUT + MARGIN


@pytest.mark.parametrize("hangs", ["insert", "replace"])
async def test_the_deadline_is_one_for_all_calls_of_a_login(tmp_path: Path, hangs: str) -> None:
    storage = Slow(open_storage(f"sqlite:///{tmp_path / 'sessions.db'}"))
    async with make_manager(storage, system_time, storage_timeout=TIMEOUT) as manager:
        browser = Browser(manager)
        await browser.write(cart="full")
        session = await manager.load(browser.cookies)
        session.renew()
        session["sub"] = "ann"
        storage.seconds = 0.8 * TIMEOUT
        storage.fail(hangs, "hang")
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await manager.save(session)
        assert time.monotonic() - began < TIMEOUT + MARGIN
        storage.seconds = 0
        await until_it_holds(browser, "cart", "full")


async def test_a_leeway_that_could_not_begin_begins_when_the_storage_is_back(tmp_path: Path) -> None:
    clock = FakeClock()
    inner = open_storage(f"sqlite:///{tmp_path / 'sessions.db'}")
    inner.clock = clock
    storage = FaultyStorage(inner)
    async with make_manager(storage, clock, storage_timeout=TIMEOUT) as manager:
        browser = Browser(manager)
        await browser.log_in()
        thief = browser.copy()
        storage.fail("replace", times=3, skip=1)
        await browser.refresh()
        assert (await leeway_begun(browser)).rotated_at == clock()
        clock.advance(ZONE + 1)
        assert isinstance((await thief.refresh()).rejected, TokenReused)


async def describe_at_once(fleet: Fleet) -> float:
    """Seconds for so many labels on one session, half of them by each of two processes."""
    visitor = fleet.browser()
    await visitor.ask(0, "log_in", sub="ann")
    tabs = [visitor.beside() for _ in range(PARALLEL)]
    began = time.monotonic()
    answers = await asyncio.gather(
        *(tab.ask(number % 2, "describe", label=f"tab{number % LABELS}") for number, tab in enumerate(tabs))
    )
    seconds = time.monotonic() - began
    assert {answer.status for answer in answers} == {200}
    [record] = await fleet.judge.sessions("ann")
    assert set(record.metadata) == {f"tab{number}" for number in range(LABELS)}
    return seconds


async def test_three_hundred_labels_at_once_are_all_put_on_by_two_processes(
    tmp_path: Path, replica_set_database: str
) -> None:
    for url in (f"sqlite:///{tmp_path / 'sessions.db'}", replica_set_database):
        async with fleet_of(Options(url)) as fleet:
            assert await describe_at_once(fleet) < PATIENCE
