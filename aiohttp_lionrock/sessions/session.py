"""Session: the mapping that a handler sees. No I/O: it only remembers what is to be done at the response."""

from collections.abc import Iterator, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Self
from uuid import uuid4

from ..errors import ReservedName, SessionDataError, SessionSealed, TokenError
from ..jsontext import JSON, SCALARS, encode, explain_unstorable, is_flat, is_storable_text
from ..log import logger

__all__ = ["CREATOR", "RESERVED", "Session", "seal", "subject_text", "warn_if_changed"]

CREATOR = "SessionJWT"
CLAIMS = frozenset({"aud", "exp", "iat", "iss", "jti", "nbf", "token_use"})
OWN_FIELDS = frozenset({"id", "sid", "creator", "orig_iat"})
RESERVED = CLAIMS | OWN_FIELDS

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Session(MutableMapping[str, JSON]):
    """What the application keeps for one visitor: text keys to JSON values, carried in the token.

    Storing raises SessionDataError, naming the key, where a value would not come back unchanged, and
    SessionSealed once the response is on its way.
    """

    # What a request seldom changes; kept off the instance until it does.
    _rejected: TokenError | None = None
    _expires_at: int | None = None
    _ended_sid: str | None = None
    _labels = _NO_LABELS
    _is_new = True
    _has_parts = False  # values that can change inside
    _before: dict[str, Any] | bytes | None = None  # the data as it was; of flat data from its first change on
    _marked = False
    _carried = False
    _dropped = False
    _sealed = False
    _sealed_as: Mapping[str, str] = {}
    _origin: Any = None  # what the manager learned when it loaded this session
    created_at: int | None = None

    def __init__(
        self,
        data: Mapping[str, JSON] | None = None,
        *,
        id: str | None = None,
        sid: str | None = None,
        creator: str = CREATOR,
        rejected: TokenError | None = None,
    ) -> None:
        self._data: dict[str, Any] = {}
        self._id = id
        self._sid = sid or str(uuid4())
        self._creator = creator
        if rejected is not None:
            self._rejected = rejected
        if data:
            self.update(data)

    @classmethod
    def _from_claims(cls, claims: Mapping[str, Any]) -> Self:
        session = cls.__new__(cls)
        session._id = claims.get("id")
        session._sid = claims["sid"]
        session._creator = claims.get("creator", CREATOR)
        session._data = {name: value for name, value in claims.items() if name not in RESERVED}
        if not is_flat(session._data):
            session._has_parts = True
            session._before = encode(session._data)
        session._expires_at = int(claims["exp"])
        session._is_new = False
        if "orig_iat" in claims:
            session.created_at = claims["orig_iat"]
        return session

    @property
    def id(self) -> str | None:
        """A UUID given at the first write; None before."""
        return self._id

    @property
    def sid(self) -> str:
        """The id that revocation goes by; a new one after `renew`."""
        return self._sid

    @property
    def creator(self) -> str:
        """Which library made the session; kept as it came."""
        return self._creator

    @property
    def is_new(self) -> bool:
        """True where no valid token came with the request, and after `invalidate`."""
        return self._is_new

    @property
    def expires_at(self) -> int | None:
        """Epoch seconds at which the token last read or written expires; None for a new session."""
        return self._expires_at

    @property
    def subject(self) -> str | None:
        """``session["sub"]`` as text: the user that revoke-all and listings go by."""
        return subject_text(self._data.get("sub"))

    @property
    def rejected(self) -> TokenError | None:
        """Why the presented cookie was refused, or None."""
        return self._rejected

    def changed(self) -> None:
        """Has the cookies written with this response even where no value changed."""
        self._check_open()
        self._marked = True

    def renew(self) -> None:
        """Same data under a new sid, the old one revoked: call it at login and at any change of privilege."""
        self._check_open()
        self._leave_sid()
        self._carried = not self._is_new
        self.created_at = None

    def invalidate(self) -> None:
        """Logout: data gone, the session revoked, cookies deleted. What is stored afterwards is a new session."""
        self._check_open()
        self._leave_sid()
        self._data = {}
        self._before = None
        self._labels = _NO_LABELS
        self._id = self.created_at = self._expires_at = None
        self._creator = CREATOR
        self._carried = self._marked = False
        self._is_new = self._dropped = True

    def describe(self, **labels: str) -> None:
        """Puts labels (a device name, say) on the session's record; `SessionManager.sessions` lists them."""
        self._check_open()
        for name, text in labels.items():
            if not is_storable_text(text) or not is_storable_text(name):
                raise SessionDataError(f"label {name!r} must be text without NUL and lone surrogates", name)
        self._labels = {**self._labels, **labels}

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __setitem__(self, key: str, value: JSON) -> None:
        self._check_open()
        if not isinstance(key, str):
            raise SessionDataError(f"session keys are text, not {type(key).__name__}", repr(key))
        if key in RESERVED:
            raise ReservedName(f"session[{key!r}] cannot be stored: the token itself uses that name", key)
        _check_storable(key, value)
        if self._before is None:
            self._before = self._data.copy()
        if type(value) not in SCALARS:
            self._has_parts = True
        self._data[key if type(key) is str else str.__str__(key)] = value  # as it will come back, also from an Enum

    def get(self, key: str, default: Any = None) -> Any:
        return self._data.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __delitem__(self, key: str) -> None:
        self._check_open()
        if self._before is None:
            self._before = self._data.copy()
        del self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        state = "new " if self._is_new else ""
        return f"<{state}Session sid={self._sid} keys={list(self._data)}>"

    def _check_open(self) -> None:
        if self._sealed:
            raise SessionSealed(
                "the response has left with its cookies: change the session before it is prepared; "
                "to end a session later, use SessionManager.revoke"
            )

    def _leave_sid(self) -> None:
        if not self._is_new:
            self._ended_sid = self._ended_sid or self._sid
        self._take_new_sid()

    def _take_new_sid(self) -> None:
        self._sid = str(uuid4())

    def _is_modified(self) -> bool:
        """Whether the data differs from what was loaded, at any depth."""
        if self._marked:
            return True
        if self._before is None:
            return False
        if isinstance(self._before, dict):
            return self._data != self._before or not _is_alike(self._data, self._before)
        try:
            return encode(self._data) != self._before
        except (TypeError, ValueError, RecursionError):
            return True  # the write that follows names the key

    def _check_data(self) -> None:
        """Raises SessionDataError where a value, changed in place, cannot be stored."""
        if self._has_parts:
            for key, value in self._data.items():
                _check_storable(key, value)

    def _claims(self) -> dict[str, Any]:
        if self._id is None:
            self._id = str(uuid4())
        return {"id": self._id, "sid": self._sid, "creator": self._creator, **self._data}

    def _written(self, expires_at: int) -> None:
        self._is_new = self._carried = self._dropped = self._marked = False
        self._ended_sid = None
        self._labels = _NO_LABELS
        self._expires_at = expires_at
        self._has_parts = self._has_parts and not is_flat(self._data)
        self._before = encode(self._data) if self._has_parts else None


def seal(session: Session) -> None:
    """Has every later change of a session raise SessionSealed."""
    if not session._sealed:
        session._sealed = True
        session._sealed_as = {key: repr(value) for key, value in session.items()}


def warn_if_changed(session: Session) -> None:
    """Logs the keys that were changed in place after sealing."""
    changed = [key for key, value in session.items() if repr(value) != session._sealed_as.get(key)]
    if changed:
        logger.warning("session values were changed after the response had left, and are lost: %s", changed)
        session._sealed_as = {key: repr(value) for key, value in session.items()}


def subject_text(value: object) -> str | None:
    """A ``sub`` of any JSON type as the text that records are found by."""
    if value is None or isinstance(value, str):
        return value
    return encode(value).decode()


def _is_alike(data: Mapping[str, Any], equal: Mapping[str, Any]) -> bool:
    """Whether equal data is the same in a token's eyes too, where 1 is not True, not 1.0, and 0.0 is not -0.0."""
    return all(_is_alike_value(value, equal[key]) for key, value in data.items())


def _is_alike_value(one: object, other: object) -> bool:
    return type(one) is type(other) and (not isinstance(one, float) or repr(one) == repr(other))


def _check_storable(key: str, value: object) -> None:
    reason = explain_unstorable(value) or (None if key.isascii() else explain_unstorable(key))
    if reason:
        raise SessionDataError(f"session[{key!r}] cannot be stored: {reason}", key)
