"""A server whose storage fails on demand, and what stays true of its sessions."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from aiohttp_lionrock import JtiEvent, MemoryStorage, Session, SessionManager, StorageUnavailable
from aiohttp_lionrock.testing import FakeClock

from .browser import ACCESS_LIFETIME, LEEWAY, REFRESH, Browser, make_manager
from .storages import FaultyStorage

__all__ = ["PATIENCE", "TIMEOUT", "UNKNOWN", "World", "assert_good", "assert_unavailable", "write"]


TIMEOUT = 0.04  # seconds that a manager of these tests waits for the storage
PATIENCE = 5.0  # seconds after which a test calls something endless
UNKNOWN = ("after", "hang", "hang after", "late")


class World:
    """A storage that fails on demand, the server on it, and a second server that reaches the same data undisturbed."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.records = MemoryStorage(clock=self.clock)
        self.storage = FaultyStorage(self.records)
        self.manager = self.server()
        self.elsewhere = make_manager(self.records, self.clock)
        self.replays: list[JtiEvent] = []
        self.managers = [self.manager, self.elsewhere]
        for manager in self.managers:
            manager.on_reuse.append(self._hear)
        self._own_tasks = asyncio.all_tasks()

    async def _hear(self, event: JtiEvent) -> None:
        self.replays.append(event)

    def server(self, **settings: Any) -> SessionManager:
        return make_manager(self.storage, self.clock, storage_timeout=TIMEOUT, **settings)

    def background(self) -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - self._own_tasks - {asyncio.current_task()}  # type: ignore[arg-type]

    async def settled(self) -> None:
        """The storage works again, and what was left to do in the background is done."""
        self.storage.heal()
        await self.storage.late_work()
        async with asyncio.timeout(PATIENCE):
            while self.background():
                await asyncio.sleep(0.002)

    async def logged_in(self) -> Browser:
        browser = Browser(self.manager)
        await browser.log_in(theme="dark")
        self.clock.advance(1)
        return browser


async def assert_unavailable(call: Awaitable[Any]) -> None:
    """The call raises StorageUnavailable, and in time."""
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(asyncio.ensure_future(call), PATIENCE)
    assert time.monotonic() - began < 2


async def assert_good(world: World, browser: Browser) -> None:
    """The browser's session is honoured by every server, now and at a refresh long after, and is nobody's ghost."""
    assert [record.sid for record in await world.elsewhere.sessions("ann")] == [browser.sid]
    for manager in world.managers:
        assert (await manager.load(browser.cookies))["theme"] == "dark"
        assert (await manager.load({REFRESH: browser.cookies[REFRESH]}))["theme"] == "dark"
    for manager in world.managers:
        world.clock.advance(ACCESS_LIFETIME + LEEWAY + 1)
        session = await browser.copy(manager).visit()
        assert session["theme"] == "dark"
        browser.manager = manager
        assert (await browser.visit()).rejected is None
    assert not world.replays


def write(session: Session) -> None:
    session["visits"] = session.get("visits", 0) + 1
