"""The script of the page on logins in Chromium: a form is sent once, and can be sent again by who comes back to it."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext
from support.pages import examples

FORM = '<form method="post"><button>log in</button></form>'


@pytest.mark.parametrize("script", [*examples("how-to/login", "html"), ""], ids=["with it", "without it"])
async def test_a_second_click_sends_nothing_where_the_script_is_on_the_page(
    browser: BrowserContext, aiohttp_server: Any, script: str
) -> None:
    sent = 0

    async def form(request: web.Request) -> web.Response:
        return web.Response(text=FORM + script, content_type="text/html")

    async def log_in(request: web.Request) -> web.Response:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0.5)
        return web.Response(text="hello", content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", form), web.post("/", log_in)])
    server = await aiohttp_server(app)
    page = await browser.new_page()
    await page.goto(str(server.make_url("/")))
    box = await page.locator("button").bounding_box()
    assert box is not None
    for _ in range(2):
        await page.mouse.click(box["x"] + 5, box["y"] + 5)
        await asyncio.sleep(0.2)
    await page.get_by_text("hello").wait_for()
    assert sent == (1 if script else 2)
    await page.go_back()
    # As where the browser kept the page as it was left, which a browser under control does not.
    await page.evaluate("document.querySelector('button').disabled = true; dispatchEvent(new Event('pageshow'))")
    assert await page.locator("button").is_enabled() is bool(script)
