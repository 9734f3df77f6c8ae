"""Middleware and response-prepare signal: where a visit begins, where it is saved, and where its cookies leave.

The outermost of our middlewares saves when all others have had their say, because a response that is not prepared yet
can still become a 503. The signal saves only for a handler that sends its response itself.
"""

import inspect

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ..errors import StorageUnavailable
from ..log import logger
from .headers import drop_cookies_of_others, keep_from_caches
from .installation import Installation
from .visit import Visit, begin_visit, find_visit

__all__ = ["make_middleware", "on_response_prepare"]

RETRY_AFTER = "2"  # seconds

Outage = tuple[Installation, StorageUnavailable]


def make_middleware(installation: Installation) -> Middleware:
    """The middleware of one application."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        visit = find_visit(request)
        if visit is not None:
            return await _pass_on(visit, installation, request, handler)
        visit = begin_visit(request)
        try:
            try:
                response = await handler(request)
            except web.HTTPException as raised:
                response = await _settle(visit, request, raised)
                if response is raised:
                    del response  # which would tie the exception to its own traceback
                    raise
            except Exception as exc:
                outage = _outage_in(exc)
                if outage is None or request.writer.output_size:
                    raise  # of an outage too, once the head is out: aiohttp ends the connection
                response = await _unavailable(visit.outage or (installation, outage), request)
            else:
                if visit.slots and not visit.is_at_rest():
                    response = await _settle(visit, request, response)
            return response
        except Exception:
            _take_back_preparation(request)
            raise
        finally:
            if visit.slots and visit.response is not None:
                visit.warn_of_lost_changes()
            visit.close()

    return middleware


async def on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """Puts the cookies into the head of a response; saves first where the handler sends it itself."""
    visit = find_visit(request)
    if visit is None:  # an outer middleware answers by itself, but a later signal may ask for the session
        visit = begin_visit(request)
    drop_cookies_of_others(response, visit.writer)
    if visit.slots:
        if visit.closed:
            visit.warn_of_lost_changes()
        else:
            await _save_while_preparing(visit, request)
        visit.mark(response)
    visit.closed = True
    visit.response = response


async def _pass_on(
    visit: Visit, installation: Installation, request: web.Request, handler: Handler
) -> web.StreamResponse:
    """What the middleware of an inner application does: the outermost one does the rest."""
    try:
        return await handler(request)
    except Exception as exc:
        if visit.outage is None and (outage := _outage_in(exc)) is not None:
            visit.outage = (installation, outage)
        raise


async def _settle(visit: Visit, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Saves; the response, or the one in its place where the storage cannot answer."""
    if response is None:
        return response
    if getattr(response, "prepared", False):  # of no response a middleware outside makes one, or nothing does
        if not visit.closed:
            logger.error("a response had left before its session could be saved")
        return response
    if visit.outage is not None and getattr(response, "status", None) == 500:  # an outage was taken for a bug
        return await _unavailable(visit.outage, request)
    if not visit.closed:
        try:
            await visit.save(request)
        except StorageUnavailable:
            if visit.outage is None:
                raise
            return await _unavailable(visit.outage, request)
    return response


def _outage_in(raised: Exception) -> StorageUnavailable | None:
    """The outage that an exception is, was raised from, or has in its group. What only follows one is a bug."""
    left: list[BaseException | None] = [raised]
    seen = set()  # an exception may be its own cause
    while left:
        exc = left.pop()
        if isinstance(exc, StorageUnavailable):
            return exc
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        left += [exc.__cause__, *(exc.exceptions if isinstance(exc, BaseExceptionGroup) else ())]
    return None


async def _unavailable(outage: Outage, request: web.Request) -> web.StreamResponse:
    installation, exc = outage
    installation.outages.refused(exc)
    response = await _page_of(installation, request, exc)
    if response is None:
        response = web.Response(status=503, text="The service is temporarily unavailable. Please try again.\n")
    if response.status == 503:
        response.headers.setdefault(hdrs.RETRY_AFTER, RETRY_AFTER)
    keep_from_caches(response)
    if isinstance(response, web.HTTPException):
        raise response from None
    return response


async def _page_of(
    installation: Installation, request: web.Request, exc: StorageUnavailable
) -> web.StreamResponse | None:
    """The application's own page, returned or raised; None where it has none, or where that fails too."""
    if installation.on_unavailable is None:
        return None
    try:
        answer = installation.on_unavailable(request, exc)
        response = await answer if inspect.isawaitable(answer) else answer
    except web.HTTPException as raised:
        return raised
    except Exception:
        logger.exception("on_unavailable failed: the client gets the plain 503")
        return None
    if not isinstance(response, web.StreamResponse):
        raise TypeError(f"on_unavailable must return a response, not {type(response).__name__}")
    return response


async def _save_while_preparing(visit: Visit, request: web.Request) -> None:
    try:
        await visit.save(request)
    except BaseException:
        _take_back_preparation(request)
        raise


def _take_back_preparation(request: web.Request) -> None:
    """Lets another response use the writer that aiohttp has set up for one whose head was not sent."""
    if not request.writer.output_size:
        for setting in ("chunked", "length", "_compress"):
            vars(request.writer).pop(setting, None)
