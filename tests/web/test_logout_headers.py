"""Clear-Site-Data, which goes out with a logout where the setting says so; and heads that nginx would not take."""

import json
import logging
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH
from support.storages import FaultyStorage
from support.visitor import exchange, start
from support.webapp import BOTH, application, wrapped

from aiohttp_lionrock import get_session

HEADER = "Clear-Site-Data"


async def out_by_error(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    raise web.HTTPForbidden


async def out_in_a_stream(request: web.Request) -> web.StreamResponse:
    (await get_session(request)).invalidate()
    response = web.StreamResponse()
    await response.prepare(request)
    return response


async def out_by_clear(request: web.Request) -> web.Response:
    (await get_session(request)).clear()
    return web.Response()


async def out_and_in(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.invalidate()
    session["sub"] = "bob"
    return web.Response()


async def out_its_own_way(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    return web.Response(headers={HEADER: '"*"'})


HANDLERS = (out_by_error, out_in_a_stream, out_by_clear, out_and_in, out_its_own_way)
CLEARED = '"cache", "storage"'


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("log_out", CLEARED),
        ("out_by_error", CLEARED),
        ("out_in_a_stream", CLEARED),
        ("out_by_clear", CLEARED),
        ("out_its_own_way", '"*"'),
        ("look", None),
        ("log_in", None),
        ("out_and_in", None),
    ],
)
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "nested"])
async def test_a_logout_clears_what_the_setting_says_and_nothing_else_does(
    aiohttp_client: Any, storage: FaultyStorage, path: str, sent: str | None, nested: bool
) -> None:
    app, _ = application(*HANDLERS, storage=storage, clear_site_data=["cache", "storage"])
    visitor = await start(aiohttp_client, wrapped(app) if nested else app)
    prefix = "/sub" if nested else ""
    await visitor.get(f"{prefix}/log_in")
    answer = await visitor.get(f"{prefix}/{path}")
    assert answer.headers.get(HEADER) == sent
    assert (answer.deleted == BOTH) == (sent is not None)


async def test_without_the_setting_a_logout_clears_nothing(aiohttp_client: Any, storage: FaultyStorage) -> None:
    app, _ = application(storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    answer = await visitor.get("/log_out")
    assert answer.deleted == BOTH
    assert HEADER not in answer.headers


async def test_a_logout_that_did_not_happen_clears_nothing(aiohttp_client: Any, storage: FaultyStorage) -> None:
    app, _ = application(storage=storage, clear_site_data=["*"])
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    storage.fail("delete", "before")
    answer = await visitor.get("/log_out")
    assert (answer.status, answer.headers.get(HEADER)) == (503, None)


FROM_ELSEWHERE = {"Sec_Fetch_Site": "cross-site"}


@pytest.mark.parametrize("path", ["log_out", "out_by_error", "out_in_a_stream"])
async def test_another_sites_form_without_the_cookies_logs_nobody_out_and_the_log_says_so(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    app, _ = application(*HANDLERS, storage=storage, clear_site_data=["*"])
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    kept, visitor.cookies = visitor.cookies, {}
    answer = await visitor.get(f"/{path}", method="POST", **FROM_ELSEWHERE)
    assert answer.set_cookies == {}
    assert HEADER not in answer.headers
    assert f"logs nobody out: POST '/{path}'" in caplog.text
    visitor.cookies = kept
    assert json.loads((await visitor.get("/look")).text)["sub"] == "ann"


@pytest.mark.parametrize(
    ("with_cookies", "site", "path"),
    [
        (True, "cross-site", "log_out"),
        (False, "same-origin", "log_out"),
        (False, "same-site", "log_out"),
        (False, None, "log_out"),
        (False, "cross-site GET", "log_out"),
        (False, "cross-site", "log_in"),
        (False, "cross-site", "out_and_in"),
    ],
)
async def test_any_other_request_writes_and_deletes_its_cookies(
    aiohttp_client: Any, storage: FaultyStorage, with_cookies: bool, site: str | None, path: str
) -> None:
    app, _ = application(*HANDLERS, storage=storage)
    visitor = await start(aiohttp_client, app)
    if with_cookies:
        await visitor.get("/log_in")
    site, _, method = (site or "").partition(" ")  # a link to a logout is followed by somebody who wants out
    answer = await visitor.get(f"/{path}", method=method or "POST", **({"Sec_Fetch_Site": site} if site else {}))
    assert answer.set_cookies.keys() == BOTH


async def stores(request: web.Request) -> web.Response:
    (await get_session(request))["cart"] = ["tea"]
    return web.Response()


@pytest.mark.parametrize(("headers", "left"), [({}, {ACCESS, REFRESH}), (FROM_ELSEWHERE, {ACCESS})])
async def test_another_sites_form_that_stores_something_deletes_no_refresh_token(
    aiohttp_client: Any, storage: FaultyStorage, headers: dict[str, str], left: set[str]
) -> None:
    app, _ = application(stores, storage=storage, anonymous_lifetime=3600)
    answer = await (await start(aiohttp_client, app)).get("/stores", method="POST", **headers)
    assert answer.set_cookies.keys() == left
    assert answer.deleted == left - {ACCESS}


async def test_another_sites_form_that_logs_in_replaces_the_former_cookies_too(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    cookie = {"path": "/", "previous_paths": ["/log_in"]}
    app, _ = application(storage=storage, cookie=cookie)
    visitor = await start(aiohttp_client, app)
    answer = await exchange(visitor.server, "/log_in", "Sec-Fetch-Site: cross-site", method="POST")
    former = [line for line in answer.headers.getall("Set-Cookie") if "Max-Age=0" in line and "Path=/log_in" in line]
    assert {line.partition("=")[0] for line in former} == BOTH


async def filled(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["cart"] = "x" * int(request.query["size"])
    return web.Response()


def size_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "proxy_buffer_size" in record.getMessage()
    ]


async def test_one_warning_where_a_head_passes_3500_bytes_and_it_is_counted_to_the_byte(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = application(filled, storage=storage, refresh_token=False)
    visitor = await start(aiohttp_client, app)
    sizes = []
    for size in range(2000, 2700, 30):
        answer = await exchange(visitor.server, f"/filled?size={size}")
        sizes.append(
            len("HTTP/1.1 200 OK") + 4 + sum(len(name) + len(line) + 4 for name, line in answer.headers.items())
        )
        if size_warnings(caplog):
            break
    assert sizes[-2] <= 3500 < sizes[-1]
    [warning] = size_warnings(caplog)
    assert f"has {sizes[-1]} bytes" in warning
    await exchange(visitor.server, "/filled?size=2600")
    assert len(size_warnings(caplog)) == 1


async def test_a_large_head_without_a_session_cookie_is_not_ours_to_judge(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async def page(request: web.Request) -> web.Response:
        await get_session(request)
        return web.Response(headers={"Content-Security-Policy": "x" * 4000})

    app, _ = application(page, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    assert not (await visitor.get("/page")).set_cookies
    assert ACCESS in visitor.cookies
    assert not size_warnings(caplog)
