"""Hostile claims: times, ids, uses, issuers and audiences that no token of ours has."""

from typing import Any

import pytest
from support.forgery import ABSENT, HUGE, NAME, NOW, REFRESH, Refuse, claims, forge, manager_with, to_bytes

from aiohttp_lionrock import MemoryStorage, TokenClaimError, TokenExpired, TokenMalformed, TokenRevoked, TokenTooLarge

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


@pytest.mark.parametrize("sid", ["a\x00b", "\x00", "\U0001f981" * 512], ids=lambda sid: ascii(sid)[:20])
async def test_a_sid_that_no_record_can_hold_is_refused_and_never_reaches_the_storage(
    sid: str, refused: Refuse
) -> None:
    assert isinstance(await refused(forge(claims(sid=sid))), TokenClaimError | TokenTooLarge)


@pytest.mark.parametrize("has_storage", [False, True])
async def test_the_longest_sid_is_written_or_revoked_without_an_error(has_storage: bool) -> None:
    storage = MemoryStorage(clock=lambda: NOW) if has_storage else None
    manager = manager_with(storage, refresh_token=True, jti=has_storage and {"token_use": "refresh"})
    session = await manager.load({NAME: forge(claims(sid="s" * 512, token_use="access"))})
    assert session.rejected is None
    session["user"] = "eve"
    changes = await manager.save(session)
    if has_storage:
        assert changes == []
        assert type(session.rejected) is TokenRevoked
    else:
        assert len(changes) == 2


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


@pytest.mark.parametrize(
    "term",
    [
        None,
        "",
        [],
        {},
        *({"until": value} for value in ("", "1800007200", True, 1.5, 1e300, [], {}, -1, 0, 2**53, 10**400)),
    ],
    ids=lambda v: repr(v)[:20],
)
async def test_a_term_that_is_no_sensible_time_is_none(term: object) -> None:
    manager = manager_with(None)
    session = await manager.load({NAME: forge(claims(lionrock=term))})
    assert session.rejected is None
    session["user"] = "eve"
    [change] = await manager.save(session)
    assert change.options.max_age is None
    assert session.expires_at == NOW + 7200
