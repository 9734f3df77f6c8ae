"""Real processes on one SQLite file: races, a kill at any moment, an exit without aclose, a cancelled caller.

Run as a program, this file is such a process: ``python test_processes.py ROLE PATH``.
"""

import asyncio
import gc
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord

PATIENCE = 20  # seconds; far more than any of these processes needs
ROUNDS = 2000  # versions: enough for a process that is late to take part


def record(sid: str = "sid", **fields: Any) -> JtiRecord:
    return JtiRecord(sid, **{"version": 1, "expires_at": 2**40, "created_at": 0, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@contextmanager
def process(role: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in this role, that has said it is ready."""
    command = [sys.executable, "-W", "error", __file__, role, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


async def open_at_once(path: Path) -> None:
    """Opens five storages on one file in the same moment."""
    ready()
    storages = [SqliteStorage(path) for _ in range(5)]
    await asyncio.gather(*(storage.open() for storage in storages))
    for storage in storages:
        await storage.ping()
        await storage.aclose()


def test_twenty_storages_in_four_processes_open_a_fresh_file_at_once(path: Path) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(process("open_at_once", path)) for _ in range(4)]
        for child in children:
            go(child)
        assert [child.wait(PATIENCE) for child in children] == [0] * 4


async def compete(path: Path) -> None:
    """Tries to win every version of one record, and prints those that it won."""
    async with SqliteStorage(path) as storage:
        ready()
        won = []
        while (current := await storage.get("sid")) and current.version <= ROUNDS:
            contenders = (storage.replace(record(), version) for version in (current.version, current.version + 1))
            verdicts = await asyncio.gather(*contenders)
            won += [current.version + n for n, verdict in enumerate(verdicts) if verdict]
    print(*won)


async def test_each_version_is_won_once_by_one_of_two_processes(path: Path) -> None:
    async with SqliteStorage(path) as storage:
        await storage.insert(record())
        with process("compete", path) as one, process("compete", path) as two:
            go(one)
            go(two)
            won = [[int(version) for version in child.communicate(timeout=PATIENCE)[0].split()] for child in (one, two)]
            assert (one.returncode, two.returncode) == (0, 0)
        final = await storage.get("sid")
    assert final is not None
    assert sorted(won[0] + won[1]) == list(range(1, final.version))
    assert won[0], "both must have taken part"
    assert won[1], "both must have taken part"


async def revoke(path: Path) -> None:
    """Ends one session and then every session of a subject."""
    async with SqliteStorage(path) as storage:
        ready()
        print(await storage.delete("sid") == record(), await storage.delete_subject("u"), flush=True)
        sys.stdin.readline()


async def test_a_revocation_in_another_process_is_seen_at_once(path: Path) -> None:
    async with SqliteStorage(path) as storage:
        await storage.insert(record())
        await storage.insert(record("other", subject="u"))
        with process("revoke", path) as child:
            assert await storage.get("sid") == record()
            go(child)
            assert child.stdout is not None
            assert child.stdout.readline() == "True 1\n"
            assert await asyncio.gather(storage.get("sid"), storage.get("other")) == [None, None]
            assert await storage.replace(record(), 1) is False
            go(child)
            assert child.wait(PATIENCE) == 0


async def write_for_ever(path: Path) -> None:
    """Replaces records from many tasks, and prints each version once it is acknowledged."""

    async def task(sid: str) -> None:
        await storage.insert(record(sid))
        for version in range(1, 1_000_000):
            assert await storage.replace(record(sid), version)
            print(sid, version + 1, flush=True)

    async with SqliteStorage(path) as storage:
        ready()
        await asyncio.gather(*(task(str(n)) for n in range(20)))


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_acknowledged_outlives_a_kill_at_any_moment(path: Path, seed: int) -> None:
    with process("write_for_ever", path) as child:
        go(child)
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        end = time.monotonic() + random.Random(seed).uniform(0, 0.3)
        while time.monotonic() < end:
            lines.append(child.stdout.readline())
        child.kill()
        lines += child.stdout.read().splitlines()[:-1]  # the last line may be cut short
    acknowledged: dict[str, int] = {}
    for line in lines:
        sid, version = line.split()
        acknowledged[sid] = int(version)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with SqliteStorage(path) as storage:
        found = await storage.get_many(list(acknowledged))
        assert {sid: one.version for sid, one in found.items() if one.version >= acknowledged[sid]}.keys() == (
            acknowledged.keys()
        )
        assert all(await asyncio.gather(*(storage.replace(one, one.version) for one in found.values())))


async def forget_to_close(path: Path) -> None:
    """Ends with an open storage and a read under way."""
    storage = SqliteStorage(path)
    await storage.open()
    ready()
    await storage.insert(record())
    forget_to_close.kept = storage, asyncio.create_task(storage.get("sid"))  # type: ignore[attr-defined]
    await asyncio.sleep(0)


@pytest.mark.parametrize("memory", [False, True])
def test_an_unclosed_storage_does_not_hang_the_exit(path: Path, memory: bool) -> None:
    with process("forget_to_close", Path(":memory:") if memory else path) as child:
        go(child)
        assert child.wait(PATIENCE) == 0


def test_a_storage_serves_one_event_loop_after_another(path: Path) -> None:
    storage = SqliteStorage(path)

    async def serve(version: int) -> None:
        async with storage:
            await asyncio.gather(storage.get("sid"), storage.delete("absent"), storage.open())
            if version == 1:
                await storage.insert(record())
            assert await storage.replace(record(), version)

    for version in (1, 2, 3):
        asyncio.run(serve(version))


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_storage_whose_opening_was_cut_off_with_its_event_loop_can_be_opened_again(path: Path) -> None:
    storage = SqliteStorage(path)

    async def start_to_open(moments: int) -> None:
        opening = asyncio.create_task(storage.open())
        for _ in range(moments):
            await asyncio.sleep(0)
        opening.cancel()

    async def serve() -> None:
        with pytest.raises(StorageUnavailable, match="not open"):
            await storage.list_subject("u")
        async with storage:
            assert await storage.get("sid") is None

    for moments in range(4):
        asyncio.run(start_to_open(moments))
        asyncio.run(serve())
    gc.collect()  # what was cut off is closed here, where the warning is expected


async def test_a_caller_that_gives_up_leaves_no_transaction_behind(path: Path) -> None:
    async with SqliteStorage(path, busy_timeout=5) as storage:
        await storage.insert(record())
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
            for call in (storage.replace(record(), 1), storage.delete("sid"), storage.insert(record("new"))):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await call
            other.execute("ROLLBACK")
            await storage.ping()
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        assert await storage.get("new") in (None, record("new"))
        await storage.insert(record("after"))


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](sys.argv[2]))
