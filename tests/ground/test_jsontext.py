"""JSON as tokens carry it: what may be stored comes back as it was, and what may not is named."""

import json
import math
from collections import OrderedDict, defaultdict, namedtuple
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_lionrock import jsontext
from aiohttp_lionrock.jsontext import MAX_DEPTH, decode_object, encode, explain_unstorable

deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=200)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested_lists(depth: int, innermost: Any) -> Any:
    """A value of this depth: a plain value has the depth 1, ``[]`` too."""
    value = innermost
    for _ in range(depth - 1):
        value = [value]
    return value


def same(one: object, other: object) -> bool:
    """Equal in type at every depth, where 1 is neither True nor 1.0 and -0.0 is not 0.0."""
    return repr(one) == repr(other)


def comes_back(value: object) -> bool:
    return same(decode_object(encode({"v": value}))["v"], value)


# ---- What can be stored


@deterministic
@given(JSON_VALUES)
def test_every_json_value_can_be_stored_and_comes_back_the_same(value: Any) -> None:
    assert explain_unstorable(value) is None
    assert comes_back(value)


@deterministic
@given(JSON_VALUES)
def test_what_is_written_is_what_the_standard_encoder_writes(value: Any) -> None:
    assert encode(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def refuse_all(*arguments: Any) -> Any:
    raise TypeError("make_encoder() takes other arguments")


@pytest.mark.parametrize("make", [None, refuse_all], ids=["no C encoder", "another Python's C encoder"])
def test_without_the_c_encoder_that_we_know_the_standard_one_writes(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(json.encoder, "c_make_encoder", make)
        make_parts = jsontext._prepared(jsontext._ENCODER)
    monkeypatch.setattr(jsontext, "_parts", make_parts)
    assert encode({"é": [1.5, None, True]}) == '{"é":[1.5,null,true]}'.encode()


def test_the_c_encoder_is_made_once_on_every_python_that_is_tested() -> None:
    assert type(jsontext._parts).__name__ == "Encoder"


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), {1, 2}, b"x", {("a",): 1}, "\ud800"])
def test_what_is_no_json_is_not_written(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode({"v": value})


def test_a_value_that_contains_itself_is_not_written() -> None:
    ring: list[object] = []
    ring.append({"v": ring})
    with pytest.raises((ValueError, RecursionError)):
        encode(ring)


@deterministic
@given(st.dictionaries(st.text(st.characters(), max_size=5), st.text(st.characters(), max_size=5), max_size=3))
def test_text_comes_back_the_same_or_is_explained(value: dict[str, str]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        assert "lone surrogate" in str(explain_unstorable(value))
    else:
        assert explain_unstorable(value) is None
        assert comes_back(value)


NUMBERS = [0, -1, 2**53, 2**53 + 1, -(2**63), 10**400, 0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, 1e22, 1.0, 100.0]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: repr(number)[:24])
def test_a_number_keeps_its_value_and_its_type(number: float) -> None:
    assert explain_unstorable(number) is None
    assert comes_back(number)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize("value", [Colour.RED, Level.LOW, OrderedDict(b=1, a=2), defaultdict(list, a=[1])], ids=repr)
def test_a_subclass_of_a_json_type_comes_back_as_its_equal(value: Any) -> None:
    assert explain_unstorable(value) is None
    assert decode_object(encode({"v": value}))["v"] == value


def test_the_order_of_names_is_kept() -> None:
    assert list(decode_object(encode({"b": 1, "a": 2, "\u00e9": 3, "": 4}))) == ["b", "a", "\u00e9", ""]


# ---- What cannot


class Colourless(Enum):
    NONE = None


UNSTORABLE: list[tuple[Any, str]] = [
    *[(value, type(value).__name__) for value in (b"x", bytearray(b"x"), {1}, frozenset(), (1, 2), (), Point(1, 2))],
    *[(value, type(value).__name__) for value in (datetime.now(UTC), date(2027, 1, 1), Decimal(1), Fraction(1, 2), 1j)],
    *[
        (value, type(value).__name__)
        for value in (UUID(int=1), PurePosixPath("/"), object(), Colourless.NONE, range(3))
    ],
    *[
        (value, type(value).__name__)
        for value in (len, lambda: 1, Exception("x"), iter([]), {}.keys(), memoryview(b""))
    ],
    (int, "type"),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "Infinity"),
    ("\ud800", "lone surrogate"),
    ("x\udfffx", "lone surrogate"),
    ("\udc00\ud800", "lone surrogate"),
    (10**5000, "digits"),
    (-(10**5000), "digits"),
    ({1: 2}, "int"),
    ({None: 2}, "NoneType"),
    ({"a": 1, None: 2}, "NoneType"),
    ({True: 2}, "bool"),
    ({1.5: 2}, "float"),
    ({("a",): 2}, "tuple"),
    ({"\ud800": 1}, "lone surrogate"),
]


@pytest.mark.parametrize(("value", "why"), UNSTORABLE, ids=lambda value: repr(type(value)))
def test_what_would_not_come_back_is_explained_at_any_depth(value: Any, why: str) -> None:
    for holder in (value, [value], {"a": value}, [{"a": [1, value]}], {"a": {"b": [[value]]}}):
        assert why in str(explain_unstorable(holder))


def test_a_structure_that_contains_itself_is_explained() -> None:
    loop: list[Any] = []
    loop.append(loop)
    knot: dict[str, Any] = {}
    knot["a"] = [{"b": knot}]
    for value in (loop, knot, [loop, loop], {"x": knot}):
        assert "contains itself" in str(explain_unstorable(value))


def test_a_structure_that_grows_without_end_is_explained_at_once() -> None:
    bomb: Any = "x"
    for _ in range(90):
        bomb = [bomb, bomb]
    assert "too many parts" in str(explain_unstorable(bomb))


def test_the_same_part_in_two_places_is_no_cycle() -> None:
    part = [1, {"a": 2}]
    value = {"x": part, "y": [part, part]}
    assert explain_unstorable(value) is None
    assert comes_back(value)


@pytest.mark.parametrize("depth", [1, 2, 50, *range(MAX_DEPTH - 4, MAX_DEPTH + 4), 5000])
@pytest.mark.parametrize("innermost", [[], {}, 1, "x", [1]], ids=repr)
def test_what_is_accepted_at_writing_is_accepted_at_reading_at_every_depth(depth: int, innermost: Any) -> None:
    value = nested_lists(depth, innermost)
    if explain_unstorable(value) is not None:
        assert depth > MAX_DEPTH - 4
        return
    assert depth <= MAX_DEPTH
    assert decode_object(encode({"v": value, "beside": [[], [], {}]}))["v"] == value


def test_a_walk_leaves_the_value_as_it_is() -> None:
    value = {"a": [1, {"b": []}]}
    explain_unstorable(value)
    assert value == {"a": [1, {"b": []}]}


# ---- Reading


@deterministic
@given(
    st.binary(max_size=60)
    | st.text(st.sampled_from('{}[]":,\\u0dD8 \n1e+-.NaInfity\x00\ufeff'), max_size=40).map(str.encode)
)
def test_reading_raises_value_error_and_nothing_else(data: bytes) -> None:
    try:
        value = decode_object(data)
    except ValueError:
        return
    assert value == json.loads(data)
    assert json.loads(encode(value)) == value


@deterministic
@given(JSON_VALUES.filter(lambda value: not isinstance(value, dict)))
def test_only_objects_are_read(value: Any) -> None:
    with pytest.raises(ValueError, match="object"):
        decode_object(encode(value))


@pytest.mark.parametrize(
    "coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
def test_only_plain_utf_8_is_read(coding: str) -> None:
    assert json.loads('{"a": 1}'.encode(coding)) == {"a": 1}
    with pytest.raises(ValueError, match=r"."):
        decode_object('{"a": 1}'.encode(coding))


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":1,"a":1}', '[0,{"b":{"":0,"":0}}]', '{"\\u0061":1,"a":1}'])
def test_a_name_that_stands_twice_is_refused_at_any_depth(text: str) -> None:
    json.loads(text)
    with pytest.raises(ValueError, match="duplicate"):
        decode_object(f'{{"x":{text}}}'.encode())


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e400", "-1e400", '"\\ud800"', '"\\udc00x"', "1" * 4301])
def test_what_python_alone_reads_is_refused(text: str) -> None:
    for whole in (f'{{"x":{text}}}', f'{{"x":[{{"y":{text}}}]}}'):
        with pytest.raises(ValueError, match=r"."):
            decode_object(whole.encode())


def test_writing_is_compact_and_escapes_no_letters() -> None:
    assert (
        encode({"a": ["\u00e9\U0001f981", 1, None, {"b": True}]})
        == '{"a":["\u00e9\U0001f981",1,null,{"b":true}]}'.encode()
    )


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, "\ud800", b"x", {1}, 10**5000], ids=lambda value: repr(type(value))
)
def test_writing_what_is_no_json_raises_type_error_or_value_error(value: Any) -> None:
    for holder in (value, [value], {"a": [value]}):
        with pytest.raises((TypeError, ValueError)):
            encode(holder)


def test_a_class_of_another_module_is_named_with_it() -> None:
    flag = type("bool", (), {"__module__": "numpy"})()
    assert explain_unstorable(flag) is not None
    assert str(explain_unstorable(flag)).startswith("numpy.bool is not JSON")
