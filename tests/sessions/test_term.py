"""How long a session lasts: a login's own term, idleness, sessions without a user, and the time of the login."""

import asyncio
from typing import Any

import pytest
from support.browser import ACCESS, REFRESH, Browser, claims

from aiohttp_lionrock import MemoryStorage, Session, SessionConfig, SessionManager, TokenExpired
from aiohttp_lionrock.testing import FakeClock

DAY = 86_400
HOUR = 3600
SECRET = "a secret for tests of terms, thirty-two bytes"


def browser_with(clock: FakeClock, *, stored: bool = True, **settings: Any) -> Browser:
    storage = MemoryStorage(clock=clock) if stored else None
    config = SessionConfig(**{"secret": SECRET, "refresh_token": True, **settings})
    return Browser(SessionManager(config, storage, clock=clock, environ={}))


def ages(browser: Browser) -> dict[str, int | None]:
    return {change.name: change.options.max_age for change in browser.changes if change.value is not None}


def log_in(session: Session) -> None:
    session.renew()
    session["sub"] = "ann"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


both_ways = pytest.mark.parametrize("stored", [True, False], ids=["stored", "stateless"])


@both_ways
async def test_a_login_lasts_as_long_as_its_handler_says(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored)
    began = clock()
    await browser.visit(log_in, lambda session: session.expire_in(90 * DAY))
    assert ages(browser) == {ACCESS: 90 * DAY, REFRESH: 90 * DAY}
    for _ in range(8):  # refreshed and rotated, and written now and then
        clock.advance(11 * DAY)
        session = await browser.refresh()
        assert session.subject == "ann"
        assert claims(browser.cookies[REFRESH])["exp"] == began + 90 * DAY
        assert ages(browser)[REFRESH] == began + 90 * DAY - clock()
    clock.advance(2 * DAY + 61)
    assert (await browser.refresh()).is_new


async def test_a_shorter_term_ends_every_token_and_the_record(clock: FakeClock) -> None:
    browser = browser_with(clock)
    await browser.visit(log_in, lambda session: session.expire_in(HOUR))
    assert {claims(token)["exp"] for token in browser.cookies.values()} == {clock() + HOUR}
    assert browser.manager.storage is not None
    record = await browser.manager.storage.get(browser.sid)
    assert record is not None
    assert record.expires_at == clock() + HOUR


@both_ways
async def test_a_term_ends_to_the_second_and_nothing_is_written_after_it(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored)
    await browser.visit(log_in, lambda session: session.expire_in(HOUR))
    clock.advance(HOUR - 1)
    assert (await browser.copy().visit()).subject == "ann"
    session = await browser.visit(lambda _: clock.advance(1), lambda session: session.update(theme="dark"))
    assert isinstance(session.rejected, TokenExpired)
    assert browser.changes == []
    for only in (ACCESS, REFRESH):
        assert (await browser.visit(only=only)).is_new


@both_ways
@pytest.mark.parametrize("limit", ["max_lifetime", "anonymous_lifetime"])
async def test_no_cookie_is_sent_for_a_session_whose_longest_time_passed_in_its_handler(
    clock: FakeClock, stored: bool, limit: str
) -> None:
    browser = browser_with(clock, stored=stored, **{limit: HOUR})
    await browser.write(cart=[])
    clock.advance(HOUR - 1)
    session = await browser.visit(lambda _: clock.advance(1), lambda session: session.update(cart=["tea"]))
    assert isinstance(session.rejected, TokenExpired)
    assert browser.changes == []


@both_ways
async def test_a_login_whose_term_passed_before_it_was_answered_is_none(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored)
    await browser.visit(log_in, lambda session: session.expire_in(5), lambda _: clock.advance(5))
    assert browser.changes == []
    assert (await browser.visit()).is_new
    if stored:
        assert await browser.manager.sessions("ann") == []


OLDER_ACTS: dict[str, tuple[Any, ...]] = {
    "reads": (),
    "writes": (lambda session: session.update(theme="dark"),),
    "renews": (Session.renew,),
}


@pytest.mark.parametrize("acts", OLDER_ACTS.values(), ids=OLDER_ACTS)
@pytest.mark.parametrize("only", [ACCESS, REFRESH])
async def test_no_cookie_from_before_a_shorter_term_outlives_it(
    clock: FakeClock, acts: tuple[Any, ...], only: str
) -> None:
    browser = browser_with(clock, clock_tolerance=0)
    await browser.log_in()
    older, oldest = browser.copy(), browser.copy()
    await browser.visit(lambda session: session.expire_in(HOUR))
    ends = clock() + HOUR
    clock.advance(HOUR - 600)
    assert (await older.visit(*acts, only=only)).subject == "ann"
    [record] = await browser.manager.sessions("ann")
    assert (record.expires_at, record.until) == (ends, ends)
    if older.changes:
        assert ages(older)[REFRESH] == 600
        assert older.refreshing["exp"] == ends
    clock.advance(600)
    for holder in (browser, older, oldest):
        assert not await holder.is_logged_in()
    assert await browser.manager.sessions("ann") == []


@pytest.mark.parametrize("lift", [lambda session: session.expire_in(None), Session.expire_at_close])
async def test_a_shorter_term_is_lifted_again(clock: FakeClock, lift: Any) -> None:
    browser = browser_with(clock)
    await browser.visit(log_in, lambda session: session.expire_in(HOUR))
    short = browser.copy()
    await browser.visit(lift)
    assert (await short.write(theme="dark")).subject == "ann"
    [record] = await browser.manager.sessions("ann")
    assert (record.expires_at, record.until) == (clock() + 30 * DAY, None)
    clock.advance(HOUR)
    assert (await browser.visit()).subject == "ann"
    assert (await short.visit()).is_new


async def test_a_login_does_not_take_over_the_end_of_the_session_before(clock: FakeClock) -> None:
    browser = browser_with(clock)
    await browser.log_in()
    older = browser.copy()
    await browser.visit(lambda session: session.expire_in(HOUR))
    await older.log_in()
    [record] = await browser.manager.sessions("ann")
    assert (record.expires_at, record.until) == (clock() + 30 * DAY, None)


async def test_a_term_is_bounded_by_max_lifetime(clock: FakeClock) -> None:
    browser = browser_with(clock, max_lifetime=7 * DAY)
    await browser.visit(log_in, lambda session: session.expire_in(90 * DAY))
    assert claims(browser.cookies[REFRESH])["exp"] == clock() + 7 * DAY
    assert ages(browser) == {ACCESS: 7 * DAY, REFRESH: 7 * DAY}


@both_ways
async def test_a_login_with_a_term_of_its_own_does_not_end_by_idleness(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored, idle_timeout=1800)
    await browser.visit(log_in, lambda session: session.expire_in(30 * DAY))
    assert ages(browser) == {ACCESS: 30 * DAY, REFRESH: 30 * DAY}
    clock.advance(20 * DAY)
    assert (await browser.refresh()).subject == "ann"
    await browser.visit(Session.expire_at_close)
    clock.advance(1801)
    assert (await browser.refresh()).is_new


@both_ways
async def test_a_login_until_the_browser_closes_has_no_max_age_and_keeps_it_so(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored, cookie_max_age=HOUR)
    await browser.visit(log_in, Session.expire_at_close)
    assert ages(browser) == {ACCESS: None, REFRESH: None}
    clock.advance(5 * HOUR)
    await browser.refresh()
    assert ages(browser) == {ACCESS: None, REFRESH: None}
    await browser.write(theme="dark")
    assert ages(browser) == {ACCESS: None, REFRESH: None}
    await browser.visit(lambda session: session.expire_in(None))
    assert ages(browser) == {ACCESS: HOUR, REFRESH: 30 * DAY}


async def test_the_term_of_a_user_who_was_left_is_not_the_next_ones(clock: FakeClock) -> None:
    browser = browser_with(clock)
    await browser.visit(log_in, lambda session: session.expire_in(90 * DAY))
    await browser.visit(lambda session: session.update(sub="bob"))
    assert ages(browser) == {ACCESS: None, REFRESH: 30 * DAY}


async def test_a_term_asked_before_the_login_stands(clock: FakeClock) -> None:
    browser = browser_with(clock)
    await browser.visit(lambda session: session.expire_in(DAY), log_in)
    assert ages(browser) == {ACCESS: DAY, REFRESH: DAY}


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "60"])
def test_what_is_not_a_time_is_no_term(seconds: Any) -> None:
    with pytest.raises(ValueError, match="expire_in must be a positive finite number of seconds"):
        Session().expire_in(seconds)


@pytest.mark.parametrize("seconds", [0, -1, 0.5])
def test_no_time_at_all_is_answered_with_what_may_be_meant(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"expire_at_close\(\).*invalidate\(\)"):
        Session().expire_in(seconds)


@pytest.mark.parametrize("refresh", [True, None], ids=["two tokens", "one token"])
@both_ways
async def test_an_idle_session_ends_to_the_second(clock: FakeClock, stored: bool, refresh: bool | None) -> None:
    browser = browser_with(clock, stored=stored, refresh_token=refresh, idle_timeout=1800)
    await browser.log_in()
    clock.advance(1799)
    other = browser.copy()
    assert (await other.visit()).subject == "ann"
    clock.advance(1)
    session = await browser.visit()
    assert session.is_new
    if refresh is None:
        assert isinstance(session.rejected, TokenExpired)


@pytest.mark.parametrize("refresh", [True, None], ids=["two tokens", "one token"])
@both_ways
async def test_a_session_in_use_does_not_end_and_is_written_once_in_the_interval(
    clock: FakeClock, stored: bool, refresh: bool | None
) -> None:
    browser = browser_with(clock, stored=stored, refresh_token=refresh, idle_timeout=1800, touch_interval=300)
    await browser.log_in()
    written = 0
    for _ in range(600):
        clock.advance(60)
        assert (await browser.visit()).subject == "ann"
        written += bool(browser.changes)
    assert written == 600 * 60 // 300


async def test_the_usual_interval_is_a_tenth_of_the_timeout(clock: FakeClock) -> None:
    browser = browser_with(clock, idle_timeout=1000)
    await browser.log_in()
    clock.advance(99)
    await browser.visit()
    assert not browser.changes
    clock.advance(1)
    await browser.visit()
    assert browser.changes


async def test_a_session_without_a_user_has_no_refresh_token_and_ends(clock: FakeClock) -> None:
    browser = browser_with(clock, anonymous_lifetime=HOUR)
    await browser.write(cart=["tea"])
    assert ages(browser).keys() == {ACCESS}
    clock.advance(HOUR - 1)
    assert (await browser.write(cart=["tea", "mug"]))["cart"] == ["tea", "mug"]
    clock.advance(1)
    assert (await browser.visit()).is_new


async def test_a_visitor_who_takes_the_place_of_a_user_leaves_no_refresh_token_of_that_user(clock: FakeClock) -> None:
    """As where a request came without the cookies: the user would be back once the visitor's session has ended."""
    browser = browser_with(clock, anonymous_lifetime=HOUR)
    await browser.log_in()
    without = Browser(browser.manager)
    await without.write(cart=["tea"])
    browser.receive(without.changes)
    assert browser.cookies.keys() == {ACCESS}


@both_ways
@pytest.mark.parametrize("max_age", [None, 900])
async def test_a_session_without_a_user_outlives_the_access_tokens_of_users(
    clock: FakeClock, stored: bool, max_age: int | None
) -> None:
    short = {"expires": 900, "cookie_max_age": max_age}
    browser = browser_with(clock, stored=stored, access_token=short, anonymous_lifetime=DAY)
    began = clock()
    await browser.write(cart=["tea"])
    assert ages(browser) == {ACCESS: max_age and DAY}
    clock.advance(DAY - HOUR)
    assert (await browser.write(cart=["tea", "mug"]))["cart"] == ["tea", "mug"]
    assert ages(browser) == {ACCESS: max_age and HOUR}
    assert browser.access["exp"] == began + DAY
    await browser.copy().log_in()
    clock.advance(HOUR)
    assert (await browser.visit()).is_new


async def test_the_one_token_of_a_visitor_lives_no_longer_than_a_refresh_token_would(clock: FakeClock) -> None:
    browser = browser_with(clock, refresh_token={"expires": 2 * DAY}, anonymous_lifetime=7 * DAY)
    await browser.write(cart=["tea"])
    clock.advance(DAY)
    await browser.write(cart=["mug"])
    assert browser.access["exp"] == clock() + 2 * DAY


@both_ways
async def test_an_access_token_of_a_user_is_not_honoured_for_as_long_as_a_visitors(
    clock: FakeClock, stored: bool
) -> None:
    browser = browser_with(clock, stored=stored, anonymous_lifetime=DAY)
    await browser.log_in()
    shorter = SessionConfig(
        secret=SECRET,
        access_token={"expires": 60},
        refresh_token=True,
        anonymous_lifetime=DAY,
        storage=browser.manager.storage,
    )
    later = browser.copy(SessionManager(shorter, clock=clock, environ={}))
    await later.visit()
    assert later.access["exp"] == clock() + 60
    await browser.visit(lambda session: session.expire_in(HOUR))
    assert not (await browser.copy(later.manager).visit(only=ACCESS)).is_new


async def test_a_login_out_of_a_session_without_a_user_begins_anew_with_both_tokens(clock: FakeClock) -> None:
    browser = browser_with(clock, anonymous_lifetime=HOUR)
    await browser.write(cart=["tea"])
    clock.advance(HOUR - 1)
    await browser.log_in()
    assert ages(browser).keys() == {ACCESS, REFRESH}
    clock.advance(5 * HOUR)
    assert (await browser.visit())["cart"] == ["tea"]


async def test_who_leaves_a_user_for_none_loses_the_refresh_cookie(clock: FakeClock) -> None:
    browser = browser_with(clock, anonymous_lifetime=HOUR)
    await browser.log_in()
    await browser.visit(lambda session: session.pop("sub"), lambda session: session.update(notice="bye"))
    assert browser.sent[REFRESH] is None
    assert (await browser.visit())["notice"] == "bye"


@both_ways
async def test_the_time_of_the_login_is_kept_until_the_next_proof(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored)
    await browser.write(cart=[])
    assert (await browser.visit()).authenticated_at is None
    await browser.log_in()
    at = clock()
    assert (await browser.visit()).authenticated_at == at
    clock.advance(5 * HOUR)
    assert (await browser.refresh()).authenticated_at == at
    await browser.visit(Session.renew)
    assert (await browser.visit()).authenticated_at == at
    await browser.visit(Session.authenticate)
    assert (await browser.visit()).authenticated_at == clock()
    clock.advance(10)
    await browser.visit(lambda session: session.update(sub="bob"))
    assert (await browser.visit()).authenticated_at == clock()
    await browser.visit(lambda session: session.pop("sub"), lambda session: session.update(notice="bye"))
    assert (await browser.visit()).authenticated_at is None


@both_ways
async def test_without_rotation_a_refresh_gives_an_access_token_of_the_usual_lifetime(
    clock: FakeClock, stored: bool
) -> None:
    browser = browser_with(clock, stored=stored, refresh_token={"rotate": False})
    await browser.visit(log_in, lambda session: session.expire_in(90 * DAY))
    clock.advance(3 * HOUR)
    await browser.refresh()
    assert browser.sent.keys() == {ACCESS}
    assert browser.access["exp"] == clock() + 2 * HOUR


@both_ways
async def test_without_rotation_no_access_token_outlives_the_refresh_token(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored, refresh_token={"rotate": False}, clock_tolerance=0)
    await browser.log_in()
    ends = clock() + 30 * DAY
    clock.advance(30 * DAY - HOUR)
    await browser.visit()
    assert browser.access["exp"] == ends
    clock.advance(HOUR)
    assert not await browser.is_logged_in()


async def test_a_visitor_whose_refresh_token_is_older_than_the_setting_is_no_thief(clock: FakeClock) -> None:
    browser = browser_with(clock)
    await browser.write(cart=["tea"])
    assert browser.manager.storage is not None
    config = SessionConfig(secret=SECRET, refresh_token=True, anonymous_lifetime=DAY, storage=browser.manager.storage)
    later = browser.copy(SessionManager(config, clock=clock, environ={}))
    for _ in range(3):
        clock.advance(3 * HOUR)
        assert (await later.refresh())["cart"] == ["tea"]
        await asyncio.sleep(0.01)  # a leeway would begin now
    clock.advance(DAY)
    assert isinstance((await later.refresh()).rejected, TokenExpired)


@both_ways
async def test_a_proof_counts_for_the_login_that_follows_a_logout_and_not_for_nobody(
    clock: FakeClock, stored: bool
) -> None:
    browser = browser_with(clock, stored=stored)
    await browser.log_in()
    clock.advance(10)
    await browser.visit(Session.authenticate, Session.invalidate, lambda session: session.update(sub="bob"))
    assert (await browser.visit()).authenticated_at == clock()
    await browser.visit(
        Session.authenticate, lambda session: session.pop("sub"), lambda session: session.update(notice="bye")
    )
    assert (await browser.visit()).authenticated_at is None


@both_ways
async def test_a_login_has_a_term_of_its_own_and_not_that_of_the_login_before(clock: FakeClock, stored: bool) -> None:
    browser = browser_with(clock, stored=stored)
    await browser.visit(log_in, lambda session: session.expire_in(HOUR))
    clock.advance(HOUR - 60)
    await browser.visit(Session.renew)
    assert ages(browser) == {ACCESS: 60, REFRESH: 60}
    await browser.visit(log_in)
    assert ages(browser) == {ACCESS: None, REFRESH: 30 * DAY}


@both_ways
async def test_without_rotation_each_refresh_counts_as_a_use(clock: FakeClock, stored: bool) -> None:
    settings: dict[str, Any] = {"access_token": {"expires": 900}, "refresh_token": {"rotate": False}}
    browser = browser_with(clock, stored=stored, idle_timeout=1800, **settings)
    await browser.log_in()
    for _ in range(10):
        clock.advance(970)
        assert (await browser.visit()).subject == "ann"
