"""HTTP from outside: a visitor that keeps cookies as a browser does, and bytes over a bare socket."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict, CIMultiDictProxy

from aiohttp_lionrock import SessionConfig, SessionManager, setup

from .browser import REFRESH, SECRET, Browser, claims

__all__ = ["Answer", "Visitor", "config", "exchange", "install", "start"]

PATIENCE = 5.0  # seconds

Client = TestClient[web.Request, web.Application]


def config(**settings: Any) -> SessionConfig:
    """Refresh tokens and the tests' secret, but for the settings given."""
    return SessionConfig.from_mapping({"secret": SECRET, "refresh_token": True, **settings})


def install(app: web.Application, **settings: Any) -> SessionManager:
    """`setup` with `config`."""
    own = {
        name: settings.pop(name)
        for name in ("request_env", "on_unavailable", "require_storage", "clock")
        if name in settings
    }
    return setup(app, config(**settings), **own)


async def start(aiohttp_client: Any, app: web.Application) -> "Visitor":
    """The app on a free port of 127.0.0.1, and a visitor who has no cookies yet."""
    client: Client = await aiohttp_client(app, cookie_jar=DummyCookieJar())
    return Visitor(client)


@dataclass(frozen=True)
class Answer:
    """One response. ``set_cookies`` maps the name of each Set-Cookie line to the whole line.

    Of one name only deletions may follow, of cookies with other attributes.
    """

    status: int
    headers: CIMultiDictProxy[str] | CIMultiDict[str]
    text: str

    @property
    def set_cookies(self) -> dict[str, str]:
        named: dict[str, str] = {}
        for line in self.headers.getall("Set-Cookie", []):
            name = line.partition("=")[0].strip()
            assert name not in named or "Max-Age=0" in line, "two Set-Cookie lines of one name"
            named.setdefault(name, line)
        return named

    @property
    def values(self) -> dict[str, str]:
        """Cookie values by name; empty where one is deleted."""
        return {name: line.partition("=")[2].partition(";")[0] for name, line in self.set_cookies.items()}

    @property
    def deleted(self) -> set[str]:
        return {name for name, line in self.set_cookies.items() if "Max-Age=0" in line and not self.values[name]}


class Visitor:
    """Keeps the cookies that a server sets and sends them all back, whatever their attributes say."""

    def __init__(self, client: Client, cookies: dict[str, str] | None = None) -> None:
        self.client = client
        self.cookies = dict(cookies or {})

    @property
    def server(self) -> TestServer:
        assert isinstance(self.client.server, TestServer)
        return self.client.server

    def copy(self) -> "Visitor":
        return Visitor(self.client, self.cookies)

    async def get(self, path: str, *, only: str | None = None, method: str = "GET", **headers: str) -> Answer:
        """One request with all cookies, or the one named; headers are given with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        cookies = [f"{name}={value}" for name, value in self.cookies.items() if only in (None, name)]
        if cookies:
            sent.setdefault("Cookie", "; ".join(cookies))
        async with asyncio.timeout(PATIENCE):
            async with self.client.request(method, path, headers=sent, allow_redirects=False) as response:
                answer = Answer(response.status, response.headers, await response.text())
        return self.receive(answer)

    async def refresh(self, path: str, **headers: str) -> Answer:
        """A request without the access cookie, as after its expiry."""
        return await self.get(path, only=REFRESH, **headers)

    async def shake_hands(self, path: str, *, only: str | None = None) -> Answer:
        """The handshake of a WebSocket, and the end of its connection."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items() if only in (None, name))
        lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Cookie: {cookies}"]
        return self.receive(await exchange(self.server, path, *lines, only_head=True))

    def receive(self, answer: Answer) -> Answer:
        for name, value in answer.values.items():
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer

    @property
    def refreshing(self) -> dict[str, Any]:
        return claims(self.cookies[REFRESH])

    async def is_logged_in(self, manager: SessionManager) -> bool:
        """Whether each of this manager's cookies, brought alone, is honoured."""
        mine = {name: value for name, value in self.cookies.items() if name in manager.cookie_names}
        return await Browser(manager, mine).is_logged_in()


async def exchange(
    server: TestServer, path: str, *lines: str | bytes, method: str = "GET", only_head: bool = False
) -> Answer:
    """Sends header lines as they stand over a bare socket and reads the answer to the end, or only its head."""
    raw = [line.encode() if isinstance(line, str) else line for line in lines]
    if not any(line.lower().startswith(b"connection:") for line in raw):
        raw.append(b"Connection: close")
    head = b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), b"Host: 127.0.0.1", *raw, b"", b""])
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            body = b"" if only_head else await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
    status, *fields = answer.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = CIMultiDict((name, value.strip()) for name, _, value in (field.partition(":") for field in fields))
    return Answer(int(status.split(" ")[1]), headers, body.decode("utf-8", "replace"))
