"""Applications with sessions, and a handler for each kind of response."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from support.browser import ACCESS, REFRESH
from support.visitor import Answer, Visitor, install, start

from aiohttp_lionrock import SessionManager, get_session

Handler = Callable[[web.Request], Any]
BOTH = {ACCESS, REFRESH}


def application(*handlers: Handler, **settings: Any) -> tuple[web.Application, SessionManager]:
    """An app with sessions; each handler answers at its own name."""
    app = web.Application()
    manager = install(app, **settings)
    for handler in (log_in, log_out, look, *handlers):
        app.router.add_route("*", f"/{handler.__name__}", handler)
    return app, manager


async def log_in(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.renew()
    session["sub"] = "ann"
    return web.Response()


async def log_out(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    return web.Response()


async def look(request: web.Request) -> web.Response:
    session = await get_session(request)
    return web.json_response({"sub": session.get("sub"), "new": session.is_new, "why": type(session.rejected).__name__})


async def write(request: web.Request) -> None:
    session = await get_session(request)
    session["visits"] = session.get("visits", 0) + 1


async def plain(request: web.Request) -> web.Response:
    return web.Response(text="plain")


async def crash(request: web.Request) -> web.Response:
    await write(request)
    raise RuntimeError("a bug in the application")


async def hang(request: web.Request) -> web.Response:
    await write(request)
    await asyncio.Event().wait()
    return web.Response()


async def text(request: web.Request) -> web.Response:
    await write(request)
    return web.Response(text="text")


async def json(request: web.Request) -> web.Response:
    await write(request)
    return web.json_response({})


async def file(request: web.Request) -> web.FileResponse:
    await write(request)
    return web.FileResponse(Path(__file__))


async def redirect(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPFound("/look")


async def forbidden(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPForbidden


async def broken(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPServiceUnavailable


async def nothing(request: web.Request) -> web.Response:
    await write(request)
    return web.Response(status=204)


async def unchanged(request: web.Request) -> web.Response:
    await write(request)
    raise web.HTTPNotModified


async def compressed(request: web.Request) -> web.Response:
    await write(request)
    response = web.Response(text="x" * 5000)
    response.enable_compression()
    return response


async def stream(request: web.Request) -> web.StreamResponse:
    await write(request)
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"streamed")
    await response.write_eof()
    return response


async def prepared(request: web.Request) -> web.Response:
    await write(request)
    response = web.Response(text="prepared")
    await response.prepare(request)
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    await write(request)
    response = web.WebSocketResponse()
    await response.prepare(request)
    await response.close()
    return response


KINDS: dict[Handler, int] = {
    text: 200,
    json: 200,
    file: 200,
    redirect: 302,
    forbidden: 403,
    broken: 503,
    nothing: 204,
    unchanged: 304,
    compressed: 200,
    stream: 200,
    prepared: 200,
    socket: 101,
}


async def ask(visitor: Visitor, path: str, *, only: str | None = None) -> Answer:
    return await (visitor.shake_hands(path, only=only) if "socket" in path else visitor.get(path, only=only))


async def visitor_of(aiohttp_client: Any, handler: Handler, deep: bool, **settings: Any) -> tuple[Visitor, str]:
    """A server with this handler, in the app itself or in a sub-application of a sub-application."""
    app, _ = application(handler, **settings)
    sub, subsub = web.Application(), web.Application()
    subsub.router.add_route("*", f"/{handler.__name__}", handler)
    sub.add_subapp("/sub", subsub)
    app.add_subapp("/sub", sub)
    return await start(aiohttp_client, app), f"/sub/sub/{handler.__name__}" if deep else f"/{handler.__name__}"


def wrapped(app: web.Application, *middlewares: Middleware, **settings: Any) -> web.Application:
    """An application around another one, which answers under /sub; with sessions of its own where it has settings."""
    outer = web.Application(middlewares=middlewares)
    if settings:
        install(outer, **settings)
    outer.add_subapp("/sub", app)
    return outer
