"""Handlers that fail, and changes that come too late."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH
from support.storages import FaultyStorage
from support.visitor import exchange, install, start
from support.webapp import (
    BOTH,
    application,
    crash,
    hang,
    wrapped,
    write,
)

from aiohttp_lionrock import (
    SessionSealed,
    StorageUnavailable,
    get_session,
)


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

    app, _ = application(crash, storage=storage)
    answer = await (await start(aiohttp_client, wrapped(app, pages))).get("/sub/crash")
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


@pytest.mark.parametrize("kind", ["stream", "returned"])
async def test_what_is_changed_inside_a_value_after_the_response_has_left_is_logged_with_its_key(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    async def shop(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        session["cart"] = [1]
        response = web.StreamResponse()
        if kind == "stream":
            await response.prepare(request)
            session["cart"].append(2)
            return response
        return web.Response()

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        if kind == "returned":
            (await get_session(request))["cart"].append(2)
        return response

    app, _ = application(shop, storage=storage)
    visitor = await start(aiohttp_client, wrapped(app, outside))
    assert (await visitor.get("/sub/shop")).set_cookies.keys() == BOTH
    [line] = [record.getMessage() for record in caplog.records if record.name == "aiohttp_lionrock"]
    assert "cart" in line


async def broken_at_save(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["cart"] = []
    session["cart"].append({1, 2})
    return web.Response()


@pytest.mark.parametrize("handler", [crash, broken_at_save], ids=["crash", "not storable"])
async def test_once_a_handler_has_failed_a_change_is_refused(
    aiohttp_client: Any, storage: FaultyStorage, handler: Any
) -> None:
    refused: list[Any] = []

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[no-any-return]
        except Exception:
            session = await get_session(request)
            for change in (session.invalidate, session.renew, session.clear, session.changed):
                try:
                    change()
                except SessionSealed as sealed:
                    refused.append(sealed)
            raise

    app, manager = application(handler, storage=storage)
    visitor = await start(aiohttp_client, wrapped(app, outside))
    await visitor.get("/sub/log_in")
    answer = await visitor.get(f"/sub/{handler.__name__}")
    assert (answer.status, answer.set_cookies, len(refused)) == (500, {}, 4)
    assert await visitor.is_logged_in(manager)


async def test_a_prepare_signal_that_fails_leaves_a_500_that_can_be_read(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    async def fail(request: web.Request, response: web.StreamResponse) -> None:
        if response.status == 200 and request.path == "/zipped":
            raise RuntimeError("a bug in a signal")

    async def zipped(request: web.Request) -> web.StreamResponse:
        await write(request)
        response = web.StreamResponse()
        response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        return response

    app, _ = application(zipped, storage=storage)
    app.on_response_prepare.append(fail)
    answer = await (await start(aiohttp_client, app)).get("/zipped")
    assert answer.status == 500
    assert answer.text.startswith("500 Internal Server Error")
