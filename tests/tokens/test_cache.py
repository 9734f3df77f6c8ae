"""The cache saves work and nothing else: what it answers is what the codec answers, at that time, to those keys."""

import enum
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_lionrock import (
    JtiEvent,
    KeyRing,
    MemoryStorage,
    SessionConfig,
    SessionManager,
    TokenClaimError,
    TokenCodec,
    TokenError,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    TokenRevoked,
)
from aiohttp_lionrock.testing import FakeClock
from aiohttp_lionrock.tokens import cache as module
from aiohttp_lionrock.tokens.cache import TokenCache

NOW = 1_800_000_000
SECRET = "correct horse battery staple, thrice over"
OTHER_SECRET = "another customer's secret, as long as needed"
NAME = "lionrock-session"
CONFIG = SessionConfig(secret=SECRET, refresh_token=True)


class CountingCodec(TokenCodec):
    """Counts the tokens whose MAC is computed to judge them."""

    def __init__(self, config: SessionConfig = CONFIG) -> None:
        super().__init__(config)
        self.judged = 0

    def authenticate(self, token: str, keys: KeyRing) -> bytes:
        self.judged += 1
        return super().authenticate(token, keys)


def ring(secret: str = SECRET) -> KeyRing:
    return KeyRing(secret.encode(), (secret.encode(),))


KEYS = ring()


def claims(**changes: Any) -> dict[str, Any]:
    good = {"id": None, "sid": "sid-1", "creator": "SessionJWT", "user": "ada", "token_use": "access"}
    return good | {"iat": NOW, "nbf": NOW, "exp": NOW + 7200} | changes


@pytest.fixture
def codec() -> CountingCodec:
    return CountingCodec()


@pytest.fixture
def cache(codec: CountingCodec) -> TokenCache:
    return TokenCache(codec)


@pytest.mark.parametrize("data", [{"cart": 7}, {"cart": [1, {"n": 2}]}], ids=["flat", "nested"])
def test_a_token_is_authenticated_once_and_one_of_our_own_never(
    codec: CountingCodec, cache: TokenCache, data: dict[str, Any]
) -> None:
    theirs = TokenCodec(CONFIG).sign(claims(**data), KEYS)
    for _ in range(3):
        assert cache.verify(theirs, KEYS, CONFIG.access, NOW) == claims(**data)
    assert codec.judged == 1
    ours = cache.sign(claims(**data, own=True), KEYS)
    assert cache.verify(ours, KEYS, CONFIG.access, NOW) == claims(**data, own=True)
    assert codec.judged == 1


def test_a_token_that_is_kept_expires_at_its_time(cache: TokenCache) -> None:
    begin, end = NOW - int(CONFIG.clock_tolerance), NOW + 7200 + int(CONFIG.clock_tolerance)
    token = cache.sign(claims(), KEYS)
    for _ in range(2):
        for now in (begin, NOW, end - 1):
            assert cache.verify(token, KEYS, CONFIG.access, now)
        with pytest.raises(TokenExpired):
            cache.verify(token, KEYS, CONFIG.access, end)
        with pytest.raises(TokenClaimError):
            cache.verify(token, KEYS, CONFIG.access, begin - 1)


times = st.none() | st.integers(NOW - 9000, NOW + 9000) | st.integers(-18_000, 18_000).map(lambda half: NOW + half / 2)


@settings(derandomize=True, database=None, deadline=None, max_examples=300)
@given(times, times, times, st.lists(st.integers(NOW - 9000, NOW + 9000), min_size=2, max_size=6))
def test_at_every_time_the_cache_answers_as_the_codec_does(
    issued: float | None, begins: float | None, expires: float | None, moments: list[int]
) -> None:
    given_times = {"iat": issued, "nbf": begins, "exp": expires}
    content = claims() | given_times
    content = {name: value for name, value in content.items() if name not in given_times or value is not None}
    cache, codec = TokenCache(TokenCodec(CONFIG)), TokenCodec(CONFIG)
    token = codec.sign(content, KEYS)
    edges = [int(t) + d for t in (issued, begins, expires) if t is not None for d in (-61, -60, -59, 0, 59, 60, 61)]
    for now in [*moments, *edges]:
        assert outcome(cache, token, now) == outcome(codec, token, now)


def outcome(judge: TokenCache | TokenCodec, token: str, now: int) -> object:
    try:
        return judge.verify(token, KEYS, CONFIG.access, now)
    except TokenError as fault:
        return type(fault), str(fault)


def test_a_token_that_is_kept_is_no_token_of_another_use(cache: TokenCache) -> None:
    assert CONFIG.refresh is not None
    token = cache.sign(claims(), KEYS)
    for _ in range(2):
        with pytest.raises(TokenClaimError):
            cache.verify(token, KEYS, CONFIG.refresh, NOW)
        assert cache.verify(token, KEYS, CONFIG.access, NOW)


def test_a_token_that_is_kept_for_one_ring_is_forged_for_another(cache: TokenCache) -> None:
    token = cache.sign(claims(), KEYS)
    stranger = ring(OTHER_SECRET)
    for _ in range(2):
        with pytest.raises(TokenForged):
            cache.verify(token, stranger, CONFIG.access, NOW)
    assert cache.verify(token, KEYS, CONFIG.access, NOW) == claims()


def test_every_other_spelling_of_a_token_that_is_kept_is_refused(cache: TokenCache) -> None:
    token = cache.sign(claims(), KEYS)
    for place in range(len(token)):
        other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises((TokenForged, TokenMalformed)):
            cache.verify(other, KEYS, CONFIG.access, NOW)
    for other in (f"{token} ", f" {token}", f"{token}=", f"{token}\n", token.swapcase(), token[:-1]):
        with pytest.raises((TokenForged, TokenMalformed)):
            cache.verify(other, KEYS, CONFIG.access, NOW)


def test_what_is_done_to_parts_of_the_claims_stays_with_whoever_does_it(cache: TokenCache) -> None:
    given_in = claims(cart=[1, {"n": 2}])
    token = cache.sign(given_in, KEYS)
    for _ in range(3):
        given_out = cache.verify(token, KEYS, CONFIG.access, NOW)
        assert given_out == claims(cart=[1, {"n": 2}])
        for each in (given_in, given_out):
            each["cart"][1]["n"] = 99
            each["cart"].append("more")


@pytest.mark.parametrize("callback", ["persist", "verify"])
async def test_what_a_callback_does_to_its_payload_stays_with_the_callback(callback: str) -> None:
    def spoil(event: JtiEvent) -> bool:
        assert isinstance(event.payload, dict)
        event.payload.update(user="mallory", sid="stolen")
        return True

    manager = SessionManager(SessionConfig(secret=SECRET, jti={"token_use": "both", callback: spoil}), environ={})
    session = await manager.load({})
    session["user"] = "ada"
    (change,) = await manager.save(session)
    for _ in range(3):
        again = await manager.load({NAME: change.value or ""})
        assert (again.get("user"), again.sid) == ("ada", session.sid)


def test_only_so_many_tokens_are_kept_and_the_one_not_asked_for_the_longest_goes_first(
    codec: CountingCodec, cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 3)
    first, second, third = (cache.sign(claims(n=n), KEYS) for n in range(3))
    cache.verify(first, KEYS, CONFIG.access, NOW)
    fourth = cache.sign(claims(n=3), KEYS)
    for token in (first, third, fourth):
        cache.verify(token, KEYS, CONFIG.access, NOW)
    assert codec.judged == 0
    cache.verify(second, KEYS, CONFIG.access, NOW)
    assert codec.judged == 1
    assert len(cache._known) == 3


def test_a_token_longer_than_a_cookie_is_judged_anew_each_time() -> None:
    codec = CountingCodec(SessionConfig(secret=SECRET, max_token_length=100_000))
    cache = TokenCache(codec)
    token = cache.sign(claims(text="x" * module.MAX_LENGTH), KEYS)
    for _ in range(2):
        cache.verify(token, KEYS, CONFIG.access, NOW)
    assert codec.judged == 2
    assert not cache._known


def test_a_token_of_many_claims_is_kept_as_its_payload(codec: CountingCodec, cache: TokenCache) -> None:
    many = {f"k{n}": n for n in range(module.MAX_CLAIMS)}
    token = cache.sign(claims(**many), KEYS)
    for _ in range(2):
        assert cache.verify(token, KEYS, CONFIG.access, NOW) == claims(**many)
    assert codec.judged == 0
    assert cache._known[token].claims is None


def test_a_token_that_comes_again_is_read_twice_and_no_more(cache: TokenCache) -> None:
    theirs = TokenCodec(CONFIG).sign(claims(), KEYS)
    kept = []
    for _ in range(3):
        assert cache.verify(theirs, KEYS, CONFIG.access, NOW) == claims()
        kept.append(cache._known[theirs].claims)
    assert kept == [None, claims(), claims()]
    assert kept[2] is kept[1]


def test_a_forgery_is_never_kept(cache: TokenCache) -> None:
    for forgery in (TokenCodec(CONFIG).sign(claims(), ring(OTHER_SECRET)), "a.b.c", "", "é" * 9):
        for _ in range(2):
            with pytest.raises(TokenError):
                cache.verify(forgery, KEYS, CONFIG.access, NOW)
    assert not cache._known


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_values, max_size=6))
def test_claims_come_out_of_the_cache_as_they_come_out_of_the_token(data: Mapping[str, Any]) -> None:
    cache, content = TokenCache(TokenCodec(CONFIG)), claims(**{f"x{name}": value for name, value in data.items()})
    token = cache.sign(content, KEYS)
    read = TokenCodec(CONFIG).verify(token, KEYS, CONFIG.access, NOW)
    assert repr(cache.verify(token, KEYS, CONFIG.access, NOW)) == repr(read)


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"{}", b'{"a":1,"a":2}', b'{"exp":NaN}', b"\xff", b'{"exp":1e999}', b"[" * 5000, b'{"sid":"\\ud800"}'],
)
def test_a_signed_payload_that_is_refused_once_is_refused_ever_after(cache: TokenCache, payload: bytes) -> None:
    token = TokenCodec(CONFIG).seal(payload, KEYS)
    with pytest.raises(TokenError) as first:
        cache.verify(token, KEYS, CONFIG.access, NOW)
    with pytest.raises(type(first.value)):
        cache.verify(token, KEYS, CONFIG.access, NOW)


async def test_a_session_that_was_revoked_is_refused_though_its_token_is_kept() -> None:
    clock = FakeClock(NOW)
    manager = SessionManager(CONFIG, MemoryStorage(clock=clock), clock=clock, environ={})
    session = await manager.load({})
    session["user"] = "ada"
    cookies = {change.name: change.value or "" for change in await manager.save(session)}
    assert (await manager.load(cookies))["user"] == "ada"
    await manager.revoke(session.sid)
    assert isinstance((await manager.load(cookies)).rejected, TokenRevoked)


async def test_a_key_that_is_more_than_text_comes_back_as_text() -> None:
    class Key(enum.StrEnum):
        USER = "user"

    manager = SessionManager(SessionConfig(secret=SECRET), environ={})
    session = await manager.load({})
    session[Key.USER] = "ada"
    assert [type(key) for key in session] == [str]
    (change,) = await manager.save(session)
    assert change.value is not None
    again = await manager.load({NAME: change.value})
    assert [(type(key), key) for key in again] == [(str, "user")]
