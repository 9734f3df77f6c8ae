"""Options of a storage URL: types, bounds, the nearest name, every fault at once, and never a value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_lionrock.errors import ConfigError
from aiohttp_lionrock.storage import Faults, Option, UrlOptions, flag, number, one_of, text, whole

SECRET = "hunter2"
OPTIONS = {
    "table": Option(text(r"[a-z_]{1,20}", "1 to 20 letters and underscores"), "sessions"),
    "busy_timeout": Option(number(0, 60, "seconds", above=True), 1.0),
    "synchronous": Option(one_of("NORMAL", "FULL", "EXTRA"), "FULL"),
    "create_parents": Option(flag, False),
    "poolSize": Option(whole(1, 100), 10),
    "note": Option(str),
}
SHELF = UrlOptions("Shelf", OPTIONS)
OPEN_SHELF = UrlOptions("Shelf", OPTIONS, others=True)


def read(query: str) -> dict[str, Any]:
    """The values of a query without a fault."""
    faults = Faults()
    values, others = SHELF.read(query, faults)
    faults.raise_if_any()
    assert others == []
    return values


def faults_of(query: str, options: UrlOptions = SHELF) -> list[str]:
    faults = Faults()
    options.read(query, faults)
    return faults.found


@pytest.mark.parametrize("query", ["", "&", "&&"])
def test_without_options_every_default_stands(query: str) -> None:
    assert read(query) == {name: option.default for name, option in OPTIONS.items()}


def test_each_option_is_read_as_its_type() -> None:
    query = "table=my_table&busy_timeout=0.25&synchronous=extra&create_parents=TRUE&poolSize=7&note=a%20b%26c+d"
    assert read(query) == {
        "table": "my_table",
        "busy_timeout": 0.25,
        "synchronous": "EXTRA",
        "create_parents": True,
        "poolSize": 7,
        "note": "a b&c+d",
    }
    assert type(read("poolSize=7")["poolSize"]) is int
    assert type(read("busy_timeout=7")["busy_timeout"]) is float


@pytest.mark.parametrize("name", ["poolSize", "poolsize", "POOLSIZE"])
def test_a_name_is_taken_in_any_case_and_given_as_the_backend_spells_it(name: str) -> None:
    assert read(f"{name}=7")["poolSize"] == 7


@pytest.mark.parametrize("value", ["=", "a=b=c", "%C3%A9%F0%9F%A6%81", "%00", ""])
def test_a_value_is_what_follows_the_first_equals_sign_decoded(value: str) -> None:
    expected = {"%C3%A9%F0%9F%A6%81": "é🦁", "%00": "\x00"}.get(value, value)
    assert read(f"note={value}")["note"] == expected


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("table=", "table must be 1 to 20 letters and underscores"),
        (f"table={SECRET}", "table must be 1 to 20 letters and underscores"),
        ("table=a%0A", "table must be 1 to 20 letters and underscores"),
        *(
            (f"busy_timeout={value}", "busy_timeout must be a number of seconds above 0 and at most 60")
            for value in ["", "0", "0.0", "60.1", "-1", "nan", "inf", "1e1", "1_0", "٣", " 1", ".5", "5.", "9" * 5000]
        ),
        *(
            (f"poolSize={value}", "poolSize must be a whole number from 1 to 100")
            for value in ["", "0", "101", "-1", "1.0", "1_0", "0x1", "٣", "9" * 5000]
        ),
        *((f"create_parents={value}", "create_parents must be true or false") for value in ["", "1", "yes", SECRET]),
        *((f"synchronous={value}", "synchronous must be NORMAL, FULL or EXTRA") for value in ["", "OFF", SECRET]),
        ("note=50%", "note must be percent-encoded: a percent sign is written %25"),
        ("note=%zz", "note must be percent-encoded: a percent sign is written %25"),
        ("note=%FF", "note must be percent-encoded UTF-8"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(query: str, fault: str) -> None:
    assert faults_of(query) == [f"the Shelf option {fault}"]


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("busy_timeuot", "busy_timeout"),
        ("busytimeout", "busy_timeout"),
        ("Tabel", "table"),
        ("pool_size", "poolSize"),
        ("createparents", "create_parents"),
    ],
)
def test_a_misspelt_name_comes_with_the_nearest(written: str, nearest: str) -> None:
    assert faults_of(f"{written}=1") == [f"unknown Shelf option {written}; did you mean {nearest}?"]


def test_an_unknown_name_comes_with_the_known_ones() -> None:
    known = "busy_timeout, create_parents, note, poolSize, synchronous, table"
    assert faults_of("colour=1") == [f"unknown Shelf option colour; known are {known}"]
    assert UrlOptions("Shelf", {}).unknown("colour") == "unknown Shelf option colour; it has no options"


def test_the_nearest_name_may_be_one_that_another_reader_knows() -> None:
    assert OPEN_SHELF.unknown("replicaset", ["replicaSet"]) == (
        "unknown Shelf option replicaset; did you mean replicaSet?"
    )


def test_every_fault_is_found_at_once_each_of_them_once() -> None:
    found = faults_of("table=1&busy_timeout=x&colour=red&poolSize=0&poolsize=7&POOLSIZE=8&create_parents&x&y&note=%")
    assert found == [
        "the Shelf option table must be 1 to 20 letters and underscores",
        "the Shelf option busy_timeout must be a number of seconds above 0 and at most 60",
        "unknown Shelf option colour; known are busy_timeout, create_parents, note, poolSize, synchronous, table",
        "the Shelf option poolSize must be a whole number from 1 to 100",
        "the Shelf option poolSize is given twice",
        "the Shelf option create_parents has no value: write create_parents=value",
        "the options of a Shelf URL are name=value, joined by &",
        "the Shelf option note must be percent-encoded: a percent sign is written %25",
    ]
    faults = Faults()
    SHELF.read("table=1&poolSize=0", faults)
    faults.add("the Shelf URL names no host")
    with pytest.raises(ConfigError) as caught:
        faults.raise_if_any()
    assert len(caught.value.faults) == 3


def test_after_a_fault_the_default_stands() -> None:
    values, _ = SHELF.read("poolSize=0&note=%", Faults())
    assert (values["poolSize"], values["note"]) == (10, None)


def test_what_is_not_ours_is_left_for_others_as_it_was_written() -> None:
    faults = Faults()
    query = "replicaSet=rs0&poolSize=7&Tags=a:b%2C&tags=c&appName=@x@"
    values, others = OPEN_SHELF.read(query, faults)
    assert faults.found == []
    assert values["poolSize"] == 7
    assert others == [("replicaSet", "rs0"), ("Tags", "a:b%2C"), ("tags", "c"), ("appName", "@x@")]


@pytest.mark.parametrize("options", [SHELF, OPEN_SHELF], ids=["ours alone", "with others"])
@pytest.mark.parametrize(
    "query",
    [
        *[SECRET, f"{SECRET}&table=a", f"={SECRET}", f"{SECRET}=", f"ss{SECRET}@host/db?table=1", f"a b{SECRET}=1"],
        *[f"{SECRET}=x@host/db", f"x&{SECRET}=x@host", f"table={SECRET}&table={SECRET}", f"{'a' * 60}{SECRET}=1"],
        *[f"{name}={SECRET}" for name in OPTIONS if name != "note"],
        *[f"{name}=%{SECRET}" for name in OPTIONS],
    ],
)
def test_no_fault_shows_a_value_or_what_may_be_a_part_of_a_password(query: str, options: UrlOptions) -> None:
    """A password with ?, & or = in it, not percent-encoded, is in the query; an @ follows it there."""
    if query == f"{SECRET}=":
        query += "@host"  # an option's name is shown, if nothing says that it is not one
    assert SECRET not in "".join(faults_of(query, options))


@pytest.mark.parametrize("error", [ValueError("invalid literal: 'hunter2'"), ValueError()])
def test_what_another_reader_says_about_a_value_is_not_shown(error: ValueError) -> None:
    def refuse(written: str) -> None:
        raise error

    for reader in (refuse, int, float):
        faults = faults_of(f"size={SECRET}", UrlOptions("Shelf", {"size": Option(reader)}))
        assert faults == ["the Shelf option size must have another value"]


def test_a_reader_of_ones_own_says_what_the_value_must_be() -> None:
    def even(written: str) -> int:
        if int(written) % 2:
            raise ValueError("be even")
        return int(written)

    shelf = UrlOptions("Shelf", {"size": Option(even, 2)})
    assert shelf.read("size=4", Faults()) == ({"size": 4}, [])
    assert faults_of("size=3", shelf) == ["the Shelf option size must be even"]


def test_bounds_belong_to_the_range_unless_said_otherwise() -> None:
    assert [number(0, 60)(value) for value in ("0", "60", "0.5")] == [0, 60, 0.5]
    with pytest.raises(ValueError, match="be a number of at least 0 and at most 60"):
        number(0, 60)("61")
    with pytest.raises(ValueError, match="be a whole number of milliseconds from 1 to 5"):
        whole(1, 5, "milliseconds")("6")
    assert [whole(1, 5)(value) for value in ("1", "5", "05")] == [1, 5, 5]


def test_one_of_a_single_word_reads_well() -> None:
    with pytest.raises(ValueError, match=r"^be FULL$"):
        one_of("FULL")("x")
    with pytest.raises(ValueError, match=r"^be A or B$"):
        one_of("A", "B")("x")


@given(st.text(max_size=60))
def test_any_query_ends_in_values_or_in_faults(query: str) -> None:
    for options in (SHELF, OPEN_SHELF):
        values, _ = options.read(query, Faults())
        assert values.keys() == OPTIONS.keys()
