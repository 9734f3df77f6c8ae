"""Applications inside applications, each with sessions of its own."""

from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, claims
from support.visitor import Visitor, install, start
from support.webapp import (
    BOTH,
    ask,
    crash,
    log_in,
    log_out,
    look,
)

from aiohttp_lionrock import (
    MemoryStorage,
    SessionManager,
    get_session,
)

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


async def test_a_crash_in_the_inner_app_keeps_both_sessions_as_they_were(two: Two) -> None:
    visitor, _, _ = two
    answer = await visitor.get("/staff/crash?count")
    assert answer.status == 500
    assert not answer.set_cookies
