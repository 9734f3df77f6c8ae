"""My devices: where a user is logged in, and how to log each of them out, as an application of one's own has it.

`make demo` runs it. PORT and DEMO_FRESH_FOR (seconds that a login is fresh for a new password) come from the
environment, and so does every setting of the sessions: SESSION_STORAGE=mongodb://127.0.0.1/demo, for one.
"""

import os
import warnings
from collections import deque
from pathlib import Path
from urllib.parse import quote

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_jinja2 import template
from live import Live
from start import development_secret, run
from words import ago, device_name, notice

from aiohttp_lionrock import (
    Session,
    SessionConfig,
    SessionEvent,
    check_fresh,
    cross_origin_middleware,
    describe_request,
    flash,
    get_manager,
    get_session,
    new_session,
    setup,
    setup_jinja2,
    watch,
)

HERE = Path(__file__).resolve().parent
REMEMBERED = 30 * 24 * 3600  # seconds
FRESH_FOR = float(os.environ.get("DEMO_FRESH_FOR") or 120)  # seconds
SETTINGS = {
    "SESSION_STORAGE": f"sqlite:///{quote(str(HERE / 'devices.db'))}",
    "SESSION_REFRESH_TOKEN": "true",
    "SESSION_ACCESS_TOKEN_EXPIRES": "300",
    "SESSION_ANONYMOUS_LIFETIME": "600",
    "SESSION_SEEN_INTERVAL": "60",
    # For development alone: over plain http some clients take no Secure cookie. Leave it out where https is spoken.
    "SESSION_COOKIE_SECURE": "false",
}

LIVE = web.AppKey("live", Live)
REPLAYED = web.AppKey("replayed", deque[str | None])  # the last sids of which an old copy has turned up

routes = web.RouteTableDef()


async def member(request: web.Request) -> Session:
    """The session of who is logged in; 401 for everybody else."""
    session = await get_session(request)
    if session.subject is None:
        raise web.HTTPUnauthorized(text=(notice(session.rejected, request.app[REPLAYED]) or "Log in first.") + "\n")
    return session


async def require_fresh_login(request: web.Request) -> None:
    await member(request)
    await check_fresh(request, FRESH_FOR, stale=ConfirmFirst)


class ConfirmFirst(web.HTTPSeeOther):
    """Sends to the page that asks for the password once more."""

    def __init__(self) -> None:
        super().__init__("/confirm")


@web.middleware
async def show_login(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sends browsers to the login page where a program gets 401."""
    try:
        return await handler(request)
    except web.HTTPUnauthorized:
        if "text/html" in request.headers.get("Accept", ""):
            raise web.HTTPSeeOther("/login") from None
        raise


# --- logging in and out --------------------------------------------------------------------------------------------


@routes.get("/login")
@template("login.html")
async def login_page(request: web.Request) -> dict[str, object]:
    session = await get_session(request)
    if session.subject is not None:
        raise web.HTTPSeeOther("/")
    return {"notice": notice(session.rejected, request.app[REPLAYED])}


@routes.post("/login")
async def login(request: web.Request) -> web.Response:
    form = await request.post()
    name = str(form.get("name", "")).strip()
    if not form.get("password") or not name.isprintable() or not 0 < len(name) <= 50:
        raise web.HTTPBadRequest(text="A name of 1 to 50 letters and a password are needed.\n")
    session = await get_session(request)  # a real application has checked the password by now
    session.renew()
    session.authenticate()
    session["sub"] = name
    if "remember" in form:
        session.expire_in(REMEMBERED)
    else:
        session.expire_at_close()
    session.describe(describe_request(request, address=True))
    raise web.HTTPSeeOther("/")


@routes.post("/log-out")
async def log_out(request: web.Request) -> web.Response:
    await new_session(request)
    await flash(request, "You are logged out.")
    raise web.HTTPSeeOther("/login")


# --- devices -------------------------------------------------------------------------------------------------------


@routes.get("/")
@template("devices.html")
async def devices_page(request: web.Request) -> dict[str, object]:
    return {"devices": await my_devices(request)}


@routes.get("/devices")
@template("list.html")
async def devices_list(request: web.Request) -> dict[str, object]:
    """The list alone, for the live panel: a whole page would take the messages that the next one is to show."""
    return {"devices": await my_devices(request)}


@routes.get("/devices.json")
async def devices_as_json(request: web.Request) -> web.Response:
    return web.json_response(await my_devices(request))


async def my_devices(request: web.Request) -> list[dict[str, object]]:
    """The user's logins, this one first, then by when they were last seen."""
    session, manager = await member(request), get_manager(request)
    records = await manager.sessions(session.subject)
    records.sort(key=lambda record: (record.sid == session.sid, record.seen_at or record.created_at), reverse=True)
    return [
        {
            "sid": record.sid,
            "name": device_name(record.metadata),
            "address": record.metadata.get("address", "unknown address"),
            "here": record.sid == session.sid,
            "seen": ago(manager.now() - (record.seen_at or record.created_at)),
            "logged_in": ago(manager.now() - record.created_at),
        }
        for record in records
    ]


@routes.post("/log-out-device")
async def log_out_device(request: web.Request) -> web.Response:
    session = await member(request)
    sid = str((await request.post()).get("sid", ""))
    ended = await get_manager(request).revoke(sid, subject=session.subject)
    await flash(request, "That device is logged out." if ended else "That device was logged out before.")
    raise web.HTTPSeeOther("/")


@routes.post("/log-out-others")
async def log_out_others(request: web.Request) -> web.Response:
    ended = await get_manager(request).revoke_others(await member(request))
    await flash(request, f"Logged out elsewhere: {ended}.")
    raise web.HTTPSeeOther("/")


@routes.get("/live")
async def live(request: web.Request) -> web.WebSocketResponse:
    """The live panel: it hears of changes of the list, and is closed when this device is logged out."""
    session = await member(request)
    socket = web.WebSocketResponse(heartbeat=20)
    await socket.prepare(request)
    async with watch(request, socket, every=1):
        async with request.app[LIVE].told_of(session.subject, socket):
            async for _ in socket:
                pass
    return socket


# --- a page that needs a fresh login -------------------------------------------------------------------------------


@routes.get("/password")
@template("password.html")
async def password_page(request: web.Request) -> dict[str, object]:
    await require_fresh_login(request)
    return {}


@routes.post("/password")
async def change_password(request: web.Request) -> web.Response:
    await require_fresh_login(request)
    ended = await get_manager(request).revoke_others(await member(request))
    await flash(request, f"Your password would be changed now. Logged out elsewhere: {ended}.")
    raise web.HTTPSeeOther("/")


@routes.get("/confirm")
@template("confirm.html")
async def confirm_page(request: web.Request) -> dict[str, object]:
    await member(request)
    return {}


@routes.post("/confirm")
async def confirm(request: web.Request) -> web.Response:
    session = await member(request)
    if not (await request.post()).get("password"):
        raise web.HTTPBadRequest(text="A password is needed.\n")
    session.authenticate()  # a real application has checked the password by now
    raise web.HTTPSeeOther("/password")


def make_app() -> web.Application:
    # aiohttp-jinja2 1.6 keeps its context under a key of text, of which aiohttp 3.14 warns.
    warnings.filterwarnings("ignore", message="It is recommended to use web.RequestKey")
    app = web.Application(middlewares=[cross_origin_middleware(), show_login])
    config = SessionConfig.from_env(environ={**SETTINGS, **os.environ})
    if not os.environ.get("SESSION_SECRET"):
        config = config.updated({"secret": development_secret(HERE / "devices.secret")})
    manager = setup(app, config, require_storage=True)
    setup_jinja2(app, loader=jinja2.FileSystemLoader(HERE / "templates"))
    app[REPLAYED] = replayed = deque[str | None](maxlen=1000)
    app[LIVE] = shown = Live()

    def remember(event: SessionEvent) -> None:
        replayed.append(event.sid)

    manager.events.reused.append(remember)
    for happened in (manager.events.started, manager.events.renewed, manager.events.ended):
        happened.append(shown.tell)
    app.on_shutdown.append(shown.close)
    app.add_routes(routes)
    app.router.add_static("/static", HERE / "static")
    return app


if __name__ == "__main__":
    run(make_app)
