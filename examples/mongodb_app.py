"""An application on several machines: its sessions are in MongoDB, and a logout on one machine holds on all.

MONGODB_URL names the database, as in mongodb://127.0.0.1/shop?replicaSet=rs0; SESSION_SECRET is the same on every
machine. PORT is 8080 where it is not set.
"""

import os

from aiohttp import web

from aiohttp_lionrock import Session, SessionManager, get_session, setup

MANAGER = web.AppKey("manager", SessionManager)


async def visit(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["visits"] = session.get("visits", 0) + 1
    return answer(session)


async def login(request: web.Request) -> web.Response:
    user = str((await request.post()).get("user", ""))
    if not 0 < len(user) <= 50:
        raise web.HTTPBadRequest(text="a name of 1 to 50 letters is needed, as in user=ann\n")
    session = await get_session(request)  # a real application has checked a password by now
    session.renew()  # a new id: whoever knew the old one gains nothing from this login
    session["sub"] = user
    session.describe(machine=str(os.environ.get("PORT")))
    return answer(session)


async def logout(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.invalidate()
    return answer(session)


async def logout_everywhere(request: web.Request) -> web.Response:
    session = await get_session(request)
    if session.subject is None:
        raise web.HTTPForbidden(text="log in first\n")
    ended = await request.app[MANAGER].revoke_subject(session.subject, keep=session.sid)
    return web.json_response({"ended": ended})


def answer(session: Session) -> web.Response:
    return web.json_response({"user": session.subject, "visits": session.get("visits", 0)})


def make_app() -> web.Application:
    app = web.Application()
    app[MANAGER] = setup(
        app,
        storage=os.environ["MONGODB_URL"],
        refresh_token=True,
        cookie={"secure": False},  # for plain http in development alone; leave it out where https is spoken
    )
    app.router.add_get("/", visit)
    app.router.add_post("/login", login)
    app.router.add_post("/logout", logout)
    app.router.add_post("/logout-everywhere", logout_everywhere)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
