"""A request that is in flight in Chromium while the user logs in: the login stands, whatever the answer carries."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, Page
from support.browser import SECRET

from aiohttp_lionrock import MemoryStorage, get_session, setup

FORM = '<form method="post" action="log_in?held"><button>log in</button></form>'


class Shop:
    """Pages that wait in the middle until the test lets them go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.logins = 0
        self.pause = 0.0  # seconds that a login takes
        self.app = web.Application()
        self.manager = setup(
            self.app, secret=SECRET, refresh_token=True, storage=MemoryStorage(), save_uninitialized=True
        )
        for handler in (self.read, self.write, self.stream, self.redirect, self.look, self.buy, self.form, self.log_in):
            self.app.router.add_route("*", f"/{handler.__name__}", handler)

    async def wait(self) -> None:
        self.begun.set()
        await self.go_on.wait()

    async def form(self, request: web.Request) -> web.Response:
        await get_session(request)  # who has a cookie from here on is known when two requests of his meet
        return web.Response(text=FORM, content_type="text/html")

    async def look(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.Response(text=f"{session.get('sub')} {session.get('cart', 0)}")

    async def buy(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        session["cart"] = session.get("cart", 0) + 1
        return web.Response()

    async def log_in(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        session["sub"] = "ann"
        self.logins += 1
        await asyncio.sleep(self.pause)
        return web.Response()

    async def read(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        await self.wait()
        return web.Response(text=f"{session.get('sub')}")

    async def write(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        session["seen"] = True
        await self.wait()
        return web.Response()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        session["seen"] = True
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"first")
        await self.wait()
        await response.write(b"last")
        return response

    async def redirect(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        session["seen"] = True
        await self.wait()
        raise web.HTTPSeeOther("/look")


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def site(shop: Shop, aiohttp_server: Any) -> str:
    return f"http://localhost:{(await aiohttp_server(shop.app)).port}"


async def seen(page: Page, site: str) -> str:
    await page.goto(f"{site}/look")
    return await page.inner_text("body")


async def fetch(page: Page, url: str) -> str:
    text: str = await page.evaluate("url => fetch(url).then(answer => answer.text())", url)
    return text


async def navigate(page: Page, url: str) -> str:
    tab = await page.context.new_page()
    await tab.goto(url)
    return await tab.inner_text("body")


async def log_in(page: Page, site: str) -> None:
    await page.evaluate("url => fetch(url, {method: 'POST'})", f"{site}/log_in")


@pytest.mark.parametrize("way", [fetch, navigate])
@pytest.mark.parametrize("kind", ["read", "write", "stream", "redirect"])
@pytest.mark.parametrize("has_cart", [True, False], ids=["with a cart", "without"])
async def test_a_request_in_flight_does_not_undo_a_login(
    browser: BrowserContext,
    shop: Shop,
    site: str,
    way: Callable[[Page, str], Awaitable[str]],
    kind: str,
    has_cart: bool,
) -> None:
    page = await browser.new_page()
    if has_cart:
        await page.goto(f"{site}/buy")
    await page.goto(f"{site}/form")
    in_flight = asyncio.create_task(way(page, f"{site}/{kind}"))
    await shop.begun.wait()
    await log_in(page, site)
    shop.go_on.set()
    await in_flight
    assert await seen(page, site) == f"ann {int(has_cart)}"
    assert len(await shop.manager.sessions("ann")) == 1


@pytest.mark.parametrize("pause", [0.0, 0.5])
@pytest.mark.parametrize("has_cart", [True, False], ids=["with a cart", "without"])
async def test_a_double_click_on_the_login_button_is_a_login(
    browser: BrowserContext, shop: Shop, site: str, pause: float, has_cart: bool
) -> None:
    """The browser drops the first answer, and its cookies with it."""
    shop.pause = pause
    page = await browser.new_page()
    if has_cart:
        await page.goto(f"{site}/buy")
    await page.goto(f"{site}/form")
    async with page.expect_navigation():
        await page.dblclick("button", no_wait_after=True)
    assert await seen(page, site) == f"ann {int(has_cart)}"


@pytest.fixture
async def slow_site(shop: Shop, aiohttp_server: Any) -> str:
    """The shop behind a line that holds the first answer to a request which asks for that, after it was saved."""

    @web.middleware
    async def line(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        if "held" in request.query and not shop.begun.is_set():
            await shop.wait()
        return response

    outer = web.Application(middlewares=[line])
    outer.add_subapp("/shop", shop.app)
    return f"http://localhost:{(await aiohttp_server(outer)).port}/shop"


async def test_a_second_click_after_the_first_was_saved_and_before_it_was_answered_is_a_login(
    browser: BrowserContext, shop: Shop, slow_site: str
) -> None:
    page = await browser.new_page()
    await page.goto(f"{slow_site}/form")
    await page.evaluate(
        "() => { const b = document.querySelector('button'); b.click(); setTimeout(() => b.click(), 1000) }"
    )
    async with asyncio.timeout(10):
        await shop.begun.wait()
        while shop.logins < 2:
            await asyncio.sleep(0.05)
    await page.wait_for_url("**/log_in?held")
    shop.go_on.set()
    assert await seen(page, slow_site) == "ann 0"


async def test_an_answer_that_was_saved_before_a_login_and_arrives_after_it_costs_that_login_and_nothing_else(
    browser: BrowserContext, shop: Shop, slow_site: str
) -> None:
    """What cannot be helped: nobody can call back a response that has left. The next login holds."""
    page = await browser.new_page()
    await page.goto(f"{slow_site}/form")
    late = asyncio.create_task(fetch(page, f"{slow_site}/buy?held"))
    await shop.begun.wait()
    await log_in(page, slow_site)
    shop.go_on.set()
    await late
    assert await seen(page, slow_site) == "None 0"
    await log_in(page, slow_site)
    assert (await seen(page, slow_site)).startswith("ann")
