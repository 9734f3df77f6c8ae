"""The devices demo in Chromium: what the cookies are, two devices of one user, the live panel, a stolen cookie."""

import asyncio
import html
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect
from support.demo import REFUSED_AFTER, SHORT, Demo
from support.programs import find_program

ACCESS, REFRESH = "lionrock-session", "lionrock-session-refresh"
REMEMBERED = 30 * 24 * 3600  # seconds
ELSEWHERE = "This device was logged out from another one."
REPLAYED = "An old copy of this login was used again"

Profiles = Callable[..., Awaitable[BrowserContext]]
Start = Callable[..., Awaitable[str]]


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.kill()


@pytest.fixture
def start(tmp_path: Path, demos: list[Demo]) -> Start:
    async def start(**environ: str) -> str:
        demos.append(Demo(tmp_path, **environ))
        return await demos[-1].url()

    return start


async def log_in(profile: BrowserContext, url: str, name: str = "ann", *, remember: bool = False) -> Page:
    page = await profile.new_page()
    await page.goto(url)
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill("any")
    if remember:
        await page.get_by_label("Remember me").check()
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", name="My devices")).to_be_visible()
    return page


async def cookies(profile: BrowserContext) -> dict[str, Any]:
    return {str(cookie.get("name")): cookie for cookie in await profile.cookies()}


async def test_the_cookies_are_out_of_reach_of_scripts(browser: BrowserContext, start: Start) -> None:
    page = await log_in(browser, await start())
    kept = await cookies(browser)
    assert kept.keys() == {ACCESS, REFRESH}
    for cookie in kept.values():
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
        assert cookie["expires"] == -1, "not to be remembered: gone when the browser is closed"
    assert await page.evaluate("document.cookie") == ""


async def test_secure_is_one_setting_away(browser: BrowserContext, start: Start) -> None:
    """Chromium takes Secure cookies over plain http from 127.0.0.1, as it does over https from everywhere."""
    await log_in(browser, await start(SESSION_COOKIE_SECURE="true"))
    assert [cookie["secure"] for cookie in (await cookies(browser)).values()] == [True, True]


async def test_who_asks_to_be_remembered_has_cookies_for_thirty_days(browser: BrowserContext, start: Start) -> None:
    await log_in(browser, await start(), remember=True)
    for cookie in (await cookies(browser)).values():
        assert abs(cookie["expires"] - time.time() - REMEMBERED) < 60


async def test_a_device_shows_up_in_the_other_one_and_is_logged_out_there(profiles: Profiles, start: Start) -> None:
    url = await start()
    laptop, phone = await log_in(await profiles(), url), await profiles()
    await expect(laptop.locator("#live[data-state=live]")).to_be_visible()
    there = await log_in(phone, url)
    await expect(there.locator("#live")).to_contain_text("Live")
    rows = laptop.locator("#devices li")
    await expect(rows).to_have_count(2)  # without a reload
    await expect(rows.first).to_contain_text("Chromium on Linux this one")
    await laptop.get_by_role("button", name="Log out Chromium").click()
    await expect(laptop.get_by_text("That device is logged out.")).to_be_visible()
    await expect(rows).to_have_count(1)
    await expect(there.locator("#live[data-state=ended]")).to_contain_text("This device was logged out. Log in again")
    await there.get_by_role("link", name="Log in again").click()
    await expect(there.get_by_role("alert")).to_have_text(ELSEWHERE)
    await laptop.reload()
    await expect(rows).to_have_count(1)


async def test_the_panel_finds_out_what_became_of_the_login_while_the_server_was_away(
    browser: BrowserContext, start: Start, demos: list[Demo]
) -> None:
    url = await start()
    page = await log_in(browser, url)
    for storage, state in ((None, "live"), ("memory://", "ended")):
        await expect(page.locator("#live[data-state=live]")).to_be_visible()
        await demos[-1].end()
        await expect(page.locator("#live")).to_contain_text("Trying again")
        await start(PORT=url.rpartition(":")[2], **({"SESSION_STORAGE": storage} if storage else {}))
        await expect(page.locator(f"#live[data-state={state}]")).to_be_visible()


async def test_ten_fetches_at_once_over_an_expired_access_token_keep_the_login(
    browser: BrowserContext, start: Start
) -> None:
    page = await log_in(browser, await start(**SHORT))
    before = await cookies(browser)
    await asyncio.sleep(2.1)
    answers = await page.evaluate(
        "Promise.all([...Array(10)].map(() => fetch('/devices.json').then(async a => [a.status, await a.json()])))"
    )
    assert [(status, [one["here"] for one in listed]) for status, listed in answers] == [(200, [True])] * 10
    after = await cookies(browser)
    assert after[REFRESH]["value"] != before[REFRESH]["value"]
    await asyncio.sleep(REFUSED_AFTER + 2)
    await page.reload()
    await expect(page.locator("#devices li")).to_have_count(1)


async def test_a_copied_refresh_cookie_that_curl_replays_ends_thief_and_victim_and_both_are_told(
    browser: BrowserContext, start: Start
) -> None:
    curl, url = find_program("curl", "curl"), await start(**SHORT)
    page = await log_in(browser, url)
    stolen = (await cookies(browser))[REFRESH]["value"]
    await asyncio.sleep(2.1)
    await page.reload()
    await expect(page.locator("#live[data-state=live]")).to_be_visible()
    assert (await cookies(browser))[REFRESH]["value"] != stolen
    await asyncio.sleep(REFUSED_AFTER + 1)
    command = [curl, "-sS", "-L", "-b", f"{REFRESH}={stolen}", "-H", "Accept: text/html", url]
    thief = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True, timeout=20)
    assert REPLAYED in html.unescape(thief.stdout)
    await expect(page.locator("#live[data-state=ended]")).to_contain_text("This device was logged out.")
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text(REPLAYED)


async def test_the_form_of_another_site_logs_nobody_out(
    browser: BrowserContext, start: Start, aiohttp_server: Any
) -> None:
    url = await start()
    page = await log_in(browser, url)
    evil = await browser.new_page()
    await evil.route(
        "http://evil.example/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form method="post" action="{url}/log-out"><button>win a prize</button></form>',
        ),
    )
    await evil.goto("http://evil.example/")
    await evil.get_by_role("button").click()
    await expect(evil.locator("body")).to_contain_text("Cross-origin request refused")
    await page.reload()
    await expect(page.locator("#devices li")).to_have_count(1)


async def test_a_stale_login_is_confirmed_before_the_password_is_changed(browser: BrowserContext, start: Start) -> None:
    page = await log_in(browser, await start(DEMO_FRESH_FOR="3"))
    await asyncio.sleep(3.1)
    await page.get_by_role("link", name="Change password").click()
    await expect(page.get_by_role("heading")).to_have_text("Confirm it is you")
    await page.get_by_label("Password").fill("any")
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_label("New password").fill("new")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_text("Your password would be changed now.")).to_be_visible()


async def test_the_keyboard_is_enough(browser: BrowserContext, start: Start) -> None:
    page = await browser.new_page()
    await page.goto(await start())
    await expect(page.get_by_label("Name")).to_be_focused()  # Chromium gives `autofocus` its due after the load event
    for key in (*"ann", "Tab", *"any", "Tab", "Space", "Tab", "Enter"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("heading", name="My devices")).to_be_visible()
    reached = set()
    for _ in range(3):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate("document.activeElement.textContent.trim()"))
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert {"Log out", "Change password"} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_narrow_window_holds_every_page_and_its_buttons(profiles: Profiles, start: Start, scheme: str) -> None:
    url = await start()
    await log_in(await profiles(), url, "W" * 50)
    page = await log_in(await profiles(viewport={"width": 390, "height": 844}, color_scheme=scheme), url, "W" * 50)
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(23, 22, 20)") == (scheme == "dark")
    for path in ("/", "/password", "/confirm"):
        await page.goto(url + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        heights = await page.evaluate("[...document.querySelectorAll('button')].map(each => each.offsetHeight)")
        assert min(heights) >= 44
