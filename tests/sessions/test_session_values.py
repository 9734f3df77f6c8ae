"""Data comes back unchanged, or is refused by name at the line that stores it."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sessions import NAME, OWN, RESERVED, cookies_of, manager_with, refusal, same, stored

from aiohttp_lionrock import ReservedName, Session, SessionDataError

deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=150)


# ---- Names


@pytest.mark.parametrize("name", RESERVED + OWN)
def test_a_name_of_the_token_itself_is_refused_at_the_line_that_stores_it(name: str) -> None:
    session = Session({"user": "ada"})
    attempts: list[Callable[[], Any]] = [
        lambda: session.__setitem__(name, 1),
        lambda: session.setdefault(name, 1),
        lambda: session.update({name: 1}),
        lambda: Session({name: 1}),
    ]
    for attempt in attempts:
        with pytest.raises(ReservedName, match=name) as caught:
            attempt()
        assert caught.value.key == name
    assert session == {"user": "ada"}


@pytest.mark.parametrize(
    "name", ["Exp", "EXP", " exp", "exp ", "sub", "nonce", "alg", "__class__", "__proto__", "constructor"]
)
async def test_any_other_name_can_be_stored(name: str) -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, **{name: {"exp": 1, "sid": 2, "__proto__": {"x": 1}}}))
    assert dict(session) == {name: {"exp": 1, "sid": 2, "__proto__": {"x": 1}}}
    assert type(session) is Session


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"x", ("a",), frozenset()], ids=repr)
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    session = Session()
    with pytest.raises(SessionDataError) as caught:
        session[key] = 1
    assert caught.value.key == repr(key)
    assert type(key).__name__ in str(caught.value)
    assert not session


# ---- Values

NAUGHTY = [
    *[
        "",
        " ",
        "\t",
        "\r\n",
        "\x00",
        "\x00\x00",
        "\x01\x1f\x7f\x80\x9f",
        "\u00a0",
        "\ufeff",
        "\ufffe",
        "\uffff",
        "\U0010ffff",
    ],
    *[
        "Set-Cookie: x=y\r\nX: 1",
        "a;b",
        "a,b",
        'a"b',
        "a'b",
        "a\\b",
        "a=b",
        "%00%0d%0a",
        "; Path=/; Max-Age=0",
        "..",
        "/../etc",
    ],
    *[
        "null",
        "true",
        "undefined",
        "NaN",
        "1e400",
        "{}",
        "[]",
        '{"a":1}',
        '"quoted"',
        "\\u0000",
        "\\ud800",
        "\\",
        "\\\\",
        "\\n",
    ],
    *[
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "'; DROP TABLE x; --",
        "${7*7}",
        "{{7*7}}",
        "$(reboot)",
        "`id`",
        "%s%n%x",
    ],
    *["Zo\u00eb", "Zoe\u0308", "\u00c5", "A\u030a", "\u212b", "\ufb01", "\u0130\u0131", "\u00df", "\u03c2", "\u1e9e"],
    *[
        "\U0001f981",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f1e9\U0001f1ea",
        "1\ufe0f\u20e3",
        "\u200b\u200e\u202e",
    ],
    *[
        "\u2028\u2029",
        "\u0645\u0631\u062d\u0628\u0627",
        "\u05e9\u05dc\u05d5\u05dd",
        "\u7530\u4e2d",
        "\uff11\uff12\uff13",
    ],
    *[
        "Z\u0351\u036b\u0343",
        "\u0e33" * 20,
        "\u1680\u180e\u3000",
        "\U000e0041",
        "\ue000",
        "x" * 1000,
        "\U0001f981" * 200,
    ],
    *[
        "__proto__",
        "constructor",
        "__class__",
        "exp",
        "eyJhbGciOiJub25lIn0.e30.",
        "a.b.c",
        "CON",
        "0",
        "-0",
        "1_000",
        "0x10",
    ],
]
VALUES: list[Any] = [
    *[None, True, False, 0, -1, 1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**64, 10**30, 10**400],
    *[0.0, -0.0, 1.0, 0.1, -1.5, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, math.pi],
    *[[], {}, [[]], [{}], {"": ""}, {"a": []}, [None, True, 1, 1.0, "1"], {"b": 1, "a": 2}, {"1": 1, "01": 2}],
    *[{"exp": 1, "sid": [], "__class__": {"__init__": None}}, {"a.b": 1, "$where": 2, "\x00": 3, "\U0001f981": 4}],
]
UNSTORABLE: list[Any] = [
    *[b"x", bytearray(b"x"), {1, 2}, frozenset(), (1, 2), (), datetime.now(UTC), Decimal("1.5"), UUID(int=1), object()],
    *[
        math.nan,
        math.inf,
        -math.inf,
        1j,
        range(3),
        len,
        int,
        "\ud800",
        "x\udfff",
        10**5000,
        {1: 2},
        {None: 1},
        {("a",): 1},
    ],
]


def cycle() -> Any:
    loop: dict[str, Any] = {"a": []}
    loop["a"].append(loop)
    return loop


@pytest.mark.parametrize("value", [*VALUES, *NAUGHTY], ids=lambda value: ascii(value)[:32])
async def test_a_value_comes_back_exactly(value: Any) -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, v=value, nested={"list": [value]}))
    assert same(dict(session), {"v": value, "nested": {"list": [value]}})


@pytest.mark.parametrize("key", NAUGHTY, ids=lambda value: ascii(value)[:32])
async def test_a_key_comes_back_exactly_or_is_refused_by_name(key: str) -> None:
    manager = manager_with()
    session = await manager.load({})
    fault = refusal(session, key, 1)
    if fault is not None:
        assert key in RESERVED
        assert fault.key == key
        return
    session["nested"] = {key: 2}
    again = await manager.load(cookies_of(await manager.save(session)))
    assert dict(again) == {key: 1, "nested": {key: 2}}


@pytest.mark.parametrize("value", [*UNSTORABLE, cycle()], ids=lambda value: type(value).__name__)
def test_what_would_not_come_back_is_refused_at_the_line_that_stores_it(value: Any) -> None:
    session = Session()
    for stored_value in (value, [value], {"a": [1, {"b": value}]}):
        with pytest.raises(SessionDataError, match=r"session\['cart'\]") as caught:
            session["cart"] = stored_value
        assert caught.value.key == "cart"
    assert "cart" not in session


def test_a_key_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(SessionDataError) as caught:
        Session()["x\udcff"] = 1
    assert caught.value.key == "x\udcff"
    assert str(caught.value).isprintable()


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=12,
)


@deterministic
@given(st.dictionaries(st.text(st.characters(), max_size=8) | st.sampled_from(RESERVED + OWN), JSON_VALUES, max_size=5))
async def test_any_data_comes_back_exactly_or_is_refused_by_name(data: dict[str, Any]) -> None:
    manager = manager_with(max_token_length=10**6)
    session = await manager.load({})
    kept = {}
    for key, value in data.items():
        fault = refusal(session, key, value)
        if fault is None:
            kept[key] = value
        assert fault is None or fault.key == key
    cookies = cookies_of(await manager.save(session))
    assert set(cookies) == ({NAME} if kept else set())
    again = await manager.load(cookies)
    assert again.rejected is None
    assert same(dict(again), kept)
    assert await manager.save(again) == []


@pytest.mark.parametrize("depth", [97, 98, 99, 100, 101])
@pytest.mark.parametrize("innermost", [[], 1], ids=repr)
async def test_what_can_be_stored_can_be_read_at_every_depth(depth: int, innermost: Any) -> None:
    value = innermost
    for _ in range(depth - 1):
        value = [value]
    manager = manager_with()
    session = await manager.load({})
    session["wide"] = [[], []]
    fault = refusal(session, "deep", value)
    if fault is not None:
        assert depth > 97
        assert fault.key == "deep"
        return
    assert (await manager.load(cookies_of(await manager.save(session)))).get("deep") == value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((1, 2), "tuple is not JSON; store a list of it"),
        ({1, 2}, "set is not JSON; store a list of it"),
        (frozenset(), "frozenset is not JSON; store a list of it"),
        (MappingProxyType({}), "mappingproxy is not JSON; store a dict of it"),
        (Decimal("1.5"), "Decimal is not JSON .*; store a text form of it"),
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_refused_with_what_can_be(value: Any, said: str) -> None:
    for attempt in (value, [value], {"in": value}):
        with pytest.raises(SessionDataError, match=said):
            Session()["key"] = attempt


def test_what_was_stored_last_is_taken_out_first() -> None:
    session = Session({"first": 1, "last": 2})
    assert [session.popitem(), session.popitem()] == [("last", 2), ("first", 1)]
    with pytest.raises(KeyError, match="the session is empty"):
        session.popitem()
