"""Lifetime: the storage opens and closes with the application, and is purged meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from aiohttp import web

from ..errors import StorageUnavailable
from ..log import logger
from ..sessions.manager import SessionManager
from .outages import Outages

__all__ = ["Lifetime"]


class Lifetime:
    """Opens a manager when its application starts; closes it when the last application that has it has stopped.

    It closes after the application's other ``on_cleanup`` handlers, which may need it, as far as aiohttp lets it: in a
    sub-application, those that were registered before `setup`.
    """

    def __init__(self, manager: SessionManager, outages: Outages, *, require_storage: bool) -> None:
        self._manager = manager
        self._outages = outages
        self._require_storage = require_storage
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    def bind(self, app: web.Application) -> None:
        """Lives from the start of the application to its end."""
        app.on_cleanup.append(self._close)
        if app.on_startup.frozen:  # an on_startup handler calls setup: aiohttp enters no further context
            self._tasks.append(asyncio.get_running_loop().create_task(self._open_late()))
        else:
            app.cleanup_ctx.append(self._context)

    async def _context(self, app: web.Application) -> AsyncIterator[None]:
        await self._open()
        if not app.on_cleanup.frozen:
            app.on_cleanup.remove(self._close)
            app.on_cleanup.append(self._close)
        yield
        if not app.on_cleanup.frozen:  # the start failed: aiohttp ends the contexts and calls no on_cleanup handler
            await self._close(app)

    async def _open_late(self) -> None:
        try:
            await self._open()
        except Exception:
            logger.exception("the session storage was not opened")

    async def _open(self) -> None:
        _USES[self._manager] = _USES.get(self._manager, 0) + 1
        self._is_open = True
        try:
            await self._manager.open()
        except StorageUnavailable as exc:
            if self._require_storage:
                await self._release()
                raise
            logger.error("the session storage is not available at start; requests that need it get 503: %s", exc)
            self._outages.begin()
        except BaseException:
            await self._release()
            raise
        if self._manager.storage is not None and self._manager.config.purge_interval is not None:
            self._tasks.append(asyncio.create_task(self._purge(self._manager.config.purge_interval)))

    async def _close(self, _: web.Application) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._outages.aclose()
        await self._release()

    async def _release(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        _USES[self._manager] -= 1
        if _USES[self._manager]:
            return
        try:
            await self._manager.aclose()
        except StorageUnavailable as exc:
            logger.error("the session storage did not close: %s", exc)

    async def _purge(self, interval: float) -> None:
        """At random times, which spreads many processes over time; short-lived ones do their share too."""
        pause = random.uniform(0, interval)  # noqa: S311
        while True:
            await asyncio.sleep(pause)
            pause = interval * random.uniform(0.5, 1.5)  # noqa: S311
            try:
                await self._manager.purge()
            except StorageUnavailable as exc:
                logger.warning("expired session records were not purged: %s", exc)
            except Exception:
                logger.exception("expired session records were not purged")


_USES: WeakKeyDictionary[SessionManager, int] = WeakKeyDictionary()
