"""How a session lives: login, refresh, rotation, replay, logout, revocation, and its record after each step."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from support.browser import ACCESS, ACCESS_LIFETIME, REFRESH, REFRESH_LIFETIME, Browser, claims, make_manager
from support.storages import Interleaved

from aiohttp_lionrock import (
    ConfigError,
    JtiEvent,
    JtiRecord,
    MemoryStorage,
    Session,
    SessionDataError,
    SessionManager,
    TokenClaimError,
    TokenExpired,
    TokenReused,
    TokenRevoked,
)
from aiohttp_lionrock.testing import FakeClock

LEEWAY = 10


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def storage(clock: FakeClock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture
def build(storage: MemoryStorage, clock: FakeClock) -> Callable[..., SessionManager]:
    """Makes managers on the one storage and clock of this test."""
    return lambda **settings: make_manager(storage, clock, **settings)


@pytest.fixture
def manager(build: Callable[..., SessionManager]) -> SessionManager:
    return build()


@pytest.fixture
def browser(manager: SessionManager) -> Browser:
    return Browser(manager)


async def record_of(browser: Browser) -> JtiRecord:
    assert browser.manager.storage is not None
    record = await browser.manager.storage.get(browser.sid)
    assert record is not None
    return record


def assert_deleted(browser: Browser, *names: str) -> None:
    """The last response deletes these cookies and sends no other."""
    assert browser.sent == dict.fromkeys(names)


def visits(session: Session) -> None:
    session["visits"] = session.get("visits", 0) + 1


# --- a session begins --------------------------------------------------------------------------------------------


async def test_a_visitor_without_cookies_gets_a_new_session_and_no_cookie(browser: Browser) -> None:
    session = await browser.visit()
    assert session.is_new
    assert session.rejected is None
    assert session.expires_at is None
    assert not browser.changes


async def test_the_first_write_makes_one_record_and_both_cookies(
    browser: Browser, clock: FakeClock, storage: MemoryStorage
) -> None:
    await browser.write(visits=1)
    assert set(browser.sent) == {ACCESS, REFRESH}
    assert await storage.get(browser.sid) == JtiRecord(
        sid=browser.sid,
        version=1,
        expires_at=int(clock()) + REFRESH_LIFETIME,
        created_at=int(clock()),
        access_jti=browser.access["jti"],
        refresh_jti=browser.refreshing["jti"],
    )
    assert browser.access["jti"] != browser.refreshing["jti"]


async def test_reading_a_session_writes_nothing(browser: Browser, storage: MemoryStorage) -> None:
    await browser.log_in()
    before = await storage.get(browser.sid)
    session = await browser.visit(lambda session: session["sub"])
    assert not session.is_new
    assert not browser.changes
    assert await storage.get(browser.sid) == before


async def test_a_write_moves_the_expiry_and_keeps_every_id(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    before, tokens = await record_of(browser), [browser.access, browser.refreshing]
    clock.advance(100)
    await browser.write(theme="dark")
    after = await record_of(browser)
    assert [browser.access["jti"], browser.refreshing["jti"]] == [token["jti"] for token in tokens]
    assert (after.access_jti, after.refresh_jti) == (before.access_jti, before.refresh_jti)
    assert after.expires_at == before.expires_at + 100 == browser.refreshing["exp"]
    assert (after.version, after.created_at, after.previous_jti, after.rotated_at) == (2, before.created_at, None, None)


async def test_a_cookie_from_before_a_write_is_still_honoured(browser: Browser) -> None:
    await browser.log_in()
    other = browser.copy()
    await browser.write(theme="dark")
    assert await other.is_logged_in()


async def test_two_tabs_that_write_at_once_do_not_log_each_other_out(clock: FakeClock) -> None:
    storage = Interleaved(MemoryStorage(clock=clock), seed=7)
    browser = Browser(make_manager(storage, clock))
    await browser.log_in()
    tabs = [browser.copy() for _ in range(10)]
    clock.advance(5)
    sessions = await asyncio.gather(*(tab.write(tab=number) for number, tab in enumerate(tabs)))
    assert all(session.rejected is None for session in sessions)
    for tab in tabs:
        assert await tab.is_logged_in()
        assert tab.access["jti"] == browser.access["jti"]
        assert tab.refreshing["jti"] == browser.refreshing["jti"]


# --- a covered access token --------------------------------------------------------------------------------------


async def test_an_access_token_is_honoured_while_the_record_lives(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    clock.advance(ACCESS_LIFETIME - 1)
    assert not (await browser.visit(only=ACCESS)).is_new


async def test_an_access_token_without_its_record_is_revoked_and_both_cookies_go(
    browser: Browser, storage: MemoryStorage
) -> None:
    await browser.log_in()
    await storage.delete(browser.sid)
    session = await browser.visit()
    assert session.is_new
    assert type(session.rejected) is TokenRevoked
    assert_deleted(browser, ACCESS, REFRESH)


async def test_a_revoked_access_token_is_not_refreshed(browser: Browser) -> None:
    await browser.log_in()
    other = Browser(browser.manager)
    await other.log_in("bob")
    await browser.manager.revoke(browser.sid)
    session = await browser.manager.load({ACCESS: browser.cookies[ACCESS], REFRESH: other.cookies[REFRESH]})
    assert session.is_new
    assert type(session.rejected) is TokenRevoked


async def test_an_access_token_with_another_jti_than_the_records_is_revoked_but_ends_nothing(
    browser: Browser, build: Callable[..., SessionManager], clock: FakeClock, storage: MemoryStorage
) -> None:
    await browser.log_in()
    stranger = Browser(make_manager(MemoryStorage(clock=clock), clock), browser.cookies)
    session = Session({"sub": "ann"}, sid=browser.sid)
    stranger.receive(await stranger.manager.save(session))
    refused = await browser.manager.load({ACCESS: stranger.cookies[ACCESS]})
    assert type(refused.rejected) is TokenRevoked
    assert await storage.get(browser.sid) is not None
    assert await browser.is_logged_in()


# --- refresh and rotation ----------------------------------------------------------------------------------------


async def test_an_expired_access_token_is_refreshed_and_the_refresh_token_rotated(
    browser: Browser, clock: FakeClock
) -> None:
    await browser.log_in(theme="dark")
    before, first = await record_of(browser), browser.copy()
    clock.advance(ACCESS_LIFETIME)
    session = await browser.visit()
    after, now = await record_of(browser), int(clock())
    assert dict(session) == {"sub": "ann", "theme": "dark"}
    assert not session.is_new
    assert browser.sid == first.sid
    assert browser.refreshing["jti"] == after.refresh_jti != before.refresh_jti
    assert browser.access["jti"] == after.access_jti == before.access_jti
    assert (after.previous_jti, after.rotated_at) == (before.refresh_jti, now)
    assert after.version > before.version
    assert (after.created_at, after.subject) == (before.created_at, "ann")
    assert after.expires_at == browser.refreshing["exp"] == now + REFRESH_LIFETIME
    assert browser.access["exp"] == now + ACCESS_LIFETIME


async def test_loading_alone_rotates_nothing(browser: Browser, storage: MemoryStorage) -> None:
    await browser.log_in()
    before = await storage.get(browser.sid)
    for _ in range(3):
        session = await browser.manager.load({REFRESH: browser.cookies[REFRESH]})
        assert not session.is_new
    assert await storage.get(browser.sid) == before


@pytest.mark.parametrize("later", [0, 1, LEEWAY])
async def test_the_previous_token_inside_the_leeway_gets_the_same_successor_byte_for_byte(
    browser: Browser, clock: FakeClock, later: int
) -> None:
    await browser.log_in()
    straggler = browser.copy()
    clock.advance(ACCESS_LIFETIME)
    await browser.refresh()
    rotated = await record_of(browser)
    clock.advance(later)
    session = await straggler.refresh()
    assert session.rejected is None
    assert straggler.cookies[REFRESH] == browser.cookies[REFRESH]
    assert straggler.access["jti"] == browser.access["jti"]
    assert straggler.access["iat"] == browser.access["iat"] + later
    assert await record_of(browser) == rotated


@pytest.mark.parametrize("fraction", [0.25, 0.999])
async def test_the_leeway_is_counted_in_whole_seconds(browser: Browser, clock: FakeClock, fraction: float) -> None:
    await browser.log_in()
    straggler = browser.copy()
    await browser.refresh()
    clock.advance(LEEWAY + fraction)
    assert (await straggler.refresh()).rejected is None


async def test_one_second_after_the_leeway_the_previous_token_is_a_replay(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    thief = browser.copy()
    await browser.refresh()
    clock.advance(LEEWAY + 1)
    session = await thief.refresh()
    assert type(session.rejected) is TokenReused
    assert_deleted(thief, ACCESS, REFRESH)
    assert type((await browser.visit()).rejected) is TokenRevoked
    assert_deleted(browser, ACCESS, REFRESH)


async def test_a_straggler_does_not_lengthen_the_leeway(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    straggler, thief = browser.copy(), browser.copy()
    await browser.refresh()
    clock.advance(LEEWAY)
    await straggler.refresh()
    clock.advance(1)
    assert type((await thief.refresh()).rejected) is TokenReused


async def test_a_token_two_rotations_old_is_a_replay_at_once(browser: Browser) -> None:
    await browser.log_in()
    thief = browser.copy()
    await browser.refresh()
    await browser.refresh()
    assert type((await thief.refresh()).rejected) is TokenReused
    assert not await browser.is_logged_in()


async def test_without_a_leeway_the_previous_token_is_a_replay_in_the_same_second(
    build: Callable[..., SessionManager],
) -> None:
    browser = Browser(build(jti={"reuse_leeway": 0}))
    await browser.log_in()
    thief = browser.copy()
    await browser.refresh()
    assert type((await thief.refresh()).rejected) is TokenReused


async def test_without_a_leeway_a_burst_that_was_read_before_the_rotation_is_no_replay(clock: FakeClock) -> None:
    browser = Browser(make_manager(MemoryStorage(clock=clock), clock, jti={"reuse_leeway": 0}))
    await browser.log_in()
    loaded = [await browser.manager.load({REFRESH: browser.cookies[REFRESH]}) for _ in range(5)]
    saved = [await browser.manager.save(session) for session in loaded]
    assert len({change.value for changes in saved for change in changes if change.name == REFRESH}) == 1


async def test_a_straggler_that_changes_data_gets_its_own_token_under_the_same_jti(
    browser: Browser, clock: FakeClock
) -> None:
    await browser.log_in()
    straggler = browser.copy()
    await browser.refresh()
    clock.advance(3)
    await straggler.refresh(visits)
    assert straggler.cookies[REFRESH] != browser.cookies[REFRESH]
    assert straggler.refreshing["jti"] == browser.refreshing["jti"]
    assert straggler.refreshing["iat"] == int(clock())
    assert (await record_of(browser)).expires_at == straggler.refreshing["exp"]
    assert await browser.is_logged_in()
    assert await straggler.is_logged_in()


async def test_a_refresh_that_also_writes_rotates_once(browser: Browser) -> None:
    await browser.log_in()
    before = await record_of(browser)
    await browser.refresh(visits)
    after = await record_of(browser)
    assert after.previous_jti == before.refresh_jti
    assert after.refresh_jti == browser.refreshing["jti"]
    assert browser.refreshing["visits"] == browser.access["visits"] == 1


async def test_every_refresh_moves_the_chain_by_one(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    chain = [browser.refreshing["jti"]]
    for _ in range(5):
        clock.advance(ACCESS_LIFETIME)
        await browser.visit()
        record = await record_of(browser)
        assert record.previous_jti == chain[-1]
        chain.append(browser.refreshing["jti"])
    assert len(set(chain)) == 6


async def test_an_idle_session_ends_with_its_refresh_token(
    browser: Browser, clock: FakeClock, storage: MemoryStorage
) -> None:
    await browser.log_in()
    clock.advance(REFRESH_LIFETIME - 1)
    assert not (await browser.copy().visit()).is_new
    late = browser.copy()
    clock.advance(REFRESH_LIFETIME)
    session = await late.visit()
    assert type(session.rejected) is TokenExpired
    assert await storage.get(late.sid if late.cookies else browser.sid) is None


async def test_the_refresh_cookie_is_not_read_while_the_access_token_is_good(browser: Browser) -> None:
    await browser.log_in()
    session = await browser.manager.load({ACCESS: browser.cookies[ACCESS], REFRESH: "garbage"})
    assert not session.is_new


# --- replay ------------------------------------------------------------------------------------------------------


async def stolen(browser: Browser, clock: FakeClock) -> Browser:
    """A thief with a refresh token that its owner has rotated away."""
    await browser.log_in(theme="dark")
    thief = browser.copy()
    await browser.refresh()
    clock.advance(LEEWAY + 1)
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
    for one in thieves:
        assert_deleted(one, ACCESS, REFRESH)
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
    assert type((await other.refresh()).rejected) is TokenRevoked
    assert_deleted(other, ACCESS, REFRESH)


async def test_what_is_stored_after_logout_is_a_session_of_its_own(browser: Browser, storage: MemoryStorage) -> None:
    await browser.log_in(cart=["book"])
    sid = browser.sid
    await browser.visit(Session.invalidate, lambda session: session.update(flash="bye"))
    assert browser.sid != sid
    assert browser.access["flash"] == "bye"
    assert not {"sub", "cart"} & browser.access.keys()
    assert await storage.get(sid) is None
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
    assert await old.manager.storage.get(old.sid) is None  # type: ignore[union-attr]
    assert type((await old.visit()).rejected) is TokenRevoked


async def test_renewing_twice_in_one_request_leaves_one_session(browser: Browser, storage: MemoryStorage) -> None:
    await browser.log_in()
    old = browser.sid
    await browser.visit(Session.renew, Session.renew)
    assert await storage.get(old) is None
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


async def test_revoke_is_true_for_the_one_caller_that_ended_the_session(browser: Browser) -> None:
    await browser.log_in()
    sid = browser.sid
    assert await browser.manager.revoke(sid) is True
    assert await browser.manager.revoke(sid) is False
    assert await browser.manager.revoke("never seen") is False
    assert (await browser.visit()).is_new


async def test_a_handler_that_runs_while_its_session_is_revoked_sends_deletions(browser: Browser) -> None:
    await browser.log_in()
    session = await browser.manager.load(browser.cookies)
    session["theme"] = "dark"
    await browser.manager.revoke(browser.sid)
    browser.receive(await browser.manager.save(session))
    assert_deleted(browser, ACCESS, REFRESH)
    assert isinstance(session.rejected, TokenRevoked)


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
    assert_deleted(browser, ACCESS, REFRESH)
    assert isinstance(session.rejected, TokenRevoked)
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


# --- max_lifetime ------------------------------------------------------------------------------------------------


async def test_max_lifetime_bounds_a_session_whatever_is_refreshed(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(max_lifetime=1500))
    await browser.log_in()
    began = int(clock())
    for _ in range(2):
        clock.advance(ACCESS_LIFETIME)
        assert not (await browser.visit(visits)).is_new
        assert browser.refreshing["exp"] == began + 1500
        assert browser.access["orig_iat"] == browser.refreshing["orig_iat"] == began
        assert (await record_of(browser)).expires_at == began + 1500
    assert browser.access["exp"] == began + 1500
    clock.advance(299)
    assert not (await browser.visit()).is_new
    clock.advance(1)
    session = await browser.visit()
    assert session.is_new
    assert type(session.rejected) is TokenExpired


async def test_max_lifetime_holds_over_writes_of_a_session_without_refresh_tokens(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(refresh_token=False, max_lifetime=1500))
    await browser.log_in()
    for _ in range(5):
        clock.advance(299)
        assert not (await browser.visit(visits)).is_new
    clock.advance(5)
    assert (await browser.visit()).is_new


async def test_max_lifetime_holds_without_a_storage_too(clock: FakeClock) -> None:
    browser = Browser(make_manager(None, clock, max_lifetime=1500))
    await browser.log_in()
    for _ in range(4):
        clock.advance(300)
        assert not (await browser.refresh(visits)).is_new
    clock.advance(300)
    assert (await browser.refresh()).is_new


async def test_a_token_from_before_max_lifetime_was_set_counts_from_its_own_issue(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    old = Browser(build())
    await old.log_in()
    browser = old.copy(build(max_lifetime=1500))
    clock.advance(1499)
    assert not (await browser.refresh()).is_new
    clock.advance(1)
    assert (await browser.refresh()).is_new


async def test_the_beginning_is_carried_on_while_max_lifetime_is_off(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(max_lifetime=1500))
    await browser.log_in()
    began = int(clock())
    clock.advance(100)
    lenient = browser.copy(build())
    await lenient.write(theme="dark")
    assert lenient.access["orig_iat"] == began


async def test_the_successor_is_the_same_byte_for_byte_under_max_lifetime_too(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(max_lifetime=1500))
    await browser.log_in()
    straggler = browser.copy()
    clock.advance(ACCESS_LIFETIME)
    await browser.refresh()
    clock.advance(LEEWAY)
    await straggler.refresh()
    assert straggler.cookies[REFRESH] == browser.cookies[REFRESH]


# --- jti.cache_ttl -----------------------------------------------------------------------------------------------


async def test_without_a_cache_a_revocation_elsewhere_holds_at_once(
    build: Callable[..., SessionManager], browser: Browser
) -> None:
    await browser.log_in()
    await browser.visit()
    await build().revoke(browser.sid)
    assert (await browser.visit()).is_new


async def test_a_cached_check_is_trusted_for_its_time_and_not_a_second_longer(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(jti={"cache_ttl": 30}))
    await browser.log_in()
    await browser.visit()
    await build().revoke(browser.sid)
    clock.advance(29)
    assert not (await browser.visit()).is_new
    clock.advance(1)
    assert (await browser.visit()).is_new


async def test_trust_is_not_renewed_by_being_used(build: Callable[..., SessionManager], clock: FakeClock) -> None:
    browser = Browser(build(jti={"cache_ttl": 30}))
    await browser.log_in()
    await browser.visit()
    await build().revoke(browser.sid)
    for _ in range(3):
        clock.advance(10)
        session = await browser.visit()
    assert session.is_new


async def test_a_cached_session_that_was_revoked_elsewhere_is_not_written(
    build: Callable[..., SessionManager],
) -> None:
    browser = Browser(build(jti={"cache_ttl": 30}))
    await browser.log_in()
    await browser.visit()
    await build().revoke(browser.sid)
    await browser.write(theme="dark")
    assert_deleted(browser, ACCESS, REFRESH)


@pytest.mark.parametrize("end", ["revoke", "revoke_subject", "logout"])
async def test_a_process_does_not_trust_what_it_has_ended_itself(
    build: Callable[..., SessionManager], end: str
) -> None:
    browser = Browser(build(jti={"cache_ttl": 30}))
    await browser.log_in()
    await browser.visit()
    other, manager = browser.copy(), browser.manager
    if end == "revoke":
        await manager.revoke(browser.sid)
    elif end == "revoke_subject":
        await manager.revoke_subject("ann")
    else:
        await browser.log_out()
    assert (await other.visit()).is_new


@pytest.mark.parametrize("end", ["revoke", "revoke_subject"])
async def test_a_check_that_overlaps_a_revocation_in_its_process_is_not_trusted_afterwards(
    clock: FakeClock, end: str
) -> None:
    for seed in range(30):
        storage = Interleaved(MemoryStorage(clock=clock), seed)
        browser = Browser(make_manager(storage, clock, jti={"cache_ttl": 30}))
        await browser.log_in()
        manager = browser.manager
        ending = manager.revoke(browser.sid) if end == "revoke" else manager.revoke_subject("ann")
        await asyncio.gather(ending, *(manager.load(browser.cookies) for _ in range(5)))
        assert (await manager.load(browser.cookies)).is_new, f"seed {seed}"


async def test_a_refresh_token_is_never_judged_from_the_cache(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(jti={"cache_ttl": 30}))
    await browser.log_in()
    await browser.visit()
    await build().revoke(browser.sid)
    assert (await browser.refresh()).is_new


# --- token_use ---------------------------------------------------------------------------------------------------


async def test_with_token_use_refresh_an_access_token_lives_until_it_expires_but_writes_nothing_more(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(jti={"token_use": "refresh"}))
    await browser.log_in()
    assert "jti" not in browser.access
    record = await record_of(browser)
    assert (record.access_jti, record.refresh_jti) == (None, browser.refreshing["jti"])
    await browser.manager.revoke(browser.sid)
    assert not (await browser.copy().visit()).is_new
    writer = browser.copy()
    await writer.write(theme="dark")
    assert_deleted(writer, ACCESS, REFRESH)
    clock.advance(ACCESS_LIFETIME)
    assert type((await browser.visit()).rejected) is TokenRevoked


async def test_with_token_use_refresh_the_storage_is_not_asked_for_an_access_token(clock: FakeClock) -> None:
    storage = Interleaved(MemoryStorage(clock=clock))
    browser = Browser(make_manager(storage, clock, jti={"token_use": "refresh"}))
    await browser.log_in()
    storage.calls.clear()
    await browser.visit()
    assert storage.calls == []


async def test_with_token_use_access_a_refresh_token_has_no_jti_and_needs_the_record(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(jti={"token_use": "access"}))
    await browser.log_in()
    assert "jti" not in browser.refreshing
    record = await record_of(browser)
    assert (record.access_jti, record.refresh_jti) == (browser.access["jti"], None)
    assert record.expires_at == browser.refreshing["exp"]
    clock.advance(ACCESS_LIFETIME)
    await browser.visit()
    again = await record_of(browser)
    assert (again.previous_jti, again.rotated_at, again.access_jti) == (None, None, record.access_jti)
    assert await browser.is_logged_in()
    await browser.manager.revoke(browser.sid)
    assert type((await browser.refresh()).rejected) is TokenRevoked


async def test_a_single_token_with_a_storage_is_revocable(build: Callable[..., SessionManager]) -> None:
    browser = Browser(build(refresh_token=False))
    await browser.log_in()
    record = await record_of(browser)
    assert (record.access_jti, record.refresh_jti) == (browser.access["jti"], None)
    assert record.expires_at == browser.access["exp"]
    await browser.manager.revoke(browser.sid)
    assert type((await browser.visit()).rejected) is TokenRevoked
    assert_deleted(browser, ACCESS)


async def test_refresh_tokens_can_be_switched_on_for_sessions_that_live(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    before = Browser(build(refresh_token=False))
    await before.log_in()
    browser = before.copy(build())
    await browser.write(theme="dark")
    record = await record_of(browser)
    assert (record.access_jti, record.refresh_jti) == (browser.access["jti"], browser.refreshing["jti"])
    clock.advance(ACCESS_LIFETIME)
    assert not (await browser.visit()).is_new


# --- rotate=False ------------------------------------------------------------------------------------------------


async def test_without_rotation_a_refresh_gives_a_new_access_token_alone(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(refresh_token={"rotate": False}))
    await browser.log_in()
    kept, before = browser.cookies[REFRESH], await record_of(browser)
    for _ in range(3):
        clock.advance(ACCESS_LIFETIME)
        await browser.visit()
        assert set(browser.sent) == {ACCESS}
    after = await record_of(browser)
    assert browser.cookies[REFRESH] == kept
    assert (after.refresh_jti, after.previous_jti, after.rotated_at) == (before.refresh_jti, None, None)
    assert after.expires_at == before.expires_at


async def test_without_rotation_a_write_sends_both_tokens_under_the_same_ids(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser = Browser(build(refresh_token={"rotate": False}))
    await browser.log_in()
    before = browser.copy()
    clock.advance(ACCESS_LIFETIME)
    await browser.refresh(visits)
    assert browser.refreshing["jti"] == before.refreshing["jti"]
    assert browser.refreshing["visits"] == 1
    assert not (await before.refresh()).is_new


# --- require=false: a migration ----------------------------------------------------------------------------------


@pytest.fixture
async def migrant(build: Callable[..., SessionManager], clock: FakeClock) -> Browser:
    """A visitor whose tokens were made before jti was switched on, at a server that lets such pass."""
    before = Browser(make_manager(None, clock))
    await before.log_in(theme="dark")
    return before.copy(build(jti={"require": False}))


async def test_a_token_without_a_jti_is_refused_unless_it_is_a_migration(
    migrant: Browser, manager: SessionManager
) -> None:
    assert type((await migrant.copy(manager).visit()).rejected) is TokenClaimError
    assert not (await migrant.copy().visit()).is_new


@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_a_migrating_session_is_recorded_at_its_next_write(migrant: Browser, cookie: str) -> None:
    sid = migrant.sid
    await migrant.visit(visits, only=cookie)
    record = await record_of(migrant)
    assert (record.sid, record.subject, record.version) == (sid, "ann", 1)
    assert (record.access_jti, record.refresh_jti) == (migrant.access["jti"], migrant.refreshing["jti"])
    assert await migrant.is_logged_in()


async def test_once_recorded_a_migrant_is_revocable_by_its_new_tokens(migrant: Browser) -> None:
    await migrant.visit(visits)
    await migrant.manager.revoke(migrant.sid)
    assert type((await migrant.visit()).rejected) is TokenRevoked


async def test_a_burst_of_migrating_requests_makes_one_record_and_no_logout(clock: FakeClock, migrant: Browser) -> None:
    for seed in range(10):
        storage = Interleaved(MemoryStorage(clock=clock), seed)
        manager = make_manager(storage, clock, jti={"require": False})
        tabs = [migrant.copy(manager) for _ in range(20)]
        await asyncio.gather(*(tab.refresh(visits) for tab in tabs[:10]), *(tab.visit(visits) for tab in tabs[10:]))
        for tab in tabs:
            assert await tab.is_logged_in()
        assert len({(tab.access["jti"], tab.refreshing["jti"]) for tab in tabs}) == 1


async def test_during_a_migration_an_old_token_can_bring_back_what_was_ended(migrant: Browser) -> None:
    """The documented weakness: nothing tells a token without a jti that its session was ended."""
    old = migrant.copy()
    await migrant.visit(visits)
    await migrant.log_out()
    await old.visit(visits)
    assert await old.is_logged_in()


async def test_a_replay_is_a_replay_during_a_migration_too(migrant: Browser, clock: FakeClock) -> None:
    await migrant.visit(visits)
    thief = migrant.copy()
    await migrant.refresh()
    clock.advance(LEEWAY + 1)
    assert type((await thief.refresh()).rejected) is TokenReused
