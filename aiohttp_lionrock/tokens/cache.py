"""TokenCache: a codec that does not judge one token again for every request that brings it."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from ..jsontext import encode, is_flat
from ..settings.config import TokenPolicy
from .codec import TokenCodec
from .keys import KeyRing

__all__ = ["TokenCache"]

# Together they bound the memory to about 16 MiB; 1,024 tokens of the usual size take 2.
MAX_TOKENS = 1024
MAX_LENGTH = 4096  # characters, whatever length is let in
MAX_CLAIMS = 32

Claims = Mapping[str, Any]
T = TypeVar("T")


class _Known:
    """What is known of a token: who signed it, what it says, and as which and from when until when it holds."""

    __slots__ = ("begins", "claims", "ends", "keys", "payload", "policy")

    def __init__(self, keys: KeyRing, payload: bytes) -> None:
        self.keys = keys
        self.payload = payload
        self.claims: Claims | None = None
        self.policy: TokenPolicy | None = None
        self.begins = self.ends = 0.0

    def keep(self, claims: Claims) -> None:
        """Keeps the claims in place of the payload: few, and with no part that whoever is given them could change."""
        if len(claims) <= MAX_CLAIMS and is_flat(claims):
            self.claims = claims
            self.payload = b""


class TokenCache(Generic[T]):
    """Signs and judges as its codec does, and remembers the tokens last signed or asked for.

    All that is kept is what a ring of keys has signed. Whenever the token comes again, its times are judged anew;
    whether its id is still honoured is not this file's business. The claims that go in or come out are for reading.
    """

    def __init__(self, codec: TokenCodec, read: Callable[[Claims], T]) -> None:
        self._codec = codec
        self._read = read
        self._known: dict[str, _Known] = {}

    def sign(self, claims: Claims, keys: KeyRing) -> str:
        """As `TokenCodec.sign`."""
        payload = encode(claims)
        token = self._codec.seal(payload, keys)
        known = _Known(keys, payload)
        known.keep(claims)
        self._keep(token, known)
        return token

    def verify(self, token: str, keys: KeyRing, policy: TokenPolicy, now: int) -> T:
        """As `TokenCodec.verify`."""
        known = self._known.pop(token, None)
        if known is not None and known.keys is keys:
            self._known[token] = known  # the last one asked for is the last to go
            claims = self._read_again(known) if known.claims is None else known.claims
        else:
            payload = self._codec.authenticate(token, keys)
            claims = self._codec.read(payload)
            known = _Known(keys, payload)
            self._keep(token, known)
        if known.policy is not policy or not known.begins <= now < known.ends:
            known.begins, known.ends = self._codec.check(claims, policy, now)
            known.policy = policy
        return self._read(claims)

    def _read_again(self, known: _Known) -> Claims:
        """The claims of a token that has come again, and may come many times more."""
        claims = self._codec.read(known.payload)
        known.keep(claims)
        return claims

    def _keep(self, token: str, known: _Known) -> None:
        if len(token) > MAX_LENGTH:
            return
        if len(self._known) >= MAX_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[token] = known
