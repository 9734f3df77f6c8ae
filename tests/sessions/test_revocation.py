"""How a session ends: logout, renewal, revocation by id and by subject; and the labels on its record."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.browser import (
    ACCESS,
    REFRESH,
    REFRESH_LIFETIME,
    ZONE,
    Browser,
    assert_deleted,
    assert_untouched,
    make_manager,
    record_of,
)
from support.storages import FaultyStorage

from aiohttp_lionrock import (
    ConfigError,
    JtiRecord,
    MemoryStorage,
    Session,
    SessionDataError,
    StorageUnavailable,
    TokenRevoked,
    TokenSuperseded,
)
from aiohttp_lionrock.sessions.sealing import seal
from aiohttp_lionrock.testing import FakeClock


def assert_superseded(record: JtiRecord | None, successor: str) -> None:
    """The record names its successor and honours nothing."""
    assert record is not None
    assert record.successor == successor
    assert (record.access_jti, record.refresh_jti, record.previous_jti) == (None, None, None)


# --- logout, renewal, revocation ---------------------------------------------------------------------------------


async def test_logout_ends_the_session_for_every_holder_of_its_cookies(
    browser: Browser, storage: MemoryStorage
) -> None:
    await browser.log_in(cart=["book"])
    other, sid = browser.copy(), browser.sid
    session = await browser.log_out()
    assert dict(session) == {}
    assert session.is_new
    assert session.sid != sid
    assert_deleted(browser, ACCESS, REFRESH)
    assert await storage.get(sid) is None
    assert type((await other.visit(only=ACCESS)).rejected) is TokenRevoked


async def test_the_refresh_token_of_an_ended_session_is_refused_and_no_replay(browser: Browser) -> None:
    await browser.log_in()
    other = browser.copy()
    await browser.log_out()
    assert_untouched(other, await other.refresh(), TokenRevoked)
    assert_untouched(other, await other.refresh(), TokenRevoked)


async def test_what_is_stored_after_logout_is_a_session_of_its_own(browser: Browser, storage: MemoryStorage) -> None:
    await browser.log_in(cart=["book"])
    sid = browser.sid
    await browser.visit(Session.invalidate, lambda session: session.update(flash="bye"))
    assert browser.sid != sid
    assert browser.access["flash"] == "bye"
    assert not {"sub", "cart"} & browser.access.keys()
    assert_superseded(await storage.get(sid), browser.sid)
    assert await browser.manager.sessions("ann") == []
    assert (await record_of(browser)).subject is None


async def test_logout_of_a_visitor_without_a_session_still_deletes_the_cookies(browser: Browser) -> None:
    await browser.log_out()
    assert_deleted(browser, ACCESS, REFRESH)


async def test_renewal_moves_the_data_to_a_new_sid_with_new_ids(browser: Browser, clock: FakeClock) -> None:
    await browser.write(cart=["book"])
    old, before = browser.copy(), await record_of(browser)
    clock.advance(50)
    session = await browser.log_in()
    after = await record_of(browser)
    assert dict(session) == {"cart": ["book"], "sub": "ann"}
    assert session.sid == browser.sid == browser.access["sid"] == browser.refreshing["sid"] != old.sid
    assert {after.access_jti, after.refresh_jti}.isdisjoint({before.access_jti, before.refresh_jti})
    assert (after.version, after.created_at, after.subject) == (1, int(clock()), "ann")
    assert_untouched(old, await old.visit(), TokenSuperseded)
    assert_untouched(old, await old.refresh(), TokenSuperseded)


async def test_a_renewed_session_is_superseded_by_its_successor_for_ten_minutes(
    browser: Browser, clock: FakeClock, storage: MemoryStorage
) -> None:
    await browser.log_in()
    before = await record_of(browser)
    clock.advance(50)
    await browser.visit(Session.renew)
    superseded, now = await storage.get(before.sid), int(clock())
    assert_superseded(superseded, browser.sid)
    assert superseded == JtiRecord(
        before.sid,
        2,
        now + 600,
        before.created_at,
        rotated_at=now,
        subject="ann",
        successor=browser.sid,
        signer=before.signer,
    )
    clock.advance(599)
    assert await storage.get(before.sid) == superseded
    clock.advance(1)
    assert await storage.get(before.sid) is None


@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_an_old_token_is_superseded_for_leeway_and_skew_and_revoked_afterwards(
    browser: Browser, clock: FakeClock, cookie: str
) -> None:
    await browser.log_in()
    old = browser.copy()
    await browser.visit(Session.renew)
    clock.advance(ZONE)
    session = await old.visit(lambda session: session.update(cart=["book"]), only=cookie)
    assert (session.is_new, session.subject) == (True, None)
    assert_untouched(old, session, TokenSuperseded)
    clock.advance(1)
    assert_untouched(old, await old.visit(only=cookie), TokenRevoked)
    assert await browser.is_logged_in()


async def test_a_logout_with_an_old_token_ends_the_successor_through_any_number_of_renewals(browser: Browser) -> None:
    await browser.log_in()
    old = browser.copy()
    for _ in range(5):
        await browser.visit(Session.renew)
    await old.log_out()
    assert_deleted(old, ACCESS, REFRESH)
    assert await browser.manager.sessions("ann") == []
    assert not await browser.is_logged_in()


async def test_a_logout_with_an_old_token_ends_the_successor_however_many_renewals_there_were(
    browser: Browser,
) -> None:
    await browser.log_in()
    first = browser.copy()
    for _ in range(1100):
        await browser.visit(Session.renew)
    await first.log_out()
    assert not await browser.is_logged_in()
    assert await browser.manager.sessions("ann") == []


async def test_who_keeps_a_session_that_went_on_long_ago_is_told_and_nobody_is_logged_out(
    browser: Browser, clock: FakeClock
) -> None:
    await browser.log_in()
    held = await browser.manager.load(browser.cookies)
    await browser.visit(Session.renew)
    seal(held)
    assert await browser.manager.revoke_others(held) == 0
    clock.advance(600)
    with pytest.raises(ValueError, match="ask in a request of its own"):
        await browser.manager.revoke_others(held)
    assert [record.sid for record in await browser.manager.sessions("ann")] == [browser.sid]


async def test_a_logout_with_a_token_from_before_the_login_leaves_the_login_alone(browser: Browser) -> None:
    await browser.write(cart=["book"])
    old = browser.copy()
    await browser.log_in()
    await old.log_out()
    assert_deleted(old, ACCESS, REFRESH)
    assert await browser.is_logged_in()


@pytest.mark.parametrize("sub", ["ann", "bob"])
async def test_a_login_with_an_old_token_is_delivered_whoever_logs_in(browser: Browser, sub: str) -> None:
    """A double click on the login button: the browser drops the first answer."""
    await browser.write(cart=["book"])
    second = browser.copy()
    await browser.log_in()
    session = await second.log_in(sub)
    assert dict(session) == ({"sub": "ann", "cart": ["book"]} if sub == "ann" else {"sub": "bob"})
    assert set(second.sent) == {ACCESS, REFRESH}
    assert await second.is_logged_in()
    assert await browser.is_logged_in()


def log_in_without_a_cart(session: Session) -> None:
    session.renew()
    session.pop("cart", None)
    session["sub"] = "ann"


def log_in_with_nothing(session: Session) -> None:
    session.clear()
    session["sub"] = "ann"


@pytest.mark.parametrize("log_in", [log_in_without_a_cart, log_in_with_nothing])
async def test_a_login_with_an_old_token_brings_back_nothing_that_it_removes(
    browser: Browser, log_in: Callable[[Session], object]
) -> None:
    await browser.write(cart=["book"])
    second = browser.copy()
    await browser.visit(log_in)
    await second.visit(log_in)
    assert dict(await second.visit()) == {"sub": "ann"}


async def test_a_login_with_an_old_token_of_a_user_brings_back_no_right_that_was_given_up(browser: Browser) -> None:
    await browser.log_in(sudo=True)
    old = browser.copy()
    await browser.visit(Session.renew, lambda session: session.pop("sudo"))
    assert dict(await old.log_in()) == {"sub": "ann"}


async def test_a_failure_keeps_none_of_the_others_alive_and_leaves_nothing_behind(
    clock: FakeClock,
) -> None:
    storage = FaultyStorage(MemoryStorage(clock=clock))
    manager = make_manager(storage, clock)
    mine, *others = [Browser(manager) for _ in range(8)]
    for browser in (mine, *others):
        await browser.log_in()
    session, before = await mine.visit(), asyncio.all_tasks()
    storage.fail("delete", skip=2)
    with pytest.raises(StorageUnavailable):
        await manager.revoke_others(session)
    assert asyncio.all_tasks() == before
    assert manager.stats["ended.revoked subject"] == 6
    assert await manager.revoke_others(session) == 1
    assert manager.stats["ended.revoked subject"] == 7


async def test_renewing_twice_in_one_request_leaves_one_session(browser: Browser, storage: MemoryStorage) -> None:
    await browser.log_in()
    old = browser.sid
    await browser.visit(Session.renew, Session.renew)
    assert_superseded(await storage.get(old), browser.sid)
    assert [record.sid for record in await browser.manager.sessions("ann")] == [browser.sid]


async def test_renewing_and_then_logging_out_leaves_nothing(browser: Browser) -> None:
    await browser.log_in()
    await browser.visit(Session.renew, Session.invalidate)
    assert_deleted(browser, ACCESS, REFRESH)
    assert await browser.manager.sessions("ann") == []


async def test_renewing_a_new_session_stores_nothing_by_itself(browser: Browser) -> None:
    await browser.visit(Session.renew)
    assert not browser.changes


async def test_a_renewal_while_refreshing_leaves_one_session(browser: Browser) -> None:
    await browser.log_in()
    await browser.refresh(Session.renew)
    assert [record.sid for record in await browser.manager.sessions("ann")] == [browser.sid]
    assert await browser.is_logged_in()


async def test_a_renewed_session_keeps_its_labels(browser: Browser) -> None:
    await browser.visit(Session.renew, lambda s: s.update(sub="ann"), lambda s: s.describe(device="phone"))
    await browser.visit(Session.renew)
    assert (await record_of(browser)).metadata == {"device": "phone"}


async def test_what_is_no_sid_is_an_error_that_says_so_and_ends_nothing(browser: Browser) -> None:
    session = await browser.log_in()
    for wrong in (session, None, 7, b"sid", await record_of(browser)):
        with pytest.raises(TypeError, match=rf"session\.sid; not a value of type {type(wrong).__name__}"):
            await browser.manager.revoke(wrong)  # type: ignore[arg-type]
    for wrong in (7, b"sid", await record_of(browser)):
        with pytest.raises(TypeError, match="keep takes a session or its sid"):
            await browser.manager.revoke_subject("ann", keep=wrong)  # type: ignore[arg-type]
    assert not (await browser.visit()).is_new


async def test_revoke_is_true_for_the_one_caller_that_ended_the_session(browser: Browser) -> None:
    await browser.log_in()
    sid = browser.sid
    assert await browser.manager.revoke(sid) is True
    assert await browser.manager.revoke(sid) is False
    assert await browser.manager.revoke("never seen") is False
    assert (await browser.visit()).is_new


async def test_revoking_an_old_sid_ends_what_its_session_goes_on_as_once(browser: Browser) -> None:
    await browser.log_in()
    first = browser.sid
    for _ in range(3):
        await browser.visit(Session.renew)
    assert await browser.manager.revoke(first) is True
    assert not await browser.is_logged_in()
    assert await browser.manager.revoke(first) is False


async def test_revoking_the_sid_from_before_a_login_ends_nothing(browser: Browser) -> None:
    await browser.write(cart=["book"])
    nobodys = browser.sid
    await browser.log_in()
    assert await browser.manager.revoke(nobodys) is False
    assert await browser.is_logged_in()


async def test_a_handler_that_runs_while_its_session_is_revoked_touches_no_cookie(browser: Browser) -> None:
    await browser.log_in()
    session = await browser.manager.load(browser.cookies)
    session["theme"] = "dark"
    await browser.manager.revoke(browser.sid)
    browser.receive(await browser.manager.save(session))
    assert_untouched(browser, session, TokenRevoked)
    assert not await browser.is_logged_in()


@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
@pytest.mark.parametrize("act", [Session.renew, Session.changed, lambda session: session.describe(device="phone")])
async def test_whatever_a_handler_does_meanwhile_a_revoked_session_stays_revoked(
    browser: Browser, act: Callable[[Session], None], cookie: str
) -> None:
    await browser.log_in()
    other = browser.copy()
    session = await browser.manager.load({cookie: browser.cookies[cookie]})
    act(session)
    await browser.manager.revoke(browser.sid)
    browser.receive(await browser.manager.save(session))
    assert_untouched(browser, session, TokenRevoked)
    assert not await other.is_logged_in()
    await asyncio.sleep(0.01)  # what a renewal had begun is undone in the background
    assert await other.manager.sessions("ann") == []


async def test_a_revoked_users_data_does_not_live_on_under_another_subject(browser: Browser) -> None:
    await browser.log_in(secret_plan="x")
    session = await browser.manager.load(browser.cookies)
    session.renew()
    del session["sub"]
    await browser.manager.revoke_subject("ann")
    browser.receive(await browser.manager.save(session))
    assert_deleted(browser, ACCESS, REFRESH)


async def test_revoke_subject_ends_all_sessions_of_one_user_but_the_one_kept(browser: Browser) -> None:
    manager = browser.manager
    devices = [Browser(manager) for _ in range(3)]
    for device in devices:
        await device.log_in("ann")
    await browser.log_in("bob")
    here = devices[1]
    assert await manager.revoke_subject("ann", keep=here.sid) == 2
    assert [await device.is_logged_in() for device in devices] == [False, True, False]
    assert await manager.revoke_subject("ann") == 1
    assert await manager.revoke_subject("ann") == 0
    assert await browser.is_logged_in()


async def test_sessions_lists_a_users_live_sessions_newest_first(browser: Browser, clock: FakeClock) -> None:
    sids = []
    for _ in range(3):
        device = Browser(browser.manager)
        await device.log_in("ann")
        sids.append(device.sid)
        clock.advance(1)
    assert [record.sid for record in await browser.manager.sessions("ann")] == sids[::-1]
    clock.advance(REFRESH_LIFETIME - 2)
    assert [record.sid for record in await browser.manager.sessions("ann")] == [sids[2]]


@pytest.mark.parametrize("sub", [7, 7.5, True, "7 of 9", ["a", "b"], {"id": 1}])
async def test_a_subject_may_be_any_json_and_is_found_again_by_the_same_value(browser: Browser, sub: Any) -> None:
    await browser.log_in(sub)
    assert [record.sid for record in await browser.manager.sessions(sub)] == [browser.sid]
    assert await browser.manager.revoke_subject(sub) == 1


async def test_a_session_that_is_saved_twice_belongs_to_whom_it_was_saved_for_last(browser: Browser) -> None:
    session = await browser.manager.load({})
    session["sub"] = "ann"
    await browser.manager.save(session)
    del session["sub"]
    await browser.manager.save(session)
    assert await browser.manager.sessions("ann") == []


async def test_nobody_is_no_subject(browser: Browser) -> None:
    await browser.write(visits=1)
    with pytest.raises(ValueError, match="sub"):
        await browser.manager.revoke_subject(None)
    with pytest.raises(ValueError, match="sub"):
        await browser.manager.sessions(None)
    assert await browser.is_logged_in()


async def test_a_session_that_gets_its_user_later_is_listed_from_then_on(browser: Browser) -> None:
    await browser.write(visits=1)
    await browser.write(sub="ann")
    assert [record.sid for record in await browser.manager.sessions("ann")] == [browser.sid]


async def test_a_tab_that_has_not_seen_the_login_does_not_take_the_session_off_its_users_list(
    browser: Browser,
) -> None:
    await browser.write(visits=1)
    stale_tab = browser.copy()
    await browser.write(sub="ann")
    await stale_tab.write(visits=2)
    assert stale_tab.sent == {}
    assert [record.sid for record in await browser.manager.sessions("ann")] == [browser.sid]
    await browser.manager.revoke_subject("ann")
    assert not await browser.is_logged_in()


@pytest.mark.parametrize("sub", ["x" * 1025, "a\x00b"])
async def test_a_subject_that_no_storage_can_keep_is_an_error_that_names_the_key(browser: Browser, sub: str) -> None:
    with pytest.raises(SessionDataError) as caught:
        await browser.log_in(sub)
    assert caught.value.key == "sub"
    assert not browser.cookies


async def test_without_a_storage_nothing_can_be_revoked_and_the_error_says_so(clock: FakeClock) -> None:
    manager = make_manager(None, clock)
    for call in (manager.revoke("sid"), manager.revoke_subject("ann"), manager.sessions("ann"), manager.purge()):
        with pytest.raises(ConfigError, match="storage"):
            await call


async def test_purge_removes_every_expired_record_and_no_other(
    browser: Browser, clock: FakeClock, storage: MemoryStorage
) -> None:
    now = int(clock())
    for number in range(2500):
        await storage.insert(JtiRecord(str(number), version=1, expires_at=now + 1, created_at=now))
    await browser.log_in()
    clock.advance(1)
    assert await browser.manager.purge() == 2500
    assert await browser.manager.purge() == 0
    assert await browser.is_logged_in()


# --- labels ------------------------------------------------------------------------------------------------------


async def test_labels_are_put_on_the_record_and_not_into_the_token(browser: Browser) -> None:
    await browser.visit(lambda s: s.update(sub="ann"), lambda s: s.describe(device="Zoë's phone", place="home"))
    [record] = await browser.manager.sessions("ann")
    assert record.metadata == {"device": "Zoë's phone", "place": "home"}
    assert "device" not in browser.access


async def test_labels_are_added_one_by_one_and_outlive_writes_and_refreshes(browser: Browser) -> None:
    await browser.visit(lambda s: s.update(sub="ann"), lambda s: s.describe(device="phone"))
    await browser.visit(lambda s: s.describe(place="home"))
    await browser.visit(lambda s: s.describe(device="tablet"))
    await browser.write(theme="dark")
    await browser.refresh()
    assert (await record_of(browser)).metadata == {"device": "tablet", "place": "home"}


@pytest.mark.parametrize("labels", [{"device": "x" * 1025}, {"device": 7}, {"device": "a\x00b"}])
async def test_a_label_that_cannot_be_kept_is_an_error_that_leaves_everything_as_it_was(
    browser: Browser, labels: dict[str, Any]
) -> None:
    await browser.log_in()
    before = await record_of(browser)
    with pytest.raises(SessionDataError, match="device"):
        await browser.visit(lambda session: session.describe(**labels))
    assert await record_of(browser) == before
    assert await browser.is_logged_in()
