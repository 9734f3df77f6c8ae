"""Cookies as they stand in headers (RFC 6265bis), without a web framework."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from email.utils import formatdate
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

__all__ = ["CookieChange", "CookieOptions", "read_cookies"]

REMEMBERED_LENGTH = 4096  # characters; 1,024 headers of usual size take 1 to 2 MiB
LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, eq=False)
class CookieOptions(Mapping[str, Any]):
    """The attributes of one cookie, read as attributes or as a mapping. ``max_age`` in seconds."""

    max_age: int | None
    path: str
    domain: str | None
    secure: bool
    http_only: bool
    same_site: str
    partitioned: bool

    def __getitem__(self, name: str) -> Any:
        if name not in _ATTRIBUTES:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(_ATTRIBUTES)

    def __len__(self) -> int:
        return len(_ATTRIBUTES)

    @cached_property
    def attributes(self) -> str:
        """What follows ``name=value`` in a Set-Cookie header, but for an ``Expires`` that moves with the clock."""
        parts = [f"Path={self.path}"]
        if self.max_age is not None:
            parts.append(f"Max-Age={self.max_age}")
        if self.max_age == 0:
            parts.append(f"Expires={LONG_AGO}")
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        if self.secure:
            parts.append("Secure")
        if self.http_only:
            parts.append("HttpOnly")
        parts.append(f"SameSite={self.same_site}")
        if self.partitioned:
            parts.append("Partitioned")
        return "; ".join(parts)


_ATTRIBUTES = tuple(attribute.name for attribute in fields(CookieOptions))


class CookieChange(NamedTuple):
    """One cookie that a response sets, or deletes where ``value`` is None."""

    name: str
    value: str | None
    options: CookieOptions

    def header(self, now: float | None = None) -> str:
        """The value of the Set-Cookie header that makes this change.

        Where it has ``Max-Age`` it has ``Expires`` too, for what reads only that: counted from ``now`` (epoch
        seconds; None: the clock of this machine).
        """
        line = f"{self.name}={self.value or ''}; {self.options.attributes}"
        max_age = self.options.max_age
        if not max_age:
            return line
        return f"{line}; Expires={_http_date(int(time.time() if now is None else now) + max_age)}"


@lru_cache(maxsize=16)
def _http_date(second: int) -> str:
    """A date of RFC 9110, made once a second for each lifetime in use."""
    return formatdate(second, usegmt=True)


def read_cookies(headers: Iterable[str], names: frozenset[str]) -> Mapping[str, Sequence[str]]:
    """The raw values of these cookies in Cookie headers, in the order sent: no unquoting, no decoding."""
    header = ";".join(headers)
    return _remembered(header, names) if len(header) <= REMEMBERED_LENGTH else _find_cookies(header, names)


def _find_cookies(header: str, names: frozenset[str]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if (name := name.strip(" \t")) in names:
            found.setdefault(name, []).append(value.strip(" \t"))
    return found


_remembered = lru_cache(maxsize=1024)(_find_cookies)  # a browser sends the same header again and again
