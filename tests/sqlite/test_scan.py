"""A scan of a SQLite storage meets every live record once, in pages, while others write."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage, schema

from aiohttp_lionrock.errors import CorruptRecord
from aiohttp_lionrock.storage import JtiRecord
from aiohttp_lionrock.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def storage(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStorage]:
    async with SqliteStorage(tmp_path / "sessions.db", clock=clock) as storage:
        yield storage


def record(sid: str, expires_at: int = 5_000_000_000) -> JtiRecord:
    return JtiRecord(sid, version=1, expires_at=expires_at, created_at=0, access_jti=f"jti of {sid}", subject="u")


async def scanned(storage: SqliteStorage, limit: int) -> list[JtiRecord]:
    found: list[JtiRecord] = []
    cursor = None
    while True:
        page, cursor = await storage.scan(cursor, limit)
        assert len(page) <= limit
        found += page
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 7, 99, 100, 101])
async def test_every_live_record_is_met_once_and_no_expired_one(
    storage: SqliteStorage, clock: FakeClock, limit: int
) -> None:
    live = [record(str(number)) for number in range(100)]
    for one in live:
        await storage.insert(one)
        await storage.insert(record(f"expired {one.sid}", int(clock()) + 1))
    clock.advance(1)
    found = await scanned(storage, limit)
    assert sorted(found, key=lambda each: int(each.sid)) == live


async def test_nothing_to_scan_is_an_empty_page(storage: SqliteStorage) -> None:
    assert await storage.scan() == ([], None)


async def test_what_comes_goes_and_changes_meanwhile_hides_and_repeats_nothing(storage: SqliteStorage) -> None:
    await storage.insert(record("changed"))
    for number in range(100):
        await storage.insert(record(str(number)))
    found, cursor = await storage.scan(limit=10)
    for round_ in range(1, 10):
        await storage.insert(record(f"new {round_}"))
        assert await storage.replace(record("changed"), round_)
        gone = next(one for one in reversed(found) if one.sid != "changed")
        assert await storage.delete(gone.sid) == gone
        page, cursor = await storage.scan(cursor, 5)
        found += page
    while cursor is not None:
        page, cursor = await storage.scan(cursor, 11)
        found += page
    sids = [one.sid for one in found]
    assert len(set(sids)) == len(sids)
    assert {"changed", *(str(number) for number in range(100))} <= set(sids)


async def test_the_records_at_both_ends_of_the_keys_are_met(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ends:
        def __init__(self, sid: bytes) -> None:
            self.sid = sid

        def digest(self) -> bytes:
            return {b"least": b"\x80" + b"\x00" * 7, b"most": b"\x7f" + b"\xff" * 7}[self.sid]

    monkeypatch.setattr(schema, "sha256", Ends)
    for sid in ("least", "most"):
        await storage.insert(record(sid))
    assert [one.sid for one in await scanned(storage, 1)] == ["least", "most"]


async def test_a_row_that_is_not_a_record_is_named(storage: SqliteStorage, tmp_path: Path) -> None:
    await storage.insert(record("sid"))
    with closing(connect(tmp_path / "sessions.db")) as other, other:
        other.execute("UPDATE lionrock_sessions SET packed = '{}'")
    with pytest.raises(CorruptRecord, match="'sid'"):
        await storage.scan()
