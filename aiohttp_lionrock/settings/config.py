"""SessionConfig: every setting, checked whole and frozen.

What the user writes is the public dataclasses; what the rest of the library reads is the two `TokenPolicy`
objects that `SessionConfig` resolves them into, one for each token.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from ..errors import ConfigError
from ..faults import Faults, shown, with_article
from ..storage.contract import JtiStorage
from .policies import TokenPolicy, access_policy, covered_uses, refresh_policy
from .rules import ELSEWHERE, check_jti, check_session
from .secrets import Secrets
from .tables import AccessTokenConfig, CookieConfig, EventSession, RefreshTokenConfig

__all__ = [
    "AccessTokenConfig",
    "CookieConfig",
    "JtiConfig",
    "JtiEvent",
    "RefreshTokenConfig",
    "SessionConfig",
    "SubjectKey",
    "TokenPolicy",
]

TWO_HOURS = 2 * 60 * 60

SubjectKey = str | Callable[[Mapping[str, Any]], str | int | float | None]


@dataclass(frozen=True, slots=True)
class JtiEvent:
    """What jti callbacks and `SessionManager.on_reuse` are given. ``exp`` is epoch seconds."""

    jti: str | None
    session: EventSession
    token_use: str
    exp: int
    payload: Mapping[str, Any]
    config: "SessionConfig"
    env: Mapping[str, str] | None


Callback = Callable[[JtiEvent], Awaitable[Any] | Any]


@dataclass(frozen=True, slots=True)
class JtiConfig:
    """Which tokens carry a jti and who honours it: a storage, or the callbacks (plain or async).

    ``generate`` returns the id; ``persist`` is told of each token issued; ``verify`` returns a bool. Times in seconds:
    ``reuse_leeway`` is how long a rotated refresh token is still answered with its successor, ``max_clock_skew`` how
    far the clocks of servers may differ before one takes that for a replay, ``cache_ttl`` how long a process trusts a
    positive check: the bound on revocation.
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
class SessionConfig:
    """All settings of a session manager; times in seconds. Raises ConfigError with every fault at once.

    ``storage`` (a URL or a `JtiStorage`, here or at the manager) turns jti on, for both tokens unless
    ``jti.token_use`` says otherwise. ``max_token_length`` counts characters; raising it beyond 4096 also lifts the
    check that browsers keep the cookie. ``max_lifetime`` bounds a session from its creation, whatever is refreshed.
    ``idle_timeout`` ends one that was not used for so long; a use is noted, by writing the cookies, at most once in
    ``touch_interval`` (a tenth of the timeout). ``anonymous_lifetime`` bounds one without a user; it gets no refresh
    token then, and its one token lives for so long.
    ``subject_key`` names the user that a session belongs to: a key of the session, or a function of its data.
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
    max_cookies_length: int = 6000
    secret: str | None = field(default=None, repr=False)
    secrets: str | Sequence[str] | None = field(default=None, repr=False)
    previous_secret: str | Sequence[str] | None = field(default=None, repr=False)
    previous_secrets: str | Sequence[str] | None = field(default=None, repr=False)
    save_uninitialized: bool = False
    resave: bool = False
    cookie: CookieConfig | Mapping[str, Any] | None = None
    clear_site_data: Sequence[str] | Literal[False] = False
    subject_key: SubjectKey = "sub"
    storage: str | JtiStorage | None = field(default=None, repr=False)
    storage_timeout: float = 2
    max_lifetime: float | None = None
    idle_timeout: float | None = None
    touch_interval: float | None = None
    anonymous_lifetime: float | None = None
    max_sessions: int | None = None
    when_full: Literal["oldest", "refuse"] = "oldest"
    seen_interval: float | None = 3600
    purge_interval: float | None = 3600

    access: TokenPolicy = field(init=False, repr=False, compare=False)
    refresh: TokenPolicy | None = field(init=False, repr=False, compare=False)
    jti_policy: JtiConfig | None = field(init=False, repr=False, compare=False)
    rotate: bool = field(init=False, repr=False, compare=False)
    clear_site_data_header: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = Faults()
        access = faults.table("access_token", AccessTokenConfig, self.access_token) or AccessTokenConfig()
        refresh = faults.switch("refresh_token", RefreshTokenConfig, self.refresh_token)
        cookie = faults.table("cookie", CookieConfig, self.cookie) or CookieConfig()
        jti = self._resolved_jti(faults)
        check_jti(jti, self.storage is not None, refresh is not None, faults)
        secrets_are_readable = check_session(self, faults)
        covered = covered_uses(jti, refresh is not None, self.storage is not None)
        access_token = access_policy(self, access, cookie, "access" in covered, faults)
        refresh_token = refresh and refresh_policy(self, refresh, cookie, "refresh" in covered, faults)
        if refresh_token and refresh_token.name == access_token.name:
            faults.add(f"refresh_token.name and the access token's name are both {access_token.name!r}")
        if faults.found and secrets_are_readable:
            faults.found.extend(_secret_faults(self, os.environ))
        faults.raise_if_any()
        if refresh_token and self.anonymous_lifetime is not None:
            access_token = replace(access_token, alone=max(access_token.lifetime, refresh_token.lifetime))
        for name in ("audience", "secrets", "previous_secret", "previous_secrets", "clear_site_data"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "access", access_token)
        object.__setattr__(self, "refresh", refresh_token)
        object.__setattr__(self, "jti_policy", jti)
        object.__setattr__(self, "rotate", refresh is not None and refresh.rotate)
        directives = ", ".join(f'"{directive}"' for directive in self.clear_site_data or ())
        object.__setattr__(self, "clear_site_data_header", directives or None)

    def _resolved_jti(self, faults: Faults) -> JtiConfig | None:
        jti: JtiConfig | None = faults.switch("jti", JtiConfig, self.jti)
        if jti is not None or self.storage is None:
            return jti
        if self.jti is None:
            return JtiConfig()
        faults.add("storage is given but jti is switched off: nothing would use it; remove one of the two")
        return None

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Reads settings in snake_case or LionRockJS camelCase, nested tables too. Raises ConfigError."""
        faults = Faults()
        values = _named_settings(cls, settings, faults)
        return cls._made(lambda: cls(**values), faults, os.environ)

    @classmethod
    def from_env(cls, prefix: str = "SESSION_", environ: Mapping[str, str] | None = None) -> Self:
        """Reads settings from the environment: ``SESSION_EXPIRES``, ``SESSION_REFRESH_TOKEN_ROTATE``, and so on.

        ``environ`` is the process environment unless given. SESSION_SECRET and SESSION_SECRET_PREVIOUS are left to
        `SessionManager`, which reads them itself. Raises ConfigError, also for an unknown name with the prefix.
        """
        from .environment import read_environment  # late: most applications do not need it

        faults = Faults()
        environ = os.environ if environ is None else environ
        values = read_environment(prefix, environ, cls, faults)
        return cls._made(lambda: cls(**values), faults, environ)

    @classmethod
    def coerce(cls, config: Self | None) -> Self:
        """The configuration that was given, or the defaults for None. Raises ConfigError for anything else."""
        if config is None:
            return cls()
        if isinstance(config, cls):
            return config
        if isinstance(config, str):
            way_out = 'a storage is given by its name, storage="sqlite:///sessions.db", to setup or SessionConfig'
        elif isinstance(config, JtiStorage):
            way_out = "a storage is given by its name, storage=..., to setup or SessionConfig"
        elif isinstance(config, Mapping):
            way_out = f"{cls.__name__}.from_mapping(...) reads a mapping"
        else:
            way_out = f"settings are given by name, or as {cls.__name__}(...)"
        raise ConfigError(f"the configuration must be {with_article(cls.__name__)}, not {shown(config)}; {way_out}")

    def updated(self, settings: Mapping[str, Any]) -> Self:
        """This configuration with some settings replaced, in either spelling. Raises ConfigError."""
        faults = Faults()
        values = _named_settings(type(self), settings, faults)
        return self._made(lambda: replace(self, **values), faults, os.environ)

    @classmethod
    def _made(cls, make: Callable[[], Self], faults: Faults, environ: Mapping[str, str]) -> Self:
        """What this makes. Raises ConfigError with the faults found before, and with those that it raises itself."""
        try:
            config = make()
        except ConfigError as exc:
            raise ConfigError([*faults.found, *exc.faults]) from None
        if faults.found:
            raise ConfigError([*faults.found, *_secret_faults(config, environ)])
        return config

    def secrets_given(self) -> Secrets:
        """The secrets of these settings; those of environments come before them."""
        return Secrets(
            secret=self.secret,
            secrets=self.secrets,
            previous_secret=self.previous_secret,
            previous_secrets=self.previous_secrets,
            algorithm=self.algorithm,
            minimum_length=self.minimum_secret_length,
        )


def _named_settings(cls: type[SessionConfig], settings: object, faults: Faults) -> dict[str, Any]:
    if isinstance(settings, Mapping):
        return faults.names("", cls, settings, ELSEWHERE)
    if isinstance(settings, cls):
        way_out = f"a {cls.__name__} needs no reading"
    elif settings is None:
        way_out = f"{cls.__name__}() has the defaults"
    else:
        way_out = 'for example {"expires": 3600}'
    raise ConfigError(f"settings must be a mapping of names to values, not {shown(settings)}; {way_out}")


def _secret_faults(config: SessionConfig, environ: Mapping[str, str]) -> list[str]:
    """For a message that goes out anyhow: who reads the environment judges the secrets, but too late for it."""
    secrets = config.secrets_given()
    return secrets.faults(secrets.in_use(environ, {}))
