"""Set-Cookie, Cache-Control and Vary."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH
from support.storages import FaultyStorage
from support.visitor import install, start
from support.webapp import (
    BOTH,
    application,
    text,
    write,
)

from aiohttp_lionrock import (
    get_session,
)


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
