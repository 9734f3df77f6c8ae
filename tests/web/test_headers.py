"""Set-Cookie, Cache-Control and Vary."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH
from support.storages import FaultyStorage
from support.visitor import install, start
from support.webapp import BOTH, application, plain, text, wrapped, write

from aiohttp_lionrock import get_session


async def stream_plain(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    return response


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

    app, _ = application(text, storage=storage)
    answer = await (await start(aiohttp_client, wrapped(app, outside))).get("/sub/text")
    assert answer.set_cookies.keys() == BOTH


@pytest.mark.parametrize(
    ("own", "read", "written"),
    [
        ([], "private, no-cache", "no-store"),
        (["public, max-age=60"], "public, max-age=60", "no-store"),
        (["max-age=60", "s-maxage=60"], "max-age=60, s-maxage=60", "no-store"),
        (["no-cache"], "no-cache", "no-store"),
        (["private, max-age=5"], "private, max-age=5", "private, max-age=5"),
        (["max-age=5", "Private"], "max-age=5, Private", "max-age=5, Private"),
        (["No-Store"], "No-Store", "No-Store"),
        (['private="x-name", max-age=60'], 'private="x-name", max-age=60', "no-store"),
        (["privateer"], "privateer", "no-store"),
    ],
)
@pytest.mark.parametrize("kind", ["returned", "raised", "stream"])
async def test_no_shared_cache_keeps_a_response_with_a_session_cookie_whatever_the_handler_said(
    aiohttp_client: Any, storage: FaultyStorage, own: list[str], read: str, written: str, kind: str
) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        if "write" in request.query:
            session["written"] = session.get("written", 0) + 1
        headers = [("Cache-Control", line) for line in own]
        if kind == "raised":
            raise web.HTTPForbidden(headers=headers)
        response = web.StreamResponse(headers=headers) if kind == "stream" else web.Response(headers=headers)
        if kind == "stream":
            await response.prepare(request)
        return response

    app, _ = application(page, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/page")
    assert ", ".join(answer.headers.getall("Cache-Control")) == read
    assert answer.headers["Vary"] == "Cookie"
    answer = await visitor.get("/page?write")
    assert ", ".join(answer.headers.getall("Cache-Control")) == written
    answer = await visitor.get("/log_out")
    assert (answer.deleted, answer.headers["Cache-Control"]) == (BOTH, "no-store")


async def test_fields_that_caches_obey_before_cache_control_go_with_it(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    fields = ["CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires"]

    async def page(request: web.Request) -> web.Response:
        if "write" in request.query:
            await write(request)
        return web.Response(headers=dict.fromkeys(fields, "max-age=60"))

    app, _ = application(page, storage=storage)
    visitor = await start(aiohttp_client, app)
    assert set(fields) <= (await visitor.get("/page")).headers.keys()
    assert not set(fields) & (await visitor.get("/page?write")).headers.keys()


async def test_a_replaced_cache_control_is_told_once_in_the_log(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async def page(request: web.Request) -> web.Response:
        await write(request)
        return web.Response(headers={"Cache-Control": "public, max-age=60"})

    app, _ = application(page, storage=storage)
    visitor = await start(aiohttp_client, app)
    with caplog.at_level(logging.DEBUG, "aiohttp_lionrock"):
        for _ in range(3):
            await visitor.get("/page")
    [record] = [record for record in caplog.records if "public, max-age=60" in record.getMessage()]
    assert record.levelno == logging.DEBUG


async def unmodified(request: web.Request) -> web.Response:
    await get_session(request)
    raise web.HTTPNotModified


async def failing(request: web.Request) -> web.Response:
    await get_session(request)
    raise RuntimeError("a bug in the application")


async def picture(request: web.Request) -> web.FileResponse:
    await get_session(request)
    return web.FileResponse(__file__)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/unmodified", {}, 304),
        ("GET", "/failing", {}, 500),
        ("HEAD", "/picture", {}, 200),
        ("GET", "/picture", {"Range": "bytes=0-9"}, 206),
        ("GET", "/picture", {"Range": "bytes=99999999-"}, 416),
        ("GET", "/picture", {"If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
        ("POST", "/picture", {}, 200),
    ],
)
async def test_every_answer_of_a_page_that_read_the_session_says_so_to_caches(
    aiohttp_client: Any, storage: FaultyStorage, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    app, _ = application(unmodified, failing, picture, storage=storage)
    answer = await (await start(aiohttp_client, app)).get(path, method=method, **headers)
    assert answer.status == status
    assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Cookie", "private, no-cache")


@pytest.mark.parametrize("order", ["before", "after", "inner app", "inner app, cloned", "inner app, not asked"])
@pytest.mark.parametrize("handler", [plain, stream_plain], ids=["returned", "stream"])
async def test_a_session_that_is_first_read_in_a_prepare_signal_says_so_to_caches_too(
    aiohttp_client: Any, storage: FaultyStorage, order: str, handler: Any
) -> None:
    async def greet(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-User"] = (await get_session(request)).get("sub", "nobody")

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        if "not asked" in order:
            return web.Response(text="the outer app's own")
        return await handler(request.clone() if "cloned" in order else request)  # type: ignore[no-any-return]

    app = web.Application()
    if order == "before":
        app.on_response_prepare.append(greet)
    install(app, storage=storage)
    if order != "before":
        app.on_response_prepare.append(greet)
    app.router.add_get("/page", handler)
    if order.startswith("inner"):
        app = wrapped(app, outside)
    answer = await (await start(aiohttp_client, app)).get("/sub/page" if order.startswith("inner") else "/page")
    assert (answer.status, answer.headers["X-User"]) == (200, "nobody")
    assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Cookie", "private, no-cache")


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

    def attributes(line: str) -> set[str]:
        return set(line.split("; ")[1:])

    for name in BOTH:
        first = {part for part in attributes(made.set_cookies[name]) if not part.startswith(("Max-Age=", "Expires="))}
        lines = [line for line in ended.headers.getall("Set-Cookie") if line.startswith(f"{name}=;")]
        assert {"Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"} <= attributes(lines[0]) & attributes(lines[1])
        last, of_the_host = [
            attributes(line) - {"Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"} for line in lines
        ]
        assert first == last
        assert last - of_the_host == {"Domain=example.org"}
        assert {"Domain=example.org", "SameSite=None", "Partitioned", "Secure"} <= last
    assert sum("Path=/shop/refresh" in line for line in ended.headers.getall("Set-Cookie")) == 2


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
    assert answer.set_cookies[ACCESS].endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert "; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax; Expires=" in answer.set_cookies[REFRESH]
