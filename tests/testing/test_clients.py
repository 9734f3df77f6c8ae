"""The helpers for tests of applications, used as their users use them: on an application of aiohttp."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import CookieJar, DummyCookieJar, web

from aiohttp_lionrock import SessionConfig, SessionManager, get_manager, get_session, setup
from aiohttp_lionrock.testing import FakeClock, FaultyStorage, expire_access, log_in, session_of


async def me(request: web.Request) -> web.Response:
    session = await get_session(request)
    return web.json_response([session.get("sub"), session.sid, type(session.rejected).__name__])


async def visit(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["visits"] = session.get("visits", 0) + 1
    return web.Response()


async def log_out(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    return web.Response()


def make_app(**settings: Any) -> web.Application:
    app = web.Application()
    setup(app, **settings)
    app.add_routes([web.get("/me", me), web.get("/visit", visit), web.get("/log_out", log_out)])
    return app


async def ask(client: Any) -> Any:
    async with client.get("/me") as response:
        return await response.json()


PLACED = {"cookie": {"secure": False, "path": "/me"}}


@pytest.mark.parametrize("more", [{}, {"refresh_token": True}, {"storage": None}, PLACED])
async def test_a_client_is_logged_in(aiohttp_client, session_settings, more) -> None:
    client = await aiohttp_client(make_app(**{**session_settings, **more}))
    session = await log_in(client, {"sub": "ann", "role": "admin"})
    assert await ask(client) == ["ann", session.sid, "NoneType"]
    again = await log_in(client, {"sub": "bob"})
    assert await ask(client) == ["bob", again.sid, "NoneType"]


async def test_a_login_over_http_with_secure_cookies_says_what_to_do(aiohttp_client, session_settings) -> None:
    app = make_app(**{**session_settings, "cookie": None})
    client = await aiohttp_client(app)
    with pytest.raises(RuntimeError, match="'secure': False"):
        await log_in(client, {"sub": "ann"})


async def test_secure_cookies_do_where_the_clients_jar_takes_the_server_for_safe(
    aiohttp_server, aiohttp_client, session_settings
) -> None:
    server = await aiohttp_server(make_app(**{**session_settings, "cookie": None}))
    jar = CookieJar(unsafe=True, treat_as_secure_origin=server.make_url("/"))
    client = await aiohttp_client(server, cookie_jar=jar)
    await log_in(client, {"sub": "ann"})
    assert (await ask(client))[0] == "ann"


async def test_a_client_that_keeps_no_cookies_cannot_be_logged_in(aiohttp_client, session_settings) -> None:
    client = await aiohttp_client(make_app(**session_settings), cookie_jar=DummyCookieJar())
    with pytest.raises(RuntimeError, match="cookie jar that keeps cookies"):
        await log_in(client, {"sub": "ann"})


async def test_a_tenants_client_is_logged_in_with_the_tenants_secret(aiohttp_client, session_settings) -> None:
    tenant = {"SESSION_SECRET": "the secret of one tenant, and of no other"}
    client = await aiohttp_client(make_app(**session_settings, request_env=lambda request: tenant))
    await log_in(client, {"sub": "ann"}, env=tenant)
    assert (await ask(client))[0] == "ann"
    expire_access(client, env=tenant)
    assert (await ask(client))[2] == "TokenExpired"
    await log_in(client, {"sub": "ann"})
    assert (await ask(client))[2] == "TokenForged"


async def test_a_client_of_the_whole_application_is_logged_in_to_one_that_is_mounted_in_it(
    aiohttp_client, session_settings
) -> None:
    root, admin = web.Application(), make_app(**session_settings, refresh_token=True)
    root.add_subapp("/admin", admin)
    client = await aiohttp_client(root)
    with pytest.raises(RuntimeError, match="as in app=admin"):
        await log_in(client, {"sub": "ann"})
    session = await log_in(client, {"sub": "ann"}, app=admin)
    expire_access(client, app=admin)
    async with client.get("/admin/me") as response:
        assert await response.json() == ["ann", session.sid, "NoneType"]
        assert "lionrock-session" in response.cookies


@pytest.mark.parametrize("refresh", [True, False])
async def test_an_access_token_expires_at_once(aiohttp_client, session_settings, refresh: bool) -> None:
    client = await aiohttp_client(make_app(**session_settings, refresh_token=refresh))
    session = await log_in(client, {"sub": "ann"})
    expire_access(client)
    subject, sid, fault = await ask(client)
    if refresh:
        assert (subject, sid) == ("ann", session.sid)
        assert (await ask(client))[0] == "ann"
    else:
        assert (subject, fault) == (None, "TokenExpired")


async def test_an_access_token_expires_whatever_environment_its_secret_comes_from(aiohttp_client) -> None:
    config = SessionConfig(storage="memory://", refresh_token=True, cookie={"secure": False})
    app = web.Application()
    setup(app, manager=SessionManager(config, environ={"SESSION_SECRET": "of this manager alone, 32 bytes long"}))
    app.router.add_get("/me", me)
    client = await aiohttp_client(app)
    session = await log_in(client, {"sub": "ann"})
    expire_access(client)
    assert await ask(client) == ["ann", session.sid, "NoneType"]
    assert len(client.session.cookie_jar) == 2


async def test_nothing_expires_where_nobody_is_logged_in(aiohttp_client, session_settings) -> None:
    client = await aiohttp_client(make_app(**session_settings))
    with pytest.raises(RuntimeError, match="log in first"):
        expire_access(client)


async def test_the_session_of_a_response_is_the_one_that_it_wrote(aiohttp_client, session_settings) -> None:
    client = await aiohttp_client(make_app(**session_settings, refresh_token=True))
    before = await log_in(client, {"sub": "ann"})
    written = session_of(await client.get("/visit"))
    assert written is not None
    assert (dict(written), written.sid, written.id) == ({"sub": "ann", "visits": 1}, before.sid, before.id)
    assert session_of(await client.get("/me")) is None
    assert session_of(await client.get("/log_out")) is None


async def test_a_revoked_session_and_a_storage_that_is_down(aiohttp_client, session_settings, session_storage) -> None:
    app = make_app(**session_settings)
    client = await aiohttp_client(app)
    await log_in(client, {"sub": "ann"})
    with session_storage.away():
        assert (await client.get("/me")).status == 503
    assert (await ask(client))[0] == "ann"
    await get_manager(app).revoke_subject("ann")
    assert (await ask(client))[2] == "TokenRevoked"


async def test_the_fixtures_belong_together(
    aiohttp_client, session_settings, session_clock: FakeClock, session_storage: FaultyStorage
) -> None:
    client = await aiohttp_client(make_app(**session_settings))
    await log_in(client, {"sub": "ann"})
    assert "insert" in session_storage.calls
    session_clock.advance(3 * 3600)
    assert (await ask(client))[2] == "TokenExpired"


async def test_a_plan_that_does_not_exist_is_refused(session_storage: FaultyStorage) -> None:
    with pytest.raises(ValueError, match="mode must be one of before"):
        session_storage.fail("get", "sometimes")  # type: ignore[arg-type]


def test_the_plugin_is_not_loaded_unless_it_is_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--fixtures", "-q"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert "aiohttp_client" in ran.stdout
    assert "session_clock" not in ran.stdout
