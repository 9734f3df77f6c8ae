"""What a session adds to a request, in process: aiohttp's own protocol is fed bytes and answers into a buffer.

Many visitors take turns. The tokens of a few are still known to the process when they come back; of so many that
they push each other out, each is read as if it had never been seen.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import cycle
from typing import Any

from aiohttp import web

from aiohttp_lionrock.tokens.cache import MAX_TOKENS

from . import apps
from .harness import Case, Findings, Spread, Timings, added, measure
from .samples import DATA, NESTED, OTHER_COOKIES

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
        timings = await measure(await _cases(stack), rounds, slices=30, seconds=0.006, clock=time.process_time)
    findings.ratio("requests.untouched", _untouched(timings))
    for path in ("read", "write"):
        ours, peers = f"lionrock {path}", f"encrypted {path}"
        unseen, nested = f"{ours}, tokens not seen before", f"lionrock nested {path}"
        findings.ratio(f"requests.{path}", _share(timings, ours, peers))
        findings.ratio(f"requests.nested_{path}", _share(timings, nested, f"encrypted nested {path}"))
        findings.ratio(f"requests.unseen_{path}", _share(timings, unseen, peers))
        for name in (unseen, f"PyJWT {path}"):
            _state_share(findings, timings, name, peers)
        _state_share(findings, timings, f"{nested}, tokens not seen before", f"encrypted nested {path}")
    _state_share(findings, timings, "lionrock nested look", "encrypted nested look")
    findings.micros("a request in process", timings)
    for name in timings:
        if name != "bare":
            findings.micros("added to a bare request", {name: added(timings, name, "bare")})
    return findings


def _state_share(findings: Findings, timings: Timings, ours: str, peers: str) -> None:
    share = Spread.of(_share(timings, ours, peers))
    findings.fact("added, over what aiohttp-session adds", ours, share.median, "")


def _share(timings: Timings, ours: str, peers: str) -> list[float]:
    """Round by round, what one case adds to a bare request over what another one adds."""
    return [a / b for a, b in zip(added(timings, ours, "bare"), added(timings, peers, "bare"), strict=True)]


def _untouched(timings: Timings) -> list[float]:
    """Round by round, what a handler pays that never asks, over what it may pay."""
    extra = added(timings, "lionrock untouched", "bare")
    return [more / max(ALLOWANCE, bare * ALLOWED_SHARE) for more, bare in zip(extra, timings["bare"], strict=True)]


async def _cases(stack: contextlib.AsyncExitStack) -> dict[str, Case]:
    kinds: dict[str, Callable[..., web.Application]] = {
        "lionrock": apps.lionrock_app,
        "encrypted": apps.encrypted_app,
        "plain cookie": apps.cookie_app,
        "PyJWT": apps.pyjwt_app,
    }
    _, cookies = await _visited(stack, apps.lionrock_app(), FEW)
    bare = await stack.enter_async_context(connected(apps.bare_app()))
    cases = {"bare": _case(bare, "/read", cookies)}
    for name, make in kinds.items():
        cases |= await _known(stack, name, make(), ("untouched", "read", "write"))
    for name in ("lionrock", "encrypted"):
        cases |= await _known(stack, f"{name} nested", kinds[name](NESTED), ("read", "look", "write"))
    for path in ("read", "write"):  # on servers of their own: neither reads what the other left known
        cases |= await _unseen(stack, f"lionrock {path}", apps.lionrock_app(), path)
        cases |= await _unseen(stack, f"lionrock nested {path}", apps.lionrock_app(NESTED), path)
    return cases


async def _known(
    stack: contextlib.AsyncExitStack, name: str, app: web.Application, paths: Sequence[str]
) -> dict[str, Case]:
    client, cookies = await _visited(stack, app, FEW)
    return {f"{name} {path}": _case(client, f"/{path}", cookies) for path in paths}


async def _unseen(stack: contextlib.AsyncExitStack, name: str, app: web.Application, path: str) -> dict[str, Case]:
    client, cookies = await _visited(stack, app, MANY)
    assert len(set(cookies)) == MANY
    return {f"{name}, tokens not seen before": _case(client, f"/{path}", cookies)}


async def _visited(
    stack: contextlib.AsyncExitStack, app: web.Application, visitors: int
) -> tuple[Client, Sequence[str]]:
    """A connection to a started app, and a cookie for each visitor who has logged in."""
    client = await stack.enter_async_context(connected(app))
    cookies = [cookie_of(await client.ask(request_bytes("/login"))) for _ in range(visitors)]
    return client, cookies


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
