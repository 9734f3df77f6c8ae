"""The same small application over each kind of session.

``/untouched`` asks for none, ``/read`` reads a text and ``/look`` a list too, ``/write`` changes a value.
"""

import copy
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any

import aiohttp_session
import jwt
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_session.cookie_storage import EncryptedCookieStorage

import aiohttp_lionrock

from .samples import DATA, FLAT, SECRET, Sample

__all__ = ["bare_app", "cookie_app", "encrypted_app", "lionrock_app", "pyjwt_app", "redis_app", "session_app"]

PEER_SESSION = web.RequestKey("peer_session", dict)

GetSession = Callable[[web.Request], Awaitable[MutableMapping[str, Any]]]


async def untouched(request: web.Request) -> web.Response:
    return web.Response(text=str(DATA["user"]))


def session_app(app: web.Application, get_session: GetSession, sample: Sample = FLAT) -> web.Application:
    """Adds the handlers to an app that has sessions."""

    async def read(request: web.Request) -> web.Response:
        user = (await get_session(request)).get("user")
        return web.Response(text=user) if user else web.Response(status=401)

    async def look(request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.Response(text=session["user"]) if "admin" in session["roles"] else web.Response(status=403)

    async def write(request: web.Request) -> web.Response:
        session = await get_session(request)
        sample.change(session)
        return web.Response(text=session["user"])

    async def login(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.update(copy.deepcopy(sample.data))
        return web.Response(text=session["user"])

    async def logout(request: web.Request) -> web.Response:
        session: Any = await get_session(request)
        session.invalidate()
        return web.Response()

    app.router.add_get("/untouched", untouched)
    app.router.add_get("/read", read)
    app.router.add_get("/look", look)
    app.router.add_get("/write", write)
    app.router.add_get("/login", login)
    app.router.add_get("/logout", logout)
    return app


def bare_app() -> web.Application:
    """No sessions at all: what the others are compared with."""
    app = web.Application()
    for path in ("/untouched", "/read", "/write", "/login"):
        app.router.add_get(path, untouched)
    return app


def lionrock_app(sample: Sample = FLAT, **settings: Any) -> web.Application:
    """This library, with its defaults."""
    app = web.Application()
    aiohttp_lionrock.setup(app, secret=SECRET, **settings)
    return session_app(app, aiohttp_lionrock.get_session, sample)


def encrypted_app(sample: Sample = FLAT) -> web.Application:
    """aiohttp-session with its encrypted cookie, and its defaults."""
    return _aiohttp_session_app(EncryptedCookieStorage(SECRET.encode()), sample)


def cookie_app() -> web.Application:
    """aiohttp-session with its plain cookie, which anybody may change."""
    return _aiohttp_session_app(aiohttp_session.SimpleCookieStorage())


def _aiohttp_session_app(storage: aiohttp_session.AbstractStorage, sample: Sample = FLAT) -> web.Application:
    def change(session: Any) -> None:
        sample.change(session)
        session.changed()  # it does not see what changes inside a value

    app = web.Application()
    aiohttp_session.setup(app, storage)
    return session_app(app, aiohttp_session.get_session, replace(sample, change=change))


def redis_app(url: str) -> web.Application:
    """aiohttp-session with Redis."""
    from aiohttp_session.redis_storage import RedisStorage
    from redis import asyncio as redis

    client = redis.from_url(url)
    app = _aiohttp_session_app(RedisStorage(client))
    app.on_cleanup.append(lambda _: client.aclose())
    return app


def pyjwt_app() -> web.Application:
    """The few lines around PyJWT that people write themselves."""
    app = web.Application(middlewares=[_pyjwt_middleware])

    async def get_session(request: web.Request) -> MutableMapping[str, Any]:
        return request[PEER_SESSION]

    return session_app(app, get_session)


@web.middleware
async def _pyjwt_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    token = request.cookies.get("session")
    session = jwt.decode(token, SECRET, algorithms=["HS256"]) if token else {}
    request[PEER_SESSION] = session
    before = session.copy()
    response = await handler(request)
    if session != before:
        now = int(time.time())
        session.update(iat=now, nbf=now, exp=now + 7200)
        response.set_cookie("session", jwt.encode(session, SECRET, algorithm="HS256"), httponly=True)
    return response
