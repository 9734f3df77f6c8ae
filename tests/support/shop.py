"""A small shop with sessions: who looks, puts something into the cart, logs in or out is told what the session says."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from support.browser import SECRET

from aiohttp_lionrock import SessionManager, get_session, setup

__all__ = ["NOBODY", "shop"]

NOBODY = {"sub": None, "cart": 0, "why": None}  # what it says to a visitor whom it does not know


def shop(
    *handlers: Callable[[web.Request], Any], clock: Callable[[], float], **settings: Any
) -> tuple[web.Application, SessionManager]:
    """The application; each further handler answers at its own name, at any depth of paths as the others do."""
    app = web.Application()
    manager = setup(app, clock=clock, **{"secret": SECRET, "refresh_token": True, **settings})
    for handler in (look, buy, log_in, log_out, *handlers):
        app.router.add_route("*", f"/{{deep:.*}}{handler.__name__}", handler)
    return app, manager


async def look(request: web.Request) -> web.Response:
    session = await get_session(request)
    why = None if session.rejected is None else type(session.rejected).__name__
    return web.json_response({"sub": session.get("sub"), "cart": session.get("cart", 0), "why": why})


async def buy(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["cart"] = session.get("cart", 0) + 1
    return await look(request)


async def log_in(request: web.Request) -> web.Response:
    """Without `renew`: the change of the subject does what is needed."""
    session = await get_session(request)
    session["sub"] = request.query.get("sub", "ann")
    return await look(request)


async def log_out(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    return web.json_response({})
