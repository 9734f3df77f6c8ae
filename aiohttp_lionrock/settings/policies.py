"""TokenPolicy: what holds for one token and its cookie, after all defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..faults import Faults
from .cookie_rules import ResolvedCookie, resolve_cookie
from .cookies import CookieOptions
from .tables import AccessTokenConfig, CookieConfig, RefreshTokenConfig

__all__ = ["TokenPolicy", "access_policy", "covered_uses", "refresh_policy"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenPolicy:
    """One token's settings after all defaults: ``lifetime`` in whole seconds; ``covered``: its jti counts.

    ``former`` are the attributes under which older cookies of the token may be about: a logout deletes those, and so
    does every write where ``replaces``. ``alone`` is the lifetime of an access token that has no refresh token beside
    it, where others have one.
    """

    use: Literal["access", "refresh"]
    name: str
    lifetime: int
    cookie: CookieOptions
    former: tuple[CookieOptions, ...]
    replaces: bool
    covered: bool
    alone: int


def access_policy(
    config: Any, access: AccessTokenConfig, cookie: CookieConfig, covered: bool, faults: Faults
) -> TokenPolicy:
    """What holds for the access token, or the only one."""
    name = ("name", config.name) if access.name is None else ("access_token.name", access.name)
    if access.expires is None:
        lifetime = faults.seconds("expires", config.expires)
    else:
        lifetime = faults.seconds("access_token.expires", access.expires)
    if access.cookie_max_age is None:
        max_age = ("cookie_max_age", config.cookie_max_age)
    else:
        max_age = ("access_token.cookie_max_age", access.cookie_max_age)
    resolved = _cookie("access_token", name, max_age, cookie, access.cookie_options, faults)
    return TokenPolicy("access", name[1], lifetime, *resolved, covered, lifetime)


def refresh_policy(
    config: Any, refresh: RefreshTokenConfig, cookie: CookieConfig, covered: bool, faults: Faults
) -> TokenPolicy:
    """What holds for the refresh token."""
    faults.flag("refresh_token.rotate", refresh.rotate)
    name = ("name", f"{config.name}-refresh") if refresh.name is None else ("refresh_token.name", refresh.name)
    lifetime = faults.seconds("refresh_token.expires", refresh.expires)
    max_age = lifetime if refresh.cookie_max_age is None else refresh.cookie_max_age
    given_age = ("refresh_token.cookie_max_age", max_age)
    resolved = _cookie("refresh_token", name, given_age, cookie, refresh.cookie_options, faults)
    return TokenPolicy("refresh", name[1], lifetime, *resolved, covered, lifetime)


def _cookie(
    token: str,
    name: tuple[str, str],
    max_age: tuple[str, float | None],
    common: CookieConfig,
    own: CookieConfig | Mapping[str, Any] | None,
    faults: Faults,
) -> ResolvedCookie:
    where = f"{token}.cookie_options"
    layers = [("cookie", common), (where, faults.table(where, CookieConfig, own))]
    return resolve_cookie(name, max_age, layers, faults)


def covered_uses(jti: Any, has_refresh: bool, has_storage: bool) -> set[str]:
    """The tokens whose ids count: ``jti`` is its table, None where it is off."""
    if jti is None:
        return set()
    default = "both" if has_storage else "refresh" if has_refresh else "access"
    use = jti.token_use or default
    return {"access", "refresh"} if use == "both" else {str(use)}
