"""A refresh token that comes back too late: the session is revoked, once, and every listener is told."""

import asyncio
import contextlib
import logging

import pytest
from support.browser import (
    ACCESS,
    LEEWAY,
    REFRESH,
    ZONE,
    Browser,
    assert_deleted,
    assert_untouched,
    claims,
    leeway_begun,
    make_manager,
)
from support.scheduler import Gates
from support.storages import Interleaved

from aiohttp_lionrock import JtiEvent, MemoryStorage, Session, TokenReused, TokenRevoked, TokenSuperseded
from aiohttp_lionrock.testing import FakeClock

TIMEOUT = 0.1  # seconds, of the storage


async def stolen(browser: Browser, clock: FakeClock) -> Browser:
    """A thief with a refresh token that its owner has rotated away."""
    await browser.log_in(theme="dark")
    thief = browser.copy()
    await browser.refresh()
    await leeway_begun(browser)
    clock.advance(ZONE + 1)
    return thief


async def test_a_replay_is_told_to_every_listener_with_what_was_presented(browser: Browser, clock: FakeClock) -> None:
    heard: list[JtiEvent] = []

    async def listen(event: JtiEvent) -> None:
        heard.append(event)

    async def fail(event: JtiEvent) -> None:
        raise RuntimeError("the pager is broken")

    browser.manager.on_reuse += [fail, listen]
    thief = await stolen(browser, clock)
    presented = thief.refreshing
    await thief.refresh()
    [event] = heard
    assert (event.jti, event.token_use, event.exp) == (presented["jti"], "refresh", presented["exp"])
    assert event.session.sid == presented["sid"]
    assert dict(event.session) == {"sub": "ann", "theme": "dark"}
    assert event.payload == presented
    assert event.config is browser.manager.config
    assert event.env is None


async def test_no_answer_waits_for_a_listener_and_none_is_cut_off(clock: FakeClock) -> None:
    browser = Browser(make_manager(MemoryStorage(clock=clock), clock, storage_timeout=TIMEOUT))
    begun, done = asyncio.Event(), asyncio.Event()
    heard: list[JtiEvent] = []

    async def send_mail(event: JtiEvent) -> None:
        begun.set()
        await asyncio.sleep(2 * TIMEOUT)
        done.set()

    browser.manager.on_reuse += [send_mail, heard.append]
    thief = await stolen(browser, clock)
    async with asyncio.timeout(TIMEOUT):
        assert isinstance((await thief.refresh()).rejected, TokenRevoked)
    assert (begun.is_set(), done.is_set(), len(heard)) == (True, False, 1)
    await browser.manager.aclose()
    assert done.is_set()


@pytest.mark.parametrize("stop", range(6))
async def test_who_replays_and_goes_away_at_any_moment_is_told_of_where_the_session_ends(
    clock: FakeClock, stop: int
) -> None:
    heard: list[JtiEvent] = []
    storage = Gates(MemoryStorage(clock=clock))
    manager = make_manager(storage, clock)
    manager.on_reuse.append(heard.append)
    browser = Browser(manager)
    thief = await stolen(browser, clock)
    with contextlib.suppress(asyncio.CancelledError):
        await storage.run_to(stop, thief.refresh(), asyncio.Task.cancel)
    await manager.aclose()
    ends = 0 if await storage.get(browser.sid) else 1
    assert (len(heard), manager.stats["reused"], manager.stats["ended.reuse"]) == (ends, ends, ends)


async def test_twenty_replays_at_once_revoke_once_and_are_told_once(clock: FakeClock) -> None:
    heard: list[JtiEvent] = []

    async def listen(event: JtiEvent) -> None:
        heard.append(event)

    storage = Interleaved(MemoryStorage(clock=clock), seed=3)
    browser = Browser(make_manager(storage, clock))
    browser.manager.on_reuse.append(listen)
    thief = await stolen(browser, clock)
    thieves = [thief.copy() for _ in range(20)]
    sessions = await asyncio.gather(*(one.refresh() for one in thieves))
    assert all(isinstance(session.rejected, TokenRevoked) and session.is_new for session in sessions)
    assert [one.sent for one in thieves] == [{}] * 20
    assert len(heard) == 1
    assert await storage.get(heard[0].session.sid) is None


async def test_a_replay_is_logged_as_a_warning_without_a_token_in_it(
    browser: Browser, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        thief = await stolen(browser, clock)
        token = thief.cookies[REFRESH]
        sid = thief.sid
        await thief.refresh()
    [warning] = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
    assert sid in warning.getMessage()
    for part in [*token.split("."), claims(token)["jti"]]:
        assert part not in caplog.text


async def test_a_listener_may_revoke_everything_the_user_has(browser: Browser, clock: FakeClock) -> None:
    async def log_out_everywhere(event: JtiEvent) -> None:
        await browser.manager.revoke_subject(event.session.subject)

    browser.manager.on_reuse.append(log_out_everywhere)
    elsewhere = Browser(browser.manager)
    await elsewhere.log_in()
    thief = await stolen(browser, clock)
    await thief.refresh()
    await browser.manager.events.aclose()  # what listens has been waited for
    assert not await elsewhere.is_logged_in()


async def test_a_forged_refresh_token_is_no_replay(browser: Browser, clock: FakeClock) -> None:
    thief = await stolen(browser, clock)
    header, payload, signature = thief.cookies[REFRESH].split(".")
    thief.cookies[REFRESH] = f"{header}.{payload}.{signature[::-1]}"
    await thief.refresh()
    assert await browser.is_logged_in()


async def test_a_replay_among_garbage_is_seen_for_what_it_is(browser: Browser, clock: FakeClock) -> None:
    thief = await stolen(browser, clock)
    session = await browser.manager.load({REFRESH: ["garbage", thief.cookies[REFRESH], "more of it"]})
    assert type(session.rejected) is TokenReused
    assert not await browser.is_logged_in()


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [0, 0, 1], [0, 1, 0]])
async def test_an_old_refresh_cookie_beside_the_current_one_is_no_replay(
    browser: Browser, clock: FakeClock, order: list[int]
) -> None:
    """A browser keeps both after the cookie's path was changed; a thief would not have the current one."""
    old = await stolen(browser, clock)
    tokens = [old.cookies[REFRESH], browser.cookies[REFRESH]]
    session = await browser.manager.load({REFRESH: [tokens[index] for index in order]})
    assert session.get("theme") == "dark"
    assert await browser.is_logged_in()


async def test_an_old_refresh_cookie_beside_that_of_another_session_is_a_replay_still(
    browser: Browser, clock: FakeClock
) -> None:
    thief = await stolen(browser, clock)
    own = Browser(browser.manager)
    await own.log_in("eve")
    session = await own.manager.load({REFRESH: [thief.cookies[REFRESH], own.cookies[REFRESH]]})
    assert session["sub"] == "eve"
    assert not await browser.is_logged_in()


# --- between leeway and verdict ----------------------------------------------------------------------------------


async def disputed(owner: Browser, clock: FakeClock) -> Browser:
    """A thief who has refreshed first, and an owner who comes too late for the leeway and too early for a verdict."""
    await owner.log_in()
    thief = owner.copy()
    await thief.refresh()
    await leeway_begun(thief)
    clock.advance(LEEWAY + 1)
    return thief


async def test_a_login_with_a_disputed_refresh_token_ends_the_session_it_is_of(
    browser: Browser, clock: FakeClock
) -> None:
    thief = await disputed(browser, clock)
    session = await browser.visit(lambda session: session.update(sub="ann"), only=REFRESH)
    assert type(session.rejected) is TokenSuperseded
    assert set(browser.sent) == {ACCESS, REFRESH}
    assert await browser.is_logged_in()
    assert_untouched(thief, await thief.refresh(), TokenRevoked)


async def test_a_login_of_another_user_with_a_disputed_refresh_token_ends_nothing(
    browser: Browser, clock: FakeClock
) -> None:
    thief = await disputed(browser, clock)
    await browser.visit(lambda session: session.update(sub="bob"), only=REFRESH)
    assert browser.access["sub"] == "bob"
    assert await browser.is_logged_in()
    assert await thief.is_logged_in()


async def test_a_logout_with_a_disputed_refresh_token_ends_the_session_it_is_of(
    browser: Browser, clock: FakeClock
) -> None:
    thief = await disputed(browser, clock)
    await browser.refresh(Session.invalidate)
    assert_deleted(browser, ACCESS, REFRESH)
    assert not await thief.is_logged_in()
    assert await browser.manager.sessions("ann") == []


async def test_a_disputed_refresh_token_is_no_replay_and_revokes_nothing(browser: Browser, clock: FakeClock) -> None:
    heard: list[JtiEvent] = []

    async def listen(event: JtiEvent) -> None:
        heard.append(event)

    browser.manager.on_reuse.append(listen)
    thief = await disputed(browser, clock)
    assert_untouched(browser, await browser.refresh(), TokenSuperseded)
    assert heard == []
    assert await thief.is_logged_in()


async def test_listeners_that_take_the_place_of_the_list_are_told_too(browser: Browser, clock: FakeClock) -> None:
    heard: list[JtiEvent] = []

    async def listen(event: JtiEvent) -> None:
        heard.append(event)

    browser.manager.on_reuse = [listen]
    thief = await stolen(browser, clock)
    await thief.refresh()
    assert len(heard) == 1
