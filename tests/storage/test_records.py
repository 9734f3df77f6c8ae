"""A record refuses what some backend could not keep, cannot be changed, and packs itself into six columns."""

import dataclasses
import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_lionrock.storage import JtiRecord, is_storable_text

FIELDS: dict[str, Any] = {"sid": "sid", "version": 1, "expires_at": 1_800_000_060, "created_at": 1_800_000_000}
TEXTS = ("sid", "access_jti", "refresh_jti", "previous_jti", "subject", "successor")
NUMBERS = ("version", "expires_at", "created_at", "rotated_at", "seen_at", "until", "place")


def test_a_record_has_no_ids_no_subject_and_no_metadata_unless_given() -> None:
    record = JtiRecord(**FIELDS)
    assert dataclasses.asdict(record) == {
        **FIELDS,
        "access_jti": None,
        "refresh_jti": None,
        "previous_jti": None,
        "rotated_at": None,
        "subject": None,
        "successor": None,
        "metadata": {},
        "seen_at": None,
        "signer": None,
        "predecessor": None,
        "until": None,
        "place": None,
    }


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("text", ["a", "x" * 1024, "🦁" * 1024, " ", "\x01\x7f\ufffe", "'\"%_$.\\"])
def test_a_text_field_takes_any_text_of_up_to_1024_characters(name: str, text: str) -> None:
    assert getattr(JtiRecord(**{**FIELDS, name: text}), name) == text


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 1025, id="too long"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param("\ud800", id="high surrogate"),
        pytest.param("a\udfff", id="low surrogate"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param(7, id="number"),
        pytest.param(["a"], id="list"),
    ],
)
def test_a_text_field_refuses_what_is_not_storable_text(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"JtiRecord\.{name} must be text of at most 1024 characters"):
        JtiRecord(**{**FIELDS, name: value})


@pytest.mark.parametrize("value", ["x" * 65, "🦁" * 65, "a\x00b", "\ud800", b"bytes", 7])
def test_the_signer_is_text_of_up_to_64_characters(value: object) -> None:
    assert JtiRecord(**FIELDS, signer="🦁" * 64).signer == "🦁" * 64
    with pytest.raises(ValueError, match=r"JtiRecord\.signer must be text of at most 64 characters"):
        JtiRecord(**{**FIELDS, "signer": value})


def test_the_sid_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match=r"JtiRecord\.sid must not be empty"):
        JtiRecord(**{**FIELDS, "sid": ""})


@pytest.mark.parametrize("name", ["access_jti", "refresh_jti", "previous_jti", "subject", "successor"])
def test_the_other_text_fields_may_be_empty(name: str) -> None:
    assert getattr(JtiRecord(**{**FIELDS, name: ""}), name) == ""


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("number", [0, 1, 2**31, 2**53 - 1])
def test_a_number_field_takes_whole_numbers_that_every_backend_keeps(name: str, number: int) -> None:
    assert getattr(JtiRecord(**{**FIELDS, name: number}), name) == number


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, 2**53, 1.0, 1.5, float("nan"), True, "1", b"1"])
def test_a_number_field_refuses_all_else(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"JtiRecord\.{name} must be a whole number from 0 to 2\*\*53 - 1"):
        JtiRecord(**{**FIELDS, name: value})


@pytest.mark.parametrize("name", ["sid", "version", "expires_at", "created_at"])
def test_a_field_that_every_session_has_must_not_be_none(name: str) -> None:
    with pytest.raises(ValueError, match=rf"JtiRecord\.{name} must"):
        JtiRecord(**{**FIELDS, name: None})


@pytest.mark.parametrize(
    "metadata",
    [{}, {"": ""}, {"k": "x" * 1023}, {"k" * 1024: ""}, {"🦁": "🦁" * 255}, {chr(0x100 + n): "" for n in range(512)}],
)
def test_metadata_takes_up_to_1024_bytes_of_utf_8(metadata: dict[str, str]) -> None:
    assert JtiRecord(**FIELDS, metadata=metadata).metadata == metadata


@pytest.mark.parametrize("metadata", [{"k": "x" * 1024}, {"k" * 1025: ""}, {"🦁": "🦁" * 256}, {"a": "é" * 512}])
def test_metadata_refuses_more_than_1024_bytes(metadata: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"JtiRecord\.metadata must be at most 1024 bytes, this is 10\d\d"):
        JtiRecord(**FIELDS, metadata=metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": 1},
        {"a": None},
        {1: "a"},
        {None: "a"},
        {"a": b"b"},
        {"a": "\x00"},
        {"\x00": "a"},
        {"a": "\ud800"},
        {"\udfff": "a"},
        {"a": {"b": "c"}},
    ],
)
def test_metadata_refuses_what_is_not_storable_text(metadata: Any) -> None:
    with pytest.raises(ValueError, match=r"JtiRecord\.metadata must map text to text"):
        JtiRecord(**FIELDS, metadata=metadata)


@pytest.mark.parametrize("metadata", [None, [], "", "ab", [("a", "b")], 0, 7])
def test_metadata_refuses_what_is_not_a_mapping(metadata: Any) -> None:
    with pytest.raises(ValueError, match=r"JtiRecord\.metadata must map text to text"):
        JtiRecord(**FIELDS, metadata=metadata)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(JtiRecord)])
def test_no_field_can_be_set(name: str) -> None:
    record = JtiRecord(**FIELDS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, name, getattr(record, name))


def test_a_record_has_no_room_for_other_attributes() -> None:
    assert not hasattr(JtiRecord(**FIELDS), "__dict__")


def test_a_record_does_not_follow_later_changes_of_the_metadata_it_was_made_from() -> None:
    metadata = {"device": "phone"}
    record = JtiRecord(**FIELDS, metadata=metadata)
    metadata["device"] = "x" * 5000
    assert record.metadata == {"device": "phone"}


def test_replacing_a_field_checks_the_whole_record_again() -> None:
    with pytest.raises(ValueError, match=r"JtiRecord\.version"):
        dataclasses.replace(JtiRecord(**FIELDS), version=-1)


def test_equal_records_are_equal_and_hash_alike() -> None:
    one, two = JtiRecord(**FIELDS, metadata={"a": "b"}), JtiRecord(**FIELDS, metadata={"a": "b"})
    assert one == two
    assert hash(one) == hash(two)
    assert one != dataclasses.replace(one, metadata={"a": "c"})
    assert one != dataclasses.replace(one, version=2)


def columns_of(record: JtiRecord) -> tuple[str, int, int, int, str | None]:
    """What an engine keeps beside the packed text."""
    return record.sid, record.version, record.expires_at, record.created_at, record.subject


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=1024)
numbers = st.integers(0, 2**53 - 1)
metadata = st.dictionaries(texts, texts, max_size=5).filter(
    lambda labels: sum(len(text.encode()) for pair in labels.items() for text in pair) <= 1024
)
records = st.builds(
    JtiRecord,
    sid=texts.filter(bool),
    version=numbers,
    expires_at=numbers,
    created_at=numbers,
    access_jti=st.none() | texts,
    refresh_jti=st.none() | texts,
    previous_jti=st.none() | texts,
    rotated_at=st.none() | numbers,
    subject=st.none() | texts,
    successor=st.none() | texts,
    metadata=metadata,
    seen_at=st.none() | numbers,
    signer=st.none() | texts.map(lambda text: text[:64]),
    until=st.none() | numbers,
    place=st.none() | numbers,
)


@given(records)
def test_every_record_is_unpacked_as_it_was_packed(record: JtiRecord) -> None:
    assert JtiRecord.unpack(*columns_of(record), record.pack()) == record


@given(records)
def test_what_is_packed_is_text_that_every_engine_keeps(record: JtiRecord) -> None:
    assert is_storable_text(record.pack())
    assert json.loads(record.pack())[:1] in ([record.access_jti], [])


@given(records, texts)
def test_what_is_packed_does_not_repeat_the_columns(record: JtiRecord, other: str) -> None:
    changed = dataclasses.replace(record, sid=f"{other}!"[-1024:], version=1, expires_at=2, created_at=3, subject=other)
    assert changed.pack() == record.pack()


@given(st.text(max_size=200) | st.recursive(st.none() | numbers | texts, st.lists).map(json.dumps))
def test_any_other_text_is_a_value_error_or_a_sound_record(packed: str) -> None:
    try:
        record = JtiRecord.unpack("sid", 1, 2, 3, None, packed)
    except ValueError:
        return
    assert JtiRecord.unpack("sid", 1, 2, 3, None, record.pack()) == record


def test_the_usual_record_is_packed_small() -> None:
    record = JtiRecord(**FIELDS, access_jti="a", refresh_jti="r", subject="ann")
    assert record.pack() == '["a","r"]'
    assert JtiRecord(**FIELDS).pack() == "[]"
    assert JtiRecord(**FIELDS, successor="next", rotated_at=7).pack() == '[null,null,null,7,"next"]'
    assert JtiRecord(**FIELDS, metadata={"é": "🦁"}).pack() == '[null,null,null,null,null,{"é":"🦁"}]'


def test_the_largest_packed_record_stays_under_its_bound() -> None:
    escaped = [chr(code) for code in range(1, 32) if chr(code) not in "\b\t\n\f\r"]  # \\u00xx, six bytes of one
    keys = [*escaped, *map("".join, product(escaped, repeat=2))]
    names = [key for key in keys if sum(map(len, keys[: keys.index(key) + 1])) <= 1024]
    texts = ("access_jti", "refresh_jti", "previous_jti", "subject", "successor", "predecessor")
    ids = dict.fromkeys(texts, "\x01" * 1024)
    ends = {
        "rotated_at": 2**53 - 1,
        "seen_at": 2**53 - 1,
        "signer": "\x01" * 64,
        "until": 2**53 - 1,
        "place": 2**53 - 1,
    }
    record = JtiRecord(**FIELDS, **ids, **ends, metadata=dict.fromkeys(names, ""))
    assert 39 * 1024 < len(record.pack().encode()) <= 40 * 1024


def test_entries_of_a_later_version_are_passed_over() -> None:
    packed = '["a","r","p",7,"next",{"k":"v"},9,"s",10,11,"before","new",[1]]'
    record = JtiRecord.unpack("sid", 1, 2, 3, "ann", packed)
    assert record.pack() == '["a","r","p",7,"next",{"k":"v"},9,"s",10,11,"before"]'
    assert (record.sid, record.version, record.expires_at, record.created_at, record.subject) == ("sid", 1, 2, 3, "ann")


@pytest.mark.parametrize(
    "packed",
    [
        *["", "garbage", "{}", "null", "7", '"a"', "[", "[] ]", '["a" "b"]', "\x00", "[1]", "[true]", '["a",["b"]]'],
        *['[null,null,null,"7"]', "[null,null,null,1.0]", "[null,null,null,-1]", "[null,null,null,9007199254740992]"],
        *["[null,null,null,null,null,[]]", '[null,null,null,null,null,{"k":1}]', '["\\u0000"]', '["\\ud800"]'],
        *['["' + "x" * 1025 + '"]', "[" * 100_000, "[" + "9" * 5000 + "]", "[NaN]", "[null,null,null,Infinity]"],
    ],
    ids=lambda packed: packed[:30],
)
def test_what_was_not_packed_is_a_value_error(packed: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        JtiRecord.unpack("sid", 1, 2, 3, None, packed)


@pytest.mark.parametrize("packed", [None, 7, b"\xff", ["a"]])
def test_what_is_not_text_is_a_value_error(packed: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        JtiRecord.unpack("sid", 1, 2, 3, None, packed)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(JtiRecord)])
def test_a_column_that_is_not_sound_is_a_value_error_of_that_field(name: str) -> None:
    columns = {"sid": "sid", "version": 1, "expires_at": 2, "created_at": 3, "subject": None}
    if name in columns:
        with pytest.raises(ValueError, match=rf"JtiRecord\.{name} must be"):
            JtiRecord.unpack(*{**columns, name: -1 if name != "subject" else "\x00"}.values(), "[]")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "a", "é🦁", "\x01", "\ud7ff\ue000", "\U0010ffff"])
def test_ordinary_text_is_storable(text: str) -> None:
    assert is_storable_text(text)


@pytest.mark.parametrize("value", ["\x00", "a\x00", "\ud800", "é\udabc", "\ud83e\udd81", b"a", 1, None, ["a"]])
def test_nul_lone_surrogates_and_non_text_are_not_storable(value: object) -> None:
    assert not is_storable_text(value)
