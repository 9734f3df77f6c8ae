"""One storage call fails, hangs or answers too late: 503, no cookies, and nothing that was valid is lost."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.browser import ACCESS, REFRESH, ZONE, Browser, leeway_begun
from support.outages import UNKNOWN, World, assert_good, assert_unavailable, write
from support.storages import FaultyStorage

from aiohttp_lionrock import CorruptRecord, JtiRecord, Session, StorageUnavailable, TokenRevoked

# --- one call goes wrong -----------------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[str, Callable[[Browser], Awaitable[Any]]]] = {
    "a read": ("get_many", lambda browser: browser.visit()),
    "a refresh that cannot be judged": ("get_many", lambda browser: browser.refresh()),
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
            assert await world.manager.save(session) == []
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
    await leeway_begun(browser)
    world.clock.advance(ZONE + 1)
    world.storage.fail("delete", mode)
    await assert_unavailable(thief.refresh())
    assert thief.sent == {}
    await world.settled()
    assert isinstance((await thief.refresh()).rejected, TokenRevoked)
    assert thief.sent == {}
    assert not await browser.is_logged_in()
