"""SessionSettings: the fields of SessionConfig as keyword arguments, so that a type checker knows them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ..storage.contract import JtiStorage
from .config import JtiConfig, SubjectKey
from .tables import AccessTokenConfig, CookieConfig, RefreshTokenConfig

__all__ = ["SessionSettings"]


class SessionSettings(TypedDict, total=False):
    """What `SessionConfig` takes, for ``**settings: Unpack[SessionSettings]``."""

    name: str
    algorithm: str
    expires: float
    cookie_max_age: float | None
    access_token: AccessTokenConfig | Mapping[str, Any] | None
    refresh_token: RefreshTokenConfig | Mapping[str, Any] | bool | None
    jti: JtiConfig | Mapping[str, Any] | bool | None
    issuer: str | None
    audience: str | Sequence[str] | None
    clock_tolerance: float
    minimum_secret_length: int | None
    max_token_length: int
    max_cookies_length: int
    secret: str | None
    secrets: str | Sequence[str] | None
    previous_secret: str | Sequence[str] | None
    previous_secrets: str | Sequence[str] | None
    save_uninitialized: bool
    resave: bool
    cookie: CookieConfig | Mapping[str, Any] | None
    clear_site_data: Sequence[str] | Literal[False]
    subject_key: SubjectKey
    storage: str | JtiStorage | None
    storage_timeout: float
    max_lifetime: float | None
    idle_timeout: float | None
    touch_interval: float | None
    anonymous_lifetime: float | None
    max_sessions: int | None
    when_full: Literal["oldest", "refuse"]
    seen_interval: float | None
    purge_interval: float | None
