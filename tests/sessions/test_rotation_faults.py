"""A rotation whose acknowledgement was lost: the client goes on, and nobody is called a thief."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from support.browser import REFRESH, ZONE, make_manager
from support.outages import UNKNOWN, World, assert_good, assert_unavailable, write
from support.storages import FaultyStorage

from aiohttp_lionrock import JtiRecord, Session, StorageUnavailable, TokenReused

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.mark.parametrize("mode", UNKNOWN)
async def test_a_client_that_comes_back_at_once_gets_the_successor(world: World, mode: str) -> None:
    browser = await world.logged_in()
    world.storage.fail("replace", mode)
    await assert_unavailable(browser.refresh())
    world.clock.advance(ZONE + 1)
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
    await world.manager.open()
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
    world.clock.advance(ZONE + 1)
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


@pytest.mark.parametrize(
    ("call", "act"),
    [("insert", Session.renew), ("replace", write), ("replace", Session.renew), ("delete", Session.invalidate)],
)
@pytest.mark.parametrize("mode", ["hang", "hang after", "late"])
async def test_a_request_that_is_cancelled_in_a_storage_call_leaves_nothing_half_done(
    call: str, act: Callable[[Session], None], mode: str
) -> None:
    world = World()
    world.manager = make_manager(world.storage, world.clock, storage_timeout=0.3)  # what has begun may take so long
    browser = await world.logged_in()
    world.storage.fail(call, mode)
    task = asyncio.create_task(browser.refresh(act))
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
