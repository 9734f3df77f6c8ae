"""What can go wrong, as one tree.

LionRockError
├── ConfigError                  the application does not start; all faults at once
│   └── UnknownBackend           no installed storage backend has this URL scheme
├── TokenError                   a refused token: the handler sees a new session
│   ├── TokenTooLarge            longer than ``max_token_length``
│   ├── TokenMalformed           not strict compact JWS with a JSON object in it
│   ├── TokenForged              no secret in use made this signature
│   ├── TokenExpired             ``exp`` has passed
│   ├── TokenClaimError          a claim is missing, of the wrong type, or not ours
│   └── TokenRevoked             the session was ended
│       ├── TokenSuperseded      the session was renewed a moment ago: the browser has newer cookies
│       └── TokenReused          a rotated refresh token came back: a replay
├── SessionDataError             what the handler stored cannot be kept; names the key
│   ├── ReservedName             the name belongs to the token, not to the application
│   └── SessionTooLarge          the cookies would not reach, or not leave, a browser
├── SessionSealed                the response is on its way; a change would be lost
├── SessionLimitReached          the user has as many sessions as ``max_sessions`` lets them have
└── StorageError
    ├── DuplicateRecord          insert met a live record with this sid
    └── StorageUnavailable       the storage cannot answer: 503, cookies untouched
        └── CorruptRecord        the storage holds something that is no record
"""

from collections.abc import Iterable, Sequence

__all__ = [
    "ConfigError",
    "CorruptRecord",
    "DuplicateRecord",
    "LionRockError",
    "ReservedName",
    "SessionDataError",
    "SessionLimitReached",
    "SessionSealed",
    "SessionTooLarge",
    "StorageError",
    "StorageUnavailable",
    "TokenClaimError",
    "TokenError",
    "TokenExpired",
    "TokenForged",
    "TokenMalformed",
    "TokenReused",
    "TokenRevoked",
    "TokenSuperseded",
    "TokenTooLarge",
    "UnknownBackend",
]


class LionRockError(Exception):
    """The root of everything this library raises on purpose."""


class ConfigError(LionRockError):
    """The configuration is wrong. ``faults`` lists everything found, not only the first."""

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("; ".join(self.faults))


class UnknownBackend(ConfigError):
    """No installed backend answers to the scheme of a storage URL."""

    def __init__(self, scheme: str, installed: Sequence[str], hint: str = "") -> None:
        self.scheme = scheme
        self.installed: tuple[str, ...] = tuple(installed)
        known = ", ".join(self.installed) or "none"
        super().__init__(f"no storage backend named {scheme!r} is installed (installed: {known}){hint}")


class TokenError(LionRockError):
    """A token was refused. ``code`` is a stable name for logs and metrics; no token bytes in it.

    ``sid`` and ``subject`` are those of its session, where the token was good in itself, and ``sid`` where it has
    expired; else None.
    """

    code = "JWT_REFUSED"
    sid: str | None = None
    subject: str | None = None


class TokenTooLarge(TokenError):
    """The token is longer than ``max_token_length``; nothing of it was decoded."""

    code = "JWT_TOO_LARGE"


class TokenMalformed(TokenError):
    """The token is not strict compact JWS (RFC 7515) with JSON objects for header and payload."""

    code = "JWT_MALFORMED"


class TokenForged(TokenError):
    """None of the secrets in use made this signature."""

    code = "JWT_FORGED"


class TokenExpired(TokenError):
    """The token's ``exp`` has passed (RFC 7519, section 4.1.4)."""

    code = "JWT_EXPIRED"


class TokenClaimError(TokenError):
    """A claim is missing, of the wrong type, or not meant for this application."""

    code = "JWT_CLAIM"


class TokenRevoked(TokenError):
    """The session that the token belongs to was ended, or its jti is not honoured."""

    code = "JWT_JTI_REVOKED"


class TokenSuperseded(TokenRevoked):
    """The session goes on under another sid, or under a newer refresh token; its cookies are in the browser by now."""

    code = "JWT_SUPERSEDED"


class TokenReused(TokenRevoked):
    """A refresh token that was rotated away came back (RFC 9700, section 4.14.2)."""

    code = "JWT_REUSED"


class SessionDataError(LionRockError):
    """What a handler stored cannot be kept in a token. ``key`` is the session key at fault."""

    def __init__(self, message: str, key: str | None = None) -> None:
        self.key = key
        super().__init__(message)


class ReservedName(SessionDataError):
    """The key is a claim or a field of the token itself."""


class SessionTooLarge(SessionDataError):
    """The cookies would be larger than browsers keep or servers accept; ``key`` is the largest entry."""


class SessionSealed(LionRockError):
    """The session's cookies have left with the response; a later change could not be kept."""


class SessionLimitReached(LionRockError):
    """A login was refused: the user has ``max_sessions`` sessions already, and ``when_full`` is "refuse"."""


class StorageError(LionRockError):
    """The root of what a storage raises."""


class DuplicateRecord(StorageError):
    """``insert`` met a live record with the same sid."""


class StorageUnavailable(StorageError):
    """The storage could not answer in time; raised ``from`` the driver's own error.

    ``maybe_done`` is False where the call certainly changed nothing (a refused connection, a storage that is not
    open): there is nothing to repair then.
    """

    def __init__(self, message: str = "the storage cannot answer", *, maybe_done: bool = True) -> None:
        self.maybe_done = maybe_done
        super().__init__(message)


class CorruptRecord(StorageUnavailable):
    """The storage holds something under a sid that is not a record; the message names the sid.

    ``sid`` is that sid, so that it can be removed where it stands in the way of others.
    """

    def __init__(
        self, message: str = "a record is damaged", *, sid: str | None = None, maybe_done: bool = True
    ) -> None:
        self.sid = sid
        super().__init__(message, maybe_done=maybe_done)
