"""Requests that overlap: every storage call gives way to the others, in an order that a seed repeats."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pytest
from support.browser import (
    ACCESS,
    ACCESS_LIFETIME,
    LEEWAY,
    REFRESH,
    ZONE,
    Browser,
    assert_untouched,
    claims,
    leeway_begun,
    make_manager,
)
from support.storages import Interleaved, Wrapper

from aiohttp_lionrock import (
    JtiEvent,
    JtiRecord,
    MemoryStorage,
    Session,
    SessionManager,
    StorageUnavailable,
    TokenReused,
    TokenRevoked,
    TokenSuperseded,
)
from aiohttp_lionrock.testing import FakeClock

BURST = 50
SEEDS = range(25)


class World:
    """One storage, two server processes on it, one clock, and everything that was ever sent to a client."""

    def __init__(self, seed: int = 0, **settings: object) -> None:
        self.clock = FakeClock()
        self.random = random.Random(seed)
        self.storage = Interleaved(MemoryStorage(clock=self.clock), seed)
        self.managers = [make_manager(self.storage, self.clock, **settings) for _ in range(2)]
        self.replays: list[JtiEvent] = []
        for manager in self.managers:
            manager.on_reuse.append(self._hear)

    async def _hear(self, event: JtiEvent) -> None:
        self.replays.append(event)

    def server(self) -> SessionManager:
        return self.random.choice(self.managers)

    def browser(self) -> Browser:
        return Browser(self.managers[0])

    def tabs(self, browser: Browser, count: int = BURST) -> list[Browser]:
        """Requests of one browser, each to a server by chance."""
        return [browser.copy(self.server()) for _ in range(count)]

    def chain(self, sid: str) -> list[str | None]:
        """The refresh ids that a session's record held, one after the other. Fails where the chain forks."""
        chain: list[str | None] = []
        for record in self.storage.stored:
            if record.sid == sid and record.refresh_jti not in (None, *chain[-1:]):
                if chain:
                    assert record.previous_jti == chain[-1]
                assert record.refresh_jti not in chain
                chain.append(record.refresh_jti)
        return chain


async def settle() -> None:
    """Lets what runs in the background come to its end."""
    for _ in range(200):
        await asyncio.sleep(0)


def write(session: Session) -> None:
    if not session.is_new:  # else a session of its own would begin, and hide what became of this one
        session["written"] = session.get("written", 0) + 1


def label(session: Session) -> None:
    if not session.is_new:
        session.describe(place="here")


def refresh_tokens(browsers: Iterable[Browser]) -> set[str]:
    return {browser.cookies[REFRESH] for browser in browsers}


# --- bursts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
async def test_a_burst_with_one_expired_access_token_gets_one_successor(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    world.clock.advance(ACCESS_LIFETIME)
    tabs = world.tabs(browser)
    sessions = await asyncio.gather(*(tab.visit() for tab in tabs))
    assert [dict(session) for session in sessions] == [{"sub": "ann"}] * BURST
    assert len(refresh_tokens(tabs)) == 1
    assert len(world.chain(browser.sid)) == 2
    assert all([await tab.is_logged_in() for tab in tabs])
    assert not world.replays


@pytest.mark.parametrize("seed", range(5))
async def test_a_burst_that_runs_over_several_seconds_gets_one_refresh_id_and_one_token_a_second(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    world.clock.advance(ACCESS_LIFETIME)

    async def pass_time() -> None:
        for _ in range(LEEWAY):
            await asyncio.sleep(0)
            world.clock.advance(1)

    tabs = world.tabs(browser, 20)
    await asyncio.gather(pass_time(), *(tab.visit() for tab in tabs))
    assert len(world.chain(browser.sid)) == 2
    assert {tab.refreshing["jti"] for tab in tabs} == {world.chain(browser.sid)[-1]}
    assert len(refresh_tokens(tabs)) == len({tab.refreshing["iat"] for tab in tabs})
    assert all([await tab.is_logged_in() for tab in tabs])
    assert not world.replays


@pytest.mark.parametrize("seed", range(5))
async def test_a_burst_that_also_writes_shares_one_refresh_id_and_logs_nobody_out(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    world.clock.advance(ACCESS_LIFETIME)
    tabs = world.tabs(browser)
    await asyncio.gather(*(tab.visit(write) for tab in tabs))
    assert len({tab.refreshing["jti"] for tab in tabs}) == 1
    assert len(world.chain(browser.sid)) == 2
    assert all([await tab.is_logged_in() for tab in tabs])


async def test_without_a_leeway_a_burst_judged_before_the_rotation_still_shares_one_successor() -> None:
    world = World(jti={"reuse_leeway": 0})
    browser = world.browser()
    await browser.log_in()
    loaded = await asyncio.gather(*(world.server().load({REFRESH: browser.cookies[REFRESH]}) for _ in range(BURST)))
    saved = await asyncio.gather(*(world.server().save(session) for session in loaded))
    assert len({change.value for changes in saved for change in changes if change.name == REFRESH}) == 1
    assert not world.replays


@pytest.mark.parametrize("seed", SEEDS)
async def test_writes_that_race_a_rotation_leave_every_token_good(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    writers = world.tabs(browser, 10)
    refreshers = world.tabs(browser, 10)
    await asyncio.gather(*(tab.visit(write) for tab in writers), *(tab.refresh() for tab in refreshers))
    assert len(world.chain(browser.sid)) == 2
    assert all([await tab.is_logged_in() for tab in writers + refreshers])
    assert not world.replays


async def test_labels_that_are_set_at_once_are_all_kept() -> None:
    world = World(1)
    browser = world.browser()
    await browser.log_in()
    tabs = world.tabs(browser)
    await asyncio.gather(
        *(tab.visit(lambda session, n=n: session.describe(**{f"label{n}": "x"})) for n, tab in enumerate(tabs))
    )
    [record] = await world.managers[0].sessions("ann")
    assert len(record.metadata) == BURST


# --- endings that race -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_refresh", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_logout_wins_over_fifty_writes(seed: int, by_refresh: bool) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    sid, tabs = browser.sid, world.tabs(browser)
    world.random.shuffle(tabs)
    writes = [tab.refresh(write) if by_refresh else tab.visit(write) for tab in tabs]
    outcomes = await asyncio.gather(*writes[:25], browser.log_out(), *writes[25:])
    sessions = outcomes[:25] + outcomes[26:]
    assert await world.storage.inner.get(sid) is None
    assert not browser.cookies
    for tab, session in zip(tabs, sessions, strict=True):
        if session.rejected is None:
            assert set(tab.sent) == {ACCESS, REFRESH}
            assert None not in tab.sent.values()
        else:
            assert_untouched(tab, session, TokenRevoked)
        assert not await tab.is_logged_in()
    assert not world.replays


@pytest.mark.parametrize("seed", SEEDS)
async def test_revoke_all_that_races_logins_leaves_only_later_logins_and_lists_each(seed: int) -> None:
    world = World(seed)
    before = [world.browser() for _ in range(5)]
    for browser in before:
        await browser.log_in()
    during = [Browser(world.server()) for _ in range(10)]
    await asyncio.gather(
        *(browser.log_in() for browser in during[:5]),
        world.server().revoke_subject("ann"),
        *(browser.log_in() for browser in during[5:]),
    )
    await settle()
    listed = {record.sid for record in await world.managers[0].sessions("ann")}
    assert not any([await browser.is_logged_in() for browser in before])
    for browser in during:
        assert await browser.is_logged_in() == (browser.sid in listed)
    await world.server().revoke_subject("ann")
    assert not any([await browser.is_logged_in() for browser in during])


@pytest.mark.parametrize("by_refresh", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_revocation_that_races_a_renewal_ends_the_session_either_way(seed: int, by_refresh: bool) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    old = browser.copy()
    renewal = browser.refresh(Session.renew) if by_refresh else browser.visit(Session.renew)
    revoked, session = await asyncio.gather(world.server().revoke(browser.sid), renewal)
    await settle()
    assert revoked
    assert await world.managers[0].sessions("ann") == []
    assert not await browser.is_logged_in()
    assert not await old.is_logged_in()
    if session.rejected is None:
        assert browser.sid != old.sid
    else:
        assert_untouched(browser, session, TokenRevoked)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_renewal_that_races_revoke_all_leaves_no_session_that_nobody_holds(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    await asyncio.gather(browser.visit(Session.renew), world.server().revoke_subject("ann"))
    await settle()
    listed = [record.sid for record in await world.managers[0].sessions("ann")]
    assert listed == ([browser.sid] if browser.cookies and await browser.is_logged_in() else [])


@pytest.mark.parametrize("seed", SEEDS)
async def test_two_renewals_of_one_session_leave_one_session(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    tabs = world.tabs(browser, 2)
    sessions = await asyncio.gather(*(tab.visit(Session.renew) for tab in tabs))
    await settle()
    [record] = await world.managers[0].sessions("ann")
    [(loser, refused)] = [pair for pair in zip(tabs, sessions, strict=True) if pair[1].rejected is not None]
    assert_untouched(loser, refused, TokenSuperseded)
    assert [tab.sid for tab in tabs if tab is not loser] == [record.sid]
    assert record.sid != browser.sid
    for tab in tabs:
        assert await tab.is_logged_in() == (tab is not loser)


@pytest.mark.parametrize("is_logged_in", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
async def test_two_logins_at_once_are_both_delivered(seed: int, is_logged_in: bool) -> None:
    world = World(seed)
    browser = world.browser()
    if is_logged_in:
        await browser.log_in(theme="dark")
    else:
        await browser.write(cart=["book"])
    tabs = world.tabs(browser, 2)
    await asyncio.gather(*(tab.log_in() for tab in tabs))
    await settle()
    assert {record.sid for record in await world.managers[0].sessions("ann")} == {tab.sid for tab in tabs}
    for tab in tabs:
        assert set(tab.sent) == {ACCESS, REFRESH}
        assert await tab.is_logged_in()


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_login_of_who_is_logged_in_does_not_outlive_a_revocation_beside_it(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    session = await browser.manager.load(browser.cookies)
    session.renew()
    session["sub"] = "ann"
    await asyncio.gather(browser.manager.save(session), world.server().revoke(browser.sid))
    await settle()
    assert await world.managers[0].sessions("ann") == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_second_logout_finds_nothing_and_says_nothing_else(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    tabs = world.tabs(browser, 5)
    await asyncio.gather(*(tab.log_out() for tab in tabs))
    assert [tab.sent for tab in tabs] == [{ACCESS: None, REFRESH: None}] * 5
    assert not world.replays


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_replay_that_races_the_owners_requests_ends_the_session_for_good(seed: int) -> None:
    world = World(seed)
    browser = world.browser()
    await browser.log_in()
    thief = browser.copy()
    await browser.refresh()
    await leeway_begun(browser)
    world.clock.advance(ZONE + 1)
    sid, tabs = browser.sid, world.tabs(browser, 10)
    await asyncio.gather(*(tab.refresh(write) for tab in tabs), thief.refresh())
    assert await world.storage.inner.get(sid) is None
    assert not any([await tab.is_logged_in() for tab in tabs])
    assert thief.sent == {}
    assert len(world.replays) == 1


@pytest.mark.parametrize("act", [write, label, Session.renew])
@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_a_handler_that_runs_while_its_session_is_revoked_touches_no_cookie(
    cookie: str, act: Callable[[Session], None]
) -> None:
    world = World()
    browser = world.browser()
    await browser.log_in()
    session = await browser.manager.load({cookie: browser.cookies[cookie]})
    await world.managers[1].revoke(browser.sid)
    act(session)
    browser.receive(await browser.manager.save(session))
    assert_untouched(browser, session, TokenRevoked)
    await settle()
    assert await world.managers[0].sessions("ann") == []


# --- a record that changes too fast ------------------------------------------------------------------------------


class Busy(Wrapper):
    """Somebody else always writes first."""

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        await self.inner.replace(replace(record, metadata={}), expected_version)
        return False


async def test_a_record_that_always_changes_first_is_given_up_and_not_a_logout() -> None:
    clock = FakeClock()
    inner = MemoryStorage(clock=clock)
    browser = Browser(make_manager(inner, clock))
    await browser.log_in()
    cookies = dict(browser.cookies)
    unlucky = browser.copy(make_manager(Busy(inner), clock))
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(unlucky.visit(label), 5)
    assert unlucky.cookies == cookies
    assert await browser.is_logged_in()


# --- random schedules --------------------------------------------------------------------------------------------


@dataclass
class Schedule:
    """Many requests of one browser over two servers, in random order; what came of each."""

    world: World
    jar: Browser
    sent: list[Browser] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    async def request(self, *acts: Callable[[Session], object]) -> None:
        for _ in range(self.world.random.randrange(12)):
            await asyncio.sleep(0)
        tab = self.jar.copy(self.world.server())
        self.sessions.append(await tab.visit(*acts))
        self.jar.receive(tab.changes)
        if tab.cookies:
            self.sent.append(tab)

    async def revoke(self) -> None:
        for _ in range(self.world.random.randrange(12)):
            await asyncio.sleep(0)
        if self.jar.cookies:
            await self.world.server().revoke(self.jar.sid)

    async def revoke_all(self) -> None:
        await self.world.server().revoke_subject("ann")


def log_in(session: Session) -> None:
    session.renew()
    session["sub"] = "ann"


PEACEFUL: list[tuple[Callable[[Session], object], ...]] = [
    (),
    (),
    (write,),
    (write,),
    (label,),
]
ENDING: list[tuple[Callable[[Session], object], ...]] = [(Session.invalidate,), (Session.renew,), (log_in,)]


async def start(seed: int) -> Schedule:
    world = World(seed)
    schedule = Schedule(world, world.browser())
    await schedule.jar.log_in()
    return schedule


@pytest.mark.parametrize("first", range(0, 100, 20))
async def test_in_any_order_of_reads_writes_and_refreshes_nobody_is_logged_out(first: int) -> None:
    for seed in range(first, first + 20):
        schedule = await start(seed)
        world, sid = schedule.world, schedule.jar.sid
        for _ in range(4):
            world.clock.advance(world.random.choice([0, 3, LEEWAY, ACCESS_LIFETIME, 5 * ACCESS_LIFETIME]))
            schedule.sent.clear()
            acts = world.random.choices(PEACEFUL, k=8)
            await asyncio.gather(*(schedule.request(*act) for act in acts))
            assert not any(session.is_new or session.rejected for session in schedule.sessions), f"seed {seed}"
            assert all([await tab.is_logged_in() for tab in schedule.sent]), f"seed {seed}"
            assert await schedule.jar.is_logged_in(), f"seed {seed}"
            assert not world.replays, f"seed {seed}"
        chain = world.chain(sid)
        assert {tab.refreshing["jti"] for tab in schedule.sent} <= set(chain), f"seed {seed}"
        assert schedule.jar.refreshing["jti"] == chain[-1], f"seed {seed}"


@pytest.mark.parametrize("first", range(0, 200, 40))
async def test_in_any_order_with_endings_among_them_what_was_ended_stays_ended(first: int) -> None:
    for seed in range(first, first + 40):
        schedule = await start(seed)
        world, random_ = schedule.world, schedule.world.random
        for _ in range(3):
            world.clock.advance(random_.choice([0, 3, ACCESS_LIFETIME]))
            acts = [*random_.choices(PEACEFUL, k=5), *random_.choices(ENDING, k=2)]
            random_.shuffle(acts)
            calls = [schedule.request(*act) for act in acts]
            calls += [schedule.revoke() for _ in range(random_.randrange(2))]
            calls += [schedule.revoke_all() for _ in range(random_.randrange(2))]
            await asyncio.gather(*calls)
        await settle()
        await check_endings(schedule, seed)


async def check_endings(schedule: Schedule, seed: int) -> None:
    world, storage = schedule.world, schedule.world.storage
    begun = [record.sid for record in storage.stored if record.version == 1]
    assert len(begun) == len(set(begun)), f"seed {seed}: a sid was recorded twice"
    held = {tab.sid for tab in schedule.sent}
    live = {record.sid for record in await world.managers[0].sessions("ann")}
    assert live <= held, f"seed {seed}: a session that nobody holds"
    assert not world.replays, f"seed {seed}"
    for tab in schedule.sent:
        world.chain(tab.sid)
        record = await storage.inner.get(tab.sid)
        for name, token in tab.cookies.items():
            if record is None or record.successor is not None:
                session = await world.server().load({name: token})
                assert session.is_new, f"seed {seed}"
                assert not isinstance(session.rejected, TokenReused), f"seed {seed}"
            elif claims(token)["jti"] in (record.access_jti, record.refresh_jti) and tab.access["exp"] > world.clock():
                assert not (await world.server().load({name: token})).is_new, f"seed {seed}"
