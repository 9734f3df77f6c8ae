"""What can be set, and what is wrong with it. No driver is imported here."""

import re
from dataclasses import dataclass, field
from typing import Any, TypeGuard

__all__ = [
    "COLLECTION",
    "COLLECTION_RULE",
    "DEFAULT_COLLECTION",
    "DEFAULT_TIMEOUT",
    "LONGEST_TIMEOUT",
    "Target",
    "check_database",
    "check_settings",
]

DEFAULT_COLLECTION = "lionrock_sessions"
DEFAULT_TIMEOUT = 2.0
LONGEST_TIMEOUT = 3600.0

COLLECTION = r"(?!system\.)[^\s\x00$.][^\x00$]{0,119}"
COLLECTION_RULE = "a name of at most 120 characters, without '$', not beginning with 'system.'"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points to. ``url`` is the driver's, with the password in it; ``waits`` is in milliseconds."""

    url: str = field(repr=False)
    hosts: str
    database: str
    collection: str
    timeout: float
    waits: dict[str, Any]


def check_settings(collection: object, timeout: object) -> list[str]:
    """The faults in the settings of the constructor."""
    faults = []
    if not isinstance(collection, str) or not re.fullmatch(COLLECTION, collection):
        faults.append(f"collection must be {COLLECTION_RULE}")
    if not _is_number(timeout) or not 0 < timeout <= LONGEST_TIMEOUT:
        faults.append(f"timeout must be a number of seconds above 0, at most {LONGEST_TIMEOUT:g}")
    return faults


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_database(database: object) -> list[str]:
    """The fault in what was given as a database, if any."""
    if isinstance(database, Target):
        return []
    kind = type(database)  # not the object itself: a client and a collection have an attribute of every name
    if kind.__module__.startswith("pymongo.synchronous") or not hasattr(kind, "get_collection"):
        return ["MongoStorage needs a database of Motor or of PyMongo's AsyncMongoClient, or from_url"]
    return []
