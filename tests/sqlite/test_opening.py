"""What a SQLite storage says at its opening, where the file cannot be used."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock.errors import ConfigError, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def record() -> JtiRecord:
    return JtiRecord("sid", version=1, expires_at=2**40, created_at=0)


async def refusal(storage: SqliteStorage, kind: type[Exception] = StorageUnavailable) -> str:
    with pytest.raises(kind) as caught:
        await storage.open()
    if kind is StorageUnavailable:
        assert isinstance(caught.value.__cause__, sqlite3.Error)
    return str(caught.value)


@contextmanager
def without_root() -> Iterator[Path]:
    """A folder of our own, and no rights but those that its modes give."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() != 0:
            yield Path(folder)
            return
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


async def test_a_missing_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "missing" / "x.db")
    message = await refusal(storage, ConfigError)
    assert str(tmp_path / "missing") in message
    assert "create_parents=true" in message
    assert not (tmp_path / "missing").exists()
    (tmp_path / "missing").mkdir()
    async with storage:
        await storage.ping()


async def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    assert "this is a folder" in await refusal(SqliteStorage(tmp_path), ConfigError)


async def test_a_file_in_a_folders_place_is_refused(path: Path) -> None:
    path.write_text("text")
    for create_parents in (False, True):
        storage = SqliteStorage(path / "more" / "x.db", create_parents=create_parents)
        assert "folder" in await refusal(storage, ConfigError)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)
    assert "no SQLite database" in await refusal(SqliteStorage(path))
    assert path.read_bytes() == b"no database " * 1000
    path.unlink()
    async with SqliteStorage(path) as storage:
        await storage.ping()


async def test_a_read_only_file_is_unavailable() -> None:
    with without_root() as folder:
        path = folder / "x.db"
        async with SqliteStorage(path) as storage:
            await storage.insert(record())
        path.chmod(0o444)
        folder.chmod(0o555)
        assert "read-only" in await refusal(SqliteStorage(path))
        folder.chmod(0o755)
        path.chmod(0o644)
        async with SqliteStorage(path) as storage:
            assert await storage.get("sid") == record()


async def test_a_fresh_file_in_a_read_only_folder_is_unavailable() -> None:
    with without_root() as folder:
        folder.chmod(0o555)
        assert "cannot be opened" in await refusal(SqliteStorage(folder / "x.db"))
        folder.chmod(0o755)


async def test_a_file_that_may_not_be_read_is_unavailable() -> None:
    with without_root() as folder:
        path = folder / "x.db"
        path.touch(0o000)
        assert "cannot be opened" in await refusal(SqliteStorage(path))


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
