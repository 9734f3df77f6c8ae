"""Write: from a session to the signed tokens of one response, each small enough for its cookie.

It makes them under the `Grant` that whoever answers for their ids gives it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import SessionTooLarge
from ..jsontext import encode
from ..settings.config import SessionConfig, TokenPolicy
from ..storage.contract import JtiRecord
from ..tokens.cache import TokenCache
from ..tokens.keys import KeyRing
from .session import Session

__all__ = ["Grant", "Issued", "Origin", "TokenMint", "Write"]

BROWSER_LIMIT = 4096  # bytes of name and value that browsers keep (RFC 6265bis, section 5.6)
HEADER_LIMIT = 8000  # bytes of all our cookies; servers refuse longer Cookie headers outright


class Origin:
    """What `load` learned about a session, kept for `save`."""

    subject: str | None = None
    refreshed = False
    refresh_jti: str | None = None
    record: JtiRecord | None = None
    unrecorded = False  # accepted without a jti, while ``jti.require`` is false
    stale: tuple[TokenPolicy, ...] = ()

    def __init__(self, keys: KeyRing, env: Mapping[str, str] | None) -> None:
        self.keys = keys
        self.env = env


class Grant(NamedTuple):
    """The ids that the tokens of one response carry. ``refresh_iat`` None means now."""

    access_jti: str | None = None
    refresh_jti: str | None = None
    refresh_iat: int | None = None


class Issued(NamedTuple):
    """One signed token that fits its cookie."""

    policy: TokenPolicy
    token: str
    claims: Mapping[str, Any]


class TokenMint:
    """What all writes under one configuration share: the settings, what signs, and the claims that never change."""

    def __init__(self, config: SessionConfig, tokens: TokenCache) -> None:
        self.config = config
        self.tokens = tokens
        named = {"iss": config.issuer, "aud": config.audience}
        self.common_claims = {name: value for name, value in named.items() if value is not None}


class Write:
    """One response's worth of tokens: for whom, when and which (``policies``), and how they are made.

    Fills in the registered claims, signs, and refuses what a browser or server would drop.
    """

    def __init__(self, mint: TokenMint, session: Session, origin: Origin, now: int, modified: bool) -> None:
        self._mint = mint
        self.session = session
        self.origin = origin
        self.now = now
        self.modified = modified
        config = mint.config
        self.policies: tuple[TokenPolicy, ...] = (config.access,)
        if config.refresh and (config.rotate or modified or session._ended_sid is not None or not origin.refreshed):
            self.policies = config.access, config.refresh

    def sign(self, grant: Grant) -> list[Issued]:
        """The tokens. Raises SessionTooLarge where one is longer than its cookie may be."""
        issued = []
        for policy in self.policies:
            claims = self.claims(policy, grant)
            issued.append(Issued(policy, self._mint.tokens.sign(claims, self.origin.keys), claims))
        self._check_sizes(issued)
        return issued

    def claims(self, policy: TokenPolicy, grant: Grant) -> dict[str, Any]:
        """What one token says."""
        config, session = self._mint.config, self.session
        is_refresh = policy.use == "refresh"
        issued = self.now if grant.refresh_iat is None or not is_refresh else grant.refresh_iat
        expires = issued + policy.lifetime
        claims = session._claims()
        if config.max_lifetime is not None:
            began = self.now if session.created_at is None else session.created_at
            expires = min(expires, began + int(config.max_lifetime))
            claims["orig_iat"] = began
        elif session.created_at is not None:
            claims["orig_iat"] = session.created_at
        claims["iat"] = claims["nbf"] = issued
        claims["exp"] = expires
        claims.update(self._mint.common_claims)
        if config.refresh is not None:
            claims["token_use"] = policy.use
        jti = grant.refresh_jti if is_refresh else grant.access_jti
        if jti is not None:
            claims["jti"] = jti
        return claims

    def _check_sizes(self, issued: list[Issued]) -> None:
        limit, total = self._mint.config.max_token_length, 0
        for policy, token, _ in issued:
            size, cookie = len(token), len(policy.name) + len(token)
            total += cookie + 1
            if size > limit:
                raise _too_large(self.session, f"the {policy.use} token is {size} characters, more than {limit}")
            if limit <= BROWSER_LIMIT < cookie:
                raise _too_large(self.session, f"cookie {policy.name} is {cookie} bytes, more than {BROWSER_LIMIT}")
        if total > HEADER_LIMIT:
            raise _too_large(self.session, f"the cookies are {total} bytes together, more than {HEADER_LIMIT}")


def _too_large(session: Session, what: str) -> SessionTooLarge:
    sizes = sorted(((len(encode({key: value})), key) for key, value in session.items()), reverse=True)[:3]
    named = ", ".join(f"{key:.60} ({size} bytes)" for size, key in sizes)
    return SessionTooLarge(f"{what}; the largest keys: {named}", sizes[0][1] if sizes else None)
