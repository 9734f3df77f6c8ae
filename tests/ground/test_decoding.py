"""The short ways of reading JSON: a flat object without a look at each name, and what was written here."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_lionrock.jsontext import decode_object, decode_own, encode

deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=500)

TEXTS = st.text(st.sampled_from('a:{}[]," \\/\u00e9'), max_size=4)
SPACES = st.sampled_from(["", " ", "\n", "\t "])


def reference(text: str) -> object:
    """What a decoder makes of a text that looks at every name, or ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    value, end = json.JSONDecoder(object_pairs_hook=unique).raw_decode(text)
    if not isinstance(value, dict) or end != len(text):
        raise ValueError
    return value


def outcome(read: Any, argument: object) -> object:
    try:
        return read(argument)
    except ValueError:
        return ValueError


@deterministic
@given(st.lists(st.tuples(TEXTS, SPACES, SPACES, TEXTS | st.integers() | st.just({})), max_size=4))
def test_names_that_come_twice_are_found_however_the_object_is_written(
    pairs: list[tuple[str, str, str, object]],
) -> None:
    parts = [f"{json.dumps(name)}{a}:{b}{json.dumps(value, ensure_ascii=False)}" for name, a, b, value in pairs]
    text = "{" + ",".join(parts) + "}"
    assert outcome(decode_object, text.encode()) == outcome(reference, text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a" :1,"a" :2}',
        '{"a":1,"\\u0061":2}',
        '{"a":1,"a":":"}',
        '{"a":{"b":1,"b":2}}',
        '{"a":"{","b":1,"b":2}',
        '["{"]',
        '"{"',
        '{"a":1}{',
        '{"a":1} ',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e400}',
        '{"a":"\\ud800"}',
        "{",
        '{"a"',
        '{"a":}',
    ],
)
def test_what_is_not_one_strict_object_is_refused_on_the_short_way_too(text: str) -> None:
    assert outcome(decode_object, text.encode()) is ValueError


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@deterministic
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, max_size=4))
def test_what_was_written_here_is_read_as_the_strict_way_reads_it(data: dict[str, Any]) -> None:
    try:
        written = encode(data)
    except ValueError:
        return  # a lone surrogate, which is written nowhere
    assert repr(decode_own(written)) == repr(decode_object(written)) == repr(data)
