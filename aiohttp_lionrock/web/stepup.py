"""Step-up: some pages need a user who has logged in, or proved who they are, a moment ago."""

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from math import isnan
from typing import ParamSpec, TypeVar

from aiohttp import web

from ..faults import is_number, shown
from .setup import get_manager
from .visit import get_session

__all__ = ["check_fresh", "fresh_login"]

P = ParamSpec("P")
R = TypeVar("R", bound=web.StreamResponse)

WAY_OUT = "give a function that makes one, as in stale=lambda request: web.HTTPFound('/confirm')"

Stale = type[web.HTTPException] | Callable[[web.Request], web.HTTPException]


async def check_fresh(request: web.Request, max_age: float = 600, *, stale: Stale | None = None) -> None:
    """Lets a request pass whose user logged in, or called ``session.authenticate()``, at most ``max_age`` seconds ago.

    Raises HTTPUnauthorized where nobody is logged in; where it is longer ago or not known, HTTPForbidden or ``stale``:
    a class, or what a function makes of the request. TypeError where it is neither, and where ``max_age`` is not a
    number of seconds.
    """
    _check_stale(stale)
    _check_age(max_age)
    await _check(request, max_age, stale)


def fresh_login(
    max_age: float = 600, *, stale: Stale | None = None
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """`check_fresh` as a decorator of a handler, be it a function, a method or that of a `View`: ``@fresh_login(300)``.

    Raises TypeError where ``max_age`` is not a number of seconds, ``stale`` cannot be raised, or a class is decorated.
    """
    _check_stale(stale)
    _check_age(max_age)

    def decorate(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        if isinstance(handler, type):
            raise TypeError(f"fresh_login is for handlers: decorate the methods of {handler.__name__}, not the class")

        @wraps(handler)
        async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            await _check(_request_in(args), max_age, stale)
            return await handler(*args, **kwargs)

        return checked

    return decorate


async def _check(request: web.Request, max_age: float, stale: Stale | None) -> None:
    session = await get_session(request)
    if session.subject is None:
        raise web.HTTPUnauthorized
    at = session.authenticated_at
    if at is None or get_manager(request).now() - at > max_age:
        raise web.HTTPForbidden if stale is None else stale() if isinstance(stale, type) else _made(stale(request))


def _made(answer: object) -> web.HTTPException:
    if not isinstance(answer, web.HTTPException):
        raise TypeError(f"the function of stale must return an HTTP exception, not {shown(answer)}: {WAY_OUT}")
    return answer


def _check_age(max_age: object) -> None:
    if not is_number(max_age) or isnan(max_age):
        raise TypeError(f"max_age takes a number of seconds, as in @fresh_login(600) or @fresh_login(): {max_age!r}")


def _check_stale(stale: object) -> None:
    """A response is sent once: an exception made beforehand would answer one request, and leave the others waiting."""
    is_other_class = isinstance(stale, type) and not issubclass(stale, web.HTTPException)
    if stale is not None and (not callable(stale) or is_other_class or iscoroutinefunction(stale)):
        raise TypeError(f"stale takes a class of HTTP exceptions or a function, not {shown(stale)}: {WAY_OUT}")
    if isinstance(stale, type):
        try:
            stale()
        except TypeError as exc:
            raise TypeError(f"stale takes a class that needs no arguments, but {exc}: {WAY_OUT}") from None


def _request_in(arguments: tuple[object, ...]) -> web.Request:
    last = arguments[-1] if arguments else None
    request = last.request if isinstance(last, web.View) else last
    if not isinstance(request, web.Request):
        raise TypeError(f"fresh_login is for handlers, whose last argument is a request, not {type(last).__name__}")
    return request
