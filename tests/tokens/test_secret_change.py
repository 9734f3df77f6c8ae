"""A change of the secret over two server processes that are restarted one after the other: nobody is logged out."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientSession, DummyCookieJar

PATIENCE = 30  # seconds
OLD, NEW = (f"the {name} secret of the shop, long enough to sign" for name in ("old", "new"))
SERVER = """
import asyncio
from aiohttp import web
from aiohttp_lionrock import get_session, setup

async def visits(request):
    session = await get_session(request)
    session["visits"] = session.get("visits", 0) + 1
    return web.json_response(session["visits"])

async def main():
    app = web.Application()
    setup(app, refresh_token=True)
    app.router.add_get("/", visits)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.sleep(120)

asyncio.run(main())
"""

Environment = dict[str, str]
BEFORE = {"SESSION_SECRET": OLD}
ANNOUNCED = {"SESSION_SECRET": OLD, "SESSION_SECRET_PREVIOUS": NEW}
CHANGED = {"SESSION_SECRET": NEW, "SESSION_SECRET_PREVIOUS": OLD}
AFTER = {"SESSION_SECRET": NEW}


@asynccontextmanager
async def server(environ: Environment) -> AsyncIterator[int]:
    """The port of a process with these secrets."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")} | environ
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield int(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
    finally:
        process.terminate()
        await process.wait()


class Visitor:
    """A browser that keeps the cookies of the last answer."""

    def __init__(self, http: ClientSession) -> None:
        self.http = http
        self.cookies = ""

    async def visit(self, port: int) -> int:
        headers = {"Cookie": self.cookies} if self.cookies else {}
        async with self.http.get(f"http://127.0.0.1:{port}/", headers=headers) as answer:
            lines = answer.headers.getall("Set-Cookie")
            self.cookies = "; ".join(line.partition(";")[0] for line in lines)
            return int(await answer.json())


@pytest.mark.parametrize(
    ("steps", "loses"),
    [((BEFORE, ANNOUNCED, CHANGED), False), ((BEFORE, CHANGED), True)],
    ids=["announced first", "at once"],
)
async def test_who_goes_from_process_to_process_while_the_secret_is_changed(
    steps: tuple[Environment, ...], loses: bool
) -> None:
    async with AsyncExitStack() as stack:
        visitor = Visitor(await stack.enter_async_context(ClientSession(cookie_jar=DummyCookieJar())))
        first = second = await stack.enter_async_context(server(steps[0]))
        counts = [await visitor.visit(first)]
        for environ in steps[1:]:
            for restarted in ("first", "second"):
                port = await stack.enter_async_context(server(environ))
                first, second = (port, second) if restarted == "first" else (first, port)
                counts += [await visitor.visit(port) for port in (first, second, first)]
        assert (counts != list(range(1, len(counts) + 1))) == loses
        if not loses:
            last = await stack.enter_async_context(server(AFTER))
            assert await visitor.visit(last) == len(counts) + 1
