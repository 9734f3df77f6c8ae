"""While it is not known whether a renewal was done, the old cookies are good: at the server that knows, at once."""

import asyncio
from typing import Any

import pytest
from support.browser import ACCESS, Browser
from support.outages import PATIENCE, UNKNOWN, World, assert_good, assert_unavailable, write

from aiohttp_lionrock import Session
from aiohttp_lionrock.sessions import repairs

SOON = 0.02  # seconds between two looks


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not short here: repairs come round after a minute only, as after an outage they do after some seconds."""
    for pause in ("FIRST_PAUSE", "LONGEST_PAUSE", "SHORTEST_OUTAGE"):
        monkeypatch.setattr(repairs, pause, 60.0)


async def renewal_of_unknown_outcome(world: World, browser: Browser, how: str) -> None:
    """The storage goes away while the renewal is saved, so that the first try to take it back meets the outage."""

    def renew(session: Session) -> None:
        session.renew()
        world.storage.fail("replace", how)
        world.storage.fail("get", "before", times=1000)

    await assert_unavailable(browser.copy().visit(renew))
    await asyncio.sleep(0.05)
    assert world.background(), "the repair waits"
    world.storage.heal()
    await world.storage.late_work()


@pytest.mark.parametrize("how", UNKNOWN)
@pytest.mark.parametrize("outage", [1, 90, 500])
async def test_the_old_cookies_are_good_with_the_first_request_after_an_outage(
    world: World, how: str, outage: int
) -> None:
    browser = await world.logged_in()
    await renewal_of_unknown_outcome(world, browser, how)
    world.clock.advance(outage)
    session = await browser.visit(write)
    assert (session.rejected, session["theme"], session["visits"]) == (None, "dark", 1)
    assert (await browser.copy(world.elsewhere).visit())["theme"] == "dark"
    await world.manager.aclose()
    assert [record.sid for record in await world.elsewhere.sessions("ann")] == [browser.sid]


async def test_the_same_where_the_refresh_token_comes(world: World) -> None:
    browser = await world.logged_in()
    await renewal_of_unknown_outcome(world, browser, "after")
    world.clock.advance(90)
    session = await browser.refresh()
    assert (session.rejected, session["theme"]) == (None, "dark")
    await assert_good(world, browser)


async def test_while_the_storage_is_still_away_nobody_is_refused(world: World) -> None:
    browser = await world.logged_in()
    await renewal_of_unknown_outcome(world, browser, "after")
    with world.storage.away():
        await assert_unavailable(browser.visit())
    assert (await browser.visit())["theme"] == "dark"


async def test_a_renewal_that_was_answered_is_not_taken_back(world: World) -> None:
    browser = await world.logged_in()
    old = browser.copy()
    await browser.visit(Session.renew)
    assert type((await old.visit()).rejected).__name__ == "TokenSuperseded"
    assert (await browser.visit())["theme"] == "dark"


async def test_the_memory_of_what_is_undecided_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp_lionrock.sessions.undoing.MOST", 2)
    browsers = [await world.logged_in() for _ in range(3)]
    for browser in browsers:
        await renewal_of_unknown_outcome(world, browser, "after")
    seen = [(await browser.visit()).get("theme") for browser in browsers]
    assert seen == [None, "dark", "dark"]


@pytest.mark.parametrize("how", ["after", "hang after", "late"])
async def test_a_session_that_is_ended_while_it_is_undecided_stays_ended(world: World, how: str) -> None:
    browser = await world.logged_in()
    await renewal_of_unknown_outcome(world, browser, how)
    [listed] = await world.elsewhere.sessions("ann")
    assert listed.sid != browser.sid, "the list has the session under its new sid"
    assert await world.elsewhere.revoke(listed.sid)
    assert (await browser.visit()).is_new
    await world.manager.aclose()
    assert await world.elsewhere.sessions("ann") == []
    assert (await browser.copy(world.elsewhere).visit()).is_new


# --- who watches --------------------------------------------------------------------------------------------------


async def until(done: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not done():
            await asyncio.sleep(0.005)


async def test_who_watches_elsewhere_stays_when_a_renewal_is_taken_back(world: World) -> None:
    browser = await world.logged_in()
    ended: list[str] = []
    watcher = world.elsewhere.watch(await browser.copy(world.elsewhere).visit(), ended.append, SOON)
    assert watcher is not None
    await renewal_of_unknown_outcome(world, browser, "after")
    await until(lambda: watcher.sid != browser.sid)
    await browser.visit()
    await until(lambda: watcher.sid == browser.sid)
    await asyncio.sleep(4 * SOON)
    assert ended == []
    await browser.log_out()
    await until(lambda: ended)
    assert ended == ["ended elsewhere"]


async def test_who_watches_elsewhere_hears_of_the_end_of_a_renewed_session(world: World) -> None:
    browser = await world.logged_in()
    ended: list[str] = []
    watcher = world.elsewhere.watch(await browser.copy(world.elsewhere).visit(), ended.append, SOON)
    assert watcher is not None
    await browser.visit(Session.renew)
    await until(lambda: watcher.sid == browser.sid)
    await browser.log_out()
    await until(lambda: ended)
    assert ended == ["ended elsewhere"]
    assert ACCESS not in browser.cookies
