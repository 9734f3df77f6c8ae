"""What an open SQLite storage says when its file is locked, full, damaged or gone."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage
from aiohttp_lionrock_sqlite.database import Database

from aiohttp_lionrock.errors import CorruptRecord, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord


def record(sid: str = "sid", **fields: Any) -> JtiRecord:
    return JtiRecord(sid, **{"version": 1, "expires_at": 2**40, "created_at": 0, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SqliteStorage]:
    async with SqliteStorage(path, busy_timeout=0.2) as storage:
        await storage.insert(record(subject="u"))
        yield storage


def calls(storage: SqliteStorage) -> list[Awaitable[Any]]:
    return [
        storage.insert(record("new")),
        storage.get("sid"),
        storage.get_many(["sid"]),
        storage.replace(record(), 1),
        storage.delete("sid"),
        storage.delete_subject("u"),
        storage.list_subject("u"),
        storage.scan(),
        storage.purge(10),
        storage.ping(),
    ]


async def assert_all_unavailable(storage: SqliteStorage, reason: str) -> None:
    for call in calls(storage):
        with pytest.raises(StorageUnavailable, match=reason) as caught:
            await call
        assert not caught.value.maybe_done


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


async def test_a_storage_that_was_never_opened_says_so(path: Path) -> None:
    await assert_all_unavailable(SqliteStorage(path), "not open: call open")
    assert not path.exists()


async def test_a_closed_storage_says_so(storage: SqliteStorage) -> None:
    await storage.aclose()
    await assert_all_unavailable(storage, "not open: call open")


async def test_a_damaged_file_is_unavailable(path: Path) -> None:
    async with SqliteStorage(path) as storage:
        await asyncio.gather(*(storage.insert(record(str(n), metadata={"x": "y" * 900})) for n in range(100)))
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096) * (path.stat().st_size // 4096 - 3))
    async with SqliteStorage(path) as storage:
        with pytest.raises(StorageUnavailable, match="damaged") as caught:
            await storage.get_many([str(n) for n in range(100)])
        assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)


async def test_a_locked_file_is_unavailable_within_busy_timeout_and_recovers(
    storage: SqliteStorage, path: Path
) -> None:
    with locked(path):
        started = time.monotonic()
        with pytest.raises(StorageUnavailable, match="locked for longer than busy_timeout") as caught:
            await storage.replace(record(), 1)
        assert 0.15 < time.monotonic() - started < 2
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert not caught.value.maybe_done
        for write in (storage.insert(record("new")), storage.delete("sid"), storage.delete_subject("u")):
            with pytest.raises(StorageUnavailable, match="locked") as caught:
                await write
            assert not caught.value.maybe_done
        with pytest.raises(StorageUnavailable):
            await storage.ping()
    assert await storage.replace(record(), 1)


async def test_a_lock_that_ends_in_time_is_waited_for(storage: SqliteStorage, path: Path) -> None:
    with locked(path):
        waiting = asyncio.create_task(storage.replace(record(), 1))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    assert await waiting


async def test_a_write_that_waited_for_a_lock_is_not_acknowledged_where_the_file_was_moved_away_meanwhile(
    storage: SqliteStorage, path: Path
) -> None:
    with locked(path):
        waiting = asyncio.create_task(storage.replace(record(), 1))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").rename(f"{path}{suffix}.away")
    with pytest.raises(StorageUnavailable, match="deleted or replaced"):
        await waiting


@pytest.fixture
def slow_close(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes every closing take a while, whoever cancels it, as a disk that hangs does; tells what was done when."""
    done: list[str] = []
    close, open_ = Database.close, Database.open

    async def closing_slowly(self: Database) -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        await close(self)
        done.append("closed")

    async def opening(*arguments: Any) -> Database:
        done.append("opens")
        return await open_(*arguments)

    monkeypatch.setattr(Database, "close", closing_slowly)
    monkeypatch.setattr(Database, "open", opening)
    return done


async def test_an_opening_waits_for_the_closing_before_it(slow_close: list[str]) -> None:
    storage = SqliteStorage(":memory:")
    await storage.open()
    await storage.insert(record())
    closing = asyncio.create_task(storage.aclose())
    await asyncio.sleep(0)
    await storage.open()
    await closing
    assert slow_close == ["opens", "closed", "opens"]
    assert await storage.get("sid") == record()
    await storage.aclose()


async def test_whoever_closes_need_not_wait_for_a_disk_that_hangs(slow_close: list[str], path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await storage.aclose()
    assert slow_close == ["opens"]
    await storage.open()
    assert slow_close == ["opens", "closed", "opens"]
    await storage.aclose()


async def test_reads_do_not_wait_for_a_write(path: Path) -> None:
    async with SqliteStorage(path, busy_timeout=10) as storage:
        await storage.insert(record(subject="u"))
        with locked(path):
            waiting = asyncio.create_task(storage.replace(record(), 1))
            await asyncio.sleep(0.02)
            async with asyncio.timeout(5):
                assert await storage.get("sid") == record(subject="u")
                assert await storage.list_subject("u") == [record(subject="u")]
            assert not waiting.done()
        assert await waiting


async def test_a_full_disk_is_unavailable_stores_nothing_of_the_call_and_recovers(storage: SqliteStorage) -> None:
    [(pages,)] = await storage._database.write("PRAGMA page_count")
    await storage._database.write(f"PRAGMA max_page_count = {pages}")
    large = [record(str(n), metadata={"x": "y" * 1000}) for n in range(30)]
    outcomes = await asyncio.gather(*(storage.insert(one) for one in large), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    assert "is full" in str(outcomes[0])
    assert not outcomes[0].maybe_done  # it was found out before the commit
    assert await storage.get_many([one.sid for one in large]) == {}
    assert await storage.get("sid") == record(subject="u")
    await storage._database.write(f"PRAGMA max_page_count = {pages + 100}")
    await asyncio.gather(*(storage.insert(one) for one in large))
    assert len(await storage.get_many([one.sid for one in large])) == 30


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_a_file_that_is_moved_away_is_unavailable_until_it_is_back(path: Path, suffix: str) -> None:
    file, away = Path(f"{path}{suffix}"), path.with_name("away")
    async with SqliteStorage(path) as storage:
        await storage.insert(record(subject="u"))
        file.rename(away)
        await assert_all_unavailable(storage, "deleted or replaced while it was open")
        away.rename(file)
        assert await storage.get("sid") == record(subject="u")
        assert await storage.replace(record(), 1)


async def test_a_deleted_file_is_unavailable_until_it_is_opened_anew(storage: SqliteStorage, path: Path) -> None:
    path.unlink()
    await assert_all_unavailable(storage, "deleted or replaced while it was open")
    assert not path.exists()
    await storage.aclose()
    await storage.open()
    assert await storage.get("sid") is None
    await storage.insert(record())


async def test_a_file_that_is_replaced_is_unavailable_and_not_harmed(tmp_path: Path, storage: SqliteStorage) -> None:
    async with SqliteStorage(tmp_path / "other.db") as other:
        await other.insert(record("of the other"))
    (tmp_path / "other.db").rename(tmp_path / "sessions.db")
    await assert_all_unavailable(storage, "deleted or replaced while it was open")
    await storage.aclose()
    await storage.open()
    assert await storage.get("of the other") == record("of the other")


@pytest.mark.parametrize(
    "damage",
    [
        "expires_at = 9007199254740992",
        "version = -1",
        "created_at = -1",
        "subject = 'x' || char(0)",
        "subject = CAST(x'ff' AS TEXT)",
        "packed = ''",
        "packed = 'text'",
        "packed = '{}'",
        "packed = '[1]'",
        "packed = '[null,null,null,-5]'",
        "packed = '[null,null,null,null,null,{\"a\":1}]'",
        "packed = CAST(x'5b22ff225d' AS TEXT)",
        "packed = replace(hex(zeroblob(50000)), '00', '[')",
    ],
)
async def test_a_corrupt_row_is_named_and_fails_no_neighbour(storage: SqliteStorage, path: Path, damage: str) -> None:
    await asyncio.gather(*(storage.insert(record(str(n))) for n in range(3)))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(f"UPDATE lionrock_sessions SET {damage} WHERE sid = '1'")
    zero, one, two = await asyncio.gather(*(storage.get(str(n)) for n in range(3)), return_exceptions=True)
    assert (zero, two) == (record("0"), record("2"))
    assert isinstance(one, CorruptRecord)
    assert "'1'" in str(one)
    with pytest.raises(CorruptRecord, match="'1'"):
        await storage.get_many(["0", "1"])
    with pytest.raises(CorruptRecord, match=r"'1'.*it was removed"):
        await storage.delete("1")
    assert await storage.get("1") is None
    assert await storage.delete("1") is None


async def test_a_corrupt_row_is_named_by_a_listing_and_can_be_ended(storage: SqliteStorage, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE lionrock_sessions SET version = -1")
    with pytest.raises(CorruptRecord, match="'sid'"):
        await storage.list_subject("u")
    assert await storage.delete_subject("u") == 1
