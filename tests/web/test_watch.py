"""WebSockets and streams end with their session: real connections, and what others do meanwhile."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from support.storages import FaultyStorage
from support.visitor import Visitor, install, start

from aiohttp_lionrock import MemoryStorage, SessionManager, get_manager, get_session, watch
from aiohttp_lionrock.testing import FakeClock

SOON = 0.05  # seconds between two looks in these tests
PATIENCE = 3.0


class Live:
    """A site with live connections; ``left`` has why each watched block ended."""

    def __init__(self, storage: Any, **settings: Any) -> None:
        self.app = web.Application()
        self.manager = install(self.app, storage=storage, **settings)
        self.left: list[str | None] = []
        self.every = 60.0  # seconds: what is heard in time was not polled
        for name in ("socket", "talk", "waiting", "stream", "reading", "failing", "early"):
            self.app.router.add_get(f"/{name}", getattr(self, name))
        for name in ("log_in", "log_out", "renew", "cart", "leave", "revoke", "revoke_all", "everyone_out"):
            self.app.router.add_get(f"/{name}", globals()[name])

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Answers messages."""
        response = web.WebSocketResponse()
        await response.prepare(request)
        async with watch(request, response, every=self.every) as watched:
            try:
                async for message in response:
                    await response.send_str(f"you said {message.data}")
            finally:  # aiohttp's test server cancels the handler of a connection that has closed
                self.left.append(watched.ended)
        return response

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        """Sends all the time, and never reads."""
        response = web.WebSocketResponse()
        await response.prepare(request)
        async with watch(request, response, every=self.every, code=4999) as watched:
            try:
                while True:
                    await response.send_str("tick")
                    await asyncio.sleep(0.001)
            finally:
                self.left.append(watched.ended)
        return response

    async def waiting(self, request: web.Request) -> web.WebSocketResponse:
        """Sends what comes from elsewhere, and nothing comes."""
        response = web.WebSocketResponse()
        await response.prepare(request)
        async with watch(request, response, every=self.every, code=4999) as watched:
            await response.send_str("tick")
            await asyncio.Event().wait()
        self.left.append(watched.ended)
        return response

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async with watch(request, response, every=self.every) as watched:
            await response.write(b"data: begun\n\n")
            await asyncio.Event().wait()
        await response.write(f"data: {watched.ended}\n\n".encode())
        self.left.append(watched.ended)
        return response

    async def reading(self, request: web.Request) -> web.StreamResponse:
        """Ends of its own accord."""
        response = web.StreamResponse()
        await response.prepare(request)
        async with watch(request, response) as watched:
            await response.write(b"all")
        self.left.append(watched.ended)
        return response

    async def failing(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for error in (TimeoutError, ConnectionResetError, ValueError):
            with pytest.raises(error):
                async with watch(request, response):
                    raise error
            self.left.append(error.__name__)
        return response

    async def early(self, request: web.Request) -> web.StreamResponse:
        with pytest.raises(RuntimeError, match="prepare"):
            async with watch(request, web.StreamResponse()):
                pass
        return web.Response()


async def log_in(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.renew()
    session["sub"] = request.query.get("sub", "ann")
    return web.Response()


async def log_out(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    return web.Response()


async def renew(request: web.Request) -> web.Response:
    (await get_session(request)).renew()
    return web.Response()


async def cart(request: web.Request) -> web.Response:
    (await get_session(request))["cart"] = ["apple"]
    return web.Response()


async def leave(request: web.Request) -> web.Response:
    (await get_session(request))["sub"] = "bob"
    return web.Response()


async def revoke(request: web.Request) -> web.Response:
    await get_manager(request).revoke(request.query["sid"])
    return web.Response()


async def revoke_all(request: web.Request) -> web.Response:
    await get_manager(request).revoke_subject("ann")
    return web.Response()


async def everyone_out(request: web.Request) -> web.Response:
    await get_manager(request).revoke_all()
    return web.Response()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def live(storage: FaultyStorage) -> Live:
    return Live(storage, storage_timeout=0.2)


@pytest.fixture
async def visitor(aiohttp_client: Any, live: Live) -> Visitor:
    visitor = await start(aiohttp_client, live.app)
    await visitor.get("/log_in")
    return visitor


@contextlib.asynccontextmanager
async def connected(visitor: Visitor, path: str = "/socket") -> AsyncIterator[ClientWebSocketResponse]:
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    async with visitor.client.ws_connect(path, headers={"Cookie": cookies}) as socket:
        if path == "/socket":
            await alive(socket)
        yield socket


async def alive(socket: ClientWebSocketResponse) -> None:
    await socket.send_str("hello")
    assert await socket.receive_str(timeout=PATIENCE) == "you said hello"


async def closed(socket: ClientWebSocketResponse) -> tuple[int, str]:
    """The close code and reason, whatever came before them."""
    while True:
        message = await socket.receive(timeout=PATIENCE)
        if message.type is not WSMsgType.TEXT:
            assert message.type is WSMsgType.CLOSE
            return message.data, message.extra


async def until_left(live: Live, count: int = 1) -> list[str | None]:
    async with asyncio.timeout(PATIENCE):
        while len(live.left) < count:
            await asyncio.sleep(0.005)
    return live.left


# --- ended by this process: at once ------------------------------------------------------------------------------

ENDINGS = {
    "logout": ("/log_out", "logout"),
    "another user": ("/leave", "logout"),
    "revoked": ("/revoke?sid={sid}", "revoked"),
    "revoked subject": ("/revoke_all", "revoked subject"),
    "everyone": ("/everyone_out", "ended elsewhere"),
}


@pytest.mark.parametrize(("path", "why"), ENDINGS.values(), ids=ENDINGS)
async def test_what_this_process_ends_closes_the_socket_at_once(live, visitor, path, why):
    async with connected(visitor) as socket:
        await visitor.copy().get(path.format(sid=visitor.refreshing["sid"]))
        assert await closed(socket) == (4401, why)
    assert await until_left(live) == [why]


@pytest.mark.parametrize(("path", "why"), ENDINGS.values(), ids=ENDINGS)
async def test_what_this_process_ends_ends_a_stream_at_once(live, visitor, path, why):
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    async with visitor.client.get("/stream", headers={"Cookie": cookies}) as response:
        assert await response.content.readline() == b"data: begun\n"
        await visitor.copy().get(path.format(sid=visitor.refreshing["sid"]))
        async with asyncio.timeout(PATIENCE):
            assert await response.content.read() == f"\ndata: {why}\n\n".encode()
    assert await until_left(live) == [why]


async def test_a_socket_that_only_sends_is_closed_with_the_code_asked_for(live, visitor):
    async with connected(visitor, "/talk") as socket:
        assert await socket.receive_str(timeout=PATIENCE) == "tick"
        await visitor.copy().get("/log_out")
        assert await closed(socket) == (4999, "logout")
    assert await until_left(live) == ["logout"]


@pytest.mark.parametrize("handler", ["talk", "waiting"])
async def test_after_the_block_of_a_socket_that_was_closed_the_handler_goes_on(live, visitor, monkeypatch, handler):
    """As under `web.run_app`, where a closed connection does not cancel its handler."""
    monkeypatch.setattr(sys.modules[watch.__module__], "LINGER", 0.1)
    went_on = asyncio.Event()

    async def outer(request: web.Request) -> web.StreamResponse:
        response = await getattr(live, handler)(request)
        went_on.set()
        return response

    app = web.Application()
    install(app, storage=live.manager.storage)
    app.router.add_get("/talk", outer)
    app.router.add_get("/log_out", log_out)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())}
        async with ClientSession(f"http://{host}:{port}", headers=headers) as client:
            async with client.ws_connect("/talk") as socket:
                await socket.receive_str(timeout=PATIENCE)
                await client.get("/log_out")
                assert await closed(socket) == (4999, "logout")
            async with asyncio.timeout(PATIENCE):
                await went_on.wait()
            assert live.left == ["logout"]
    finally:
        await runner.cleanup()


async def test_all_connections_of_a_session_end_and_no_other(live, visitor):
    other = Visitor(visitor.client)
    await other.get("/log_in?sub=eve")
    async with connected(visitor) as one, connected(visitor) as two, connected(other) as third:
        await visitor.copy().get("/log_out")
        assert [await closed(socket) for socket in (one, two)] == [(4401, "logout")] * 2
        await alive(third)
    assert (await until_left(live, 3)).count(None) == 1


async def test_a_replayed_refresh_token_closes_the_socket_of_thief_and_victim(aiohttp_client, storage):
    live = Live(storage, jti={"reuse_leeway": 0})
    visitor = await start(aiohttp_client, live.app)
    await visitor.get("/log_in")
    thief = visitor.copy()
    await visitor.refresh("/renew_nothing")  # an unknown path refreshes nothing
    await visitor.refresh("/cart")
    async with connected(visitor) as socket:
        await thief.refresh("/cart")
        assert await closed(socket) == (4401, "reuse")


# --- renewals ----------------------------------------------------------------------------------------------------


async def test_a_renewal_goes_on_and_the_new_session_is_the_one_that_is_watched(live, visitor):
    async with connected(visitor) as socket:
        await visitor.get("/renew")
        await visitor.get("/renew")
        await alive(socket)
        await visitor.get("/log_out")
        assert await closed(socket) == (4401, "logout")


async def test_a_login_ends_what_watched_the_session_of_nobody(aiohttp_client, live):
    visitor = await start(aiohttp_client, live.app)
    await visitor.get("/cart")
    async with connected(visitor) as socket:
        await visitor.get("/log_in")
        assert await closed(socket) == (4401, "another user")


# --- ended elsewhere: within the time given ----------------------------------------------------------------------


@pytest.fixture
async def elsewhere(aiohttp_client: Any, storage: FaultyStorage, visitor: Visitor, live: Live) -> Visitor:
    """The same browser at another server of the same storage."""
    live.every = SOON
    other = await start(aiohttp_client, Live(storage).app)
    other.cookies = visitor.cookies
    return other


@pytest.mark.parametrize("path", [path for path, _ in ENDINGS.values()], ids=ENDINGS)
async def test_what_another_process_ends_closes_the_socket_soon(live, visitor, elsewhere, path):
    why = "another user" if path == "/leave" else "ended elsewhere"
    async with connected(visitor) as socket:
        await asyncio.sleep(2 * SOON)
        await alive(socket)
        await elsewhere.get(path.format(sid=visitor.refreshing["sid"]))
        assert await closed(socket) == (4401, why)


async def test_a_renewal_elsewhere_goes_on_until_its_successor_ends(live, visitor, elsewhere):
    async with connected(visitor) as socket:
        await elsewhere.get("/renew")
        await elsewhere.get("/renew")
        await asyncio.sleep(3 * SOON)
        await alive(socket)
        await elsewhere.get("/log_out")
        assert await closed(socket) == (4401, "ended elsewhere")


async def test_what_was_renewed_elsewhere_and_is_ended_here_ends_at_once(live, visitor, elsewhere):
    live.every = 60
    async with connected(visitor) as socket:
        before = visitor.refreshing["sid"]
        await elsewhere.get("/renew")
        await visitor.get(f"/revoke?sid={before}")
        assert await closed(socket) == (4401, "revoked")


async def test_a_user_revoked_here_ends_what_was_renewed_elsewhere_at_once(live, visitor, elsewhere):
    live.every = 60
    async with connected(visitor) as socket:
        await elsewhere.get("/renew")
        await elsewhere.get("/renew")
        await visitor.get("/revoke_all")
        assert await closed(socket) == (4401, "revoked subject")


async def test_a_storage_that_cannot_answer_closes_nothing(live, visitor, elsewhere, storage):
    async with connected(visitor) as socket:
        with storage.away():
            await asyncio.sleep(4 * SOON)
            await alive(socket)
        await asyncio.sleep(2 * SOON)
        await alive(socket)
        await elsewhere.get("/log_out")
        assert await closed(socket) == (4401, "ended elsewhere")


async def test_one_who_may_not_wait_so_long_is_not_held_up_by_one_who_may(live, visitor, elsewhere):
    live.every = 60
    async with connected(visitor):
        await asyncio.sleep(SOON)
        live.every = SOON
        async with connected(visitor) as socket:
            await elsewhere.get("/log_out")
            assert await closed(socket) == (4401, "ended elsewhere")


# --- expiry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_storage", [True, False])
async def test_an_expired_session_closes_its_socket(aiohttp_client, clock, monkeypatch, has_storage):
    storage = MemoryStorage(clock=clock) if has_storage else None
    live = Live(storage, refresh_token=False, expires=600)
    live.every = SOON
    monkeypatch.setattr("time.time", clock)
    visitor = await start(aiohttp_client, live.app)
    await visitor.get("/log_in")
    async with connected(visitor) as socket:
        clock.advance(590)
        await asyncio.sleep(2 * SOON)
        await alive(socket)
        clock.advance(10)
        assert await closed(socket) == (4401, "expired")
    assert live.manager.events.stats["ended.expired"] == 1


async def test_a_session_that_is_refreshed_meanwhile_keeps_its_socket(aiohttp_client, clock, monkeypatch):
    live = Live(MemoryStorage(clock=clock), refresh_token={"expires": 1000}, access_token={"expires": 600})
    live.every = SOON
    monkeypatch.setattr("time.time", clock)
    visitor = await start(aiohttp_client, live.app)
    await visitor.get("/log_in")
    async with connected(visitor) as socket:
        for _ in range(3):
            clock.advance(700)
            await visitor.get("/cart")
            await asyncio.sleep(2 * SOON)
            await alive(socket)
        clock.advance(1000)
        assert await closed(socket) == (4401, "expired")


# --- edges -------------------------------------------------------------------------------------------------------


async def test_a_visitor_without_a_session_is_not_watched(aiohttp_client, live, storage):
    live.every = SOON
    visitor = await start(aiohttp_client, live.app)
    storage.calls.clear()
    async with connected(visitor) as socket:
        await asyncio.sleep(3 * SOON)
        await alive(socket)
    assert "get_many" not in storage.calls


async def test_a_block_that_ends_by_itself_leaves_nothing_behind(live, visitor, storage):
    live.every = SOON
    assert (await visitor.get("/reading")).text == "all"
    async with connected(visitor):
        pass
    assert await until_left(live, 2) == [None, None]
    await asyncio.sleep(2 * SOON)
    asked = storage.calls.count("get_many")
    await asyncio.sleep(3 * SOON)
    assert storage.calls.count("get_many") == asked


async def test_the_errors_of_the_block_are_its_own(live, visitor):
    await visitor.get("/failing")
    assert live.left == ["TimeoutError", "ConnectionResetError", "ValueError"]


async def test_a_response_that_is_not_prepared_is_not_watched(visitor):
    assert (await visitor.get("/early")).status == 200


async def test_many_sockets_are_looked_after_by_one_call(live, visitor, storage):
    live.every = 0.2
    others = []
    for number in range(5):
        others.append(Visitor(visitor.client))
        await others[-1].get(f"/log_in?sub=user{number}")
    async with contextlib.AsyncExitStack() as stack:
        for one in (visitor, visitor, *others):
            await stack.enter_async_context(connected(one))
        storage.calls.clear()
        await asyncio.sleep(0.3)
        assert storage.calls in (["get_many"], ["get_many"] * 2)


async def test_a_manager_that_closes_looks_no_more(storage):
    manager = SessionManager(Live(storage).manager.config, environ={})
    async with manager:
        session = await manager.load({})
        session["sub"] = "ann"
        await manager.save(session)
        ended: list[str] = []
        assert manager.watch(session, ended.append, every=SOON) is not None
        await asyncio.sleep(2 * SOON)
        assert "get_many" in storage.calls
    storage.calls.clear()
    await asyncio.sleep(3 * SOON)
    assert (storage.calls, ended) == ([], [])
