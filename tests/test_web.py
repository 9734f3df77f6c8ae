"""The aiohttp adapter on real servers: every kind of response carries the cookies, and only where it should."""

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH, SECRET, claims
from support.storages import FaultyStorage, Recorder
from support.visitor import Answer, Visitor, config, exchange, install, start

from aiohttp_lionrock import (
    ConfigError,
    MemoryStorage,
    SessionConfig,
    SessionManager,
    SessionSealed,
    StorageUnavailable,
    get_session,
    new_session,
    response_signal,
    session_middleware,
    setup,
)
from aiohttp_lionrock.testing import FakeClock

BOTH = {ACCESS, REFRESH}
Handler = Callable[[web.Request], Any]
Two = tuple[Visitor, SessionManager, SessionManager]


@pytest.fixture(autouse=True)
def _no_secret_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage(MemoryStorage())


def application(*handlers: Handler, **settings: Any) -> tuple[web.Application, SessionManager]:
    """An app with sessions; each handler answers at its own name."""
    app = web.Application()
    manager = install(app, **settings)
    for handler in (log_in, log_out, look, *handlers):
        app.router.add_route("*", f"/{handler.__name__}", handler)
    return app, manager


async def log_in(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.renew()
    session["sub"] = "ann"
    return web.Response()


async def log_out(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    return web.Response()


async def look(request: web.Request) -> web.Response:
    session = await get_session(request)
    return web.json_response({"sub": session.get("sub"), "new": session.is_new, "why": type(session.rejected).__name__})


async def write(request: web.Request) -> None:
    session = await get_session(request)
    session["visits"] = session.get("visits", 0) + 1


# --- lazy --------------------------------------------------------------------------------------------------------


async def plain(request: web.Request) -> web.Response:
    return web.Response(text="plain")


async def test_a_handler_that_never_asks_changes_no_header_and_asks_no_storage(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, _ = application(plain, storage=storage)
    bare = web.Application()
    bare.router.add_get("/plain", plain)
    visitor, without = await start(aiohttp_client, app), await start(aiohttp_client, bare)
    await visitor.get("/log_in")
    storage.calls.clear()
    for only in (None, REFRESH):
        answer = await visitor.get("/plain", only=only)
        assert answer.headers.keys() == (await without.get("/plain")).headers.keys()
    assert storage.calls == []


async def test_a_page_that_is_not_there_loads_nothing(aiohttp_client: Any, storage: FaultyStorage) -> None:
    app, _ = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    storage.calls.clear()
    answer = await visitor.refresh("/nowhere")
    assert answer.status == 404
    assert "Vary" not in answer.headers
    assert not answer.set_cookies
    assert storage.calls == []


async def test_a_session_that_is_only_read_varies_by_cookie_and_sets_none(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, _ = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    answer = await visitor.get("/look")
    assert not answer.set_cookies
    assert answer.headers["Vary"] == "Cookie"
    assert "Cache-Control" not in answer.headers


async def test_every_caller_in_one_request_gets_the_same_session(aiohttp_client: Any, storage: FaultyStorage) -> None:
    async def crowd(request: web.Request) -> web.Response:
        sessions = await asyncio.gather(*(get_session(request) for _ in range(10)))
        assert all(session is sessions[0] for session in sessions)
        assert await get_session(request) is sessions[0]
        sessions[3]["seen"] = True
        return web.Response()

    app, _ = application(crowd, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    answer = await visitor.refresh("/crowd")
    assert (answer.status, claims(visitor.cookies[ACCESS])["seen"]) == (200, True)


async def test_two_requests_on_one_connection_have_sessions_of_their_own(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, _ = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    two = b"Connection: keep-alive\r\n\r\nGET /look HTTP/1.1\r\nHost: x\r\nConnection: close"
    answer = await exchange(visitor.server, "/look", f"Cookie: {cookies}", two)
    assert answer.text.count('"sub": "ann"') == 1
    assert answer.text.count('"new": true') == 1


# --- every kind of response --------------------------------------------------------------------------------------


async def text(request: web.Request) -> web.Response:
    await write(request)
    return web.Response(text="text")


async def json(request: web.Request) -> web.Response:
    await write(request)
    return web.json_response({})


async def file(request: web.Request) -> web.FileResponse:
    await write(request)
    return web.FileResponse(Path(__file__))


async def redirect(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPFound("/look")


async def forbidden(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPForbidden


async def broken(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPServiceUnavailable


async def nothing(request: web.Request) -> web.Response:
    await write(request)
    return web.Response(status=204)


async def unchanged(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPNotModified


async def compressed(request: web.Request) -> web.Response:
    await write(request)
    response = web.Response(text="x" * 5000)
    response.enable_compression()
    return response


async def stream(request: web.Request) -> web.StreamResponse:
    await write(request)
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"streamed")
    await response.write_eof()
    return response


async def prepared(request: web.Request) -> web.Response:
    await write(request)
    response = web.Response(text="prepared")
    await response.prepare(request)
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    await write(request)
    response = web.WebSocketResponse()
    await response.prepare(request)
    await response.close()
    return response


KINDS: dict[Handler, int] = {
    text: 200,
    json: 200,
    file: 200,
    redirect: 302,
    forbidden: 403,
    broken: 503,
    nothing: 204,
    unchanged: 304,
    compressed: 200,
    stream: 200,
    prepared: 200,
    socket: 101,
}
DEEP = [False, True]


async def ask(visitor: Visitor, path: str, *, only: str | None = None) -> Answer:
    return await (visitor.shake_hands(path, only=only) if "socket" in path else visitor.get(path, only=only))


async def visitor_of(aiohttp_client: Any, handler: Handler, deep: bool, **settings: Any) -> tuple[Visitor, str]:
    """A server with this handler, in the app itself or in a sub-application of a sub-application."""
    app, _ = application(handler, **settings)
    sub, subsub = web.Application(), web.Application()
    subsub.router.add_route("*", f"/{handler.__name__}", handler)
    sub.add_subapp("/sub", subsub)
    app.add_subapp("/sub", sub)
    return await start(aiohttp_client, app), f"/sub/sub/{handler.__name__}" if deep else f"/{handler.__name__}"


@pytest.mark.parametrize("deep", DEEP, ids=["app", "sub-app"])
@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.__name__)
async def test_every_kind_of_response_carries_the_cookies(
    aiohttp_client: Any, storage: FaultyStorage, handler: Handler, deep: bool
) -> None:
    visitor, path = await visitor_of(aiohttp_client, handler, deep, storage=storage)
    for only in (None, ACCESS, REFRESH):
        answer = await ask(visitor, path, only=only)
        assert answer.status == KINDS[handler]
        assert answer.set_cookies.keys() == BOTH
        assert not answer.deleted
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Cookie" in answer.headers["Vary"]
    assert claims(visitor.cookies[ACCESS])["visits"] == 3


@pytest.mark.parametrize("handler", KINDS, ids=lambda handler: handler.__name__)
async def test_every_kind_of_response_carries_a_logout(
    aiohttp_client: Any, storage: FaultyStorage, handler: Handler
) -> None:
    async def log_out_first(request: web.Request) -> web.StreamResponse:
        await new_session(request)
        return await handler(request)  # type: ignore[no-any-return]

    log_out_first.__name__ = f"{handler.__name__}_out"
    app, manager = application(log_out_first, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    before = visitor.copy()
    assert (await ask(visitor, f"/{log_out_first.__name__}")).status == KINDS[handler]
    assert "sub" not in claims(visitor.cookies[ACCESS])
    assert not await before.is_logged_in(manager)
    assert await visitor.is_logged_in(manager)


async def test_head_requests_carry_the_cookies(aiohttp_client: Any, storage: FaultyStorage) -> None:
    app, _ = application(text, file, storage=storage)
    visitor = await start(aiohttp_client, app)
    for path in ("/text", "/file"):
        answer = await visitor.get(path, method="HEAD")
        assert (answer.status, answer.text) == (200, "")
        assert answer.set_cookies.keys() == BOTH


@pytest.mark.parametrize(
    ("header", "status"), [({"Range": "bytes=0-9"}, 206), ({"If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304)]
)
async def test_a_part_of_a_file_and_a_file_that_has_not_changed_carry_the_cookies(
    aiohttp_client: Any, storage: FaultyStorage, header: dict[str, str], status: int
) -> None:
    app, _ = application(file, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/file", **header)
    assert answer.status == status
    assert answer.set_cookies.keys() == BOTH


@pytest.mark.filterwarnings("ignore:returning HTTPException object is deprecated:DeprecationWarning")
async def test_an_http_error_that_is_returned_carries_the_cookies(aiohttp_client: Any, storage: FaultyStorage) -> None:
    async def returned(request: web.Request) -> web.Response:
        await write(request)
        return web.HTTPForbidden()

    app, _ = application(returned, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/returned")
    assert answer.status == 403
    assert answer.set_cookies.keys() == BOTH


async def test_a_class_based_view_has_the_session_too(aiohttp_client: Any, storage: FaultyStorage) -> None:
    class Page(web.View):
        async def get(self) -> web.Response:
            await write(self.request)
            return web.Response()

    app, _ = application(storage=storage)
    app.router.add_view("/page", Page)
    visitor = await start(aiohttp_client, app)
    assert (await visitor.get("/page")).set_cookies.keys() == BOTH


async def test_new_session_forgets_the_old_one_and_revokes_it(aiohttp_client: Any, storage: FaultyStorage) -> None:
    async def afresh(request: web.Request) -> web.Response:
        session = await new_session(request)
        assert session.is_new
        assert not session
        session["fresh"] = True
        assert await get_session(request) is session
        return web.Response()

    app, manager = application(afresh, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    before = visitor.copy()
    assert (await visitor.get("/afresh")).status == 200
    assert "sub" not in claims(visitor.cookies[ACCESS])
    assert claims(visitor.cookies[ACCESS])["sid"] != claims(before.cookies[ACCESS])["sid"]
    assert not await before.is_logged_in(manager)
    assert await visitor.is_logged_in(manager)


async def test_a_session_goes_on_over_the_expiry_of_its_access_token_and_ends_with_the_other(
    aiohttp_client: Any,
) -> None:
    clock = FakeClock()
    app = web.Application()
    settings = {"secret": SECRET, "refresh_token": True, "storage": MemoryStorage(clock=clock)}
    setup(app, SessionConfig.from_mapping(settings), clock=clock)
    for handler in (log_in, look):
        app.router.add_get(f"/{handler.__name__}", handler)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    for days in (1, 20, 29):
        clock.advance(days * 24 * 3600)
        answer = await visitor.get("/look")
        assert '"ann"' in answer.text
        assert answer.set_cookies.keys() == BOTH
    clock.advance(31 * 24 * 3600)
    answer = await visitor.get("/look")
    assert "TokenExpired" in answer.text
    assert answer.deleted == BOTH


# --- handlers that fail ------------------------------------------------------------------------------------------


async def crash(request: web.Request) -> web.Response:
    await write(request)
    raise RuntimeError("a bug in the application")


async def hang(request: web.Request) -> web.Response:
    await write(request)
    await asyncio.Event().wait()
    return web.Response()


async def test_a_handler_that_crashes_stores_nothing_rotates_nothing_and_sends_no_cookie(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, manager = application(crash, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    before = await storage.get(visitor.refreshing["sid"])
    for only in (None, REFRESH):
        answer = await visitor.get("/crash", only=only)
        assert answer.status == 500
        assert not answer.set_cookies
    assert await storage.get(visitor.refreshing["sid"]) == before
    assert await visitor.is_logged_in(manager)


async def test_a_client_that_leaves_before_the_answer_has_nothing_rotated(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, manager = application(hang, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    before = await storage.get(visitor.refreshing["sid"])
    storage.calls.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await visitor.refresh("/hang")
    await asyncio.sleep(0.05)
    assert storage.calls == ["get"]
    assert await storage.get(visitor.refreshing["sid"]) == before
    assert await visitor.is_logged_in(manager)


async def test_a_crash_after_the_stream_began_has_kept_its_cookies_and_ends_the_connection(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        await write(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise RuntimeError("a bug in the application")

    app, _ = application(half, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await exchange(visitor.server, "/half")
    assert answer.set_cookies.keys() == BOTH
    assert "HTTP/1.1" not in answer.text


@pytest.mark.parametrize("error", [StorageUnavailable("away"), web.HTTPFound("/look")], ids=["503", "302"])
async def test_what_fails_after_the_stream_began_writes_no_second_head_into_it(
    aiohttp_client: Any, storage: FaultyStorage, error: Exception
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        await write(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise error

    app, _ = application(half, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await exchange(visitor.server, "/half")
    assert answer.status == 200
    assert "half" in answer.text
    if isinstance(error, StorageUnavailable):
        assert "HTTP/1.1" not in answer.text


async def test_a_handler_that_forgets_its_return_is_told_so_by_aiohttp(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = application(write, storage=storage)
    visitor = await start(aiohttp_client, app)
    assert (await visitor.get("/write")).status == 500
    assert "no attribute 'prepared'" not in caplog.text
    assert "Missing return statement" in caplog.text


async def test_an_error_page_made_outside_the_session_middleware_carries_no_cookie(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def pages(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[no-any-return]
        except RuntimeError:
            return web.Response(status=500, text="sorry")

    app = web.Application(middlewares=[pages])
    install(app, storage=storage)
    app.router.add_get("/crash", crash)
    answer = await (await start(aiohttp_client, app)).get("/crash")
    assert (answer.status, answer.text) == (500, "sorry")
    assert not answer.set_cookies


async def test_an_error_page_made_inside_the_session_middleware_carries_the_cookies(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def pages(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[no-any-return]
        except RuntimeError:
            return web.Response(status=500, text="sorry")

    app = web.Application()
    install(app, storage=storage)
    app.middlewares.append(pages)
    app.router.add_get("/crash", crash)
    answer = await (await start(aiohttp_client, app)).get("/crash")
    assert answer.status == 500
    assert answer.set_cookies.keys() == BOTH


# --- too late ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.update(late=True),
        lambda session: session.pop("sub"),
        lambda session: session.clear(),
        lambda session: session.renew(),
        lambda session: session.invalidate(),
        lambda session: session.changed(),
        lambda session: session.describe(device="phone"),
    ],
    ids=["update", "pop", "clear", "renew", "invalidate", "changed", "describe"],
)
@pytest.mark.parametrize("asked", ["before", "after"])
@pytest.mark.parametrize("kind", [web.StreamResponse, web.WebSocketResponse])
async def test_a_change_after_the_response_has_left_is_an_error_at_that_line(
    aiohttp_client: Any, storage: FaultyStorage, change: Callable[[Any], None], asked: str, kind: type[Any]
) -> None:
    seen: list[Any] = []

    async def late_socket(request: web.Request) -> web.StreamResponse:
        if asked == "before":
            await get_session(request)
        response: web.StreamResponse = kind()
        await response.prepare(request)
        session = await get_session(request)
        seen.append(session.get("sub"))
        try:
            change(session)
        except SessionSealed as sealed:
            seen.append(sealed)
        return response

    app, _ = application(late_socket, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    if kind is web.WebSocketResponse:
        await visitor.shake_hands("/late_socket")
    else:
        await visitor.get("/late_socket")
    assert seen[0] == "ann"
    assert len(seen) == 2, "the change was lost without a word"


@pytest.mark.parametrize("kind", [web.StreamResponse, web.WebSocketResponse])
async def test_a_session_that_is_only_read_after_the_response_has_left_is_no_error(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, kind: type[Any]
) -> None:
    seen: list[Any] = []

    async def late_socket(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = kind()
        await response.prepare(request)
        seen.append((await get_session(request)).get("sub"))
        return response

    app, manager = application(late_socket, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    before = await storage.get(visitor.refreshing["sid"])
    with caplog.at_level(logging.WARNING):
        for only in (ACCESS, REFRESH):
            if kind is web.WebSocketResponse:
                await visitor.shake_hands("/late_socket", only=only)
            else:
                await visitor.get("/late_socket", only=only)
    assert seen == ["ann", "ann"]
    assert [record.message for record in caplog.records] == []
    assert await storage.get(visitor.refreshing["sid"]) == before
    assert await visitor.is_logged_in(manager)


async def test_a_task_that_outlives_its_request_cannot_change_the_session(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def later(request: web.Request) -> web.Response:
        session = await get_session(request)

        async def work() -> None:
            await asyncio.sleep(0.02)
            session["late"] = True

        tasks.append(asyncio.create_task(work()))
        return web.Response()

    app, _ = application(later, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/later")
    with pytest.raises(SessionSealed):
        await tasks[0]


# --- middlewares around ------------------------------------------------------------------------------------------


async def test_without_setup_the_error_says_what_to_call(aiohttp_client: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = web.Application()
    app.router.add_get("/look", look)
    answer = await (await start(aiohttp_client, app)).get("/look")
    assert answer.status == 500
    assert "ConfigError" in caplog.text
    assert "setup(app)" in caplog.text


async def test_a_middleware_outside_cannot_have_the_session_before_but_can_read_it_afterwards(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    seen: list[Any] = []

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        with pytest.raises(ConfigError):
            await get_session(request)
        response = await handler(request)
        session = await get_session(request)
        seen.append(session.get("sub"))
        with pytest.raises(SessionSealed):
            session["late"] = True
        return response  # type: ignore[no-any-return]

    app = web.Application(middlewares=[outside])
    install(app, storage=storage)
    app.router.add_get("/log_in", log_in)
    assert (await (await start(aiohttp_client, app)).get("/log_in")).status == 200
    assert seen == ["ann"]


@pytest.mark.parametrize("keeps_cookies", [False, True])
@pytest.mark.parametrize("handler", [look, log_in])
async def test_a_response_that_a_middleware_outside_puts_in_the_place_of_ours_is_kept_from_caches_too(
    aiohttp_client: Any, storage: FaultyStorage, handler: Any, keeps_cookies: bool
) -> None:
    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        response = await handler(request)
        cookies = response.headers.getall("Set-Cookie", []) if keeps_cookies else []
        return web.Response(text=f"wrapped {response.text}", headers=[("Set-Cookie", line) for line in cookies])

    app = web.Application(middlewares=[outside])
    install(app, storage=storage)
    app.router.add_get("/page", handler)
    answer = await (await start(aiohttp_client, app)).get("/page")
    assert answer.text.startswith("wrapped ")
    assert answer.headers["Vary"] == "Cookie"
    is_written = handler is log_in
    assert answer.headers.get("Cache-Control") == ("no-store" if is_written else None)
    assert len(answer.headers.getall("Set-Cookie", [])) == 2 * is_written


async def test_nothing_is_stored_for_what_is_no_response_yet_whatever_it_has(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    class Order:
        prepared = False

    async def order(request: web.Request) -> Any:
        (await get_session(request))["ordered"] = True
        return Order()

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        return web.json_response(type(await handler(request)).__name__)

    app = web.Application(middlewares=[outside])
    install(app, storage=storage)
    app.router.add_get("/order", order)
    storage.calls.clear()
    answer = await (await start(aiohttp_client, app)).get("/order")
    assert (answer.status, answer.text, answer.set_cookies) == (200, '"Order"', {})
    assert "insert" not in storage.calls


async def test_a_middleware_inside_shares_the_session_with_the_handler(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def inside(request: web.Request, handler: Any) -> web.StreamResponse:
        (await get_session(request))["inside"] = True
        response: web.StreamResponse = await handler(request)
        (await get_session(request))["after"] = True
        return response

    app = web.Application()
    install(app, storage=storage)
    app.middlewares.append(inside)
    app.router.add_get("/text", text)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/text")
    assert {"inside", "after", "visits"} <= claims(visitor.cookies[ACCESS]).keys()


async def test_a_middleware_that_first_asks_after_the_handler_has_its_change_kept(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        (await get_session(request))["outside"] = True
        return response

    app = web.Application(middlewares=[outside])
    install(app, storage=storage)
    app.router.add_get("/plain", plain)
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/plain")
    assert answer.set_cookies.keys() == BOTH
    assert claims(visitor.cookies[ACCESS])["outside"] is True


@pytest.mark.parametrize("fails", [False, True])
async def test_a_middleware_outside_that_answers_otherwise_does_not_lose_the_cookies_of_a_rotation(
    aiohttp_client: Any, storage: FaultyStorage, fails: bool
) -> None:
    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        await handler(request)
        if fails:
            raise RuntimeError("a bug in a middleware")
        return web.Response(text="something else")

    app, manager = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    wrapper = web.Application(middlewares=[outside])
    install(wrapper, storage=storage)
    wrapper.router.add_get("/look", look)
    wrapped = await start(aiohttp_client, wrapper)
    wrapped.cookies = visitor.cookies
    answer = await wrapped.refresh("/look")
    assert answer.status == (500 if fails else 200)
    assert answer.set_cookies.keys() == BOTH
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Vary"] == "Cookie"
    assert await wrapped.is_logged_in(manager)


async def test_a_request_that_a_middleware_has_cloned_has_the_same_session(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def inside(request: web.Request, handler: Any) -> web.StreamResponse:
        (await get_session(request))["inside"] = True
        return await handler(request.clone(method="POST"))  # type: ignore[no-any-return]

    app = web.Application()
    install(app, storage=storage)
    app.middlewares.append(inside)
    app.router.add_get("/text", text)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/text")
    assert {"inside", "visits"} <= claims(visitor.cookies[ACCESS]).keys()


# --- two at once, and by hand ------------------------------------------------------------------------------------


def test_a_second_setup_on_one_app_is_refused() -> None:
    app = web.Application()
    install(app)
    with pytest.raises(ConfigError, match="setup was called"):
        install(app, name="other")


@pytest.fixture
async def two(aiohttp_client: Any) -> Two:
    """Shop with a sub-app for the staff, each with sessions and cookies of its own."""

    async def staff_log_in(request: web.Request) -> web.Response:
        (await get_session(request))["sub"] = "staff"
        return web.Response()

    async def handshake_socket(request: web.Request) -> web.WebSocketResponse:
        (await get_session(request))["socket"] = True
        response = web.WebSocketResponse()
        await response.prepare(request)
        return response

    @web.middleware
    async def count(request: web.Request, handler: Any) -> web.StreamResponse:
        if "count" in request.query:
            session = await get_session(request)
            session["count"] = session.get("count", 0) + 1
            response: web.StreamResponse = await handler(request)
            assert await get_session(request) is session
            return response
        return await handler(request)  # type: ignore[no-any-return]

    shop, staff = web.Application(), web.Application()
    shop_manager = install(shop, storage=MemoryStorage())
    shop.middlewares.append(count)
    staff_manager = install(staff, name="staff", storage=MemoryStorage(), refresh_token=False)
    for handler in (log_in, log_out, look):
        shop.router.add_get(f"/{handler.__name__}", handler)
    for handler in (staff_log_in, log_out, look, handshake_socket, crash):
        staff.router.add_get(f"/{handler.__name__}", handler)
    shop.add_subapp("/staff", staff)
    return await start(aiohttp_client, shop), shop_manager, staff_manager


async def test_two_sessions_of_different_names_do_not_see_each_other(two: Two) -> None:
    visitor, _, _ = two
    await visitor.get("/log_in")
    assert (await visitor.get("/staff/staff_log_in")).set_cookies.keys() == {"staff"}
    assert '"ann"' in (await visitor.get("/look")).text
    assert '"staff"' in (await visitor.get("/staff/look")).text


async def test_a_logout_of_one_leaves_the_other_logged_in(two: Two) -> None:
    visitor, _, _ = two
    await visitor.get("/log_in")
    await visitor.get("/staff/staff_log_in")
    assert (await visitor.get("/staff/log_out")).deleted == {"staff"}
    assert '"ann"' in (await visitor.get("/look")).text
    await visitor.get("/staff/staff_log_in")
    assert (await visitor.get("/log_out")).deleted == BOTH
    assert '"staff"' in (await visitor.get("/staff/look")).text


@pytest.mark.parametrize("path", ["/staff/staff_log_in", "/staff/handshake_socket"])
async def test_both_sessions_may_be_written_in_one_response(two: Two, path: str) -> None:
    visitor, _, _ = two
    answer = await ask(visitor, f"{path}?count")
    assert answer.set_cookies.keys() == {"staff", *BOTH}
    assert claims(visitor.cookies[ACCESS])["count"] == 1
    assert "count" not in claims(visitor.cookies["staff"])


async def test_a_crash_in_the_inner_app_keeps_both_sessions_as_they_were(two: Two) -> None:
    visitor, _, _ = two
    answer = await visitor.get("/staff/crash?count")
    assert answer.status == 500
    assert not answer.set_cookies


@pytest.mark.parametrize("with_signal", [True, False])
@pytest.mark.parametrize("handler", [text, stream], ids=["text", "stream"])
async def test_an_app_may_be_put_together_by_hand(
    aiohttp_client: Any, caplog: pytest.LogCaptureFixture, handler: Handler, with_signal: bool
) -> None:
    manager = SessionManager(config(storage=MemoryStorage()), environ={})
    app = web.Application(middlewares=[session_middleware(manager)])
    if with_signal:
        app.on_response_prepare.append(response_signal(manager))
    app.router.add_get("/", handler)
    answer = await (await start(aiohttp_client, app)).get("/")
    assert answer.status == 200
    if with_signal or handler is text:
        assert answer.set_cookies.keys() == BOTH
        assert not caplog.records
    else:
        assert not answer.set_cookies
        assert "response_signal" in caplog.text
    await manager.aclose()


# --- Cookie headers as they may come -----------------------------------------------------------------------------


@pytest.fixture
async def visitor(aiohttp_client: Any, storage: FaultyStorage) -> Visitor:
    """A visitor who is logged in, without refresh tokens."""
    app, _ = application(storage=storage, refresh_token=False)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    return visitor


async def is_seen(visitor: Visitor, *lines: str | bytes) -> bool:
    """Whether the server sees the login in these header lines; it never fails over them."""
    answer = await exchange(visitor.server, "/look", *lines)
    assert answer.status == 200
    return '"ann"' in answer.text


async def test_a_cookie_is_found_among_others_however_they_are_sent(visitor: Visitor) -> None:
    cookie = f"{ACCESS}={visitor.cookies[ACCESS]}"
    assert await is_seen(visitor, f"Cookie: {cookie}")
    assert await is_seen(visitor, f"cookie:{cookie};a=b")
    assert await is_seen(visitor, f"Cookie: a=b;  {cookie} ; c")
    assert await is_seen(visitor, f"Cookie: ;;; =; a; {cookie}")
    assert await is_seen(visitor, "Cookie: a=b", f"Cookie: {cookie}", "Cookie: c=d")
    assert await is_seen(visitor, f"Cookie: $Version=1; {cookie}; $Path=/")
    assert await is_seen(visitor, f'Cookie: junk={{"a": [1, 2]}}; {cookie}')
    assert await is_seen(visitor, f'Cookie: open="never closed; {cookie}')


async def test_names_are_matched_whole_and_case_counts(visitor: Visitor) -> None:
    value = visitor.cookies[ACCESS]
    for name in (ACCESS.upper(), f"x{ACCESS}", f"{ACCESS}x", f"{ACCESS}-refresh", f"a={ACCESS}", f'"{ACCESS}"'):
        assert not await is_seen(visitor, f"Cookie: {name}={value}")


async def test_a_value_is_taken_as_it_stands_without_unquoting(visitor: Visitor) -> None:
    value = visitor.cookies[ACCESS]
    for written in (f'"{value}"', value.replace(".", "%2E"), f"{value}=", f"{value},", f"{value} x", f"\\{value}"):
        assert not await is_seen(visitor, f"Cookie: {ACCESS}={written}")


@pytest.mark.parametrize("place", range(4))
async def test_the_good_cookie_of_four_is_found_wherever_it_stands(visitor: Visitor, place: int) -> None:
    values = [f"bad{number}" for number in range(4)]
    values[place] = visitor.cookies[ACCESS]
    assert await is_seen(visitor, "Cookie: " + "; ".join(f"{ACCESS}={value}" for value in values))
    assert await is_seen(visitor, *(f"Cookie: {ACCESS}={value}" for value in values))


@pytest.mark.parametrize("place", [0, 17, 18, 19])
async def test_of_twenty_cookies_of_one_name_the_first_and_the_last_three_are_tried(
    visitor: Visitor, place: int
) -> None:
    values = [f"bad{number}" for number in range(20)]
    values[place] = visitor.cookies[ACCESS]
    assert await is_seen(visitor, "Cookie: " + "; ".join(f"{ACCESS}={value}" for value in values))


async def test_many_forgeries_cost_at_most_four_judgements_and_no_storage_call(
    visitor: Visitor, storage: FaultyStorage
) -> None:
    values = [f"bad{number}" for number in range(20)]
    values[10] = visitor.cookies[ACCESS]
    storage.calls.clear()
    assert not await is_seen(visitor, "Cookie: " + "; ".join(f"{ACCESS}={value}" for value in values))
    assert storage.calls == []


async def test_eight_hundred_cookies_are_no_trouble(visitor: Visitor) -> None:
    many = "; ".join(f"c{number}={number}" for number in range(800))
    assert len(many) < 8190
    assert await is_seen(visitor, f"Cookie: {many}", f"Cookie: {ACCESS}={visitor.cookies[ACCESS]}")
    assert not await is_seen(visitor, f"Cookie: {many}")


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", b"\xc3\xa9", b"\xed\xa0\x80", b"a.b.\xff", b"\xe2\x80\xa6" * 1000, b"\x80" * 4096]
)
async def test_eight_bit_bytes_in_a_cookie_are_a_bad_token_and_no_error(
    visitor: Visitor, storage: FaultyStorage, value: bytes
) -> None:
    storage.calls.clear()
    answer = await exchange(visitor.server, "/look", f"Cookie: {ACCESS}=".encode() + value)
    assert answer.status == 200
    assert answer.deleted == {ACCESS}
    assert storage.calls == []
    assert await is_seen(visitor, b"Cookie: x=" + value, f"Cookie: {ACCESS}={visitor.cookies[ACCESS]}")


# --- Set-Cookie, Cache-Control, Vary ------------------------------------------------------------------------------


def by_method(response: web.StreamResponse) -> None:
    response.set_cookie(ACCESS, "mine")
    response.set_cookie("theme", "dark")
    response.del_cookie(REFRESH)


def by_header(response: web.StreamResponse) -> None:
    response.headers.add("Set-Cookie", f"{ACCESS}=mine; Path=/")
    response.headers.add("Set-Cookie", "theme=dark")
    response.headers.add("Set-Cookie", f"{REFRESH} = mine")


@pytest.mark.parametrize("put", [by_method, by_header])
@pytest.mark.parametrize("kind", ["returned", "raised", "stream", "prepared"])
async def test_never_two_cookies_of_one_name_and_those_of_the_handler_survive(
    aiohttp_client: Any, storage: FaultyStorage, put: Callable[[web.StreamResponse], None], kind: str
) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        await write(request)
        if kind == "raised":
            error = web.HTTPFound("/look")
            put(error)
            raise error
        response = web.StreamResponse() if kind == "stream" else web.Response()
        put(response)
        if kind != "returned":
            await response.prepare(request)
        return response

    app, manager = application(page, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/page")
    assert answer.set_cookies.keys() == {*BOTH, "theme"}
    assert await visitor.is_logged_in(manager)


async def test_a_middleware_outside_does_not_make_two_cookies_of_one_name(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        response.set_cookie(ACCESS, "mine")
        return response

    app = web.Application(middlewares=[outside])
    install(app, storage=storage)
    app.router.add_get("/text", text)
    answer = await (await start(aiohttp_client, app)).get("/text")
    assert answer.set_cookies.keys() == BOTH


@pytest.mark.parametrize("own", ["private, max-age=5", "public", "no-cache"])
async def test_the_handlers_own_cache_control_is_kept(aiohttp_client: Any, storage: FaultyStorage, own: str) -> None:
    async def page(request: web.Request) -> web.Response:
        await write(request)
        return web.Response(headers={"Cache-Control": own})

    app, _ = application(page, storage=storage)
    answer = await (await start(aiohttp_client, app)).get("/page")
    assert answer.headers.getall("Cache-Control") == [own]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([], "Cookie"),
        (["Accept-Encoding"], "Accept-Encoding, Cookie"),
        (["Accept-Encoding, Origin"], "Accept-Encoding, Origin, Cookie"),
        (["Accept-Encoding", "Origin"], "Accept-Encoding, Origin, Cookie"),
        (["cookie"], "cookie"),
        (["Origin,COOKIE"], "Origin,COOKIE"),
        (["*"], "*"),
        (["X-Cookie"], "X-Cookie, Cookie"),
    ],
)
async def test_vary_names_the_cookie_once_beside_what_the_handler_named(
    aiohttp_client: Any, storage: FaultyStorage, own: list[str], expected: str
) -> None:
    async def page(request: web.Request) -> web.Response:
        await get_session(request)
        response = web.Response()
        for line in own:
            response.headers.add("Vary", line)
        return response

    app, _ = application(page, storage=storage)
    answer = await (await start(aiohttp_client, app)).get("/page")
    assert answer.headers.getall("Vary") == [expected]


async def test_a_logout_repeats_the_attributes_of_each_cookie(aiohttp_client: Any, storage: FaultyStorage) -> None:
    app, _ = application(
        storage=storage,
        cookie={"domain": "example.org", "same_site": "None", "partitioned": True},
        access_token={"cookie_options": {"path": "/shop"}},
        refresh_token={"cookie_options": {"path": "/shop/refresh", "http_only": False}},
    )
    visitor = await start(aiohttp_client, app)
    made = await visitor.get("/log_in")
    ended = await visitor.get("/log_out")
    assert ended.deleted == BOTH

    def attributes(line: str) -> set[str]:
        return set(line.split("; ")[1:])

    for name in BOTH:
        first = {part for part in attributes(made.set_cookies[name]) if not part.startswith("Max-Age=")}
        last = attributes(ended.set_cookies[name]) - {"Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"}
        assert first == last
        assert {"Domain=example.org", "SameSite=None", "Partitioned", "Secure"} <= last
    assert "Path=/shop/refresh" in attributes(ended.set_cookies[REFRESH])


async def test_host_prefixed_cookies_are_set_and_deleted_as_browsers_demand(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, _ = application(storage=storage, name="__Host-session")
    visitor = await start(aiohttp_client, app)
    made, ended = await visitor.get("/log_in"), await visitor.get("/log_out")
    assert made.set_cookies.keys() == ended.deleted == {"__Host-session", "__Host-session-refresh"}
    for line in [*made.set_cookies.values(), *ended.set_cookies.values()]:
        assert {"Path=/", "Secure"} <= set(line.split("; "))
        assert "Domain" not in line


async def test_browser_session_cookies_have_no_max_age_and_refresh_cookies_do(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app, _ = application(storage=storage)
    answer = await (await start(aiohttp_client, app)).get("/log_in")
    assert answer.set_cookies[ACCESS].endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")
    assert answer.set_cookies[REFRESH].endswith("; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Strict")


# --- tenants -----------------------------------------------------------------------------------------------------

TENANTS = {
    "one": {"SESSION_SECRET": "the secret of tenant one: 0123456789"},
    "two": {"SESSION_SECRET": "the secret of tenant two: 0123456789"},
    "weak": {"SESSION_SECRET": "short"},
}


async def test_tenants_have_secrets_of_their_own(aiohttp_client: Any, storage: FaultyStorage) -> None:
    app, _ = application(storage=storage, request_env=lambda request: TENANTS.get(request.headers.get("X-Tenant", "")))
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in", X_Tenant="one")
    assert '"ann"' in (await visitor.get("/look", X_Tenant="one")).text
    for tenant in ("two", ""):
        answer = await visitor.copy().get("/look", X_Tenant=tenant)
        assert "TokenForged" in answer.text
        assert answer.deleted == {ACCESS}
    assert '"ann"' in (await visitor.get("/look", X_Tenant="one")).text


async def test_a_tenant_with_a_weak_secret_gets_an_error_and_hurts_nobody_else(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = application(storage=storage, request_env=lambda request: TENANTS.get(request.headers.get("X-Tenant", "")))
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/log_in", X_Tenant="weak")
    assert answer.status == 500
    assert not answer.set_cookies
    assert "SESSION_SECRET of the request's environment" in caplog.text
    assert (await visitor.get("/log_in", X_Tenant="one")).status == 200


async def test_tenants_alone_need_no_secret_of_the_process(aiohttp_client: Any) -> None:
    app = web.Application()
    setup(app, request_env=lambda request: TENANTS["one"])
    app.router.add_get("/text", text)
    app.router.add_get("/plain", plain)
    visitor = await start(aiohttp_client, app)
    assert (await visitor.get("/text")).set_cookies.keys() == {ACCESS}


def test_without_any_secret_setup_refuses_and_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="SESSION_SECRET"):
        setup(web.Application())


# --- the life of the storage -------------------------------------------------------------------------------------


async def test_the_storage_opens_and_closes_with_the_app(aiohttp_client: Any) -> None:
    storage = Recorder(MemoryStorage())
    app, _ = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    assert storage.calls == ["open", "ping"]
    await visitor.get("/log_in")
    assert storage.calls.count("open") == 1
    await visitor.client.close()
    assert storage.calls[-1] == "aclose"
    assert storage.calls.count("aclose") == 1


async def test_setup_takes_a_storage_and_settings_of_its_ids_beside_it(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    app = web.Application()
    manager = setup(app, storage=storage, secret=SECRET, refresh_token=True, jti={"reuse_leeway": 0})
    assert manager.storage is storage
    app.router.add_get("/text", text)
    assert (await (await start(aiohttp_client, app)).get("/text")).set_cookies.keys() == BOTH


@pytest.fixture
def _purges_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.005)


@pytest.mark.usefixtures("_purges_at_once")
async def test_expired_records_are_purged_while_the_app_runs_and_no_longer(aiohttp_client: Any) -> None:
    storage = FaultyStorage(MemoryStorage())
    app, _ = application(storage=storage, purge_interval=1)
    visitor = await start(aiohttp_client, app)
    storage.fail("purge", "before", times=2)
    async with asyncio.timeout(5):
        while storage.calls.count("purge") < 4:
            await asyncio.sleep(0.005)
    await visitor.client.close()
    count = storage.calls.count("purge")
    await asyncio.sleep(0.03)
    assert storage.calls.count("purge") == count
    assert storage.calls[-1] == "aclose"


@pytest.mark.usefixtures("_purges_at_once")
async def test_a_purge_that_crashes_does_not_keep_the_storage_from_closing(
    aiohttp_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Crashing(Recorder):
        async def purge(self, now: float, limit: int) -> int:
            raise ZeroDivisionError("a bug in a backend")

    storage = Crashing(MemoryStorage())
    app, _ = application(storage=storage, purge_interval=1)
    visitor = await start(aiohttp_client, app)
    async with asyncio.timeout(5):
        while "ZeroDivisionError" not in caplog.text:
            await asyncio.sleep(0.005)
    assert (await visitor.get("/log_in")).status == 200
    await visitor.client.close()
    assert storage.calls[-1] == "aclose"


async def test_an_app_ends_in_time_and_in_peace_while_its_storage_hangs(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = application(storage=storage, storage_timeout=0.05)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    storage.fail("aclose", "hang")
    await asyncio.wait_for(visitor.client.close(), 5)
    assert "did not close" in caplog.text


@pytest.mark.usefixtures("_purges_at_once")
async def test_without_an_interval_nothing_is_purged(aiohttp_client: Any) -> None:
    storage = Recorder(MemoryStorage())
    app, _ = application(storage=storage, purge_interval=None)
    visitor = await start(aiohttp_client, app)
    await asyncio.sleep(0.03)
    await visitor.client.close()
    assert "purge" not in storage.calls
