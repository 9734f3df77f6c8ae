"""Cross-site requests: what another site makes a browser send is refused before it does anything.

The algorithm is that of Go 1.25's http.CrossOriginProtection: no tokens in forms, only headers that browsers set.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ..errors import ConfigError
from ..faults import Faults
from ..log import logger
from ..settings.cookies import CookieChange

__all__ = ["cross_origin_exempt", "cross_origin_middleware", "what_may_reach"]

SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
SAME = frozenset({"same-origin", "none"})
DEFAULT_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}
EXEMPT = "aiohttp_lionrock_cross_origin_exempt"

T = TypeVar("T")


def cross_origin_middleware(trusted_origins: Iterable[str] = ()) -> Middleware:
    """A middleware that answers 403 to requests that another origin has made a browser send.

    GET, HEAD and OPTIONS pass, and must change nothing; the handshake of a WebSocket is no such request. Of the
    others ``Sec-Fetch-Site`` decides; where a browser sends none, ``Origin`` must name the host that was asked for;
    who sends neither is no browser, and passes. ``trusted_origins`` (``https://app.example``) pass in any case.

    A proxy must hand on ``Host`` as the browser sent it, or a middleware outside of this one must restore it, as
    XForwardedRelaxed of aiohttp-remotes does; else handshakes are refused until the public origin is a trusted one.
    Raises ConfigError with every origin that no browser would send.
    """
    trusted = _read_origins(trusted_origins)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        reason = _find_fault(request, trusted)
        if reason is not None:
            logger.warning("a cross-origin request was refused: %s %r: %s", request.method, request.path, reason)
            raise web.HTTPForbidden(text=f"Cross-origin request refused: {reason}.\n")
        return await handler(request)

    return middleware


def cross_origin_exempt(handler: T) -> T:
    """Lets requests of any origin reach this handler: one for machines, say, that asks for a signature of its own.

    For functions, methods, and class-based views whole or by method; it stands above other decorators.
    """
    setattr(handler, EXEMPT, True)
    return handler


def what_may_reach(request: web.Request, changes: Sequence[CookieChange]) -> Sequence[CookieChange]:
    """What may be done to cookies that did not come with a request.

    Another site's form comes without them where SameSite keeps them out, and browsers take what its answer deletes: a
    logout, whose session would live on in the storage. A link that somebody follows to a logout is no such form.
    """
    if request.headers.get("Sec-Fetch-Site") != "cross-site":
        return changes
    written = {change.name for change in changes if change.value is not None}
    if written:  # with them go the former cookies of the same names, which would stand beside them
        return [change for change in changes if change.name in written]
    if not changes or request.method in SAFE_METHODS:
        return changes
    logger.warning("a cross-site request without session cookies logs nobody out: %s %r", request.method, request.path)
    return ()


def _find_fault(request: web.Request, trusted: frozenset[str]) -> str | None:
    """Why a request is refused; None where it passes."""
    if request.method in SAFE_METHODS and not _is_handshake(request):
        return None
    headers = request.headers
    site, origin = headers.get("Sec-Fetch-Site", ""), headers.get(hdrs.ORIGIN, "")
    if site in SAME:
        return None
    if not site and (not origin or _names_host(origin, request.host)):
        return None
    if origin.lower() in trusted or _is_exempt(request):
        return None
    said = f"Sec-Fetch-Site is {site!r:.60}" if site else f"the host asked for is {request.host!r:.200}"
    return f"{said}, and the origin {origin!r:.200} is not trusted" if origin else said


def _is_handshake(request: web.Request) -> bool:
    return "websocket" in request.headers.get(hdrs.UPGRADE, "").lower()


def _names_host(origin: str, host: str) -> bool:
    """Whether an origin is of this host and port. The scheme is not known here: TLS may end at a proxy."""
    scheme, _, address = origin.lower().partition("://")
    return bool(address) and _without_port(address, scheme) == _without_port(host.lower(), scheme)


def _without_port(address: str, scheme: str) -> str:
    """The address without a port that the scheme implies."""
    return address.removesuffix(DEFAULT_PORTS.get(scheme, ""))


def _is_exempt(request: web.Request) -> bool:
    handler: object = request.match_info.handler
    while isinstance(handler, partial):
        if hasattr(handler, EXEMPT):
            return True
        handler = handler.func
    if isinstance(handler, type):  # a class-based view
        method = getattr(handler, request.method.lower(), None)
        return hasattr(handler, EXEMPT) or hasattr(method, EXEMPT)
    return hasattr(handler, EXEMPT)


def _read_origins(origins: Iterable[str]) -> frozenset[str]:
    if isinstance(origins, str):
        raise ConfigError(f"trusted_origins is a list of origins, not text: write [{origins!r:.200}]")
    faults = Faults()
    read = frozenset([_read_origin(origin, faults) for origin in origins])
    faults.raise_if_any()
    return read


def _read_origin(origin: str, faults: Faults) -> str:
    """An origin as browsers send it: in lower case, without a port that its scheme implies."""
    try:
        parts = urlsplit(origin)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError):
        scheme, host, port = "", None, None
    if not scheme or not host or "*" in host:
        faults.add(f"trusted origin {origin!r:.200} is not of the form scheme://host[:port]")
        return ""
    if not host.isascii():
        faults.add(f"trusted origin {origin!r:.200} has letters that browsers write with xn--")
    address = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    read = f"{scheme}://{_without_port(address, scheme)}"
    if origin.lower() not in (read, f"{scheme}://{address}"):
        faults.add(f"trusted origin {origin!r:.200} has more than scheme://host[:port]: write {read!r:.200}")
    return read
