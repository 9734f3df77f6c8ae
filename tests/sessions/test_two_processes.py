"""Two server processes on one SQLite file, real clients, and one process that is killed in the middle."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, DummyCookieJar
from support import server
from support.browser import ACCESS, REFRESH, SECRET, Browser, claims

from aiohttp_lionrock import SessionManager

PATIENCE = 20.0  # seconds
BURST = 50
SOME_TIME = 1000  # seconds; longer than an access token lives, shorter than a refresh token


class Server:
    """A process of `support.server`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class Client:
    """A browser with cookies of its own. Cookies that came with an answer replace those it had."""

    def __init__(self, http: ClientSession, cookies: dict[str, str] | None = None) -> None:
        self.http = http
        self.cookies = dict(cookies or {})

    async def get(self, at: Server, path: str) -> Any:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        url = f"http://127.0.0.1:{at.port}{path}"
        async with self.http.get(url, headers={"Cookie": header} if header else {}) as response:
            assert response.status == 200, await response.text()
            answer = await response.json()
        for line in response.headers.getall("Set-Cookie", []):
            name, value = line.partition(";")[0].split("=", 1)
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer

    async def user(self, at: Server) -> Any:
        return (await self.get(at, "/look"))["sub"]


class Fleet:
    """Servers on one SQLite file."""

    def __init__(self, file: Path, http: ClientSession) -> None:
        self.url = f"sqlite:///{file}"
        self.http = http
        self.servers: list[Server] = []

    async def start(self, count: int = 1) -> list[Server]:
        started = await asyncio.gather(*(self._start() for _ in range(count)))
        return list(started)

    async def _start(self) -> Server:
        env = {**os.environ, "SESSION_STORAGE": self.url, "SESSION_SECRET": SECRET}
        process = await asyncio.create_subprocess_exec(
            sys.executable, server.__file__, env=env, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        one = Server(process, 0)
        self.servers.append(one)
        one.port = int(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
        return one

    async def logged_in_long_ago(self, sub: str) -> dict[str, str]:
        """The cookies of somebody who logged in before, whose access token has expired since."""
        config = server.server_config(self.url)
        manager = SessionManager(config, clock=lambda: time.time() - SOME_TIME, environ={"SESSION_SECRET": SECRET})
        async with manager:
            browser = Browser(manager)
            await browser.log_in(sub)
        return browser.cookies


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with ClientSession(cookie_jar=DummyCookieJar()) as http:
        fleet = Fleet(tmp_path / "sessions.db", http)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                yield fleet
        finally:
            for one in fleet.servers:
                await one.kill()


def spread(servers: list[Server], count: int = BURST) -> Iterable[Server]:
    return (servers[number % len(servers)] for number in range(count))


@pytest.mark.parametrize("path", ["/look", "/visit"])
async def test_fifty_requests_with_one_expired_access_token_get_one_refresh_token(fleet: Fleet, path: str) -> None:
    cookies = await fleet.logged_in_long_ago("ann")
    servers = await fleet.start(2)
    tabs = [Client(fleet.http, cookies) for _ in range(BURST)]
    answers = await asyncio.gather(*(tab.get(at, path) for tab, at in zip(tabs, spread(servers), strict=True)))
    assert [answer["sub"] for answer in answers] == ["ann"] * BURST
    tokens = {tab.cookies[REFRESH] for tab in tabs}
    assert len({claims(token)["jti"] for token in tokens}) == 1
    assert cookies[REFRESH] not in tokens
    if path == "/look":
        assert len(tokens) == len({claims(token)["iat"] for token in tokens})
    for at in servers:
        users = await asyncio.gather(*(Client(fleet.http, tab.cookies).user(at) for tab in tabs))
        assert users == ["ann"] * BURST
        [token, *_] = tokens
        assert await Client(fleet.http, {REFRESH: token}).user(at) == "ann"


async def test_a_logout_at_one_server_holds_at_the_other_at_once(fleet: Fleet) -> None:
    here, there = await fleet.start(2)
    client = Client(fleet.http)
    await client.get(here, "/log_in/ann")
    stolen = client.cookies.copy()
    assert await client.user(there) == "ann"
    await client.get(there, "/log_out")
    assert not client.cookies
    for name in (ACCESS, REFRESH):
        thief = Client(fleet.http, {name: stolen[name]})
        assert await thief.user(here) is None
        assert thief.cookies == {name: stolen[name]}


async def test_a_logout_everywhere_at_one_server_ends_every_session_at_the_other(fleet: Fleet) -> None:
    here, there = await fleet.start(2)
    devices = [Client(fleet.http) for _ in range(6)]
    await asyncio.gather(
        *(device.get(at, "/log_in/ann") for device, at in zip(devices, [here, there] * 3, strict=True))
    )
    bob = Client(fleet.http)
    await bob.get(there, "/log_in/bob")
    assert await devices[0].get(here, "/log_out_everywhere") == {"ended": 6}
    assert await asyncio.gather(*(device.user(there) for device in devices)) == [None] * 6
    assert await bob.user(here) == "bob"


BOUND = 1.0  # seconds after which every process knows


@pytest.fixture(params=["sqlite", "mongodb"])
def any_fleet(fleet: Fleet, request: pytest.FixtureRequest) -> Fleet:
    """Servers on one SQLite file, or on one MongoDB database."""
    if request.param == "mongodb":
        fleet.url = request.getfixturevalue("standalone_database")
    return fleet


async def test_everyone_is_out_at_the_other_server_within_a_second_and_for_good(any_fleet: Fleet) -> None:
    fleet = any_fleet
    here, there = await fleet.start(2)
    clients = [Client(fleet.http) for _ in range(4)]
    for number, client in enumerate(clients):
        await client.get([here, there][number % 2], f"/log_in/user{number}")
        assert await client.user(there) == f"user{number}"
    await clients[0].get(here, "/everyone_out")
    assert [await client.user(here) for client in clients] == [None] * 4
    await asyncio.sleep(BOUND)
    assert [await client.user(there) for client in clients] == [None] * 4
    again = Client(fleet.http)
    await again.get(there, "/log_in/ann")
    [restarted] = await fleet.start()
    for at in (here, there, restarted):
        assert await again.user(at) == "ann"
        for client in clients:
            for name, value in client.cookies.items():
                assert await Client(fleet.http, {name: value}).user(at) is None


async def test_everyone_stays_out_when_the_server_is_killed_once_it_has_said_so(any_fleet: Fleet) -> None:
    fleet = any_fleet
    for _ in range(3):
        victim, survivor = await fleet.start(2)
        clients = [Client(fleet.http) for _ in range(3)]
        for client in clients:
            await client.get(survivor, "/log_in/ann")
        await clients[0].get(victim, "/everyone_out")
        await victim.kill()
        await asyncio.sleep(BOUND)
        for at in (survivor, *await fleet.start()):
            assert [await client.user(at) for client in clients] == [None] * 3
            await at.kill()


class Load:
    """Clients that read, write, refresh, log in and log out at two servers until they are told to stop."""

    def __init__(self, fleet: Fleet, servers: list[Server], seed: int) -> None:
        self.fleet = fleet
        self.servers = servers
        self.random = random.Random(seed)
        self.valid: list[tuple[str, Client]] = []
        self.ended: list[Client] = []
        self.answered = self.lost = 0
        self.is_over = False

    async def get(self, client: Client, path: str) -> Any:
        """The answer; None where the server died over it."""
        try:
            answer = await client.get(self.random.choice(self.servers), path)
        except ClientError:
            self.lost += 1
            await asyncio.sleep(0.01)
            return None
        self.answered += 1
        return answer

    async def browse(self, name: str, client: Client) -> None:
        """Nothing that becomes of a server may cost this client its session."""
        self.valid.append((name, client))
        while not self.is_over:
            if self.random.random() < 0.2:
                client.cookies.pop(ACCESS, None)
            answer = await self.get(client, self.random.choice(["/look", "/visit", "/visit"]))
            assert answer is None or answer["sub"] == name

    async def come_and_go(self, name: str) -> None:
        """Who was told that he is logged in is so, and who was told that he is logged out is so."""
        while not self.is_over:
            client = Client(self.fleet.http)
            if await self.get(client, f"/log_in/{name}") is None:
                continue
            before = Client(self.fleet.http, client.cookies)
            if self.random.random() < 0.5:
                self.valid.append((name, client))
            elif await self.get(client, "/log_out") is not None:
                self.ended.append(before)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_server_that_is_killed_under_load_costs_nobody_a_session_and_brings_none_back(
    fleet: Fleet, seed: int
) -> None:
    cookies = {f"user{number}": await fleet.logged_in_long_ago(f"user{number}") for number in range(12)}
    victim, survivor = await fleet.start(2)
    load = Load(fleet, [victim, survivor], seed)
    tasks = [load.browse(name, Client(fleet.http, kept)) for name, kept in cookies.items()]
    tasks += [load.come_and_go(f"guest{number}") for number in range(4)]
    working = asyncio.gather(*tasks)
    await asyncio.sleep(0.6)
    await victim.kill()
    await asyncio.sleep(0.2)
    load.is_over = True
    await working
    assert min(load.answered, len(load.ended), len(load.valid) - len(cookies)) > 5
    assert load.lost > 0
    for at in (survivor, *await fleet.start()):
        await asyncio.gather(*(check_valid(name, client, at) for name, client in load.valid))
        thieves = [Client(fleet.http, {name: value}) for one in load.ended for name, value in one.cookies.items()]
        assert set(await asyncio.gather(*(thief.user(at) for thief in thieves))) == {None}


async def check_valid(name: str, client: Client, at: Server) -> None:
    """The client is logged in, also when its access token has expired."""
    assert await client.user(at) == name
    client.cookies.pop(ACCESS)
    assert await client.user(at) == name
