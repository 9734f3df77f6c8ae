"""One server in a process of its own: ``python -m benchmarks.serve KIND [URL]`` prints its port and serves.

It ends when its standard input does, so it never outlives who started it. ``/cpu`` tells the CPU seconds used.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from . import apps

__all__ = ["KINDS"]


def _find_one_session(url: str) -> web.Application:
    from .shapes import FindOne

    return apps.lionrock_app(storage=FindOne.from_url(url))


def _find_one_handler(url: str) -> web.Application:
    from .shapes import find_one_app

    return find_one_app(url)


def _memory(url: str) -> web.Application:
    from .shapes import CoalescedMemory

    return apps.lionrock_app(storage=CoalescedMemory())


KINDS: dict[str, Callable[[str], web.Application]] = {
    "bare": lambda _: apps.bare_app(),
    "lionrock": lambda _: apps.lionrock_app(),
    "encrypted": lambda _: apps.encrypted_app(),
    "redis": apps.redis_app,
    "storage": lambda url: apps.lionrock_app(storage=url),
    "memory": _memory,
    "find_one session": _find_one_session,
    "find_one handler": _find_one_handler,
}


async def _cpu(request: web.Request) -> web.Response:
    return web.Response(text=repr(time.process_time()))


async def _serve(make: Callable[[str], web.Application], url: str) -> None:
    app: web.Application = make(url)
    app.router.add_get("/cpu", _cpu)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address: Any = runner.addresses[0]
    print(address[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(KINDS[sys.argv[1]], sys.argv[2] if len(sys.argv) > 2 else ""))
