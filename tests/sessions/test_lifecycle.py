"""How a session lives: it begins, is honoured, refreshed and rotated, and its record after each step."""

import asyncio
from collections.abc import Callable

import pytest
from support.browser import (
    ACCESS,
    ACCESS_LIFETIME,
    LEEWAY,
    REFRESH,
    REFRESH_LIFETIME,
    SECRET,
    ZONE,
    Browser,
    assert_untouched,
    leeway_begun,
    make_manager,
    record_of,
    visits,
)
from support.storages import FaultyStorage, Interleaved

from aiohttp_lionrock import (
    JtiRecord,
    MemoryStorage,
    Session,
    SessionManager,
    TokenExpired,
    TokenReused,
    TokenRevoked,
    TokenSuperseded,
)
from aiohttp_lionrock.testing import FakeClock
from aiohttp_lionrock.tokens.keys import KeyRing

# --- a session begins --------------------------------------------------------------------------------------------


async def test_a_visitor_without_cookies_gets_a_new_session_and_no_cookie(browser: Browser) -> None:
    session = await browser.visit()
    assert session.is_new
    assert session.rejected is None
    assert session.expires_at is None
    assert not browser.changes


async def test_the_text_of_a_header_is_not_the_cookies(browser: Browser) -> None:
    with pytest.raises(TypeError, match="a mapping of cookie names to values"):
        await browser.manager.load("name=value")  # type: ignore[arg-type]


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
        signer=KeyRing(SECRET.encode(), (SECRET.encode(),)).signer,
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


async def test_an_access_token_without_its_record_is_revoked_and_no_cookie_is_touched(
    browser: Browser, storage: MemoryStorage
) -> None:
    await browser.log_in()
    await storage.delete(browser.sid)
    session = await browser.visit()
    assert session.is_new
    assert_untouched(browser, session, TokenRevoked)
    assert type((await browser.visit()).rejected) is TokenRevoked


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
    after, now = await leeway_begun(browser), int(clock())
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
    rotated = await leeway_begun(browser)
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
    await leeway_begun(browser)
    clock.advance(LEEWAY + fraction)
    assert (await straggler.refresh()).rejected is None


@pytest.mark.parametrize("later", [LEEWAY + 1, ZONE])
async def test_after_the_leeway_the_previous_token_is_superseded_while_clocks_may_differ_so_much(
    browser: Browser, clock: FakeClock, later: int
) -> None:
    await browser.log_in()
    straggler = browser.copy()
    await browser.refresh()
    rotated = await leeway_begun(browser)
    clock.advance(later)
    session = await straggler.refresh(visits)
    assert session.is_new
    assert_untouched(straggler, session, TokenSuperseded)
    assert await record_of(browser) == rotated
    assert await browser.is_logged_in()


async def test_one_second_after_leeway_and_skew_the_previous_token_is_a_replay(
    browser: Browser, clock: FakeClock
) -> None:
    await browser.log_in()
    thief = browser.copy()
    await browser.refresh()
    await leeway_begun(browser)
    clock.advance(ZONE + 1)
    assert_untouched(thief, await thief.refresh(), TokenReused)
    assert_untouched(browser, await browser.visit(), TokenRevoked)
    assert_untouched(thief, await thief.refresh(), TokenRevoked)


@pytest.mark.parametrize(("later", "verdict"), [(LEEWAY, None), (LEEWAY + 1, TokenReused)])
async def test_without_a_skew_the_leeway_is_followed_by_replay_at_once(
    build: Callable[..., SessionManager], clock: FakeClock, later: int, verdict: type[TokenReused] | None
) -> None:
    browser = Browser(build(jti={"max_clock_skew": 0}))
    await browser.log_in()
    thief = browser.copy()
    await browser.refresh()
    await leeway_begun(browser)
    clock.advance(later)
    rejected = (await thief.refresh()).rejected
    assert (type(rejected) if rejected else None) is verdict


async def test_until_the_leeway_has_begun_the_previous_token_gets_its_successor_at_any_time(
    storage: MemoryStorage, clock: FakeClock
) -> None:
    """As after a process that ended between the rotation and its leeway: nobody knows what the client got."""
    faulty = FaultyStorage(storage)
    browser = Browser(make_manager(faulty, clock))
    await browser.log_in()
    lost = browser.copy()
    faulty.fail("replace", "before", skip=1, times=1000)
    await browser.refresh()
    assert (await record_of(browser)).rotated_at is None
    clock.advance(10 * ZONE)
    session = await lost.copy(make_manager(storage, clock)).refresh()
    assert session["sub"] == "ann"
    await browser.manager.aclose()


@pytest.mark.parametrize("leeway", [0, LEEWAY])
@pytest.mark.parametrize("ahead", [31, 600])
async def test_a_rotation_further_in_the_future_than_the_skew_is_superseded_and_no_verdict(
    build: Callable[..., SessionManager], clock: FakeClock, ahead: int, leeway: int
) -> None:
    browser = Browser(build(jti={"reuse_leeway": leeway}))
    await browser.log_in()
    straggler = browser.copy()
    clock.advance(ACCESS_LIFETIME)
    await browser.refresh()
    await leeway_begun(browser)
    clock.advance(-ahead)
    assert_untouched(straggler, await straggler.refresh(), TokenSuperseded)
    clock.advance(ahead)
    assert await browser.is_logged_in()


async def test_a_straggler_does_not_lengthen_the_leeway(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    straggler, second, thief = browser.copy(), browser.copy(), browser.copy()
    await browser.refresh()
    await leeway_begun(browser)
    clock.advance(LEEWAY)
    await straggler.refresh(visits)
    clock.advance(1)
    assert type((await second.refresh()).rejected) is TokenSuperseded
    clock.advance(ZONE - LEEWAY)
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
    await leeway_begun(browser)
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
    await leeway_begun(browser)
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
