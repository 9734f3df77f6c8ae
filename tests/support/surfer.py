"""A browser with a cookie jar, and the hosts that it goes to: servers on 127.0.0.1 that it takes for TLS."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession, DummyCookieJar
from aiohttp.test_utils import TestServer
from support.jar import CookieJar
from support.visitor import Answer
from yarl import URL

__all__ = ["Surfer"]

PATIENCE = 5.0  # seconds


class Surfer:
    """One browser. ``open`` names the server that answers for a host; the last one given does."""

    def __init__(self, http: ClientSession, clock: Callable[[], float]) -> None:
        self.jar = CookieJar(clock)
        self._http = http
        self._ports: dict[str, int] = {}

    @staticmethod
    def client() -> ClientSession:
        """What a surfer asks with: a client that keeps no cookies of its own."""
        return ClientSession(cookie_jar=DummyCookieJar())

    def open(self, host: str, server: TestServer) -> None:
        """From now on this server answers for that host."""
        assert server.port is not None
        self._ports[host] = server.port

    async def go(self, url: str, *, method: str = "GET") -> Answer:
        """One request, and its cookies kept: ``shop.example/path``."""
        answer = await self.ask(url, method=method)
        self.keep(url, answer)
        return answer

    async def ask(self, url: str, *, method: str = "GET") -> Answer:
        """The same, while the answer has not reached the browser yet."""
        seen = URL(f"https://{url}")
        assert seen.host is not None
        cookies = self.jar.header(seen)
        headers = {"Host": seen.host} | ({"Cookie": cookies} if cookies else {})
        real = f"http://127.0.0.1:{self._ports[seen.host]}{seen.path_qs}"
        async with asyncio.timeout(PATIENCE):
            async with self._http.request(method, real, headers=headers, allow_redirects=False) as response:
                return Answer(response.status, response.headers, await response.text())

    def keep(self, url: str, answer: Answer) -> None:
        """Takes the cookies of an answer that arrives now."""
        self.jar.receive(URL(f"https://{url}"), answer.headers.getall("Set-Cookie", []))

    async def see(self, url: str) -> Any:
        """What a page that answers in JSON says."""
        answer = await self.go(url)
        assert answer.status == 200, answer
        return json.loads(answer.text)
