"""A cookie jar that keeps RFC 6265: domains, paths, order, Secure, times; no SameSite and no public suffixes.

As browsers and RFC 6265bis have it, a cookie of the host alone and one of a domain of that name are two.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Self

from yarl import URL

__all__ = ["CookieJar", "StoredCookie"]


@dataclass
class StoredCookie:
    """One cookie of the store of RFC 6265, section 5.3. ``expires`` None: it ends with the browser."""

    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    secure: bool
    http_only: bool
    expires: float | None
    created: int  # a number in the order of arrival


class CookieJar:
    """The cookies of one browser, by name, domain, host-only and path."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._cookies: dict[tuple[str, str, bool, str], StoredCookie] = {}
        self._arrivals = 0

    def __iter__(self) -> Iterator[StoredCookie]:
        self._drop_expired()
        return iter(list(self._cookies.values()))

    def __len__(self) -> int:
        self._drop_expired()
        return len(self._cookies)

    def copy(self) -> Self:
        """A browser that has the same cookies: a thief's, or this one before an answer that is on its way."""
        twin = type(self)(self._clock)
        twin._cookies = {key: replace(cookie) for key, cookie in self._cookies.items()}
        twin._arrivals = self._arrivals
        return twin

    def receive(self, url: URL, lines: Iterable[str]) -> None:
        """Takes the Set-Cookie lines of a response."""
        for line in lines:
            cookie = self._read(url, line)
            if cookie is None:
                continue
            key = cookie.name, cookie.domain, cookie.host_only, cookie.path
            if key in self._cookies:
                cookie.created = self._cookies[key].created
            self._cookies[key] = cookie
        self._drop_expired()

    def header(self, url: URL) -> str:
        """The Cookie header of a request: longer paths first, and of those the older cookies first."""
        self._drop_expired()
        sent = [cookie for cookie in self._cookies.values() if _is_for(cookie, url)]
        sent.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent)

    def end_browser(self) -> None:
        """What is left when the browser is started again."""
        self._cookies = {key: cookie for key, cookie in self._cookies.items() if cookie.expires is not None}

    def _read(self, url: URL, line: str) -> StoredCookie | None:
        pair, *parts = line.split(";")
        name, equals, value = (part.strip(" \t") for part in pair.partition("="))
        attributes = {
            key.strip(" \t").lower(): text.strip(" \t") for key, _, text in (part.partition("=") for part in parts)
        }
        host = _host(url)
        domain = attributes.get("domain", "").removeprefix(".").lower()
        path = attributes.get("path", "")
        if not equals or not name or (domain and not _domain_matches(host, domain)):
            return None
        if "secure" in attributes and not _is_trustworthy(url):
            return None
        self._arrivals += 1
        return StoredCookie(
            name,
            value,
            domain or host,
            host_only=not domain,
            path=path if path.startswith("/") else _default_path(url),
            secure="secure" in attributes,
            http_only="httponly" in attributes,
            expires=self._expiry(attributes),
            created=self._arrivals,
        )

    def _expiry(self, attributes: dict[str, str]) -> float | None:
        """Max-Age goes before Expires; one that cannot be read is passed over."""
        age = attributes.get("max-age", "")
        if age.removeprefix("-").isdecimal():
            return self._clock() + int(age) if int(age) > 0 else float("-inf")
        try:
            return parsedate_to_datetime(attributes["expires"]).timestamp()
        except (KeyError, ValueError):
            return None

    def _drop_expired(self) -> None:
        now = self._clock()
        self._cookies = {
            key: cookie for key, cookie in self._cookies.items() if cookie.expires is None or cookie.expires > now
        }


def _is_for(cookie: StoredCookie, url: URL) -> bool:
    host = _host(url)
    is_host = host == cookie.domain if cookie.host_only else _domain_matches(host, cookie.domain)
    return is_host and _path_matches(url.path, cookie.path) and (not cookie.secure or _is_trustworthy(url))


def _host(url: URL) -> str:
    assert url.host is not None
    return url.host.lower()


def _domain_matches(host: str, domain: str) -> bool:
    """Section 5.1.3: the same, or a label boundary before it and no address."""
    if host == domain:
        return True
    try:
        ip_address(host)
    except ValueError:
        return host.endswith("." + domain)
    return False


def _path_matches(path: str, cookie_path: str) -> bool:
    """Section 5.1.4."""
    path = path or "/"
    return path == cookie_path or (
        path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
    )


def _default_path(url: URL) -> str:
    return url.path.rpartition("/")[0] or "/"


def _is_trustworthy(url: URL) -> bool:
    """Browsers take localhost, and names below it, for secure without TLS."""
    host = _host(url)
    return url.scheme in ("https", "wss") or host in ("localhost", "127.0.0.1") or host.endswith(".localhost")
