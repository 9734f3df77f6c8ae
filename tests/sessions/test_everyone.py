"""Everyone out: what `revoke_all` ends, what lives on, and that every way to look at a session agrees."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_sqlite import SqliteStorage
from support.browser import (
    ACCESS,
    REFRESH,
    SECRET,
    ZONE,
    Browser,
    assert_deleted,
    assert_untouched,
    claims,
    make_manager,
)

from aiohttp_lionrock import (
    ConfigError,
    JtiRecord,
    JtiStorage,
    MemoryStorage,
    Session,
    SessionConfig,
    SessionLimitReached,
    SessionManager,
    TokenRevoked,
    TokenSuperseded,
)
from aiohttp_lionrock.sessions.everyone import mark_of
from aiohttp_lionrock.testing import FakeClock
from aiohttp_lionrock.tokens.codec import TokenCodec
from aiohttp_lionrock.tokens.keys import KeyRing

Make = Callable[[], JtiStorage]


@pytest.fixture(params=["memory", "sqlite", "mongodb"])
def make_storage(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Make:
    """Makes the one storage of a test, or opens it again as a process that starts does."""
    if request.param == "memory":
        memory = MemoryStorage(clock=clock)
        return lambda: memory
    if request.param == "sqlite":
        return lambda: SqliteStorage(tmp_path / "sessions.db", clock=clock)
    url = request.getfixturevalue("standalone_database")

    def connect() -> JtiStorage:
        storage = MongoStorage.from_url(url)
        storage.clock = clock
        return storage

    return connect


@pytest.fixture
async def storage(make_storage: Make) -> AsyncIterator[JtiStorage]:  # type: ignore[override]
    async with make_storage() as storage:
        yield storage


@pytest.fixture
async def build(storage: JtiStorage, clock: FakeClock) -> AsyncIterator[Callable[..., SessionManager]]:
    """Makes managers on the one storage and clock of this test."""
    made: list[SessionManager] = []

    def build(**settings: Any) -> SessionManager:
        made.append(make_manager(storage, clock, **settings))
        return made[-1]

    yield build
    for manager in made:
        await manager.aclose()


async def logged_in(manager: SessionManager, sub: str = "ann") -> Browser:
    browser = Browser(manager)
    await browser.log_in(sub)
    return browser


async def assert_out(browser: Browser) -> None:
    """Neither cookie is honoured, and both are left where they are."""
    for name in browser.cookies:
        assert_untouched(browser, await browser.visit(only=name), TokenRevoked)
    assert_untouched(browser, await browser.visit(), TokenRevoked)


# --- who is out --------------------------------------------------------------------------------------------------


async def test_everyone_is_out_and_who_logs_in_afterwards_stays_while_the_clock_stands_still(
    manager: SessionManager,
) -> None:
    for _ in range(3):
        browsers = [await logged_in(manager, sub) for sub in ("ann", "ann", "bob")]
        visitor = Browser(manager)
        await visitor.write(cart=["book"])
        assert [await browser.is_logged_in() for browser in (*browsers, visitor)] == [True] * 4
        await manager.revoke_all()
        for browser in (*browsers, visitor):
            await assert_out(browser)
        again = await logged_in(manager)
        assert await again.is_logged_in()
        assert [record.sid for record in await manager.sessions("ann")] == [again.sid]


@pytest.mark.parametrize(("seconds", "lives"), [(-60, False), (-1, False), (0, False), (0.9, False), (1, True)])
async def test_those_are_out_that_began_up_to_the_time(
    manager: SessionManager, clock: FakeClock, seconds: float, lives: bool
) -> None:
    before = clock()
    clock.advance(seconds)
    browser = await logged_in(manager)
    clock.advance(100)
    assert await manager.revoke_all(before) == before
    assert await browser.is_logged_in() is lives


async def test_an_earlier_time_takes_nothing_back(manager: SessionManager, clock: FakeClock) -> None:
    browser = await logged_in(manager)
    over = await manager.revoke_all()
    assert await manager.revoke_all(clock() - 1000) == over
    assert await manager.revoke_all(0) == over
    await assert_out(browser)


async def test_a_renewal_does_not_make_a_session_younger(manager: SessionManager, clock: FakeClock) -> None:
    browser, other = await logged_in(manager), await logged_in(manager)
    clock.advance(10)
    await browser.visit(Session.renew)
    await other.log_in(theme="dark")
    await manager.revoke_all(clock() - 5)
    await assert_out(browser)
    assert await other.is_logged_in()  # who it is was proved again


async def test_writes_and_refreshes_do_not_make_a_session_younger(manager: SessionManager, clock: FakeClock) -> None:
    browser = await logged_in(manager)
    clock.advance(ZONE + 10)
    await browser.refresh()
    await browser.write(theme="dark")
    await manager.revoke_all(clock() - 5)
    await assert_out(browser)


async def test_a_restart_changes_nothing(make_storage: Make, manager: SessionManager, clock: FakeClock) -> None:
    browser = await logged_in(manager)
    await manager.revoke_all()
    await manager.aclose()
    async with make_storage() as storage, make_manager(storage, clock) as restarted:
        await assert_out(browser.copy(restarted))
        assert await (await logged_in(restarted)).is_logged_in()


async def test_no_purge_removes_what_everyone_is_out_by(
    manager: SessionManager, storage: JtiStorage, clock: FakeClock
) -> None:
    over = await manager.revoke_all()
    clock.advance(20 * 365 * 24 * 3600)
    await manager.purge()
    record = await storage.get(mark_of(None))
    assert record is not None
    assert record.created_at == over


# --- what was loaded before --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda session: session.update(theme="dark"),
        lambda session: session.describe(place="here"),
        Session.renew,
        lambda session: (session.renew(), session.update(sub="ann")),
    ],
    ids=["write", "label", "renewal", "login of the same user"],
)
@pytest.mark.parametrize("only", [None, REFRESH])
async def test_what_was_loaded_before_is_not_saved_afterwards(
    manager: SessionManager, act: Callable[[Session], object], only: str | None
) -> None:
    browser = await logged_in(manager)
    brought = {name: value for name, value in browser.cookies.items() if only in (None, name)}
    session = await manager.load(brought)
    await asyncio.create_task(manager.revoke_all(), context=Context())  # by another request
    act(session)
    assert await manager.save(session) == []
    assert type(session.rejected) is TokenRevoked
    async with asyncio.timeout(5):
        while await manager.sessions("ann"):  # what was begun for a login is taken back
            await asyncio.sleep(0)
    assert manager.stats["renewed"] == manager.stats["refreshed"] == 0


async def test_a_visitor_of_before_may_still_log_in(manager: SessionManager) -> None:
    browser = Browser(manager)
    await browser.write(cart=["book"])
    session = await manager.load(browser.cookies)
    await manager.revoke_all()
    session["sub"] = "ann"
    browser.receive(await manager.save(session))
    assert dict(await browser.visit()) == {"cart": ["book"], "sub": "ann"}


async def test_a_logout_of_before_still_deletes_the_cookies(manager: SessionManager) -> None:
    browser = await logged_in(manager)
    session = await manager.load(browser.cookies)
    await manager.revoke_all()
    session.invalidate()
    browser.receive(await manager.save(session))
    assert_deleted(browser, ACCESS, REFRESH)
    assert manager.stats["ended"] == 0


# --- nobody is called a thief ------------------------------------------------------------------------------------


async def test_an_old_refresh_token_is_of_an_ended_session_and_no_replay(
    manager: SessionManager, clock: FakeClock
) -> None:
    browser = await logged_in(manager)
    old = browser.copy()
    for _ in range(2):
        clock.advance(ZONE + 1)
        await browser.refresh()
    await manager.revoke_all()
    assert_untouched(old, await old.refresh(), TokenRevoked)
    assert manager.stats["reused"] == manager.stats["ended"] == 0


async def test_a_token_of_a_session_renewed_a_moment_ago_is_superseded_and_leads_nowhere(
    manager: SessionManager,
) -> None:
    browser = await logged_in(manager)
    old = browser.copy()
    await browser.visit(Session.renew)
    await manager.revoke_all()
    assert_untouched(old, await old.visit(), TokenSuperseded)
    assert not await manager.revoke(str(claims(old.cookies[REFRESH])["sid"]))
    await assert_out(browser)


async def test_a_token_with_the_reserved_sid_is_refused_and_ends_nothing(
    manager: SessionManager, build: Callable[..., SessionManager], storage: JtiStorage, clock: FakeClock
) -> None:
    browser = await logged_in(manager)
    await manager.revoke_all()
    await browser.visit()
    await build().revoke_all()
    now, key = int(clock()), SECRET.encode()
    payload = {"id": "i", "sid": mark_of(None), "iat": now, "exp": now + 60, "jti": "j", "token_use": "refresh"}
    forged = TokenCodec(manager.config).sign(payload, KeyRing(key, (key,)))
    assert type((await manager.load({REFRESH: forged})).rejected) is TokenRevoked
    assert not await manager.revoke(mark_of(None))
    assert await storage.get(mark_of(None)) is not None
    await assert_out(browser)


# --- everything agrees -------------------------------------------------------------------------------------------


async def test_those_who_are_out_are_not_listed_and_not_revoked_again(
    manager: SessionManager, storage: JtiStorage
) -> None:
    first, second = await logged_in(manager), await logged_in(manager)
    await manager.revoke_all()
    again = await logged_in(manager)
    assert [record.sid for record in await manager.sessions("ann")] == [again.sid]
    assert not await manager.revoke(first.sid)
    assert not await manager.revoke(second.sid, subject="ann")
    with pytest.raises(ValueError, match="no session has the sid"):
        await manager.revoke_subject("ann", keep=second.sid)
    await logged_in(manager)
    assert await manager.revoke_subject("ann", keep=again.sid) == 1
    assert await again.is_logged_in()
    assert [record.sid for record in await storage.list_subject("ann")] == [again.sid]
    assert manager.stats["ended"] == 1


@pytest.mark.parametrize("when_full", ["refuse", "oldest"])
async def test_those_who_are_out_do_not_count_against_the_cap(
    build: Callable[..., SessionManager], clock: FakeClock, when_full: str
) -> None:
    manager, elsewhere = (build(max_sessions=2, when_full=when_full) for _ in range(2))
    old = [await logged_in(manager) for _ in range(2)]
    await elsewhere.revoke_all()
    clock.advance(1)
    new = [await logged_in(manager) for _ in range(2)]
    assert [await browser.is_logged_in() for browser in (*old, *new)] == [False, False, True, True]
    clock.advance(1)
    if when_full == "refuse":
        with pytest.raises(SessionLimitReached):
            await logged_in(manager)
    else:
        assert await (await logged_in(manager)).is_logged_in()
        assert len(await manager.sessions("ann")) == 2


async def test_who_watches_is_told_at_once_where_everyone_was_put_out(
    manager: SessionManager, clock: FakeClock
) -> None:
    ended: list[str] = []
    browser, visitor = await logged_in(manager), Browser(manager)
    await visitor.write(cart=[])
    for one in (browser, visitor):
        manager.watch(await one.visit(), ended.append, every=3600)
    await manager.revoke_all(clock() - 1)
    assert ended == []
    await manager.revoke_all()
    assert ended == ["ended elsewhere"] * 2


# --- what cannot be asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [-1, float("nan"), float("inf"), True, "now", 4_000_000_301, 4_000_000_000_000])
async def test_a_time_that_is_none_or_far_ahead_is_refused(manager: SessionManager, before: Any) -> None:
    browser = await logged_in(manager)
    with pytest.raises(ValueError, match="before"):
        await manager.revoke_all(before)
    assert await browser.is_logged_in()


async def test_a_time_ahead_for_servers_whose_clocks_are_ahead_lets_everybody_in_again(
    build: Callable[..., SessionManager], clock: FakeClock, storage: JtiStorage
) -> None:
    manager = build(clock_tolerance=60)
    ahead = make_manager(storage, lambda: clock() + 20)
    early = await logged_in(ahead)
    await manager.revoke_all(clock() + 30)
    await assert_out(early.copy(manager))
    late = await logged_in(manager)
    clock.advance(1)
    assert await late.is_logged_in()
    assert await late.copy(build()).is_logged_in()  # by a server that knows nothing of before
    await manager.revoke_all()
    await assert_out(late)


async def test_without_a_storage_nobody_can_be_put_out() -> None:
    manager = SessionManager(SessionConfig(secret=SECRET), environ={})
    calls = {"purge": (), "revoke": ("x",), "revoke_all": (), "revoke_subject": ("ann",), "sessions": ("ann",)}
    for call, arguments in calls.items():
        with pytest.raises(ConfigError, match=rf'^{call}\(\) works only with a storage: .*"sqlite:///sessions.db"'):
            await getattr(manager, call)(*arguments)


async def test_access_tokens_that_ask_nobody_live_on_until_they_expire(build: Callable[..., SessionManager]) -> None:
    manager = build(jti={"token_use": "refresh"})
    browser = await logged_in(manager)
    await manager.revoke_all()
    assert not (await browser.visit()).is_new
    assert_untouched(browser, await browser.refresh(), TokenRevoked)


async def test_the_record_is_one_and_names_nobody(manager: SessionManager, storage: JtiStorage) -> None:
    over = await manager.revoke_all()
    assert await storage.get(mark_of(None)) == JtiRecord(
        mark_of(None), version=1, expires_at=253_402_300_799, created_at=over
    )
