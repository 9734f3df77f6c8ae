"""Two requests of one browser in every order that their storage calls can take, in one process and in two."""

from collections.abc import AsyncIterator, Callable

import pytest
from support.browser import Browser, make_manager
from support.scheduler import Gates, Schedule, schedules

from aiohttp_lionrock import MemoryStorage, Session, TokenRevoked
from aiohttp_lionrock.errors import TokenSuperseded
from aiohttp_lionrock.sessions import repairs, turns
from aiohttp_lionrock.testing import FakeClock

Act = Callable[[Session], object]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 0.0)


class World:
    """A session in a browser, two requests of it, and what both came to. ``bob`` logs in where a test says so."""

    def __init__(self, processes: int) -> None:
        self.clock = FakeClock()
        self.storage = Gates(MemoryStorage(clock=self.clock), after=processes == 1)
        self.managers = [make_manager(self.storage, self.clock) for _ in range(processes)]
        self.before = Browser(self.managers[0])
        self.tabs: list[Browser] = []
        self.sessions: list[Session] = []

    async def run(self, schedule: Schedule, owner: str | None, acts: list[Act], only: str | None = None) -> None:
        if owner is None:
            await self.before.write(cart=[1])
        else:
            await self.before.log_in(owner, cart=[1])
        self.tabs = [self.before.copy(manager) for manager in (self.managers * 2)[:2]]
        pairs = zip(self.tabs, acts, strict=True)
        answers = await self.storage.run(schedule, *(tab.visit(act, only=only) for tab, act in pairs))
        assert not [answer for answer in answers if not isinstance(answer, Session)]
        self.sessions = answers
        for manager in self.managers:
            await manager.aclose()
            await manager.open()

    async def honoured(self, browser: Browser) -> list[bool]:
        """For each cookie and process, whether it is honoured."""
        loaded = [
            await manager.load({name: value}) for manager in self.managers for name, value in browser.cookies.items()
        ]
        return [not session.is_new for session in loaded]

    async def alive(self, browser: Browser) -> bool:
        """Whether all of its cookies are honoured; they are never honoured in part."""
        honoured = await self.honoured(browser)
        assert len(set(honoured)) <= 1
        return bool(honoured) and honoured[0]

    async def living(self, subject: str) -> int:
        return len(await self.managers[0].sessions(subject))

    def answered(self) -> list[Browser]:
        """The tabs whose answer carried cookies."""
        return [tab for tab in self.tabs if any(change.value for change in tab.changes)]


async def every_order(
    processes: int, *acts: Act, owner: str | None = "ann", only: str | None = None
) -> AsyncIterator[World]:
    for schedule in schedules():
        world = World(processes)
        await world.run(schedule, owner, list(acts), only)
        yield world


def renewal(session: Session) -> None:
    session.renew()


def logout(session: Session) -> None:
    session.invalidate()


def login(name: str) -> Act:
    def log_in(session: Session) -> None:
        session["sub"] = name

    return log_in


def leaving(session: Session) -> None:
    if not session.is_new:
        del session["sub"]
        session["theme"] = "light"


def writing(session: Session) -> None:
    if not session.is_new:
        session["theme"] = "light"


pytestmark = pytest.mark.parametrize("processes", [1, 2])


@pytest.mark.parametrize("other", [writing, renewal], ids=["write", "renewal"])
async def test_a_term_holds_for_whatever_is_done_beside_it(processes: int, other: Act) -> None:
    async for world in every_order(processes, lambda session: session.expire_in(60), other):
        [record] = await world.managers[0].sessions("ann")
        was_set = world.sessions[0].rejected is None
        assert (record.expires_at == world.clock() + 60) is was_set
        world.clock.advance(60)
        for tab in world.answered():
            assert await world.alive(tab) is not was_set


async def test_of_two_renewals_one_wins(processes: int) -> None:
    async for world in every_order(processes, renewal, renewal):
        [winner] = world.answered()
        [loser] = [tab for tab in world.tabs if tab is not winner]
        assert await world.alive(winner)
        assert loser.changes == []
        assert await world.honoured(world.before) == [False] * 2 * processes
        assert await world.living("ann") == 1
        faults = {type(session.rejected) for session in world.sessions}
        assert faults == {type(None), TokenSuperseded}


async def test_a_logout_beside_a_renewal_leaves_nothing_alive(processes: int) -> None:
    async for world in every_order(processes, renewal, logout):
        assert [change.value for change in world.tabs[1].changes] == [None, None]
        for browser in (world.before, *world.answered()):
            assert True not in await world.honoured(browser)
        assert await world.living("ann") == 0


async def test_two_logouts_are_both_answered_as_done(processes: int) -> None:
    async for world in every_order(processes, logout, logout):
        assert [len(tab.changes) for tab in world.tabs] == [2, 2]
        assert True not in await world.honoured(world.before)
        assert await world.living("ann") == 0


async def test_a_logout_beside_a_write_leaves_nothing_alive(processes: int) -> None:
    async for world in every_order(processes, writing, logout):
        for browser in (world.before, *world.answered()):
            assert True not in await world.honoured(browser)
        assert await world.living("ann") == 0


async def test_a_logout_beside_a_refresh_leaves_nothing_alive(processes: int) -> None:
    async for world in every_order(processes, writing, logout, only="lionrock-session-refresh"):
        for browser in (world.before, *world.answered()):
            assert True not in await world.honoured(browser)
        assert await world.living("ann") == 0


async def test_a_write_beside_a_renewal_is_done_before_it_or_not_at_all(processes: int) -> None:
    async for world in every_order(processes, writing, renewal):
        writer, renewed = world.tabs
        assert await world.alive(renewed)
        assert await world.honoured(world.before) == [False] * 2 * processes
        if not writer.changes:
            assert isinstance(world.sessions[0].rejected, TokenSuperseded)
        assert await world.living("ann") == 1


async def test_two_writes_are_both_answered_and_honoured(processes: int) -> None:
    async for world in every_order(processes, writing, writing):
        for browser in (world.before, *world.tabs):
            assert await world.alive(browser)
        assert await world.living("ann") == 1


async def test_two_refreshes_come_to_one_successor(processes: int) -> None:
    async for world in every_order(processes, writing, writing, only="lionrock-session-refresh"):
        assert len({tab.refreshing["jti"] for tab in world.tabs}) == 1
        assert world.tabs[0].refreshing["jti"] != world.before.refreshing["jti"]
        for tab in world.tabs:
            assert await world.alive(tab)
        record = await world.storage.get(world.before.sid)
        assert record is not None
        assert record.previous_jti == world.before.refreshing["jti"]
        assert record.rotated_at is not None


@pytest.mark.parametrize("second", ["ann", "bob"])
async def test_two_logins_out_of_one_visit_are_both_delivered(processes: int, second: str) -> None:
    async for world in every_order(processes, login("ann"), login(second), owner=None):
        for tab, name in zip(world.tabs, ("ann", second), strict=True):
            assert await world.alive(tab)
            assert (await tab.visit())["sub"] == name
        assert world.tabs[0].sid != world.tabs[1].sid
        assert await world.honoured(world.before) == [False] * 2 * processes


async def test_a_login_beside_a_logout_of_the_visit_before_it_is_delivered(processes: int) -> None:
    async for world in every_order(processes, login("ann"), logout, owner=None):
        assert await world.alive(world.tabs[0])
        assert True not in await world.honoured(world.before)


async def test_a_user_who_leaves_beside_a_renewal_is_nowhere_logged_in(processes: int) -> None:
    async for world in every_order(processes, renewal, leaving):
        assert True not in await world.honoured(world.before)
        if world.sessions[1].rejected is not None:  # the renewal was done before, and the handler saw nobody
            assert await world.living("ann") == 1
            continue
        assert await world.living("ann") == 0
        renewed, left = world.tabs
        assert not renewed.changes or not await world.alive(renewed)
        assert await world.alive(left)
        assert dict(await left.visit()) == {"theme": "light"}


async def test_another_user_beside_a_renewal_takes_nothing_of_the_first_ones(processes: int) -> None:
    async for world in every_order(processes, renewal, login("bob")):
        assert await world.living("ann") == (0 if world.sessions[1].rejected is None else 1)
        assert await world.living("bob") == 1
        assert await world.alive(world.tabs[1])
        assert dict(await world.tabs[1].visit()) == {"sub": "bob"}


async def test_revoking_all_beside_a_renewal_leaves_nothing_alive(processes: int) -> None:
    for schedule in schedules():
        world = World(processes)
        await world.before.log_in("ann")
        tab = world.before.copy(world.managers[-1])
        answers = await world.storage.run(schedule, tab.visit(renewal), world.managers[0].revoke_subject("ann"))
        assert not [answer for answer in answers if isinstance(answer, BaseException)]
        for manager in world.managers:
            await manager.aclose()
            await manager.open()
        for browser in (world.before, tab):
            assert True not in await world.honoured(browser)
        assert await world.living("ann") == 0


async def test_revoking_by_sid_beside_a_renewal_leaves_nothing_alive_and_is_true(processes: int) -> None:
    for schedule in schedules():
        world = World(processes)
        await world.before.log_in("ann")
        tab = world.before.copy(world.managers[-1])
        sid = world.before.sid
        session, ended = await world.storage.run(schedule, tab.visit(renewal), world.managers[0].revoke(sid))
        assert ended is True
        assert isinstance(session, Session)
        assert session.rejected is None or isinstance(session.rejected, TokenRevoked)
        for manager in world.managers:
            await manager.aclose()
            await manager.open()
        for browser in (world.before, tab):
            assert True not in await world.honoured(browser)
        assert await world.living("ann") == 0


@pytest.mark.parametrize("renewed", [False, True])
async def test_of_two_who_revoke_one_has_ended_it(processes: int, renewed: bool) -> None:
    for schedule in schedules():
        world = World(processes)
        await world.before.log_in("ann")
        sid = world.before.sid
        if renewed:
            await world.before.visit(renewal)
        first, last = world.managers[0], world.managers[-1]
        ended = await world.storage.run(schedule, first.revoke(sid), last.revoke(sid))
        assert sorted(ended) == [False, True]
        assert await world.living("ann") == 0
