"""While a session is renewed two records of it are stored for a moment: they are one, whatever happens beside it.

Each test runs through every order in which the storage calls of the two requests can happen.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest
from support.browser import SECRET, Browser
from support.scheduler import Gates, schedules

from aiohttp_lionrock import MemoryStorage, Session, SessionConfig, SessionManager
from aiohttp_lionrock.sessions import state
from aiohttp_lionrock.testing import FakeClock


class Two:
    """Two servers on one storage, and a browser that is logged in."""

    def __init__(self, clock: FakeClock, **settings: Any) -> None:
        self.storage = Gates(MemoryStorage(clock=clock), after=False)
        config = SessionConfig(secret=SECRET, refresh_token=True, storage=self.storage, **settings)
        self.managers = [SessionManager(config, clock=clock, environ={}) for _ in range(2)]
        self.browser = Browser(self.managers[0])

    async def sids(self) -> list[str]:
        return [record.sid for record in await self.managers[1].sessions("ann")]


def log_in_again(session: Session) -> None:
    session.renew()
    session["sub"] = "ann"


async def by_session(manager: SessionManager, session: Session) -> int:
    return await manager.revoke_others(session)


async def by_sid(manager: SessionManager, session: Session) -> int:
    return await manager.revoke_subject("ann", keep=session.sid)


@pytest.mark.parametrize("renew", [Session.renew, log_in_again])
@pytest.mark.parametrize("revoke", [by_session, by_sid])
async def test_who_ends_all_others_beside_it_ends_none_of_the_two(
    clock: FakeClock, renew: Callable[[Session], object], revoke: Callable[[SessionManager, Session], Awaitable[int]]
) -> None:
    for schedule in schedules():
        two = Two(clock)
        await two.browser.log_in()
        for _ in range(2):
            await Browser(two.managers[1]).log_in()
        tab = await two.browser.copy(two.managers[1]).visit()
        _, ended = await two.storage.run(schedule, two.browser.visit(renew), revoke(two.managers[1], tab))
        assert await two.browser.is_logged_in(), schedule.chosen
        assert (ended, await two.sids()) == (2, [two.browser.sid]), schedule.chosen


@pytest.mark.parametrize("renew", [Session.renew, log_in_again])
@pytest.mark.parametrize("when_full", ["oldest", "refuse"])
async def test_a_login_elsewhere_counts_them_as_one(
    clock: FakeClock, renew: Callable[[Session], object], when_full: str
) -> None:
    for schedule in schedules():
        two = Two(clock, max_sessions=2, when_full=when_full)
        await two.browser.log_in()
        elsewhere = Browser(two.managers[1])
        await two.storage.run(schedule, two.browser.visit(renew), elsewhere.log_in())
        assert await two.browser.is_logged_in(), schedule.chosen
        assert await elsewhere.is_logged_in(), schedule.chosen
        assert sorted(await two.sids()) == sorted([two.browser.sid, elsewhere.sid]), schedule.chosen


@pytest.mark.parametrize("revoke", [by_session, by_sid])
async def test_one_of_the_others_that_is_renewed_beside_it_is_ended_too(
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    revoke: Callable[[SessionManager, Session], Awaitable[int]],
) -> None:
    for schedule in schedules():
        # The order of the sids is that of the calls, and so the same in each run.
        monkeypatch.setattr(state, "uuid4", partial(next, map("{:04}".format, count())))
        two = Two(clock)
        other = Browser(two.managers[1])
        for browser in (two.browser, other):
            await browser.log_in()
        session = await two.browser.visit()
        await two.storage.run(schedule, other.visit(Session.renew), revoke(two.managers[0], session))
        assert await two.sids() == [two.browser.sid], schedule.chosen
        assert not await other.is_logged_in(), schedule.chosen


async def test_what_was_only_to_take_over_from_it_is_another_session_an_hour_later(clock: FakeClock) -> None:
    """Two tabs log in again, and the client of the first goes away: its login is taken back, the second's stands."""
    met = 0
    for number, schedule in enumerate(schedules()):
        if number == 400:
            break
        two = Two(clock)
        await two.browser.log_in()
        second, answers = two.browser.copy(two.managers[1]), iter([True])

        async def log_in_and_go(two: Two = two, answers: Iterator[bool] = answers) -> None:
            session = await two.managers[0].load(two.browser.cookies)
            log_in_again(session)
            await two.managers[0].save(session, is_awaited=lambda: next(answers, False))

        await two.storage.run(schedule, log_in_and_go(), second.visit(log_in_again))
        for manager in two.managers:
            await manager.aclose()
            await manager.open()
        if len(await two.sids()) == 2:
            met += 1
            assert await two.managers[0].revoke_others(await two.browser.visit()) == 1, schedule.chosen
            assert not await second.is_logged_in(), schedule.chosen
    assert met
