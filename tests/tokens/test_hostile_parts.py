"""Hostile segments: a token has one spelling, three full parts, and nothing around or inside them."""

import json

import pytest
from support.forgery import Refuse, b64, claims, forge, sign, to_bytes

from aiohttp_lionrock import TokenForged, TokenMalformed

H, P, S = forge().split(".")
JSON_FORM = {"payload": P, "protected": H, "signature": S}

BAD_PARTS: dict[str, str] = {
    "one part": H,
    "two parts": f"{H}.{P}",
    "four parts": f"{H}.{P}.{S}.",
    "four parts, one empty in front": f".{H}.{P}.{S}",
    "four full parts": f"{H}.{P}.{S}.{S}",
    "five parts": f"{H}.{P}.{S}.{S}.{S}",
    "dots": "..",
    "one dot": ".",
    "many dots": "." * 1000,
    "leading dot": f".{P}.{S}",
    "trailing dot": f"{H}.{P}.",
    "detached payload": f"{H}..{S}",
    "doubled dot": f"{H}..{P}.{S}",
    "unsigned, none": f"{b64(to_bytes({'alg': 'none'}))}.{P}.",
    "encrypted (JWE)": ".".join(
        [b64(b'{"alg":"dir","enc":"A256GCM"}'), "", b64(bytes(12)), b64(bytes(64)), b64(bytes(16))]
    ),
    "one character": "a",
    "blank": " ",
    "line break": "\n",
}
BAD_TEXT: dict[str, str] = {
    "JSON serialisation, flattened": json.dumps(JSON_FORM),
    "JSON serialisation, general": json.dumps({"payload": P, "signatures": [{"protected": H, "signature": S}]}),
    "a bearer": f"Bearer {H}.{P}.{S}",
    "in quotes": f'"{H}.{P}.{S}"',
    "leading space": f" {H}.{P}.{S}",
    "trailing space": f"{H}.{P}.{S} ",
    "line break at the end": f"{H}.{P}.{S}\n",
    "NUL at the end": f"{H}.{P}.{S}\x00",
    "space between": f"{H}. {P}.{S}",
    "dots as %2E": f"{H}%2E{P}.{S}",
    "commas": f"{H},{P}.{S}",
    "all upper case": f"{H}.{P}.{S}".upper(),
    "JSON": '{"user":"ada"}',
    "number": "1",
    "zero-width space": f"{H}.{P}.{S}\u200b",
    "byte order mark": f"\ufeff{H}.{P}.{S}",
    "full-width dot": f"{H}\uff0e{P}.{S}",
    "full-width digit": f"{H}.{P}\uff11.{S}",
    "Cyrillic letter": f"{H}.{P}.{S[:-1]}\u0410",
    "an 8-bit byte": f"{H}.{P}.{S}\udcff",
    "8-bit bytes alone": "\udcff\udcfe\udc80",
    "8-bit parts": "\udcff.\udcff.\udcff",
    "a high surrogate": f"\ud800.{P}.{S}",
    "an emoji": "\U0001f981.\U0001f981.\U0001f981",
}


@pytest.mark.parametrize("token", BAD_PARTS.values(), ids=BAD_PARTS)
async def test_a_token_that_is_not_three_full_parts_is_refused(token: str, refused: Refuse) -> None:
    assert type(await refused(token)) is TokenMalformed


@pytest.mark.parametrize("token", BAD_TEXT.values(), ids=BAD_TEXT)
async def test_a_token_with_anything_around_or_in_it_is_refused(token: str, refused: Refuse) -> None:
    assert type(await refused(token)) in (TokenMalformed, TokenForged)


def misspelled_segments() -> dict[str, str]:
    """Spellings of a payload that a lenient decoder reads as the good one; each is signed as it stands."""
    one, two = b64(to_bytes(claims(user="a" * 1))), b64(to_bytes(claims(user="a" * 2)))
    three = b64(to_bytes(claims(user="a" * 3)))
    by_rest = {len(text) % 4: text for text in (one, two, three)}
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    after = {rest: alphabet[alphabet.index(text[-1]) + 1] for rest, text in by_rest.items()}
    special = b64(to_bytes(claims(user="ada??>>??>>")).replace(b"ada", b"a\xc3\xbf"))
    return {
        "padding, one": by_rest[3] + "=",
        "padding, two": by_rest[2] + "==",
        "padding, too much": by_rest[3] + "====",
        "padding in the middle": by_rest[3][:8] + "=" + by_rest[3][8:],
        "unused bits, four": by_rest[2][:-1] + after[2],
        "unused bits, two": by_rest[3][:-1] + after[3],
        "a character too many": by_rest[0] + "A",
        "line break": P[:76] + "\n" + P[76:],
        "carriage return": P + "\r",
        "space": P[:9] + " " + P[9:],
        "tab": "\t" + P,
        "NUL": P + "\x00",
        "standard alphabet": special.replace("-", "+").replace("_", "/"),
        "mixed alphabet": special.replace("_", "/"),
        "percent": P + "%20",
        "tilde": P[:4] + "~" + P[4:],
        "comma": P + ",",
    }


@pytest.mark.parametrize("kind", misspelled_segments())
async def test_a_payload_has_one_spelling_only(kind: str, refused: Refuse) -> None:
    segment = misspelled_segments()[kind]
    assert "-" in segment or "+" in segment or "alphabet" not in kind
    assert type(await refused(sign(f"{H}.{segment}"))) is TokenMalformed


@pytest.mark.parametrize("kind", ["=", "==", "\n", " ", "+", "/", "%", "A"])
async def test_a_header_has_one_spelling_only(kind: str, refused: Refuse) -> None:
    assert len(H) % 4 == 0
    assert type(await refused(sign(f"{H}{kind}.{P}"))) is TokenMalformed


@pytest.mark.parametrize(
    "junk", [" ", "\n", "\r\n", "\t", "\x00", "\x0b", "=", "+", "/", "~", "%", "!", "*", ",", "\x7f"], ids=repr
)
async def test_nothing_outside_the_alphabet_is_skipped_in_any_number(junk: str, refused: Refuse) -> None:
    """A lenient decoder drops such signs; four of them leave the length of the segment in step as well."""
    for number in range(1, 9):
        for at in (0, 8, len(P) // 8 * 4, len(P)):
            segment = P[:at] + junk * number + P[at:]
            assert type(await refused(sign(f"{H}.{segment}"))) is TokenMalformed
            header = H[:at] + junk * number + H[at:]
            assert type(await refused(sign(f"{header}.{P}"))) is TokenMalformed


async def test_a_token_inside_a_token_is_refused(refused: Refuse) -> None:
    assert type(await refused(forge(payload=forge().encode()))) is TokenMalformed
    assert type(await refused(forge(payload=to_bytes(forge())))) is TokenMalformed
