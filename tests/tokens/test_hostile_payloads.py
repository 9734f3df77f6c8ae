"""Hostile payloads: correctly signed text that is not a JSON object in its strict form."""

import json

import pytest
from support.forgery import HUGE, NAME, Refuse, claims, forge, manager_with, to_bytes, with_member

from aiohttp_lionrock import TokenMalformed

BAD_TEXTS: dict[str, bytes] = {
    **{repr(text): text for text in (b"[]", b'"x"', b"1", b"null", b"true", b"false", b"0", b"-1", b'""', b"[{}]")},
    **{repr(text): text for text in (b"{", b"}", b"[", b"]", b'"', b",", b":", b"{{", b"{}}", b"{]", b"[}", b"{}{}")},
    **{repr(text): text for text in (b" ", b"\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xef\xbb", b"\xfe\xff", b"nul")},
    **{
        repr(text): text
        for text in (b"{} x", b"{};", b"({})", b"{}//", b"{}/**/", b"{}#", b"{}\x00", b"{},{}", b"<x/>")
    },
    **{
        repr(text): text
        for text in (b"\x80\x04}\x94.", b"\x81\xa1a\x01", b"\xa1aa\x01", b"a=1", b"a: 1", b"\xc2\xa0{}")
    },
    "good claims after a byte order mark": b"\xef\xbb\xbf" + to_bytes(claims()),
    "good claims in a list": to_bytes([claims()]),
    "good claims as text": to_bytes(json.dumps(claims())),
    "good claims twice": to_bytes(claims()) * 2,
    "good claims without their end": to_bytes(claims())[:-1],
    "good claims and NUL": to_bytes(claims()) + b"\x00",
    **{f"good claims in {name}": json.dumps(claims()).encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be")},
    **{f"good claims in {name}": json.dumps(claims()).encode(name) for name in ("utf-32", "utf-32-le", "utf-32-be")},
    "good claims in utf-7": json.dumps(claims(user="Zo\u00eb"), ensure_ascii=False)
    .encode("utf-7")
    .replace(b'"', b"+ACI-"),
    "good claims in latin-1": json.dumps(claims(user="Zo\u00eb"), ensure_ascii=False).encode("latin-1"),
}
# Members that no strict reader takes, or that two readers take differently. After the well-known kinds of
# JSON torture suites: n_ (must be refused) and i_ (may be).
BAD_NUMBERS = [
    *[b"NaN", b"-NaN", b"nan", b"Infinity", b"-Infinity", b"+Infinity", b"Inf", b"infinity", b"1e400", b"-1e400"],
    *[b"1E+400", b"123123e100000", b"-1.5e99999", b"0.4e0066999999999999999999999", b"+1", b"++1", b"+-1", b"--1"],
    *[b"01", b"-01", b"00", b"-", b"+", b"1.", b"-1.", b".5", b"-.5", b"1.e1", b"1e", b"1e+", b"1E-", b"1e1.5", b"e1"],
    *[
        b"0x1F",
        b"0o7",
        b"0b1",
        b"1_000",
        b"1,000",
        b"1 000",
        b"1f",
        b"1L",
        b"1n",
        b"1e1e1",
        b"0.1.2",
        b"- 1",
        b"\xef\xbc\x91",
    ],
    *[b"9" * 5000, b"-" + b"9" * 5000, b"1" + b"0" * 5000],
]
BAD_STRINGS = [
    *[
        b'"',
        b'"x',
        b'x"',
        b"'x'",
        b"`x`",
        b"\"x'",
        b'"\\"',
        b'"\\x41"',
        b'"\\a"',
        b'"\\0"',
        b'"\\\'"',
        b'"\\U00000041"',
    ],
    *[
        b'"\\u"',
        b'"\\u1"',
        b'"\\u12"',
        b'"\\u123"',
        b'"\\u12g4"',
        b'"\\u 123"',
        b'"\\u+123"',
        b'"\\u1_23"',
        b'"\\u-123"',
    ],
    *[
        b'"\\ud800"',
        b'"\\udfff"',
        b'"\\ud800\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud83d x"',
        b'"\\ud800\\u0061"',
        b'"\\uD83D\\"',
    ],
    *[b'"a\nb"', b'"a\rb"', b'"a\tb"', b'"\x00"', b'"\x01"', b'"\x1f"', b'"\x1b[31m"', b'"\\\n"', b'"\\\x00"'],
    *[
        b'"\xed\xa0\x80"',
        b'"\xed\xbf\xbf"',
        b'"\xed\xa0\xbd\xed\xb8\x80"',
        b'"\xc0\x80"',
        b'"\xc0\xaf"',
        b'"\xe0\x80\xaf"',
    ],
    *[b'"\xff"', b'"\xfe"', b'"\x80"', b'"\xe2\x82"', b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xe9"'],
    *[
        b"x",
        b"undefined",
        b"None",
        b"True",
        b"FALSE",
        b"nul",
        b"tru",
        b"nulll",
        b'"a""b"',
        b'"a" "b"',
        b'u"a"',
        b'b"a"',
    ],
]
BAD_STRUCTURES = [
    *[
        b"[1,]",
        b"[,1]",
        b"[,]",
        b"[1,,2]",
        b"[1 2]",
        b"[1;2]",
        b"[1",
        b"1]",
        b"[1}",
        b"[[1]",
        b"[:]",
        b"[1:2]",
        b"[*]",
        b"(1)",
    ],
    *[
        b"[1,\n1\n,1",
        b"[\x00]",
        b"[\x0b1]",
        b"[\x0c1]",
        b"[\xc2\xa01]",
        b"[\xe2\x81\xa0]",
        b"[\xef\xbb\xbf]",
        b"[...[1]]",
    ],
    *[
        b'{"a":1,}',
        b"{,}",
        b"{a:1}",
        b"{'a':1}",
        b'{"a" 1}',
        b'{"a":}',
        b'{"a"}',
        b'{"a":1 "b":2}',
        b"{1:2}",
        b"{null:1}",
    ],
    *[
        b'{"a":1',
        b'{"a":1]',
        b'{"a"::1}',
        b'{"a":1,,"b":2}',
        b"{:1}",
        b'{"a",1}',
        b'{"a":1;}',
        b"{[]:1}",
        b"{{}:1}",
        b"{true:1}",
    ],
    *[b'{"a":1,"a":2}', b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'[{"b":{"a":1,"a":1}}]', b'{"":0,"":0}'],
    *[
        b'{"__proto__":1,"__proto__":2}',
        b'[[[{"x":[{"y":1,"y":null}]}]]]',
        b'{"\\ud800":1}',
        b'{"\xed\xa0\x80":1}',
        b'{"\n":1}',
    ],
    *[
        b"// c\n1",
        b"/* c */1",
        b"1/* c */",
        b"#c\n1",
        b"1 // c",
        b"<!-- -->1",
        b"1;",
        b"",
        b" ",
        b'1,"y":',
        b'1}{"y":1',
    ],
    b"[" * 101 + b"]" * 101,
    b'{"a":' * 101 + b"1" + b"}" * 101,
    b"[" * 1000,
    b"]" * 1000,
]
DEEP: dict[str, bytes] = {
    "lists": b"[" * 110_000 + b"]" * 110_000,
    "lists that do not end": b"[" * 110_000,
    "objects": b'{"a":' * 110_000 + b"1" + b"}" * 110_000,
    "objects that do not end": b'{"a":' * 110_000,
    "lists in objects": b'[{"a":' * 55_000 + b"1" + b"}]" * 55_000,
    "an escape below": b"[" * 110_000 + b'"\\u0041"' + b"]" * 110_000,
}


@pytest.mark.parametrize("payload", BAD_TEXTS.values(), ids=BAD_TEXTS)
async def test_a_payload_that_is_no_json_object_is_refused(payload: bytes, refused: Refuse) -> None:
    assert type(await refused(forge(payload=payload))) is TokenMalformed


@pytest.mark.parametrize("member", BAD_NUMBERS + BAD_STRINGS + BAD_STRUCTURES, ids=lambda member: repr(member[:32]))
async def test_a_payload_with_one_bad_member_is_refused(member: bytes, refused: Refuse) -> None:
    assert type(await refused(forge(payload=with_member(member)), max_token_length=HUGE)) is TokenMalformed


@pytest.mark.parametrize("nested", DEEP.values(), ids=DEEP)
async def test_a_hundred_thousand_levels_are_refused_without_an_error(nested: bytes, refused: Refuse) -> None:
    for payload in (nested, with_member(nested)):
        assert type(await refused(forge(payload=payload), max_token_length=HUGE)) is TokenMalformed


async def test_a_name_that_stands_twice_is_refused_wherever_it_stands(refused: Refuse) -> None:
    for name in claims():
        twice = to_bytes(claims())[:-1] + f',"{name}":{json.dumps(claims()[name])}}}'.encode()
        assert type(await refused(forge(payload=twice))) is TokenMalformed


HARMLESS = [
    *[
        b"-0",
        b"0.0",
        b"-0.0",
        b"1e-400",
        b"1E5",
        b"1.7976931348623157e308",
        b"-5e-324",
        b"9007199254740993",
        b"9" * 4000,
    ],
    *[
        b'"\\uffff"',
        b'"\\ufeff"',
        b'"\\u0000"',
        b'"\\ud83e\\udd81"',
        b'"\xf0\x9f\xa6\x81"',
        b'"\xef\xbf\xbf"',
        b'"\\/\\b\\f"',
    ],
    *[
        b'"\xe2\x80\xa8"',
        b'"\x7f"',
        b'"[{"',
        b"[[],{}]",
        b'{"":{"":[]}}',
        b'{"__proto__":{}}',
        b"[ 1 ,\t2\r\n]",
        b"[" * 98 + b"]" * 98,
    ],
]


@pytest.mark.parametrize("member", HARMLESS, ids=lambda member: repr(member[:32]))
async def test_an_unusual_but_strict_payload_is_read(member: bytes) -> None:
    manager = manager_with(None, max_token_length=HUGE)
    session = await manager.load({NAME: forge(payload=with_member(member))})
    assert session.rejected is None
    assert session["x"] == json.loads(member)
