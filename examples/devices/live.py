"""Live panels: the sockets of each user, told when the list of the user's devices has changed."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import WSCloseCode, web

from aiohttp_lionrock import SessionEvent


class Live:
    """Tells of what happens in this process. ``tell`` is a listener of a manager's events."""

    def __init__(self) -> None:
        self._sockets: dict[str | None, set[web.WebSocketResponse]] = defaultdict(set)

    @asynccontextmanager
    async def told_of(self, subject: str | None, socket: web.WebSocketResponse) -> AsyncIterator[None]:
        """While the block runs, the socket gets the name of each event of this user's sessions.

        First a word that it listens now: what happened between the page and this moment it was not told of.
        """
        self._sockets[subject].add(socket)
        try:
            await _send(socket, "listening")
            yield
        finally:
            self._sockets[subject].remove(socket)
            if not self._sockets[subject]:
                del self._sockets[subject]

    async def tell(self, event: SessionEvent) -> None:
        for socket in tuple(self._sockets.get(event.subject, ())):
            await _send(socket, event.name)

    async def close(self, _: web.Application) -> None:
        """Closes all sockets: a server that ends does not wait for them."""
        for socket in [socket for sockets in self._sockets.values() for socket in sockets]:
            await socket.close(code=WSCloseCode.GOING_AWAY)


async def _send(socket: web.WebSocketResponse, word: str) -> None:
    with suppress(ConnectionError):
        await socket.send_str(word)
