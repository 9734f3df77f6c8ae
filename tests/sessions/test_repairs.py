"""Repairs in the background try until the storage is back, and end with the manager."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from support.browser import ACCESS_LIFETIME, Browser, make_manager
from support.outages import World, assert_unavailable

from aiohttp_lionrock import MemoryStorage
from aiohttp_lionrock.testing import FakeClock

T = TypeVar("T")


async def test_closing_the_manager_ends_every_repair(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.storage.fail("insert", "after", times=2)
    world.storage.fail("delete", "before", times=1000)
    for _ in range(2):
        await assert_unavailable(Browser(world.manager).log_in())
    assert 1 <= len(world.background()) <= 3  # one worker for both, and what it tries at this moment
    await asyncio.wait_for(world.manager.aclose(), 5)
    assert not world.background()
    assert "2 session records" in caplog.text


async def test_a_repair_that_is_at_work_when_the_manager_closes_is_tried_once_more(world: World) -> None:
    world.storage.fail("insert", "after")
    world.storage.fail("delete", "hang")
    await assert_unavailable(Browser(world.manager).log_in())
    while "delete" not in world.storage.calls:
        await asyncio.sleep(0)
    assert len(await world.elsewhere.sessions("ann")) == 1
    await asyncio.wait_for(world.manager.aclose(), 5)
    assert await world.elsewhere.sessions("ann") == []


async def test_a_request_that_fails_while_the_manager_closes_leaves_no_task_behind(world: World) -> None:
    world.storage.fail("insert", "hang")
    world.storage.fail("delete", "before", times=1000)
    request = asyncio.create_task(Browser(world.manager).log_in())
    await asyncio.sleep(0)
    await world.manager.aclose()
    await assert_unavailable(request)
    await asyncio.sleep(0.02)
    assert not world.background()


async def test_a_repair_tries_until_the_storage_is_back_and_then_stops(world: World) -> None:
    world.storage.fail("insert", "after")
    world.storage.fail("delete", "before", times=2)
    await assert_unavailable(Browser(world.manager).log_in())
    with world.storage.away():
        await asyncio.sleep(0.05)
        assert 1 <= len(world.background()) <= 2
    assert len(await world.elsewhere.sessions("ann")) == 1
    await world.settled()
    assert await world.elsewhere.sessions("ann") == []
    calls = len(world.storage.calls)
    await asyncio.sleep(0.05)
    assert len(world.storage.calls) == calls


def test_what_one_event_loop_has_left_is_settled_by_the_manager_in_the_next(clock: FakeClock) -> None:
    manager = make_manager(storage := MemoryStorage(clock=clock), clock)
    browser = Browser(manager)
    asyncio.run(lasting(browser.log_in()))
    clock.advance(ACCESS_LIFETIME + 1)
    for refresh in (browser.refresh, browser.refresh):
        asyncio.run(lasting(refresh()))
    rotated = asyncio.run(lasting(storage.get(browser.sid)))
    assert rotated.rotated_at is None, "the loop ended before its leeway began"
    asyncio.run(manager.aclose())
    settled = asyncio.run(lasting(storage.get(browser.sid)))
    assert settled.rotated_at == clock()


async def lasting(work: Awaitable[T]) -> T:
    """Coroutines for `asyncio.run` out of whatever can be awaited."""
    return await work
