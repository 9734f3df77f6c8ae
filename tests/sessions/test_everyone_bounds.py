"""How soon every process knows that everyone is out, what that costs, and what holds while the storage is away."""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage
from support.browser import Browser, assert_untouched, make_manager
from support.storages import FaultyStorage, Interleaved

from aiohttp_lionrock import JtiRecord, MemoryStorage, Session, SessionManager, StorageUnavailable, TokenRevoked
from aiohttp_lionrock.sessions import living
from aiohttp_lionrock.sessions.everyone import mark_of, raise_mark
from aiohttp_lionrock.testing import FakeClock


@pytest.fixture
def faulty(storage: MemoryStorage) -> FaultyStorage:
    return FaultyStorage(storage)


async def logged_in(manager: SessionManager, sub: str = "ann") -> Browser:
    browser = Browser(manager)
    await browser.log_in(sub)
    return browser


# --- how soon ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cache_ttl", "bound"), [(0, 1), (0.5, 1), (1, 1), (20, 20)])
async def test_another_process_knows_after_a_second_or_cache_ttl(
    build: Callable[..., SessionManager], clock: FakeClock, cache_ttl: float, bound: float
) -> None:
    here, there = (build(jti={"cache_ttl": cache_ttl}) for _ in range(2))
    browser = await logged_in(here)
    copy = browser.copy(there)
    assert not (await copy.visit()).is_new
    await here.revoke_all()
    assert_untouched(browser, await browser.visit(), TokenRevoked)  # here it is known at once
    clock.advance(bound - 0.1)
    assert not (await copy.visit()).is_new
    clock.advance(0.1)
    assert_untouched(copy, await copy.visit(), TokenRevoked)


@pytest.mark.parametrize("another_asks", [False, True])
async def test_what_was_trusted_late_is_trusted_no_longer_than_the_bound(
    build: Callable[..., SessionManager], clock: FakeClock, another_asks: bool
) -> None:
    here, there = (build(jti={"cache_ttl": 20}) for _ in range(2))
    first, late = await logged_in(here), await logged_in(here)
    assert not (await first.copy(there).visit()).is_new
    await here.revoke_all()
    clock.advance(19)
    assert not (await late.copy(there).visit()).is_new  # as it was known 19 s ago
    clock.advance(1)
    if another_asks:
        assert (await first.copy(there).visit()).is_new
    assert (await late.copy(there).visit()).is_new


async def test_a_clock_that_is_set_back_does_not_stretch_the_bound(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    here, there = build(clock_tolerance=60), build(clock_tolerance=60)
    browser = await logged_in(here)
    copy = browser.copy(there)
    await copy.visit()
    await here.revoke_all()
    clock.advance(-30)
    assert (await copy.visit()).is_new


async def test_a_read_that_was_under_way_does_not_let_anybody_in(storage: MemoryStorage, clock: FakeClock) -> None:
    parked, may_go = asyncio.Event(), asyncio.Event()

    class Parked(FaultyStorage):
        async def get(self, sid: str) -> JtiRecord | None:
            found = await super().get(sid)
            if not parked.is_set():
                parked.set()
                await may_go.wait()
            return found

    slow = Parked(storage)
    manager = make_manager(slow, clock, jti={"cache_ttl": 60})
    browser = await logged_in(make_manager(storage, clock))
    await manager.open()
    reading = asyncio.create_task(manager.load(browser.cookies))
    await parked.wait()
    await manager.revoke_all()
    may_go.set()
    assert type((await reading).rejected) is TokenRevoked
    assert type((await manager.load(browser.cookies)).rejected) is TokenRevoked


@pytest.mark.parametrize("ahead", [0, 30])
async def test_a_login_at_a_process_that_has_read_nothing_since_stands(
    storage: MemoryStorage, clock: FakeClock, ahead: int
) -> None:
    idle = make_manager(storage, clock)
    await make_manager(storage, clock).revoke_all(clock() + ahead)
    browser = await logged_in(idle)
    assert await browser.is_logged_in()
    clock.advance(5)
    later = await logged_in(idle)
    assert await later.is_logged_in()
    assert await browser.is_logged_in()


# --- what it costs -----------------------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[Callable[[Browser], Awaitable[object]], int]] = {
    "a read": (lambda browser: browser.visit(), 1),
    "a write": (lambda browser: browser.write(theme="dark"), 2),
    "a refresh without rotation": (lambda browser: browser.refresh(), 2),
    "a renewal": (lambda browser: browser.visit(Session.renew), 3),
    "a logout": (lambda browser: browser.log_out(), 2),
    "a login without cookies": (lambda browser: Browser(browser.manager).log_in(), 1),
}


@pytest.mark.parametrize("pause", [0, 1, 100])
@pytest.mark.parametrize("was_called", [False, True])
@pytest.mark.parametrize("request_", REQUESTS)
async def test_no_request_that_reads_a_record_makes_a_call_more(
    faulty: FaultyStorage, clock: FakeClock, request_: str, was_called: bool, pause: float
) -> None:
    run, calls = REQUESTS[request_]
    if request_ == "a login without cookies" and pause >= 1:
        calls += 1  # it reads no record that could bring the time along
    manager = make_manager(faulty, clock, refresh_token={"rotate": False})
    if was_called:
        await manager.revoke_all()
    browser = await logged_in(manager)
    await browser.visit()
    clock.advance(pause)
    faulty.calls.clear()
    await run(browser)
    assert len(faulty.calls) == calls, faulty.calls


async def test_the_time_is_read_once_a_second_and_with_the_record(faulty: FaultyStorage, clock: FakeClock) -> None:
    manager = make_manager(faulty, clock)
    browser = await logged_in(manager)
    await browser.visit()
    faulty.calls.clear()
    for _ in range(24):
        clock.advance(0.125)
        await browser.visit()
    assert len(faulty.calls) == 24
    assert faulty.calls.count("get_many") == 3


async def test_what_is_trusted_costs_one_call_in_cache_ttl(faulty: FaultyStorage, clock: FakeClock) -> None:
    manager = make_manager(faulty, clock, jti={"cache_ttl": 10})
    browsers = [await logged_in(manager) for _ in range(5)]
    faulty.calls.clear()
    for _ in range(40):
        clock.advance(1)
        for browser in browsers:
            await browser.visit()
    assert len(faulty.calls) <= 25


async def test_a_login_under_a_cap_asks_once_more_in_a_second(faulty: FaultyStorage, clock: FakeClock) -> None:
    manager = make_manager(faulty, clock, max_sessions=5)
    await manager.open()
    clock.advance(1)
    faulty.calls.clear()
    for _ in range(3):
        await logged_in(manager)
    assert sorted(faulty.calls) == ["get_many", *["insert"] * 3, *["list_subject"] * 6]


# --- while the storage is away -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cache_ttl", [0, 20])
async def test_nobody_is_let_in_by_what_was_known_longer_ago(
    faulty: FaultyStorage, clock: FakeClock, cache_ttl: float
) -> None:
    manager = make_manager(faulty, clock, jti={"cache_ttl": cache_ttl})
    browser = await logged_in(manager)
    await browser.visit()
    clock.advance(max(cache_ttl, 1))
    with faulty.away(), pytest.raises(StorageUnavailable):
        await browser.visit()
    assert not (await browser.visit()).is_new


async def test_where_the_time_alone_cannot_be_read_the_request_fails(
    storage: MemoryStorage, faulty: FaultyStorage, clock: FakeClock
) -> None:
    manager = make_manager(faulty, clock)
    browser = await logged_in(manager)
    await make_manager(storage, clock).revoke_all()
    clock.advance(1)
    faulty.fail("get_many", "before", times=3)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await browser.visit()
    assert_untouched(browser, await browser.visit(), TokenRevoked)


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
async def test_a_call_that_fails_is_called_again_and_what_it_did_is_seen(
    storage: MemoryStorage, faulty: FaultyStorage, clock: FakeClock, mode: str
) -> None:
    manager = make_manager(faulty, clock, storage_timeout=0.05)
    browser = await logged_in(manager)
    await browser.visit()
    faulty.fail("insert", mode)  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailable):
        await manager.revoke_all()
    await faulty.late_work()
    is_done = await storage.get(mark_of(None)) is not None
    assert is_done is (mode not in ("before", "hang"))
    assert (await browser.visit()).is_new is is_done  # at once: nobody trusts what was known before
    await manager.revoke_all()
    assert (await browser.visit()).is_new


async def test_a_caller_that_goes_away_leaves_it_done(faulty: FaultyStorage, clock: FakeClock) -> None:
    slow = Interleaved(faulty)
    manager = make_manager(slow, clock)
    browser = await logged_in(manager)
    calling = asyncio.create_task(manager.revoke_all())
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await manager.aclose()
    assert await faulty.get(mark_of(None)) is not None
    await manager.open()
    assert (await browser.visit()).is_new


async def test_who_watches_goes_on_while_the_storage_is_away_and_is_told_afterwards(
    storage: MemoryStorage, faulty: FaultyStorage, clock: FakeClock
) -> None:
    ended: list[str] = []
    manager = make_manager(faulty, clock)
    browser = await logged_in(manager)
    assert manager.watch(await browser.visit(), ended.append, every=0.02) is not None
    with faulty.away():
        await make_manager(storage, clock).revoke_all()
        await asyncio.sleep(0.1)
        assert ended == []
    async with asyncio.timeout(5):
        while not ended:
            await asyncio.sleep(0.01)
    assert ended == ["ended elsewhere"]
    await manager.aclose()


async def test_a_damaged_record_lets_nobody_in_until_everyone_is_put_out_again(
    clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "sessions.db"
    async with SqliteStorage(path, clock=clock) as file, make_manager(file, clock) as manager:
        browser = await logged_in(manager)
        await manager.revoke_all(clock() - 100)
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("UPDATE lionrock_sessions SET packed = 'x' WHERE sid = ?", (mark_of(None),))
        connection.close()
        clock.advance(1)
        with pytest.raises(StorageUnavailable, match="call revoke_all again, without a time"):
            await browser.visit()
        await manager.revoke_all()
        assert_untouched(browser, await browser.visit(), TokenRevoked)
        assert not (await (await logged_in(manager)).visit()).is_new


# --- many at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
async def test_of_many_calls_at_once_the_latest_time_holds(clock: FakeClock, seed: int) -> None:
    records = MemoryStorage(clock=clock)
    managers = [make_manager(Interleaved(records, seed + number), clock) for number in range(4)]
    times = [clock() - 20 + (7 * number) % 20 for number in range(20)]
    calls = [manager.revoke_all(times[number]) for number, manager in enumerate(managers * 5)]
    returned = await asyncio.gather(*calls)
    record = await records.get(mark_of(None))
    assert record is not None
    assert record.created_at == max(times)
    assert all(over >= asked for over, asked in zip(returned, times, strict=True))


@pytest.mark.parametrize("seed", range(20))
async def test_no_request_of_the_same_moment_carries_a_session_over(clock: FakeClock, seed: int) -> None:
    records, chance = MemoryStorage(clock=clock), random.Random(seed)
    here, there = (make_manager(Interleaved(records, seed + number), clock) for number in range(2))
    browsers = [await logged_in(chance.choice([here, there]), f"user{number}") for number in range(12)]
    acts: list[Callable[[Browser], Awaitable[object]]] = [
        lambda browser: browser.visit(),
        lambda browser: browser.write(theme="dark"),
        lambda browser: browser.refresh(),
        lambda browser: browser.visit(Session.renew),
    ]

    async def use(browser: Browser) -> None:
        for _ in range(6):
            browser.manager = chance.choice([here, there])
            await chance.choice(acts)(browser)

    before = [browser.copy() for browser in browsers]
    clock.advance(10)  # what is renewed now is renewed after that time
    await asyncio.gather(here.revoke_all(clock() - 5), *map(use, browsers))
    clock.advance(1)
    for browser in (*browsers, *before):
        for manager in (here, there):
            assert (await browser.copy(manager).visit()).subject is None
            assert (await browser.copy(manager).refresh()).subject is None
    for number in range(12):
        assert await there.sessions(f"user{number}") == []
    assert here.stats["reused"] == there.stats["reused"] == 0
    for manager in (here, there):
        await manager.aclose()


async def test_a_time_that_never_stops_changing_is_an_outage(clock: FakeClock) -> None:
    class Contended(MemoryStorage):
        async def replace(self, record: JtiRecord, expected_version: int) -> bool:
            return False

    storage = Contended(clock=clock)
    await raise_mark(storage, mark_of(None), lambda _: 1)
    with pytest.raises(StorageUnavailable):
        await raise_mark(storage, mark_of(None), lambda _: 2)


async def test_however_many_tenants_come_what_everyone_is_out_by_is_kept(
    build: Callable[..., SessionManager], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "MAX_FRESH", 0)
    manager = build()
    browser = await logged_in(manager)
    for number in range(10):
        secret = {"SESSION_SECRET": f"the secret of tenant {number}, of 32 bytes and more"}
        session = await manager.load({}, secret)
        session["sub"] = "ann"
        await manager.save(session)
    assert len(await manager.sessions("ann")) == 11
    await manager.revoke_all()
    for _ in range(20):
        clock.advance(1)
        assert await manager.sessions("ann") == []
        assert (await browser.visit()).is_new
