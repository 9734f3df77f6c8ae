"""Links and callbacks from another site, and the back button: what Chromium sends, keeps and shows."""

from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, Page
from support.browser import SECRET

from aiohttp_lionrock import MemoryStorage, get_session, setup


class Shop:
    """A shop whose users come back from other sites. ``looked``: how many times its private page was made."""

    def __init__(self, **settings: Any) -> None:
        self.looked = 0
        self.elsewhere = ""
        self.app = web.Application()
        setup(self.app, secret=SECRET, refresh_token=True, storage=MemoryStorage(), **settings)
        for handler in (self.log_in, self.log_out, self.land, self.private, self.start, self.callback):
            self.app.router.add_route("*", f"/{handler.__name__}", handler)

    async def log_in(self, request: web.Request) -> web.Response:
        (await get_session(request))["sub"] = "ann"
        return web.Response(text="welcome")

    async def log_out(self, request: web.Request) -> web.Response:
        (await get_session(request)).invalidate()
        return web.Response(text="goodbye")

    async def land(self, request: web.Request) -> web.Response:
        """Where a link in a mail leads: it stores who sent the visitor."""
        session = await get_session(request)
        session["campaign"] = "summer"
        return web.Response(text=str(session.get("sub")))

    async def private(self, request: web.Request) -> web.Response:
        self.looked += 1
        session = await get_session(request)
        headers = {"Cache-Control": "no-store"} if "no-store" in request.query else {}
        return web.Response(
            text=f"<h1>private page of {session.get('sub')}</h1>", content_type="text/html", headers=headers
        )

    async def start(self, request: web.Request) -> web.Response:
        (await get_session(request))["state"] = "s3cret"
        raise web.HTTPSeeOther(
            f"{self.elsewhere}/authorize?back={request.url.origin()}/callback&state=s3cret&{request.query_string}"
        )

    async def callback(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        if session.pop("state", None) != request.query["state"]:
            raise web.HTTPForbidden(text="wrong state")
        session["sub"] = "ann"
        return web.Response(text="welcome ann")


async def other_site(aiohttp_server: Any) -> str:
    """Another site, with a link to wherever it is told, and one that asks for consent and sends the user back."""

    async def link(request: web.Request) -> web.Response:
        return web.Response(text=f'<a href="{request.query["to"]}">go</a>', content_type="text/html")

    async def form(request: web.Request) -> web.Response:
        text = f'<form method="post" action="{request.query["to"]}"><button>win a prize</button></form>'
        return web.Response(text=text, content_type="text/html")

    async def authorize(request: web.Request) -> web.Response:
        to = f"{request.query['back']}?state={request.query['state']}"
        if "at_once" in request.query:
            raise web.HTTPSeeOther(to)
        return web.Response(text=f'<a href="{to}">yes, that is me</a>', content_type="text/html")

    app = web.Application()
    app.router.add_get("/link", link)
    app.router.add_get("/form", form)
    app.router.add_get("/authorize", authorize)
    return f"http://127.0.0.1:{(await aiohttp_server(app)).port}"


async def serve(shop: Shop, aiohttp_server: Any) -> str:
    return f"http://localhost:{(await aiohttp_server(shop.app)).port}"


async def follow(page: Page) -> str:
    async with page.expect_navigation():
        await page.click("a")
    return await page.inner_text("body")


STRICT = {"cookie": {"same_site": "Strict"}}


@pytest.mark.parametrize(
    ("settings", "landing", "afterwards"),
    [({}, "ann", "private page of ann"), (STRICT, "None", "private page of None")],
    ids=["Lax", "Strict"],
)
async def test_a_link_from_another_site_to_a_page_that_stores_something(
    browser: BrowserContext, aiohttp_server: Any, settings: dict[str, Any], landing: str, afterwards: str
) -> None:
    """With Strict what the landing page stores takes the place of the login: the docs say what it costs."""
    site, elsewhere = await serve(Shop(**settings), aiohttp_server), await other_site(aiohttp_server)
    page = await browser.new_page()
    await page.goto(f"{site}/log_in")
    await page.goto(f"{elsewhere}/link?to={site}/land")
    assert await follow(page) == landing
    await page.goto(f"{site}/private")
    assert await page.inner_text("body") == afterwards


@pytest.mark.parametrize(
    ("settings", "consent", "answer"),
    [({}, "asked for", "welcome ann"), ({}, "at once", "welcome ann"), (STRICT, "asked for", "wrong state")],
    ids=["Lax", "Lax at once", "Strict"],
)
async def test_a_callback_from_another_site_that_reads_its_state(
    browser: BrowserContext, aiohttp_server: Any, settings: dict[str, Any], consent: str, answer: str
) -> None:
    shop = Shop(**settings)
    site, shop.elsewhere = await serve(shop, aiohttp_server), await other_site(aiohttp_server)
    page = await browser.new_page()
    await page.goto(f"{site}/start{'?at_once' if consent == 'at once' else ''}")
    seen = await follow(page) if consent == "asked for" else await page.inner_text("body")
    assert seen == answer


async def test_a_form_of_another_site_logs_nobody_out(browser: BrowserContext, aiohttp_server: Any) -> None:
    """It comes without the cookies, but Chromium takes what the answer to it deletes."""
    site, elsewhere = await serve(Shop(), aiohttp_server), await other_site(aiohttp_server)
    page = await browser.new_page()
    await page.goto(f"{site}/log_in")
    await page.goto(f"{elsewhere}/form?to={site}/log_out")
    async with page.expect_navigation():
        await page.click("button")
    assert await page.inner_text("body") == "goodbye"
    await page.goto(f"{site}/private")
    assert await page.inner_text("body") == "private page of ann"


# --- the back button ---------------------------------------------------------------------------------------------


async def look_log_out_and_go_back(page: Page, site: str, query: str = "") -> str:
    await page.goto(f"{site}/log_in")
    await page.goto(f"{site}/private{query}")
    assert await page.inner_text("body") == "private page of ann"
    await page.goto(f"{site}/log_out")
    await page.go_back(wait_until="commit")
    await page.wait_for_selector("h1")
    return await page.inner_text("body")


@pytest.mark.parametrize("settings", [{}, {"clear_site_data": ["cache"]}], ids=["plain", "clearing"])
async def test_the_back_button_finds_nothing_in_the_http_cache_of_what_a_logout_has_left(
    browser: BrowserContext, aiohttp_server: Any, settings: dict[str, Any]
) -> None:
    """In a window that another one has opened, which Chromium does not keep in memory as it was."""
    shop = Shop(**settings)
    site = await serve(shop, aiohttp_server)
    opener = await browser.new_page()
    await opener.goto(f"{site}/log_out")
    async with opener.expect_popup() as opened:
        await opener.evaluate("url => { window.open(url) }", f"{site}/log_out")
    assert await look_log_out_and_go_back(await opened.value, site) == "private page of None"
    assert shop.looked == 2


async def test_a_page_that_says_no_store_does_not_come_back_from_the_memory_of_the_browser_either(
    browser: BrowserContext, aiohttp_server: Any
) -> None:
    """Chromium keeps whole pages for the back button, whatever the HTTP cache may do; only this keeps one out of it."""
    shop = Shop()
    site = await serve(shop, aiohttp_server)
    assert await look_log_out_and_go_back(await browser.new_page(), site, "?no-store") == "private page of None"
    assert shop.looked == 2
