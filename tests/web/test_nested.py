"""Applications inside applications, each with sessions of its own."""

from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, claims
from support.storages import FaultyStorage
from support.visitor import Visitor, install, start
from support.webapp import (
    BOTH,
    ask,
    crash,
    log_in,
    log_out,
    look,
    wrapped,
)

from aiohttp_lionrock import ConfigError, MemoryStorage, SessionManager, get_manager, get_session, setup

Two = tuple[Visitor, SessionManager, SessionManager]


@pytest.fixture
async def two(aiohttp_client: Any) -> Two:
    """Shop with a sub-app for the staff, each with sessions and cookies of its own."""

    async def staff_log_in(request: web.Request) -> web.Response:
        (await get_session(request))["sub"] = "staff"
        return web.Response()

    async def handshake_socket(request: web.Request) -> web.WebSocketResponse:
        (await get_session(request))["socket"] = True
        response = web.WebSocketResponse()
        await response.prepare(request)
        return response

    @web.middleware
    async def count(request: web.Request, handler: Any) -> web.StreamResponse:
        if "count" in request.query:
            session = await get_session(request)
            session["count"] = session.get("count", 0) + 1
            response: web.StreamResponse = await handler(request)
            assert await get_session(request) is session
            return response
        return await handler(request)  # type: ignore[no-any-return]

    shop, staff = web.Application(), web.Application()
    shop_manager = install(shop, storage=MemoryStorage())
    shop.middlewares.append(count)
    staff_manager = install(staff, name="staff", storage=MemoryStorage(), refresh_token=False)
    for handler in (log_in, log_out, look):
        shop.router.add_get(f"/{handler.__name__}", handler)
    for handler in (staff_log_in, log_out, look, handshake_socket, crash):
        staff.router.add_get(f"/{handler.__name__}", handler)
    shop.add_subapp("/staff", staff)
    return await start(aiohttp_client, shop), shop_manager, staff_manager


async def test_two_sessions_of_different_names_do_not_see_each_other(two: Two) -> None:
    visitor, _, _ = two
    await visitor.get("/log_in")
    assert (await visitor.get("/staff/staff_log_in")).set_cookies.keys() == {"staff"}
    assert '"ann"' in (await visitor.get("/look")).text
    assert '"staff"' in (await visitor.get("/staff/look")).text


async def test_a_logout_of_one_leaves_the_other_logged_in(two: Two) -> None:
    visitor, _, _ = two
    await visitor.get("/log_in")
    await visitor.get("/staff/staff_log_in")
    assert (await visitor.get("/staff/log_out")).deleted == {"staff"}
    assert '"ann"' in (await visitor.get("/look")).text
    await visitor.get("/staff/staff_log_in")
    assert (await visitor.get("/log_out")).deleted == BOTH
    assert '"staff"' in (await visitor.get("/staff/look")).text


@pytest.mark.parametrize("path", ["/staff/staff_log_in", "/staff/handshake_socket"])
async def test_both_sessions_may_be_written_in_one_response(two: Two, path: str) -> None:
    visitor, _, _ = two
    answer = await ask(visitor, f"{path}?count")
    assert answer.set_cookies.keys() == {"staff", *BOTH}
    assert claims(visitor.cookies[ACCESS])["count"] == 1
    assert "count" not in claims(visitor.cookies["staff"])


async def test_both_may_be_written_where_their_cookies_differ_by_path_alone(aiohttp_client: Any) -> None:
    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        (await get_session(request))["outer"] = True
        return await handler(request)  # type: ignore[no-any-return]

    shop, staff = web.Application(), web.Application()
    install(shop)
    shop.middlewares.append(note)
    install(staff, cookie={"path": "/staff"})
    staff.router.add_get("/log_in", log_in)
    shop.add_subapp("/staff", staff)
    client = await aiohttp_client(shop)
    async with client.get("/staff/log_in") as response:
        lines = response.headers.getall("Set-Cookie")
    written = {line.split("Path=")[1].split(";")[0]: claims(line.partition("=")[2].split(";")[0]) for line in lines}
    assert {path: "outer" in said for path, said in written.items()} == {"/": True, "/staff": False}
    assert len(lines) == len(set(lines))


async def test_a_crash_in_the_inner_app_keeps_both_sessions_as_they_were(two: Two) -> None:
    visitor, _, _ = two
    answer = await visitor.get("/staff/crash?count")
    assert answer.status == 500
    assert not answer.set_cookies


# --- what an outer application does to the response of an inner one ----------------------------------------------


def inner_app(storage: FaultyStorage) -> tuple[web.Application, SessionManager]:
    """An inner application whose cookies are named inner."""

    async def streamed(request: web.Request) -> web.StreamResponse:
        await act(request)
        response = web.StreamResponse()
        await response.prepare(request)
        return response

    async def returned(request: web.Request) -> web.Response:
        await act(request)
        return web.Response(text="inner")

    async def act(request: web.Request) -> None:
        session = await get_session(request)
        if request.query["act"] == "login":
            session.renew()
            session["sub"] = "ann"
        elif request.query["act"] == "logout":
            session.invalidate()

    app = web.Application()
    manager = install(app, name="inner", storage=storage)
    app.router.add_get("/returned", returned)
    app.router.add_get("/streamed", streamed)
    return app, manager


class Outer:
    """What the outer application does; ``storage`` is that of its own sessions, where it has any."""

    def __init__(self, does: str, storage: FaultyStorage | None, *, clones: bool) -> None:
        self.does, self.storage, self.clones, self.active = does, storage, clones, False

    def middleware(self) -> Any:
        @web.middleware
        async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
            if self.does != "503 late":
                await self.count(request)
            response = await handler(request.clone(remote="192.0.2.1") if self.clones else request)
            if self.does == "503 late":
                await self.count(request)
            if self.active and self.does == "raises":
                raise RuntimeError("a bug in the outer application")
            if self.active and self.does == "replaces":
                return web.Response(text="replaced")
            return response  # type: ignore[no-any-return]

        return middleware

    async def count(self, request: web.Request) -> None:
        if self.storage is not None:
            session = await get_session(request)
            session["seen"] = request.path_qs
            session.describe(place=f"outside {self.active}")  # something that the storage must be told

    async def fail(self, _: web.Request, response: web.StreamResponse) -> None:
        if self.active and self.does == "fails to prepare" and response.status == 200:
            raise RuntimeError("a bug in a prepare signal")


STATUS = {"passes": 200, "replaces": 200, "raises": 500, "503": 503, "503 late": 503, "fails to prepare": 500}
# Who streams has sent the head before anything can be replaced; and only an outer session answers 503.
CASES = [
    *[("returned", does, own) for does in ("passes", "replaces", "raises") for own in (False, True)],
    *[("streamed", does, own) for does in ("passes", "fails to prepare") for own in (False, True)],
    *[("returned", "503", True), ("returned", "503 late", True), ("streamed", "503", True)],
]


async def meet(aiohttp_client: Any, outer: Outer, storage: FaultyStorage, levels: int) -> tuple[Visitor, Any, str]:
    inner, manager = inner_app(storage)
    own = {} if outer.storage is None else {"name": "outer", "storage": outer.storage}
    inner.on_response_prepare.append(outer.fail)
    app = inner
    for level in range(levels):
        app = wrapped(app, outer.middleware(), **(own if level == levels - 1 else {}))
    return await start(aiohttp_client, app), manager, "/sub" * levels


@pytest.mark.parametrize("act", ["login", "rotation", "logout"])
@pytest.mark.parametrize(("kind", "does", "own"), CASES)
@pytest.mark.parametrize("clones", [False, True])
@pytest.mark.parametrize("levels", [1, 3])
async def test_whatever_the_outer_app_does_what_was_recorded_of_the_inner_session_is_delivered(
    aiohttp_client: Any, storage: FaultyStorage, does: str, act: str, kind: str, own: bool, clones: bool, levels: int
) -> None:
    outer = Outer(does, FaultyStorage(MemoryStorage()) if own else None, clones=clones)
    visitor, manager, prefix = await meet(aiohttp_client, outer, storage, levels)
    await visitor.get(f"{prefix}/returned?act=login")
    before = {name: value for name, value in visitor.cookies.items() if name.startswith("inner")}
    record = await storage.get(claims(before["inner-refresh"])["sid"])
    outer.active = True
    if STATUS[does] == 503 and outer.storage is not None:
        outer.storage.fail("replace", "before")
        outer.storage.fail("insert", "before")
    answer = await visitor.get(f"{prefix}/{kind}?act={act}", only="inner-refresh" if act == "rotation" else None)
    assert answer.status == STATUS[does]
    sent = {name for name in answer.set_cookies if name.startswith("inner")}
    if await storage.get(claims(before["inner-refresh"])["sid"]) == record:
        assert not sent, "cookies of what was not recorded"
    else:
        assert sent == {"inner", "inner-refresh"}
        assert answer.headers["Cache-Control"] == "no-store"
    if act == "logout":
        assert ("inner" in visitor.cookies) == (not sent)
    else:
        assert await visitor.is_logged_in(manager)
    if does != "503" and not (own and does == "raises"):  # there the inner session was not saved
        assert sent


async def test_one_manager_in_two_apps_is_one_session(aiohttp_client: Any, storage: FaultyStorage) -> None:
    seen: list[Any] = []

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        seen.append(await get_session(request))
        return await handler(request)  # type: ignore[no-any-return]

    async def inside(request: web.Request) -> web.Response:
        seen.append(await get_session(request))
        seen[-1]["inside"] = True
        return web.Response()

    outer, inner = web.Application(middlewares=[outside]), web.Application()
    manager = install(outer, storage=storage)
    setup(inner, manager=manager)
    inner.router.add_get("/inside", inside)
    outer.add_subapp("/sub", inner)
    visitor = await start(aiohttp_client, outer)
    assert (await visitor.get("/sub/inside")).set_cookies.keys() == BOTH
    assert seen[0] is seen[1]


async def test_each_request_finds_the_manager_of_the_innermost_app_that_has_one(aiohttp_client: Any) -> None:
    async def which(request: web.Request) -> web.Response:
        return web.Response(text=get_manager(request).config.access.name)

    async def session_of(request: web.Request) -> web.Response:
        (await get_session(request))["path"] = request.path
        return web.Response()

    def add_routes(app: web.Application) -> web.Application:
        app.router.add_get("/which", which)
        app.router.add_get("/session_of", session_of)
        return app

    bare = add_routes(web.Application())
    own = add_routes(web.Application())
    install(own, name="own", refresh_token=False)
    own.add_subapp("/bare", bare)
    app = add_routes(web.Application())
    manager = install(app, name="outer", refresh_token=False)
    app.add_subapp("/own", own)
    visitor = await start(aiohttp_client, app)
    for path, name in {"": "outer", "/own": "own", "/own/bare": "own"}.items():
        assert (await visitor.get(f"{path}/which")).text == name
        assert (await visitor.get(f"{path}/session_of")).set_cookies.keys() == {name}
    assert get_manager(app) is manager
    with pytest.raises(ConfigError, match="pass the request"):
        get_manager(bare)


async def test_a_page_that_is_not_there_is_answered_whichever_app_has_sessions(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    inner, _ = inner_app(storage)
    visitor = await start(aiohttp_client, wrapped(inner, name="outer"))
    for path in ("/nowhere", "/sub/nowhere", "/sub"):
        answer = await visitor.get(path)
        assert (answer.status, answer.set_cookies) == (404, {})


async def test_two_sessions_that_write_one_cookie_are_told_of_once(
    aiohttp_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        (await get_session(request))["outer"] = True
        return await handler(request)  # type: ignore[no-any-return]

    shop, staff, apart = web.Application(), web.Application(), web.Application()
    install(shop)
    shop.middlewares.append(note)
    install(staff)
    install(apart, name="apart")
    for name, inner in {"staff": staff, "apart": apart}.items():
        inner.router.add_get("/log_in", log_in)
        shop.add_subapp(f"/{name}", inner)
    visitor = await start(aiohttp_client, shop)
    await visitor.client.get("/apart/log_in")
    assert caplog.text == ""
    for _ in range(2):
        await visitor.client.get("/staff/log_in")
    [line] = [record.getMessage() for record in caplog.records if "keeps one of them" in record.getMessage()]
    assert f"write the cookie {ACCESS} with path /" in line
