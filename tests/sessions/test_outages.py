"""A storage that is away, at the start and for long: every call is bounded, and all is as it was when it is back."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.browser import ACCESS, ZONE, Browser, make_manager
from support.outages import TIMEOUT, World, assert_good, assert_unavailable, write
from support.storages import Wrapper

from aiohttp_lionrock import JtiRecord, MemoryStorage, SessionConfig, SessionManager, StorageUnavailable, TokenForged
from aiohttp_lionrock.testing import FakeClock

pytestmark = pytest.mark.usefixtures("short_pauses")


async def test_a_storage_that_is_down_at_the_start_serves_as_soon_as_it_is_back(world: World) -> None:
    browser = await world.logged_in()
    manager = world.server()
    world.storage.fail("open", "before", times=2)
    await assert_unavailable(manager.open())
    await assert_unavailable(browser.copy(manager).visit())
    assert not (await browser.copy(manager).visit()).is_new


async def test_a_visitor_without_cookies_does_not_need_the_storage(world: World) -> None:
    with world.storage.away():
        browser = Browser(world.manager)
        assert (await browser.visit()).is_new
        assert not browser.changes


async def test_cookies_that_are_refused_by_themselves_do_not_need_the_storage(world: World) -> None:
    with world.storage.away():
        session = await world.manager.load({ACCESS: "a.b.c"})
        assert type(session.rejected) is TokenForged
        assert await world.manager.save(session) == []
    assert "open" not in world.storage.calls


async def test_every_call_of_a_manager_is_bounded_while_the_storage_hangs(world: World) -> None:
    browser = await world.logged_in()
    manager = world.server()
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "ping": manager.open,
        "get_many": lambda: manager.load(browser.cookies),
        "delete": lambda: manager.revoke(browser.sid),
        "delete_subject": lambda: manager.revoke_subject("nobody"),
        "list_subject": lambda: manager.sessions("ann"),
        "purge": manager.purge,
    }
    for name, call in calls.items():
        world.storage.fail(name, "hang")
        await assert_unavailable(call())
    await assert_good(world, browser)


async def test_a_purge_may_take_longer_than_a_call_that_a_request_waits_for() -> None:
    class Slow(MemoryStorage):
        async def purge(self, limit: int) -> int:
            await asyncio.sleep(3 * TIMEOUT)
            return await super().purge(limit)

    async with (
        Slow() as storage,
        SessionManager(
            SessionConfig(secret="a secret for this test, 32 bytes or more", storage_timeout=TIMEOUT), storage
        ) as manager,
    ):
        await storage.insert(JtiRecord("sid", version=1, expires_at=1, created_at=0))
        assert await manager.purge() == 1


async def test_opening_a_storage_that_hangs_is_bounded(world: World) -> None:
    browser = await world.logged_in()
    manager = world.server()
    world.storage.fail("open", "hang", times=2)
    await assert_unavailable(manager.open())
    await assert_unavailable(manager.load(browser.cookies))
    assert not (await manager.load(browser.cookies)).is_new


async def test_closing_a_storage_that_hangs_is_bounded(world: World) -> None:
    manager = world.server()
    await manager.open()
    world.storage.fail("aclose", "hang")
    with contextlib.suppress(StorageUnavailable):
        await asyncio.wait_for(manager.aclose(), 5)


async def test_a_storage_that_is_closed_while_it_opens_is_not_left_open() -> None:
    class Slow(MemoryStorage):
        state = "closed"
        has_begun = asyncio.Event()
        may_go_on = asyncio.Event()

        async def open(self) -> None:
            self.has_begun.set()
            await self.may_go_on.wait()
            self.state = "open"

        async def aclose(self) -> None:
            self.state = "closed"

    storage = Slow()
    manager = make_manager(storage, FakeClock())
    opening = asyncio.create_task(manager.open())
    await storage.has_begun.wait()
    await manager.aclose()
    storage.may_go_on.set()
    await asyncio.gather(opening, return_exceptions=True)
    assert storage.state == "closed"


async def test_a_time_out_keeps_its_cause_and_names_its_bound(world: World) -> None:
    browser = await world.logged_in()
    world.storage.fail("get_many", "hang")
    with pytest.raises(StorageUnavailable, match=str(TIMEOUT)) as caught:
        await browser.visit()
    assert isinstance(caught.value.__cause__, TimeoutError)


@pytest.mark.parametrize("blocked", [1.5, 3, 30])  # times as long as a storage may take
async def test_an_answer_that_came_while_a_handler_kept_the_event_loop_is_not_late(
    world: World, blocked: float
) -> None:
    browser = await world.logged_in()

    class Delayed(Wrapper):
        async def get(self, sid: str) -> JtiRecord | None:
            await asyncio.sleep(TIMEOUT / 2)
            return await super().get(sid)

    async with make_manager(Delayed(world.records), world.clock, storage_timeout=TIMEOUT) as manager:
        visit = asyncio.create_task(browser.copy(manager).visit())
        await asyncio.sleep(TIMEOUT / 4)
        time.sleep(blocked * TIMEOUT)
        assert not (await visit).is_new


async def test_answers_that_need_many_turns_of_a_loop_that_is_kept_again_and_again_are_not_late(world: World) -> None:
    browser = await world.logged_in()

    class Winding(Wrapper):
        async def get(self, sid: str) -> JtiRecord | None:
            for _ in range(8):
                await asyncio.sleep(0)
            return await super().get(sid)

    async def keep_the_loop() -> None:
        for _ in range(12):
            time.sleep(TIMEOUT / 2)
            await asyncio.sleep(0)

    async with make_manager(Winding(world.records), world.clock, storage_timeout=TIMEOUT) as manager:
        _, session = await asyncio.gather(keep_the_loop(), browser.copy(manager).visit())
        assert not session.is_new


async def test_a_storage_that_hangs_is_not_waited_for_longer_because_the_loop_was_kept_for_long(world: World) -> None:
    browser = await world.logged_in()
    world.storage.fail("get_many", "hang")
    visit = asyncio.create_task(browser.visit())
    await asyncio.sleep(TIMEOUT / 4)
    time.sleep(30 * TIMEOUT)
    async with asyncio.timeout(25 * TIMEOUT):
        await assert_unavailable(visit)


@pytest.mark.parametrize("seed", range(10))
async def test_a_flapping_storage_logs_nobody_out(world: World, seed: int) -> None:
    chance = random.Random(seed)
    browser = await world.logged_in()
    acts: list[Callable[[Browser], Awaitable[Any]]] = [
        lambda one: one.visit(),
        lambda one: one.visit(write),
        lambda one: one.refresh(),
        lambda one: one.refresh(write),
    ]
    failed = 0
    for _ in range(40):
        for name in ("get", "get_many", "replace"):
            if chance.random() < 0.3:
                world.storage.fail(name, chance.choice(["before", "after"]))
        browser.manager = world.manager if chance.random() < 0.7 else world.elsewhere
        try:
            session = await chance.choice(acts)(browser)
            assert session.rejected is None
        except StorageUnavailable:
            failed += 1
        if chance.random() < 0.3:
            await world.settled()
            world.clock.advance(chance.choice([1, ZONE + 1, 3600]))
    assert failed > 3
    await world.settled()
    await assert_good(world, browser)
