"""Watching: live connections hear of the end of their session, whichever process ended it.

What this process ends is heard at once, from `Events`. For the rest one `get_many` looks after all watched sessions.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from ..errors import CorruptRecord, StorageUnavailable
from ..log import logger
from ..storage.contract import Clock, JtiRecord
from .events import Events, SessionEvent, Why
from .link import StorageLink

__all__ = ["ANOTHER_USER", "ELSEWHERE", "Watcher", "Watching"]

ANOTHER_USER = "another user"  # why a watch ends, beside those of `Why`
ELSEWHERE = "ended elsewhere"
BATCH = 1000  # sids in one look, so that no request waits for the reading of all
LONGEST_CHAIN = 1000  # renewals between two looks


class Watcher:
    """One watch. ``ended``: why the session has ended, once it has; ``expires_at``: when it will, as far as known."""

    def __init__(
        self,
        watching: "Watching",
        sid: str,
        subject: str | None,
        expires_at: float,
        every: float,
        on_end: Callable[[str], None],
    ) -> None:
        self.sid = sid
        self.subject = subject
        self.expires_at = expires_at
        self.every = every
        self.former: str | None = None  # the sid before a renewal, which may be taken back
        self.lost: str | None = None  # the sid that it had by a renewal, and that was gone
        self.ended: str | None = None
        self.is_stopped: bool = False
        self._watching = watching
        self._on_end = on_end

    def end(self, why: str) -> None:
        """Stops, and says so, unless it was stopped before."""
        if self.is_stopped:
            return
        self.ended = str(why)
        self.stop()
        try:
            self._on_end(self.ended)
        except Exception:
            logger.exception("a watched connection could not be ended")

    def stop(self) -> None:
        """Watches no longer."""
        self.is_stopped = True
        self._watching.drop(self)


class Watching:
    """Those who watch, by the sid that their session has now."""

    def __init__(self, link: StorageLink | None, clock: Clock, events: Events) -> None:
        self._link = link
        self._clock = clock
        self._events = events
        self._watchers: dict[str, set[Watcher]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._sooner = asyncio.Event()
        self._pause = 0.0
        events.ended.append(self._on_ended)
        events.renewed.append(self._on_renewed)

    def add(
        self, sid: str, subject: str | None, expires_at: float, every: float, on_end: Callable[[str], None]
    ) -> Watcher:
        """Watches a session from now on; ``on_end`` is called once, with the reason."""
        watcher = Watcher(self, sid, subject, expires_at, every, on_end)
        self._put(watcher)
        if every < self._pause:
            self._sooner.set()
        loop = asyncio.get_running_loop()
        if self._looking is None or self._looking.done() or self._looking.get_loop() is not loop:
            self._sooner = asyncio.Event()  # of the loop that runs now
            self._looking = loop.create_task(self._look_again_and_again())
        return watcher

    def drop(self, watcher: Watcher) -> None:
        """Forgets a watch."""
        watchers = self._watchers.get(watcher.sid, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(watcher.sid, None)
        if not self._watchers:
            self._sooner.set()

    async def aclose(self) -> None:
        """Looks no more. Who watches is not told: the session goes on."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        self._watchers.clear()

    async def look(self) -> None:
        """Asks the storage after every watched session. While it cannot answer, nothing ends."""
        sids = [*self._watchers]
        for start in range(0, len(sids), BATCH):
            await self._look_after(sids[start : start + BATCH])

    async def look_at_once(self) -> None:
        """Looks, where anybody watches, after sessions have ended that nobody tells of one by one."""
        try:
            await self.look()
        except StorageUnavailable as exc:
            logger.debug("watched sessions are not looked after for the moment: %s", exc)

    async def _look_again_and_again(self) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while self._watchers:
            self._pause = min([one.every for watchers in self._watchers.values() for one in watchers])
            if await self._is_called(looked + self._pause - loop.time()):
                continue  # by one that may not wait so long, or by the last that has gone
            looked = loop.time()
            try:
                await self.look_at_once()
            except Exception:
                logger.exception("watched sessions could not be looked after")

    async def _is_called(self, seconds: float) -> bool:
        """Waits so long, or until there is something new to be considered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._sooner.wait()
        is_called = self._sooner.is_set()
        self._sooner.clear()
        return is_called

    async def _look_after(self, sids: Sequence[str]) -> None:
        if self._link is None:
            self._end_expired(sids)
            return
        for hop in range(LONGEST_CHAIN):
            found = await self._read(self._link, sids)
            sids = [goes_on for sid in found if (goes_on := self._settle(sid, found[sid], has_moved=hop > 0))]
            if not sids:
                return

    async def _read(self, link: StorageLink, sids: Sequence[str]) -> dict[str, JtiRecord | None]:
        """The records, None for those that are gone; nothing of one that is damaged: nobody knows."""
        try:
            found = await link(link.records.get_many, sids)
        except CorruptRecord:
            if len(sids) == 1:
                return {}
            middle = len(sids) // 2
            return await self._read(link, sids[:middle]) | await self._read(link, sids[middle:])
        return {sid: found.get(sid) for sid in sids}

    def _settle(self, sid: str, record: JtiRecord | None, *, has_moved: bool) -> str | None:
        """Does what a record says to those who watch it; returns the sid that it goes on as, where it does."""
        watchers = [*self._watchers.get(sid, ())]
        if record is None:
            return self._settle_gone(watchers)
        for watcher in watchers:
            if has_moved and watcher.subject != record.subject:
                watcher.end(ANOTHER_USER)
                continue
            watcher.subject, watcher.expires_at = record.subject, record.expires_at
            if record.successor is None:
                continue
            if record.successor == watcher.lost:
                self._end_gone([watcher])
            else:
                self._move(watcher, record.successor, former=sid)
        return record.successor if watchers else None

    def _settle_gone(self, watchers: Sequence[Watcher]) -> str | None:
        """What is gone has ended, or its renewal was taken back: the record of the former sid tells which."""
        self._end_gone([watcher for watcher in watchers if watcher.former is None])
        former = None
        for watcher in watchers:
            if watcher.former is not None:
                former, watcher.lost = watcher.former, watcher.sid
                self._move(watcher, former)
        return former

    def _end_gone(self, watchers: Sequence[Watcher]) -> None:
        if not watchers:
            return
        now = self._clock()
        has_expired = any(watcher.expires_at <= now for watcher in watchers)
        if has_expired:
            self._tell_expired(watchers[0])
        for watcher in watchers:
            watcher.end(Why.EXPIRED if has_expired else ELSEWHERE)

    def _end_expired(self, sids: Iterable[str]) -> None:
        now = self._clock()
        for sid in sids:
            if expired := [watcher for watcher in self._watchers.get(sid, ()) if watcher.expires_at <= now]:
                self._tell_expired(expired[0])
                for watcher in expired:
                    watcher.end(Why.EXPIRED)

    def _tell_expired(self, watcher: Watcher) -> None:
        self._events.tell(SessionEvent("ended", watcher.sid, watcher.subject, why=Why.EXPIRED))

    def _on_ended(self, event: SessionEvent) -> None:
        if event.why is Why.EXPIRED:
            return  # it is this object that tells so
        for sid in (event.sid, *event.former):
            for watcher in [*self._watchers.get(sid or "", ())]:
                watcher.end(event.why or ELSEWHERE)

    def _on_renewed(self, event: SessionEvent) -> None:
        for sid in event.former:
            for watcher in [*self._watchers.get(sid, ())]:
                if watcher.subject != event.subject:
                    watcher.end(ANOTHER_USER)
                elif event.sid is not None:
                    self._move(watcher, event.sid, former=sid)

    def _move(self, watcher: Watcher, sid: str, former: str | None = None) -> None:
        if watcher.is_stopped:
            return
        self.drop(watcher)
        watcher.sid, watcher.former = sid, former
        self._put(watcher)

    def _put(self, watcher: Watcher) -> None:
        self._watchers.setdefault(watcher.sid, set()).add(watcher)
