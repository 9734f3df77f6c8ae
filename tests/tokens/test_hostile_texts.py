"""Hostile sizes, and anything at all in the place of a token: refused or read, never an error."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.forgery import HUGE, NAME, REFRESH, Refuse, Untouchable, claims, forge, manager_with, to_bytes

from aiohttp_lionrock import TokenMalformed, TokenTooLarge

deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=150)


# ---- Size


class Trap(str):
    """Text that must not be decoded: looking at more than its length fails the test."""

    __slots__ = ()

    def encode(self, *args: Any) -> bytes:
        raise AssertionError("a token that is too long was decoded")

    partition = rpartition = split = rsplit = encode  # type: ignore[assignment]


@pytest.mark.parametrize(("length", "limit"), [(4097, None), (HUGE, None), (101, 100), (2, 1)])
async def test_size_is_judged_before_anything_is_decoded(length: int, limit: int | None) -> None:
    manager = manager_with(Untouchable(), **({"max_token_length": limit} if limit else {}))
    session = await manager.load({NAME: Trap("x" * length)})
    assert type(session.rejected) is TokenTooLarge
    assert session.rejected.code == "JWT_TOO_LARGE"


async def test_a_good_token_longer_than_the_limit_is_refused(refused: Refuse) -> None:
    token = forge()
    assert type(await refused(token, max_token_length=len(token) - 1)) is TokenTooLarge
    session = await manager_with(None, max_token_length=len(token)).load({NAME: token})
    assert session.rejected is None


# ---- Anything at all


@deterministic
@given(st.text(st.characters(), max_size=300))
async def test_any_text_as_a_cookie_is_refused_or_none(text: str) -> None:
    manager = manager_with(Untouchable(), refresh_token=True)
    for cookie in (NAME, REFRESH):
        session = await manager.load({cookie: text})
        assert session.is_new
        assert (session.rejected is None) == (text == "")
        assert all(change.value is None for change in await manager.save(session))


@deterministic
@given(st.binary(max_size=120), st.binary(max_size=120))
async def test_any_bytes_in_signed_segments_are_refused(header: bytes, payload: bytes) -> None:
    manager = manager_with(Untouchable())
    for token in (forge(payload, header), forge(payload), forge(header=header)):
        session = await manager.load({NAME: token})
        assert isinstance(session.rejected, TokenMalformed)


JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@deterministic
@given(st.dictionaries(st.sampled_from([*claims(), "token_use", "orig_iat", "sub", "aud", "iss"]), JSON_TEXTS))
async def test_claims_of_any_type_are_refused_or_read_without_an_error(changes: dict[str, Any]) -> None:
    token = forge(claims(**changes))
    for more in ({}, {"refresh_token": True}, {"max_lifetime": 3600.5}, {"issuer": "me", "audience": ["a", "b"]}):
        manager = manager_with(None, max_token_length=HUGE, **more)
        session = await manager.load({NAME: token})
        waits_for_refresh = "refresh_token" in more and session.is_new  # an expired access token alone is no refusal
        assert session.is_new == (session.rejected is not None) or waits_for_refresh
        await manager.save(session)


@deterministic
@given(st.data())
async def test_a_signed_payload_with_one_byte_changed_is_refused_or_read_as_it_stands(data: st.DataObject) -> None:
    text = to_bytes(claims(items=[1, {"a": "\u00e9"}], flag=True))
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.binary(max_size=2)) + text[at + data.draw(st.integers(0, 2)) :]
    session = await manager_with(None).load({NAME: forge(payload=changed)})
    if session.rejected is None:
        read = json.loads(changed.decode("utf-8"))
        assert dict(session) == {name: value for name, value in read.items() if name in session}
