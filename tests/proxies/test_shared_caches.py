"""A shared cache never hands the session of one visitor to the next, whatever the handler said of caching."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar, web
from support.browser import SECRET, claims
from support.caches import Command, nginx, started

from aiohttp_lionrock import get_session, setup

PUBLIC = {"Cache-Control": "public, max-age=60"}


class Site:
    """Pages that say they may be cached, and store something in the session all the same. ``asked``: by path."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.writes = True
        self.app = web.Application()
        setup(self.app, secret=SECRET, refresh_token=True, storage="memory://")
        for handler in (self.text, self.file, self.missing, self.moved, self.stream, self.known, self.plain, self.who):
            self.app.router.add_route("*", f"/{handler.__name__}", handler)

    async def _write(self, request: web.Request) -> None:
        self.asked.append(request.path)
        session = await get_session(request)
        if self.writes:
            session["visits"] = session.get("visits", 0) + 1

    async def plain(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.Response(text="plain", headers=PUBLIC)

    async def who(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.Response(text=str((await get_session(request)).get("visits")), headers=PUBLIC)

    async def text(self, request: web.Request) -> web.Response:
        await self._write(request)
        return web.Response(text="text", headers=PUBLIC)

    async def file(self, request: web.Request) -> web.FileResponse:
        await self._write(request)
        return web.FileResponse(Path(__file__), headers=PUBLIC)

    async def missing(self, request: web.Request) -> web.Response:
        await self._write(request)
        raise web.HTTPNotFound(headers=PUBLIC)

    async def moved(self, request: web.Request) -> web.Response:
        await self._write(request)
        raise web.HTTPMovedPermanently("/plain", headers=PUBLIC)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        await self._write(request)
        response = web.StreamResponse(headers=PUBLIC)
        await response.prepare(request)
        await response.write(b"stream")
        return response

    async def known(self, request: web.Request) -> web.Response:
        """Fresh for a second; then it has not changed."""
        await self._write(request)
        headers = {"ETag": '"1"', "Cache-Control": "public, max-age=1"}
        if request.headers.get("If-None-Match") == '"1"':
            raise web.HTTPNotModified(headers=headers)
        return web.Response(text="known", headers=headers)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def address(site: Site, cache: Command, aiohttp_server: Any) -> AsyncIterator[str]:
    port = (await aiohttp_server(site.app)).port
    with started(cache, port) as address:
        yield address


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=DummyCookieJar()) as http:
        yield http


def sids(answer: ClientResponse) -> set[str]:
    """The sessions that an answer hands out."""
    values = [line.partition("=")[2].partition(";")[0] for line in answer.headers.getall("Set-Cookie", [])]
    return {claims(value)["sid"] for value in values}


async def ask(http: ClientSession, url: str, method: str = "GET", **headers: str) -> ClientResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.request(method, url, headers=sent, allow_redirects=False) as answer:
        await answer.read()
        return answer


@pytest.mark.parametrize("where", ["", "/eager"])
async def test_the_caches_of_these_tests_do_cache(site: Site, address: str, http: ClientSession, where: str) -> None:
    for _ in range(3):
        assert (await ask(http, f"{address}{where}/plain")).status == 200
    assert site.asked == ["/plain"]


@pytest.mark.parametrize("where", ["", "/eager"])
@pytest.mark.parametrize(
    ("page", "status"), [("text", 200), ("file", 200), ("missing", 404), ("moved", 301), ("stream", 200)]
)
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}], ids=["whole", "range"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_each_visitor_has_a_session_of_his_own(
    site: Site,
    address: str,
    http: ClientSession,
    where: str,
    page: str,
    status: int,
    headers: dict[str, str],
    method: str,
) -> None:
    seen: set[str] = set()
    for asked in (method, "GET", method, "HEAD"):
        answer = await ask(http, f"{address}{where}/{page}", asked, **headers)
        assert answer.status in {status, 206}
        assert len(sids(answer)) == 1
        assert not sids(answer) & seen
        seen |= sids(answer)


async def test_what_was_read_for_one_visitor_is_not_shown_to_another(address: str, http: ClientSession) -> None:
    first = await ask(http, f"{address}/text")
    cookies = "; ".join(line.partition(";")[0] for line in first.headers.getall("Set-Cookie"))
    for cookie, visits in ((cookies, "1"), ("theme=dark", "None"), (cookies, "1")):
        async with http.get(f"{address}/who", headers={"Cookie": cookie}) as answer:
            assert await answer.text() == visits


async def test_a_page_that_has_not_changed_hands_out_no_session_of_who_asked_first(
    site: Site, address: str, http: ClientSession
) -> None:
    """The 304 that the server answers a cache with is not what the visitor gets: nginx even drops its cookies."""
    site.writes = False
    assert (await ask(http, f"{address}/known")).status == 200
    await asyncio.sleep(2.1)
    site.writes = True
    seen: set[str] = set()
    for headers in ({}, {}, {"If_None_Match": '"1"'}, {"If_None_Match": '"1"'}, {}):
        answer = await ask(http, f"{address}/known", **headers)
        assert not sids(answer) & seen
        seen |= sids(answer)


async def test_a_head_that_we_warn_of_is_what_nginx_does_not_take(
    aiohttp_server: Any, http: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async def fill(request: web.Request) -> web.Response:
        (await get_session(request))["cart"] = "x" * int(request.query["size"])
        return web.Response()

    app = web.Application()
    setup(app, secret=SECRET)
    app.router.add_get("/", fill)
    port = (await aiohttp_server(app)).port
    with started(nginx, port) as address:
        assert (await ask(http, f"{address}/?size=2000")).status == 200
        assert "proxy_buffer_size" not in caplog.text
        assert (await ask(http, f"{address}/?size=2800")).status == 502
        assert "proxy_buffer_size" in caplog.text
