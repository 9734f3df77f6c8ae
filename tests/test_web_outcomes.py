"""The table of outcomes over HTTP, row by row: what the handler sees, what happens to the cookies, which status."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jwt.api_jws import PyJWS
from support.browser import ACCESS, REFRESH, SECRET, Browser, claims
from support.storages import FaultyStorage
from support.visitor import Answer, Visitor, install, start

from aiohttp_lionrock import (
    ConfigError,
    MemoryStorage,
    SessionConfig,
    SessionDataError,
    SessionManager,
    StorageUnavailable,
    get_session,
    repairs,
    setup,
)

BOTH = {ACCESS, REFRESH}
TIMEOUT = 0.05  # seconds that a server of these tests waits for its storage
SECRETS_OF_THE_HOUSE = ("refused", "away", "storage", "Traceback", "sid", SECRET)
HOUR = 3600


@pytest.fixture(autouse=True)
def _no_secret_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage(MemoryStorage())


class Site:
    """A small site, its visitor, and what its handlers saw."""

    def __init__(self, storage: FaultyStorage, **settings: Any) -> None:
        self.app = web.Application()
        self.storage = storage
        self.manager = install(self.app, storage=storage, storage_timeout=TIMEOUT, **settings)
        self.seen: list[Any] = []
        for name in ("log_in", "log_out", "look", "write", "teapot", "renew"):
            self.app.router.add_get(f"/{name}", getattr(self, name))
        self.app.router.add_get("/file", self.file)
        self.app.router.add_get("/redirect", self.redirect)
        self.app.router.add_get("/stream", self.stream)
        self.app.router.add_get("/zipped", self.zipped)
        self.app.router.add_get("/socket", self.socket)
        self.app.router.add_get("/plain", self.plain)

    async def start(self, aiohttp_client: Any) -> Visitor:
        self.visitor = await start(aiohttp_client, self.app)
        return self.visitor

    async def record(self) -> Any:
        return await self.storage.inner.get(self.visitor.refreshing["sid"])

    async def log_in(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        session.renew()
        session["sub"] = "ann"
        return web.Response()

    async def log_out(self, request: web.Request) -> web.Response:
        (await get_session(request)).invalidate()
        return web.Response()

    async def renew(self, request: web.Request) -> web.Response:
        (await get_session(request)).renew()
        return web.Response()

    async def look(self, request: web.Request) -> web.Response:
        self.seen.append(await get_session(request))
        return web.Response()

    async def teapot(self, request: web.Request) -> web.Response:
        self.seen.append(await get_session(request))
        return web.Response(status=418)

    async def plain(self, request: web.Request) -> web.Response:
        return web.Response()

    async def change(self, request: web.Request) -> None:
        session = await get_session(request)
        session["visits"] = session.get("visits", 0) + 1
        session.describe(place="here")  # something that the storage must be told

    async def write(self, request: web.Request) -> web.Response:
        await self.change(request)
        return web.Response(text="secret page")

    async def file(self, request: web.Request) -> web.FileResponse:
        await self.change(request)
        return web.FileResponse(Path(__file__))

    async def redirect(self, request: web.Request) -> web.Response:
        await self.change(request)
        raise web.HTTPSeeOther("/look")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        await self.change(request)
        response = web.StreamResponse(headers={"X-Secret": "storage"})
        await response.prepare(request)
        await response.write(b"secret page")
        return response

    async def zipped(self, request: web.Request) -> web.StreamResponse:
        await self.change(request)
        response = web.StreamResponse()
        response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        await response.write(b"secret page")
        return response

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        await self.change(request)
        response = web.WebSocketResponse()
        await response.prepare(request)
        return response


async def ask(visitor: Visitor, path: str, *, only: str | None = None) -> Answer:
    return await (visitor.shake_hands(path, only=only) if path == "/socket" else visitor.get(path, only=only))


# --- no cookie ---------------------------------------------------------------------------------------------------


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
        "for too long": ("JWT_CLAIM", token(exp=int(time.time()) + 100 * HOUR)),
        "a refresh token": ("JWT_CLAIM", token(token_use="refresh")),
        "no jti": ("JWT_CLAIM", token(jti=...)),
        "jti as an object": ("JWT_CLAIM", token(jti={"$gt": ""})),
        "unknown to the storage": ("JWT_JTI_REVOKED", token()),
    }


@pytest.mark.parametrize("case", list(bad_tokens()))
async def test_a_bad_token_is_a_new_session_that_says_why_and_its_cookie_is_deleted(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    code, bad = bad_tokens()[case]
    site = Site(storage, cookie={"domain": "example.org", "path": "/"})
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
    assert answer.deleted == (BOTH if code == "JWT_JTI_REVOKED" else {ACCESS})
    assert "Domain=example.org" in answer.set_cookies[ACCESS]
    assert answer.headers["Cache-Control"] == "no-store"
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
    assert answer.deleted == {ACCESS}
    assert await site.record() == before


async def test_an_expired_token_alone_is_a_new_session_that_says_so(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage, refresh_token=False)
    visitor = await site.start(aiohttp_client)
    now = int(time.time())
    visitor.cookies[ACCESS] = token(iat=now - HOUR, nbf=now - HOUR, exp=now - 61)
    answer = await visitor.get("/teapot")
    assert (answer.status, answer.deleted) == (418, {ACCESS})
    assert site.seen[0].rejected.code == "JWT_EXPIRED"


async def test_two_expired_tokens_are_a_new_session_and_both_are_deleted(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    old = {"iat": int(time.time()) - HOUR, "nbf": int(time.time()) - HOUR, "exp": int(time.time()) - 61}
    visitor.cookies = {ACCESS: token(**old), REFRESH: token(token_use="refresh", **old)}
    answer = await visitor.get("/teapot")
    assert (answer.status, answer.deleted) == (418, BOTH)
    assert site.seen[0].rejected.code == "JWT_EXPIRED"


async def test_a_revoked_session_is_a_new_one_and_both_cookies_are_deleted(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    await site.manager.revoke_subject("ann")
    for only in BOTH:
        answer = await visitor.copy().get("/teapot", only=only)
        assert (answer.status, answer.deleted) == (418, BOTH)
        assert site.seen.pop().rejected.code == "JWT_JTI_REVOKED"


async def test_a_session_that_is_revoked_under_its_handler_answers_with_deletions(
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
    assert (answer.status, answer.deleted) == (418, BOTH)


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


# --- the storage cannot answer -----------------------------------------------------------------------------------


def assert_unavailable(answer: Answer) -> None:
    """503 and Retry-After, no cookie, nothing of the house's inside or the handler's page in it."""
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert not answer.set_cookies
    assert "secret page" not in answer.text
    everything = answer.text + "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    for word in SECRETS_OF_THE_HOUSE:
        assert word not in everything


@pytest.mark.parametrize("mode", ["before", "hang"])
@pytest.mark.parametrize("path", ["/look", "/write", "/file", "/redirect", "/stream", "/socket", "/log_out", "/renew"])
async def test_a_session_that_cannot_be_loaded_is_503_and_no_logout(
    aiohttp_client: Any, storage: FaultyStorage, path: str, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    cookies, before = dict(visitor.cookies), await site.record()
    for only in (None, ACCESS, REFRESH):
        storage.fail("get", mode)
        began = time.monotonic()
        assert_unavailable(await ask(visitor, path, only=only))
        assert time.monotonic() - began < 2
    assert visitor.cookies == cookies
    assert await site.record() == before
    assert site.seen == []
    await visitor.get("/look")
    assert site.seen[0]["sub"] == "ann"


@pytest.mark.parametrize("mode", ["before", "after", "hang", "hang after"])
@pytest.mark.parametrize("path", ["/write", "/file", "/redirect", "/stream", "/zipped", "/socket"])
async def test_a_session_that_cannot_be_saved_is_503_and_no_logout(
    aiohttp_client: Any, storage: FaultyStorage, path: str, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    cookies = dict(visitor.cookies)
    for only in (None, REFRESH):
        storage.fail("replace", mode)
        assert_unavailable(await ask(visitor, path, only=only))
        assert visitor.cookies == cookies
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert await visitor.is_logged_in(site.manager)
    answer = await ask(visitor, path)
    assert answer.set_cookies.keys() == BOTH
    assert not answer.deleted


@pytest.mark.parametrize("mode", ["before", "hang"])
async def test_a_first_session_that_cannot_be_saved_is_503_and_sets_no_cookie(
    aiohttp_client: Any, storage: FaultyStorage, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    for path in ("/write", "/file", "/redirect", "/stream", "/zipped", "/socket", "/log_in"):
        storage.fail("insert", mode)
        assert_unavailable(await ask(visitor, path))
        assert not visitor.cookies
    assert (await visitor.get("/log_in")).status == 200


@pytest.mark.parametrize("mode", ["before", "hang"])
@pytest.mark.parametrize(("path", "call"), [("/log_out", "delete"), ("/renew", "insert")])
async def test_a_logout_or_renewal_that_did_not_happen_is_503_and_the_session_goes_on(
    aiohttp_client: Any, storage: FaultyStorage, path: str, call: str, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    cookies = dict(visitor.cookies)
    storage.fail(call, mode)
    assert_unavailable(await visitor.get(path))
    assert visitor.cookies == cookies
    await asyncio.sleep(0.02)
    assert await visitor.is_logged_in(site.manager)
    assert [record.sid for record in await site.manager.sessions("ann")] == [visitor.refreshing["sid"]]
    assert (await visitor.get(path)).set_cookies.keys() == BOTH


async def test_what_needs_no_session_is_served_while_the_storage_is_away(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    newcomer, junk = Visitor(visitor.client), Visitor(visitor.client, {ACCESS: "junk"})
    with storage.away():
        assert (await visitor.get("/plain")).status == 200
        assert (await visitor.get("/nowhere")).status == 404
        assert (await newcomer.get("/look")).status == 200
        assert (await junk.get("/look")).deleted == {ACCESS}
        assert_unavailable(await visitor.get("/look"))
    assert await visitor.is_logged_in(site.manager)


async def test_an_app_starts_while_its_storage_is_down_and_serves_when_it_is_back(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    storage.down = True
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    assert "not available at start" in caplog.text
    assert_unavailable(await visitor.get("/write"))
    storage.down = False
    assert (await visitor.get("/write")).set_cookies.keys() == BOTH


async def test_an_app_starts_in_time_while_its_storage_hangs(aiohttp_client: Any, storage: FaultyStorage) -> None:
    storage.fail("open", "hang", times=2)
    site = Site(storage)
    visitor = await asyncio.wait_for(site.start(aiohttp_client), 1)
    assert_unavailable(await visitor.get("/write"))
    assert (await visitor.get("/write")).set_cookies.keys() == BOTH


async def test_an_outage_that_a_handler_meets_by_itself_is_503_too(aiohttp_client: Any, storage: FaultyStorage) -> None:
    site = Site(storage)

    async def everywhere(request: web.Request) -> web.Response:
        (await get_session(request))["seen"] = True
        return web.json_response(await site.manager.revoke_subject("ann"))

    site.app.router.add_get("/everywhere", everywhere)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("delete_subject", "before")
    assert_unavailable(await visitor.get("/everywhere"))
    assert await visitor.is_logged_in(site.manager)


async def test_an_outage_is_logged_with_its_cause_and_without_a_token(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    await visitor.get("/look")
    assert "get: refused" in caplog.text
    for value in visitor.cookies.values():
        assert value not in caplog.text


async def test_a_rotation_that_was_not_acknowledged_is_no_replay_when_the_client_comes_back_late(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    now = [time.time() - HOUR]
    site = Site(storage)
    early = SessionManager(site.manager.config, clock=lambda: now[0], environ={})
    browser = Browser(early)
    await browser.log_in()
    storage.fail("replace", "after")
    with pytest.raises(Exception, match="lost"):
        await browser.refresh()
    await asyncio.sleep(0.02)
    visitor = await site.start(aiohttp_client)
    visitor.cookies = dict(browser.cookies)
    assert (await visitor.refresh("/look")).set_cookies.keys() == BOTH
    assert site.seen[0]["sub"] == "ann"
    await early.aclose()


async def test_a_handler_that_answers_otherwise_after_a_failed_prepare_leaves_the_client_a_good_session_or_none(
    aiohttp_client: Any, storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 0.002)
    site = Site(storage)

    async def stubborn(request: web.Request) -> web.StreamResponse:
        await site.change(request)
        response = web.StreamResponse()
        try:
            await response.prepare(request)
        except StorageUnavailable:
            return web.Response(text="something else")
        return response

    site.app.router.add_get("/stubborn", stubborn)
    visitor = await site.start(aiohttp_client)
    for mode in ("before", "after"):
        visitor.cookies.clear()
        storage.fail("insert", mode)
        storage.fail("delete", "before", times=2)
        await visitor.get("/stubborn")
        await asyncio.sleep(0.05)
        assert not visitor.cookies or await visitor.is_logged_in(site.manager)


# --- the configuration is wrong ----------------------------------------------------------------------------------


def test_a_wrong_configuration_stops_the_app_with_every_fault_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        setup(
            web.Application(),
            secret=SECRET,
            algorithm="none",
            cookie={"same_site": "Sometimes"},
            storage_timeout=0,
            expires=-1,
            refresh_tokens=True,
        )
    text = str(caught.value)
    for word in ("algorithm", "same_site", "storage_timeout", "expires", "did you mean refresh_token?"):
        assert word in text
    assert len(caught.value.faults) == 5
    assert SECRET not in text


async def test_a_storage_that_cannot_be_configured_stops_the_app_at_setup_not_at_a_request() -> None:
    app = web.Application()
    with pytest.raises(ConfigError, match="no storage backend named 'nowhere'"):
        setup(app, SessionConfig(secret=SECRET, storage="nowhere://x"))


async def test_a_configuration_fault_that_opening_finds_stops_the_app(
    storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_a_fault() -> None:
        raise ConfigError("the table is newer than this library")

    monkeypatch.setattr(storage, "open", find_a_fault)
    runner = web.AppRunner(Site(storage).app)
    with pytest.raises(ConfigError, match="newer"):
        await runner.setup()
    await runner.cleanup()


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
