"""A SQLite storage that cannot serve says what is wrong, and serves once that is mended, without a restart."""

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord

NOBODY = 65534


def record(sid: str = "sid") -> JtiRecord:
    return JtiRecord(sid, version=1, expires_at=2**40, created_at=0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of our own, and no rights but those that its modes give: root's are given up for so long."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)


async def refusal(storage: SqliteStorage) -> str:
    with pytest.raises(StorageUnavailable) as caught:
        await storage.open()
    assert not caught.value.maybe_done
    with pytest.raises(StorageUnavailable, match="not open"):
        await storage.get("sid")
    return str(caught.value)


async def assert_serves(storage: SqliteStorage) -> None:
    await storage.open()
    try:
        await storage.ping()
        await storage.insert(record("new"))
        assert await storage.delete("new") == record("new")
    finally:
        await storage.aclose()


async def make(path: Path) -> None:
    async with SqliteStorage(path) as storage:
        await storage.insert(record())


async def test_a_file_that_is_read_only_at_the_start_serves_once_it_is_writable(folder: Path) -> None:
    path = folder / "x.db"
    await make(path)
    path.chmod(0o444)
    storage = SqliteStorage(path)
    for _ in range(2):
        assert f"{path} is read-only" in await refusal(storage)
    assert os.listdir(folder) == ["x.db"], "SQLite's own files would be as read-only as this one, and stay so"
    path.chmod(0o644)
    async with storage:
        assert await storage.get("sid") == record()
    await assert_serves(storage)


async def test_a_folder_that_is_read_only_at_the_start_serves_once_it_is_writable(folder: Path) -> None:
    for path in (folder / "fresh.db", folder / "old.db"):
        if path.name == "old.db":
            await make(path)
        folder.chmod(0o555)
        storage = SqliteStorage(path)
        for _ in range(2):
            assert f"the folder {folder} is read-only" in await refusal(storage)
        folder.chmod(0o755)
        await assert_serves(storage)


async def test_a_file_that_becomes_read_only_while_it_is_open_serves_on_and_after_another_start(folder: Path) -> None:
    path = folder / "x.db"
    async with SqliteStorage(path) as storage:
        await storage.insert(record())
        path.chmod(0o444)
        assert await storage.replace(record(), 1), "what is open stays writable"
    assert f"{path} is read-only" in await refusal(storage)
    path.chmod(0o644)
    await assert_serves(storage)


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_a_read_only_file_beside_the_database_is_named(folder: Path, suffix: str) -> None:
    path = folder / "x.db"
    await make(path)
    beside = Path(f"{path}{suffix}")
    beside.touch(0o444)
    storage = SqliteStorage(path)
    assert f"{beside} is read-only" in await refusal(storage)
    beside.chmod(0o644)
    await assert_serves(storage)


async def test_a_read_only_file_behind_a_link_is_named(folder: Path) -> None:
    await make(folder / "x.db")
    (folder / "x.db").chmod(0o444)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "link.db").symlink_to(folder / "x.db")
    storage = SqliteStorage(folder / "elsewhere" / "link.db")
    assert f"{folder / 'x.db'} is read-only" in await refusal(storage)
    (folder / "x.db").chmod(0o644)
    await assert_serves(storage)


async def test_a_file_that_may_not_be_read_is_named(folder: Path) -> None:
    path = folder / "x.db"
    path.touch(0o000)
    storage = SqliteStorage(path)
    assert f"{path} may not be read" in await refusal(storage)
    path.chmod(0o600)
    await assert_serves(storage)


async def test_a_folder_may_be_read_only_where_all_three_files_are_there(folder: Path) -> None:
    path = folder / "x.db"
    async with SqliteStorage(path) as first:
        folder.chmod(0o555)
        await assert_serves(SqliteStorage(path))
        await first.ping()
    folder.chmod(0o755)


async def test_a_parent_folder_that_may_not_be_created_is_unavailable(folder: Path) -> None:
    folder.chmod(0o555)
    storage = SqliteStorage(folder / "more" / "x.db", create_parents=True)
    assert str(folder / "more") in await refusal(storage)
    folder.chmod(0o755)
    await assert_serves(storage)


async def test_a_folder_that_is_missing_at_the_start_serves_once_it_is_there(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "missing" / "x.db")
    for _ in range(2):
        message = await refusal(storage)
        assert f"there is no folder {tmp_path / 'missing'}" in message
        assert "create_parents=true" in message
    assert not (tmp_path / "missing").exists()
    (tmp_path / "missing").mkdir()
    await assert_serves(storage)


@contextmanager
def no_file_may_grow(size: int) -> Iterator[None]:
    """Every write of this process past that size fails, as on a disk that fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_commit_that_fails_may_be_done_and_the_storage_recovers(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with SqliteStorage(path) as storage:
        await storage.insert(record())
        with no_file_may_grow(Path(f"{path}-wal").stat().st_size):
            for write in (storage.replace(record(), 1), storage.delete("sid"), storage.insert(record("new"))):
                with pytest.raises(StorageUnavailable, match="the disk or the file system failed") as caught:
                    await write
                assert caught.value.maybe_done
            with pytest.raises(StorageUnavailable):
                await storage.ping()
            assert await storage.get("sid") == record()
        await storage.ping()
        assert await storage.replace(record(), 1)
        assert await storage.get("new") is None
