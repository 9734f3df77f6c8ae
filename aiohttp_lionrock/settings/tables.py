"""The tables of a configuration that stand for themselves, and what a callback may read of a session."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["AccessTokenConfig", "CookieConfig", "EventSession", "RefreshTokenConfig"]

THIRTY_DAYS = 30 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class CookieConfig:
    """Cookie attributes (RFC 6265bis). ``None`` keeps the default; ``cookie_max_age`` settings win over ``max_age``.

    ``previous_domains``, ``previous_paths`` and ``previous_partitioned`` are what these were while cookies were set
    that are still about: every write and every logout deletes those.
    """

    secure: bool | None = None
    http_only: bool | None = None
    same_site: Literal["Strict", "Lax", "None"] | None = None
    path: str | None = None
    domain: str | None = None
    partitioned: bool | None = None
    max_age: float | None = None
    previous_domains: Sequence[str] | None = None
    previous_paths: Sequence[str] | None = None
    previous_partitioned: bool | None = None


@dataclass(frozen=True, slots=True)
class AccessTokenConfig:
    """The access token, or the only one. Times in seconds; ``None`` takes the session's own setting."""

    name: str | None = None
    expires: float | None = None
    cookie_max_age: float | None = None
    cookie_options: CookieConfig | Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RefreshTokenConfig:
    """The refresh token. Times in seconds; ``rotate`` gives a new one at each refresh (RFC 9700, 4.14)."""

    enabled: bool = True
    name: str | None = None
    expires: float = THIRTY_DAYS
    cookie_max_age: float | None = None
    cookie_options: CookieConfig | Mapping[str, Any] | None = None
    rotate: bool = True


class EventSession(Protocol):
    """What a callback may read of the session that it is called for; to read is all that it may do."""

    @property
    def id(self) -> str | None: ...
    @property
    def sid(self) -> str: ...
    @property
    def creator(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    def get(self, key: str, default: Any = None, /) -> Any: ...
    def __getitem__(self, key: str, /) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
