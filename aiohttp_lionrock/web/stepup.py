"""Step-up: some pages need a user who has logged in, or proved who they are, a moment ago."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeVar

from aiohttp import web

from .setup import get_manager
from .visit import get_session

__all__ = ["check_fresh", "fresh_login"]

R = TypeVar("R", bound=web.StreamResponse)
Handler = Callable[[web.Request], Awaitable[R]]


async def check_fresh(
    request: web.Request, max_age: float = 600, *, stale: type[web.HTTPException] | None = None
) -> None:
    """Lets a request pass whose user logged in, or called ``session.authenticate()``, at most ``max_age`` seconds ago.

    Raises HTTPUnauthorized where nobody is logged in; where it is longer ago or not known, HTTPForbidden or ``stale``.
    """
    session = await get_session(request)
    if session.subject is None:
        raise web.HTTPUnauthorized
    at = session.authenticated_at
    if at is None or get_manager(request).now() - at > max_age:
        raise stale or web.HTTPForbidden


def fresh_login(
    max_age: float = 600, *, stale: type[web.HTTPException] | None = None
) -> Callable[[Handler[R]], Handler[R]]:
    """The same as a decorator of a handler: ``@fresh_login(max_age=300)``."""

    def decorate(handler: Handler[R]) -> Handler[R]:
        @wraps(handler)
        async def checked(request: web.Request) -> R:
            await check_fresh(request, max_age, stale=stale)
            return await handler(request)

        return checked

    return decorate
