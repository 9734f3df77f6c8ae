"""Clients that close their connection before the answer, on servers that cancel the handler then and that do not."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import ClientSession, DummyCookieJar, web
from support.browser import ACCESS, ACCESS_LIFETIME, LEEWAY, REFRESH, Browser, make_manager
from support.storages import Call, Recorder, T

from aiohttp_lionrock import MemoryStorage, Session, SessionManager, get_session, setup
from aiohttp_lionrock.testing import FakeClock

PATIENCE = 5.0  # seconds


class Doors(Recorder):
    """Each call named in ``closed`` waits until its client has gone away; ``reached`` is set by the first of them."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(MemoryStorage(clock=clock))
        self.closed: set[str] = set()
        self.reached = asyncio.Event()
        self.gone = asyncio.Event()

    async def around(self, name: str, call: Call[T]) -> T:
        if name in self.closed:
            self.reached.set()
            await self.gone.wait()
        return await super().around(name, call)


class Site:
    """A server whose one page does what ``act`` says, slowly where ``dawdles``; and browsers beside it."""

    def __init__(self, manager: SessionManager, doors: Doors) -> None:
        self.manager = manager
        self.doors = doors
        self.url = ""
        self.act: Callable[[Session], object] = log_in
        self.dawdles = False
        self.watch: asyncio.Task[None] | None = None

    async def page(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        if self.dawdles:
            self.doors.reached.set()
            async with asyncio.timeout(PATIENCE):
                while request.transport is not None:
                    await asyncio.sleep(0.001)
        if self.doors.closed:
            self.watch = asyncio.create_task(self.tell_when_gone(request))
        self.act(session)
        return web.Response(text=str(session.subject))

    async def tell_when_gone(self, request: web.Request) -> None:
        while request.transport is not None:
            await asyncio.sleep(0.001)
        self.doors.gone.set()

    async def ask_and_go(self, browser: Browser, only: str | None = None) -> None:
        """One request whose client closes the connection once the server is at work on it; then all is settled."""
        before = asyncio.all_tasks()
        async with self.http(browser, only) as http:
            request = asyncio.create_task(http.get(self.url))
            async with asyncio.timeout(PATIENCE):
                await self.doors.reached.wait()
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        async with asyncio.timeout(PATIENCE):
            while asyncio.all_tasks() - before:
                await asyncio.sleep(0.005)

    async def ask(self, browser: Browser) -> int:
        self.dawdles = False
        self.doors.closed.clear()
        async with self.http(browser) as http, http.get(self.url) as response:
            return response.status

    def http(self, browser: Browser, only: str | None = None) -> ClientSession:
        cookies = [f"{name}={value}" for name, value in browser.cookies.items() if only in (None, name)]
        return ClientSession(headers={"Cookie": "; ".join(cookies)}, cookie_jar=DummyCookieJar())


def log_in(session: Session) -> None:
    session["sub"] = "ann"


def leave_a_cart(session: Session) -> None:
    session["cart"] = ["tea"]


def log_out_with_a_word(session: Session) -> None:
    session.invalidate()
    session["notice"] = "bye"


def leave(session: Session) -> None:
    del session["sub"]
    session["notice"] = "bye"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[False, True], ids=["handler goes on", "handler is cancelled"])
async def site(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[Site]:
    doors = Doors(clock)
    manager = make_manager(doors, clock, max_sessions=1, when_full="refuse")
    app = web.Application()
    setup(app, manager=manager)
    site = Site(manager, doors)
    app.router.add_get("/", site.page)
    runner = web.AppRunner(app, handler_cancellation=request.param, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        site.url = f"http://{host}:{port}/"
        yield site
    finally:
        await runner.cleanup()


goes_on = pytest.mark.parametrize("site", [False], ids=["handler goes on"], indirect=True)
Moment = Callable[[Site], None]


def in_the_handler(site: Site) -> None:
    site.dawdles = True


def in_the(call: str) -> Moment:
    def close(site: Site) -> None:
        site.doors.closed = {call}

    close.__name__ = f"in the {call}"
    return close


each_moment = pytest.mark.parametrize(
    "moment", [in_the_handler, *map(in_the, ("list_subject", "insert", "replace"))], ids=lambda moment: moment.__name__
)


@each_moment
async def test_a_login_whose_client_went_away_takes_no_place(site: Site, moment: Moment) -> None:
    moment(site)
    await site.ask_and_go(Browser(site.manager))
    assert await site.manager.sessions("ann") == []
    assert await site.ask(Browser(site.manager)) == 200
    assert len(await site.manager.sessions("ann")) == 1
    assert await site.ask(Browser(site.manager)) == 403


def change_user(session: Session) -> None:
    session["sub"] = "bob"


def begin_anew(session: Session) -> None:
    session.invalidate()
    session["sub"] = "bob"


@each_moment
@pytest.mark.parametrize("act", [change_user, begin_anew])
@pytest.mark.parametrize("before", [log_in, leave_a_cart], ids=["logged in before", "visitor"])
async def test_nor_does_one_in_the_place_of_another_session(
    site: Site, moment: Moment, act: Callable[[Session], None], before: Callable[[Session], None]
) -> None:
    browser = Browser(site.manager)
    await browser.visit(before)
    site.act = act
    moment(site)
    await site.ask_and_go(browser)
    assert await site.manager.sessions("bob") == []
    assert await site.ask(Browser(site.manager)) == 200


@each_moment
async def test_a_visitor_whose_login_went_nowhere_is_the_visitor_of_before(site: Site, moment: Moment) -> None:
    browser = Browser(site.manager)
    await browser.write(cart=["tea"])
    moment(site)
    await site.ask_and_go(browser)
    assert await browser.is_logged_in()
    assert (await browser.visit())["cart"] == ["tea"]
    assert await site.ask(browser) == 200


@pytest.mark.parametrize("moment", [in_the_handler, in_the("replace")], ids=lambda moment: moment.__name__)
@pytest.mark.parametrize("act", [Session.keys, Session.changed], ids=["read", "write"])
async def test_a_refresh_that_reached_nobody_costs_nothing_however_late_the_client_comes_back(
    site: Site, clock: FakeClock, moment: Moment, act: Callable[[Session], object]
) -> None:
    browser = Browser(site.manager)
    await browser.log_in()
    site.act = act
    moment(site)
    await site.ask_and_go(browser, only=REFRESH)
    site.doors.closed.clear()
    clock.advance(10 * LEEWAY)
    assert (await browser.refresh()).subject == "ann"


@goes_on
@pytest.mark.parametrize("act", [Session.invalidate, leave], ids=["logout", "leaving"])
async def test_who_logs_out_and_goes_away_is_logged_out(site: Site, act: Callable[[Session], object]) -> None:
    browser = Browser(site.manager)
    await browser.log_in()
    site.act, site.dawdles = act, True
    await site.ask_and_go(browser)
    assert await site.manager.sessions("ann") == []
    assert not await browser.is_logged_in()


@pytest.mark.parametrize("moment", [in_the("insert"), in_the("replace")], ids=lambda moment: moment.__name__)
async def test_a_logout_with_a_message_holds_where_its_client_goes_away_while_it_is_saved(
    site: Site, moment: Moment
) -> None:
    browser = Browser(site.manager)
    await browser.log_in()
    site.act = log_out_with_a_word
    moment(site)
    await site.ask_and_go(browser)
    assert await site.manager.sessions("ann") == []
    assert not await browser.is_logged_in()


@pytest.mark.parametrize("moment", [in_the("get_many"), in_the("delete")], ids=lambda moment: moment.__name__)
async def test_a_logout_with_an_expired_token_holds_where_its_client_goes_away_while_it_is_saved(
    site: Site, clock: FakeClock, moment: Moment
) -> None:
    browser = Browser(site.manager)
    await browser.log_in()
    clock.advance(ACCESS_LIFETIME + 1)
    site.act = Session.invalidate
    moment(site)
    await site.ask_and_go(browser, only=ACCESS)
    assert await site.manager.sessions("ann") == []
    assert not await browser.is_logged_in()


@goes_on
async def test_a_label_is_kept_though_its_client_went_away(site: Site) -> None:
    browser = Browser(site.manager)
    await browser.log_in()
    site.act, site.dawdles = lambda session: session.describe(device="phone"), True
    await site.ask_and_go(browser)
    [record] = await site.manager.sessions("ann")
    assert record.metadata == {"device": "phone"}


@pytest.mark.parametrize("as_whom", ["bob", None])
async def test_who_becomes_another_user_stays_who_it_was_and_who_leaves_has_left(as_whom: str | None) -> None:
    manager = make_manager(MemoryStorage(), FakeClock())
    browser = Browser(manager)
    await browser.log_in(role="admin")
    session = await manager.load(browser.cookies)
    session.pop("sub")
    session["note"] = "kept"
    if as_whom is not None:
        session["sub"] = as_whom
    assert bool(await manager.save(session, is_awaited=lambda: False)) is (as_whom is None)
    await manager.aclose()
    await manager.open()
    assert await browser.is_logged_in() is (as_whom is not None)
    assert await manager.sessions("bob") == []


async def test_a_manager_without_a_storage_sends_no_cookies_that_nobody_waits_for() -> None:
    manager = make_manager(None, FakeClock())
    session = await manager.load({})
    log_in(session)
    assert await manager.save(session, is_awaited=lambda: False) == []
    assert await manager.save(session)
