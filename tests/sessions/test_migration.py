"""jti.require=False: sessions from before jti was on are taken over at their next write."""

import asyncio
from collections.abc import Callable

import pytest
from support.browser import ACCESS, LEEWAY, REFRESH, Browser, make_manager, record_of, visits
from support.outages import World, assert_unavailable, write
from support.storages import FaultyStorage, Interleaved

from aiohttp_lionrock import MemoryStorage, SessionManager, TokenClaimError, TokenReused, TokenRevoked
from aiohttp_lionrock.testing import FakeClock


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


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize("outage", [0, 3])
async def test_a_migrating_session_survives_a_record_of_unknown_outcome(world: World, mode: str, outage: int) -> None:
    before = Browser(make_manager(None, world.clock))
    await before.log_in(theme="dark")
    migrating = world.server(jti={"require": False})
    tab, other_tab = before.copy(migrating), before.copy(migrating)
    world.storage.fail("insert", mode)
    world.storage.fail("delete", "before", times=outage)
    await assert_unavailable(tab.visit(write))
    assert (await other_tab.visit(write)).rejected is None
    await asyncio.sleep(0.05)
    await world.settled()
    assert await other_tab.is_logged_in()
    assert await tab.is_logged_in()
    await migrating.aclose()
