"""The app that people use: two servers on 127.0.0.1 over one storage, each with a manager of its own."""

import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from aiohttp_lionrock import (
    JtiEvent,
    JtiStorage,
    Session,
    SessionConfig,
    SessionManager,
    TokenSuperseded,
    get_session,
    setup,
)

from .history import History, Reuse

__all__ = ["COOKIES", "Server", "serve", "silence"]

COOKIES = {"access": "lionrock-session", "refresh": "lionrock-session-refresh"}
SECRET = "known to nobody but these drills: 0123456789"

StorageFactory = Callable[[], JtiStorage | str]


@dataclass(frozen=True)
class Server:
    """One of the app's servers."""

    number: int
    url: str
    manager: SessionManager


@contextlib.asynccontextmanager
async def serve(storage: StorageFactory, history: History, servers: int = 2) -> AsyncIterator[list[Server]]:
    """Runs the servers. Replay verdicts and the ids they make up go into the history."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_server(number, storage(), history)) for number in range(servers)]


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No log of the library and of the server: hundreds of 503s, each with its cause, are what is wanted here."""
    loggers = [logging.getLogger("aiohttp_lionrock"), logging.getLogger("aiohttp.server")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.asynccontextmanager
async def _server(number: int, storage: JtiStorage | str, history: History) -> AsyncIterator[Server]:
    app = web.Application()
    manager = setup(app, _config(storage, history))
    manager.on_reuse.append(_listener(number, history))
    app.add_routes(
        [
            web.post("/login", log_in),
            web.get("/", read),
            web.post("/", write),
            web.post("/logout", log_out),
            web.post("/renew", renew),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield Server(number, f"http://{host}:{port}", manager)
    finally:
        await runner.cleanup()


def _config(storage: JtiStorage | str, history: History) -> SessionConfig:
    jti = {"reuse_leeway": history.leeway, "generate": _mint(history)}
    return SessionConfig(storage=storage, secret=SECRET, refresh_token=True, jti=jti, purge_interval=None)


def _mint(history: History) -> Callable[[JtiEvent], str]:
    def generate(event: JtiEvent) -> str:
        jti = f"{len(history.minted):x}-{event.session.sid[:4]}"
        history.minted[jti] = time.monotonic()
        return jti

    return generate


def _listener(number: int, history: History) -> Callable[[JtiEvent], Awaitable[None]]:
    async def on_reuse(event: JtiEvent) -> None:
        history.reuses.append(Reuse(time.monotonic(), number, event.session.sid, event.jti or ""))

    return on_reuse


def _state(session: Session, loaded: str | None, *, ok: bool) -> web.Response:
    """The handler's answer: which session it saw, or why none."""
    state = {"loaded": loaded, "rejected": type(session.rejected).__name__ if session.rejected else None}
    state |= {"user": session.get("sub"), "count": session.get("count")}
    return web.Response(status=200 if ok else 401, text=json.dumps(state), content_type="application/json")


async def _arrive(request: web.Request) -> tuple[Session, str | None]:
    session = await get_session(request)
    return session, None if session.is_new else session.sid


async def log_in(request: web.Request) -> web.Response:
    session, loaded = await _arrive(request)
    session.renew()
    session["sub"] = request.query["user"]
    return _state(session, loaded, ok=True)


async def read(request: web.Request) -> web.Response:
    session, loaded = await _arrive(request)
    return _state(session, loaded, ok=loaded is not None)


async def write(request: web.Request) -> web.Response:
    session, loaded = await _arrive(request)
    if loaded is not None:
        session["count"] = session.get("count", 0) + 1
    return _state(session, loaded, ok=loaded is not None)


async def log_out(request: web.Request) -> web.Response:
    """Ends the session, and what it goes on as where it was renewed a moment ago."""
    session, loaded = await _arrive(request)
    is_known = loaded is not None or isinstance(session.rejected, TokenSuperseded)
    if is_known:
        session.invalidate()
    return _state(session, loaded, ok=is_known)


async def renew(request: web.Request) -> web.Response:
    session, loaded = await _arrive(request)
    if loaded is not None:
        session.renew()
    return _state(session, loaded, ok=loaded is not None)
