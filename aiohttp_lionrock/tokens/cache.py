"""TokenCache: a codec that does not judge or read one token again for every request that brings it."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from ..jsontext import decode_own, encode, is_flat
from ..settings.config import TokenPolicy
from .codec import TokenCodec
from .keys import KeyRing

__all__ = ["TokenCache"]

MAX_TOKENS = 1024
MAX_LENGTH = 4096  # characters, whatever length is let in
MAX_MEMORY = 16 * 1024 * 1024  # bytes, as `_weight` estimates them; 1,024 tokens of the usual size take 3 to 5 MiB
SMALL = 512  # bytes of a payload that, whatever its shape, takes no more than its share of that

Claims = Mapping[str, Any]
T = TypeVar("T")

_ALL_BUT_MARKS = bytes(set(range(256)) - set(b",:[{"))


class _Known(Generic[T]):
    """A token that a ring of keys has signed: what it says, and once it has come again what was made of that."""

    __slots__ = ("begins", "content", "ends", "has_come", "is_own", "keys", "policy", "said", "weight")

    begins: float
    ends: float
    content: T

    def __init__(self, keys: KeyRing, said: Claims | bytes, is_own: bool, weight: int) -> None:
        self.keys = keys
        self.said = said
        self.is_own = is_own
        self.weight = weight
        self.policy: TokenPolicy | None = None  # the one that it was judged under; what else was found is set with it
        self.has_come = False


class TokenCache(Generic[T]):
    """Signs and judges as its codec does, and remembers the tokens last signed or asked for.

    ``read`` makes of a token's claims what `verify` returns. Of a token that comes again it is kept, so all are given
    the same object and none may change it; many tokens come only once, and the memory for what they hold costs more
    than to read them. Times are judged whenever a token comes; whether its id is still honoured is not judged here.
    """

    def __init__(self, codec: TokenCodec, read: Callable[[Claims], T]) -> None:
        self._codec = codec
        self._read = read
        self._known: dict[str, _Known[T]] = {}
        self._memory = 0

    def sign(self, claims: Claims, keys: KeyRing) -> str:
        """As `TokenCodec.sign`. The claims are kept where nothing in them can change, so leave them as they are."""
        payload = encode(claims)
        token = self._codec.seal(payload, keys)
        self._keep(token, _Known(keys, claims if is_flat(claims) else payload, True, _weight(payload)))
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
        if known is None or known.keys is not keys:
            payload = self._codec.authenticate(token, keys)
            known = _Known(keys, payload, False, _weight(payload))
            self._keep(token, known)
        claims = known.said
        if isinstance(claims, bytes):
            claims = decode_own(claims) if known.is_own else self._codec.read(claims)
        begins, ends = self._codec.check(claims, policy, now)
        content = self._read(claims)
        if known.has_come:
            known.content = content
            known.policy, known.begins, known.ends = policy, begins, ends
        known.has_come = True
        return content

    def _keep(self, token: str, known: _Known[T]) -> None:
        if len(token) > MAX_LENGTH:
            return
        if token not in self._known:
            self._memory += known.weight
        self._known[token] = known
        while len(self._known) > MAX_TOKENS or self._memory > MAX_MEMORY:
            oldest = self._known.pop(next(iter(self._known)))
            self._memory -= oldest.weight


def _weight(payload: bytes) -> int:
    """How many bytes a token with this payload takes at most, about: a dict is dearest, then a list, then a name."""
    if len(payload) <= SMALL:
        return MAX_MEMORY // MAX_TOKENS
    marks = payload.translate(None, _ALL_BUT_MARKS)
    return 1000 + 4 * len(payload) + 65 * (len(marks) + marks.count(b"[") + 2 * marks.count(b"{"))
