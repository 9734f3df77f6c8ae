"""One session for each user: a request that ends the user's sessions, its own among them, and logs the user in."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

import pytest
from support.browser import ACCESS, REFRESH, Browser, make_manager
from support.storages import Wrapper

from aiohttp_lionrock import (
    CookieChange,
    JtiStorage,
    MemoryStorage,
    Session,
    SessionEvent,
    SessionManager,
    TokenRevoked,
)
from aiohttp_lionrock.testing import FakeClock

Act = Callable[[SessionManager, Session], Awaitable[None]]


async def end_then_log_in(manager: SessionManager, session: Session) -> None:
    await manager.revoke_subject("ann")
    session.renew()
    session["sub"] = "ann"


async def end_in_between(manager: SessionManager, session: Session) -> None:
    session.renew()
    await manager.revoke_subject("ann")
    session["sub"] = "ann"


async def log_in_then_end(manager: SessionManager, session: Session) -> None:
    session.renew()
    session["sub"] = "ann"
    await manager.revoke_subject("ann")


async def end_one_by_one(manager: SessionManager, session: Session) -> None:
    for record in await manager.sessions("ann"):
        await manager.revoke(record.sid)
    session.renew()
    session["sub"] = "ann"


async def end_everyone(manager: SessionManager, session: Session) -> None:
    await manager.revoke_all()
    session.renew()
    session["sub"] = "ann"


async def end_everyone_ahead(manager: SessionManager, session: Session) -> None:
    await manager.revoke_all(manager.now() + 30)
    session.renew()
    session["sub"] = "ann"


async def end_in_a_task(manager: SessionManager, session: Session) -> None:
    await asyncio.create_task(manager.revoke_subject("ann"))
    session.renew()
    session["sub"] = "ann"


ORDERS = [
    end_then_log_in,
    end_in_between,
    log_in_then_end,
    end_one_by_one,
    end_everyone,
    end_everyone_ahead,
    end_in_a_task,
]


@pytest.fixture
def storage(each_storage: JtiStorage) -> JtiStorage:
    return each_storage


@pytest.mark.parametrize("act", ORDERS)
@pytest.mark.parametrize("only", [None, ACCESS, REFRESH])
async def test_the_login_stands_in_every_order_of_the_calls_and_has_nothing_of_what_was_ended(
    storage: JtiStorage, clock: FakeClock, act: Act, only: str | None
) -> None:
    manager = make_manager(storage, clock)
    told: list[SessionEvent] = []
    browser, elsewhere = Browser(manager), Browser(manager)
    for one in (browser, elsewhere):
        await one.visit(
            Session.renew, lambda session: (session.update(sub="ann", role="admin"), session.describe(at="home"))
        )
    before = browser.copy()
    for listeners in (manager.events.started, manager.events.renewed):
        listeners.append(listening(told))
    for _ in range(3):
        clock.advance(60)  # what begins after everyone was logged out ahead of time begins after that time
        session = await manager.load({name: browser.cookies[name] for name in browser.cookies if only in (None, name)})
        await act(manager, session)
        session["theme"] = "dark"
        browser.receive(await manager.save(session))
        assert set(browser.sent) == {ACCESS, REFRESH}
        assert dict(session) == {"sub": "ann", "theme": "dark"}
        assert dict(await browser.visit()) == {"sub": "ann", "theme": "dark"}
        assert [(record.sid, record.metadata) for record in await manager.sessions("ann")] == [(browser.sid, {})]
    assert type((await elsewhere.visit()).rejected) is TokenRevoked
    assert type((await before.visit()).rejected) is TokenRevoked
    await manager.aclose()
    assert [(event.name, event.subject) for event in told] == [("started", "ann")] * 3


async def test_what_was_ended_before_a_session_was_loaded_is_no_end_of_that_session(
    storage: JtiStorage, clock: FakeClock
) -> None:
    manager = make_manager(storage, clock)
    browser = Browser(manager)
    await browser.log_in()
    await manager.revoke_subject("ann")
    await browser.log_in(cart=["tea"])

    def log_in_again(session: Session) -> None:
        session.renew()
        session["sub"] = "ann"

    await browser.visit(log_in_again)
    assert (await browser.visit())["cart"] == ["tea"]


async def test_a_session_that_was_saved_so_can_be_saved_again(storage: JtiStorage, clock: FakeClock) -> None:
    manager = make_manager(storage, clock)
    browser = Browser(manager)
    await browser.log_in(role="admin")
    session = await manager.load(browser.cookies)
    await end_then_log_in(manager, session)
    browser.receive(await manager.save(session))
    assert await manager.save(session) == []
    session["theme"] = "dark"
    browser.receive(await manager.save(session))
    assert dict(await browser.visit()) == {"sub": "ann", "theme": "dark"}


@pytest.mark.parametrize("act", ORDERS)
async def test_with_one_session_for_each_user_at_most_the_login_is_not_refused(
    storage: JtiStorage, clock: FakeClock, act: Act
) -> None:
    manager = make_manager(storage, clock, max_sessions=1, when_full="refuse")
    browser = Browser(manager)
    await browser.log_in()
    session = await manager.load(browser.cookies)
    await act(manager, session)
    browser.receive(await manager.save(session))
    assert await browser.visit()
    assert len(await manager.sessions("ann")) == 1


async def test_the_login_stands_where_another_manager_of_the_application_has_ended_the_others(
    storage: JtiStorage, clock: FakeClock
) -> None:
    manager, other = make_manager(storage, clock), make_manager(Wrapper(storage), clock)
    browser = Browser(manager)
    await browser.log_in(role="admin")
    session = await manager.load(browser.cookies)
    await end_then_log_in(other, session)
    browser.receive(await manager.save(session))
    assert dict(await browser.visit()) == {"sub": "ann"}


async def test_what_was_ended_in_another_storage_is_no_end_of_this_one(storage: JtiStorage, clock: FakeClock) -> None:
    manager, shop = make_manager(storage, clock), make_manager(MemoryStorage(clock=clock), clock)
    await Browser(shop).log_in()
    browser = Browser(manager)
    await browser.log_in(filters=["new"])
    for end in (shop.revoke_all, lambda: shop.revoke_subject("ann")):
        session = await manager.load(browser.cookies)
        await end()
        session.renew()
        session["sub"] = "ann"
        browser.receive(await manager.save(session))
        assert (await browser.visit())["filters"] == ["new"]


async def test_what_another_task_of_one_parent_has_ended_is_no_end_of_ones_own(
    storage: JtiStorage, clock: FakeClock
) -> None:
    """Without a framework, where the task that begins the requests has loaded a session itself."""
    manager = make_manager(storage, clock)
    browser = Browser(manager)
    await browser.log_in()
    has_loaded, is_banned = asyncio.Event(), asyncio.Event()

    async def log_in_again() -> list[CookieChange]:
        session = await manager.load(browser.cookies)
        has_loaded.set()
        session.renew()
        session["sub"] = "ann"
        await is_banned.wait()
        return await manager.save(session)

    async def ban() -> None:
        await manager.load({})
        await has_loaded.wait()
        await manager.revoke_subject("ann")
        is_banned.set()

    cookies, _ = await asyncio.gather(log_in_again(), ban())
    assert cookies == []
    await manager.aclose()
    await manager.open()
    assert await manager.sessions("ann") == []


async def test_what_was_ended_of_another_tenant_is_no_end_of_this_one(storage: JtiStorage, clock: FakeClock) -> None:
    manager = make_manager(storage, clock)
    browser = Browser(manager)
    await browser.log_in(cart=["tea"])
    session = await manager.load(browser.cookies)
    await manager.revoke_all(env={"SESSION_SECRET": "the secret of another tenant, long enough"})
    session.renew()
    session["sub"] = "ann"
    browser.receive(await manager.save(session))
    assert (await browser.visit())["cart"] == ["tea"]


async def test_a_renewal_is_no_login_and_ends_with_what_was_ended(storage: JtiStorage, clock: FakeClock) -> None:
    manager = make_manager(storage, clock)
    browser = Browser(manager)
    await browser.log_in()
    session = await manager.load(browser.cookies)
    session.renew()
    await manager.revoke_subject("ann")
    assert await manager.save(session) == []
    assert type(session.rejected) is TokenRevoked
    async with asyncio.timeout(5):
        while await manager.sessions("ann"):  # what was begun for the renewal is taken back
            await asyncio.sleep(0.01)


async def end_nobody(manager: SessionManager, session: Session) -> None:
    assert await manager.revoke_subject("ann", keep=session) == 0


async def end_others(manager: SessionManager, session: Session) -> None:
    await manager.revoke_others(session)


async def end_too_late(manager: SessionManager, session: Session) -> None:
    await elsewhere(make_manager(manager.storage, manager.now).revoke_subject("ann"))
    assert await manager.revoke_subject("ann") == 0


async def elsewhere(work: Awaitable[object]) -> None:
    """Awaits it as another request would."""
    await asyncio.create_task(waiting(work), context=Context())


async def waiting(work: Awaitable[object]) -> None:
    await work


@pytest.mark.parametrize("act", [end_nobody, end_others, end_too_late])
async def test_what_another_request_ended_meanwhile_stays_ended_and_the_log_tells_of_the_login(
    storage: JtiStorage, clock: FakeClock, caplog: pytest.LogCaptureFixture, act: Act
) -> None:
    manager = make_manager(storage, clock)
    browser = Browser(manager)
    await browser.log_in()
    session = await manager.load(browser.cookies)
    await act(manager, session)
    session.renew()
    session["sub"] = "ann"
    await elsewhere(make_manager(storage, clock).revoke_subject("ann"))
    assert await manager.save(session) == []
    assert type(session.rejected) is TokenRevoked
    assert "a login was not delivered: session was ended while the request was handled" in caplog.messages


def listening(told: list[SessionEvent]) -> Callable[[SessionEvent], Awaitable[None]]:
    async def listen(event: SessionEvent) -> None:
        told.append(event)

    return listen


async def test_what_a_login_has_stored_stays_in_a_second_one_of_the_same_request(
    storage: JtiStorage, clock: FakeClock
) -> None:
    manager = make_manager(storage, clock)
    browser = Browser(manager)
    await browser.log_in()
    session = await manager.load(browser.cookies)
    await manager.revoke_subject("ann")
    for number in range(2):
        session.renew()
        session["sub"] = "ann"
        session[f"stored {number}"] = True
        browser.receive(await manager.save(session))
    assert dict(await browser.visit()) == {"sub": "ann", "stored 0": True, "stored 1": True}


@pytest.mark.parametrize("refresh", [False, True])
async def test_a_login_stands_although_the_session_that_came_has_expired_while_it_was_made(
    storage: JtiStorage, clock: FakeClock, refresh: bool
) -> None:
    manager = make_manager(storage, clock, refresh_token=refresh)
    browser = Browser(manager)
    await browser.log_in()
    session = await manager.load(browser.cookies)
    clock.advance(40 * 24 * 3600)
    session.renew()
    session["sub"] = "ann"
    browser.receive(await manager.save(session))
    assert await browser.is_logged_in()
