"""Honest tokens: what is written, what is read, and where the limits of time lie to the second.

PyJWT's and joserfc's own encoders and decoders are the independent peers. What must be refused has its own file.
"""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import joserfc.jwt
import jwt
import pytest
from joserfc.jwk import OctKey

from aiohttp_lionrock import (
    CookieChange,
    KeyRing,
    MemoryStorage,
    SessionConfig,
    SessionManager,
    TokenClaimError,
    TokenCodec,
    TokenError,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    TokenReused,
    TokenRevoked,
    TokenTooLarge,
)
from aiohttp_lionrock.testing import FakeClock

NOW = 1_800_000_000
SECRET = "correct horse battery staple, and then enough words to serve HS512 as well"
NAME = "lionrock-session"
REFRESH = "lionrock-session-refresh"
ABSENT = object()


def manager_with(clock: Any = lambda: NOW, **settings: Any) -> SessionManager:
    return SessionManager(SessionConfig(**({"secret": SECRET} | settings)), clock=clock, environ={})


def claims(**changes: Any) -> dict[str, Any]:
    good = {"id": None, "sid": "sid-1", "creator": "SessionJWT", "user": "ada"}
    good |= {"iat": NOW, "nbf": NOW, "exp": NOW + 7200}
    return {name: value for name, value in (good | changes).items() if value is not ABSENT}


def make(payload: Mapping[str, Any], alg: str = "HS256", **header: Any) -> str:
    """A token of PyJWT's making; a header field of None is left out."""
    return jwt.PyJWS().encode(json.dumps(payload).encode(), SECRET, alg, headers={"typ": "JWT", **header})


def by_hand(header: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    """A token of plain parts, with the spaces that ``json.dumps`` writes."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload))
    signing_input = b".".join(parts)
    mac = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), signing_input, "sha256")).rstrip(b"=")
    return (signing_input + b"." + mac).decode()


def read(token: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as any base64 and JSON reader sees them."""
    assert token is not None
    header, payload, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(payload)


async def written(manager: SessionManager, **data: Any) -> list[CookieChange]:
    session = await manager.load({})
    session.update(data)
    return await manager.save(session)


async def rejection(manager: SessionManager, token: str, cookie: str = NAME) -> TokenError | None:
    return (await manager.load({cookie: token})).rejected


# ---- What is written


async def test_a_token_has_the_header_and_the_claims_of_the_wire_contract_and_nothing_else() -> None:
    [change] = await written(manager_with(), user="ada")
    header, body = read(change.value)
    assert list(header.items()) == [("alg", "HS256"), ("typ", "JWT")]
    session_id, sid = body.pop("id"), body.pop("sid")
    assert len(session_id) == len(sid) == 36
    assert session_id != sid
    assert body == {"creator": "SessionJWT", "user": "ada", "iat": NOW, "nbf": NOW, "exp": NOW + 7200}


async def test_a_token_is_ascii_without_padding_and_its_json_is_compact() -> None:
    [change] = await written(manager_with(), user="Zo\u00eb \U0001f981", items=[1, {"a": None}])
    assert change.value is not None
    assert change.value.isascii()
    assert set(change.value) & set("=+/ \n") == set()
    payload = base64.urlsafe_b64decode(change.value.split(".")[1] + "==").decode()
    assert '"user":"Zo\u00eb \U0001f981","items":[1,{"a":null}]' in payload


async def test_times_are_whole_seconds_whatever_the_clock_and_the_lifetime_are() -> None:
    [change] = await written(manager_with(lambda: NOW + 0.999, expires=90.9), user="ada")
    body = read(change.value)[1]
    assert [body["iat"], body["nbf"], body["exp"]] == [NOW, NOW, NOW + 90]
    assert {type(body[name]) for name in ("iat", "nbf", "exp")} == {int}


async def test_the_use_and_the_lifetime_of_each_token_are_written_where_refresh_is_on() -> None:
    manager = manager_with(access_token={"expires": 900}, refresh_token={"expires": 3600})
    access, refresh = [read(change.value)[1] for change in await written(manager, user="ada")]
    assert (access["token_use"], access["exp"]) == ("access", NOW + 900)
    assert (refresh["token_use"], refresh["exp"]) == ("refresh", NOW + 3600)
    assert {name: access[name] for name in ("id", "sid", "user")} == {
        name: refresh[name] for name in ("id", "sid", "user")
    }


async def test_each_token_has_a_jti_of_its_own_where_a_storage_honours_it() -> None:
    manager = manager_with(refresh_token=True, storage=MemoryStorage(clock=lambda: NOW))
    access, refresh = [read(change.value)[1] for change in await written(manager, user="ada")]
    assert access["jti"]
    assert refresh["jti"]
    assert access["jti"] != refresh["jti"]


@pytest.mark.parametrize("audience", ["app", ["app", "api"]])
async def test_issuer_and_audience_are_written_as_configured(audience: Any) -> None:
    [change] = await written(manager_with(issuer="me", audience=audience), user="ada")
    body = read(change.value)[1]
    assert (body["iss"], body["aud"]) == ("me", audience)


async def test_no_two_sessions_share_an_id() -> None:
    manager = manager_with()
    bodies = [read((await written(manager, n=n))[0].value)[1] for n in range(50)]
    assert len({body["sid"] for body in bodies} | {body["id"] for body in bodies}) == 100


# ---- Peers


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_pyjwt_and_joserfc_accept_what_is_written_here(alg: str) -> None:
    [change] = await written(manager_with(algorithm=alg, clock=lambda: NOW), user="Zo\u00eb", n=2**53 + 1)
    assert change.value is not None
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    by_pyjwt = jwt.decode(change.value, SECRET, algorithms=[alg], options=options)
    by_joserfc = joserfc.jwt.decode(change.value, OctKey.import_key(SECRET), algorithms=[alg])
    assert by_joserfc.header == {"alg": alg, "typ": "JWT"}
    assert by_pyjwt == by_joserfc.claims == read(change.value)[1]
    assert (by_pyjwt["user"], by_pyjwt["n"]) == ("Zo\u00eb", 2**53 + 1)


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("peer", ["pyjwt", "pyjwt, whole", "joserfc"])
async def test_what_pyjwt_and_joserfc_write_is_accepted_here(peer: str, alg: str) -> None:
    body = claims(user="Zo\u00eb", text='\u2028 \\ " / \U0001f981', nested={"a": [1, 2.5, None, True]})
    if peer == "joserfc":
        token = joserfc.jwt.encode({"alg": alg, "typ": "JWT"}, body, OctKey.import_key(SECRET), algorithms=[alg])
    elif peer == "pyjwt":
        token = make(body, alg)
    else:
        token = jwt.encode(body, SECRET, alg)
    session = await manager_with(algorithm=alg).load({NAME: token})
    assert session.rejected is None
    assert not session.is_new
    assert dict(session) == {name: body[name] for name in ("user", "text", "nested")}
    assert (session.sid, session.id, session.creator) == ("sid-1", None, "SessionJWT")
    assert session.expires_at == NOW + 7200


@pytest.mark.parametrize("typ", ["", None, ABSENT, "JWT"], ids=repr)
async def test_a_type_that_is_absent_or_empty_is_accepted(typ: object) -> None:
    header = {"alg": "HS256"} | ({} if typ is ABSENT else {"typ": typ})
    assert await rejection(manager_with(), by_hand(header, claims())) is None


async def test_keys_and_key_names_in_the_header_are_not_read() -> None:
    header = {
        "kid": "../../x",
        "jku": "http://127.0.0.1:9/",
        "jwk": {"kty": "oct", "k": "AA"},
        "x5u": 1,
        "x5c": {},
        "cty": "x",
    }
    assert await rejection(manager_with(), make(claims(), **header)) is None


async def test_order_and_spaces_in_the_json_of_a_token_do_not_matter() -> None:
    token = by_hand({"typ": "JWT", "alg": "HS256"}, dict(reversed(claims().items())))
    assert b'": "' in base64.urlsafe_b64decode(token.split(".")[0] + "==")
    assert await rejection(manager_with(), token) is None


@pytest.mark.parametrize("subject", ["ada", "", 7, 0, -1.5, True, None, ["a", 1], {"id": 7}], ids=repr)
async def test_a_subject_of_any_json_type_is_session_data(subject: Any) -> None:
    session = await manager_with().load({NAME: make(claims(sub=subject))})
    assert session.rejected is None
    assert session["sub"] == subject
    assert type(session["sub"]) is type(subject)


async def test_reserved_claims_do_not_reach_the_session() -> None:
    reserved = {"aud": "app", "iss": "me", "jti": "j", "token_use": "access", "orig_iat": NOW}
    session = await manager_with().load({NAME: make(claims(**reserved))})
    assert session.rejected is None
    assert dict(session) == {"user": "ada"}


async def test_issuer_and_audience_are_not_judged_where_none_is_configured() -> None:
    assert await rejection(manager_with(), make(claims(iss="anyone", aud=["x", 1]))) is None


AUDIENCES = [
    ("app", "app"),
    ("app", ["app"]),
    ("app", ["x", "app"]),
    (["app", "api"], "api"),
    (["app"], [1, None, "app"]),
]


@pytest.mark.parametrize(("configured", "presented"), [*AUDIENCES, (("app", "api"), ["api"])], ids=repr)
async def test_one_audience_in_common_is_enough(configured: Any, presented: Any) -> None:
    assert await rejection(manager_with(audience=configured), make(claims(aud=presented))) is None


async def test_the_creator_of_a_peer_is_kept() -> None:
    manager = manager_with()
    session = await manager.load({NAME: make(claims(creator="Somebody", id="id-1"))})
    session["n"] = 1
    [change] = await manager.save(session)
    body = read(change.value)[1]
    assert (body["creator"], body["id"], body["sid"]) == ("Somebody", "id-1", "sid-1")


# ---- Time


@pytest.mark.parametrize("tolerance", [0, 0.5, 60])
async def test_a_token_expires_at_exp_plus_the_tolerance_to_the_second(tolerance: float) -> None:
    clock = FakeClock(NOW)
    manager = manager_with(clock, clock_tolerance=tolerance)
    token = make(claims(exp=NOW + 100))
    clock.now = NOW + 100 + tolerance - (1 if tolerance in (0, 60) else 0.5)
    assert await rejection(manager, token) is None
    clock.now = NOW + 100 + tolerance + 0.5
    assert type(await rejection(manager, token)) is TokenExpired


EDGES = [
    ({"exp": NOW - 59}, None),
    ({"exp": NOW - 59.5}, None),
    ({"exp": NOW - 60}, TokenExpired),
    ({"nbf": NOW + 60}, None),
    ({"nbf": NOW + 61}, TokenClaimError),
    ({"nbf": -1}, None),
    ({"nbf": ABSENT}, None),
    ({"iat": NOW + 60}, None),
    ({"iat": NOW + 61}, TokenClaimError),
    ({"iat": ABSENT}, None),
    ({"iat": ABSENT, "exp": NOW + 7260}, None),
    ({"iat": ABSENT, "exp": NOW + 7261}, TokenClaimError),
    ({"iat": ABSENT, "nbf": ABSENT, "exp": 253_402_300_799}, TokenClaimError),
    ({"exp": NOW + 7260}, None),
    ({"exp": NOW + 7261}, TokenClaimError),
    ({"exp": NOW + 7200.5, "iat": NOW + 0.5}, None),
]


@pytest.mark.parametrize(("changes", "outcome"), EDGES, ids=lambda value: str(value)[:40])
async def test_the_times_of_a_token_are_judged_at_their_edges(
    changes: dict[str, Any], outcome: type[TokenError] | None
) -> None:
    fault = await rejection(manager_with(), make(claims(**changes)))
    assert (fault and type(fault)) == outcome


async def test_without_a_tolerance_a_token_is_dead_at_exp_and_alive_a_second_before() -> None:
    manager = manager_with(clock_tolerance=0)
    assert type(await rejection(manager, make(claims(exp=NOW)))) is TokenExpired
    assert await rejection(manager, make(claims(exp=NOW + 1))) is None


async def test_a_token_that_was_accepted_once_is_judged_again_each_time() -> None:
    clock = FakeClock(NOW)
    manager = manager_with(clock)
    token = make(claims())
    assert await rejection(manager, token) is None
    clock.advance(7261)
    assert type(await rejection(manager, token)) is TokenExpired


async def test_the_lifetime_bound_is_that_of_the_cookie_the_token_stands_in() -> None:
    manager = manager_with(refresh_token={"expires": 86_400})
    long_lived = claims(exp=NOW + 86_400)
    assert (await manager.load({NAME: make(long_lived | {"token_use": "access"})})).is_new
    assert await rejection(manager, make(long_lived | {"token_use": "refresh"}), REFRESH) is None
    longer = long_lived | {"exp": NOW + 86_461, "token_use": "refresh"}
    assert type(await rejection(manager, make(longer), REFRESH)) is TokenClaimError


# ---- The order of judging


async def test_the_signature_is_judged_before_the_claims() -> None:
    forged = jwt.encode(claims(exp=1, sid=5), "x" * 40)
    assert type(await rejection(manager_with(), forged)) is TokenForged


async def test_the_whole_signature_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    original = hmac.compare_digest

    def spy(a: Any, b: Any) -> bool:
        compared.append((len(a), len(b)))
        return original(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    token = make(claims())
    assert await rejection(manager_with(), token) is None
    assert await rejection(manager_with(), token[:-4] + "AAAA") is not None
    assert compared == [(43, 43), (43, 43)]


@pytest.mark.parametrize(
    ("access", "fault"),
    [
        (jwt.encode(claims(), "x" * 40), TokenForged),
        (jwt.encode(claims(exp=1), "x" * 40), TokenForged),
        ("junk", TokenMalformed),
        ("x" * 5000, TokenTooLarge),
        (make(claims(token_use="refresh")), TokenClaimError),
        (make(claims(nbf=NOW + 1000)), TokenClaimError),
        (make(claims(exp=NOW + 90_000, token_use="refresh")), TokenClaimError),
        (make(claims(exp=NOW + 90_000, nbf=NOW + 1000)), TokenClaimError),
    ],
)
async def test_a_refresh_token_never_rescues_a_bad_access_token(access: str, fault: type[TokenError]) -> None:
    manager = manager_with(refresh_token=True)
    refresh = make(claims(token_use="refresh"))
    assert await rejection(manager, refresh, REFRESH) is None
    session = await manager.load({NAME: access, REFRESH: refresh})
    assert session.is_new
    assert type(session.rejected) is fault


@pytest.mark.parametrize("access", [None, "", *(make(claims(exp=exp)) for exp in (NOW - 60, NOW + 90_000))])
async def test_a_refresh_token_stands_in_for_a_missing_or_expired_access_token(access: str | None) -> None:
    manager = manager_with(refresh_token=True)
    cookies = {REFRESH: make(claims(token_use="refresh"))} | ({} if access is None else {NAME: access})
    session = await manager.load(cookies)
    assert session.rejected is None
    assert dict(session) == {"user": "ada"}
    changes = await manager.save(session)
    assert [(change.name, read(change.value)[1]["token_use"]) for change in changes] == [
        (NAME, "access"),
        (REFRESH, "refresh"),
    ]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (TokenError, "JWT_REFUSED"),
        (TokenTooLarge, "JWT_TOO_LARGE"),
        (TokenMalformed, "JWT_MALFORMED"),
        (TokenForged, "JWT_FORGED"),
        (TokenExpired, "JWT_EXPIRED"),
        (TokenClaimError, "JWT_CLAIM"),
        (TokenRevoked, "JWT_JTI_REVOKED"),
        (TokenReused, "JWT_REUSED"),
    ],
)
def test_each_fault_has_a_stable_code(fault: type[TokenError], code: str) -> None:
    assert fault.code == code
    assert issubclass(fault, TokenError)


# ---- TokenCodec alone


def test_a_codec_signs_and_verifies_without_a_manager() -> None:
    config = SessionConfig(secret=SECRET)
    keys = KeyRing.find(config, {}, {})
    assert keys is not None
    codec = TokenCodec(config)
    token = codec.sign(claims(), keys)
    assert codec.verify(token, keys, config.access, NOW) == claims()
    with pytest.raises(TokenForged):
        codec.verify(token[:-4] + "AAAA", keys, config.access, NOW)
    with pytest.raises(TokenExpired):
        codec.verify(token, keys, config.access, NOW + 7260)
    assert codec.sign(claims(), keys) == token
