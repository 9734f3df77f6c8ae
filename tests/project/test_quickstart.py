"""The quickstart as a newcomer meets it: a process of its own, driven over HTTP, stopped and started again."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar
from support.example import EXAMPLES, PATIENCE, Example
from yarl import URL

SECRET = "not the development secret, but long enough"


class Server(Example):
    """A running quickstart."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.database = folder / "quickstart.db"
        self.secret = folder / "quickstart.secret"
        super().__init__(
            EXAMPLES / "quickstart.py",
            folder / "quickstart.log",
            **{"QUICKSTART_DB": str(self.database), **environ},
        )


class Browser:
    """An HTTP client with cookies of its own, and their names shortened to "access" and "refresh"."""

    NAMES: ClassVar = {"access": "lionrock-session", "refresh": "lionrock-session-refresh"}

    def __init__(self, accept: str = "*/*") -> None:
        self.client = ClientSession(cookie_jar=CookieJar(unsafe=True), headers={"Accept": accept})

    async def send(self, method: str, url: str, **options: Any) -> ClientResponse:
        async with self.client.request(method, url, **options) as response:
            await response.read()
        return response

    async def ask(self, method: str, url: str, **options: Any) -> Any:
        response = await self.send(method, url, **options)
        assert response.status == 200, response
        return await response.json()

    @property
    def cookies(self) -> dict[str, str]:
        jar = {cookie.key: cookie.value for cookie in self.client.cookie_jar}
        return {short: jar[name] for short, name in self.NAMES.items() if name in jar}

    def put(self, **cookies: str) -> None:
        """Has these cookies and no others."""
        self.client.cookie_jar.clear()
        self.client.cookie_jar.update_cookies(
            {self.NAMES[short]: value for short, value in cookies.items()}, URL("http://127.0.0.1")
        )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts the quickstart in an empty folder, or once more in the same one."""
    servers: list[Server] = []

    async def start(**environ: str) -> tuple[Server, str]:
        servers.append(Server(tmp_path, **environ))
        return servers[-1], await servers[-1].url()

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
async def browsers() -> AsyncIterator[Any]:
    async with contextlib.AsyncExitStack() as stack:

        async def browser(accept: str = "*/*") -> Browser:
            made = Browser(accept)
            await stack.enter_async_context(made.client)
            return made

        yield browser


async def test_the_counter_goes_on_after_a_restart(start, browsers):
    browser = await browsers()
    server, url = await start()
    assert [(await browser.ask("GET", url))["visits"] for _ in range(3)] == [1, 2, 3]
    first = await browser.ask("GET", url)
    assert await server.end() == 0
    _, url = await start()
    again = await browser.ask("GET", url)
    assert again == {**first, "visits": 5}


async def test_sigint_ends_it_within_seconds_with_the_storage_closed_and_no_traceback(start, browsers):
    browser = await browsers()
    server, url = await start()
    await browser.ask("GET", url)  # its connection stays open
    wal = Path(f"{server.database}-wal")
    assert wal.exists()
    began = asyncio.get_running_loop().time()
    assert await server.end() == 0
    assert asyncio.get_running_loop().time() - began < 5
    assert not wal.exists(), "the last connection to close merges the WAL into the database"
    for complaint in ("Traceback", "Error", "Warning", "Exception ignored"):
        assert complaint not in server.printed


async def test_sigterm_ends_it_cleanly_too(start, browsers):
    server, url = await start()
    await (await browsers()).ask("GET", url)
    assert await server.end(signal.SIGTERM) == 0
    assert "Traceback" not in server.printed


async def test_without_a_session_secret_it_makes_one_that_only_this_user_may_read(start):
    server, _ = await start()
    assert stat.S_IMODE(server.secret.stat().st_mode) == 0o600
    made = server.secret.read_text()
    assert len(made) >= 32
    assert "SESSION_SECRET is not set" in server.printed
    assert str(server.secret) in server.printed
    assert made not in server.printed
    await server.end()
    server, _ = await start()
    assert server.secret.read_text() == made, "sessions would not survive a restart with another secret"


async def test_with_a_session_secret_it_makes_none(start, browsers):
    server, url = await start(SESSION_SECRET=SECRET)
    await (await browsers()).ask("GET", url)
    assert not server.secret.exists()
    assert "SESSION_SECRET" not in server.printed


async def test_a_login_keeps_the_data_and_changes_the_id(start, browsers):
    browser = await browsers()
    _, url = await start()
    before = await browser.ask("GET", url)
    planted = browser.cookies
    after = await browser.ask("POST", f"{url}/login", data={"user": "ann"})
    assert after == {**before, "user": "ann", "session": after["session"]}
    assert after["session"] != before["session"]
    browser.put(**planted)
    assert (await browser.ask("GET", url))["refused"] == "JWT_SUPERSEDED"


@pytest.mark.parametrize("user", ["", " ", "x" * 51, "a\x00b", "a\nb", None])
async def test_a_login_without_a_sensible_name_is_refused(start, browsers, user):
    browser = await browsers()
    _, url = await start()
    before = await browser.ask("GET", url)
    response = await browser.send("POST", f"{url}/login", data={} if user is None else {"user": user})
    assert response.status == 400
    assert await browser.ask("GET", url) == {**before, "visits": 2}


@pytest.mark.parametrize("kept", [("access",), ("refresh",), ("access", "refresh")])
async def test_a_copy_of_the_cookies_is_refused_after_the_logout(start, browsers, kept):
    browser, thief = await browsers(), await browsers()
    _, url = await start()
    await browser.ask("POST", f"{url}/login", data={"user": "ann"})
    copy = {name: browser.cookies[name] for name in kept}
    thief.put(**copy)
    assert (await thief.ask("GET", url))["user"] == "ann"
    gone = await browser.ask("POST", f"{url}/logout")
    assert (gone["visits"], gone["user"]) == (0, None)
    assert browser.cookies == {}
    for _ in range(2):
        thief.put(**copy)
        answer = await thief.ask("GET", url)
        assert (answer["visits"], answer["user"], answer["refused"]) == (1, None, "JWT_JTI_REVOKED")


async def test_a_refresh_token_brings_the_session_back(start, browsers):
    browser = await browsers()
    server, url = await start()
    before = await browser.ask("POST", f"{url}/login", data={"user": "ann"})
    await server.end()
    _, url = await start()
    old = browser.cookies["refresh"]
    browser.put(refresh=old)
    assert await browser.ask("GET", url) == {**before, "visits": 1}
    assert browser.cookies.keys() == {"access", "refresh"}
    assert browser.cookies["refresh"] != old


async def test_logout_everywhere_ends_the_sessions_of_this_user_and_of_nobody_else(start, browsers):
    phone, laptop, other = [await browsers() for _ in range(3)]
    _, url = await start()
    for browser, user in ((phone, "ann"), (laptop, "ann"), (other, "bob")):
        await browser.ask("POST", f"{url}/login", data={"user": user}, headers={"User-Agent": f"{user}'s"})
    listed = await phone.ask("GET", f"{url}/sessions")
    assert [row["device"] for row in listed] == ["ann's", "ann's"]
    assert sorted(row["where"] for row in listed) == ["elsewhere", "here"]
    at_laptop = laptop.cookies
    await phone.ask("POST", f"{url}/logout-everywhere")
    for cookies in (at_laptop, {"refresh": at_laptop["refresh"]}):
        laptop.put(**cookies)
        answer = await laptop.ask("GET", url)
        assert (answer["user"], answer["refused"]) == (None, "JWT_JTI_REVOKED")
    assert (await phone.ask("GET", url))["user"] is None
    assert (await other.ask("GET", url))["user"] == "bob"
    assert await phone.ask("GET", f"{url}/sessions") == []


async def test_a_browser_gets_a_page_to_click_through(start, browsers):
    browser = await browsers("text/html,application/xhtml+xml")
    _, url = await start()
    page = await browser.send("GET", url)
    assert page.content_type == "text/html"
    assert "Visits: 1" in await page.text()
    assert 'formaction="/login"' in await page.text()
    page = await browser.send(
        "POST", f"{url}/login", data={"user": "<b>&ann"}, headers={"User-Agent": "<script>é\udcff"}
    )
    text = await page.text()
    assert [step.status for step in page.history] == [303]
    assert "Visits: 2" in text
    assert "<b>&lt;b&gt;&amp;ann</b>" in text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert {"Accept", "Cookie"} <= set(page.headers["Vary"].split(", "))
    for button in re.findall(r'formaction="(/logout[a-z-]*)"', text):
        assert "formaction" in await (await browser.send("POST", url + button)).text()
    assert len(re.findall("/logout", text)) == 2


def assert_unavailable(response: ClientResponse, browser: Browser, cookies: dict[str, str]) -> None:
    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "Set-Cookie" not in response.headers
    assert browser.cookies == cookies


async def test_a_database_replaced_by_garbage_is_503_and_logs_nobody_out(start, browsers, tmp_path):
    browser, stranger = await browsers(), await browsers()
    server, url = await start()
    before = await browser.ask("POST", f"{url}/login", data={"user": "ann"})
    kept = browser.cookies
    aside = tmp_path / "aside"
    server.database.rename(aside)
    server.database.write_bytes(b"garbage " * 1000)
    assert_unavailable(await browser.send("GET", url), browser, kept)
    assert_unavailable(await browser.send("POST", f"{url}/logout"), browser, kept)
    assert_unavailable(await stranger.send("GET", url), stranger, {})
    aside.replace(server.database)
    assert await browser.ask("GET", url) == {**before, "visits": 1}
    assert await server.end() == 0


async def test_it_starts_on_a_garbage_database_and_answers_503_until_the_good_one_is_back(start, browsers, tmp_path):
    browser = await browsers()
    server, url = await start()
    before = await browser.ask("GET", url)
    kept = browser.cookies
    await server.end()
    aside = tmp_path / "aside"
    server.database.rename(aside)
    server.database.write_bytes(b"garbage " * 1000)
    server, url = await start()
    assert_unavailable(await browser.send("GET", url), browser, kept)
    aside.replace(server.database)
    assert await browser.ask("GET", url) == {**before, "visits": 2}
    assert await server.end() == 0


async def test_a_locked_database_is_503_and_the_login_did_not_happen(start, browsers):
    browser = await browsers()
    server, url = await start()
    before = await browser.ask("GET", url)
    kept = browser.cookies
    with contextlib.closing(sqlite3.connect(server.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        response = await browser.send("POST", f"{url}/login", data={"user": "ann"})
        assert_unavailable(response, browser, kept)
        other.execute("ROLLBACK")
    assert await browser.ask("GET", url) == {**before, "visits": 2}


async def test_the_database_may_have_any_name(start, browsers, tmp_path):
    database = tmp_path / "Zoë's 100%25 ?a=b #1.db"
    _, url = await start(QUICKSTART_DB=str(database))
    await (await browsers()).ask("GET", url)
    assert database.exists()
    assert database.with_suffix(".secret").exists()


async def test_the_port_asked_for_is_used_or_the_reason_is_told(start, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "in use" in await refusal(tmp_path, PORT=port)
    _, url = await start(PORT=port)
    assert url == f"http://127.0.0.1:{port}"


async def refusal(folder: Path, **environ: str) -> str:
    """What a quickstart that cannot start says, in one line or so."""
    server = Server(folder, **environ)
    assert await asyncio.to_thread(server.process.wait, PATIENCE) == 1
    assert "Traceback" not in server.printed
    return server.printed


async def test_what_is_wrong_with_the_environment_is_said_without_a_traceback(tmp_path):
    assert "port http" in await refusal(tmp_path, PORT="http")
    assert "port 99999" in await refusal(tmp_path, PORT="99999")
    assert "at least 32 bytes" in await refusal(tmp_path, SESSION_SECRET="short")
    absent = str(tmp_path / "absent" / "q.db")
    assert "absent" in await refusal(tmp_path, QUICKSTART_DB=absent)
    assert "absent" in await refusal(tmp_path, QUICKSTART_DB=absent, SESSION_SECRET=SECRET)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_the_printed_curl_lines_do_what_they_say(start, tmp_path):
    server, _ = await start()
    script = "".join(line + "\n" for line in server.printed.splitlines() if line.startswith("  "))
    shell = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-eu"],
        input=script,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    first, logged_in, refreshed, listed, out, refused = map(json.loads, shell.stdout.splitlines())
    assert (first["visits"], first["user"]) == (1, None)
    assert (logged_in["visits"], logged_in["user"]) == (1, "ann")
    assert refreshed == {**logged_in, "visits": 2}
    assert [row["where"] for row in listed] == ["here"]
    assert (out["visits"], out["user"]) == (0, None)
    assert (refused["visits"], refused["refused"]) == (1, "JWT_JTI_REVOKED")
