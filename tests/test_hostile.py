"""Hostile tokens: whatever is sent, the handler gets a new session, and nothing else happens.

The tokens are made by a forge of this file's own, which signs anything at all. Each differs from a good token
in one thing, its jti included: a check that is missing shows as a call of the storage, which fails the test.
"""

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_lionrock import (
    JtiRecord,
    JtiStorage,
    MemoryStorage,
    SessionConfig,
    SessionManager,
    TokenClaimError,
    TokenError,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    TokenTooLarge,
)

NOW = 1_800_000_000
SECRET = "correct horse battery staple, thrice over"
NAME = "lionrock-session"
REFRESH = "lionrock-session-refresh"
DELETED = "Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Strict"
HUGE = 1_000_000
HEADER = {"alg": "HS256", "typ": "JWT"}
ABSENT = object()

deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=150)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(part: object) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()


def sign(signing_input: str, secret: str | bytes = SECRET, digest: str = "sha256") -> str:
    """A correct signature over any text, whatever its shape."""
    key = secret if isinstance(secret, bytes) else secret.encode()
    mac = hmac.new(key, signing_input.encode("utf-8", "surrogateescape"), getattr(hashlib, digest)).digest()
    return f"{signing_input}.{b64(mac)}"


def forge(payload: object = None, header: object = None, secret: str | bytes = SECRET, digest: str = "sha256") -> str:
    payload = claims() if payload is None else payload
    return sign(f"{b64(to_bytes(HEADER if header is None else header))}.{b64(to_bytes(payload))}", secret, digest)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, with these changed; ABSENT leaves one out."""
    good = {"id": None, "sid": "sid-1", "creator": "SessionJWT", "user": "ada"}
    good |= {"iat": NOW, "nbf": NOW, "exp": NOW + 7200, "jti": "jti-1"}
    return {name: value for name, value in (good | changes).items() if value is not ABSENT}


def with_member(member: bytes) -> bytes:
    """The text of good claims with one more member, written as given."""
    return to_bytes(claims())[:-1] + b',"x":' + member + b"}"


class Untouchable(JtiStorage):
    """A storage that fails the test as soon as it is asked anything."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW)
        self.calls: list[str] = []

    @classmethod
    def from_url(cls, url: str) -> "Untouchable":
        raise NotImplementedError

    def _touched(self, call: str) -> Any:
        self.calls.append(call)
        raise AssertionError(f"the storage was asked to {call}")

    async def open(self) -> None:
        self._touched("open")

    async def insert(self, record: JtiRecord) -> None:
        self._touched("insert")

    async def get(self, sid: str) -> JtiRecord | None:
        return self._touched("get")

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return self._touched("replace")

    async def delete(self, sid: str) -> bool:
        return self._touched("delete")

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        return self._touched("delete_subject")

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return self._touched("list_subject")

    async def purge(self, now: float, limit: int) -> int:
        return self._touched("purge")

    async def ping(self) -> None:
        self._touched("ping")


def manager_with(storage: JtiStorage | None, **settings_: Any) -> SessionManager:
    return SessionManager(SessionConfig(secret=SECRET, storage=storage, **settings_), clock=lambda: NOW, environ={})


Refuse = Callable[..., Awaitable[TokenError]]


@pytest.fixture
def refused(caplog: pytest.LogCaptureFixture) -> Iterator[Refuse]:
    """Presents tokens and checks all that a refusal promises; gives back the fault."""
    caplog.set_level(logging.DEBUG)

    async def check(tokens: str | Sequence[str], *, cookie: str = NAME, **settings_: Any) -> TokenError:
        storage = Untouchable()
        manager = manager_with(storage, **settings_)
        session = await manager.load({cookie: tokens})
        fault = session.rejected
        assert isinstance(fault, TokenError), "the token was not refused"
        assert session.is_new
        assert not session
        assert session.sid != "sid-1"
        assert [change.header() for change in await manager.save(session)] == [f"{cookie}=; {DELETED}"]
        assert storage.calls == []
        said = f"{fault!r} {fault} {caplog.text}"
        for token in [tokens] if isinstance(tokens, str) else tokens:
            assert not [part for part in token.split(".") if len(part) > 8 and part in said]
        assert SECRET not in said
        return fault

    return check


async def test_the_token_that_all_others_differ_from_is_good() -> None:
    storage = MemoryStorage(clock=lambda: NOW)
    await storage.insert(JtiRecord("sid-1", 1, NOW + 7200, NOW, access_jti="jti-1"))
    session = await manager_with(storage).load({NAME: forge()})
    assert session.rejected is None
    assert dict(session) == {"user": "ada"}
    with pytest.raises(AssertionError, match="asked to open"):
        await manager_with(Untouchable()).load({NAME: forge()})


# ---- Header

ALGORITHMS = [
    *["none", "None", "NONE", "nOnE", "NoNe", "none ", "", " ", "hs256", "Hs256", "HS256 ", " HS256", "HS256\n"],
    *["HS256\x00", "HS-256", "HS2567", "HS25", "HS384", "HS512", "RS256", "RS512", "ES256", "PS256", "EdDSA"],
    *["dir", "A256KW", "\uff28\uff33256", "HS\uff12\uff15\uff16", "\u041dS256", "\ufeffHS256", "none,HS256"],
    *[["HS256"], ["none", "HS256"], {"HS256": True}, {"alg": "HS256"}, None, True, False, 0, 256, [], {}, ABSENT],
]


@pytest.mark.parametrize("alg", ALGORITHMS, ids=repr)
async def test_an_algorithm_that_is_not_the_configured_text_is_refused(alg: object, refused: Refuse) -> None:
    header = {"typ": "JWT"} | ({} if alg is ABSENT else {"alg": alg})
    assert type(await refused(forge(header=header))) is TokenClaimError


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("configured", ["HS256", "HS384", "HS512"])
async def test_the_token_does_not_choose_the_hash(alg: str, configured: str, refused: Refuse) -> None:
    if alg == configured:
        return
    digest = alg.replace("HS", "sha")
    token = forge(header={"alg": alg, "typ": "JWT"}, digest=digest)
    assert type(await refused(token, algorithm=configured, minimum_secret_length=32)) is TokenForged
    token = forge(header={"alg": configured, "typ": "JWT"}, digest=digest)
    assert type(await refused(token, algorithm=configured, minimum_secret_length=32)) is TokenForged


CRITICAL = [[], ["exp"], ["b64"], ["alg"], ["crit"], "b64", None, {}, True, ["urn:example:ext"]]


@pytest.mark.parametrize("crit", CRITICAL, ids=repr)
async def test_any_critical_extension_is_refused(crit: object, refused: Refuse) -> None:
    assert type(await refused(forge(header={**HEADER, "crit": crit, "exp": NOW}))) is TokenClaimError


@pytest.mark.parametrize("b64_header", [True, False, None, "false", 0, []], ids=repr)
async def test_any_b64_header_is_refused(b64_header: object, refused: Refuse) -> None:
    assert type(await refused(forge(header={**HEADER, "b64": b64_header}))) is TokenClaimError


async def test_an_unencoded_payload_is_refused(refused: Refuse) -> None:
    header = b64(to_bytes({**HEADER, "b64": False, "crit": ["b64"]}))
    assert type(await refused(sign(f"{header}.{to_bytes(claims()).decode()}"))) is TokenClaimError


TYPES = ["at+jwt", "jwt", "Jwt", "JWT ", "JWS", "JOSE", "JOSE+JSON", "dpop+jwt", "application/jwt", "logout+jwt"]


@pytest.mark.parametrize("typ", [*TYPES, 123, 0, True, False, [], ["JWT"], {}, {"JWT": 1}], ids=repr)
async def test_a_type_that_is_not_jwt_is_refused(typ: object, refused: Refuse) -> None:
    assert type(await refused(forge(header={"alg": "HS256", "typ": typ}))) is TokenClaimError


BAD_HEADERS = [
    *[b"[]", b'"HS256"', b"null", b"1", b"true", b"{", b"}", b"{}{}", b'{"alg":"HS256"', b"HS256", b"\xff", b"\x00"],
    b'{"alg":"none","alg":"HS256"}',
    b'{"alg":"HS256","alg":"HS256"}',
    b'{"alg":"none","\\u0061lg":"HS256"}',
    b'{"alg":"HS256","typ":"\\ud800"}',
    b'{"alg":"HS256","x":NaN}',
    b'{"alg":"HS256","x":1e400}',
    b"\xef\xbb\xbf" + to_bytes(HEADER),
    to_bytes(HEADER).decode().encode("utf-16"),
    to_bytes(HEADER).decode().encode("utf-16-le"),
    to_bytes(HEADER).decode().encode("utf-32"),
    b'{"alg":"HS256","x":' + b"[" * 1000 + b"]" * 1000 + b"}",
    b"{'alg':'HS256'}",
]


@pytest.mark.parametrize("header", BAD_HEADERS, ids=lambda header: repr(header[:40]))
async def test_a_header_that_is_no_strict_json_object_is_refused(header: bytes, refused: Refuse) -> None:
    assert type(await refused(forge(header=header))) is TokenMalformed


OCT_KEY = {"kty": "oct", "k": b64(b"attacker" * 8), "alg": "HS256"}
KEY_HEADERS: list[dict[str, Any]] = [
    {"jwk": OCT_KEY},
    {"jwk": {"kty": "oct", "k": ""}},
    {"jku": "https://evil.example/jwks.json"},
    {"x5u": "file:///dev/null"},
    {"x5c": [base64.b64encode(b"attacker" * 8).decode()]},
    {"kid": "../../../../dev/null"},
    {"kid": "' UNION SELECT 'attacker"},
    {"kid": {"$ne": None}},
    {"kid": "SESSION_SECRET", "jwk": OCT_KEY, "jku": "http://127.0.0.1/", "x5c": []},
]


@pytest.mark.parametrize("extra", KEY_HEADERS, ids=lambda extra: next(iter(extra)))
@pytest.mark.parametrize("key", [b"attacker" * 8, b"", b"\x00", b"null", b"undefined"], ids=repr)
async def test_a_key_that_the_header_brings_along_is_never_used(
    extra: dict[str, Any], key: bytes, refused: Refuse
) -> None:
    assert type(await refused(forge(header={**HEADER, **extra}, secret=key))) is TokenForged


# ---- Signature

PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKcjDT4nm3e2V6CJMRJkRNQS9Jkv3
c6TIlyFLqJ5gQ2UCxfZmB4yh8AdYJzAMcH0kWZ0dCtSbUNYN9WvLqpeQkg==
-----END PUBLIC KEY-----
"""
WRONG_KEYS = [
    *[b"", b" ", b"\x00", b"0", b"secret", b"none", b"SESSION_SECRET", PUBLIC_KEY, SECRET[:-1].encode()],
    *[SECRET.upper().encode(), SECRET.encode() + b"\n", b" " + SECRET.encode(), SECRET.encode("utf-16-le")],
    *[base64.b64encode(SECRET.encode()), hashlib.sha256(SECRET.encode()).digest(), repr(SECRET).encode()],
]


@pytest.mark.parametrize("key", WRONG_KEYS, ids=lambda key: repr(key[:24]))
@pytest.mark.parametrize("alg", ["HS256", "RS256", "none"])
async def test_a_signature_of_another_key_is_refused(key: bytes, alg: str, refused: Refuse) -> None:
    assert type(await refused(forge(header={"alg": alg, "typ": "JWT"}, secret=key))) is TokenForged


def other_signatures() -> dict[str, str]:
    head, payload, signature = forge().split(".")
    mac = base64.urlsafe_b64decode(signature + "=")
    joined = f"{head}.{payload}"
    return {
        "one byte short": b64(mac[:-1]),
        "half": b64(mac[:16]),
        "one byte": b64(mac[:1]),
        "doubled": b64(mac + mac),
        "a byte more": b64(mac + b"\x00"),
        "zeros": b64(bytes(32)),
        "hex": mac.hex(),
        "padded": signature + "=",
        "percent": signature + "%3D",
        "reversed": b64(mac[::-1]),
        "line break": signature + "\n",
        "leading space": " " + signature,
        "tab inside": signature[:20] + "\t" + signature[20:],
        "of the payload alone": sign(payload).split(".")[-1],
        "of the header alone": sign(head).split(".")[-1],
        "without the dot": sign(head + payload).split(".")[-1],
        "of a longer input": sign(joined + ".").split(".")[-1],
        "sha1": b64(hmac.new(SECRET.encode(), joined.encode(), "sha1").digest()),
        "sha512, cut": b64(hmac.new(SECRET.encode(), joined.encode(), "sha512").digest()[:32]),
        "plain hash": b64(hashlib.sha256(SECRET.encode() + joined.encode()).digest()),
        "swapped case": signature.swapcase(),
    }


@pytest.mark.parametrize("kind", other_signatures())
async def test_a_signature_in_any_other_form_is_refused(kind: str, refused: Refuse) -> None:
    assert type(await refused(f"{forge().rpartition('.')[0]}.{other_signatures()[kind]}")) is TokenForged


async def test_a_signature_has_one_spelling_only(refused: Refuse) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = forge()
    for char in alphabet.replace(token[-1], ""):
        assert type(await refused(token[:-1] + char)) is TokenForged


async def test_a_signature_does_not_move_to_another_payload(refused: Refuse) -> None:
    head, _, signature = forge().split(".")
    assert type(await refused(f"{head}.{b64(to_bytes(claims(user='root')))}.{signature}")) is TokenForged


async def test_no_bit_of_a_token_can_be_flipped() -> None:
    """All of them, one after the other; a few give a token that is no longer three parts or no longer ASCII."""
    manager = manager_with(Untouchable())
    token = forge()
    for position, char in enumerate(token):
        for bit in range(8):
            flipped = token[:position] + chr(ord(char) ^ 1 << bit) + token[position + 1 :]
            session = await manager.load({NAME: flipped})
            assert isinstance(session.rejected, TokenForged | TokenMalformed), (position, bit)


async def test_no_character_of_a_token_can_be_left_out_or_doubled() -> None:
    manager = manager_with(Untouchable())
    token = forge()
    for position, char in enumerate(token):
        for changed in (token[:position] + token[position + 1 :], token[:position] + char + token[position:]):
            session = await manager.load({NAME: changed})
            assert isinstance(session.rejected, TokenForged | TokenMalformed), position


# ---- Parts

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


# ---- Payload

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


# ---- Claims

NO_NUMBERS = ["", "1800003600", "1e9", True, False, None, [], [NOW + 60], {}, {"$gt": 0}]


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, ABSENT, 2**53, -(2**53), 1e300, -1e300, 10**400], ids=lambda v: repr(v)[:20]
)
async def test_an_exp_that_is_no_sensible_number_is_refused(value: object, refused: Refuse) -> None:
    assert type(await refused(forge(claims(exp=value)))) is TokenClaimError
    assert type(await refused(forge(claims(exp=value, iat=ABSENT, nbf=ABSENT)))) is TokenClaimError


@pytest.mark.parametrize("value", [0, -1, -1.5, 1, 1e-300, NOW - 61, NOW - 60, NOW - 60.0], ids=repr)
async def test_an_exp_that_has_passed_is_refused(value: float, refused: Refuse) -> None:
    assert type(await refused(forge(claims(exp=value)))) is TokenExpired


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, 2**53, 1e300, 10**400, NOW + 61, NOW + 60.5, NOW * 1000], ids=lambda v: repr(v)[:20]
)
async def test_a_beginning_that_is_no_number_or_in_the_future_is_refused(
    name: str, value: object, refused: Refuse
) -> None:
    assert type(await refused(forge(claims(**{name: value})))) is TokenClaimError


@pytest.mark.parametrize(
    "exp", [b"1e400", b"-1e400", b"NaN", b"Infinity", b"1" + b"0" * 5000], ids=lambda v: repr(v[:12])
)
async def test_an_exp_beyond_every_number_is_refused(exp: bytes, refused: Refuse) -> None:
    payload = to_bytes(claims()).replace(str(NOW + 7200).encode(), exp)
    assert payload.count(exp) == 1
    assert type(await refused(forge(payload=payload), max_token_length=HUGE)) is TokenMalformed


@pytest.mark.parametrize("exp", [NOW + 7261, NOW + 7260.5, NOW + 86400 * 365, 2**53 - 1], ids=repr)
async def test_a_lifetime_longer_than_configured_is_refused(exp: float, refused: Refuse) -> None:
    assert type(await refused(forge(claims(exp=exp)))) is TokenClaimError


NO_TEXTS = [ABSENT, None, "", 0, 1, 1.5, True, False, [], ["sid-1"], {}, {"$ne": ""}, {"$gt": ""}]


@pytest.mark.parametrize("value", [*NO_TEXTS, "s" * 513], ids=lambda v: repr(v)[:20])
async def test_a_sid_that_is_no_text_is_refused_and_never_reaches_the_storage(value: object, refused: Refuse) -> None:
    assert type(await refused(forge(claims(sid=value)))) is TokenClaimError


async def test_a_sid_that_no_record_can_hold_is_refused_or_written_without_an_error() -> None:
    """Seen where a token without a jti is let in: its sid is then recorded as it came."""
    for sid in ("a\x00b", "\x00", "s" * 512, "\U0001f981" * 512):
        manager = manager_with(MemoryStorage(clock=lambda: NOW), jti={"require": False})
        session = await manager.load({NAME: forge(claims(sid=sid, jti=ABSENT))})
        session["user"] = "eve"
        assert await manager.save(session)


@pytest.mark.parametrize("value", [*NO_TEXTS, "j" * 513, "j" * 4096], ids=lambda v: repr(v)[:20])
async def test_a_jti_that_is_no_text_is_refused_and_never_reaches_the_storage(value: object, refused: Refuse) -> None:
    assert type(await refused(forge(claims(jti=value)), max_token_length=HUGE)) is TokenClaimError


@pytest.mark.parametrize(
    "value", ["refresh", "Access", "ACCESS", "access ", "", None, True, 0, [], ["access"], {}], ids=repr
)
async def test_another_use_in_the_access_cookie_is_refused(value: object, refused: Refuse) -> None:
    assert type(await refused(forge(claims(token_use=value)), refresh_token=True)) is TokenClaimError


@pytest.mark.parametrize(
    "value", ["access", "Refresh", "refresh ", "", None, True, 0, [], ["refresh"], {}, ABSENT], ids=repr
)
async def test_another_use_in_the_refresh_cookie_is_refused(value: object, refused: Refuse) -> None:
    token = forge(claims(token_use=value))
    assert type(await refused(token, cookie=REFRESH, refresh_token=True)) is TokenClaimError


@pytest.mark.parametrize(
    "value", [ABSENT, None, "", "ME", "me ", "m", "mee", ["me"], {"me": 1}, True, 0, "you"], ids=repr
)
async def test_another_issuer_is_refused(value: object, refused: Refuse) -> None:
    assert type(await refused(forge(claims(iss=value)), issuer="me")) is TokenClaimError


OTHER_AUDIENCES = [
    ABSENT,
    None,
    "",
    "APP",
    "app ",
    "ap",
    "apps",
    "app,api",
    "app api",
    [],
    [["app"]],
    [None],
    {"app": 1},
]


@pytest.mark.parametrize("audience", ["app", ["app", "api"], ("app",)], ids=repr)
@pytest.mark.parametrize("value", [*OTHER_AUDIENCES, ["web"], [{"app": 1}], True, 0, 1.5], ids=repr)
async def test_another_audience_is_refused(value: object, audience: Any, refused: Refuse) -> None:
    assert type(await refused(forge(claims(aud=value)), audience=audience)) is TokenClaimError


@pytest.mark.parametrize("lifetime", [86_400, 86_400.5])
@pytest.mark.parametrize(
    "value", [None, "", "1800000000", True, [], {}, {"$gt": 0}, 1e300, 10**400, -(10**400)], ids=lambda v: repr(v)[:20]
)
async def test_a_beginning_of_the_session_that_is_no_number_is_refused(
    value: object, lifetime: float, refused: Refuse
) -> None:
    fault = await refused(forge(claims(orig_iat=value)), max_lifetime=lifetime)
    assert type(fault) in (TokenClaimError, TokenExpired)


@pytest.mark.parametrize("began", [0, -1, 1.5, NOW - 86_400, NOW - 86_400.5], ids=repr)
async def test_a_session_older_than_it_may_get_is_refused_however_young_its_token_is(
    began: float, refused: Refuse
) -> None:
    assert type(await refused(forge(claims(orig_iat=began)), max_lifetime=86_400)) is TokenExpired


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
        assert session.is_new == (session.rejected is not None)
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
