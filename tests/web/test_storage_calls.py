"""What each kind of request asks of the storage, as the documentation's table says: these calls and no others."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from support.browser import REFRESH, Browser, make_manager
from support.pages import rows
from support.storages import Recorder
from support.visitor import Visitor, start

from aiohttp_lionrock import (
    MemoryStorage,
    Session,
    SessionManager,
    check_fresh,
    flash,
    flashes,
    get_session,
    setup,
    watch,
)
from aiohttp_lionrock.testing import FakeClock

HOUR, DAY = 3600, 86_400
IDLE = {"idle_timeout": 1000, "touch_interval": 100}
REFUSING = {"max_sessions": 1, "when_full": "refuse"}
TABLE = {what: (calls, after) for what, calls, after in rows("concepts/request", "What it asks of the storage")}

Act = Callable[[Session], object]
Page = Callable[[web.Request], Any]


def does(act: Act) -> Page:
    async def page(request: web.Request) -> web.Response:
        act(await get_session(request))
        return web.Response()

    return page


async def nothing(request: web.Request) -> web.Response:
    return web.Response()


async def proves(request: web.Request) -> web.Response:
    await check_fresh(request)
    return web.Response()


async def says(request: web.Request) -> web.Response:
    await flash(request, "Saved.")
    return web.Response()


async def shows(request: web.Request) -> web.Response:
    return web.json_response(await flashes(request))


async def watches(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async with watch(request, socket):
        await asyncio.sleep(0.01)
    return socket


def log_in(session: Session) -> None:
    session.renew()
    session["sub"] = "ann"


def log_in_with_all(session: Session) -> None:
    log_in(session)
    session.expire_in(HOUR)
    session.describe(device="phone")


reads = does(lambda session: session.sid)
stores = does(lambda session: session.update(cart=["tea"]))
logs_in = does(log_in)


@dataclass(frozen=True)
class Case:
    """A request to ``page``, ``later`` seconds after those to ``before``. ``others``: logins in other browsers."""

    row: str
    page: Page
    before: tuple[Page, ...] = (logs_in,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    later: float = 10
    only: str | None = None
    others: int = 0
    forged: bool = False


CASES = [
    Case("does not ask for the session", nothing),
    Case("brings no cookie, or a forged or expired one", reads, ()),
    Case("brings no cookie, or a forged or expired one", reads, forged=True),
    Case("brings no cookie, or a forged or expired one", reads, settings={"refresh_token": None}, later=11 * HOUR),
    Case("reads", reads),
    Case(
        'reads under `jti={"token_use": "refresh"}`, or within `cache_ttl`',
        reads,
        settings={"jti": {"token_use": "refresh"}},
    ),
    Case(
        'reads under `jti={"token_use": "refresh"}`, or within `cache_ttl`',
        reads,
        (logs_in, reads),
        {"jti": {"cache_ttl": 60}},
    ),
    Case("reads, an hour after it was last seen (`seen_interval`)", reads, later=HOUR),
    Case("reads with `idle_timeout`, within `touch_interval`", reads, settings=IDLE, later=99),
    Case("reads with `idle_timeout`, beyond `touch_interval`", reads, settings=IDLE, later=100),
    Case("reads a visitor's session with `anonymous_lifetime`", reads, (stores,), {"anonymous_lifetime": DAY}),
    Case("checks how fresh the login is", proves),
    Case("looks for messages, and there are none", shows),
    Case("leaves a message, or shows one", says),
    Case("leaves a message, or shows one", shows, (logs_in, says)),
    Case("writes", stores),
    *(
        Case("calls `authenticate`, `describe`, `expire_in` or `expire_at_close`", does(act))
        for act in (
            Session.authenticate,
            lambda session: session.describe(device="phone"),
            lambda session: session.expire_in(HOUR),
            Session.expire_at_close,
        )
    ),
    Case("refreshes", reads, only=REFRESH),
    Case("refreshes without rotation", reads, settings={"refresh_token": {"rotate": False}}, only=REFRESH),
    Case("stores something for a new visitor", stores, ()),
    Case("logs in a new visitor, with `expire_in` and `describe`", does(log_in_with_all), ()),
    Case("logs in a visitor who has a session", logs_in, (stores,)),
    Case("logs in with `max_sessions`", logs_in, (), {"max_sessions": 1}),
    Case("the same, and one is too many", logs_in, (), {"max_sessions": 1}, others=1),
    Case('logs in with `max_sessions` and `when_full="refuse"`', logs_in, (), REFUSING),
    Case("the same, and there is no room", logs_in, (), REFUSING, others=1),
    Case("calls `renew`", does(Session.renew)),
    Case("logs out", does(Session.invalidate)),
    Case("watches a socket", watches),
]


async def serve(case: Case, manager: SessionManager, aiohttp_client: Any) -> Visitor:
    """A server of all pages of the case, at their places, and a visitor who has been to those before."""
    app = web.Application()
    setup(app, manager=manager)
    for number, page in enumerate((*case.before, case.page)):
        app.router.add_get(f"/{number}", page)
    app.router.add_get("/log_in", logs_in)
    visitor = await start(aiohttp_client, app)
    for _ in range(case.others):
        await Visitor(visitor.client).get("/log_in")
    for number in range(len(case.before)):
        assert (await visitor.get(f"/{number}")).status == 200
    return visitor


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
async def test_a_request_makes_the_calls_of_the_table(case: Case, aiohttp_client: Any) -> None:
    clock = FakeClock()
    storage = Recorder(MemoryStorage(clock=clock))
    manager = make_manager(storage, clock, **{"access_token": {"expires": 10 * HOUR}, **case.settings})
    visitor = await serve(case, manager, aiohttp_client)
    if case.forged:
        visitor.cookies = {name: f"{value}x" for name, value in visitor.cookies.items()}
    bystander = Browser(manager)
    await bystander.log_in("another user")
    clock.advance(case.later)
    await manager.load(bystander.cookies)  # the first of this second: whether everyone was logged out is known now
    await asyncio.sleep(0.03)
    storage.calls.clear()
    if case.page is watches:
        await visitor.shake_hands(f"/{len(case.before)}")
    else:
        await visitor.get(f"/{len(case.before)}", only=case.only)
    await asyncio.sleep(0.03)
    calls, after = (re.findall(r"`(\w+)`", cell) for cell in TABLE[case.row])
    assert storage.calls == [*calls, *after]


def test_every_row_of_the_table_is_tried() -> None:
    assert {case.row for case in CASES} == set(TABLE)


async def test_a_manager_makes_the_calls_that_the_page_names() -> None:
    clock = FakeClock()
    storage = Recorder(MemoryStorage(clock=clock))
    browser = Browser(make_manager(storage, clock))
    await browser.log_in()
    clock.advance(1)
    for work, calls in (
        (lambda: Browser(browser.manager).write(cart=["tea"]), ["get_many", "insert"]),  # the first of this second
        (lambda: Browser(browser.manager).write(cart=["tea"]), ["insert"]),
        (lambda: browser.manager.sessions("ann"), ["list_subject"]),
        (lambda: browser.manager.revoke(browser.sid), ["get", "delete"]),
        (lambda: browser.manager.revoke_subject("ann"), ["list_subject", "delete_subject"]),
    ):
        storage.calls.clear()
        await work()
        assert storage.calls == calls
    clock.advance(1)
    await browser.manager.sessions("bob")
    await Browser(browser.manager).log_in("bob")
    clock.advance(1)
    storage.calls.clear()
    await browser.manager.sessions("bob")
    assert storage.calls == ["list_subject", "get_many"]


async def test_the_first_read_of_a_second_asks_too_whether_everyone_was_logged_out() -> None:
    clock = FakeClock()
    storage = Recorder(MemoryStorage(clock=clock))
    browser = Browser(make_manager(storage, clock))
    await browser.log_in()
    for seconds, call in ((0, "get_many"), (0.9, "get"), (0.1, "get_many"), (0, "get")):
        clock.advance(seconds)
        storage.calls.clear()
        await browser.visit()
        assert storage.calls == [call]
