"""A fleet of server processes on one storage, a judge beside them, and browsers."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from aiohttp_lionrock import SessionManager

from .options import SAVED, Options, config_of

__all__ = ["ACCESS", "REFRESH", "Answer", "Browser", "Fleet", "fleet_of"]

TESTS = Path(__file__).parents[1]  # what is run with -m is found from here
ACCESS, REFRESH = "lionrock-session", "lionrock-session-refresh"
PATIENCE = 30.0  # seconds for an answer, and for the start of a process


@dataclass(frozen=True)
class Answer:
    """What came back; status 0: nothing. ``cookies`` holds None for one that is deleted."""

    status: int
    body: Any
    cookies: Mapping[str, str | None]
    saving: float | None  # when the save of its session began
    saved: float | None  # and when it was done

    @property
    def deletes(self) -> bool:
        return None in self.cookies.values()


class Fleet:
    """Servers on one storage. ``judge`` is a manager on the same storage that never saves."""

    def __init__(self, options: Options, http: ClientSession) -> None:
        self.options = options
        self.http = http
        self.judge = SessionManager(config_of(options), environ={})
        self.ports: list[int] = []
        self.apart = 0.0  # seconds by which the clock of the last server is ahead of the first one's
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self, options: Options) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "races.server", options.json()),
            cwd=TESTS,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._processes.append(process)
        assert process.stdout is not None
        self.ports.append(int(await asyncio.wait_for(process.stdout.readline(), PATIENCE)))

    async def stop(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def state(self, what: str) -> list[Any]:
        """Each server's answer about itself."""
        return [await self._state(port, what) for port in self.ports]

    async def _state(self, port: int, what: str) -> Any:
        async with self.http.get(f"http://127.0.0.1:{port}/state/{what}") as response:
            return json.loads(await response.text())

    async def set_clock(self, port: int, offset: float) -> None:
        """Sets the clock of one server so far ahead of the system's."""
        await self._state(port, f"clock/{offset}")

    async def verdicts(self) -> list[str]:
        """The sids of sessions that were revoked for a replay."""
        return [sid for sids in await self.state("verdicts") for sid in sids]

    def browser(self, cookies: Mapping[str, str] | None = None) -> "Browser":
        return Browser(self, cookies)


class Browser:
    """Cookies by name, changed in the order in which answers arrive. ``issued`` has every cookie it ever got."""

    def __init__(self, fleet: Fleet, cookies: Mapping[str, str] | None = None) -> None:
        self.fleet = fleet
        self.cookies = dict(cookies or {})
        self.issued: list[tuple[str, str]] = list(self.cookies.items())
        self.arrived: list[Answer] = []

    def beside(self) -> "Browser":
        """A holder of the same cookies with a jar of its own."""
        return Browser(self.fleet, self.cookies)

    async def ask(
        self, at: int, act: str, *, only: str | None = None, delay: float = 0, prefix: str = "", **query: object
    ) -> Answer:
        """One request, after a delay; it sends the cookies that the jar has then, or only the one named."""
        if delay:
            await asyncio.sleep(delay)
        sent = {name: value for name, value in self.cookies.items() if only in (None, name)}
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in sent.items())} if sent else {}
        url = f"http://127.0.0.1:{self.fleet.ports[at]}{prefix}/{act}"
        params = {name: str(value) for name, value in query.items()}
        try:
            return await self._exchange(url, headers, params)
        except ClientError as exc:
            self.arrived.append(Answer(0, repr(exc), {}, None, None))
            return self.arrived[-1]

    async def _exchange(self, url: str, headers: Mapping[str, str], params: Mapping[str, str]) -> Answer:
        async with self.fleet.http.get(url, headers=headers, params=params) as response:
            cookies = dict(_changes(response.headers.getall("Set-Cookie", ())))
            self._receive(cookies)
            saving, saved = json.loads(response.headers.get(SAVED, "[null, null]"))
            place = len(self.arrived)
            self.arrived.append(Answer(response.status, None, cookies, saving, saved))
            text = await response.text()
        body = json.loads(text) if response.status == 200 else None
        self.arrived[place] = answer = replace(self.arrived[place], body=body)
        return answer

    def _receive(self, cookies: Mapping[str, str | None]) -> None:
        for name, value in cookies.items():
            if value is None:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
                self.issued.append((name, value))

    def let_access_expire(self) -> None:
        """Drops the access cookie, as a browser does when its time is over."""
        self.cookies.pop(ACCESS, None)

    async def holds(self, key: str, value: object) -> bool:
        """Whether each of its two cookies, brought alone, stands for a session with this in it."""
        loaded = [
            await self.fleet.judge.load({name: self.cookies[name]})
            for name in (ACCESS, REFRESH)
            if name in self.cookies
        ]
        return len(loaded) == 2 and all(session.get(key) == value for session in loaded)

    async def comes_to_hold(self, key: str, value: object, seconds: float = 5.0) -> bool:
        """The same, once what goes on in the background has been done."""
        for _ in range(int(seconds / 0.05)):
            if await self.holds(key, value):
                return True
            await asyncio.sleep(0.05)
        return False


@asynccontextmanager
async def fleet_of(options: Options, *, offsets: tuple[float, ...] = (0, 0)) -> AsyncIterator[Fleet]:
    """One process for each offset of its clock."""
    connector = TCPConnector(limit=0)
    timeout = ClientTimeout(total=PATIENCE)
    async with ClientSession(cookie_jar=DummyCookieJar(), connector=connector, timeout=timeout) as http:
        fleet = Fleet(options, http)
        try:
            fleet.apart = offsets[-1] - offsets[0]
            for offset in offsets:
                await fleet.start(replace(options, offset=offset))
            async with fleet.judge:
                yield fleet
        finally:
            await fleet.stop()


def _changes(headers: "list[str] | tuple[str, ...]") -> Iterator[tuple[str, str | None]]:
    for header in headers:
        name, _, value = header.partition(";")[0].partition("=")
        yield name, value or None
