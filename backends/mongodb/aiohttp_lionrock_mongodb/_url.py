"""Reads ``mongodb://`` and ``mongodb+srv://`` URLs: our options taken out, the driver's checked.

No message repeats any part of the URL but the names of options: a password that was not
percent-encoded can end up in every other part.
"""

import math
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote_plus

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri, split_options

from aiohttp_lionrock.errors import ConfigError

from ._settings import DEFAULT_COLLECTION, DEFAULT_TIMEOUT, Target, check_settings

__all__ = ["read_url"]

UNREADABLE = (
    "the MongoDB URL cannot be read; write mongodb://[user:password@]host[:port][,host...]/database[?option=value&...] "
    "with user and password percent-encoded (urllib.parse.quote_plus)"
)
NO_DATABASE = (
    "the MongoDB URL names no database; write it after the hosts: mongodb://host1,host2/DATABASE?replicaSet=rs0"
)

# What would take back a promise of the storage: acknowledged writes are durable, and reads see them.
PROMISES: dict[str, tuple[tuple[str, ...], str]] = {
    "w": (("majority",), "writes are acknowledged by a majority"),
    "journal": (("true",), "acknowledged writes are in the journal"),
    "j": (("true",), "acknowledged writes are in the journal"),
    "fsync": ((), "acknowledged writes are in the journal"),
    "readpreference": (("primary",), "reads must see every acknowledged write"),
    "readconcernlevel": (("majority", "linearizable"), "reads must not see what can be rolled back"),
}
WAITS = ("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS")
SRV_ONLY = ("srvservicename", "srvmaxhosts", "srvallowedhostssuffix")

T = TypeVar("T")


def read_url(url: str) -> Target:
    """Takes a URL apart, without I/O. Raises ConfigError with every fault found."""
    scheme, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    if scheme not in ("mongodb", "mongodb+srv") or "@" in query:
        raise ConfigError(UNREADABLE)
    options = _Options(query)
    collection = options.take("collection", str, DEFAULT_COLLECTION)
    timeout = options.take("timeout", _number, DEFAULT_TIMEOUT)
    options.check()
    hosts, database, faults = _read_address(scheme, address, options)
    faults = [*faults, *options.faults, *check_settings(collection, timeout)]
    if faults:
        raise ConfigError(faults)
    driver_url = f"{scheme}://{address}{options.query()}"
    return Target(driver_url, hosts, database, collection, timeout, options.waits(timeout))


class _Options:
    """The options of one URL, and the faults among them."""

    def __init__(self, query: str) -> None:
        self.faults: list[str] = []
        self._pairs: list[tuple[str, str]] = []
        for pair in filter(None, query.split("&")):
            name, equals, value = pair.partition("=")
            self._add(name, value if equals else None)

    def _add(self, name: str, value: str | None) -> None:
        if not re.fullmatch(r"[A-Za-z]{1,64}", name) or value is None or ";" in value:
            self.faults.append("the options of a MongoDB URL are name=value, joined by '&'")
        elif name.lower() != "readpreferencetags" and self.get(name) is not None:
            self.faults.append(f"the MongoDB option {name} is given twice")
        else:
            self._pairs.append((name, value))

    def get(self, name: str) -> str | None:
        """The raw value of an option."""
        return next((value for key, value in self._pairs if key.lower() == name.lower()), None)

    def take(self, name: str, convert: Callable[[str], T], default: T) -> T:
        """Removes an option of ours and returns its value."""
        value = self.get(name)
        self._pairs = [pair for pair in self._pairs if pair[0].lower() != name]
        return default if value is None else convert(unquote_plus(value))

    def check(self) -> None:
        """Lets the driver judge each option, and refuses what would take back a promise."""
        for name, value in self._pairs:
            allowed, promise = PROMISES.get(name.lower(), ((value.lower(),), ""))
            if value.lower() not in allowed:
                self.faults.append(f"the MongoDB option {name} contradicts the storage: {promise}; leave it out")
            elif not _driver_takes(f"{name}={value}"):
                self.faults.append(f"the MongoDB driver knows no option {name}, or not with this value")

    def waits(self, timeout: float) -> dict[str, int]:
        """The driver's own limits in milliseconds, none above the deadline; what it takes for no limit is 0."""
        deadline = max(1, int(timeout * 1000))
        return {name: min(int(self.get(name) or 0) or deadline, deadline) for name in WAITS}

    def query(self, *, without: tuple[str, ...] = ()) -> str:
        """The options as they stand in a URL."""
        pairs = "&".join(f"{name}={value}" for name, value in self._pairs if name.lower() not in without)
        return f"?{pairs}" if pairs else ""


def _read_address(scheme: str, address: str, options: _Options) -> tuple[str, str, list[str]]:
    """The hosts, the database and the faults. A +srv address is read like any other: the driver would ask the DNS."""
    hosts = address.rpartition("@")[2].partition("/")[0]
    if (parts := _parse(address)) is None:
        return hosts, "", [UNREADABLE]
    faults = [] if parts["database"] else [NO_DATABASE]
    if parts["collection"]:
        faults.append("the database of a MongoDB URL must not contain '.'; name the collection with ?collection=")
    is_srv = scheme == "mongodb+srv"
    if is_srv and ("," in hosts or ":" in hosts):
        faults.append("a mongodb+srv URL names one host, without a port")
    if not options.faults and _parse(address + options.query(without=SRV_ONLY if is_srv else ())) is None:
        faults.append("the options of the MongoDB URL contradict each other or the hosts")
    return hosts, parts["database"] or "", faults


def _parse(address: str) -> dict[str, Any] | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return parse_uri(f"mongodb://{address}")
    except (PyMongoError, OSError, ValueError, TypeError):
        return None


def _driver_takes(option: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):
            split_options(option, warn=False)
    except (PyMongoError, OSError, ValueError, TypeError):
        return False
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
