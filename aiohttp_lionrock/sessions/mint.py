"""Draft and TokenMint: from a session to the signed tokens of one response, each small enough for its cookie.

Which tokens are to be made, under which sid and with which ids, is decided elsewhere.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from ..errors import SessionTooLarge, TokenExpired
from ..jsontext import encode
from ..settings.config import SessionConfig, TokenPolicy
from ..settings.names import TERM
from ..storage.contract import JtiRecord
from ..tokens.cache import TokenCache
from .life import Arrival, Presented
from .session import session_of
from .state import Life
from .term import Limits, Term

__all__ = ["Draft", "Grant", "Issued", "TokenMint", "latest_exp"]

BROWSER_LIMIT = 4096  # bytes of name and value that browsers keep (RFC 6265bis, section 5.6)


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


class Draft:
    """What the tokens of one response are to say, before they have ids. ``policies``: which tokens; ``now``: when.

    ``data`` is what the session held when it was saved. The sid is the session's own, but where the session is to go on
    under another one; ``authenticated_at`` likewise, but at a login. ``handed_over`` is the record that this draft's
    sid took over from, as it was before. ``inherits`` is False for a login whose own request has ended the session that
    it brought.
    """

    __slots__ = (
        "_is_awaited",
        "authenticated_at",
        "created_at",
        "data",
        "handed_over",
        "id",
        "inherits",
        "life",
        "now",
        "policies",
        "presented",
        "sid",
        "subject",
    )

    def __init__(
        self,
        life: Life,
        presented: Presented,
        policies: tuple[TokenPolicy, ...],
        now: int,
        is_awaited: Callable[[], bool] | None = None,
    ) -> None:
        self.life: Life = life
        self.presented: Presented = presented
        self.policies: tuple[TokenPolicy, ...] = policies
        self.now: int = now
        self.data: Mapping[str, Any] = life.data.snapshot()
        self.id: str = life.id or str(uuid4())
        self.sid: str = life.sid
        self.created_at: int | None = life.created_at
        self.subject: str | None = life.subject
        self.authenticated_at: int | None = life.authenticated_at
        self.handed_over: JtiRecord | None = None
        self.inherits: bool = True
        self._is_awaited = is_awaited

    def reaches_nobody(self) -> bool:
        """Whether by now it is known that nobody waits for the tokens any more."""
        return self._is_awaited is not None and not self._is_awaited()

    def inherit_nothing(self) -> None:
        """Leaves what came with a session that was ended: a login in its place has what this request has set itself."""
        self.inherits = False
        self.life.data.keep_assigned()
        self.data = self.life.data.snapshot()
        self.subject = self.life.subject

    def take_along(self) -> None:
        """Adds what nobody's session held that is superseded by now, but for what this request has set or removed."""
        left = self.presented.left
        if left is not None and left.subject is None:
            self.id = left.id or self.id
            self.life.data.add(left.data)
            self.data = self.life.data.snapshot()

    def go_on_from(self, record: JtiRecord) -> None:
        """Takes over from this session, in the place of the one that was presented."""
        self.presented = self.presented._replace(
            arrival=Arrival.LOADED, sid=record.sid, subject=record.subject, record=record
        )

    def keep_term(self, record: JtiRecord) -> None:
        """Has a token from before the record got an end of its own respect that end, unless another one is asked."""
        if record.until is not None and not self.life.asked.sets_term:
            self.life.term = Term(record.until)


class TokenMint:
    """Signs drafts: fills in the registered claims, and refuses what a browser or a server would drop."""

    def __init__(self, config: SessionConfig, tokens: TokenCache[Any], limits: Limits) -> None:
        self._config = config
        self._limits = limits
        self._tokens = tokens
        named = {"iss": config.issuer, "aud": config.audience}
        self._common_claims = {name: value for name, value in named.items() if value is not None}

    def sign(self, draft: Draft, grant: Grant) -> list[Issued]:
        """The tokens. Raises SessionTooLarge where one is longer than its cookie may be, and TokenExpired where all
        of them are over by now.
        """
        issued, is_over = [], True
        for policy in draft.policies:
            claims = self.claims(draft, policy, grant)
            is_over = is_over and claims["exp"] <= draft.now
            issued.append(Issued(policy, self._tokens.sign(claims, draft.presented.keys), claims))
        self._check_sizes(draft, issued)
        if is_over:
            raise TokenExpired("session reached its end while the request was handled")
        return issued

    def claims(self, draft: Draft, policy: TokenPolicy, grant: Grant) -> dict[str, Any]:
        """What one token says."""
        config, life, is_refresh = self._config, draft.life, policy.use == "refresh"
        issued = draft.now if grant.refresh_iat is None or not is_refresh else grant.refresh_iat
        claims = {"id": draft.id, "sid": draft.sid, "creator": life.creator, **draft.data}
        began = self._limits.begin(draft.created_at, draft.now)
        if began is not None:
            claims["orig_iat"] = began
        if draft.authenticated_at is not None:
            claims["auth_time"] = draft.authenticated_at
        if (term := life.term.claim()) is not None:
            claims[TERM] = term
        claims["iat"] = claims["nbf"] = issued
        usual = self._usual_end(draft, policy, issued)
        claims["exp"] = self._limits.end(usual, issued, began, draft.subject, life.term)
        claims.update(self._common_claims)
        if config.refresh is not None:
            claims["token_use"] = policy.use
        jti = grant.refresh_jti if is_refresh else grant.access_jti
        if jti is not None:
            claims["jti"] = jti
        return claims

    def _usual_end(self, draft: Draft, policy: TokenPolicy, issued: int) -> int:
        """The end of the token's lifetime or, in its place, of the login's own; an access token need not reach that."""
        end, until = issued + policy.lifetime, draft.life.term.until
        if len(draft.policies) == 2:
            if until is None:
                return end
            return min(end, until) if policy.use == "access" else until
        if not self._limits.gives_refresh(draft.subject):
            return issued + policy.alone if until is None else until
        assert draft.life.expires_at is not None
        return min(end, draft.life.expires_at)  # that of the refresh token, which is not replaced

    def _check_sizes(self, draft: Draft, issued: list[Issued]) -> None:
        limit, most, total = self._config.max_token_length, self._config.max_cookies_length, 0
        for policy, token, _ in issued:
            size, cookie = len(token), len(policy.name) + len(token)
            total += cookie + 1
            if size > limit:
                raise _too_large(draft, f"the {policy.use} token is {size} characters, more than {limit}")
            if limit <= BROWSER_LIMIT < cookie:
                raise _too_large(draft, f"cookie {policy.name} is {cookie} bytes, more than {BROWSER_LIMIT}")
        if total > most:
            raise _too_large(draft, f"the cookies are {total} bytes together, more than max_cookies_length, {most}")


def latest_exp(issued: list[Issued]) -> int:
    """When the last of the tokens of one response expires."""
    ends: list[int] = [token.claims["exp"] for token in issued]
    return max(ends)


def _too_large(draft: Draft, what: str) -> SessionTooLarge:
    data = session_of(draft.life)
    sizes = sorted(((len(encode({key: value})), key) for key, value in data.items()), reverse=True)[:3]
    named = ", ".join(f"{key:.60} ({size} bytes)" for size, key in sizes)
    return SessionTooLarge(f"{what}; the largest keys: {named}", sizes[0][1] if sizes else None)
