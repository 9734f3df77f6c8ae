"""How many sessions a user may have at a time, and when each was last seen."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.browser import ACCESS, SECRET, Browser
from support.scheduler import Gates, schedules
from support.storages import FaultyStorage, Interleaved, Wrapper

from aiohttp_lionrock import (
    ConfigError,
    JtiRecord,
    JtiStorage,
    MemoryStorage,
    Session,
    SessionConfig,
    SessionDataError,
    SessionLimitReached,
    SessionManager,
    StorageUnavailable,
    TokenRevoked,
    TokenSuperseded,
)
from aiohttp_lionrock.testing import FakeClock

HOUR = 3600


@pytest.fixture
def storage(each_storage: JtiStorage) -> JtiStorage:
    return each_storage


def manager_of(storage: JtiStorage, clock: FakeClock, **settings: Any) -> SessionManager:
    return SessionManager(
        SessionConfig(secret=SECRET, refresh_token=True, storage=storage, **settings), clock=clock, environ={}
    )


async def log_in(manager: SessionManager, sub: str = "ann") -> Browser:
    browser = Browser(manager)
    await browser.log_in(sub)
    return browser


async def test_the_oldest_session_ends_when_there_are_too_many(storage: JtiStorage, clock: FakeClock) -> None:
    manager = manager_of(storage, clock, max_sessions=2)
    browsers = []
    for _ in range(4):
        browsers.append(await log_in(manager))
        clock.advance(1)
    assert [await browser.is_logged_in() for browser in browsers[2:]] == [True, True]
    assert [(await browser.visit()).is_new for browser in browsers[:2]] == [True, True]
    assert len(await manager.sessions("ann")) == 2


async def test_the_newest_login_stays_whatever_the_clocks_say(storage: JtiStorage, clock: FakeClock) -> None:
    behind = FakeClock(clock() - 20)
    managers = [manager_of(storage, one, max_sessions=2) for one in (clock, behind)]
    browsers = [await log_in(managers[number % 2]) for number in range(12)]
    assert [await browser.is_logged_in() for browser in browsers] == [False] * 10 + [True] * 2
    await browsers[10].visit(Session.renew)
    await log_in(managers[0])
    assert [await browser.is_logged_in() for browser in browsers[10:]] == [False, True]


async def test_a_login_again_comes_after_the_session_that_it_leaves(storage: JtiStorage, clock: FakeClock) -> None:
    """Or a renewal of that one beside it, which keeps its place, would come last."""
    browser = await log_in(manager_of(storage, clock, max_sessions=1))
    for place in (2, 3):
        await browser.log_in()
        assert [record.place for record in await browser.manager.sessions("ann")] == [place]


async def test_of_fifty_logins_at_once_five_are_left(storage: JtiStorage, clock: FakeClock) -> None:
    managers = [manager_of(storage, clock, max_sessions=5) for _ in range(2)]
    browsers = await asyncio.gather(*(log_in(managers[number % 2]) for number in range(50)))
    left = {record.sid for record in await managers[0].sessions("ann")}
    assert len(left) == 5
    assert left <= {browser.sid for browser in browsers if browser.cookies}


@pytest.mark.parametrize("again", [False, True], ids=["visitor", "logged in before"])
async def test_two_logins_at_once_of_one_browser_leave_it_logged_in(
    storage: JtiStorage, clock: FakeClock, again: bool
) -> None:
    managers = [manager_of(Interleaved(storage, seed), clock, max_sessions=1) for seed in range(2)]
    for number in range(30):
        browser = Browser(managers[0])
        if again:
            await browser.log_in(f"ann {number}")

        async def log_in_in_a_tab(
            manager: SessionManager, browser: Browser = browser, user: str = f"ann {number}"
        ) -> None:
            tab = browser.copy(manager)
            await tab.log_in(user)
            browser.receive(tab.changes)

        await asyncio.gather(*map(log_in_in_a_tab, managers))
        assert await browser.is_logged_in()
        for manager in managers:
            await manager.aclose()
            await manager.open()
        assert len(await managers[0].sessions(f"ann {number}")) == 1


def begin_anew_as_ann(session: Session) -> None:
    session.invalidate()
    session["sub"] = "ann"


@pytest.mark.parametrize("when_full", ["oldest", "refuse"])
@pytest.mark.parametrize("log_in_again", [None, begin_anew_as_ann], ids=["renew", "new session"])
@pytest.mark.parametrize(
    "before",
    [{"cart": ["tea"]}, {"cart": ["tea"], "sub": "ann"}, {"cart": ["tea"], "sub": "bob"}],
    ids=["visitor", "logged in", "as another"],
)
async def test_a_second_click_on_the_login_button_takes_the_place_of_the_first_whose_answer_the_browser_drops(
    storage: JtiStorage, clock: FakeClock, when_full: str, log_in_again: Any, before: dict[str, Any]
) -> None:
    manager = manager_of(storage, clock, max_sessions=1, when_full=when_full)
    browser = Browser(manager)
    await browser.write(**before)
    first, second = browser.copy(), browser.copy()
    clicks = [first.log_in(), second.log_in()]
    if log_in_again is not None:
        for click in clicks:
            click.close()
        clicks = [first.visit(log_in_again), second.visit(log_in_again)]
    for click in clicks:
        await click
    assert await second.is_logged_in()
    assert [record.sid for record in await manager.sessions("ann")] == [second.sid]
    assert (await second.visit()).get("cart") == (["tea"] if log_in_again is None and "sub" not in before else None)
    rejected = (await first.visit()).rejected
    assert isinstance(rejected, TokenSuperseded if log_in_again is None else TokenRevoked)


async def test_a_login_whose_client_has_gone_meanwhile_ends_nobody(storage: JtiStorage, clock: FakeClock) -> None:
    manager = manager_of(storage, clock, max_sessions=1)
    first, answers = await log_in(manager), iter([True])
    session = await manager.load({})
    session["sub"] = "ann"
    assert await manager.save(session, is_awaited=lambda: next(answers, False)) == []
    await manager.aclose()
    await manager.open()
    assert await first.is_logged_in()
    assert [record.sid for record in await manager.sessions("ann")] == [first.sid]


@pytest.mark.parametrize(
    ("before", "after"),
    [({"cart": ["tea"]}, {"cart": ["tea"]}), ({"cart": ["tea"], "sub": "bob"}, {}), ({"sub": "ann"}, {})],
    ids=["visitor", "as another", "logged in"],
)
async def test_a_login_that_is_one_too_many_gives_back_a_visitors_session_and_no_users(
    storage: JtiStorage, clock: FakeClock, before: dict[str, Any], after: dict[str, Any]
) -> None:
    elsewhere = manager_of(storage, clock, max_sessions=1)
    others = []

    class Crowded(Wrapper):
        async def insert(self, record: JtiRecord) -> None:
            await self.inner.insert(record)
            if record.subject == "ann":
                others.append(await log_in(elsewhere))

    browser = Browser(elsewhere)
    await browser.write(**before)
    browser = browser.copy(manager_of(Crowded(storage), clock, max_sessions=1))
    await browser.log_in()
    await browser.manager.aclose()
    await browser.manager.open()
    assert dict(await browser.visit()) == after
    assert [record.sid for record in await elsewhere.sessions("ann")] == [others[0].sid]
    assert await elsewhere.sessions("bob") == []


async def test_logins_at_once_share_the_work_of_making_room(clock: FakeClock) -> None:
    storage = Interleaved(MemoryStorage(clock=clock))
    managers = [manager_of(storage, clock, max_sessions=5) for _ in range(2)]
    await asyncio.gather(*(log_in(managers[number % 2]) for number in range(50)))
    assert len(await managers[0].sessions("ann")) == 5
    assert storage.calls.count("replace") < 45 * 6  # each for itself would end nearly all that the others end


async def test_a_storage_that_still_lists_what_is_gone_keeps_no_login_waiting(clock: FakeClock) -> None:
    class Lagging(Interleaved):
        async def list_subject(self, subject: str) -> list[JtiRecord]:
            await super().list_subject(subject)
            return sorted(self.stored, key=lambda record: -record.created_at)

    storage = Lagging(MemoryStorage(clock=clock))
    manager = manager_of(storage, clock, max_sessions=1)
    for _ in range(5):
        browser = await log_in(manager)
        assert await browser.is_logged_in()
        clock.advance(1)
    assert storage.calls.count("list_subject") < 50


async def test_of_fifty_logins_at_once_as_many_are_let_in_as_there_is_room_for(
    storage: JtiStorage, clock: FakeClock
) -> None:
    managers = [manager_of(storage, clock, max_sessions=5, when_full="refuse") for _ in range(2)]
    outcomes = await asyncio.gather(*(log_in(managers[n % 2]) for n in range(50)), return_exceptions=True)
    let_in = {outcome.sid for outcome in outcomes if isinstance(outcome, Browser)}
    assert {record.sid for record in await managers[0].sessions("ann")} == let_in
    assert Counter(map(type, outcomes)) == {Browser: 5, SessionLimitReached: 45}
    with pytest.raises(SessionLimitReached):
        await log_in(managers[0])


async def test_who_was_let_in_stays_and_somebody_always_is_at_one_moment_of_a_standing_clock(
    storage: JtiStorage, clock: FakeClock
) -> None:
    managers = [manager_of(Interleaved(storage, seed), clock, max_sessions=2, when_full="refuse") for seed in range(2)]
    for number in range(100):
        user = f"ann {number}"
        logins = (log_in(managers[n % 2], user) for n in range(2 + number % 4))
        outcomes = await asyncio.gather(*logins, return_exceptions=True)
        let_in = [outcome for outcome in outcomes if isinstance(outcome, Browser)]
        assert len(let_in) == 2, outcomes
        assert all([await browser.is_logged_in() for browser in let_in])


async def test_of_two_logins_one_is_let_in_and_stays_in_every_order_of_their_calls(clock: FakeClock) -> None:
    clocks = (clock, FakeClock(clock() + 1))  # so that they sort in one order in every run
    for schedule in schedules():
        storage = Gates(MemoryStorage(clock=clock), after=False)
        managers = [manager_of(storage, own, max_sessions=1, when_full="refuse") for own in clocks]
        for manager in managers:
            await manager.open()
        outcomes = await storage.run(schedule, *map(log_in, managers))
        let_in = [outcome for outcome in outcomes if isinstance(outcome, Browser)]
        assert len(let_in) == 1, schedule.chosen
        assert await let_in[0].is_logged_in(), schedule.chosen
        assert [type(outcome) for outcome in outcomes if outcome not in let_in] == [SessionLimitReached]


async def test_a_login_of_a_process_that_ended_in_the_middle_keeps_its_place_for_a_minute_at_most(
    storage: JtiStorage, clock: FakeClock
) -> None:
    dying = FaultyStorage(storage)
    dying.fail("replace", times=100)
    dying.fail("delete", times=100)
    manager = manager_of(storage, clock, max_sessions=1, when_full="refuse")
    with pytest.raises(StorageUnavailable):
        await log_in(manager_of(dying, clock, max_sessions=1, when_full="refuse"))
    assert await manager.sessions("ann") == []
    assert await manager.revoke_subject("bob") == 0
    clock.advance(60)
    assert await (await log_in(manager)).is_logged_in()


async def test_another_users_sessions_and_nobodys_do_not_count(storage: JtiStorage, clock: FakeClock) -> None:
    manager = manager_of(storage, clock, max_sessions=1)
    ann, bob = await log_in(manager), await log_in(manager, "bob")
    visitors = [Browser(manager) for _ in range(3)]
    for visitor in visitors:
        await visitor.write(cart=[])
    assert all([await browser.is_logged_in() for browser in (ann, bob, *visitors)])


async def test_a_renewal_and_a_second_login_of_one_browser_take_no_more_room(
    storage: JtiStorage, clock: FakeClock
) -> None:
    manager = manager_of(storage, clock, max_sessions=2)
    first, second = await log_in(manager), await log_in(manager)
    for _ in range(3):
        await first.visit(Session.renew)
        await second.log_in()
    assert await first.is_logged_in()
    assert await second.is_logged_in()


async def test_a_login_that_is_refused_leaves_everything_as_it_was(storage: JtiStorage, clock: FakeClock) -> None:
    manager = manager_of(storage, clock, max_sessions=1, when_full="refuse")
    first = await log_in(manager)
    second = Browser(manager)
    await second.write(cart=["tea"])
    kept = dict(second.cookies)
    with pytest.raises(SessionLimitReached, match="the user has 1 sessions already"):
        await second.log_in()
    assert second.cookies == kept
    await asyncio.sleep(0.05)  # the refused session is taken back in the background
    assert [record.sid for record in await manager.sessions("ann")] == [first.sid]
    assert (await second.visit())["cart"] == ["tea"]
    await first.log_out()
    await second.log_in()
    assert await second.is_logged_in()
    await manager.aclose()


async def test_a_session_that_is_read_is_seen_at_most_once_an_hour(storage: JtiStorage, clock: FakeClock) -> None:
    manager = manager_of(storage, clock, expires=10 * HOUR)
    browser = await log_in(manager)

    async def seen() -> int | None:
        await asyncio.sleep(0.05)
        [record] = await manager.sessions("ann")
        return record.seen_at

    clock.advance(HOUR - 1)
    await browser.visit(only=ACCESS)
    assert await seen() is None
    clock.advance(1)
    await browser.visit(only=ACCESS)
    assert not browser.changes
    first = await seen()
    assert first == clock()
    clock.advance(HOUR - 1)
    await browser.visit(only=ACCESS)
    assert await seen() == first
    clock.advance(1)
    await browser.write(theme="dark")
    assert await seen() == clock()
    await manager.aclose()


async def test_one_users_sid_is_not_ended_in_the_name_of_another(storage: JtiStorage, clock: FakeClock) -> None:
    manager = manager_of(storage, clock)
    ann = await log_in(manager)
    assert not await manager.revoke(ann.sid, subject="bob")
    assert await ann.is_logged_in()
    assert await manager.revoke(ann.sid, subject="ann")
    assert not await manager.revoke("no such sid", subject="ann")


@pytest.mark.parametrize("when_full", ["oldest", "refuse"])
async def test_a_renewal_is_no_login_where_a_cap_was_lowered(
    storage: JtiStorage, clock: FakeClock, when_full: str
) -> None:
    before = manager_of(storage, clock)
    browsers = [await log_in(before) for _ in range(3)]
    manager = manager_of(storage, clock, max_sessions=1, when_full=when_full)
    renewed = browsers[0].copy(manager)
    await renewed.visit(Session.renew)
    assert [await browser.is_logged_in() for browser in (renewed, *browsers[1:])] == [True, True, True]


async def test_a_login_that_was_refused_is_saved_again_under_another_sid(storage: JtiStorage, clock: FakeClock) -> None:
    managers = [manager_of(storage, clock, max_sessions=1, when_full="refuse") for _ in range(2)]
    sessions = [await manager.load({}) for manager in managers]
    for session in sessions:
        session["sub"] = "ann"
    sids = [session.sid for session in sessions]
    saves = [manager.save(session) for manager, session in zip(managers, sessions, strict=True)]
    outcomes = await asyncio.gather(*saves, return_exceptions=True)
    [refused] = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, SessionLimitReached)]
    assert sessions[refused].sid not in sids  # the first one may be on its way, to be taken back
    await managers[refused].revoke(sids[1 - refused])
    await managers[refused].aclose()
    await managers[refused].open()
    browser = Browser(managers[refused])
    browser.receive(await managers[refused].save(sessions[refused]))
    assert await browser.is_logged_in()


def test_a_cap_needs_a_storage_wherever_that_is_given(storage: JtiStorage) -> None:
    config = SessionConfig(secret=SECRET, max_sessions=2)
    assert SessionManager(config, storage, environ={}).storage is storage
    with pytest.raises(ConfigError, match="max_sessions needs a storage"):
        SessionManager(config, environ={})


@pytest.mark.parametrize("call", ["replace", "list_subject"])
async def test_a_login_that_fails_ends_nobody_and_leaves_the_visitor_as_before(
    storage: JtiStorage, clock: FakeClock, call: str
) -> None:
    faulty = FaultyStorage(storage)
    manager = manager_of(faulty, clock, max_sessions=1)
    first, visitor = await log_in(manager), Browser(manager)
    await visitor.write(cart=["tea"])
    faulty.fail(call)
    with pytest.raises(StorageUnavailable):
        await visitor.log_in()
    await manager.aclose()
    await manager.open()
    assert await first.is_logged_in()
    assert await visitor.is_logged_in()
    assert (await visitor.visit())["cart"] == ["tea"]


async def test_a_subject_that_no_record_can_have_is_named_before_anything_is_signed(
    storage: JtiStorage, clock: FakeClock
) -> None:
    with pytest.raises(SessionDataError, match=r"^session\['sub'\] must be text of at most 1024 characters") as fault:
        await log_in(manager_of(storage, clock), "ann" * 2000)
    assert fault.value.key == "sub"
