"""Many at once on real storages: logins that fail, a lock that is held, labels that meet on one record."""

import asyncio
import logging
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Browser, make_manager
from support.mongod import Mongod, database_url

from aiohttp_lionrock import SessionManager, StorageUnavailable
from aiohttp_lionrock.storage.contract import system_time

LOGINS = 10_000
AT_ONCE = 1000
TIMEOUT = 0.5  # seconds that managers wait for a storage
MARGIN = 0.3  # seconds that an answer may take beyond that
PARALLEL = 300
LABELS = 20


async def fail_to_log_in(manager: SessionManager) -> float:
    """Seconds until the login was refused."""
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await Browser(manager).log_in()
    return time.monotonic() - began


async def storm(manager: SessionManager) -> None:
    for _ in range(LOGINS // AT_ONCE):
        await asyncio.gather(*(fail_to_log_in(manager) for _ in range(AT_ONCE)))


async def slowest_of(count: int, manager: SessionManager) -> float:
    """Of so many logins one after the other."""
    seconds = []
    for _ in range(count):
        began = time.monotonic()
        await Browser(manager).log_in()
        seconds.append(time.monotonic() - began)
    return sorted(seconds)[int(count * 0.99)]


def memory() -> int:
    """KiB that the process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture
def mongod(mongod_program: Path, tmp_path: Path) -> Iterator[Mongod]:
    server = Mongod(mongod_program, tmp_path / "data")
    try:
        server.start()
        yield server
    finally:
        server.terminate()


async def test_ten_thousand_logins_on_a_refused_connection_leave_nothing_to_be_done() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"mongodb://127.0.0.1:{nobody.getsockname()[1]}/refused"
        manager = make_manager(url, system_time, storage_timeout=TIMEOUT)
        others = asyncio.all_tasks()
        before = memory()
        await storm(manager)
        left = {task for task in asyncio.all_tasks() - others if "aiohttp_lionrock" in repr(task.get_coro())}
        print("refused: tasks", len(left), "KiB", memory() - before, [repr(task)[:150] for task in left][:3])
        assert not left
        await manager.aclose()


async def test_ten_thousand_logins_on_a_storage_that_hangs_leave_one_task_and_are_counted(
    mongod: Mongod, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(database_url(mongod.url, "storm"), system_time, storage_timeout=TIMEOUT)
    await manager.open()
    usual = await slowest_of(200, manager)
    others = asyncio.all_tasks()
    before = memory()
    mongod.stop()
    try:
        with caplog.at_level(logging.WARNING, "aiohttp_lionrock"):
            await storm(manager)
    finally:
        mongod.cont()
    left = {task for task in asyncio.all_tasks() - others if "aiohttp_lionrock" in repr(task.get_coro())}
    print("hangs: tasks", len(left), "KiB", memory() - before)
    afterwards = [await slowest_of(200, manager) for _ in range(3)]
    print("p99 usual", usual, "afterwards", afterwards)
    print(caplog.text[-600:])
    await manager.aclose()
    print(caplog.text[-600:])
    assert len(left) < 10
