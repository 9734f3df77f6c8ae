"""The storage fails, hangs, answers too late or is away: 503, no cookies, and nothing that was valid is lost."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from support.browser import ACCESS, ACCESS_LIFETIME, REFRESH, Browser, make_manager
from support.storages import FaultyStorage

from aiohttp_lionrock import (
    CorruptRecord,
    JtiEvent,
    JtiRecord,
    MemoryStorage,
    Session,
    SessionConfig,
    SessionManager,
    StorageUnavailable,
    TokenReused,
    TokenRevoked,
    repairs,
)
from aiohttp_lionrock.testing import FakeClock

TIMEOUT = 0.04  # seconds that a manager of these tests waits for the storage
PATIENCE = 5.0  # seconds after which a test calls something endless
LEEWAY = 10
UNKNOWN = ("after", "hang", "hang after", "late")


class World:
    """A storage that fails on demand, the server on it, and a second server that reaches the same data undisturbed."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.records = MemoryStorage(clock=self.clock)
        self.storage = FaultyStorage(self.records)
        self.manager = self.server()
        self.elsewhere = make_manager(self.records, self.clock)
        self.replays: list[JtiEvent] = []
        self.managers = [self.manager, self.elsewhere]
        for manager in self.managers:
            manager.on_reuse.append(self._hear)
        self._own_tasks = asyncio.all_tasks()

    async def _hear(self, event: JtiEvent) -> None:
        self.replays.append(event)

    def server(self, **settings: Any) -> SessionManager:
        return make_manager(self.storage, self.clock, storage_timeout=TIMEOUT, **settings)

    def background(self) -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - self._own_tasks - {asyncio.current_task()}  # type: ignore[arg-type]

    async def settled(self) -> None:
        """The storage works again, and what was left to do in the background is done."""
        self.storage.heal()
        await self.storage.late_work()
        async with asyncio.timeout(PATIENCE):
            while self.background():
                await asyncio.sleep(0.002)

    async def logged_in(self) -> Browser:
        browser = Browser(self.manager)
        await browser.log_in(theme="dark")
        self.clock.advance(1)
        return browser


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", 0.01)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.storage.heal()
    for manager in world.managers:
        await manager.aclose()


async def assert_unavailable(call: Awaitable[Any]) -> None:
    """The call raises StorageUnavailable, and in time."""
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(asyncio.ensure_future(call), PATIENCE)
    assert time.monotonic() - began < 2


async def assert_good(world: World, browser: Browser) -> None:
    """The browser's session is honoured by every server, now and at a refresh long after, and is nobody's ghost."""
    assert [record.sid for record in await world.elsewhere.sessions("ann")] == [browser.sid]
    for manager in world.managers:
        assert (await manager.load(browser.cookies))["theme"] == "dark"
        assert (await manager.load({REFRESH: browser.cookies[REFRESH]}))["theme"] == "dark"
    for manager in world.managers:
        world.clock.advance(ACCESS_LIFETIME + LEEWAY + 1)
        session = await browser.copy(manager).visit()
        assert session["theme"] == "dark"
        browser.manager = manager
        assert (await browser.visit()).rejected is None
    assert not world.replays


def write(session: Session) -> None:
    session["visits"] = session.get("visits", 0) + 1


# --- one call goes wrong -----------------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[str, Callable[[Browser], Awaitable[Any]]]] = {
    "a read": ("get", lambda browser: browser.visit()),
    "a refresh that cannot be judged": ("get", lambda browser: browser.refresh()),
    "a write": ("replace", lambda browser: browser.visit(write)),
    "a refresh": ("replace", lambda browser: browser.refresh()),
    "a refresh that writes": ("replace", lambda browser: browser.refresh(write)),
    "a label": ("replace", lambda browser: browser.visit(lambda session: session.describe(place="here"))),
    "a renewal that cannot begin": ("insert", lambda browser: browser.visit(Session.renew)),
    "a renewal at a refresh": ("insert", lambda browser: browser.refresh(Session.renew)),
}


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize("request_", REQUESTS)
async def test_after_a_failed_call_the_session_is_what_it_was(world: World, request_: str, mode: str) -> None:
    call, run = REQUESTS[request_]
    browser = await world.logged_in()
    cookies, browser.changes = dict(browser.cookies), []
    world.storage.fail(call, mode)
    await assert_unavailable(run(browser))
    assert browser.cookies == cookies
    assert not browser.changes
    await world.settled()
    await assert_good(world, browser)


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize("call", ["insert", "replace", "delete"])
async def test_a_renewal_in_which_a_call_fails_is_done_or_not_done(world: World, call: str, mode: str) -> None:
    browser = await world.logged_in()
    cookies = dict(browser.cookies)
    world.storage.fail(call, mode)
    try:
        await browser.visit(Session.renew)
    except StorageUnavailable:
        assert browser.cookies == cookies
    else:
        assert not await Browser(world.elsewhere, cookies).is_logged_in()
    await world.settled()
    await assert_good(world, browser)


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
async def test_a_failed_call_is_answered_by_a_second_try_of_the_client(world: World, mode: str) -> None:
    for call, run in REQUESTS.values():
        browser = await world.logged_in()
        world.storage.fail(call, mode)
        await assert_unavailable(run(browser))
        session = await browser.refresh(write) if call == "replace" else await browser.visit(write)
        assert session.rejected is None
        await world.settled()
        await assert_good(world, browser)
        await world.manager.revoke_subject("ann")


@pytest.mark.parametrize("mode", ["before", "hang"])
async def test_a_logout_that_was_not_done_is_no_logout(world: World, mode: str) -> None:
    browser = await world.logged_in()
    cookies = dict(browser.cookies)
    world.storage.fail("delete", mode)
    await assert_unavailable(browser.log_out())
    assert browser.cookies == cookies
    await world.settled()
    await assert_good(world, browser)


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
async def test_a_logout_can_be_tried_again_until_it_is_acknowledged(world: World, mode: str) -> None:
    browser = await world.logged_in()
    stolen = browser.copy()
    world.storage.fail("delete", mode)
    await assert_unavailable(browser.log_out())
    await world.settled()
    await browser.log_out()
    assert not browser.cookies
    assert not await stolen.is_logged_in()
    assert await world.elsewhere.sessions("ann") == []


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
async def test_a_login_that_failed_leaves_no_session_that_nobody_holds(world: World, mode: str) -> None:
    browser = Browser(world.manager)
    world.storage.fail("insert", mode)
    await assert_unavailable(browser.log_in())
    assert not browser.cookies
    await world.settled()
    assert await world.elsewhere.sessions("ann") == []


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
async def test_a_login_over_an_anonymous_session_that_failed_leaves_only_the_anonymous_one(
    world: World, mode: str
) -> None:
    browser = Browser(world.manager)
    await browser.write(theme="dark")
    world.storage.fail("insert", mode)
    await assert_unavailable(browser.log_in())
    await world.settled()
    assert await world.elsewhere.sessions("ann") == []
    assert (await browser.visit())["theme"] == "dark"
    await browser.log_in()
    await world.settled()
    await assert_good(world, browser)


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize("outage", [0, 3])
async def test_a_save_that_is_tried_again_keeps_its_session(world: World, mode: str, outage: int) -> None:
    session = await world.manager.load({})
    session.update(sub="ann", theme="dark")
    world.storage.fail("insert", mode)
    world.storage.fail("delete", "before", times=outage)
    await assert_unavailable(world.manager.save(session))
    browser = Browser(world.manager)
    browser.receive(await world.manager.save(session))
    await asyncio.sleep(0.05)
    await world.settled()
    await assert_good(world, browser)


@pytest.mark.parametrize("call", ["get", "replace"])
async def test_a_lookup_that_fails_after_a_lost_race_is_unavailable_and_harmless(world: World, call: str) -> None:
    browser = await world.logged_in()
    session = await world.manager.load(browser.cookies)
    session["theme"] = "dark"
    session.describe(place="here")
    await browser.copy(world.elsewhere).visit(write)
    world.storage.fail(call, "before", skip=0 if call == "get" else 1)
    await assert_unavailable(world.manager.save(session))
    await world.settled()
    await assert_good(world, browser)


async def test_a_record_that_is_damaged_is_an_outage_and_no_logout(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await world.logged_in()

    async def damaged(sid: str) -> JtiRecord | None:
        raise CorruptRecord(f"the record {sid} is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(world.records, "get", damaged)
        await assert_unavailable(browser.visit())
    await assert_good(world, browser)


# --- a rotation whose acknowledgement was lost -------------------------------------------------------------------


@pytest.mark.parametrize("mode", UNKNOWN)
async def test_a_client_that_comes_back_at_once_gets_the_successor(world: World, mode: str) -> None:
    browser = await world.logged_in()
    world.storage.fail("replace", mode)
    await assert_unavailable(browser.refresh())
    world.clock.advance(LEEWAY + 1)
    assert (await browser.refresh()).rejected is None
    await world.settled()
    await assert_good(world, browser)


@pytest.mark.parametrize("mode", UNKNOWN)
async def test_a_client_that_comes_back_long_after_an_outage_is_no_thief(world: World, mode: str) -> None:
    browser = await world.logged_in()
    world.storage.fail("replace", mode)
    await assert_unavailable(browser.refresh())
    with world.storage.away():
        world.clock.advance(3600)
        await asyncio.sleep(0.05)
        await assert_unavailable(browser.visit())
    await world.settled()
    await assert_good(world, browser)


@pytest.mark.parametrize("mode", UNKNOWN)
async def test_the_other_server_knows_of_it_too(world: World, mode: str) -> None:
    browser = await world.logged_in()
    world.storage.fail("replace", mode)
    await assert_unavailable(browser.refresh())
    await world.settled()
    await world.manager.aclose()
    world.clock.advance(3600)
    browser.manager = world.elsewhere
    assert (await browser.refresh()).rejected is None
    await assert_good(world, browser)


@pytest.mark.parametrize("lost", ["after", "hang after"])
async def test_two_lost_acknowledgements_in_a_row_are_survived(world: World, lost: str) -> None:
    browser = await world.logged_in()
    for _ in range(2):
        world.storage.fail("replace", lost)
        with contextlib.suppress(StorageUnavailable):
            await browser.refresh(write)
        await world.settled()
        world.clock.advance(3600)
    await assert_good(world, browser)


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize("skip", range(3))
async def test_wherever_in_a_refresh_the_writes_begin_to_fail_the_session_outlives_it(
    world: World, skip: int, mode: str
) -> None:
    browser = await world.logged_in()
    tabs = [browser.copy() for _ in range(3)]
    world.storage.fail("replace", mode, times=3, skip=skip)
    for tab in tabs:
        with contextlib.suppress(StorageUnavailable):
            await tab.refresh(write, lambda session: session.describe(place=f"page {len(world.storage.calls)}"))
            browser.receive(tab.changes)
    await world.settled()
    world.clock.advance(3600)
    await assert_good(world, browser)
    assert not world.replays


@pytest.mark.parametrize("skip", range(3))
async def test_wherever_in_a_refresh_its_process_ends_another_one_goes_on(world: World, skip: int) -> None:
    browser = await world.logged_in()
    doomed = make_manager(world.storage, world.clock, storage_timeout=60)
    world.storage.fail("replace", "hang", skip=skip)
    request = asyncio.create_task(browser.copy(doomed).refresh())
    await asyncio.sleep(0.01)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    world.clock.advance(3600)
    browser.manager = world.elsewhere
    if skip < 2:  # else the request was answered in good time
        assert (await browser.refresh()).rejected is None
        await assert_good(world, browser)
    await doomed.aclose()


async def test_a_session_that_is_ended_in_the_middle_of_its_refresh_stays_ended(world: World) -> None:
    browser = await world.logged_in()
    stolen = browser.copy(world.elsewhere)

    class Ended(FaultyStorage):
        async def replace(self, record: JtiRecord, expected_version: int) -> bool:
            replaced = await super().replace(record, expected_version)
            await world.elsewhere.revoke(record.sid)
            return replaced

    manager = make_manager(Ended(world.records), world.clock)
    browser.manager = manager
    await browser.refresh()
    assert not await stolen.is_logged_in()
    assert not browser.cookies or not await browser.is_logged_in()
    assert await world.elsewhere.sessions("ann") == []


@pytest.mark.parametrize("mode", ["before", "hang"])
@pytest.mark.parametrize(
    "act",
    [lambda session: session.describe(place="here"), lambda session: session.update(sub="bob")],
    ids=["label", "user"],
)
async def test_a_straggler_whose_own_change_could_not_be_recorded_is_not_told_that_it_was(
    world: World, act: Callable[[Session], None], mode: str
) -> None:
    browser = await world.logged_in()
    straggler = browser.copy()
    await browser.refresh()
    world.storage.fail("replace", mode, times=5)
    await assert_unavailable(straggler.refresh(act))
    await world.settled()
    await assert_good(world, browser)


async def test_a_rotation_that_was_repaired_still_catches_the_replay_after_it(world: World) -> None:
    browser = await world.logged_in()
    thief = browser.copy()
    world.storage.fail("replace", "after")
    await assert_unavailable(browser.refresh())
    await world.settled()
    world.clock.advance(3600)
    await browser.refresh()
    await browser.refresh()
    world.clock.advance(LEEWAY + 1)
    assert type((await thief.refresh()).rejected) is TokenReused
    assert not await browser.is_logged_in()


async def test_a_burst_in_which_one_acknowledgement_was_lost_has_one_successor(world: World) -> None:
    browser = await world.logged_in()
    tabs = [browser.copy() for _ in range(10)]
    loaded = [await world.manager.load({REFRESH: tab.cookies[REFRESH]}) for tab in tabs]
    world.storage.fail("replace", "after")
    await assert_unavailable(world.manager.save(loaded[0]))
    for tab, session in zip(tabs[1:], loaded[1:], strict=True):
        tab.receive(await world.manager.save(session))
    await world.settled()
    for tab in tabs[1:]:
        assert tab.refreshing["jti"] == tabs[1].refreshing["jti"]
        assert await tab.is_logged_in()
    assert await tabs[0].is_logged_in()


@pytest.mark.parametrize("call", ["insert", "replace", "delete"])
@pytest.mark.parametrize("mode", ["hang", "hang after", "late"])
async def test_a_request_that_is_cancelled_in_a_storage_call_leaves_nothing_half_done(call: str, mode: str) -> None:
    world = World()
    world.manager = make_manager(world.storage, world.clock, storage_timeout=60)
    browser = await world.logged_in()
    world.storage.fail(call, mode)
    acts = {"insert": [Session.renew], "replace": [write], "delete": [Session.invalidate]}[call]
    task = asyncio.create_task(browser.refresh(*acts))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.settled()
    if call == "delete" and mode != "hang":
        assert not await browser.is_logged_in()
    else:
        await assert_good(world, browser)
    await world.manager.aclose()


# --- what was revoked stays revoked ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize("call", ["insert", "replace", "get", "delete"])
async def test_no_failure_brings_back_a_session_that_was_revoked(world: World, call: str, mode: str) -> None:
    browser = await world.logged_in()
    sessions = []
    for act in (write, Session.renew, Session.changed, lambda session: session.describe(place="here")):
        for cookie in (ACCESS, REFRESH):
            session = await world.manager.load({cookie: browser.cookies[cookie]})
            act(session)
            sessions.append(session)
    await world.elsewhere.revoke(browser.sid)
    for session in sessions:
        world.storage.fail(call, mode)
        with contextlib.suppress(StorageUnavailable):
            assert all(change.value is None for change in await world.manager.save(session))
    await world.settled()
    assert await world.elsewhere.sessions("ann") == []
    for manager in world.managers:
        for cookie in (ACCESS, REFRESH):
            session = await manager.load({cookie: browser.cookies[cookie]})
            assert type(session.rejected) is TokenRevoked


@pytest.mark.parametrize("mode", UNKNOWN)
async def test_a_repair_does_not_bring_back_what_was_revoked_meanwhile(world: World, mode: str) -> None:
    browser = await world.logged_in()
    world.storage.fail("replace", mode)
    world.storage.fail("get", "before", skip=1, times=2)
    await assert_unavailable(browser.refresh())
    await world.elsewhere.revoke(browser.sid)
    await world.settled()
    assert await world.elsewhere.sessions("ann") == []
    assert not await browser.is_logged_in()


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
async def test_a_replay_that_could_not_be_stopped_is_stopped_at_the_next_try(world: World, mode: str) -> None:
    browser = await world.logged_in()
    thief = browser.copy()
    await browser.refresh()
    world.clock.advance(LEEWAY + 1)
    world.storage.fail("delete", mode)
    await assert_unavailable(thief.refresh())
    assert thief.cookies
    await world.settled()
    assert isinstance((await thief.refresh()).rejected, TokenRevoked)
    assert not thief.cookies
    assert not await browser.is_logged_in()


# --- a migration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize("outage", [0, 3])
async def test_a_migrating_session_survives_a_record_of_unknown_outcome(world: World, mode: str, outage: int) -> None:
    before = Browser(make_manager(None, world.clock))
    await before.log_in(theme="dark")
    migrating = world.server(jti={"require": False})
    tab, other_tab = before.copy(migrating), before.copy(migrating)
    world.storage.fail("insert", mode)
    world.storage.fail("delete", "before", times=outage)
    await assert_unavailable(tab.visit(write))
    assert (await other_tab.visit(write)).rejected is None
    await asyncio.sleep(0.05)
    await world.settled()
    assert await other_tab.is_logged_in()
    assert await tab.is_logged_in()
    await migrating.aclose()


# --- away, at the start and for long -----------------------------------------------------------------------------


async def test_a_storage_that_is_down_at_the_start_serves_as_soon_as_it_is_back(world: World) -> None:
    browser = await world.logged_in()
    manager = world.server()
    world.storage.fail("open", "before", times=2)
    await assert_unavailable(manager.open())
    await assert_unavailable(browser.copy(manager).visit())
    assert not (await browser.copy(manager).visit()).is_new


async def test_a_visitor_without_cookies_does_not_need_the_storage(world: World) -> None:
    with world.storage.away():
        browser = Browser(world.manager)
        assert (await browser.visit()).is_new
        assert not browser.changes


async def test_cookies_that_are_refused_by_themselves_do_not_need_the_storage(world: World) -> None:
    with world.storage.away():
        session = await world.manager.load({ACCESS: "a.b.c"})
        assert session.rejected is not None
        assert [change.value for change in await world.manager.save(session)] == [None]


async def test_every_call_of_a_manager_is_bounded_while_the_storage_hangs(world: World) -> None:
    browser = await world.logged_in()
    manager = world.server()
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "ping": manager.open,
        "get": lambda: manager.load(browser.cookies),
        "delete": lambda: manager.revoke("sid"),
        "delete_subject": lambda: manager.revoke_subject("nobody"),
        "list_subject": lambda: manager.sessions("ann"),
        "purge": manager.purge,
    }
    for name, call in calls.items():
        world.storage.fail(name, "hang")
        await assert_unavailable(call())
    await assert_good(world, browser)


async def test_a_purge_may_take_longer_than_a_call_that_a_request_waits_for() -> None:
    class Slow(MemoryStorage):
        async def purge(self, now: float, limit: int) -> int:
            await asyncio.sleep(3 * TIMEOUT)
            return await super().purge(now, limit)

    async with (
        Slow() as storage,
        SessionManager(
            SessionConfig(secret="a secret for this test, 32 bytes or more", storage_timeout=TIMEOUT), storage
        ) as manager,
    ):
        await storage.insert(JtiRecord("sid", version=1, expires_at=1, created_at=0))
        assert await manager.purge() == 1


async def test_opening_a_storage_that_hangs_is_bounded(world: World) -> None:
    browser = await world.logged_in()
    manager = world.server()
    world.storage.fail("open", "hang", times=2)
    await assert_unavailable(manager.open())
    await assert_unavailable(manager.load(browser.cookies))
    assert not (await manager.load(browser.cookies)).is_new


async def test_closing_a_storage_that_hangs_is_bounded(world: World) -> None:
    manager = world.server()
    await manager.open()
    world.storage.fail("aclose", "hang")
    with contextlib.suppress(StorageUnavailable):
        await asyncio.wait_for(manager.aclose(), 1)


async def test_a_time_out_keeps_its_cause_and_names_its_bound(world: World) -> None:
    browser = await world.logged_in()
    world.storage.fail("get", "hang")
    with pytest.raises(StorageUnavailable, match=str(TIMEOUT)) as caught:
        await browser.visit()
    assert isinstance(caught.value.__cause__, TimeoutError)


@pytest.mark.parametrize("seed", range(10))
async def test_a_flapping_storage_logs_nobody_out(world: World, seed: int) -> None:
    chance = random.Random(seed)
    browser = await world.logged_in()
    acts: list[Callable[[Browser], Awaitable[Any]]] = [
        lambda one: one.visit(),
        lambda one: one.visit(write),
        lambda one: one.refresh(),
        lambda one: one.refresh(write),
    ]
    failed = 0
    for _ in range(40):
        for name in ("get", "replace"):
            if chance.random() < 0.3:
                world.storage.fail(name, chance.choice(["before", "after"]))
        browser.manager = world.manager if chance.random() < 0.7 else world.elsewhere
        try:
            session = await chance.choice(acts)(browser)
            assert session.rejected is None
        except StorageUnavailable:
            failed += 1
        if chance.random() < 0.3:
            await world.settled()
            world.clock.advance(chance.choice([1, LEEWAY + 1, 3600]))
    assert failed > 3
    await world.settled()
    await assert_good(world, browser)


# --- the background ----------------------------------------------------------------------------------------------


async def test_closing_the_manager_ends_every_repair(world: World) -> None:
    world.storage.fail("insert", "after", times=2)
    world.storage.fail("delete", "before", times=1000)
    for _ in range(2):
        await assert_unavailable(Browser(world.manager).log_in())
    assert len(world.background()) == 2
    await asyncio.wait_for(world.manager.aclose(), 1)
    assert not world.background()


async def test_a_request_that_fails_while_the_manager_closes_leaves_no_task_behind(world: World) -> None:
    world.storage.fail("insert", "hang")
    world.storage.fail("delete", "before", times=1000)
    request = asyncio.create_task(Browser(world.manager).log_in())
    await asyncio.sleep(0)
    await world.manager.aclose()
    await assert_unavailable(request)
    await asyncio.sleep(0.02)
    assert not world.background()


async def test_a_repair_tries_until_the_storage_is_back_and_then_stops(world: World) -> None:
    world.storage.fail("insert", "after")
    world.storage.fail("delete", "before", times=2)
    await assert_unavailable(Browser(world.manager).log_in())
    with world.storage.away():
        await asyncio.sleep(0.05)
        assert len(world.background()) == 1
    assert len(await world.elsewhere.sessions("ann")) == 1
    await world.settled()
    assert await world.elsewhere.sessions("ann") == []
    calls = len(world.storage.calls)
    await asyncio.sleep(0.05)
    assert len(world.storage.calls) == calls
