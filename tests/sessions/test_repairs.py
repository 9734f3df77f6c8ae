"""Repairs in the background try until the storage is back, and end with the manager."""

import asyncio

import pytest
from support.browser import Browser
from support.outages import World, assert_unavailable


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
