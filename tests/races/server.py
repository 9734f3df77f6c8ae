"""One server process: ``python -m races.server '{"storage": ...}'``. The first line it prints is its port.

``/<act>`` is the application; where ``outer_storage`` is given, ``/in/<act>`` is one inside another that has sessions
of its own. Answers say when their session was saved, in monotonic seconds, which all processes of a machine share.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

from aiohttp import web
from support.storages import Wrapper

from aiohttp_lionrock import (
    CookieChange,
    JtiEvent,
    Session,
    SessionManager,
    StorageUnavailable,
    get_session,
    open_storage,
    setup,
)

from .options import SAVED, SECRET, SIGNALS, Options, config_of

T = TypeVar("T")

_saved: ContextVar[list[float]] = ContextVar("_saved")
_broken: ContextVar[bool] = ContextVar("_broken", default=False)


class Clock:
    """The system's time, and an offset that a request can change."""

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def __call__(self) -> float:
        return time.time() + self.offset


class TimedManager(SessionManager):
    """Remembers for the request at hand when its session was saved."""

    async def save(self, session: Session, *, is_awaited: Callable[[], bool] | None = None) -> list[CookieChange]:
        began = time.monotonic()
        changes = await super().save(session, is_awaited=is_awaited)
        _saved.set([began, time.monotonic()])
        return changes


class Breakable(Wrapper):
    """Is away for the requests that want it to be."""

    async def around(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        if _broken.get():
            raise StorageUnavailable(f"{name}: away for this request")
        return await super().around(name, call)


class State:
    """What the process knows beside its sessions."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.verdicts: list[str] = []
        self.made: set[str] = set()  # answers whose heads were written

    async def hear(self, event: JtiEvent) -> None:
        self.verdicts.append(event.session.sid)


STATE = web.AppKey("state", State)


def _log_in(session: Session, request: web.Request) -> None:
    session.renew()
    session["sub"] = request.query["sub"]


def _renew(session: Session, request: web.Request) -> None:
    if not session.is_new:
        session.renew()


def _write(session: Session, request: web.Request) -> None:
    session["visits"] = session.get("visits", 0) + 1


ACTS: dict[str, Callable[[Session, web.Request], object]] = {
    "look": lambda session, request: None,
    "log_in": _log_in,
    "log_out": lambda session, request: session.invalidate(),
    "renew": _renew,
    "write": _write,
    "fill": lambda session, request: session.update(cart="full"),
    "describe": lambda session, request: session.describe(**{request.query["label"]: "here"}),
}


async def act(request: web.Request) -> web.StreamResponse:
    session = await get_session(request)
    seen = {"sub": session.get("sub"), "rejected": type(session.rejected).__name__ if session.rejected else None}
    await asyncio.sleep(float(request.query.get("work", 0)))
    ACTS[request.match_info["act"]](session, request)
    if request.query.get("way") in ("stream", *SIGNALS):
        return await _stream(request, json.dumps(seen))
    return web.json_response(seen)


async def _stream(request: web.Request, text: str) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(text.encode())
    await response.write_eof()
    return response


@web.middleware
async def hasten(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """An impatient middleware outside of the sessions."""
    patience = request.query.get("patience")
    try:
        async with asyncio.timeout(float(patience)) if patience else nullcontext():
            response: web.StreamResponse = await handler(request)
            return response
    except TimeoutError:
        return web.Response(status=504)


@web.middleware
async def interfere(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """What a middleware of the outer application does with the answer of the inner one."""
    way = request.query.get("way", "")
    if way in ("503 first", "write"):
        (await get_session(request))["seen"] = time.time()
    response: web.StreamResponse = await handler(request)
    if way.startswith("503"):
        (await get_session(request))["seen"] = time.time()
        _broken.set(True)
    elif way == "replace":
        return web.Response(text="{}")
    elif way == "raise":
        raise web.HTTPForbidden(text="{}")
    elif way == "crash":
        raise ValueError("a bug in the outer application")
    elif way == "stream outside":
        return await _stream(request, "{}")
    return response


async def stamp(request: web.Request, response: web.StreamResponse) -> None:
    if saved := _saved.get(None):
        response.headers[SAVED] = json.dumps(saved)
    request.config_dict[STATE].made.add(request.query.get("id", ""))


def spoil(way: str) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def signal(request: web.Request, response: web.StreamResponse) -> None:
        if request.query.get("way") == way and response.status == 200:
            raise ValueError("a bug in a prepare signal")

    return signal


async def verdicts(request: web.Request) -> web.Response:
    return web.json_response(request.config_dict[STATE].verdicts)


async def made(request: web.Request) -> web.Response:
    return web.json_response(request.match_info["id"] in request.config_dict[STATE].made)


async def set_clock(request: web.Request) -> web.Response:
    request.config_dict[STATE].clock.offset = float(request.match_info["offset"])
    return web.Response(text="null")


def make_app(options: Options) -> web.Application:
    app = web.Application()
    clock = Clock(options.offset)
    app[STATE] = state = State(clock)
    manager = TimedManager(config_of(options), clock=clock)
    manager.on_reuse.append(state.hear)
    app.add_routes([web.get("/state/verdicts", verdicts), web.get("/state/made/{id}", made)])
    app.add_routes([web.get("/state/clock/{offset}", set_clock)])
    if options.outer_storage:
        setup(app, name="outer", secret=SECRET, storage=Breakable(open_storage(options.outer_storage)))
        app.middlewares.append(interfere)
        app.on_response_prepare.append(spoil("signal before"))
        inner = web.Application()
        setup(inner, manager=manager)
        inner.on_response_prepare.append(spoil("signal after"))
        inner.router.add_get("/{act}", act)
        app.add_subapp("/in", inner)
    else:
        setup(app, manager=manager)
        app.middlewares.insert(0, hasten)
        app.router.add_get("/{act}", act)
    app.on_response_prepare.append(stamp)
    return app


async def serve(options: Options) -> None:
    runner = web.AppRunner(
        make_app(options), access_log=None, handler_cancellation=options.handler_cancellation, shutdown_timeout=1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Options(**json.loads(sys.argv[1]))))
