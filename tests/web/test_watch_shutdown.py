"""An application that stops: what it watches ends, so that a server need not wait for open connections."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar, WSMsgType, web
from support.visitor import install

from aiohttp_lionrock import get_manager, get_session, watch
from aiohttp_lionrock.web.installation import INSTALLATION

PATIENCE = 5.0  # seconds; the server would wait for ten times as long


class Site:
    """An application under a real server; ``left`` has why each watched block ended."""

    def __init__(self) -> None:
        self.app = web.Application()
        install(self.app, storage="memory://", cookie={"secure": False})
        inner = web.Application()
        inner.add_routes([web.get("/socket", self.socket)])
        self.app.add_subapp("/inner", inner)
        for name in ("log_in", "socket", "stream", "waiting", "late"):
            self.app.router.add_get(f"/{name}", getattr(self, name))
        self.left: list[str | None] = []
        self.has_begun = asyncio.Event()
        self.is_stopping = asyncio.Event()
        self.app.on_shutdown.append(self._note_shutdown)
        self.runner = web.AppRunner(self.app, shutdown_timeout=10 * PATIENCE)

    async def _note_shutdown(self, _: web.Application) -> None:
        self.is_stopping.set()

    async def stop(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.runner.cleanup()

    async def log_in(self, request: web.Request) -> web.Response:
        (await get_session(request))["sub"] = "ann"
        return web.Response()

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async with watch(request, response) as watched:
            await response.send_str(f"begun by {(await get_session(request)).subject}")
            async for _ in response:
                pass
        self.left.append(watched.ended)
        return response

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request)

    async def late(self, request: web.Request) -> web.StreamResponse:
        self.has_begun.set()
        await self.is_stopping.wait()
        return await self._stream(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async with watch(request, response) as watched:
            await response.write(b"begun ")
            await asyncio.Event().wait()
        await response.write(str(watched.ended).encode())
        self.left.append(watched.ended)
        return response

    async def waiting(self, request: web.Request) -> web.WebSocketResponse:
        """Does not read, and loses its session."""
        response = web.WebSocketResponse()
        await response.prepare(request)
        async with watch(request, response) as watched:
            assert await get_manager(request).revoke_subject("ann") == 1
            self.has_begun.set()
            await asyncio.Event().wait()
        self.left.append(watched.ended)
        return response


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.runner.setup()
    await web.TCPSite(site.runner, "127.0.0.1", 0).start()
    yield site
    await site.stop()


@pytest.fixture
async def client(site: Site) -> AsyncIterator[ClientSession]:
    host, port = site.runner.addresses[0][:2]
    async with ClientSession(f"http://{host}:{port}", cookie_jar=CookieJar(unsafe=True)) as client:
        yield client


@pytest.mark.parametrize("path", ["/socket", "/inner/socket"])
@pytest.mark.parametrize("has_session", [True, False])
async def test_a_server_that_stops_tells_its_sockets_that_it_goes_away(site, client, path, has_session):
    if has_session:
        await client.get("/log_in")
    async with client.ws_connect(path) as socket:
        assert await socket.receive_str() == f"begun by {'ann' if has_session else None}"
        stopping = asyncio.create_task(site.stop())
        message = await socket.receive(timeout=PATIENCE)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1001, "shutdown")
        await stopping
    assert site.left == ["shutdown"]


async def test_a_stream_says_its_last_words_before_the_server_stops(site, client):
    await client.get("/log_in")
    async with client.get("/stream") as response:
        assert await response.content.readexactly(6) == b"begun "
        await site.stop()
        assert await response.read() == b"shutdown"


async def test_a_stream_that_begins_while_the_server_stops_is_left_at_once(site, client):
    await client.get("/log_in")
    asking = asyncio.create_task(client.get("/late"))
    await site.has_begun.wait()
    await site.stop()
    assert await (await asking).read() == b"begun shutdown"


async def test_what_has_ended_before_the_server_stops_keeps_its_reason(site, client, monkeypatch):
    monkeypatch.setattr(sys.modules[watch.__module__], "LINGER", 0.2)
    await client.get("/log_in")
    async with client.ws_connect("/waiting") as socket:
        await site.has_begun.wait()
        stopping = asyncio.create_task(site.stop())
        message: Any = await socket.receive(timeout=PATIENCE)
        assert (message.data, message.extra) == (4401, "revoked subject")
        await stopping
    assert site.left == ["revoked subject"]


async def test_an_application_that_is_served_once_more_watches_as_before(site, client):
    await client.get("/log_in")
    await site.stop()
    again = web.AppRunner(site.app)
    await again.setup()
    try:
        await web.TCPSite(again, "127.0.0.1", 0).start()
        host, port = again.addresses[0][:2]
        async with ClientSession(cookie_jar=client.cookie_jar) as later:
            async with later.ws_connect(f"http://{host}:{port}/socket") as socket:
                assert await socket.receive_str() == "begun by ann"
                with pytest.raises(TimeoutError):
                    await socket.receive(timeout=0.2)
    finally:
        await again.cleanup()


async def test_nothing_is_kept_of_blocks_that_were_left(site, client):
    await client.get("/log_in")
    for _ in range(3):
        async with client.ws_connect("/socket") as socket:
            await socket.receive_str()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while len(site.left) < 3:
                await asyncio.sleep(0.01)
    assert site.left == [None] * 3
    assert not site.app[INSTALLATION].leaving
