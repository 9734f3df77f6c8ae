"""Every kind of response carries the cookies, and only where it should."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH, SECRET, claims
from support.storages import FaultyStorage, Interleaved
from support.visitor import exchange, start
from support.webapp import (
    BOTH,
    KINDS,
    Handler,
    application,
    ask,
    file,
    log_in,
    look,
    plain,
    text,
    visitor_of,
    write,
)

from aiohttp_lionrock import (
    MemoryStorage,
    SessionConfig,
    get_session,
    new_session,
    setup,
)
from aiohttp_lionrock.testing import FakeClock


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
    assert answer.headers["Cache-Control"] == "private, no-cache"


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


async def test_of_two_tasks_that_ask_at_once_one_that_is_cancelled_does_not_hurt_the_other(aiohttp_client: Any) -> None:
    storage = Interleaved(MemoryStorage(), turns=8)

    async def rush(request: web.Request) -> web.Response:
        tasks = [asyncio.create_task(get_session(request)) for _ in range(4)]
        for _ in range(int(request.query["turns"])):
            await asyncio.sleep(0)
        tasks[0].cancel()
        first, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(other is others[0] for other in others)
        assert first is others[0] or isinstance(first, asyncio.CancelledError)
        assert await get_session(request) is others[0]
        others[0]["turns"] = request.query["turns"]
        return web.Response()

    app, _ = application(rush, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    for turns in range(12):
        assert (await visitor.refresh(f"/rush?turns={turns}")).status == 200
        assert claims(visitor.cookies[ACCESS])["turns"] == str(turns)


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


@pytest.mark.parametrize("deep", [False, True], ids=["app", "sub-app"])
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
    assert not answer.set_cookies
