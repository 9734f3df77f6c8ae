"""TokenCache: a codec that does not judge or read one token again for every request that brings it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from ..jsontext import decode_own, encode, is_flat
from ..settings.config import TokenPolicy
from .codec import TokenCodec
from .keys import KeyRing

__all__ = ["TokenCache"]

MAX_TOKENS = 1024
MAX_LENGTH = 4096  # characters, whatever length is let in
MAX_MEMORY = 16 * 1024 * 1024  # bytes, as `_weight` estimates them; 1,024 tokens of the usual size take about 3 MiB

Claims = Mapping[str, Any]
T = TypeVar("T")


class _Known(Generic[T]):
    """A token that a ring of keys has signed: how to read it until it was read, then what it holds, and when."""

    __slots__ = ("begins", "content", "ends", "keys", "policy", "unread", "weight")

    content: T

    def __init__(self, keys: KeyRing, unread: Callable[[], Claims], weight: int) -> None:
        self.keys = keys
        self.unread: Callable[[], Claims] | None = unread
        self.weight = weight
        self.policy: TokenPolicy | None = None  # the one that it was judged under
        self.begins = self.ends = 0.0


class TokenCache(Generic[T]):
    """Signs and judges as its codec does, and remembers the tokens last signed or asked for.

    ``read`` makes of a token's claims what `verify` returns: once for each token, so every caller is given the same
    object and none may change it. Times are judged anew whenever a token comes again; whether its id is still
    honoured is not this file's business.
    """

    def __init__(self, codec: TokenCodec, read: Callable[[Claims], T]) -> None:
        self._codec = codec
        self._read = read
        self._known: dict[str, _Known[T]] = {}
        self._memory = 0

    def sign(self, claims: Claims, keys: KeyRing) -> str:
        """As `TokenCodec.sign`. The claims are kept where nothing in them can change, so leave them as they are."""
        return self.seal(encode(claims), keys, claims if is_flat(claims) else None)

    def seal(self, payload: bytes, keys: KeyRing, flat: Claims | None = None) -> str:
        """Signs a payload that `jsontext.encode` or `joined` made; ``flat`` are its claims, kept in its place."""
        token = self._codec.seal(payload, keys)
        unread = partial(decode_own, payload) if flat is None else lambda: flat
        self._keep(token, _Known(keys, unread, _weight(payload)))
        return token

    def verify(self, token: str, keys: KeyRing, policy: TokenPolicy, now: int) -> T:
        """What ``read`` makes of the claims of a token that `TokenCodec.verify` accepts. Raises as that does."""
        known = self._known.pop(token, None)
        if known is not None:
            self._known[token] = known  # the last one asked for is the last to go
            if known.keys is keys and known.policy is policy and known.begins <= now < known.ends:
                return known.content
        return self._judge(token, known, keys, policy, now)

    def _judge(self, token: str, known: _Known[T] | None, keys: KeyRing, policy: TokenPolicy, now: int) -> T:
        if known is None or known.unread is None or known.keys is not keys:
            payload = self._codec.authenticate(token, keys)
            known = _Known(keys, partial(self._codec.read, payload), _weight(payload))
            self._keep(token, known)
        assert known.unread is not None
        claims = known.unread()
        begins, ends = self._codec.check(claims, policy, now)
        known.content = self._read(claims)
        known.policy, known.begins, known.ends, known.unread = policy, begins, ends, None
        return known.content

    def _keep(self, token: str, known: _Known[T]) -> None:
        if len(token) > MAX_LENGTH:
            return
        self._drop(token)
        self._known[token] = known
        self._memory += known.weight
        while len(self._known) > MAX_TOKENS or self._memory > MAX_MEMORY:
            self._drop(next(iter(self._known)))

    def _drop(self, token: str) -> None:
        if token in self._known:
            self._memory -= self._known.pop(token).weight


def _weight(payload: bytes) -> int:
    """About how many bytes a token with this payload takes, read and unread: a dict is dearest, then a name."""
    parts = payload.count(b",") + payload.count(b":") + 2 * payload.count(b"[") + 3 * payload.count(b"{")
    return 1000 + 4 * len(payload) + 65 * parts
