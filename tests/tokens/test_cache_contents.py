"""What the cache makes of a token: the same object for everybody who brings it again, within bounds of memory."""

import gc
import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest

from aiohttp_lionrock import KeyRing, SessionConfig, TokenClaimError, TokenCodec, TokenExpired, TokenForged
from aiohttp_lionrock.jsontext import encode
from aiohttp_lionrock.tokens import cache as module
from aiohttp_lionrock.tokens.cache import TokenCache

NOW = 1_800_000_000
SECRET = "correct horse battery staple, thrice over"
CONFIG = SessionConfig(secret=SECRET, refresh_token=True)
KEYS = KeyRing(SECRET.encode(), (SECRET.encode(),))
NESTED = {"cart": [{"name": "pear", "n": 2}], "roles": ["admin"]}


class Contents:
    """What a reader makes of claims: it says how often it was asked."""

    made = 0

    def __init__(self, claims: Mapping[str, Any]) -> None:
        type(self).made += 1
        self.claims = claims


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> TokenCache[Contents]:
    monkeypatch.setattr(Contents, "made", 0)
    return TokenCache(TokenCodec(CONFIG), Contents)


def claims(**changes: Any) -> dict[str, Any]:
    return {"sid": "sid-1", "token_use": "access", "iat": NOW, "nbf": NOW, "exp": NOW + 7200} | changes


@pytest.mark.parametrize("data", [{"n": 1}, NESTED], ids=["flat", "nested"])
@pytest.mark.parametrize("signer", ["here", "elsewhere"])
def test_of_a_token_that_comes_again_everybody_is_given_what_was_made_of_it_then(
    cache: TokenCache[Contents], signer: str, data: dict[str, Any]
) -> None:
    token = (cache if signer == "here" else TokenCodec(CONFIG)).sign(claims(**data), KEYS)
    assert Contents.made == 0
    first, second = (cache.verify(token, KEYS, CONFIG.access, NOW) for _ in range(2))
    assert first.claims == second.claims == claims(**data)
    for now in (NOW, NOW + 1, NOW + 7000):
        assert cache.verify(token, KEYS, CONFIG.access, now) is second
    assert Contents.made == 2


def test_an_expired_token_is_refused_each_time_and_nothing_is_made_of_it(cache: TokenCache[Contents]) -> None:
    token = TokenCodec(CONFIG).sign(claims(**NESTED), KEYS)
    for _ in range(3):
        with pytest.raises(TokenExpired):
            cache.verify(token, KEYS, CONFIG.access, NOW + 7260)
    assert Contents.made == 0
    assert cache.verify(token, KEYS, CONFIG.access, NOW).claims == claims(**NESTED)


def test_a_token_that_expires_while_it_is_known_is_refused(cache: TokenCache[Contents]) -> None:
    token = cache.sign(claims(**NESTED), KEYS)
    for _ in range(3):
        cache.verify(token, KEYS, CONFIG.access, NOW)
    for _ in range(3):
        with pytest.raises(TokenExpired):
            cache.verify(token, KEYS, CONFIG.access, NOW + 7260)


def test_a_token_that_was_judged_for_one_ring_is_forged_for_another(cache: TokenCache[Contents]) -> None:
    token = cache.sign(claims(**NESTED), KEYS)
    stranger = KeyRing(b"x" * 40, (b"x" * 40,))
    for _ in range(4):
        assert cache.verify(token, KEYS, CONFIG.access, NOW).claims == claims(**NESTED)
        with pytest.raises(TokenForged):
            cache.verify(token, stranger, CONFIG.access, NOW)


def test_a_token_that_was_judged_for_one_use_is_refused_for_another(cache: TokenCache[Contents]) -> None:
    assert CONFIG.refresh is not None
    token = cache.sign(claims(**NESTED), KEYS)
    for _ in range(4):
        assert cache.verify(token, KEYS, CONFIG.access, NOW).claims == claims(**NESTED)
        with pytest.raises(TokenClaimError):
            cache.verify(token, KEYS, CONFIG.refresh, NOW)


def test_a_reader_that_fails_leaves_a_token_that_can_be_read_again() -> None:
    answers: list[Any] = ["good", KeyError("broken"), "better"]

    def read(claims: Mapping[str, Any]) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    cache = TokenCache(TokenCodec(CONFIG), read)
    token = cache.sign(claims(), KEYS)
    assert cache.verify(token, KEYS, CONFIG.access, NOW) == "good"
    with pytest.raises(KeyError):
        cache.verify(token, KEYS, CONFIG.access, NOW)
    assert [cache.verify(token, KEYS, CONFIG.access, NOW) for _ in range(2)] == ["better", "better"]


PAIRS = [f"{a}{b}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
HEAVY: dict[str, Any] = {
    "small objects": [{"a": n} for n in range(300)],
    "objects of their own names": [{name: name} for name in PAIRS[:180]],
    "empty objects": [{} for _ in range(950)],
    "empty lists": [[] for _ in range(950)],
    "lists of one": [[name] for name in PAIRS[:300]],
    "short texts": PAIRS[:550],
    "one object": {name: name * 2 for name in PAIRS[:230]},
    "one text": "x" * 2800,
    "little": 1,
    "as dear as a small token can be": [{name: name} for name in PAIRS[:30]],
}


@pytest.mark.parametrize("kind", HEAVY)
def test_no_shape_of_session_makes_the_cache_take_more_than_its_bound(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", module.MAX_TOKENS // 8)
    monkeypatch.setattr(module, "MAX_MEMORY", module.MAX_MEMORY // 8)
    codec = TokenCodec(CONFIG)
    body = {**claims(), "data": HEAVY[kind]}
    cache = TokenCache(codec, lambda claims: (claims, encode(claims)))
    gc.collect()
    tracemalloc.start()
    for n in range(module.MAX_TOKENS + 20):
        token = codec.sign({**body, "n": n}, KEYS)
        assert len(token) <= module.MAX_LENGTH
        for _ in range(2):
            cache.verify(token, KEYS, CONFIG.access, NOW)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < module.MAX_MEMORY
    assert len(cache._known) == module.MAX_TOKENS or taken > module.MAX_MEMORY / 5
    assert json.loads(encode(body)) == body


def test_the_memory_of_tokens_that_left_is_free_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TokenCache(TokenCodec(CONFIG), Contents)
    monkeypatch.setattr(module, "MAX_MEMORY", 10_000)
    monkeypatch.setattr(module, "SMALL", 0)
    for n in range(50):
        token = cache.sign(claims(n=n), KEYS)
        for _ in range(2):
            cache.verify(token, KEYS, CONFIG.access, NOW)
        cache.verify(token, KeyRing(b"x" * 40, KEYS.verifying), CONFIG.access, NOW)
        cache.sign(claims(n=n), KEYS)
        assert cache._memory == sum(known.weight for known in cache._known.values()) <= 10_000
    assert 1 < len(cache._known) < 10
