"""watch: a WebSocket or a stream that ends with its session."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import WSCloseCode, web

from .installation import INSTALLATION, Installation, find_installation
from .visit import get_session

__all__ = ["Watched", "leave_all", "watch"]

LINGER = 15.0  # seconds for a block to leave by itself once its socket is closed; the closing may take 10 of them
SESSION_ENDED = 4401  # of the codes that are left to applications (RFC 6455, section 7.4.2); named after 401
SHUTDOWN = "shutdown"


class Watched:
    """What `watch` gives to its block. ``ended``: why it has to end, once it has to; None while the session lives."""

    def __init__(self) -> None:
        self.ended: str | None = None


@asynccontextmanager
async def watch(
    request: web.Request, response: web.StreamResponse, *, code: int = SESSION_ENDED, every: float = 5.0
) -> AsyncIterator[Watched]:
    """Watches the request's session while the block runs; begin it after ``await response.prepare(request)``.

    When the session has ended, expired or become another user's, a WebSocket is closed with ``code``, so that a loop
    over its messages ends; of any other response the block is left, as by a time-out that nobody has to catch, and so
    is one that 15 seconds later still waits for something else than its socket. At once where this process ended the
    session, within ``every`` seconds where another one did. A renewal goes on, and so does everything while the storage
    cannot answer. Without a storage only the expiry is watched; without a session, nothing. The same where the
    application stops, with the code 1001 (going away), so that open connections do not hold it up.
    """
    if not response.prepared:
        raise RuntimeError("watch begins after await response.prepare(request): until then the session is not saved")
    installation = find_installation(request)
    session, watched = await get_session(request), Watched()
    closing: list[asyncio.Task[bool]] = []
    try:
        async with asyncio.timeout(None) as limit:

            def end(why: str, code: int = code) -> None:
                if watched.ended is not None:
                    return
                watched.ended = why
                if isinstance(response, web.WebSocketResponse):
                    closing.append(asyncio.create_task(response.close(code=code, message=why.encode())))
                    limit.reschedule(asyncio.get_running_loop().time() + LINGER)
                else:
                    limit.reschedule(0)

            with _leaving_with(installation, lambda: end(SHUTDOWN, WSCloseCode.GOING_AWAY)):
                watcher = installation.manager.watch(session, end, every)
                try:
                    yield watched
                finally:
                    if watcher is not None:
                        watcher.stop()
    except TimeoutError:
        if not limit.expired():
            raise
    except ConnectionResetError:  # of a message to a socket that was just closed
        if not closing:
            raise
    finally:
        await asyncio.gather(*closing, return_exceptions=True)


async def leave_all(app: web.Application) -> None:
    """Ends the blocks of an application that stops: its server waits for them before it closes."""
    installation = app[INSTALLATION]
    installation.is_stopping = True
    for leave in [*installation.leaving]:
        leave()


@contextmanager
def _leaving_with(installation: Installation, leave: Callable[[], None]) -> Iterator[None]:
    installation.leaving.add(leave)
    try:
        if installation.is_stopping:
            leave()
        yield
    finally:
        installation.leaving.discard(leave)
