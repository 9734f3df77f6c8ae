"""The aiohttp adapter, and the only file that imports aiohttp.

A request has one `_Slot` for each manager on its way. The session is loaded when a handler asks for it,
and saved once: by the middleware when the handler returns, or by the response-prepare signal where the
handler sends its response itself (a stream, a WebSocket handshake).
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ..errors import ConfigError, StorageUnavailable
from ..log import logger
from ..sessions.manager import SessionManager
from ..sessions.session import Session, seal
from ..settings.config import SessionConfig
from ..settings.cookies import CookieChange, read_cookies
from ..storage.contract import Clock, JtiStorage

__all__ = ["get_session", "new_session", "response_signal", "session_middleware", "setup"]

RETRY_AFTER = "2"  # seconds

RequestEnv = Callable[[web.Request], Mapping[str, str] | None]
Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


class _Slot:
    """One manager's session in one request."""

    session: Session | None = None
    response: web.StreamResponse | None = None  # the one that was saved into
    changes: Sequence[CookieChange] = ()
    lines: Sequence[str] = ()  # its Set-Cookie headers
    saved = False  # or too late for it
    failed = False

    def __init__(self, manager: SessionManager, request_env: RequestEnv | None, outer: "_Slot | None") -> None:
        self.manager = manager
        self.request_env = request_env
        self.outer = outer


_MANAGER = web.AppKey("aiohttp_lionrock_manager", SessionManager)
_SLOT = web.RequestKey("aiohttp_lionrock_slot", _Slot)


def setup(
    app: web.Application,
    config: SessionConfig | None = None,
    *,
    storage: JtiStorage | str | None = None,
    request_env: RequestEnv | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> SessionManager:
    """Gives every handler of an app and its sub-apps a session; the storage opens and closes with the app.

    ``settings`` are SessionConfig fields. ``request_env`` gives a request its own environment, for tenants with
    secrets of their own; ``clock`` is the time that expiry goes by. Raises ConfigError with everything that is wrong.
    """
    if _MANAGER in app:
        raise ConfigError("setup was called on this app before: one session configuration for each app")
    if storage is not None:
        settings["storage"] = storage
    config = SessionConfig.from_mapping(settings) if config is None else config.updated(settings)
    manager = SessionManager(config, clock=clock)
    if request_env is None:
        manager.require_secret()
    app[_MANAGER] = manager
    app.middlewares.append(session_middleware(manager, request_env=request_env))
    app.on_response_prepare.append(response_signal(manager))
    app.cleanup_ctx.append(lambda _: _lifetime(manager))
    return manager


def session_middleware(manager: SessionManager, *, request_env: RequestEnv | None = None) -> Middleware:
    """The middleware alone, for an app that is put together by hand.

    Whoever uses it opens and closes the manager, and appends `response_signal` to ``app.on_response_prepare``
    where handlers send streams or WebSockets.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Most requests come with nothing stored in them, and a look-up in vain costs an exception.
        slot = _Slot(manager, request_env, request.get(_SLOT) if len(request) else None)
        request[_SLOT] = slot
        try:
            try:
                response = await handler(request)
            except web.HTTPException as raised:
                if slot.session is not None and not slot.saved:
                    await _save(slot, slot.session, raised)
                raise
            if slot.session is not None and not slot.saved:
                if not isinstance(response, web.StreamResponse):
                    slot.failed = True  # aiohttp says what is wrong with that
                elif response.prepared:
                    logger.error("a response left before its session was saved: append response_signal to the app")
                else:
                    await _save(slot, slot.session, response)
            return response
        except web.HTTPException:
            raise
        except StorageUnavailable as exc:
            slot.failed = True
            if request.writer.output_size:
                raise  # the head is out; aiohttp ends the connection
            return _unavailable(exc)
        except BaseException:
            slot.failed = True
            raise
        finally:
            if slot.outer is not None:
                request[_SLOT] = slot.outer

    return middleware


def response_signal(manager: SessionManager) -> Signal:
    """Saves this manager's session into a response that a handler prepares itself."""

    async def on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
        try:
            slot: _Slot | None = request[_SLOT]
        except KeyError:
            return
        while slot is not None and slot.manager is not manager:
            slot = slot.outer
        if slot is None or slot.failed:
            return
        if slot.saved:
            lines = response.headers.getall(hdrs.SET_COOKIE, ()) if slot.changes else ()
            if response is not slot.response or lines != slot.lines:
                _save_again(slot, response)
        elif slot.session is None:
            slot.saved = True
        else:
            try:
                await _save(slot, slot.session, response)
            except BaseException:
                _take_back_preparation(request)
                raise

    return on_response_prepare


async def get_session(request: web.Request) -> Session:
    """The request's session, loaded on the first call. Raises StorageUnavailable; the client then gets 503."""
    try:
        slot = request[_SLOT]
    except KeyError:
        raise ConfigError("this request has no session: call setup(app) on the app or on one above it") from None
    if slot.session is None:
        cookies = read_cookies(request.headers.getall(hdrs.COOKIE, ()), slot.manager.cookie_names)
        env = None if slot.request_env is None else slot.request_env(request)
        session = await slot.manager.load(cookies, env)
        if slot.session is None:  # of two tasks that ask at once, both get the session that is loaded first
            slot.session = session
            if slot.saved:
                seal(session)
    return slot.session


async def new_session(request: web.Request) -> Session:
    """An empty session under a new sid; the one that came with the request is revoked."""
    session = await get_session(request)
    session.invalidate()
    return session


async def _lifetime(manager: SessionManager) -> AsyncIterator[None]:
    try:
        await manager.open()
    except StorageUnavailable as exc:
        logger.error("the session storage is not available at start; requests that need it get 503: %s", exc)
    purging = asyncio.create_task(_purge_now_and_then(manager))
    yield
    purging.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await purging
    try:
        await manager.aclose()
    except StorageUnavailable as exc:
        logger.error("the session storage did not close: %s", exc)


async def _purge_now_and_then(manager: SessionManager) -> None:
    interval = manager.config.purge_interval
    if manager.storage is None or interval is None:
        return
    while True:
        await asyncio.sleep(interval * random.uniform(0.5, 1.5))  # noqa: S311 - spreads many processes over time
        try:
            await manager.purge()
        except StorageUnavailable as exc:
            logger.warning("expired session records were not purged: %s", exc)
        except Exception:
            logger.exception("expired session records were not purged")


async def _save(slot: _Slot, session: Session, response: web.StreamResponse) -> None:
    slot.changes = await slot.manager.save(session)
    slot.saved = True
    seal(session)
    slot.response = response
    _vary_by_cookie(response)
    if slot.changes:
        _put_cookies(response, slot.changes)
        slot.lines = response.headers.getall(hdrs.SET_COOKIE)


def _save_again(slot: _Slot, response: web.StreamResponse) -> None:
    """What another response, or another cookie in the same one, that came in after the save needs."""
    if slot.response is not None:
        _vary_by_cookie(response)
    if slot.changes:
        _put_cookies(response, slot.changes)


def _put_cookies(response: web.StreamResponse, changes: Sequence[CookieChange]) -> None:
    """Adds the Set-Cookie headers. aiohttp has written ``response.cookies`` out before the prepare signal runs."""
    headers = response.headers
    headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    for change in changes:
        response.cookies.pop(change.name, None)
    if hdrs.SET_COOKIE in headers:
        names = {change.name for change in changes}
        others = [line for line in headers.popall(hdrs.SET_COOKIE) if line.partition("=")[0].strip() not in names]
        headers.extend((hdrs.SET_COOKIE, line) for line in others)
    for change in changes:
        headers.add(hdrs.SET_COOKIE, change.header())


def _take_back_preparation(request: web.Request) -> None:
    """Lets another response use the writer that aiohttp has set up for this one, whose head was not sent."""
    for setting in ("chunked", "length", "_compress"):
        vars(request.writer).pop(setting, None)


def _vary_by_cookie(response: web.StreamResponse) -> None:
    if response.headers.setdefault(hdrs.VARY, "Cookie") == "Cookie":
        return
    present = response.headers.getall(hdrs.VARY)
    names = {name.strip().lower() for line in present for name in line.split(",")}
    if not names & {"cookie", "*"}:
        response.headers[hdrs.VARY] = ", ".join([*present, "Cookie"])


def _unavailable(exc: StorageUnavailable) -> web.Response:
    logger.error("the session storage cannot answer: %s", exc, exc_info=exc)
    return web.Response(
        status=503,
        text="The service is temporarily unavailable. Please try again.\n",
        headers={hdrs.RETRY_AFTER: RETRY_AFTER, hdrs.CACHE_CONTROL: "no-store"},
    )
