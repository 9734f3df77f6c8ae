"""Middlewares around the session: auth, errors, caches, clones, in every order."""

from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, claims
from support.storages import FaultyStorage
from support.visitor import install, start
from support.webapp import (
    BOTH,
    application,
    log_in,
    look,
    plain,
    text,
)

from aiohttp_lionrock import (
    ConfigError,
    SessionSealed,
    get_session,
)


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
