"""Settings that change, or differ from server to server, while users are logged in."""

from typing import Any

import jwt
import pytest
from support.browser import ACCESS, REFRESH, SECRET
from support.shop import NOBODY
from support.surfer import Surfer
from yarl import URL

from aiohttp_lionrock.testing import FakeClock

HOST = "shop.example"
OTHER_SECRET = "of another server: 0123456789 0123456789"

# --- one host, two servers ---------------------------------------------------------------------------------------

OTHERS = {
    "another application": {"secret": OTHER_SECRET},
    "a newer secret": {"secret": OTHER_SECRET},
    "a shortened lifetime": {"expires": 60, "refresh_token": False},
    "another audience": {"audience": "staff"},
    "a clock set back": {},
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("page", ["look", "nothing"])
async def test_a_server_that_refuses_costs_one_refusal_and_the_session_is_there_again(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any], other: str, page: str
) -> None:
    is_behind = other == "a clock set back"
    first, _ = await serve(**kept_in)
    second, _ = await serve(**kept_in | OTHERS[other], clock=lambda: clock() - 300 if is_behind else clock())
    surfer.open(HOST, first)
    await surfer.go(f"{HOST}/log_in")
    await surfer.go(f"{HOST}/buy")
    known = {"sub": "ann", "cart": 1, "why": None}
    for _ in range(2):
        surfer.open(HOST, second)
        seen = await surfer.see(f"{HOST}/look")
        assert seen["sub"] is None
        assert seen["why"] in ("TokenForged", "TokenClaimError", "TokenExpired")
        surfer.open(HOST, first)
        assert await surfer.see(f"{HOST}/look") == known
    assert (await surfer.see(f"{HOST}/buy"))["cart"] == 2
    await surfer.go(f"{HOST}/log_out")
    assert await surfer.see(f"{HOST}/look") == NOBODY


# --- a shortened lifetime, and none at all -----------------------------------------------------------------------


async def test_a_shortened_lifetime_is_noticed_by_nobody_who_has_a_refresh_token(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any]
) -> None:
    surfer.open(HOST, (await serve(**kept_in))[0])
    await surfer.go(f"{HOST}/log_in")
    await surfer.go(f"{HOST}/buy")
    surfer.open(HOST, (await serve(**kept_in, expires=60))[0])
    answer = await surfer.go(f"{HOST}/look")
    assert answer.text == '{"sub": "ann", "cart": 1, "why": null}'
    assert answer.set_cookies.keys() == {ACCESS, REFRESH}
    for _ in range(5):
        clock.advance(200)
        assert (await surfer.see(f"{HOST}/look"))["sub"] == "ann"


@pytest.mark.parametrize("refresh", [True, False])
async def test_a_token_that_says_the_year_10000_and_not_since_when_is_refused(
    serve: Any, surfer: Surfer, clock: FakeClock, refresh: bool
) -> None:
    surfer.open(HOST, (await serve(refresh_token=refresh))[0])
    payload = {"id": "1", "sid": "2", "creator": "SessionJWT", "sub": "ann", "exp": 253_402_300_800}
    token = jwt.encode(payload, SECRET, "HS256")
    surfer.jar.receive(URL(f"https://{HOST}/"), [f"{ACCESS}={token}; Path=/"])
    seen = await surfer.see(f"{HOST}/look")
    assert (seen["sub"], seen["why"]) == (None, None if refresh else "TokenClaimError")  # WIRE.md, Reading, 5
    payload["exp"] = int(clock()) + 7200
    surfer.jar.receive(URL(f"https://{HOST}/"), [f"{ACCESS}={jwt.encode(payload, SECRET, 'HS256')}; Path=/"])
    assert (await surfer.see(f"{HOST}/look"))["sub"] == "ann"
