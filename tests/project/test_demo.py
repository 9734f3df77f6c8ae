"""The devices demo over HTTP: a process of its own, and a cookie jar for each device."""

import asyncio
import contextlib
import html
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar, WSCloseCode, WSServerHandshakeError
from support.demo import REFUSED_AFTER, SHORT, Demo
from support.example import EXAMPLES, PATIENCE, Example
from support.programs import find_program

from aiohttp_lionrock import TokenError, TokenExpired, TokenForged, TokenReused, TokenRevoked, TokenSuperseded

REFRESH = "lionrock-session-refresh"
REMEMBERED = 30 * 24 * 3600  # seconds
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1"
)
REPLAYED = "An old copy of this login was used again"
ELSEWHERE = "This device was logged out from another one."


class Device:
    """A browser: it keeps cookies, follows redirects, and reads pages."""

    def __init__(self, url: str, agent: str) -> None:
        self.url = url
        headers = {"User-Agent": agent, "Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        self.client = ClientSession(url, cookie_jar=CookieJar(unsafe=True), headers=headers)

    async def send(self, method: str, path: str, **options: Any) -> tuple[ClientResponse, str]:
        async with self.client.request(method, path, **options) as response:
            return response, html.unescape(await response.text())

    async def page(self, path: str = "/", method: str = "GET", **form: str) -> str:
        response, text = await self.send(method, path, data=form or None)
        assert response.status == 200, text
        return text

    async def log_in(self, name: str = "ann", **more: str) -> str:
        return await self.page("/login", "POST", name=name, password="any", **more)

    async def devices(self) -> list[dict[str, Any]]:
        async with self.client.get("/devices.json") as response:
            assert response.status == 200
            listed: list[dict[str, Any]] = await response.json()
            return listed

    @property
    def cookies(self) -> dict[str, Any]:
        return {cookie.key: cookie for cookie in self.client.cookie_jar}


Start = Callable[..., Awaitable[str]]
New = Callable[..., Awaitable[Device]]


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Example]]:
    started: list[Example] = []
    yield started
    for demo in started:
        demo.kill()


@pytest.fixture
def start(tmp_path: Path, demos: list[Example]) -> Start:
    """Starts the demo, or starts it once more on the same database."""

    async def start(**environ: str) -> str:
        demos.append(Demo(tmp_path, **environ))
        return await demos[-1].url()

    return start


@pytest.fixture
async def device() -> AsyncIterator[New]:
    async with contextlib.AsyncExitStack() as stack:

        async def device(url: str, agent: str = FIREFOX) -> Device:
            made = Device(url, agent)
            await stack.enter_async_context(made.client)
            return made

        yield device


async def test_a_login_shows_the_devices_of_this_user_by_name(start: Start, device: New) -> None:
    url = await start()
    laptop, phone, other = await device(url), await device(url, IPHONE), await device(url)
    assert "any name and any password will do" in await laptop.page()
    await other.log_in("bob")
    await laptop.log_in()
    page = await phone.log_in()
    shown = re.findall(r"<h2>(.*?)</h2>", page)
    assert shown == ['Safari on iOS <span class="badge">this one</span>', "Firefox on Linux"]
    assert "Last seen just now<br>Logged in just now from 127.0.0.1" in page
    assert [one["here"] for one in await laptop.devices()] == [True, False]


async def test_who_asks_to_be_remembered_has_cookies_for_thirty_days_and_nobody_else(start: Start, device: New) -> None:
    url = await start()
    remembered, forgotten = await device(url), await device(url)
    await remembered.log_in(remember="yes")
    await forgotten.log_in()
    ages = [int(cookie["max-age"]) for cookie in remembered.cookies.values()]
    assert len(ages) == 2
    assert all(REMEMBERED - 60 < age <= REMEMBERED for age in ages)
    assert [cookie["max-age"] for cookie in forgotten.cookies.values()] == ["", ""]


@pytest.mark.parametrize("form", [{"name": ""}, {"name": "x" * 51}, {"name": "a\nb"}, {"password": ""}])
async def test_a_login_without_a_name_or_a_password_is_refused(start: Start, device: New, form: dict[str, str]) -> None:
    laptop = await device(await start())
    response, _ = await laptop.send("POST", "/login", data={"name": "ann", "password": "any", **form})
    assert response.status == 400
    assert laptop.cookies == {}


async def test_one_device_logs_another_one_out_which_is_told_so(start: Start, device: New) -> None:
    url = await start()
    laptop, phone = await device(url), await device(url, IPHONE)
    await phone.log_in()
    await laptop.log_in()
    [sid] = [one["sid"] for one in await laptop.devices() if not one["here"]]
    page = await laptop.page("/log-out-device", "POST", sid=sid)
    assert "That device is logged out." in page
    assert "That device is logged out." not in await laptop.page(), "a message is shown once"
    assert ELSEWHERE in await phone.page()
    assert ELSEWHERE not in await phone.log_in()
    assert "logged out before" in await laptop.page("/log-out-device", "POST", sid=sid)


@pytest.mark.parametrize("sid", ["", "\x00", "no such", "bob's"])
async def test_nobody_logs_out_a_device_of_another_user(start: Start, device: New, sid: str) -> None:
    url = await start()
    ann, bob = await device(url), await device(url)
    await ann.log_in()
    await bob.log_in("bob")
    if sid == "bob's":
        [sid] = [one["sid"] for one in await bob.devices()]
    await ann.page("/log-out-device", "POST", sid=sid)
    assert len(await bob.devices()) == 1


@pytest.mark.parametrize("path", ["/log-out-others", "/password"])
async def test_all_others_are_logged_out_at_once(start: Start, device: New, path: str) -> None:
    url = await start()
    here, *others = [await device(url) for _ in range(3)]
    for each in (here, *others):
        await each.log_in()
    assert "Logged out elsewhere: 2." in await here.page(path, "POST", password="new")
    assert len(await here.devices()) == 1
    for each in others:
        assert ELSEWHERE in await each.page()


async def test_a_logout_is_confirmed_and_leaves_nothing(start: Start, device: New) -> None:
    laptop = await device(await start())
    await laptop.log_in()
    copy = laptop.cookies[REFRESH].value
    assert "You are logged out." in await laptop.page("/log-out", "POST")
    assert REFRESH not in laptop.cookies
    response, _ = await laptop.send("GET", "/", cookies={REFRESH: copy}, allow_redirects=False)
    assert response.headers["Location"] == "/login"


async def test_a_new_password_needs_a_fresh_login(start: Start, device: New) -> None:
    laptop = await device(await start(DEMO_FRESH_FOR="3"))
    assert "<h1>Log in</h1>" in await laptop.page("/password")
    await laptop.log_in()
    assert "<h1>Change password</h1>" in await laptop.page("/password")
    await asyncio.sleep(3.1)
    assert "<h1>Confirm it is you</h1>" in await laptop.page("/password")
    assert "<h1>Confirm it is you</h1>" in await laptop.page("/password", "POST", password="new")
    assert "<h1>Change password</h1>" in await laptop.page("/confirm", "POST", password="any")
    assert "would be changed" in await laptop.page("/password", "POST", password="new")


async def test_the_live_panel_hears_of_logins_and_ends_with_its_own(start: Start, device: New) -> None:
    url = await start()
    laptop, phone, other = await device(url), await device(url), await device(url)
    await laptop.log_in()
    async with asyncio.timeout(PATIENCE), laptop.client.ws_connect("/live") as panel:
        assert await panel.receive_str() == "listening"
        await other.log_in("bob")
        await phone.log_in()
        assert await panel.receive_str() == "started"
        await phone.page("/log-out-others", "POST")
        while (message := await panel.receive()).data != 4401:
            assert isinstance(message.data, str), message


async def test_what_the_live_panel_fetches_takes_no_message_of_the_next_page(start: Start, device: New) -> None:
    laptop = await device(await start())
    await laptop.log_in()
    await laptop.send("POST", "/log-out-others", allow_redirects=False)
    assert "this one" in await laptop.page("/devices")
    assert "Logged out elsewhere: 0." in await laptop.page()
    await laptop.send("POST", "/log-out", allow_redirects=False)
    answer, _ = await laptop.send("GET", "/devices", headers={"Accept": "*/*"})
    assert answer.status == 401
    assert "You are logged out." in await laptop.page("/login")


async def test_requests_of_other_sites_are_refused(start: Start, device: New) -> None:
    laptop = await device(await start())
    await laptop.log_in()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.example"}):
        for path in ("/log-out", "/log-out-others", "/login", "/confirm"):
            response, _ = await laptop.send("POST", path, headers=headers, data={"name": "eve", "password": "x"})
            assert response.status == 403
        with pytest.raises(WSServerHandshakeError) as refused:
            await laptop.client.ws_connect("/live", headers=headers)
        assert refused.value.status == 403
    [one] = await laptop.devices()
    assert one["here"]


async def test_a_replay_after_the_leeway_ends_thief_and_victim_and_both_are_told(start: Start, device: New) -> None:
    url = await start(**SHORT)
    victim, thief = await device(url), await device(url)
    await victim.log_in()
    stolen = victim.cookies[REFRESH].value
    await asyncio.sleep(2)
    await victim.devices()
    assert victim.cookies[REFRESH].value != stolen
    await asyncio.sleep(REFUSED_AFTER + 1)
    _, page = await thief.send("GET", "/", cookies={REFRESH: stolen})
    assert REPLAYED in page
    assert REPLAYED in await victim.page()
    assert REPLAYED not in await victim.log_in()


async def test_a_program_gets_401_with_the_reason_where_a_browser_gets_the_login_page(
    start: Start, device: New
) -> None:
    laptop = await device(await start())
    for path in ("/", "/devices.json", "/password"):
        response, text = await laptop.send("GET", path, headers={"Accept": "*/*"})
        assert (response.status, text) == (401, "Log in first.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_within_seconds_with_a_panel_open_and_a_login_outlives_it(
    start: Start, demos: list[Example], device: New, number: int
) -> None:
    url = await start()
    laptop = await device(url)
    await laptop.log_in(remember="yes")
    async with laptop.client.ws_connect("/live") as panel:
        assert await panel.receive_str() == "listening"
        began = asyncio.get_running_loop().time()
        ending = asyncio.create_task(demos[0].end(number))
        assert (await panel.receive()).data == WSCloseCode.GOING_AWAY
    assert await ending == 0
    assert asyncio.get_running_loop().time() - began < 5
    assert not re.search("Traceback|Error|Warning", demos[0].printed)
    await start(PORT=url.rpartition(":")[2])
    assert len(await laptop.devices()) == 1


async def test_in_a_folder_of_its_own_it_needs_no_settings_and_keeps_its_secret_to_itself(
    tmp_path: Path, demos: list[Example], device: New
) -> None:
    home = shutil.copytree(
        EXAMPLES / "devices", tmp_path / "Zoë's devices", ignore=shutil.ignore_patterns("*.db*", "*.secret")
    )
    demos.append(Example(home / "app.py", tmp_path / "demo.log"))
    laptop = await device(await demos[0].url())
    await laptop.log_in()
    assert (home / "devices.db").exists()
    assert (home / "devices.secret").stat().st_mode & 0o777 == 0o600
    assert (home / "devices.secret").read_text() not in demos[0].printed


async def test_what_is_wrong_with_the_environment_is_said_without_a_traceback(tmp_path: Path) -> None:
    wrong = {"PORT": "http", "SESSION_SECRET": "short", "SESSION_STORAGE": "sqlite:///absent/x.db", "SESSION_X": "1"}
    for name, value in wrong.items():
        demo = Demo(tmp_path, **{name: value})
        assert await asyncio.to_thread(demo.process.wait, PATIENCE) == 1
        assert "Traceback" not in demo.printed
        assert "cannot" in demo.printed


async def test_the_printed_curl_lines_do_what_they_say(
    start: Start, demos: list[Example], device: New, tmp_path: Path
) -> None:
    find_program("curl", "curl")
    laptop = await device(await start())
    await laptop.log_in()
    script = "".join(line + "\n" for line in demos[0].printed.splitlines() if line.startswith("  "))
    ran = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-eu"],
        input=script,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    [listed] = re.findall(r"\[.*\]", ran.stdout)
    assert [one["name"] for one in json.loads(listed)] == ["curl", "Firefox on Linux"]
    assert ELSEWHERE in await laptop.page()


# --- words ---------------------------------------------------------------------------------------------------------

WORDS = runpy.run_path(str(EXAMPLES / "devices" / "words.py"))
MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (89, "just now"),
        (90, "2 minutes ago"),
        (89 * MINUTE, "89 minutes ago"),
        (90 * MINUTE, "2 hours ago"),
        (35 * HOUR, "35 hours ago"),
        (36 * HOUR, "2 days ago"),
        (30 * DAY, "30 days ago"),
    ],
)
def test_times_are_told_as_people_do(seconds: float, words: str) -> None:
    assert WORDS["ago"](seconds) == words


@pytest.mark.parametrize(
    ("refused", "beginning"),
    [
        (TokenReused(), REPLAYED),
        (TokenRevoked(), ELSEWHERE),
        (TokenExpired(), "Your login has come to its end."),
        (TokenForged(), "The login in your browser cannot be read here."),
        (TokenSuperseded(), None),
        (None, None),
    ],
)
def test_each_reason_for_a_refusal_has_its_notice(refused: TokenError | None, beginning: str | None) -> None:
    said = WORDS["notice"](refused, deque())
    assert said is None if beginning is None else said.startswith(beginning)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"browser": "Chrome", "system": "Windows"}, "Chrome on Windows"),
        ({"browser": "curl", "system": "unknown system"}, "curl"),
        ({"browser": "unknown browser", "system": "Linux"}, "unknown browser on Linux"),
        ({}, "unknown browser"),
    ],
)
def test_a_device_has_a_name_whatever_is_known_of_it(labels: dict[str, str], name: str) -> None:
    assert WORDS["device_name"](labels) == name
