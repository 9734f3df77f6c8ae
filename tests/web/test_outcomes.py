"""The table of outcomes over HTTP: no cookie, a bad one, data that cannot be stored."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from jwt.api_jws import PyJWS
from support.browser import ACCESS, REFRESH, SECRET, claims
from support.site import Site
from support.storages import FaultyStorage
from support.webapp import (
    BOTH,
)

from aiohttp_lionrock import (
    SessionDataError,
    get_session,
)

HOUR = 3600


async def test_no_cookie_is_a_new_session_and_none_is_set_until_something_is_stored(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    answer = await visitor.get("/teapot")
    assert (answer.status, answer.set_cookies) == (418, {})
    assert site.seen[0].is_new
    assert site.seen[0].rejected is None
    assert (await visitor.get("/write")).set_cookies.keys() == BOTH


# --- a bad, forged, expired or revoked token ---------------------------------------------------------------------


def token(**changed: Any) -> str:
    now = int(time.time())
    payload = {"id": "i", "sid": "s", "creator": "SessionJWT", "iat": now, "nbf": now, "exp": now + 60, "sub": "eve"}
    payload.update(token_use="access", jti="j")
    payload.update(changed)
    kept = {name: value for name, value in payload.items() if value is not ...}
    return PyJWS().encode(json.dumps(kept).encode(), SECRET, "HS256")


def bad_tokens() -> dict[str, tuple[str, str]]:
    """Made when they are needed: a suite takes longer than they live."""
    return {
        "text": ("JWT_MALFORMED", "hello"),
        "two parts": ("JWT_MALFORMED", "a.b"),
        "no signature": ("JWT_MALFORMED", "eyJhbGciOiJub25lIn0.e30."),
        "four parts": ("JWT_MALFORMED", token() + ".x"),
        "quoted": ("JWT_FORGED", f'"{token()}"'),
        "too long": ("JWT_TOO_LARGE", "a" * 5000),
        "forged": ("JWT_FORGED", token()[:-4] + "AAAA"),
        "another secret": ("JWT_FORGED", PyJWS().encode(b'{"sid": "s"}', "x" * 40, "HS256")),
        "another algorithm": ("JWT_FORGED", PyJWS().encode(b'{"sid": "s"}', SECRET * 2, "HS512")),
        "no claims": ("JWT_CLAIM", PyJWS().encode(b"{}", SECRET, "HS256")),
        "no object": ("JWT_MALFORMED", PyJWS().encode(b"[]", SECRET, "HS256")),
        "no sid": ("JWT_CLAIM", token(sid=...)),
        "exp as text": ("JWT_CLAIM", token(exp="9999999999")),
        "exp as true": ("JWT_CLAIM", token(exp=True)),
        "not yet": ("JWT_CLAIM", token(nbf=int(time.time()) + HOUR)),
        "a refresh token": ("JWT_CLAIM", token(token_use="refresh")),
        "no jti": ("JWT_CLAIM", token(jti=...)),
        "jti as an object": ("JWT_CLAIM", token(jti={"$gt": ""})),
        "unknown to the storage": ("JWT_JTI_REVOKED", token()),
    }


@pytest.mark.parametrize("case", list(bad_tokens()))
async def test_a_bad_token_is_a_new_session_that_says_why_and_its_cookie_is_left_alone(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    code, bad = bad_tokens()[case]
    site = Site(storage, cookie={"domain": "example.org"})
    visitor = await site.start(aiohttp_client)
    visitor.cookies[ACCESS] = bad
    storage.calls.clear()
    with caplog.at_level(logging.DEBUG, logger="aiohttp_lionrock"):
        answer = await visitor.get("/teapot")
    [session] = site.seen
    assert answer.status == 418
    assert session.is_new
    assert not session
    assert session.rejected.code == code
    assert not answer.set_cookies
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert storage.calls == (["get"] if code == "JWT_JTI_REVOKED" else [])
    for part in bad.split("."):
        assert len(part) < 4 or part not in caplog.text


@pytest.mark.parametrize("case", [case for case in bad_tokens() if case != "unknown to the storage"])
async def test_a_good_refresh_token_does_not_rescue_a_bad_access_token(
    aiohttp_client: Any, storage: FaultyStorage, case: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    before = await site.record()
    visitor.cookies[ACCESS] = bad_tokens()[case][1]
    answer = await visitor.get("/look")
    assert site.seen[0].is_new
    assert not answer.set_cookies
    assert await site.record() == before


async def test_an_expired_token_alone_is_a_new_session_that_says_so(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage, refresh_token=False)
    visitor = await site.start(aiohttp_client)
    now = int(time.time())
    visitor.cookies[ACCESS] = token(iat=now - HOUR, nbf=now - HOUR, exp=now - 61)
    answer = await visitor.get("/teapot")
    assert (answer.status, answer.set_cookies) == (418, {})
    assert site.seen[0].rejected.code == "JWT_EXPIRED"


async def test_two_expired_tokens_are_a_new_session_and_both_are_left_alone(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    old = {"iat": int(time.time()) - HOUR, "nbf": int(time.time()) - HOUR, "exp": int(time.time()) - 61}
    visitor.cookies = {ACCESS: token(**old), REFRESH: token(token_use="refresh", **old)}
    answer = await visitor.get("/teapot")
    assert (answer.status, answer.set_cookies) == (418, {})
    assert site.seen[0].rejected.code == "JWT_EXPIRED"


async def test_a_revoked_session_is_a_new_one_and_both_cookies_are_left_alone(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    await site.manager.revoke_subject("ann")
    for only in BOTH:
        answer = await visitor.copy().get("/teapot", only=only)
        assert (answer.status, answer.set_cookies) == (418, {})
        assert site.seen.pop().rejected.code == "JWT_JTI_REVOKED"


async def test_a_session_that_is_revoked_under_its_handler_leaves_the_cookies_alone(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)

    async def slow(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["late"] = True
        await site.manager.revoke(session.sid)
        return web.Response(status=418)

    site.app.router.add_get("/slow", slow)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    answer = await visitor.get("/slow")
    assert (answer.status, answer.set_cookies) == (418, {})


async def test_after_a_bad_token_the_handler_may_store_something_new(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    visitor.cookies = {ACCESS: token(), REFRESH: "x"}
    answer = await visitor.get("/write")
    assert answer.set_cookies.keys() == BOTH
    assert not answer.deleted
    assert "sub" not in claims(visitor.cookies[ACCESS])
    assert claims(visitor.cookies[ACCESS])["sid"] != "s"


# --- session data that cannot be stored --------------------------------------------------------------------------


def too_large(session: Any) -> None:
    session["novel"] = "x" * 5000


def spoiled(session: Any) -> None:
    session["basket"] = {"items": []}
    session["basket"]["items"].append({1, 2})


def long_user(session: Any) -> None:
    session["sub"] = "x" * 1100


AT_SAVE: dict[str, tuple[Callable[[Any], None], str]] = {
    "too large": (too_large, "novel"),
    "not JSON, deep inside": (spoiled, "basket"),
    "a user that no storage keeps": (long_user, "sub"),
}
AT_THE_LINE: dict[str, tuple[str, Any]] = {
    "a reserved name": ("exp", 1),
    "a field of the session": ("sid", "mine"),
    "not JSON": ("when", {1, 2}),
    "bytes": ("raw", b"x"),
    "NaN": ("number", float("nan")),
    "a lone surrogate": ("text", "\ud800"),
}


@pytest.mark.parametrize("kind", ["returned", "raised", "stream", "socket"])
@pytest.mark.parametrize("case", AT_SAVE)
async def test_data_that_cannot_be_saved_is_500_with_the_cookies_and_the_record_as_they_were(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, case: str, kind: str
) -> None:
    spoil, key = AT_SAVE[case]
    site = Site(storage)

    async def page(request: web.Request) -> web.StreamResponse:
        spoil(await get_session(request))
        if kind == "raised":
            raise web.HTTPFound("/look")
        if kind == "returned":
            return web.Response(text="secret page")
        response: web.StreamResponse = web.StreamResponse() if kind == "stream" else web.WebSocketResponse()
        await response.prepare(request)
        return response

    path = "/socket" if kind == "socket" else "/page"
    site.app.router.add_get("/bad" + path, page)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    before = await site.record()
    for only in (None, REFRESH):
        answer = await (visitor.shake_hands if kind == "socket" else visitor.get)("/bad" + path, only=only)
        assert answer.status == 500
        assert not answer.set_cookies
        assert key not in answer.text
        assert "secret page" not in answer.text
    assert key in caplog.text
    assert await site.record() == before
    assert await visitor.is_logged_in(site.manager)


@pytest.mark.parametrize("case", AT_THE_LINE)
async def test_data_that_cannot_be_stored_is_an_error_at_that_line_that_names_the_key(
    aiohttp_client: Any, storage: FaultyStorage, case: str
) -> None:
    key, value = AT_THE_LINE[case]
    site = Site(storage)

    async def page(request: web.Request) -> web.Response:
        session = await get_session(request)
        with pytest.raises(SessionDataError) as caught:
            session[key] = value
        assert caught.value.key == key
        assert repr(key) in str(caught.value)
        site.seen.append(dict(session))
        session["fine"] = True
        session[key] = value
        return web.Response()

    site.app.router.add_get("/page", page)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    answer = await visitor.get("/page")
    assert (answer.status, answer.set_cookies) == (500, {})
    assert site.seen == [{"sub": "ann"}]
    assert await visitor.is_logged_in(site.manager)
