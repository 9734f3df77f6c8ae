"""SessionConfig: every setting, checked whole and frozen.

What the user writes is the public dataclasses; what the rest of the library reads is the two `TokenPolicy`
objects that `SessionConfig` resolves them into, one for each token.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from ..errors import ConfigError
from ..faults import LONGEST, Faults, is_number, shown
from ..jsontext import is_storable_text
from ..storage.contract import JtiStorage
from .cookies import CookieConfig, CookieOptions, resolve_cookie

if TYPE_CHECKING:
    from ..sessions.session import Session

__all__ = [
    "AccessTokenConfig",
    "CookieConfig",
    "JtiConfig",
    "JtiEvent",
    "RefreshTokenConfig",
    "SessionConfig",
    "TokenPolicy",
]

ALGORITHMS = {"HS256": 32, "HS384": 48, "HS512": 64}
TWO_HOURS = 2 * 60 * 60
THIRTY_DAYS = 30 * 24 * 60 * 60


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


@dataclass(frozen=True, slots=True)
class JtiEvent:
    """What jti callbacks and `SessionManager.on_reuse` are given. ``exp`` is epoch seconds."""

    jti: str | None
    session: "Session"
    token_use: str
    exp: int
    payload: Mapping[str, Any]
    config: "SessionConfig"
    env: Mapping[str, str] | None


Callback = Callable[[JtiEvent], Awaitable[Any] | Any]


@dataclass(frozen=True, slots=True)
class JtiConfig:
    """Which tokens carry a jti and who honours it: a storage, or the callbacks (plain or async).

    ``generate`` returns the id; ``persist`` is told of each token issued; ``verify`` returns a bool.
    ``reuse_leeway`` (seconds) is how long a rotated refresh token is still answered with its successor;
    ``cache_ttl`` (seconds) is how long a process trusts a positive check: the bound on revocation.
    """

    enabled: bool = True
    token_use: Literal["access", "refresh", "both"] | None = None
    require: bool = True
    generate: Callback | None = None
    persist: Callback | None = None
    verify: Callback | None = None
    reuse_leeway: float = 30
    max_clock_skew: float = 30
    cache_ttl: float = 0


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """One token's settings after all defaults: ``lifetime`` in whole seconds; ``covered``: its jti counts."""

    use: Literal["access", "refresh"]
    name: str
    lifetime: int
    cookie: CookieOptions
    covered: bool


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """All settings of a session manager; times in seconds. Raises ConfigError with every fault at once.

    ``storage`` (a URL or a `JtiStorage`, here or at the manager) turns jti on, for both tokens unless
    ``jti.token_use`` says otherwise. ``max_token_length`` counts characters; raising it beyond 4096 also lifts the
    check that browsers keep the cookie. ``max_lifetime`` bounds a session from its creation, whatever is refreshed.
    """

    name: str = "lionrock-session"
    algorithm: str = "HS256"
    expires: float = TWO_HOURS
    cookie_max_age: float | None = None
    access_token: AccessTokenConfig | Mapping[str, Any] | None = None
    refresh_token: RefreshTokenConfig | Mapping[str, Any] | bool | None = None
    jti: JtiConfig | Mapping[str, Any] | bool | None = None
    issuer: str | None = None
    audience: str | Sequence[str] | None = None
    clock_tolerance: float = 60
    minimum_secret_length: int | None = None
    max_token_length: int = 4096
    secret: str | None = field(default=None, repr=False)
    secrets: str | Sequence[str] | None = field(default=None, repr=False)
    previous_secret: str | Sequence[str] | None = field(default=None, repr=False)
    previous_secrets: str | Sequence[str] | None = field(default=None, repr=False)
    save_uninitialized: bool = False
    resave: bool = False
    cookie: CookieConfig | Mapping[str, Any] | None = None
    storage: str | JtiStorage | None = field(default=None, repr=False)
    storage_timeout: float = 2
    max_lifetime: float | None = None
    subject_key: Any = "sub"
    max_cookies_length: int = 6000
    purge_interval: float | None = 3600

    access: TokenPolicy = field(init=False, repr=False, compare=False)
    refresh: TokenPolicy | None = field(init=False, repr=False, compare=False)
    jti_policy: JtiConfig | None = field(init=False, repr=False, compare=False)
    rotate: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = Faults()
        access = faults.table("access_token", AccessTokenConfig, self.access_token) or AccessTokenConfig()
        refresh = faults.switch("refresh_token", RefreshTokenConfig, self.refresh_token)
        cookie = faults.table("cookie", CookieConfig, self.cookie) or CookieConfig()
        jti = _resolve_jti(self, refresh is not None, faults)
        covered = _covered_uses(jti, refresh is not None, self.storage is not None)
        _check_session(self, faults)
        access_policy = _access_policy(self, access, cookie, "access" in covered, faults)
        refresh_policy = refresh and _refresh_policy(self, refresh, cookie, "refresh" in covered, faults)
        if refresh_policy and refresh_policy.name == access_policy.name:
            faults.add(f"refresh_token.name and the access token's name are both {access_policy.name!r}")
        faults.raise_if_any()
        for name in ("audience", "secrets", "previous_secret", "previous_secrets"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "access", access_policy)
        object.__setattr__(self, "refresh", refresh_policy)
        object.__setattr__(self, "jti_policy", jti)
        object.__setattr__(self, "rotate", refresh is not None and refresh.rotate)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Reads settings in snake_case or LionRockJS camelCase, nested tables too. Raises ConfigError."""
        faults = Faults()
        values = faults.names("", cls, settings)
        try:
            config = cls(**values)
        except ConfigError as exc:
            raise ConfigError([*faults.found, *exc.faults]) from None
        faults.raise_if_any()
        return config

    def updated(self, settings: Mapping[str, Any]) -> Self:
        """This configuration with some settings replaced, in either spelling. Raises ConfigError."""
        faults = Faults()
        values = faults.names("", type(self), settings)
        faults.raise_if_any()
        return replace(self, **values)

    @property
    def secret_floor(self) -> int:
        """The least length of a secret, in bytes of UTF-8 (RFC 7518, section 3.2, unless lowered)."""
        return self.minimum_secret_length or ALGORITHMS[self.algorithm]


def _resolve_jti(config: SessionConfig, has_refresh: bool, faults: Faults) -> JtiConfig | None:
    has_storage = config.storage is not None
    jti: JtiConfig | None = faults.switch("jti", JtiConfig, config.jti)
    if jti is None:
        if has_storage and config.jti is None:
            return JtiConfig()
        if has_storage:
            faults.add("storage is given but jti is switched off: nothing would use it; remove one of the two")
        return None
    callbacks = {name: getattr(jti, name) for name in ("generate", "persist", "verify")}
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            faults.add(f"jti.{name} must be callable, not {shown(callback)}")
    if has_storage and (jti.persist or jti.verify):
        faults.add("jti.persist and jti.verify do what the storage does: give the storage or the callbacks")
    if jti.token_use not in (None, "access", "refresh", "both"):
        faults.add("jti.token_use must be access, refresh or both")
    if has_storage and jti.token_use == "refresh" and not has_refresh:  # noqa: S105
        faults.add("jti.token_use is refresh, but refresh tokens are off: no token would be covered")
    faults.flag("jti.require", jti.require)
    faults.seconds("jti.reuse_leeway", jti.reuse_leeway, zero=True)
    faults.seconds("jti.cache_ttl", jti.cache_ttl, zero=True)
    return jti


def _covered_uses(jti: JtiConfig | None, has_refresh: bool, has_storage: bool) -> set[str]:
    if jti is None:
        return set()
    default = "both" if has_storage else "refresh" if has_refresh else "access"
    use = jti.token_use or default
    return {"access", "refresh"} if use == "both" else {str(use)}


def _check_session(config: SessionConfig, faults: Faults) -> None:
    if config.algorithm not in ALGORITHMS:
        written = config.algorithm if isinstance(config.algorithm, str) else shown(config.algorithm)
        faults.add(f"unsupported algorithm {written}: use HS256, HS384 or HS512")
    if config.issuer is not None:
        faults.text("issuer", config.issuer)
    _check_audience(config.audience, faults)
    faults.seconds("clock_tolerance", config.clock_tolerance, zero=True)
    if config.minimum_secret_length is not None:
        faults.count("minimum_secret_length", config.minimum_secret_length)
    faults.count("max_token_length", config.max_token_length)
    faults.flag("save_uninitialized", config.save_uninitialized)
    faults.flag("resave", config.resave)
    if not is_number(config.storage_timeout) or not 0 < config.storage_timeout <= LONGEST:
        faults.add(f"storage_timeout must be a positive number of seconds, not {shown(config.storage_timeout)}")
    for name in ("max_lifetime", "purge_interval"):
        if getattr(config, name) is not None:
            faults.seconds(name, getattr(config, name))
    if config.storage is not None and not isinstance(config.storage, str | JtiStorage):
        faults.add(f"storage must be a URL or a JtiStorage, not {shown(config.storage)}")
    _check_secret_types(config, faults)


def _check_audience(audience: object, faults: Faults) -> None:
    if audience is None:
        return
    listed = audience if isinstance(audience, list | tuple) else (audience,)
    if not listed or not all(name and is_storable_text(name) for name in listed):
        faults.add("audience must be text that is not empty, in valid Unicode, or a list of such")


def _check_secret_types(config: SessionConfig, faults: Faults) -> None:
    if not isinstance(config.secret, str | None):
        faults.add("secret must be text; secrets takes a list, the first of which signs")
    for name in ("secrets", "previous_secret", "previous_secrets"):
        value = getattr(config, name)
        if isinstance(value, str | None):
            continue
        if not isinstance(value, list | tuple) or not all(isinstance(secret, str) for secret in value):
            faults.add(f"{name} must be text or a list of texts")


def _access_policy(
    config: SessionConfig, access: AccessTokenConfig, cookie: CookieConfig, covered: bool, faults: Faults
) -> TokenPolicy:
    name = config.name if access.name is None else access.name
    if access.expires is None:
        lifetime = faults.seconds("expires", config.expires)
    else:
        lifetime = faults.seconds("access_token.expires", access.expires)
    max_age = config.cookie_max_age if access.cookie_max_age is None else access.cookie_max_age
    own = faults.table("access_token.cookie_options", CookieConfig, access.cookie_options)
    options = resolve_cookie("access_token", name, max_age, (cookie, own), faults)
    return TokenPolicy("access", name, lifetime, options, covered)


def _refresh_policy(
    config: SessionConfig, refresh: RefreshTokenConfig, cookie: CookieConfig, covered: bool, faults: Faults
) -> TokenPolicy:
    faults.flag("refresh_token.rotate", refresh.rotate)
    name = f"{config.name}-refresh" if refresh.name is None else refresh.name
    lifetime = faults.seconds("refresh_token.expires", refresh.expires)
    max_age = lifetime if refresh.cookie_max_age is None else refresh.cookie_max_age
    own = faults.table("refresh_token.cookie_options", CookieConfig, refresh.cookie_options)
    options = resolve_cookie("refresh_token", name, max_age, (cookie, own), faults)
    return TokenPolicy("refresh", name, lifetime, options, covered)
