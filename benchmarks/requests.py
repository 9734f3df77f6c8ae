"""What a session adds to a request, in process: aiohttp's own protocol is fed bytes and answers into a buffer.

Many visitors take turns. The tokens of a few are still known to the process when they come back; of so many that
they push each other out, each is read as if it had never been seen.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import cycle
from typing import Any

from aiohttp import web

from aiohttp_lionrock.tokens.cache import MAX_TOKENS

from . import apps
from .harness import Case, Findings, Spread, Timings, added, measure
from .samples import DATA, OTHER_COOKIES

__all__ = ["Client", "connected", "cookie_of", "measure_requests", "request_bytes"]

FEW, MANY = 64, 2 * MAX_TOKENS  # visitors
ALLOWANCE = 6e-6  # seconds that a handler pays at most for sessions it does not use, where 0.1 of bare is less
ALLOWED_SHARE = 0.1


class _Wire(asyncio.Transport):
    """A transport that goes nowhere: it keeps what was written and wakes who waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.arrival: asyncio.Future[None] | None = None

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_result(None)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Client:
    """One keep-alive connection to an app, without a network."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._wire = _Wire()
        protocol.connection_made(self._wire)

    async def send(self, request: bytes) -> None:
        self._wire.written.clear()
        self._wire.arrival = self._loop.create_future()
        self._protocol.data_received(request)
        await self._wire.arrival

    async def ask(self, request: bytes) -> str:
        """The whole response as text."""
        await self.send(request)
        for _ in range(5):
            await asyncio.sleep(0)
        return b"".join(self._wire.written).decode()

    def close(self) -> None:
        self._protocol.connection_lost(None)


@contextlib.asynccontextmanager
async def connected(app: web.Application) -> AsyncIterator[Client]:
    """Starts an app as a server does, and gives one connection to it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    client = Client(runner.server())
    try:
        yield client
    finally:
        client.close()
        await runner.cleanup()


def request_bytes(path: str, session_cookie: str = "") -> bytes:
    """A request as a browser sends it, the session's cookie between others."""
    cookies = "; ".join(filter(None, [*OTHER_COOKIES.split("; ")[:2], session_cookie, OTHER_COOKIES.split("; ")[2]]))
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: benchmark/1.0\r\nAccept: */*\r\n"
        f"Accept-Language: en-US,en;q=0.5\r\nCookie: {cookies}\r\n\r\n"
    ).encode()


def cookie_of(response: str) -> str:
    """``name=value`` of the cookie that a response sets."""
    lines = [line for line in response.split("\r\n") if line.lower().startswith("set-cookie:")]
    assert len(lines) == 1, response
    return lines[0].partition(":")[2].strip().partition(";")[0]


async def measure_requests(rounds: int) -> Findings:
    findings = Findings()
    async with contextlib.AsyncExitStack() as stack:
        timings = await measure(await _cases(stack), rounds, slices=20, seconds=0.01)
    findings.ratio("requests.untouched", _untouched(timings))
    for path in ("read", "write"):
        findings.ratio(f"requests.{path}", _share(timings, f"lionrock {path}", f"encrypted {path}"))
        for name in (f"lionrock {path}, tokens not seen before", f"PyJWT {path}"):
            share = Spread.of(_share(timings, name, f"encrypted {path}"))
            findings.fact("added, over what aiohttp-session adds", name, share.median, "")
    findings.micros("a request in process", timings)
    for name in timings:
        if name != "bare":
            findings.micros("added to a bare request", {name: added(timings, name, "bare")})
    return findings


def _share(timings: Timings, ours: str, peers: str) -> list[float]:
    """Round by round, what one case adds to a bare request over what another one adds."""
    return [a / b for a, b in zip(added(timings, ours, "bare"), added(timings, peers, "bare"), strict=True)]


def _untouched(timings: Timings) -> list[float]:
    """Round by round, what a handler pays that never asks, over what it may pay."""
    extra = added(timings, "lionrock untouched", "bare")
    return [more / max(ALLOWANCE, bare * ALLOWED_SHARE) for more, bare in zip(extra, timings["bare"], strict=True)]


async def _cases(stack: contextlib.AsyncExitStack) -> dict[str, Case]:
    kinds: dict[str, Callable[[], web.Application]] = {
        "lionrock": apps.lionrock_app,
        "encrypted": apps.encrypted_app,
        "plain cookie": apps.cookie_app,
        "PyJWT": apps.pyjwt_app,
    }
    cases = {}
    for name, make in kinds.items():
        client = await stack.enter_async_context(connected(make()))
        cookies = await _log_in(client, FEW)
        cases[f"{name} untouched"] = _case(client, "/", cookies)
        cases[f"{name} read"] = _case(client, "/read", cookies)
        cases[f"{name} write"] = _case(client, "/write", cookies)
        if name == "lionrock":
            bare = await stack.enter_async_context(connected(apps.bare_app()))
            cases["bare"] = _case(bare, "/read", cookies)
            for path in ("read", "write"):
                client = await stack.enter_async_context(connected(make()))  # neither reads what the other left known
                cookies = await _log_in(client, MANY)
                assert len(set(cookies)) == MANY
                cases[f"lionrock {path}, tokens not seen before"] = _case(client, f"/{path}", cookies)
    return cases


async def _log_in(client: Client, visitors: int) -> list[str]:
    """A cookie for each visitor."""
    return [cookie_of(await client.ask(request_bytes("/login"))) for _ in range(visitors)]


def _case(client: Client, path: str, cookies: Sequence[str]) -> Case:
    """One request of each visitor in turn, always with the cookie of the login."""
    turns = cycle([request_bytes(path, cookie) for cookie in cookies])

    async def run(count: int) -> None:
        for _ in range(count):
            await client.send(next(turns))

    async def check() -> None:
        response = await client.ask(next(turns))
        assert response.startswith("HTTP/1.1 200 OK\r\n"), response
        assert response.endswith(f"\r\n\r\n{DATA['user']}"), response
        assert ("set-cookie:" in response.lower()) == (path == "/write"), response
        if path == "/write":
            follow_up = await client.ask(request_bytes("/read", cookie_of(response)))
            assert follow_up.endswith(f"\r\n\r\n{DATA['user']}"), follow_up

    return Case(run, check)
