"""A record refuses what some backend could not keep, and cannot be changed."""

import dataclasses
from typing import Any

import pytest

from aiohttp_lionrock.storage import JtiRecord, is_storable_text

FIELDS: dict[str, Any] = {"sid": "sid", "version": 1, "expires_at": 1_800_000_060, "created_at": 1_800_000_000}
TEXTS = ("sid", "access_jti", "refresh_jti", "previous_jti", "subject")
NUMBERS = ("version", "expires_at", "created_at", "rotated_at")


def test_a_record_has_no_ids_no_subject_and_no_metadata_unless_given() -> None:
    record = JtiRecord(**FIELDS)
    assert dataclasses.asdict(record) == {
        **FIELDS,
        "access_jti": None,
        "refresh_jti": None,
        "previous_jti": None,
        "rotated_at": None,
        "subject": None,
        "metadata": {},
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


def test_the_sid_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match=r"JtiRecord\.sid must not be empty"):
        JtiRecord(**{**FIELDS, "sid": ""})


@pytest.mark.parametrize("name", ["access_jti", "refresh_jti", "previous_jti", "subject"])
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
def test_metadata_refuses_what_is_no_mapping(metadata: Any) -> None:
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


@pytest.mark.parametrize("text", ["", "a", "é🦁", "\x01", "\ud7ff\ue000", "\U0010ffff"])
def test_ordinary_text_is_storable(text: str) -> None:
    assert is_storable_text(text)


@pytest.mark.parametrize("value", ["\x00", "a\x00", "\ud800", "é\udabc", "\ud83e\udd81", b"a", 1, None, ["a"]])
def test_nul_lone_surrogates_and_non_text_are_not_storable(value: object) -> None:
    assert not is_storable_text(value)
