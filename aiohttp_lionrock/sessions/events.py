"""Events: what becomes of sessions, told to whoever listens. No token bytes and no session data are in them."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from ..log import logger

__all__ = ["Events", "Listener", "SessionEvent", "Why"]

PATIENCE = 2.0  # seconds that closing waits for listeners

T = TypeVar("T")


class Why(StrEnum):
    """Why a session ended."""

    LOGOUT = "logout"
    REVOKED = "revoked"
    REVOKED_SUBJECT = "revoked subject"
    CAP = "cap"
    REUSE = "reuse"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One event, by the name of its list in `Events`; ``sid`` and ``subject`` are None where they are not known.

    ``former`` are sids that the session had before a renewal, as far as this call met them. ``why`` says why it
    ended, ``code`` (of the TokenError) why a token was refused.
    """

    name: str
    sid: str | None = None
    subject: str | None = None
    former: tuple[str, ...] = ()
    why: Why | None = None
    code: str | None = None


Listener = Callable[[SessionEvent], Awaitable[object] | None]


class Events:
    """Lists of listeners, functions or coroutine functions; append your own.

    A function is called on the spot and must be quick; a coroutine runs in a task of its own, and no answer waits for
    it. What a listener raises is logged. ``stats`` counts the events by name, and by ``name.why`` and ``name.code``.
    """

    def __init__(self) -> None:
        self.started: list[Listener] = []
        self.renewed: list[Listener] = []
        self.refreshed: list[Listener] = []
        self.ended: list[Listener] = []
        self.reused: list[Listener] = []
        self.refused: list[Listener] = []
        self.storage_down: list[Listener] = []
        self.storage_up: list[Listener] = []
        self.stats: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()

    def tell(self, event: SessionEvent) -> None:
        """Counts an event, and tells it to those who listen."""
        self.stats[event.name] += 1
        if detail := event.why or event.code:
            self.stats[f"{event.name}.{detail}"] += 1
        self.call(event.name, getattr(self, event.name), event)

    def call(self, name: str, listeners: Iterable[Callable[[T], Awaitable[object] | None]], event: T) -> None:
        """Tells these listeners as it tells its own, and counts nothing; ``name`` stands in the log for what fails."""
        for listener in [*listeners]:
            try:
                answer = listener(event)
            except Exception:
                logger.exception("a listener of %r failed", name)
            else:
                if inspect.isawaitable(answer):
                    self._run(name, answer)

    async def aclose(self) -> None:
        """Waits a moment for the listeners that still run, and ends the others."""
        if self._running:
            _, late = await asyncio.wait(self._running.copy(), timeout=PATIENCE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _run(self, name: str, answer: Awaitable[object]) -> None:
        async def run() -> None:
            try:
                await answer
            except Exception:
                logger.exception("a listener of %r failed", name)

        task = asyncio.get_running_loop().create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
