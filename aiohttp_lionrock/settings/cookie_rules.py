"""The rules that cookies must keep (RFC 6265bis); each fault names the setting that it stands in."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from ..faults import Faults, nearest, shown
from .cookies import CookieOptions
from .tables import CookieConfig

__all__ = ["Given", "ResolvedCookie", "resolve_cookie"]

Given = tuple[str, Any]  # the name of a setting, and its value


class ResolvedCookie(NamedTuple):
    """The attributes of one cookie, and those that older cookies of its name may have.

    A logout deletes the ``former``, and so does every write where ``replaces``: the settings say that there are such.
    """

    present: CookieOptions
    former: tuple[CookieOptions, ...] = ()
    replaces: bool = False


DEFAULTS: dict[str, Any] = {
    "secure": True,
    "http_only": True,
    "same_site": "Lax",
    "path": "/",
    "domain": None,
    "partitioned": False,
    "max_age": None,
    "previous_domains": (),
    "previous_paths": (),
    "previous_partitioned": None,
}
PREFIXES: dict[str, tuple[str, ...]] = {
    "__Host-Http-": ("secure", "http_only", "path", "domain"),
    "__Host-": ("secure", "path", "domain"),
    "__Http-": ("secure", "http_only"),
    "__Secure-": ("secure",),
}
NEEDS: dict[str, tuple[Any, str]] = {
    "secure": (True, "secure"),
    "http_only": (True, "http_only"),
    "path": ("/", "path /"),
    "domain": (None, "no domain"),
}

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rf"\.?{_LABEL}(\.{_LABEL})*"
_PATH = r"/[\x20-\x3a\x3c-\x7e]*"
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


def resolve_cookie(
    name: Given, max_age: Given, layers: Iterable[tuple[str, CookieConfig | None]], faults: Faults
) -> ResolvedCookie:
    """The attributes of one cookie: safe defaults under the layers, each given with the name of its setting."""
    given: dict[str, Given] = {key: (f"cookie.{key}", value) for key, value in DEFAULTS.items()}
    for where, layer in layers:
        if layer is not None:
            given.update((key, (f"{where}.{key}", value)) for key, value in asdict(layer).items() if value is not None)
    if max_age[1] is not None:
        given["max_age"] = max_age
    where, same_site = given["same_site"]
    if isinstance(same_site, str):
        given["same_site"] = where, _SAME_SITE.get(same_site.lower(), same_site)
    options = {key: value for key, (_, value) in given.items()}
    if options["max_age"] is not None:
        options["max_age"] = faults.seconds(*given["max_age"])
    _check_attributes(given, faults)
    for fault in _contradictions(name, given):
        faults.add(fault)
    previous = {key: options.pop(f"previous_{key}") for key in ("domains", "paths", "partitioned")}
    present = CookieOptions(**options)
    return ResolvedCookie(present) if faults.found else _with_former(present, **previous)


def _with_former(
    present: CookieOptions, domains: Sequence[str], paths: Sequence[str], partitioned: bool | None
) -> ResolvedCookie:
    kinds = (present.partitioned, present.partitioned if partitioned is None else partitioned)
    known = {
        (path, domain and domain.lower().removeprefix("."), kind): domain
        for kind in kinds
        for path in (present.path, *paths)
        for domain in (present.domain, *domains, None)
    }
    former = tuple(
        replace(present, path=path, domain=domain, partitioned=kind)
        for (path, _, kind), domain in list(known.items())[1:]
    )
    replaces = bool(domains or paths or partitioned not in (None, present.partitioned))
    return ResolvedCookie(present, former, replaces)


def _check_attributes(given: dict[str, Given], faults: Faults) -> None:
    for key in ("secure", "http_only", "partitioned"):
        faults.flag(*given[key])
    (same_site_at, same_site), (path_at, path), (domain_at, domain) = (
        given[key] for key in ("same_site", "path", "domain")
    )
    if same_site not in _SAME_SITE.values():
        faults.add(f"{same_site_at} must be Strict, Lax or None (as text), not {_unlike(same_site)}")
    if not _is_like(_PATH, path):
        faults.add(f"{path_at} must start with / and hold no ; and no control characters")
    if domain is not None and not (_is_like(_DOMAIN, domain) and len(domain) <= 253):
        faults.add(f"{domain_at} must be a host name")
    for key, pattern, what in (("previous_domains", _DOMAIN, "host names"), ("previous_paths", _PATH, "paths")):
        where, former = given[key]
        if not isinstance(former, list | tuple):
            faults.add(f"{where} must be a list of {what}, not {shown(former)}")
        elif wrong := [shown(one) for one in former if not _is_like(pattern, one)]:
            faults.add(f"{where} must be a list of {what}, not one with {wrong[0]}")
    if given["previous_partitioned"][1] is not None:
        faults.flag(*given["previous_partitioned"])


def _is_like(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _unlike(same_site: object) -> str:
    """What was given instead. A text is not shown, since it may be a misplaced secret, but what it is like is."""
    if not isinstance(same_site, str) or shown(same_site) != "text":
        return shown(same_site)
    near = nearest(same_site.capitalize(), tuple(_SAME_SITE.values()))
    return f"text that is none of these{f'; did you mean {near}?' if near else ''}"


def _contradictions(named: Given, given: dict[str, Given]) -> Iterator[str]:
    """What is right by itself, and wrong together."""
    where, name = named
    if not _is_like(_NAME, name):
        written = f"{name!r:.80}" if isinstance(name, str) else shown(name)
        yield f"{where} must be a cookie name of letters, digits and !#$%&'*+-.^_`|~ (RFC 6265), not {written}"
        return
    prefix = next((prefix for prefix in PREFIXES if name.lower().startswith(prefix.lower())), None)
    if prefix is not None and any(given[key][1] != NEEDS[key][0] for key in PREFIXES[prefix]):
        *others, last = (NEEDS[key][1] for key in PREFIXES[prefix])
        needs = f"{', '.join(others)} and {last}" if others else last
        yield f"{where} {name!r}: the prefix {prefix} needs {needs} (RFC 6265bis)"
    secure_at, secure = given["secure"]
    if secure:
        return
    if given["same_site"][1] == "None":
        yield f"{given['same_site'][0]} None needs secure (RFC 6265bis), and {secure_at} is off"
    for key in ("partitioned", "previous_partitioned"):
        if given[key][1]:
            yield f"{given[key][0]} needs secure (CHIPS), and {secure_at} is off"
