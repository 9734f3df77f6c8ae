"""Sessions as applications have them, the same for every peer: a flat one and one with lists and dictionaries."""

import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DATA", "FLAT", "NESTED", "OTHER_COOKIES", "SECRET", "Sample", "token_claims"]

SECRET = "0123456789abcdefghijklmnopqrstuv"
DATA = {"user": "ada", "sub": "ada", "theme": "dark", "cart": 7, "note": "red-blue"}

# What stands beside a session in the Cookie header of a usual site.
OTHER_COOKIES = "_ga=GA1.2.1234567890.1600000000; theme=dark; csrftoken=abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a session holds, and what a handler that writes does to it."""

    data: dict[str, Any]
    change: Callable[[MutableMapping[str, Any]], None]


def _count_up(session: MutableMapping[str, Any]) -> None:
    session["cart"] = session["cart"] + 1


def _one_more(session: MutableMapping[str, Any]) -> None:
    """In place, two levels down; a peer that does not look there has to be told."""
    session["cart"][0]["count"] += 1


FLAT = Sample(DATA, _count_up)  # a token of about 390 bytes
NESTED = Sample(  # a token of about 600 bytes
    {
        "user": "ada",
        "sub": "ada",
        "roles": ["editor", "admin"],
        "cart": [
            {"name": "tea", "price": 2.5, "count": 1},
            {"name": "mug", "price": 9.9, "count": 2},
            {"name": "pot", "price": 24, "count": 1},
        ],
        "csrf": "8f14e45fceea167a5a36dedd4bea2543",
        "flash": ["Saved.", "Mail sent."],
    },
    _one_more,
)


def token_claims() -> dict[str, Any]:
    """The claims of a fresh token as the library writes them."""
    now = int(time.time())
    ids = {"id": "1" * 36, "sid": "2" * 36, "creator": "SessionJWT"}
    return {**ids, **DATA, "iat": now, "nbf": now, "exp": now + 7200}
