"""Hostile headers and signatures: whatever is sent, the handler gets a new session, and nothing else happens."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from support.forgery import (
    ABSENT,
    HEADER,
    NAME,
    NOW,
    SECRET,
    Refuse,
    Untouchable,
    b64,
    claims,
    forge,
    manager_with,
    sign,
    to_bytes,
)

from aiohttp_lionrock import JtiRecord, MemoryStorage, TokenClaimError, TokenForged, TokenMalformed


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
