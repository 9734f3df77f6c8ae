"""Outages: says once that the storage stopped answering, and once that it is back."""

import asyncio
import contextlib
import random

from ..errors import CorruptRecord, StorageUnavailable
from ..log import logger
from ..sessions.events import SessionEvent
from ..sessions.manager import SessionManager

__all__ = ["Outages"]

PAUSE = 1.0  # seconds between two looks at a storage that does not answer
SHORTEST_PAUSE = 0.02  # however many requests give hope meanwhile


class Outages:
    """The outages of one manager's storage: a line in the log at either end, and no flood between."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._refused = 0
        self._hope = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self.is_on: bool = False  # from `begin` on, until the storage has answered again

    def refused(self, exc: StorageUnavailable) -> None:
        """Counts a request that gets 503, and says why at DEBUG."""
        logger.debug("a request gets 503: %s", exc, exc_info=exc)
        if isinstance(exc, CorruptRecord):
            logger.error("a session cannot be read, its request gets 503: %s", exc)
            return
        if not self.is_on:
            logger.warning("the session storage stopped answering; requests that need it get 503: %s", exc)
            self.begin()
        self._refused += 1

    def begin(self) -> None:
        """Watches for the end of an outage that the log names already."""
        if self.is_on:
            return
        self._refused, self.is_on = 0, True
        self._manager.events.tell(SessionEvent("storage_down"))
        self._watch = asyncio.get_running_loop().create_task(self._wait_for_end())

    def answered(self) -> None:
        """A request was served from the storage: an outage may be over."""
        self._hope.set()

    async def aclose(self) -> None:
        """Stops watching."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch, self.is_on = None, False

    async def _wait_for_end(self) -> None:
        while True:
            is_hopeful = await self._pause()
            if self._manager.storage is None and not is_hopeful:
                continue  # callbacks cannot be asked but by a request
            try:
                await self._manager.open()
            except Exception as exc:  # a storage that was put right the wrong way may raise anything
                logger.debug("the session storage cannot be opened: %s", exc)
                continue
            break
        self._watch, self.is_on = None, False
        self._manager.events.tell(SessionEvent("storage_up"))
        logger.warning("the session storage answers again; %d requests got 503", self._refused)

    async def _pause(self) -> bool:
        """Until there is hope, which it returns, or it is time to look anyway."""
        await asyncio.sleep(SHORTEST_PAUSE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAUSE * random.uniform(0.5, 1.5)):  # noqa: S311 - spreads many processes over time
                await self._hope.wait()
        is_hopeful = self._hope.is_set()
        self._hope.clear()
        return is_hopeful
