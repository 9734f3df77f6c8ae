"""Reads ``mongodb://`` and ``mongodb+srv://`` URLs: our options taken out, the driver's checked.

No message repeats any part of the URL but the names of options: a password that was not
percent-encoded can end up in every other part.
"""

import re
import warnings
from collections.abc import Sequence
from typing import Any

from pymongo import common
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri, split_options

from aiohttp_lionrock.errors import ConfigError
from aiohttp_lionrock.storage import Faults, Option, UrlOptions, number, text

from .settings import COLLECTION, COLLECTION_RULE, DEFAULT_COLLECTION, DEFAULT_TIMEOUT, LONGEST_TIMEOUT, Target

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
# The driver's table has its options in lower case alone; these are as people write them.
WELL_KNOWN = (
    *("appName", "authMechanism", "authSource", "compressors", "directConnection", "heartbeatFrequencyMS"),
    *("journal", "localThresholdMS", "maxIdleTimeMS", "maxPoolSize", "minPoolSize", "readConcernLevel"),
    *("readPreference", "replicaSet", "retryReads", "retryWrites", "tlsAllowInvalidCertificates", "tlsCAFile"),
    *("tlsCertificateKeyFile", "waitQueueTimeoutMS", "wTimeoutMS", *WAITS),
)
SRV_ONLY = ("srvservicename", "srvmaxhosts", "srvallowedhostssuffix")

OPTIONS = UrlOptions(
    "MongoDB",
    {
        "collection": Option(text(COLLECTION, COLLECTION_RULE), DEFAULT_COLLECTION),
        "timeout": Option(number(0, LONGEST_TIMEOUT, "seconds", above=True), DEFAULT_TIMEOUT),
    },
    others=True,
)

Pairs = Sequence[tuple[str, str]]


def read_url(url: str) -> Target:
    """Takes a URL apart, without I/O. Raises ConfigError with every fault found."""
    scheme, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    if scheme not in ("mongodb", "mongodb+srv") or _is_torn(query):
        raise ConfigError(UNREADABLE)
    faults = Faults()
    ours, pairs = OPTIONS.read(query, faults)
    _check_pairs(pairs, faults)
    hosts, database = _read_address(scheme, address, [] if faults.found else pairs, faults)
    faults.raise_if_any()
    driver_url = f"{scheme}://{address}{_query(pairs)}"
    return Target(driver_url, hosts, database, ours["collection"], ours["timeout"], _waits(pairs, ours["timeout"]))


def _is_torn(query: str) -> bool:
    """Whether what follows the question mark has an @ in it, and so begins in the middle of a password.

    The value of appName is free to hold one: Azure writes ``appName=@account@``.
    """
    return any("@" in pair and not re.match("appname=", pair, re.IGNORECASE) for pair in query.split("&"))


def _check_pairs(pairs: Pairs, faults: Faults) -> None:
    """Lets the driver judge each of its options, and refuses what would take back a promise."""
    seen = set()
    for name, value in pairs:
        key = name.lower()
        if key in seen and key != "readpreferencetags":
            faults.add(f"the MongoDB option {name} is given twice")
        seen.add(key)
        allowed, promise = PROMISES.get(key, ((value.lower(),), ""))
        if value.lower() not in allowed:
            faults.add(f"the MongoDB option {name} contradicts the storage: {promise}; leave it out")
        elif key not in common.URI_OPTIONS_VALIDATOR_MAP:
            faults.add(OPTIONS.unknown(name, also=(*common.URI_OPTIONS_VALIDATOR_MAP, *WELL_KNOWN)))
        elif not _driver_takes(name, value):
            faults.add(f"the MongoDB option {name} {_value_fault(key)}")


def _value_fault(key: str) -> str:
    validator = common.URI_OPTIONS_VALIDATOR_MAP.get(key)
    if validator is common.validate_boolean_or_string:
        return "must be true or false"
    if key.endswith("ms"):
        return "must be a whole number of milliseconds"
    return "has a value that the driver does not take"


def _waits(pairs: Pairs, timeout: float) -> dict[str, int]:
    """The driver's own limits in milliseconds, none above the deadline; what it takes for no limit is 0."""
    deadline = max(1, int(timeout * 1000))
    given = {name.lower(): value for name, value in pairs}
    return {name: min(int(given.get(name.lower(), 0)) or deadline, deadline) for name in WAITS}


def _query(pairs: Pairs, *, without: Sequence[str] = ()) -> str:
    """The options as they stand in a URL."""
    kept = "&".join(f"{name}={value}" for name, value in pairs if name.lower() not in without)
    return f"?{kept}" if kept else ""


def _read_address(scheme: str, address: str, pairs: Pairs, faults: Faults) -> tuple[str, str]:
    """The hosts and the database. A +srv address is read like any other: the driver would ask the DNS."""
    hosts = address.rpartition("@")[2].partition("/")[0]
    if (parts := _parse(address)) is None:
        faults.add(UNREADABLE)
        return hosts, ""
    if not parts["database"]:
        faults.add(NO_DATABASE)
    if parts["collection"]:
        faults.add("the database of a MongoDB URL must not contain '.'; name the collection with ?collection=")
    is_srv = scheme == "mongodb+srv"
    if is_srv and ("," in hosts or ":" in hosts):
        faults.add("a mongodb+srv URL names one host, without a port")
    if _parse(address + _query(pairs, without=SRV_ONLY if is_srv else ())) is None:
        faults.add("the options of the MongoDB URL contradict each other or the hosts")
    return hosts, parts["database"] or ""


def _parse(address: str) -> dict[str, Any] | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return parse_uri(f"mongodb://{address}")
    except (PyMongoError, OSError, ValueError, TypeError):
        return None


def _driver_takes(name: str, value: str) -> bool:
    if ";" in value:  # the driver's other separator
        return False
    try:
        with warnings.catch_warnings(action="ignore"):
            split_options(f"{name}={value}", warn=False)
    except (PyMongoError, OSError, ValueError, TypeError):
        return False
    return True
