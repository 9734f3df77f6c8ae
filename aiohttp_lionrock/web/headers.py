"""Response headers: the cookies of a session, and what keeps a session out of shared caches (RFC 9111)."""

from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web

from ..settings.cookies import CookieChange

__all__ = ["clear_site_data", "drop_cookies_of_others", "head_size", "keep_from_caches", "mark_read", "put_cookies"]

# Fields that caches obey before Cache-Control: RFC 9213, older CDNs, nginx.
_TARGETED = ("-cache-control", "surrogate-control", "x-accel-expires")


class _OwnLine(str):
    """A Set-Cookie line of ours. It knows who wrote it, so that headers which somebody keeps give it to nobody else."""

    __slots__ = ("writer",)
    writer: object


def drop_cookies_of_others(response: web.StreamResponse, writer: object) -> None:
    """Removes the lines that another one of us has written, into headers which are used once more."""
    headers = response.headers
    if hdrs.SET_COOKIE in headers:
        lines = headers.popall(hdrs.SET_COOKIE)
        kept = [line for line in lines if not isinstance(line, _OwnLine) or line.writer is writer]
        headers.extend((hdrs.SET_COOKIE, line) for line in kept)


def put_cookies(response: web.StreamResponse, changes: Sequence[CookieChange], writer: object) -> None:
    """Adds the Set-Cookie lines, in place of others of these names.

    For the response-prepare signal: aiohttp has written ``response.cookies`` out before it runs.
    """
    headers = response.headers
    if hdrs.SET_COOKIE in headers:
        names = {change.name for change in changes}
        others = [line for line in headers.popall(hdrs.SET_COOKIE) if line.partition("=")[0].strip() not in names]
        headers.extend((hdrs.SET_COOKIE, line) for line in others)
    for change in changes:
        line = _OwnLine(change.header())
        line.writer = writer
        headers.add(hdrs.SET_COOKIE, line)


def keep_from_caches(response: web.StreamResponse) -> str | None:
    """Has no cache store the response, whatever the handler wished; returns the Cache-Control that was replaced.

    A value that says ``no-store`` or ``private`` stands.
    """
    headers = response.headers
    names = ",".join(headers).lower()
    for ending in _TARGETED:
        if ending in names:
            _remove_all(response, ending)
    own = ", ".join(headers.getall(hdrs.CACHE_CONTROL)) if hdrs.CACHE_CONTROL in headers else ""
    if own and {"no-store", "private"} & _words(own.split(",")):
        return None
    headers[hdrs.CACHE_CONTROL] = "no-store"
    return own or None


def _remove_all(response: web.StreamResponse, ending: str) -> None:
    headers = response.headers
    for name in [name for name in headers if name.lower().endswith(ending)]:
        headers.popall(name, None)


def mark_read(response: web.StreamResponse) -> None:
    """Says that the response depends on a cookie, and is one visitor's unless the handler said how to cache it."""
    headers = response.headers
    headers.setdefault(hdrs.CACHE_CONTROL, "private, no-cache")
    if headers.setdefault(hdrs.VARY, "Cookie") == "Cookie":
        return
    present = headers.getall(hdrs.VARY)
    if not {"cookie", "*"} & _words(name for line in present for name in line.split(",")):
        headers[hdrs.VARY] = ", ".join([*present, "Cookie"])


def clear_site_data(response: web.StreamResponse, directives: str) -> None:
    """Has the browser forget what it keeps of the site; a value of the handler's own stands."""
    response.headers.setdefault("Clear-Site-Data", directives)


def head_size(response: web.StreamResponse) -> int:
    """Bytes of the status line and the headers, where these are ASCII."""
    headers = response.headers
    fields = len("".join(headers)) + len("".join(headers.values())) + len(headers) * len(": \r\n")
    return len("HTTP/1.1 200 \r\n") + len(response.reason or "") + fields + len("\r\n")


def _words(parts: Iterable[str]) -> set[str]:
    return {part.strip().lower() for part in parts}
