"""TokenCodec: one JWT signed or judged. Knows nothing of cookies and storage.

Order of judging: size, shape, signature, header, payload, claims. Nothing is decoded before the MAC
holds (RFC 8725, 3.1 and 3.2). The MAC is PyJWT's; the segments are read strictly here.
"""

import hmac
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, TypeGuard

from ..errors import TokenClaimError, TokenError, TokenExpired, TokenForged, TokenMalformed, TokenTooLarge
from ..jsontext import decode_object, encode, is_storable_text
from ..settings.config import SessionConfig, TokenPolicy
from ..settings.names import TERM
from .keys import KeyRing, hmac_algorithm

__all__ = ["MAX_ID", "TokenCodec", "is_id", "read_term_end", "read_time"]

MAX_TIME = 2**53
MAX_ID = 512  # characters of a sid or jti; both reach the storage as keys

# The characters whose unused low bits are zero, by how many characters stand in the last group of four.
_CANONICAL_END = {1: b"", 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
_ABSENT = object()
_FROM_URL_SAFE = bytes.maketrans(b"-_+/=", b"+/!!!")  # the standard alphabet's own signs become no sign at all
_PADDING = (b"", b"", b"==", b"=")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class TokenCodec:
    """Signs claims and judges tokens under one configuration. Stateless and safe to share."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config
        self._hmac = hmac_algorithm(config.algorithm)
        self._header = _b64encode(encode({"alg": config.algorithm, "typ": "JWT"}))
        audience = config.audience
        self._audiences = frozenset([audience] if isinstance(audience, str) else audience or ())

    def sign(self, claims: Mapping[str, Any], keys: KeyRing) -> str:
        """The compact JWS of these claims, signed with the current secret."""
        return self.seal(encode(claims), keys)

    def verify(self, token: str, keys: KeyRing, policy: TokenPolicy, now: int) -> dict[str, Any]:
        """The claims of a token that every secret and claim check accepts. Raises a TokenError that says why not."""
        claims = self.read(self.authenticate(token, keys))
        self.check(claims, policy, now)
        return claims

    def seal(self, payload: bytes, keys: KeyRing) -> str:
        """`sign`, for a payload that is JSON already."""
        signing_input = self._header + b"." + _b64encode(payload)
        return (signing_input + b"." + self._mac(signing_input, keys.signing)).decode()

    def authenticate(self, token: str, keys: KeyRing) -> bytes:
        """The first step of `verify`: the payload of a token that one of these keys has signed, still unread."""
        if len(token) > self._config.max_token_length:
            raise TokenTooLarge(f"token of {len(token)} characters is longer than {self._config.max_token_length}")
        try:
            raw = token.encode("ascii")
        except UnicodeEncodeError:
            raise TokenMalformed("token has characters outside ASCII") from None
        signing_input, _, signature = raw.rpartition(b".")
        header, _, payload = signing_input.partition(b".")
        if not (header and payload and signature) or b"." in payload:
            raise TokenMalformed("token has not exactly three parts")
        if not self._is_signed(signing_input, signature, keys):
            raise TokenForged("token signature does not match")
        if header != self._header:
            self._check_header(_read_object(_b64decode(header, "header"), "header"))
        return _b64decode(payload, "payload")

    def read(self, payload: bytes) -> dict[str, Any]:
        """The second step of `verify`: the claims in a payload."""
        return _read_object(payload, "payload")

    def check(self, claims: Mapping[str, Any], policy: TokenPolicy, now: int) -> tuple[float, float]:
        """The last step of `verify`: raises where the claims do not hold now; else from when until when they do."""
        config, tolerance = self._config, self._config.clock_tolerance
        expires, issued, begins = read_time(claims, "exp"), read_time(claims, "iat"), read_time(claims, "nbf")
        if expires is None:
            raise TokenClaimError("token has no exp")
        term_end = read_term_end(claims)
        ends = expires + tolerance if term_end is None else min(expires + tolerance, term_end)
        if ends <= now:
            raise _expired("token has expired", claims)
        first = max(-MAX_TIME if issued is None else issued, -MAX_TIME if begins is None else begins)
        if first > now + tolerance:
            raise TokenClaimError("token is not active yet")
        if config.issuer is not None and claims.get("iss") != config.issuer:
            raise TokenClaimError("token issuer is not the configured one")
        if self._audiences and not self._audiences.intersection(_audiences_of(claims)):
            raise TokenClaimError("token audience is not a configured one")
        if config.refresh is not None:
            _check_use(claims, policy)
        sid = claims.get("sid")
        if not is_id(sid):
            raise TokenClaimError(f"token sid is not text of 1 to {MAX_ID} characters")
        if issued is None:
            first = max(first, expires - policy.alone)
        if term_end is None and expires - (now if issued is None else issued) > policy.alone + tolerance:
            raise self._too_long_lived(policy, claims)
        return first - tolerance, ends

    def _too_long_lived(self, policy: TokenPolicy, claims: Mapping[str, Any]) -> TokenError:
        """Last of all checks: where ``expires`` was shortened, the refresh token decides as it does at expiry."""
        reason = "token lifetime is longer than configured"
        counts_as_expired = policy.use == "access" and self._config.refresh is not None
        return _expired(reason, claims) if counts_as_expired else TokenClaimError(reason)

    def _is_signed(self, signing_input: bytes, signature: bytes, keys: KeyRing) -> bool:
        # Comparing the encoded MAC admits one spelling of the signature only.
        for key in keys.verifying:  # noqa: SIM110 - any() makes a generator, which every request would pay for
            if hmac.compare_digest(self._mac(signing_input, key), signature):
                return True
        return False

    def _mac(self, signing_input: bytes, key: bytes) -> bytes:
        return _b64encode(self._hmac.sign(signing_input, key))

    def _check_header(self, header: dict[str, Any]) -> None:
        if header.get("alg") != self._config.algorithm:
            raise TokenClaimError("token algorithm is not the configured one")
        if header.get("typ") not in (None, "", "JWT"):
            raise TokenClaimError("token type is not JWT")
        if "crit" in header or "b64" in header:
            raise TokenClaimError("token header has extensions that are not understood")


def is_id(value: object) -> TypeGuard[str]:
    """Whether this can be the sid of a session or the jti of a token that is issued: a key of every storage."""
    return is_storable_text(value) and 0 < len(value) <= MAX_ID


def _expired(reason: str, claims: Mapping[str, Any]) -> TokenExpired:
    """The fault, which knows whose session that was: a logout ends it all the same."""
    fault = TokenExpired(reason)
    if is_id(sid := claims.get("sid")):
        fault.sid = sid
    return fault


def _check_use(claims: Mapping[str, Any], policy: TokenPolicy) -> None:
    use = claims.get("token_use")
    if use != policy.use and not (policy.use == "access" and "token_use" not in claims):
        raise TokenClaimError(f"token use is not {policy.use}")


def read_term_end(claims: Mapping[str, Any]) -> int | None:
    """The end of the login that the token itself names; None where it names none that it could have been made under."""
    term = claims.get(TERM)
    until = term.get("until") if isinstance(term, dict) else None
    return until if type(until) is int and claims["exp"] <= until < MAX_TIME else None


def read_time(claims: Mapping[str, Any], name: str) -> int | float | None:
    """A NumericDate (RFC 7519, section 2), None where there is none. Raises TokenClaimError for anything else."""
    value = claims.get(name, _ABSENT)
    if type(value) is int and -MAX_TIME < value < MAX_TIME:
        return value
    if value is _ABSENT:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MAX_TIME < value < MAX_TIME:
        raise TokenClaimError(f"token {name} is not a number of seconds")
    return value


def _audiences_of(claims: Mapping[str, Any]) -> list[str]:
    value = claims.get("aud")
    return [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]


def _read_object(data: bytes, part: str) -> dict[str, Any]:
    try:
        return decode_object(data)
    except ValueError:
        raise TokenMalformed(f"token {part} is not a strict JSON object") from None


def _b64decode(segment: bytes, part: str) -> bytes:
    """Canonical base64url alone (RFC 7515, section 2)."""
    group = len(segment) % 4
    try:
        data = a2b_base64(segment.translate(_FROM_URL_SAFE) + _PADDING[group], strict_mode=True)
    except ValueError:
        raise TokenMalformed(f"token {part} is not base64url") from None
    if group and segment[-1] not in _CANONICAL_END[group]:
        raise TokenMalformed(f"token {part} is not canonical base64url")
    return data


def _b64encode(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL_SAFE)
