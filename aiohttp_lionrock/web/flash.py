"""Flash messages: what the next page that shows messages tells the visitor, once."""

import json
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple, overload

from aiohttp import hdrs, web

from ..errors import SessionDataError
from ..sessions.session import Session
from .visit import get_session

__all__ = ["Flash", "Flashes", "flash", "flashes"]

KEY = "_flashes"  # of the session: a list of [text, category], oldest first
MOST_BYTES = 1024  # of all messages as JSON: they travel in the cookies
MOST_BYTES_OF_CATEGORY = 64
OVERHEAD = 8  # bytes for each message beside its words
MOST_BYTES_OF_TEXT = MOST_BYTES - MOST_BYTES_OF_CATEGORY - OVERHEAD
CUT = "…"
LARGEST_CHARACTER = 6  # bytes of JSON


class Flash(NamedTuple):
    """One message. ``category`` is a word for its look: "message", "error", ..."""

    text: str
    category: str


async def flash(request: web.Request, text: str, category: str = "message") -> None:
    """Keeps a message, through redirects too, until `flashes` gives it out.

    Messages are kept in the session: 1 KiB of JSON together. Beyond that the oldest are dropped, and a single longer
    one is shortened. Raises SessionDataError where it is not text, SessionSealed once the response is on its way.
    """
    session = await get_session(request)
    word = _plain(category, MOST_BYTES_OF_CATEGORY, "a category")
    kept = [*_kept(session), [_plain(text, MOST_BYTES_OF_TEXT, "a flash message"), word]]
    while sum(map(_size, kept)) > MOST_BYTES:
        del kept[0]
    session[KEY] = kept


async def flashes(request: web.Request) -> list[Flash]:
    """Gives out the messages that were kept, oldest first; the next call does not find them any more.

    A HEAD request leaves them where they are: nobody sees its page (RFC 9110, 9.3.2).
    """
    return [*Flashes(request, await get_session(request))]


class Flashes(Sequence[Flash]):
    """The messages of a session, for a template: taken out of the session when they are first looped over."""

    def __init__(self, request: web.Request, session: Session) -> None:
        self._session = session
        self._is_seen = request.method != hdrs.METH_HEAD
        self._taken: list[Flash] = []

    def __iter__(self) -> Iterator[Flash]:
        return iter(self._take())

    def __len__(self) -> int:
        return len(self._taken) + len(_kept(self._session))

    @overload
    def __getitem__(self, index: int) -> Flash: ...

    @overload
    def __getitem__(self, index: slice) -> list[Flash]: ...

    def __getitem__(self, index: int | slice) -> Flash | list[Flash]:
        return self._take()[index]

    def _take(self) -> list[Flash]:
        """What was taken before and what is kept now, which a page that nobody sees leaves in the session."""
        kept = [Flash(text, category) for text, category in _kept(self._session)]
        if not kept or not self._is_seen:
            return self._taken + kept
        del self._session[KEY]
        self._taken += kept
        return self._taken


def _kept(session: Session) -> list[list[str]]:
    """What is kept; whatever else may stand under our name is not a message."""
    kept: Any = session.get(KEY)
    return [one for one in kept if _is_message(one)] if isinstance(kept, list) else []


def _is_message(one: object) -> bool:
    return isinstance(one, list) and len(one) == 2 and all(isinstance(word, str) for word in one)


def _size(message: Sequence[str]) -> int:
    return OVERHEAD + sum(map(_bytes, message))


def _plain(text: object, most: int, what: str) -> str:
    """The text without any markup class, or as much of its beginning as has so many bytes."""
    if not isinstance(text, str):
        raise SessionDataError(f"{what} is text, not {type(text).__name__}", KEY)
    plain = str.__str__(text)
    if _bytes(plain) <= most:
        return plain
    plain = plain[:most]
    while (excess := _bytes(plain + CUT) - most) > 0:
        plain = plain[: -ceil(excess / LARGEST_CHARACTER)]
    return plain + CUT


def _bytes(text: str) -> int:
    """How many bytes it takes in a token; the session itself refuses what is not Unicode."""
    return len(json.dumps(text, ensure_ascii=False).encode(errors="surrogatepass")) - 2
