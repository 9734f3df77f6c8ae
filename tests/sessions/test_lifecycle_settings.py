"""What settings make of a session's life: max_lifetime, jti.cache_ttl, jti.token_use, rotate."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.browser import (
    ACCESS,
    ACCESS_LIFETIME,
    LEEWAY,
    REFRESH,
    SECRET,
    Browser,
    assert_untouched,
    leeway_begun,
    make_manager,
    record_of,
    visits,
)
from support.storages import Interleaved

from aiohttp_lionrock import (
    ConfigError,
    MemoryStorage,
    Session,
    SessionConfig,
    SessionManager,
    SessionTooLarge,
    TokenClaimError,
    TokenExpired,
    TokenRevoked,
)
from aiohttp_lionrock.testing import FakeClock

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


@pytest.mark.parametrize("limit", ["max_lifetime", "anonymous_lifetime"])
async def test_a_renewal_gives_no_second_life_and_a_login_does(
    build: Callable[..., SessionManager], clock: FakeClock, limit: str
) -> None:
    browser = Browser(build(**{limit: 1500, "access_token": {"expires": 1500}}))
    await browser.write(cart=["tea"])
    clock.advance(1000)
    await browser.visit(Session.renew)
    clock.advance(500)
    assert (await browser.visit()).is_new
    await browser.write(cart=["mug"])
    clock.advance(1000)
    await browser.log_in()
    clock.advance(1499)
    assert (await browser.visit())["cart"] == ["mug"]


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
    await leeway_begun(browser)
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


async def test_a_clock_that_is_set_back_does_not_lengthen_trust(
    build: Callable[..., SessionManager], clock: FakeClock
) -> None:
    browser, other = Browser(build(jti={"cache_ttl": 5})), build()
    await browser.log_in()
    clock.advance(500)
    await browser.visit(only=ACCESS)
    await other.revoke(browser.sid)
    clock.advance(-400)
    assert_untouched(browser, await browser.visit(only=ACCESS), TokenRevoked)


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
    session = await browser.write(theme="dark")
    assert_untouched(browser, session, TokenRevoked)
    assert browser.manager.storage is not None
    assert await browser.manager.storage.get(browser.sid) is None


@pytest.mark.parametrize("end", ["revoke", "revoke_subject", "logout", "renewal", "another user", "nobody"])
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
    elif end == "logout":
        await browser.log_out()
    elif end == "renewal":
        await browser.visit(Session.renew)
    else:
        await browser.write(sub="bob" if end == "another user" else None, theme="dark")
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
    session = await writer.write(theme="dark")
    assert_untouched(writer, session, TokenRevoked)
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
    assert_untouched(browser, await browser.visit(), TokenRevoked)


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


@pytest.mark.parametrize(
    ("storage", "name"),
    [("sqlite:///x.db?busy_timeout=2", "busy_timeout of 2 s"), ("mongodb://h/app?timeout=3", "timeout of 3 s")],
)
def test_a_storage_that_may_wait_for_longer_than_its_manager_is_refused(storage: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"the storage's {name} must be shorter than storage_timeout, 2 s"):
        SessionManager(SessionConfig(secret=SECRET, storage=storage), environ={})
    assert SessionManager(SessionConfig(secret=SECRET, storage=storage, storage_timeout=3.5), environ={}).storage


@pytest.mark.parametrize("storage", ["memory://", "sqlite:///x.db", "mongodb://h/app"])
def test_a_storage_as_it_comes_goes_with_any_storage_timeout(storage: str) -> None:
    assert SessionManager(SessionConfig(secret=SECRET, storage=storage, storage_timeout=0.1), environ={}).storage


# --- subject_key -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["sub", "account"])
async def test_a_session_from_before_another_subject_key_is_its_users_once_it_is_written(
    build: Callable[..., SessionManager], clock: FakeClock, before: str
) -> None:
    old = Browser(build(subject_key=before))
    await old.log_in("ann", user_id=7)
    browser = old.copy(build(subject_key="user_id"))
    clock.advance(ACCESS_LIFETIME)
    await browser.refresh()
    assert [record.sid for record in await browser.manager.sessions(7)] == [browser.sid]
    assert await browser.manager.revoke_subject(7) == 1
    assert not await browser.is_logged_in()


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "stateless"])
@pytest.mark.parametrize("only", [ACCESS, REFRESH])
@pytest.mark.parametrize("after", ["user_id", lambda data: data.get("account", {}).get("id")], ids=["key", "function"])
async def test_nothing_of_a_user_under_another_subject_key_goes_along_to_the_next_one(
    storage: MemoryStorage, clock: FakeClock, stored: bool, only: str, after: Any
) -> None:
    kept_in = storage if stored else None
    old = Browser(make_manager(kept_in, clock))
    await old.log_in("ann", cart=["her own"])
    browser = old.copy(make_manager(kept_in, clock, subject_key=after))
    session = await browser.visit(only=only)
    assert_untouched(browser, session, TokenClaimError)
    assert dict(session) == {}
    bob = {"user_id": 8, "account": {"id": 8}}
    await browser.visit(lambda session: session.update(bob), only=only)
    assert dict(await browser.visit()) == bob
    assert dict(await old.visit()) == {"sub": "ann", "cart": ["her own"]}


async def test_a_visitor_goes_on_under_another_subject_key(build: Callable[..., SessionManager]) -> None:
    visitor = Browser(build())
    await visitor.visit(Session.authenticate, lambda session: session.update(cart=["tea"]))
    browser = visitor.copy(build(subject_key="user_id"))
    await browser.visit(lambda session: session.update(user_id=7))
    assert dict(await browser.visit()) == {"cart": ["tea"], "user_id": 7}


async def test_a_token_that_the_applications_own_function_cannot_read_is_refused_and_a_login_works(
    build: Callable[..., SessionManager], caplog: pytest.LogCaptureFixture
) -> None:
    old = Browser(build(subject_key=lambda data: "ann"))
    await old.write(account=None)
    browser = old.copy(build(subject_key=lambda data: data.get("account", {}).get("id")))
    refused = await browser.visit()
    assert isinstance(refused.rejected, TokenClaimError)
    assert "subject_key failed" in caplog.text
    await browser.write(account={"id": 7})
    assert (await browser.visit()).subject == "7"


async def test_a_function_that_changes_the_data_it_is_given_changes_no_session(
    build: Callable[..., SessionManager],
) -> None:
    browser = Browser(build(subject_key=lambda data: data.get("account", {}).pop("id", None)))
    await browser.write(account={"id": 7})
    for _ in range(3):
        assert (await browser.visit())["account"] == {"id": 7}


async def full(manager: SessionManager) -> Browser:
    """A login whose cookies are as large as may be."""
    browser = Browser(manager)
    await browser.log_in(note="x" * 1890)
    return browser


@pytest.mark.parametrize(
    "settings", [{"max_lifetime": 90 * 86400}, {"idle_timeout": 86400}, {"max_cookies_length": 5900}]
)
@pytest.mark.parametrize("resave", [False, True])
async def test_a_session_that_no_longer_fits_is_read_as_before_and_only_a_change_is_refused(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], resave: bool
) -> None:
    storage = MemoryStorage(clock=clock)
    browser = await full(make_manager(storage, clock))
    browser.manager = make_manager(storage, clock, resave=resave, **settings)
    for _ in range(3):
        clock.advance(ACCESS_LIFETIME + 1)
        session = await browser.visit()
        assert (session.subject, browser.changes) == ("ann", [])
    [line] = caplog.messages
    assert line.startswith("sessions are too large to be refreshed under these settings, and will end: ")
    for act in (lambda session: session.update(theme="dark"), Session.changed, Session.renew):
        with pytest.raises(SessionTooLarge):
            await browser.visit(act)
    await browser.visit(lambda session: session.update(note="short"))
    assert (await browser.visit())["note"] == "short"
