"""What a SQLite storage says at its opening, where the file cannot be used, and what a failed opening leaves behind."""

import asyncio
import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage, connection, database

from aiohttp_lionrock import SessionConfig, SessionManager
from aiohttp_lionrock.errors import ConfigError, LionRockError, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def record() -> JtiRecord:
    return JtiRecord("sid", version=1, expires_at=2**40, created_at=0)


async def refusal(storage: SqliteStorage, kind: type[LionRockError] = StorageUnavailable) -> str:
    with pytest.raises(kind) as caught:
        await storage.open()
    if isinstance(caught.value, StorageUnavailable):
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        assert not caught.value.maybe_done
    return str(caught.value)


async def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    assert "this is a folder" in await refusal(SqliteStorage(tmp_path), ConfigError)


async def test_a_file_in_a_folders_place_is_refused(path: Path) -> None:
    path.write_text("text")
    for create_parents in (False, True):
        for place in (path / "x.db", path / "more" / "x.db"):
            storage = SqliteStorage(place, create_parents=create_parents)
            assert "a part of the path is a file" in await refusal(storage, ConfigError)


async def test_a_file_that_is_not_a_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)
    assert "not a SQLite database" in await refusal(SqliteStorage(path))
    assert path.read_bytes() == b"no database " * 1000
    path.unlink()
    async with SqliteStorage(path) as storage:
        await storage.ping()


async def test_opening_a_locked_file_is_unavailable_and_recovers(path: Path) -> None:
    for prepare in ("CREATE TABLE users (name)", "PRAGMA journal_mode = WAL"):
        with closing(sqlite3.connect(path)) as other:
            other.execute(prepare)
        storage = SqliteStorage(path, busy_timeout=0.02)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert "locked" in await refusal(storage)
        async with storage:
            await storage.ping()


async def test_a_file_whose_journal_cannot_be_a_wal_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def without_shared_memory(database: str, **options: Any) -> sqlite3.Connection:
        return connect(f"{database}&vfs=unix-dotfile", **options)

    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
    message = await refusal(SqliteStorage(path), ConfigError)
    assert "its journal stays in mode 'delete'" in message
    assert "local file system" in message


async def test_who_gives_up_opening_closes_nothing_that_another_manager_opens(path: Path) -> None:
    storage = SqliteStorage(path)
    one, other = (SessionManager(SessionConfig(secret="s" * 16 + "t" * 32, storage=storage)) for _ in range(2))
    given_up, opening = asyncio.create_task(one.open()), asyncio.create_task(other.open())
    await asyncio.sleep(0)
    given_up.cancel()
    await one.aclose()
    await opening
    session = await other.load({})
    session["sub"] = "ann"
    assert await other.save(session)
    await other.aclose()
    with pytest.raises(StorageUnavailable, match="not open"):
        await storage.ping()


async def assert_no_more_held(folder: Path, before: tuple[set[int], list[str]]) -> None:
    """Waits a moment: a thread says that its connection is closed, and ends after that."""
    async with asyncio.timeout(5):
        while not held(folder)[0] <= before[0]:
            await asyncio.sleep(0.001)
    assert held(folder)[1] == before[1]


def held(folder: Path) -> tuple[set[int], list[str]]:
    """This process's threads but those of the event loop's pool, and its open files in this folder."""
    threads = {thread.native_id or 0 for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    links = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    files = [os.readlink(link) for link in links if os.path.islink(link)]
    return threads, sorted(file for file in files if file.startswith(str(folder)))


def foreign_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE lionrock_sessions (name TEXT)")


def nonsense(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


@pytest.mark.parametrize("spoil", [foreign_table, nonsense])
async def test_a_failed_opening_leaves_no_thread_no_connection_and_no_file_behind(path: Path, spoil: Any) -> None:
    spoil(path)
    content, before = path.read_bytes(), held(path.parent)
    for _ in range(3):
        with pytest.raises(LionRockError):
            await SqliteStorage(path).open()
    await assert_no_more_held(path.parent, before)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == content, "not even the journal's mode is changed"


async def test_an_opening_whose_second_connection_fails_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteStorage(path) as storage:
        await storage.insert(record())
    before = held(path.parent)
    too_many = sqlite3.OperationalError("unable to open database file")

    def failing(*_: object) -> sqlite3.Connection:
        raise too_many

    with monkeypatch.context() as patch:
        patch.setattr(database, "connect_reader", failing)
        assert "unable to open" in await refusal(storage)
    await assert_no_more_held(path.parent, before)
    assert os.listdir(path.parent) == [path.name]
    async with storage:
        assert await storage.get("sid") == record()


async def test_a_reader_that_fails_half_way_closes_its_connection(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteStorage(path) as storage:
        await storage.insert(record())
    before = held(path.parent)
    watch = connection._FileConnection.watch
    watched = []

    def failing_for_the_second(self: Any, settings: Any) -> None:
        watched.append(self)
        if len(watched) == 2:
            raise FileNotFoundError("the file went away in between")
        watch(self, settings)

    with monkeypatch.context() as patch:
        patch.setattr(connection._FileConnection, "watch", failing_for_the_second)
        with pytest.raises(StorageUnavailable, match="went away"):
            await storage.open()
    await assert_no_more_held(path.parent, before)
    for each in watched:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            each.in_transaction  # noqa: B018
    async with storage:
        assert await storage.get("sid") == record()


@pytest.mark.parametrize("both", [False, True], ids=["one of two", "both"])
async def test_a_cancelled_open_hurts_nobody_else(path: Path, both: bool) -> None:
    for turns in range(4):
        storage = SqliteStorage(path)
        cancelled = asyncio.create_task(storage.open())
        other = asyncio.create_task(storage.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in [cancelled, other] if both else [cancelled]:
            task.cancel()
        outcomes = await asyncio.gather(cancelled, other, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [
            asyncio.CancelledError,
            asyncio.CancelledError if both else type(None),
        ]
        if both:
            await storage.open()
        await storage.ping()
        await storage.aclose()
        assert held(path.parent)[1] == []


@pytest.mark.parametrize("turns", range(4))
async def test_who_closes_what_is_just_being_opened_does_not_wait_for_ever(path: Path, turns: int) -> None:
    storage = SqliteStorage(path)
    opening = asyncio.create_task(storage.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await asyncio.gather(opening, storage.aclose(), return_exceptions=True)
        await storage.open()
    await storage.ping()
    await storage.aclose()


@pytest.mark.parametrize("storage_of", [lambda path: SqliteStorage(path, mode="rw"), lambda path: only_there(path)])
async def test_what_is_not_there_is_not_created_where_that_is_not_wanted(path: Path, storage_of: Any) -> None:
    storage = storage_of(path)
    for what in ("no such file", "no table lionrock_sessions"):
        with pytest.raises(StorageUnavailable, match=f"sessions.db: there is {what}; correct the URL, or start"):
            await storage.open()
        assert path.exists() == (what != "no such file")
        path.touch()
    assert path.read_bytes() == b""
    assert [file.name for file in path.parent.iterdir()] == ["sessions.db"]
    async with SqliteStorage(path) as another:
        await another.insert(record())
    async with storage:
        assert await storage.get("sid") is not None
        await storage.ping()


def only_there(path: Path) -> SqliteStorage:
    storage = SqliteStorage(path)
    storage.may_create = False
    return storage


async def test_the_facts_are_the_file_its_schema_and_its_indexes(path: Path) -> None:
    async with SqliteStorage(path, table="visits") as storage:
        facts = await storage.facts()
        assert re.fullmatch(rf"{path}, \d KiB, by SQLite {sqlite3.sqlite_version}", facts["file"])
        assert facts["schema"] == "table visits, version 3"
        assert facts["indexes"].split(", ") == ["visits__due_at", "visits__subject"]
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP INDEX visits__due_at")
            other.execute("DROP INDEX visits__subject")
        assert (await storage.facts())["indexes"].startswith("none: ")
