"""TokenCache: a codec that does not authenticate one token again for every request that brings it."""

from collections.abc import Mapping
from typing import Any

from .config import TokenPolicy
from .jsontext import encode, is_flat
from .keys import KeyRing
from .tokens import TokenCodec

__all__ = ["TokenCache"]

# Together they bound the memory to about 16 MiB; 1,024 tokens of the usual size take 2.
MAX_TOKENS = 1024
MAX_LENGTH = 4096  # characters, whatever length is let in
MAX_CLAIMS = 32

_UNKNOWN: tuple[None, bytes] = (None, b"")


class TokenCache:
    """Signs and judges as its codec does, and keeps what stands in the tokens last signed or asked for.

    All that is kept is what a ring of keys has signed. Whenever the token comes again, its claims are judged anew,
    times included; whether its id is still honoured is not this file's business.
    """

    def __init__(self, codec: TokenCodec) -> None:
        self._codec = codec
        self._kept: dict[str, tuple[KeyRing, Mapping[str, Any] | bytes]] = {}

    def sign(self, claims: Mapping[str, Any], keys: KeyRing) -> str:
        """As `TokenCodec.sign`."""
        payload = encode(claims)
        token = self._codec.seal(payload, keys)
        self._keep(token, keys, payload, claims)
        return token

    def verify(self, token: str, keys: KeyRing, policy: TokenPolicy, now: int) -> dict[str, Any]:
        """As `TokenCodec.verify`."""
        ring, content = self._kept.get(token, _UNKNOWN)
        if ring is not keys:
            payload = self._codec.authenticate(token, keys)
            claims = self._codec.read(payload)
            self._keep(token, keys, payload, claims)
        else:
            self._kept[token] = self._kept.pop(token)  # the last one asked for is the last to go
            claims = self._codec.read(content) if isinstance(content, bytes) else dict(content)
        self._codec.check(claims, policy, now)
        return claims

    def _keep(self, token: str, keys: KeyRing, payload: bytes, claims: Mapping[str, Any]) -> None:
        if len(token) > MAX_LENGTH:
            return
        if len(self._kept) >= MAX_TOKENS:
            del self._kept[next(iter(self._kept))]
        # What may be changed in place by whom it is given to is read from the payload each time.
        is_safe = len(claims) <= MAX_CLAIMS and is_flat(claims)
        self._kept[token] = keys, dict(claims) if is_safe else payload
