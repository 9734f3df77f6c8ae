"""Contents: what a token says of its session, read once for all requests that bring the token."""

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import SessionDataError, TokenClaimError
from ..faults import shown
from ..jsontext import encode
from ..log import logger
from ..settings.config import SubjectKey
from ..settings.names import RESERVED
from .data import SessionData, copied
from .term import Term

__all__ = ["CREATOR", "RESERVED", "Contents", "ContentsReader", "subject_text"]

CREATOR = "SessionJWT"

_NO_NAMES = (bool, dict, list)  # as the answer of a function: a flag, say, would make all users one


class Contents:
    """The claims of a token, and what a session is made of. Shared by many requests: nobody changes anything in it."""

    __slots__ = ("authenticated_at", "claims", "creator", "data", "expires_at", "id", "sid", "subject", "term")

    def __init__(self, claims: Mapping[str, Any], subject: Callable[[Mapping[str, Any]], str | None]) -> None:
        self.claims: Mapping[str, Any] = claims
        self.id: str | None = claims.get("id")
        self.sid: str = claims["sid"]
        self.creator: str = claims.get("creator", CREATOR)
        self.expires_at: int = int(claims["exp"])
        self.data: Mapping[str, Any] = {name: value for name, value in claims.items() if name not in RESERVED}
        self.subject: str | None = subject(self.data)
        authenticated_at = claims.get("auth_time")
        self.authenticated_at: int | None = authenticated_at if type(authenticated_at) is int else None
        self.term: Term = Term.of(claims)


class ContentsReader:
    """Reads claims under one configuration: ``subject_key`` says where the data names the user."""

    def __init__(self, subject_key: SubjectKey) -> None:
        self._subject_key = subject_key

    def __call__(self, claims: Mapping[str, Any]) -> Contents:
        """Raises TokenClaimError where the token is a user's by ``auth_time``, and the data names nobody."""
        contents = Contents(claims, self._subject_in)
        if contents.subject is None and contents.authenticated_at is not None:
            fault = TokenClaimError("token is a user's, but not under this subject_key")
            fault.sid = contents.sid
            raise fault
        return contents

    def subject_of(self, data: Mapping[str, Any]) -> str | None:
        """Whose session this data makes it, as the text that records are found by; None: nobody's."""
        key = self._subject_key
        if isinstance(key, str):
            return subject_text(data.get(key))
        subject: object = key(copied(dict(data)))
        if isinstance(subject, _NO_NAMES):
            raise TypeError(f"subject_key must return text, a number or None, not {shown(subject)}")
        return subject_text(subject)

    def check(self, data: SessionData) -> None:
        """Raises SessionDataError where a table that names the user was changed inside: that would be another user."""
        key = self._subject_key
        if not isinstance(key, str) or not data.has_own_parts or key in data.assigned:
            return
        if isinstance(data.view().get(key), dict | list) and key in data.changed_parts():
            raise SessionDataError(
                f"session[{key!r}] says whose session it is and was changed inside, which would end the session: for a "
                f"user inside a table set subject_key to a function, as in subject_key=lambda data: "
                f"(data.get({key!r}) or {{}}).get('id'); to log in another user assign the whole value",
                key,
            )

    def _subject_in(self, data: Mapping[str, Any]) -> str | None:
        """The same of a token, which is refused where a function of the application cannot read it."""
        try:
            return self.subject_of(data)
        except Exception as exc:
            logger.exception("subject_key failed on the data of a token, which is refused")
            raise TokenClaimError("subject_key cannot read the data of the token") from exc


def subject_text(value: object) -> str | None:
    """A subject of any JSON type as text; what is empty names nobody, and 0 is a number."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, _NO_NAMES) and not value:
        return None
    try:
        return encode(value).decode()
    except TypeError:
        kind = shown(value)
        raise TypeError(f"a subject is text or a number, as session.subject is, not {kind}: pass str(...)") from None
