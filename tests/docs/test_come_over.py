"""From aiohttp-session, and beside LionRockJS."""

import time
from typing import Any

import aiohttp_session
import jwt
import pytest
from aiohttp import web
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from support.pages import Serve, ask, cookies_of, program, rows

import aiohttp_lionrock
from aiohttp_lionrock import Session, SessionConfig, get_session, setup
from aiohttp_lionrock.testing import log_in

PEER_SECRET = "the secret of an application on Node.js"


async def test_a_lionrockjs_application_and_this_one_take_each_others_cookies(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_SECRET", PEER_SECRET)
    make_app = program("lionrockjs")["make_app"]
    now = int(time.time())
    claims = {"id": "1", "sid": "2", "creator": "Peer", "cart": ["pear"], "token_use": "access", "iss": "shop.example"}

    async def cart(lifetime: int) -> tuple[list[str], dict[str, str]]:
        token = jwt.encode({**claims, "iat": now, "nbf": now, "exp": now + lifetime}, PEER_SECRET, "HS256")
        client = await serve(make_app(), {"shop-session": token})
        return (await ask(client, "/cart"))["cart"], cookies_of(client)

    carried, cookies = await cart(3600)
    assert carried == ["pear", "apple"]
    assert cookies.keys() == {"shop-session", "shop-refresh"}
    back = jwt.decode(cookies["shop-session"], PEER_SECRET, algorithms=["HS256"], issuer="shop.example")
    assert (back["id"], back["sid"], back["creator"], back["cart"]) == ("1", "2", "Peer", ["pear", "apple"])
    assert (await cart(7200))[0] == ["apple"], "it lives longer than the setting here allows"


def test_what_differs_from_the_original_can_be_made_equal() -> None:
    config = SessionConfig(algorithm="HS512", minimum_secret_length=32, cookie={"same_site": "Strict"})
    assert config.access.cookie.same_site == "Strict"
    assert SessionConfig().access.cookie.same_site == "Lax"
    with pytest.raises(aiohttp_lionrock.ReservedName):
        Session()["exp"] = 1


# aiohttp-session 2.12 keeps its storage under a key of text, which aiohttp 3.14 warns of.
@pytest.mark.filterwarnings("ignore:It is recommended to use web.RequestKey")
async def test_who_is_logged_in_is_taken_over_from_aiohttp_session(serve: Serve) -> None:
    names = program("aiohttp-session")

    async def old_login(request: web.Request) -> web.Response:
        (await aiohttp_session.get_session(request))["user"] = "ann"
        return web.json_response({})

    old = web.Application()
    aiohttp_session.setup(old, EncryptedCookieStorage(names["OLD_KEY"]))
    old.router.add_get("/", old_login)
    before = await serve(old)
    await ask(before, "/")
    cookies = cookies_of(before)
    assert cookies.keys() == {"AIOHTTP_SESSION"}

    client = await serve(names["make_app"](), cookies)
    async with client.get("/") as response:
        assert response.cookies["lionrock-session-refresh"]["max-age"] == "", "it ends with the browser, as it did"
    assert [await ask(client, "/") for _ in range(2)] == [{"user": "ann"}] * 2
    left = cookies_of(client)
    assert left.keys() >= {"lionrock-session", "lionrock-session-refresh"}
    assert not left.get("AIOHTTP_SESSION")
    fresh = await serve(names["make_app"]())
    assert await ask(fresh, "/") == {"user": None}


async def test_who_is_taken_over_has_not_typed_a_password(serve: Serve) -> None:
    check = program("aiohttp-session", 1)["check_password_given"]

    async def guarded(request: web.Request) -> web.Response:
        await check(request)
        return web.json_response({})

    app = web.Application()
    setup(app)
    app.router.add_get("/", guarded)
    for data, status in (({"sub": "ann", "taken_over": True}, 403), ({"sub": "ann"}, 200), ({}, 401)):
        client = await serve(app)
        await log_in(client, data)
        assert (await client.get("/")).status == status


async def test_the_names_of_the_table_are_there(serve: Serve) -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        session = await get_session(request)
        for _, here in rows("aiohttp-session"):
            for name in ("is_new", "sid", "created_at", "expire_in", "renew", "invalidate"):
                if f"session.{name}" in here:
                    seen[name] = getattr(session, name)
        return web.json_response({})

    app = web.Application()
    setup(app)
    app.router.add_get("/", handler)
    await ask(await serve(app), "/")
    assert seen.keys() == {"is_new", "sid", "created_at", "expire_in", "renew"}
