"""A logout with a token that has expired: the session goes on by its refresh token, and that may be elsewhere."""

from typing import Any

import pytest
from support.browser import ACCESS, ACCESS_LIFETIME, REFRESH, SECRET, ZONE, Browser, make_manager
from support.forgery import claims, forge
from support.outages import World, assert_unavailable

from aiohttp_lionrock import CorruptRecord, JtiRecord, MemoryStorage, Session, SessionManager, TokenRevoked
from aiohttp_lionrock.testing import FakeClock

TOLERANCE = 60  # seconds


@pytest.fixture
async def left(browser: Browser, clock: FakeClock) -> Browser:
    """A browser that has the access cookie alone, and that one is over; another one with all cookies stays behind."""
    await browser.log_in(theme="dark")
    clock.advance(ACCESS_LIFETIME + TOLERANCE + 1)
    left = browser.copy()
    del left.cookies[REFRESH]
    return left


async def test_it_ends_the_session(left: Browser, browser: Browser, manager: SessionManager) -> None:
    assert (await left.visit()).is_new
    assert (await browser.copy().visit())["theme"] == "dark"
    await left.log_out()
    assert left.sent == {ACCESS: None, REFRESH: None}
    assert await manager.sessions("ann") == []
    assert (await browser.visit()).is_new
    assert manager.stats["ended.logout"] == 1


async def test_what_is_stored_afterwards_is_a_new_session(
    left: Browser, browser: Browser, manager: SessionManager
) -> None:
    await left.visit(Session.invalidate, lambda session: session.update(message="Bye."))
    assert await manager.sessions("ann") == []
    assert (await browser.visit()).is_new
    assert (await left.visit())["message"] == "Bye."


async def test_a_page_that_only_refuses_ends_nothing(left: Browser, browser: Browser) -> None:
    await left.visit()
    await left.visit(lambda session: session.update(cart=["tea"]))
    assert (await browser.visit())["theme"] == "dark"


async def test_a_refresh_token_that_has_expired_as_well_is_no_reason_to_fail(
    browser: Browser, manager: SessionManager, clock: FakeClock
) -> None:
    await browser.log_in()
    clock.advance(400 * 24 * 3600)
    await browser.log_out()
    assert browser.sent == {ACCESS: None, REFRESH: None}


async def test_where_only_access_tokens_are_used_it_ends_what_is_idle(clock: FakeClock) -> None:
    manager = make_manager(MemoryStorage(clock=clock), clock, refresh_token=False, idle_timeout=60, expires=3600)
    browser = Browser(manager)
    await browser.log_in()
    clock.advance(61)
    await browser.log_out()
    assert browser.sent == {ACCESS: None}


async def test_while_the_storage_cannot_answer_nobody_is_told_of_a_logout(world: World) -> None:
    browser = await world.logged_in()
    world.clock.advance(ACCESS_LIFETIME + TOLERANCE + 1)
    left = browser.copy()
    del left.cookies[REFRESH]
    with world.storage.away():
        await assert_unavailable(left.log_out())
    assert (await browser.visit())["theme"] == "dark"


async def test_a_logout_with_the_cookies_from_before_a_renewal_ends_what_it_has_become(
    browser: Browser, manager: SessionManager, clock: FakeClock
) -> None:
    await browser.log_in()
    before = browser.copy()
    await browser.visit(Session.renew)
    clock.advance(ZONE + 1)
    assert isinstance((await before.visit()).rejected, TokenRevoked)
    await before.log_out()
    assert await manager.sessions("ann") == []


async def test_it_ends_a_session_whose_record_is_damaged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await world.logged_in()
    world.clock.advance(ACCESS_LIFETIME + TOLERANCE + 1)
    left = browser.copy()
    del left.cookies[REFRESH]

    async def damaged(sid: str) -> JtiRecord | None:
        raise CorruptRecord(f"the record {sid} is damaged", sid=sid)

    with monkeypatch.context() as patch:
        patch.setattr(world.records, "get", damaged)
        await left.log_out()
    assert left.sent == {ACCESS: None, REFRESH: None}
    assert await world.elsewhere.sessions("ann") == []


async def test_it_holds_where_the_client_has_gone_away(left: Browser, manager: SessionManager) -> None:
    session = await manager.load(left.cookies)
    session.invalidate()
    session["message"] = "Bye."
    assert await manager.save(session, is_awaited=lambda: False) == []
    assert await manager.sessions("ann") == []


async def test_it_ends_no_session_that_the_keys_of_the_request_have_not_signed(
    browser: Browser, clock: FakeClock
) -> None:
    await browser.log_in(theme="dark")
    tenant = {"SESSION_SECRET": "of a tenant, 32 bytes and more 123"}
    expired = forge(claims(sid=browser.sid, exp=1, iat=0, nbf=0), secret=tenant["SESSION_SECRET"])
    session = await browser.manager.load({ACCESS: expired}, tenant)
    session.invalidate()
    await browser.manager.save(session)
    assert (await browser.visit())["theme"] == "dark"


@pytest.mark.parametrize(
    "token",
    [
        lambda sid: forge(claims(sid=sid, exp=1, iat=0, nbf=0), secret="of somebody else, 32 bytes and more"),
        lambda sid: forge(claims(sid={"of": sid}, exp=1, iat=0, nbf=0), secret=SECRET),
        lambda sid: forge(claims(sid="x" * 600, exp=1, iat=0, nbf=0), secret=SECRET),
    ],
    ids=["forged", "no text", "too long"],
)
async def test_a_token_that_is_not_good_in_itself_ends_nothing(browser: Browser, token: Any) -> None:
    await browser.log_in(theme="dark")
    stranger = Browser(browser.manager, {ACCESS: token(browser.sid)})
    await stranger.log_out()
    assert (await browser.visit())["theme"] == "dark"
