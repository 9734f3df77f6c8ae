"""Pages that need a fresh login, over a real server."""

from typing import Any

import pytest
from aiohttp import web

from aiohttp_lionrock import check_fresh, fresh_login, get_session, setup
from aiohttp_lionrock.testing import FakeClock

MINUTE = 60


async def log_in(request: web.Request) -> web.Response:
    (await get_session(request))["sub"] = "ann"
    return web.Response()


async def confirm(request: web.Request) -> web.Response:
    (await get_session(request)).authenticate()
    return web.Response()


@fresh_login(max_age=10 * MINUTE)
async def password(request: web.Request) -> web.Response:
    return web.Response(text="change it")


async def pay(request: web.Request) -> web.Response:
    await check_fresh(request, MINUTE, stale=web.HTTPUnauthorized)
    return web.Response(text="paid")


@pytest.mark.parametrize("storage", [None, "memory://"])
async def test_a_page_asks_for_a_login_that_is_fresh(aiohttp_client: Any, storage: str | None) -> None:
    clock = FakeClock()
    app = web.Application()
    setup(app, storage=storage, secret="for this test, 32 bytes and more", cookie={"secure": False}, clock=clock)
    for handler in (log_in, confirm, password, pay):
        app.router.add_get(f"/{handler.__name__}", handler)
    client = await aiohttp_client(app)

    async def statuses() -> list[int]:
        return [(await client.get(path)).status for path in ("/password", "/pay")]

    assert await statuses() == [401, 401]
    await client.get("/log_in")
    assert await statuses() == [200, 200]
    clock.advance(MINUTE)
    assert await statuses() == [200, 200]
    clock.advance(1)
    assert await statuses() == [200, 401]
    clock.advance(10 * MINUTE)
    assert await statuses() == [403, 401]
    await client.get("/confirm")
    assert await statuses() == [200, 200]


class Password(web.View):
    @fresh_login(MINUTE)
    async def get(self) -> web.Response:
        return web.Response(text="change it")


class Bank:
    @fresh_login(MINUTE)
    async def pay(self, request: web.Request) -> web.Response:
        return web.Response(text=f"paid at {request.path}")


async def test_a_method_and_a_view_ask_for_a_fresh_login_too(aiohttp_client: Any) -> None:
    clock = FakeClock()
    app = web.Application()
    setup(app, secret="for this test, 32 bytes and more", cookie={"secure": False}, clock=clock)
    app.router.add_get("/log_in", log_in)
    app.router.add_view("/password", Password)
    app.router.add_get("/pay", Bank().pay)
    client = await aiohttp_client(app)
    assert [(await client.get(path)).status for path in ("/password", "/pay")] == [401, 401]
    await client.get("/log_in")
    assert [await (await client.get(path)).text() for path in ("/password", "/pay")] == ["change it", "paid at /pay"]
    clock.advance(MINUTE + 1)
    assert [(await client.get(path)).status for path in ("/password", "/pay")] == [403, 403]


@pytest.mark.parametrize("wrong", [password, "600", True, None, float("nan")])
async def test_the_decorator_without_parentheses_or_a_number_is_an_error_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"@fresh_login\(600\) or @fresh_login\(\)"):
        fresh_login(wrong)
    with pytest.raises(TypeError, match="max_age takes a number of seconds"):
        await check_fresh(web.Request.__new__(web.Request), wrong)


async def test_what_is_no_handler_is_an_error_that_says_so() -> None:
    with pytest.raises(TypeError, match="whose last argument is a request, not str"):
        await fresh_login()(password)("a request")  # type: ignore[arg-type]


def test_a_class_is_no_handler() -> None:
    class Pay(web.View):
        pass

    with pytest.raises(TypeError, match="decorate the methods of Pay"):
        fresh_login()(Pay)  # type: ignore[type-var]


async def test_a_login_beyond_the_cap_is_answered_with_403_and_no_cookie(aiohttp_client: Any) -> None:
    app = web.Application()
    setup(
        app,
        storage="memory://",
        max_sessions=1,
        when_full="refuse",
        secret="for this test, 32 bytes and more",
        cookie={"secure": False},
    )
    app.router.add_get("/log_in", log_in)
    first = await aiohttp_client(app)
    assert (await first.get("/log_in")).status == 200
    first.session.cookie_jar.clear()
    refused = await first.get("/log_in")
    assert (refused.status, "Set-Cookie" in refused.headers) == (403, False)


def test_the_decorated_handler_keeps_its_name() -> None:
    assert password.__name__ == "password"


async def test_a_stale_login_is_sent_to_the_page_that_confirms_it_each_time(aiohttp_client: Any) -> None:
    clock = FakeClock()
    app = web.Application()
    setup(app, secret="for this test, 32 bytes and more", cookie={"secure": False}, clock=clock)

    @fresh_login(MINUTE, stale=lambda request: web.HTTPFound(f"/confirm?next={request.path}"))
    async def transfer(request: web.Request) -> web.Response:
        return web.Response()

    app.add_routes([web.get("/log_in", log_in), web.get("/transfer", transfer)])
    client = await aiohttp_client(app)
    await client.get("/log_in")
    clock.advance(MINUTE + 1)
    for _ in range(2):
        answer = await client.get("/transfer", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (302, "/confirm?next=/transfer")


async def test_a_function_of_stale_that_returns_a_response_is_an_error_that_names_it(
    aiohttp_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def guarded(request: web.Request) -> web.Response:
        await check_fresh(request, -1, stale=lambda request: web.Response())  # type: ignore[arg-type, return-value]
        return web.Response()

    app = web.Application()
    setup(app, secret="for tests alone: nothing is signed with it", cookie={"secure": False})
    app.add_routes([web.post("/login", log_in), web.get("/", guarded)])
    client = await aiohttp_client(app)
    await client.post("/login")
    assert (await client.get("/")).status == 500
    assert "the function of stale must return an HTTP exception, not an aiohttp.web_response.Response" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (web.HTTPFound("/confirm"), "not an aiohttp.web_exceptions.HTTPFound"),
        (web.HTTPFound, "needs no arguments.*location"),
        (403, "not 403"),
        (web.Response, "not the class"),
        (log_in, "not a"),
    ],
    ids=["made beforehand", "needs arguments", "a status", "no exception", "a coroutine function"],
)
async def test_what_cannot_be_raised_for_each_stale_login_is_an_error_at_once(wrong: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"(?s){said}.*stale=lambda request"):
        fresh_login(MINUTE, stale=wrong)
    with pytest.raises(TypeError, match=f"(?s){said}.*stale=lambda request"):
        await check_fresh(web.Request.__new__(web.Request), MINUTE, stale=wrong)
