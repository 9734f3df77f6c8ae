"""The programs of the how-to pages do what their pages say."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.pages import Serve, ask, assert_unavailable, blocks_of, cookies_of, program, run_pytest

from aiohttp_lionrock import (
    MemoryStorage,
    Session,
    SessionConfig,
    SessionManager,
    get_manager,
    get_session,
    new_session,
    setup,
)
from aiohttp_lionrock.testing import FakeClock
from aiohttp_lionrock.testing import log_in as log_in_as

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def log_in(client: Any, user: str, path: str = "/login") -> None:
    await ask(client, path, "POST", data={"user": user})


async def test_login_and_logout(serve: Serve) -> None:
    make_app = program("how-to/login", 0)["make_app"]
    client = await serve(make_app())
    assert (await client.get("/")).status == 401
    await log_in(client, "ann")
    assert await ask(client, "/") == {"user": "ann"}
    copy = cookies_of(client)
    response = await client.post("/logout", allow_redirects=False)
    assert (response.status, cookies_of(client)) == (303, {})
    thief = await serve(make_app(), copy)
    assert (await thief.get("/")).status == 401
    assert cookies_of(thief) == copy, "a refusal deletes nothing"


async def clear(request: web.Request, session: Session) -> None:
    session.clear()


async def invalidate(request: web.Request, session: Session) -> None:
    session.invalidate()


async def renewed(request: web.Request, session: Session) -> None:
    await new_session(request)


async def pop(request: web.Request, session: Session) -> None:
    session.pop("sub")


async def pop_and_assign(request: web.Request, session: Session) -> None:
    session.pop("sub")
    session["bye"] = 1


async def to_bob(request: web.Request, session: Session) -> None:
    session["sub"] = "bob"


async def to_ann(request: web.Request, session: Session) -> None:
    session["sub"] = "ann"


ANN, NOBODY = {"sub": "ann", "cart": 1}, {"cart": 1}
ROWS = [
    # what the handler does, the session before, what it holds after, whether the id stays, whether older tokens hold
    (invalidate, ANN, {}, False),
    (invalidate, NOBODY, {}, False),
    (renewed, ANN, {}, False),
    (clear, ANN, {}, False),
    (clear, NOBODY, {}, True),
    (pop, ANN, {}, False),
    (pop_and_assign, ANN, {"bye": 1}, False),
    (to_bob, ANN, {"sub": "bob"}, False),
    (to_ann, NOBODY, {"sub": "ann", "cart": 1}, False),
    (to_ann, ANN, ANN, True),
]


@pytest.mark.parametrize(("act", "before", "after", "stays"), ROWS, ids=lambda value: getattr(value, "__name__", None))
async def test_the_table_of_what_counts_as_a_logout(
    serve: Serve, act: Any, before: dict[str, Any], after: dict[str, Any], stays: bool
) -> None:
    async def start(request: web.Request) -> web.Response:
        session = await get_session(request)
        session.update(before)
        return web.json_response(session.sid)

    async def handler(request: web.Request) -> web.Response:
        await act(request, await get_session(request))
        return web.json_response({})

    async def look(request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.json_response({"sid": session.sid, "data": dict(session)})

    def make_app() -> web.Application:
        app = web.Application()
        setup(app, storage=storage, refresh_token=True)
        for route in (start, handler, look):
            app.router.add_get(f"/{route.__name__}", route)
        return app

    storage = MemoryStorage()
    client = await serve(make_app())
    await ask(client, "/start")
    sid, old = (await ask(client, "/look"))["sid"], cookies_of(client)
    await ask(client, "/handler")
    seen = await ask(client, "/look")
    assert seen["data"] == after
    assert (cookies_of(client) == {}) == (not after and not stays)
    assert (seen["sid"] == sid) == stays
    copy = await serve(make_app(), old)
    assert (await ask(copy, "/look"))["data"] == (before if stays else {})


async def test_the_user_may_be_under_another_key(serve: Serve, place: Path) -> None:
    app = program("how-to/login", 1)["make_app"]()
    client = await serve(app)
    assert await ask(client, "/login", "POST", data={"id": "7"}) == {"subject": "7"}
    for user in (7, "7"):
        assert [record.subject for record in await get_manager(app).sessions(user)] == ["7"]


async def test_a_function_may_find_the_user(serve: Serve) -> None:
    async def login(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["account"] = {"id": 7}
        return web.json_response(session.subject)

    app = web.Application()
    setup(app, subject_key=lambda data: (data.get("account") or {}).get("id"))
    app.router.add_get("/", login)
    assert await ask(await serve(app), "/") == "7"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The time of the server and of the browser."""
    clock = FakeClock(time.time())
    monkeypatch.setattr(time, "time", clock)
    return clock


def lasting(client: Any) -> list[bool]:
    """Which of the cookies outlive the browser."""
    return [bool(cookie["max-age"]) for cookie in client.session.cookie_jar]


async def test_a_login_is_remembered_or_ends_with_the_browser(serve: Serve, clock: FakeClock) -> None:
    make_app = program("how-to/lifetimes")["make_app"]
    remembered, forgotten = [await serve(make_app()) for _ in range(2)]
    await ask(remembered, "/login", "POST", data={"user": "ann", "remember": "yes"})
    await ask(forgotten, "/login", "POST", data={"user": "ann"})
    assert (lasting(remembered), lasting(forgotten)) == ([True] * 2, [False] * 2)
    for days in (6, 6, 6, 6, 5):
        clock.advance(days * 24 * 60 * 60)
        assert await ask(remembered, "/") == {"user": "ann"}, "it is used, and its 30 days are not over"
    clock.advance(2 * 24 * 60 * 60)
    assert await ask(remembered, "/") == {"user": None}


async def test_a_session_that_is_not_used_ends(serve: Serve, clock: FakeClock) -> None:
    make_app = program("how-to/lifetimes")["make_app"]
    client, remembered = await serve(make_app()), await serve(make_app())
    await ask(client, "/login", "POST", data={"user": "ann"})
    await ask(remembered, "/login", "POST", data={"user": "ann", "remember": "yes"})
    clock.advance(8 * 24 * 60 * 60)
    assert await ask(client, "/") == {"user": None}
    assert await ask(remembered, "/") == {"user": "ann"}


async def test_a_page_asks_for_the_password_again(serve: Serve, clock: FakeClock) -> None:
    client = await serve(program("how-to/step-up")["make_app"]())
    assert (await client.post("/pay")).status == 401
    assert (await client.post("/confirm")).status == 401
    await log_in(client, "ann")
    assert await ask(client, "/pay", "POST") == {"paid": True}
    clock.advance(301)
    assert (await client.post("/pay")).status == 403
    await ask(client, "/confirm", "POST")
    assert await ask(client, "/pay", "POST") == {"paid": True}


async def test_devices_are_listed_and_ended(serve: Serve) -> None:
    make_app = program("how-to/devices")["make_app"]
    phone, laptop, tablet, bob = [await serve(make_app()) for _ in range(4)]
    for client in (phone, laptop, tablet):
        await ask(client, "/login", "POST", data={"user": "ann"}, headers={"User-Agent": FIREFOX})
    await log_in(bob, "bob")
    listed = await ask(phone, "/devices")
    assert [(row["browser"], row["system"]) for row in listed] == [("Firefox", "Windows")] * 3
    assert [row["here"] for row in listed].count(True) == 1

    [other] = await ask(bob, "/devices")
    assert (await phone.post(f"/devices/{other['id']}/end")).status == 404
    assert len(await ask(bob, "/devices")) == 1
    [own] = [row for row in await ask(tablet, "/devices") if row["here"]]
    assert await ask(phone, f"/devices/{own['id']}/end", "POST") == {"ended": True}
    assert (await tablet.get("/devices")).status == 401
    assert await ask(phone, "/logout-elsewhere", "POST") == {"ended": 1}
    assert (await laptop.get("/devices")).status == 401
    assert await ask(phone, "/logout-everywhere", "POST") == {"ended": 1}
    assert (await phone.get("/devices")).status == 401
    assert len(await ask(bob, "/devices")) == 1


async def test_who_is_logged_in_are_those_with_live_sessions(clock: FakeClock) -> None:
    who_is_logged_in = program("how-to/devices", 1)["who_is_logged_in"]
    async with SessionManager(SessionConfig(storage="memory://"), clock=clock) as manager:

        async def enter(user: str | None, cookies: dict[str, str] | None = None) -> dict[str, str]:
            session = await manager.load(cookies or {})
            session.renew()
            session.update({"sub": user} if user else {"cart": 1})
            return {change.name: change.value or "" for change in await manager.save(session)}

        assert await who_is_logged_in(manager) == {}
        for user in ("bob", "ann", None):
            await enter(user)
        assert [*await who_is_logged_in(manager)] == ["ann", "bob"]
        await manager.revoke_all()
        assert await who_is_logged_in(manager) == {}
        clock.advance(5)
        await enter("ann", await enter("ann"))  # the record from before is still there
        assert {user: len(found) for user, found in (await who_is_logged_in(manager)).items()} == {"ann": 1}
        assert manager.storage is not None
        records, _ = await manager.storage.scan()
        assert len(records) == 6


async def test_a_long_user_agent_does_not_fail_a_login(serve: Serve) -> None:
    client = await serve(program("how-to/devices")["make_app"]())
    await ask(client, "/login", "POST", data={"user": "ann"}, headers={"User-Agent": "x" * 3000})
    assert len((await ask(client, "/devices"))[0]["browser"]) < 100


async def test_a_second_click_is_a_login_again_and_a_change_of_password_that_is_refused(serve: Serve) -> None:
    async def fill(request: web.Request) -> web.Response:
        (await get_session(request))["cart"] = 1
        return web.json_response({})

    async def look(request: web.Request) -> web.Response:
        return web.json_response(dict(await get_session(request)))

    def make_app() -> web.Application:
        app: web.Application = program("how-to/password-change", 0)["make_app"]()
        app.add_routes([web.get("/fill", fill), web.get("/look", look)])
        return app

    first = await serve(make_app())
    await ask(first, "/fill")
    second = await serve(make_app(), cookies_of(first))
    for client in (first, second):
        await log_in(client, "ann")
    assert await ask(second, "/look") == {"cart": 1, "sub": "ann"}
    async with SessionManager(SessionConfig(storage="sqlite:///sessions.db")) as manager:
        assert len(await manager.sessions("ann")) == 2
    before = cookies_of(second)
    assert (await second.post("/password")).status == 200
    assert (await (await serve(make_app(), before)).post("/password")).status == 401


@pytest.mark.parametrize("order", ["renew first", "revoke first"])
async def test_a_password_change_ends_the_others(serve: Serve, order: str) -> None:
    code = blocks_of("how-to/password-change")[0]
    renew = "    session.renew()\n    ended = await get_manager(request).revoke_others(session)\n"
    assert renew in code
    names: dict[str, Any] = program("how-to/password-change", 0)
    if order == "revoke first":
        code = code.replace(renew, "".join(reversed(renew.splitlines(keepends=True))))
        exec(compile(code, "password-change", "exec"), names)
    here, there = [await serve(names["make_app"]()) for _ in range(2)]
    for client in (here, there):
        await log_in(client, "ann")
    assert await ask(here, "/password", "POST") == {"ended": 1}
    assert (await there.post("/password")).status == 401
    assert await ask(here, "/password", "POST") == {"ended": 0}


async def test_a_password_reset_ends_all_and_logs_in(serve: Serve) -> None:
    make_app = program("how-to/password-change", 1)["make_app"]
    first, second = [await serve(make_app()) for _ in range(2)]
    assert await ask(first, "/reset", "POST", data={"user": "ann"}) == {"ended": 0}
    assert await ask(second, "/reset", "POST", data={"user": "ann"}) == {"ended": 1}


async def test_everyone_is_logged_out(serve: Serve, clock: FakeClock) -> None:
    make_app = program("how-to/everyone-out", 0)["make_app"]
    admin, bob, visitor = [await serve(make_app()) for _ in range(3)]
    assert (await visitor.post("/everyone-out")).status == 403
    await log_in(admin, "ann")
    await log_in(bob, "bob")
    assert (await bob.post("/everyone-out")).status == 403
    clock.advance(601)
    assert (await admin.post("/everyone-out")).status == 403
    await log_in(admin, "ann")
    assert await ask(bob, "/") == {"user": "bob"}
    assert await ask(admin, "/everyone-out", "POST") == {"over": int(clock())}
    assert await ask(admin, "/") == {"user": None}
    clock.advance(1)
    assert await ask(bob, "/") == {"user": None}
    for client, user in ((admin, "ann"), (bob, "bob")):
        await log_in(client, user)
        assert await ask(client, "/") == {"user": user}


async def test_everyone_is_logged_out_though_clocks_differ() -> None:
    config = SessionConfig(storage="memory://")
    async with SessionManager(config) as manager:
        session = await manager.load({})
        session["sub"] = "ann"
        await manager.save(session)
        assert await program("how-to/everyone-out", 1)["everyone_out"](manager) >= int(manager.now()) + 29
        assert await manager.sessions("ann") == []


async def test_a_single_page_application(serve: Serve, clock: FakeClock) -> None:
    client = await serve(program("how-to/single-page", 0)["make_app"]())
    async with client.get("/api/me") as response:
        assert (response.status, await response.json()) == (401, {"error": "NO_SESSION"})
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await client.post("/api/login", json={"user": "ann"}, headers=foreign)).status == 403
    await ask(client, "/api/login", "POST", json={"user": "ann"})
    clock.advance(700)
    burst = await asyncio.gather(*[ask(client, "/api/me") for _ in range(10)])
    assert burst == [{"user": "ann"}] * 10
    copy = cookies_of(client)
    await ask(client, "/api/logout", "POST")
    thief = await serve(program("how-to/single-page", 0)["make_app"](), copy)
    async with thief.get("/api/me") as response:
        assert (response.status, await response.json()) == (401, {"error": "JWT_JTI_REVOKED"})


async def test_an_api_with_a_host_of_its_own_lets_its_page_in(serve: Serve) -> None:
    client = await serve(program("how-to/single-page", 1)["make_app"]())
    page = {"Origin": "https://app.example", "Sec-Fetch-Site": "same-site"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    async with client.options("/visits", headers={**page, **asks}) as response:
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
    for visits in (1, 2):
        async with client.post("/visits", headers=page) as response:
            assert await response.json() == {"visits": visits}
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert (await client.post("/visits", headers={**page, "Origin": "https://evil.example"})).status == 403


async def test_requests_of_other_sites_are_refused(serve: Serve) -> None:
    client = await serve(program("how-to/cross-site")["make_app"]())
    foreign = {"Origin": "https://evil.example"}
    assert (await client.post("/transfer", headers=foreign)).status == 403
    assert (await client.post("/webhook", headers=foreign)).status == 200
    for headers in ({}, {"Origin": "https://partner.example"}, {"Sec-Fetch-Site": "same-origin"}):
        await ask(client, "/transfer", "POST", headers=headers)


async def test_a_flash_message_is_shown_once(serve: Serve) -> None:
    client = await serve(program("how-to/flash", 0)["make_app"]())
    assert await ask(client, "/save", "POST") == [["Saved.", "success"]]
    assert await ask(client, "/") == []


# aiohttp-jinja2 1.6 keeps its context under a key of text, which aiohttp 3.14 warns of.
@pytest.mark.filterwarnings("ignore:It is recommended to use web.RequestKey")
async def test_a_template_shows_messages_and_the_session(serve: Serve) -> None:
    client = await serve(program("how-to/flash", 1)["make_app"]())
    async with client.get("/") as response:
        text = await response.text()
    assert '<p class="message">Welcome &lt;back&gt;.</p>' in text
    assert "Nobody is here." in text


async def test_a_sub_application_shares_the_session_or_has_its_own(serve: Serve) -> None:
    client = await serve(program("how-to/sub-applications")["make_app"]())
    for path, visits in (("/", 1), ("/shop/", 2), ("/admin/", 1), ("/admin/", 2), ("/", 3)):
        assert await ask(client, path) == {"visits": visits}
    both = cookies_of(client)
    swapped = {"admin-session": both["lionrock-session"], "lionrock-session": both["admin-session"]}
    forger = await serve(program("how-to/sub-applications")["make_app"](), swapped)
    for path in ("/admin/", "/"):
        assert await ask(forger, path) == {"visits": 1}, "the audience is another one"


async def test_applications_on_one_host_do_not_disturb_each_other(serve: Serve) -> None:
    make_app = program("how-to/several-applications")["make_app"]
    shop = await serve(make_app("shop"))
    await ask(shop, "/")
    wiki = await serve(make_app("wiki"), cookies_of(shop))
    assert await ask(wiki, "/") == {"visits": 1}
    both = cookies_of(wiki)
    assert both.keys() == {"shop-session", "wiki-session"}
    assert await ask(await serve(make_app("shop"), both), "/") == {"visits": 2}
    forged = {"wiki-session": both["shop-session"]}
    assert await ask(await serve(make_app("wiki"), forged), "/") == {"visits": 1}, "the audience is another one"


async def test_a_guard_reads_access_tokens_and_sends_the_browser_where_they_are_refreshed(serve: Serve) -> None:
    make_app = program("how-to/guard")["make_app"]
    client = await serve(make_app())
    assert (await client.get("/guard/")).status == 401
    assert (await client.post("/login")).status == 200
    assert (await client.get("/guard/")).status == 204
    both = cookies_of(client)
    later = await serve(make_app(), {"lionrock-session-refresh": both["lionrock-session-refresh"]})
    refused = await later.get("/guard/")
    assert (refused.status, refused.cookies) == (401, {})
    for path, sent_to in (("/wiki/page.html", "/wiki/page.html"), ("//evil.example", "/"), ("/\\evil.example", "/")):
        refreshed = await later.get("/refresh", params={"to": path}, allow_redirects=False)
        assert (refreshed.status, refreshed.headers["Location"]) == (303, sent_to)
    assert (await later.get("/guard/")).status == 204
    swapped = await serve(make_app(), {"lionrock-session": both["lionrock-session-refresh"]})
    assert (await swapped.get("/guard/")).status == 401


async def test_a_tenant_refuses_the_cookies_of_another(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await serve(program("how-to/tenants")["make_app"]())
    for host, expected in (("red", 1), ("red", 2), ("blue", 1), ("blue", 2), ("red", 1)):
        assert await ask(client, "/", headers={"Host": f"{host}.example:80"}) == {"visits": expected}
    assert await ask(client, "/", headers={"Host": "unknown"}) == {"visits": 1}
    monkeypatch.delenv("SESSION_SECRET")
    client = await serve(program("how-to/tenants")["make_app"]())
    assert await ask(client, "/", headers={"Host": "red.example"}) == {"visits": 1}
    assert (await client.get("/", headers={"Host": "unknown"})).status == 500


async def test_a_tenant_without_an_environment_logs_out_nobody_else(serve: Serve, clock: FakeClock) -> None:
    tenant_out = program("how-to/tenants", 1)["tenant_out"]
    names = program("how-to/tenants")
    app = web.Application()
    manager = setup(app, storage="memory://", request_env=names["environment"], clock=clock)
    app.router.add_get("/", names["visits"])
    red, other = [await serve(app), {"Host": "red.example"}], [await serve(app), {"Host": "unknown"}]
    for client, headers in (red, other):
        assert await ask(client, "/", headers=headers) == {"visits": 1}
    await tenant_out(manager, names["TENANTS"].get("unknown"))
    clock.advance(2)
    assert [await ask(client, "/", headers=headers) for client, headers in (red, other)] == [
        {"visits": 2},
        {"visits": 1},
    ]


async def test_aiohttp_security_finds_the_user_in_the_session(serve: Serve) -> None:
    make_app = program("how-to/aiohttp-security")["make_app"]
    client = await serve(make_app())
    assert (await client.get("/")).status == 401
    assert (await client.post("/login", data={"user": "ann"})).status == 200
    assert await ask(client, "/") == {"user": "ann"}
    copy = cookies_of(client)
    assert (await client.post("/logout")).status == 200
    assert cookies_of(client) == {}
    assert (await (await serve(make_app(), copy)).get("/")).status == 401


async def test_callbacks_take_the_place_of_a_storage(serve: Serve) -> None:
    names = program("how-to/callbacks")
    client = await serve(names["make_app"]())
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    copy = cookies_of(client)
    await ask(client, "/logout", "POST")
    thief = await serve(names["make_app"](), copy)
    assert await ask(thief, "/") == {"visits": 1}
    names["issued"].clear()
    assert await ask(thief, "/") == {"visits": 1}
    names["persist"].__globals__["issued"] = None
    failing = await serve(names["make_app"](), cookies_of(thief))
    assert_unavailable(await failing.get("/"))


@pytest.mark.parametrize("stage", ["development", "production"])
async def test_cookies_go_over_http_in_development_alone(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setenv("APP_ENV", stage)
    client = await serve(program("how-to/development")["make_app"]())
    async with client.get("/") as response:
        assert ("Secure" in response.headers["Set-Cookie"]) == (stage == "production")


def test_the_tests_of_an_application_pass(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET")
    [code] = [blocks_of("how-to/testing")[0]]
    (place / "test_app.py").write_text(code)
    assert "6 passed" in run_pytest(place, "test_app.py")


async def test_live_connections_end_with_their_session(serve: Serve) -> None:
    async def leave(request: web.Request) -> web.Response:
        (await get_session(request)).invalidate()
        return web.json_response({})

    app = program("how-to/live")["make_app"]()
    app.add_routes([web.post("/login", program("how-to/login", 0)["login"]), web.post("/logout", leave)])
    client = await serve(app)
    assert (await client.get("/live")).status == 401
    await log_in(client, "ann")
    async with client.ws_connect("/live") as socket, client.get("/news") as news:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=5) == "ann: hello"
        await ask(client, "/logout", "POST")
        assert (await socket.receive(timeout=5)).data == 4401
        assert (await news.read()).endswith(b"event: goodbye\ndata: logout\n\n")


async def test_a_socket_sends_what_comes_from_elsewhere_and_its_handler_leaves_with_its_client(serve: Serve) -> None:
    names = program("how-to/live", 1)
    app = names["make_app"]()
    client = await serve(app)
    await log_in_as(client, {"sub": "ann"})
    async with client.ws_connect("/live") as socket:
        await app[names["QUEUES"]]["ann"].put("news")
        assert await socket.receive_str(timeout=5) == "news"
    async with client.ws_connect("/live") as socket:
        await app[names["QUEUES"]]["ann"].put("more news")
        assert await socket.receive_str(timeout=5) == "more news", "the handler before has left the queue alone"
        await get_manager(app).revoke_subject("ann")
        assert (await socket.receive(timeout=5)).data == 4401
