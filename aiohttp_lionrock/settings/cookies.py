"""Cookies as settings and as they stand in headers (RFC 6265bis), without a web framework."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, NamedTuple

from ..faults import Faults, shown

__all__ = ["CookieChange", "CookieConfig", "CookieOptions", "read_cookies", "resolve_cookie"]

LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"\.?{_LABEL}(\.{_LABEL})*")
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


@dataclass(frozen=True, slots=True)
class CookieConfig:
    """Cookie attributes (RFC 6265bis). ``None`` keeps the default; ``cookie_max_age`` settings win over ``max_age``."""

    secure: bool | None = None
    http_only: bool | None = None
    same_site: Literal["Strict", "Lax", "None"] | None = None
    path: str | None = None
    domain: str | None = None
    partitioned: bool | None = None
    max_age: float | None = None


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
        """What follows ``name=value`` in a Set-Cookie header."""
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

    def header(self) -> str:
        """The value of the Set-Cookie header that makes this change."""
        return f"{self.name}={self.value or ''}; {self.options.attributes}"


def read_cookies(headers: Iterable[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The raw values of these cookies in Cookie headers, in the order sent: no unquoting, no decoding."""
    found: dict[str, list[str]] = {}
    for header in headers:
        pairs = header.split(";")
        for name in names:
            for pair in pairs:
                if name not in pair:
                    continue  # the many cookies of others are not looked at closer
                sent, _, value = pair.partition("=")
                if sent.strip(" \t") == name:
                    found.setdefault(name, []).append(value.strip(" \t"))
    return found


def resolve_cookie(
    where: str, name: object, max_age: float | None, layers: Iterable[CookieConfig | None], faults: Faults
) -> CookieOptions:
    """The attributes of one cookie: safe defaults under the layers given, checked by RFC 6265bis."""
    options: dict[str, Any] = {
        "secure": True,
        "http_only": True,
        "same_site": "Strict",
        "path": "/",
        "domain": None,
        "partitioned": False,
        "max_age": None,
    }
    for layer in layers:
        if layer is not None:
            options.update((key, value) for key, value in asdict(layer).items() if value is not None)
    if max_age is not None:
        options["max_age"] = max_age
    if options["max_age"] is not None:
        options["max_age"] = faults.seconds(f"{where}: cookie max_age", options["max_age"])
    if isinstance(options["same_site"], str):
        options["same_site"] = _SAME_SITE.get(options["same_site"].lower(), options["same_site"])
    for fault in _cookie_faults(name, options):
        faults.add(f"{where}: {fault}")
    return CookieOptions(**options)


def _cookie_faults(name: object, options: Mapping[str, Any]) -> Iterator[str]:
    for key in ("secure", "http_only", "partitioned"):
        if not isinstance(options[key], bool):
            yield f"cookie {key} must be true or false, not {shown(options[key])}"
    if options["same_site"] not in _SAME_SITE.values():
        yield "cookie same_site must be Strict, Lax or None (as text)"
    if not isinstance(options["path"], str) or not _PATH.fullmatch(options["path"]):
        yield "cookie path must start with / and hold no ; and no control characters"
    if options["domain"] is not None and not _is_domain(options["domain"]):
        yield "cookie domain must be a host name"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        written = repr(name) if isinstance(name, str) else shown(name)
        yield f"cookie name {written} must be an RFC 6265 token: letters, digits and !#$%&'*+-.^_`|~"
        return
    prefix = name.lower()
    if prefix.startswith("__host-") and (
        options["path"] != "/" or options["domain"] is not None or not options["secure"]
    ):
        yield f"cookie name {name!r}: the prefix __Host- needs secure, path / and no domain (RFC 6265bis)"
    if prefix.startswith("__secure-") and not options["secure"]:
        yield f"cookie name {name!r}: the prefix __Secure- needs secure (RFC 6265bis)"
    if options["same_site"] == "None" and not options["secure"]:
        yield "cookie same_site None needs secure (RFC 6265bis)"
    if options["partitioned"] and not options["secure"]:
        yield "cookie partitioned needs secure (CHIPS)"


def _is_domain(domain: object) -> bool:
    return isinstance(domain, str) and len(domain) <= 253 and _DOMAIN.fullmatch(domain) is not None
