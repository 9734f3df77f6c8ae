"""``python -m benchmarks.watching``: what so many watched WebSockets cost, as part of one core, with SQLite.

Every socket has a session of its own, and stays open without a word. What the server's process takes meanwhile, its
threads included, is compared with what it takes where nothing is watched; the exit status tells whether the difference
is more than was promised.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from aiohttp import web

from aiohttp_lionrock import SessionConfig, SessionManager, get_session, setup, watch

from .samples import SECRET

__all__ = ["main", "measure_watching"]

PROMISED = 0.02  # of a core
AT_ONCE = 50  # sessions that are made, and sockets that are opened, together
OPENING = [
    "GET /live HTTP/1.1",
    "Host: 127.0.0.1",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--client", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _raise_limit()
    if options.client:
        asyncio.run(_open_sockets(options.client, sys.stdin.read().splitlines()))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'sessions.db')}"
        idle, watched, longest = asyncio.run(measure_watching(url, options.sockets, options.seconds))
    cost = watched - idle
    print(f"{options.sockets} sockets, open: {idle:.2%} of a core; open and watched: {watched:.2%}")
    print(f"the watch: {cost:.2%} of a core (promised: {PROMISED:.0%})")
    print(f"the event loop was held up for at most {longest * 1000:.0f} ms")
    return cost > PROMISED


class Server:
    """An application with live connections, each of which says when it is there; ``live`` counts them."""

    def __init__(self, url: str) -> None:
        self.app = web.Application()
        self.manager = setup(self.app, SessionConfig(secret=SECRET, storage=url, refresh_token=True))
        self.app.router.add_get("/live", self.connect)
        self.is_watching = False
        self.live = 0

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        assert (await get_session(request)).subject
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async with watch(request, socket) if self.is_watching else nullcontext():
            self.live += 1
            try:
                await socket.send_str("ok")
                await socket.receive()
            finally:
                self.live -= 1
        return socket

    async def all_gone(self) -> None:
        """Waits until no connection is left."""
        while self.live:
            await asyncio.sleep(0.1)


async def measure_watching(url: str, sockets: int, seconds: float) -> tuple[float, float, float]:
    """Parts of a core without and with a watch, and the longest time for which the event loop was held up."""
    server = Server(url)
    runner = web.AppRunner(server.app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=AT_ONCE).start()
        port = runner.addresses[0][1]
        cookies = await _make_sessions(server.manager, sockets)
        idle, _ = await _measure(server, port, cookies, seconds)
        server.is_watching = True
        watched, longest = await _measure(server, port, cookies, seconds)
    finally:
        await runner.cleanup()
    return idle, watched, longest


async def _measure(server: Server, port: int, cookies: Sequence[str], seconds: float) -> tuple[float, float]:
    """The part of a core that this process takes, and its longest pause, while a client holds its sockets open."""
    command = [sys.executable, "-m", "benchmarks.watching", "--client", str(port)]
    client = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdin is not None
    assert client.stdout is not None
    try:
        client.stdin.write("\n".join(cookies).encode())
        client.stdin.close()
        assert await client.stdout.readline() == f"{len(cookies)} open\n".encode()
        began, used, longest = time.perf_counter(), time.process_time(), 0.0
        while (now := time.perf_counter()) < began + seconds:
            await asyncio.sleep(0.05)
            longest = max(longest, time.perf_counter() - now - 0.05)
        part = (time.process_time() - used) / (time.perf_counter() - began)
        assert server.live == len(cookies), "not every socket was open to the end"
        return part, longest
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself, and said why
            client.terminate()
        await client.wait()
        await server.all_gone()


async def _make_sessions(manager: SessionManager, count: int) -> list[str]:
    """The Cookie header of each of so many logins."""

    async def log_in(number: int) -> str:
        session = await manager.load({})
        session["sub"] = f"user {number}"
        return "; ".join(f"{change.name}={change.value}" for change in await manager.save(session))

    cookies: list[str] = []
    for start in range(0, count, AT_ONCE):
        cookies += await asyncio.gather(*map(log_in, range(start, min(start + AT_ONCE, count))))
    return cookies


async def _open_sockets(port: int, cookies: Sequence[str]) -> None:
    """The client: opens a socket for each of these cookies and holds it, until it is ended."""

    async def open_one(cookie: str) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join([*OPENING, f"Cookie: {cookie}", "", ""]).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(4) == b"\x81\x02ok"  # one frame of text
        return writer

    writers = []
    for start in range(0, len(cookies), AT_ONCE):
        writers += await asyncio.gather(*map(open_one, cookies[start : start + AT_ONCE]))
    print(f"{len(writers)} open", flush=True)
    await asyncio.Event().wait()


def _raise_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
