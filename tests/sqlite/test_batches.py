"""Concurrent calls of one moment share a statement or a transaction, and each keeps its own verdict."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock.errors import DuplicateRecord, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord
from aiohttp_lionrock.testing import FakeClock

MANY = 50


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def storage(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStorage]:
    async with SqliteStorage(tmp_path / "sessions.db", clock=clock) as storage:
        yield storage


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each kind of statement and a transaction was run."""
    counted: Counter[str] = Counter()
    run = aiosqlite.Connection.execute_fetchall

    def counting(self: aiosqlite.Connection, sql: str, parameters: Any) -> Any:
        counted[sql.split()[0]] += 1
        return run(self, sql, parameters)

    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", counting)
    return counted


def record(sid: str = "sid", **fields: Any) -> JtiRecord:
    return JtiRecord(sid, **{"version": 1, "expires_at": 5_000_000_000, "created_at": 0, **fields})


async def outcomes(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_concurrent_calls_of_one_kind_are_one_statement_or_transaction(
    storage: SqliteStorage, statements: Counter[str]
) -> None:
    records = [record(str(n), access_jti=f"jti {n}") for n in range(MANY)]
    await asyncio.gather(*(storage.insert(one) for one in records))
    assert await asyncio.gather(*(storage.get(one.sid) for one in records)) == records
    assert await asyncio.gather(*(storage.replace(one, 1) for one in records)) == [True] * MANY
    assert await asyncio.gather(*(storage.delete(one.sid) for one in records)) == [
        replace(one, version=2) for one in records
    ]
    assert statements == {"BEGIN": 3, "SELECT": 1}


async def test_a_batch_gives_each_replace_its_own_verdict(storage: SqliteStorage) -> None:
    records = [record(str(n)) for n in range(MANY)]
    await asyncio.gather(*(storage.insert(one) for one in records if int(one.sid) % 3))
    wanted = [bool(n % 3) and n % 2 == 1 for n in range(MANY)]
    verdicts = await asyncio.gather(*(storage.replace(one, int(one.sid) % 2) for one in records))
    assert verdicts == wanted


async def test_of_equal_replaces_in_one_moment_one_wins_in_one_transaction(
    storage: SqliteStorage, statements: Counter[str]
) -> None:
    await storage.insert(record())
    contenders = [record(access_jti="same") for _ in range(MANY)]
    verdicts = await asyncio.gather(*(storage.replace(one, 1) for one in contenders))
    assert verdicts == [True] + [False] * (MANY - 1)
    assert statements["BEGIN"] == 2


async def test_replaces_that_follow_on_each_other_in_one_moment_all_win(storage: SqliteStorage) -> None:
    await storage.insert(record())
    verdicts = await asyncio.gather(*(storage.replace(record(access_jti=f"jti {n}"), n) for n in (1, 2, 5, 3)))
    assert verdicts == [True, True, False, True]
    assert await storage.get("sid") == record(access_jti="jti 3", version=4)


async def test_replaces_that_change_more_or_less_of_a_record_all_win_in_one_moment(
    storage: SqliteStorage, clock: FakeClock
) -> None:
    before = [record(str(n), subject="u", access_jti="old") for n in range(4 * MANY)]
    await asyncio.gather(*(storage.insert(one) for one in before))
    kinds = ({}, {"expires_at": 6_000_000_000}, {"subject": "v"}, {"subject": None, "created_at": 1})
    after = [record(one.sid, **{"subject": "u", "access_jti": "new"} | kinds[int(one.sid) % 4]) for one in before]
    assert await asyncio.gather(*(storage.replace(one, 1) for one in after)) == [True] * len(after)
    stored = await asyncio.gather(*(storage.get(one.sid) for one in after))
    assert stored == [replace(one, version=2) for one in after]
    assert len(await storage.list_subject("u")) == 2 * MANY
    clock.now = 5_500_000_000
    assert await storage.purge(1000) == 3 * MANY


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 500, 501])
async def test_a_batch_of_any_size_is_stored_whole(storage: SqliteStorage, clock: FakeClock, count: int) -> None:
    records = [record(str(n), access_jti=f"jti {n}") for n in range(count)]
    await asyncio.gather(*(storage.insert(one) for one in records))
    assert await asyncio.gather(*(storage.replace(one, 1) for one in records)) == [True] * count
    assert await asyncio.gather(*(storage.get(one.sid) for one in records)) == [
        replace(one, version=2) for one in records
    ]
    clock.now = 2**40
    assert await storage.purge(2 * count) == count


async def test_of_equal_inserts_in_one_moment_the_first_wins(storage: SqliteStorage) -> None:
    first, second = record(access_jti="first"), record(access_jti="second")
    won, lost = await outcomes(storage.insert(first), storage.insert(second))
    assert won is None
    assert isinstance(lost, DuplicateRecord)
    assert await storage.get("sid") == first


async def test_an_insert_of_an_expired_record_does_not_stand_in_the_next_ones_way(storage: SqliteStorage) -> None:
    expired, live = record(expires_at=1), record()
    assert await outcomes(storage.insert(expired), storage.insert(live)) == [None, None]
    assert await storage.get("sid") == live


async def test_of_equal_deletes_in_one_moment_the_first_gets_the_record(
    storage: SqliteStorage, statements: Counter[str]
) -> None:
    await storage.insert(record())
    removed = await asyncio.gather(*(storage.delete("sid") for _ in range(3)))
    assert removed == [record(), None, None]
    assert statements["BEGIN"] == 2


@pytest.mark.parametrize("key", ["s\x00", "\x00", "\ud800", "sid\udfff", ""])
async def test_a_key_that_cannot_be_stored_hurts_no_neighbour(storage: SqliteStorage, key: str) -> None:
    await storage.insert(record(subject="u"))
    await storage.insert(record("other"))
    assert await asyncio.gather(storage.get(key), storage.get("sid")) == [None, record(subject="u")]
    assert await storage.get_many([key, "sid"]) == {"sid": record(subject="u")}
    assert await asyncio.gather(storage.delete(key), storage.delete("other")) == [None, record("other")]
    assert await storage.list_subject(key) == []
    assert await storage.delete_subject(key) == 0
    assert await storage.delete_subject("u", keep=key) == 1


@pytest.mark.parametrize("version", ["1", None, 1.5, [1]])
async def test_a_version_that_is_no_number_fails_its_own_call_alone(storage: SqliteStorage, version: Any) -> None:
    await storage.insert(record("a"))
    await storage.insert(record("b"))
    wrong, right = await outcomes(storage.replace(record("a"), version), storage.replace(record("b"), 1))
    assert isinstance(wrong, TypeError)
    assert right is True


async def test_a_version_that_was_never_stored_matches_nothing_and_hurts_no_neighbour(storage: SqliteStorage) -> None:
    await storage.insert(record())
    for number, version in enumerate((-1, 0, 2**53 - 1, 2**53, 2**64, 10**5000)):
        right = storage.replace(record(), number + 1)
        assert await outcomes(storage.replace(record("other"), version), right) == [False, True]
        assert await storage.replace(record(), version) is False


async def test_a_replace_stores_another_subject_and_another_beginning(storage: SqliteStorage) -> None:
    await storage.insert(record(subject="old"))
    for version, fields in enumerate(({"subject": "new"}, {"created_at": 7}, {"subject": None, "created_at": 8}), 1):
        assert await storage.replace(record(**fields), version)
        assert await storage.get("sid") == record(version=version + 1, **fields)


async def with_trigger(storage: SqliteStorage, action: str) -> None:
    """Lets the database do something else instead where the access jti "bad" is to be written."""
    for event in ("INSERT", "UPDATE"):
        await storage._database.write(
            f"CREATE TRIGGER refuse_{event} BEFORE {event} ON lionrock_sessions WHEN NEW.packed LIKE '[\"bad\"%'"
            f" BEGIN SELECT {action}; END"
        )


async def test_a_record_that_the_database_refuses_fails_its_own_call_alone(storage: SqliteStorage) -> None:
    await with_trigger(storage, "RAISE(ABORT, 'refused')")
    bad = record("bad", access_jti="bad")
    first, refused, last = await outcomes(
        storage.insert(record("a")), storage.insert(bad), storage.insert(record("b", subject="u"))
    )
    assert (first, last) == (None, None)
    assert isinstance(refused, StorageUnavailable)
    assert "refused" in str(refused.__cause__)
    verdicts = await outcomes(storage.replace(record("a", access_jti="bad"), 1), storage.replace(record("b"), 1))
    assert [type(verdict) for verdict in verdicts] == [StorageUnavailable, bool]
    assert await storage.get("bad") is None
    assert await storage.get("a") == record("a")
    assert await storage.get("b") == record("b", version=2)


@pytest.mark.parametrize("action", ["RAISE(ROLLBACK, 'refused')", "json('no JSON')"], ids=["taken back", "an error"])
async def test_a_transaction_that_comes_to_nothing_fails_every_call_and_leaves_nothing(
    storage: SqliteStorage, action: str
) -> None:
    await with_trigger(storage, action)
    records = [record("a"), record("bad", access_jti="bad"), record("b")]
    verdicts = await outcomes(*(storage.insert(one) for one in records))
    assert [type(verdict) for verdict in verdicts] == [StorageUnavailable] * 3
    assert await storage.get_many(["a", "bad", "b"]) == {}
    await storage.insert(record("a"))
    assert await storage.get("a") == record("a")


async def test_a_transaction_that_fails_half_way_fails_every_call_and_leaves_nothing(tmp_path: Path) -> None:
    async with SqliteStorage(tmp_path / "full.db") as storage:
        await storage.insert(record("before"))
        [(pages,)] = await storage._database.write("PRAGMA page_count")
        await storage._database.write(f"PRAGMA max_page_count = {pages + 2}")
        many = [record(str(n), access_jti="x" * 1000) for n in range(MANY)]
        verdicts = await outcomes(*(storage.insert(one) for one in many))
        assert [type(verdict) for verdict in verdicts] == [StorageUnavailable] * MANY
        assert await storage.get_many([one.sid for one in many]) == {}
        assert await storage.replace(record("before", access_jti="small"), 1)
        await storage._database.write(f"PRAGMA max_page_count = {pages + 100}")
        assert await outcomes(*(storage.insert(one) for one in many)) == [None] * MANY


async def test_a_batch_that_fails_tells_every_caller_and_never_a_lost_race(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.insert(record())

    async def failing(*_: object) -> Any:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(storage._database, "transact", failing)
    for call in (lambda: storage.replace(record(), 1), lambda: storage.delete("sid"), lambda: storage.insert(record())):
        assert {type(outcome) for outcome in await outcomes(*(call() for _ in range(3)))} == {StorageUnavailable}


async def test_purge_goes_in_steps_and_keeps_to_its_limit(
    storage: SqliteStorage, clock: FakeClock, statements: Counter[str]
) -> None:
    await asyncio.gather(*(storage.insert(record(str(n), expires_at=int(clock()) + 1 + n % 2)) for n in range(2400)))
    clock.advance(1)
    statements.clear()
    assert await storage.purge(1100) == 1100
    assert statements == {"BEGIN": 3}
    async with asyncio.timeout(10):
        assert [await storage.purge(nothing) for nothing in (0, -1)] == [0, 0]
    assert await storage.purge(1100) == 100
    assert await storage.purge(1100) == 0
    assert len(await storage.get_many([str(n) for n in range(2400)])) == 1200
