"""TokenMint: from a session to the signed tokens of one response, each small enough for its cookie."""

from collections.abc import Mapping
from typing import Any

from .config import SessionConfig, TokenPolicy
from .errors import SessionTooLarge
from .jsontext import encode
from .jti import Grant, Issued, Origin, Write
from .session import Session
from .tokens import TokenCodec

__all__ = ["TokenMint"]

BROWSER_LIMIT = 4096  # bytes of name and value that browsers keep (RFC 6265bis, section 5.6)
HEADER_LIMIT = 8000  # bytes of all our cookies; servers refuse longer Cookie headers outright


class TokenMint:
    """Fills in the registered claims, signs, and refuses what a browser or server would drop."""

    def __init__(self, config: SessionConfig, codec: TokenCodec) -> None:
        self._config = config
        self._codec = codec
        self._common = self._common_claims()

    def write(self, session: Session, origin: Origin, now: int, modified: bool) -> Write:
        """One response's write: which tokens, and how to make them under a grant."""
        renewed = session._ended_sid is not None
        every = [self._config.access]
        if self._config.refresh and (self._config.rotate or modified or renewed or not origin.refreshed):
            every.append(self._config.refresh)

        def claims(policy: TokenPolicy, grant: Grant) -> dict[str, Any]:
            return self._claims(session, policy, grant, now)

        def sign(grant: Grant) -> list[Issued]:
            drafts = [(policy, claims(policy, grant)) for policy in every]
            issued = [Issued(policy, self._codec.sign(draft, origin.keys), draft) for policy, draft in drafts]
            self._check_sizes(session, issued)
            return issued

        return Write(session, origin, now, modified, tuple(every), claims, sign)

    def _common_claims(self) -> Mapping[str, Any]:
        named = {"iss": self._config.issuer, "aud": self._config.audience}
        return {name: value for name, value in named.items() if value is not None}

    def _claims(self, session: Session, policy: TokenPolicy, grant: Grant, now: int) -> dict[str, Any]:
        issued = now
        if policy.use == "refresh" and grant.refresh_iat is not None:
            issued = grant.refresh_iat
        expires = issued + policy.lifetime
        claims = session._claims()
        if self._config.max_lifetime is not None:
            began = now if session.created_at is None else session.created_at
            expires = min(expires, began + int(self._config.max_lifetime))
            claims["orig_iat"] = began
        elif session.created_at is not None:
            claims["orig_iat"] = session.created_at
        claims.update(iat=issued, nbf=issued, exp=expires, **self._common)
        if self._config.refresh is not None:
            claims["token_use"] = policy.use
        jti = grant.jti(policy)
        if jti is not None:
            claims["jti"] = jti
        return claims

    def _check_sizes(self, session: Session, issued: list[Issued]) -> None:
        limit, total = self._config.max_token_length, 0
        for policy, token, _ in issued:
            size, cookie = len(token), len(policy.name) + len(token)
            total += cookie + 1
            if size > limit:
                raise _too_large(session, f"the {policy.use} token is {size} characters, more than {limit}")
            if limit <= BROWSER_LIMIT < cookie:
                raise _too_large(session, f"cookie {policy.name} is {cookie} bytes, more than {BROWSER_LIMIT}")
        if total > HEADER_LIMIT:
            raise _too_large(session, f"the cookies are {total} bytes together, more than {HEADER_LIMIT}")


def _too_large(session: Session, what: str) -> SessionTooLarge:
    sizes = sorted(((len(encode({key: value})), key) for key, value in session.items()), reverse=True)[:3]
    named = ", ".join(f"{key:.60} ({size} bytes)" for size, key in sizes)
    return SessionTooLarge(f"{what}; the largest keys: {named}", sizes[0][1] if sizes else None)
