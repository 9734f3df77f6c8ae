"""How records lie in a SQLite file: by the hash of their sid, with a date for the purge, in small pages."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage, schema

from aiohttp_lionrock.errors import DuplicateRecord
from aiohttp_lionrock.storage import JtiRecord

NOW = 1000


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def record(sid: str, expires_at: int = NOW + 10, subject: str | None = None) -> JtiRecord:
    return JtiRecord(sid, version=1, expires_at=expires_at, created_at=0, subject=subject)


def dates(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT sid, due_at FROM lionrock_sessions"))


@pytest.mark.parametrize("sid", ["sid", "é", "8c5a39f7-5ac4-4a87-a7a9-5a3b7a0a2d6c", "x" * 1024])
def test_the_hash_of_a_sid_is_a_number_that_sqlite_keeps(sid: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        (kept,) = connection.execute("SELECT value FROM json_each(?)", (f"[{schema.hash_of(sid)}]",)).fetchone()
    assert kept == schema.hash_of(sid)
    assert len({schema.hash_of(f"{sid}-{number}") for number in range(1000)}) == 1000


def test_the_hash_stays_the_same_from_one_version_to_the_next() -> None:
    assert (
        schema.hash_of("8c5a39f7-5ac4-4a87-a7a9-5a3b7a0a2d6c") == -8360666147756354155
    )  # sha256sum, the first 16 digits


@pytest.fixture
def one_hash_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "sha256", lambda _: hashlib.sha256())


@pytest.mark.usefixtures("one_hash_for_all")
async def test_two_sids_with_one_hash_are_never_taken_for_each_other(path: Path, clock: Clock) -> None:
    first, second = record("first", subject="ann"), record("second", subject="ben")
    async with SqliteStorage(path, clock=clock) as storage:
        await storage.insert(first)
        with pytest.raises(DuplicateRecord):
            await storage.insert(second)
        assert await storage.get("second") is None
        assert await storage.get_many(["second"]) == {}
        assert await storage.get_many(["second", "first"]) == {"first": first}
        assert not await storage.replace(second, 1)
        assert await storage.delete("second") is None
        assert await storage.list_subject("ben") == []
        assert await storage.get("first") == first


@pytest.mark.usefixtures("one_hash_for_all")
async def test_an_expired_record_makes_room_for_another_with_its_hash(path: Path, clock: Clock) -> None:
    async with SqliteStorage(path, clock=clock) as storage:
        await storage.insert(record("first", NOW + 1))
        clock.now = NOW + 1
        second = record("second")
        await storage.insert(second)
        assert await storage.get("second") == second
        assert await storage.get("first") is None
        clock.now = NOW + 9
        assert await storage.purge(10) == 0
        clock.now = NOW + 10
        assert await storage.purge(10) == 1


async def test_the_date_of_the_purge_stays_while_the_expiry_moves_on(path: Path, clock: Clock) -> None:
    async with SqliteStorage(path, clock=clock) as storage:
        await storage.insert(record("sid", NOW + 10))
        assert await storage.replace(record("sid", NOW + 20), 1)
        assert dates(path) == {"sid": NOW + 10}


async def test_the_date_of_the_purge_is_never_later_than_the_expiry(path: Path, clock: Clock) -> None:
    async with SqliteStorage(path, clock=clock) as storage:
        await storage.insert(record("sid", NOW + 10))
        assert await storage.replace(record("sid", NOW + 5), 1)
        assert dates(path) == {"sid": NOW + 5}
        clock.now = NOW + 5
        assert await storage.purge(10) == 1


async def test_a_write_after_that_date_sets_the_next(path: Path, clock: Clock) -> None:
    async with SqliteStorage(path, clock=clock) as storage:
        await storage.insert(record("sid", NOW + 10))
        assert await storage.replace(record("sid", NOW + 20), 1)
        clock.now = NOW + 10
        assert await storage.replace(record("sid", NOW + 30), 2)
        assert dates(path) == {"sid": NOW + 30}


async def test_a_purge_finds_the_expired_behind_many_that_were_prolonged(path: Path, clock: Clock) -> None:
    async with SqliteStorage(path, clock=clock) as storage:
        for number in range(1200):
            await storage.insert(record(f"live-{number}", NOW + 1))
            assert await storage.replace(record(f"live-{number}", NOW + 100), 1)
        for number in range(3):
            await storage.insert(record(f"dead-{number}", NOW + 2))
        clock.now = NOW + 2
        assert [await storage.purge(2) for _ in range(3)] == [2, 1, 0]
        assert dates(path) == {f"live-{number}": NOW + 100 for number in range(1200)}
        assert await storage.get("live-1199") == replace(record("live-1199", NOW + 100), version=2)
        clock.now = NOW + 100
        assert await storage.purge(10_000) == 1200


async def test_a_new_file_has_small_pages_and_one_that_is_there_keeps_its_own(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("CREATE TABLE users (name TEXT)")
    for path, size in ((new, 1024), (old, 8192)):
        async with SqliteStorage(path) as storage:
            await storage.insert(record("sid", 2**40))
            ((pages,),) = await storage._database.write("PRAGMA wal_autocheckpoint")
            assert pages * size == 4 * 2**20
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA page_size").fetchone() == (size,)
