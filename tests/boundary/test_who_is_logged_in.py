"""Whose session it is: logins and logouts as applications write them, and who stays after a password change."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, claims
from support.jar import CookieJar
from support.shop import NOBODY
from support.surfer import Surfer

from aiohttp_lionrock import MemoryStorage, Session, get_manager, get_session
from aiohttp_lionrock.testing import FakeClock

HOST = "shop.example"
ANN = {"sub": "ann", "cart": 1, "why": None}


def doing(act: Callable[[Session], Any]) -> Any:
    async def act_on_it(request: web.Request) -> web.Response:
        act(await get_session(request))
        return web.Response()

    return act_on_it


def sid_of(surfer: Surfer) -> str:
    [access] = [cookie.value for cookie in surfer.jar if cookie.name == ACCESS]
    return str(claims(access)["sid"])


# --- logouts -----------------------------------------------------------------------------------------------------

LOGOUTS: dict[str, Callable[[Session], Any]] = {
    "clear": Session.clear,
    "del": lambda session: session.__delitem__("sub"),
    "pop": lambda session: session.pop("sub"),
    "None": lambda session: session.update(sub=None),
    "invalidate": Session.invalidate,
}


@pytest.mark.parametrize("logout", LOGOUTS)
async def test_a_logout_in_any_wording_ends_every_older_cookie(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any], logout: str
) -> None:
    server, manager = await serve(doing(LOGOUTS[logout]), **kept_in)
    surfer.open(HOST, server)
    older = []
    for path in ("buy", "log_in", "buy"):
        await surfer.go(f"{HOST}/{path}")
        older.append(surfer.jar.copy())
        clock.advance(1)
    assert await surfer.see(f"{HOST}/look") == {"sub": "ann", "cart": 2, "why": None}
    assert (await surfer.go(f"{HOST}/act_on_it")).status == 200
    assert (await surfer.see(f"{HOST}/look")) == NOBODY
    if manager.storage is None:
        return  # tokens are good until they expire; the docs say so
    assert await manager.sessions("ann") == []
    for jar in older[1:]:
        surfer.jar = jar.copy()
        assert (await surfer.see(f"{HOST}/look"))["sub"] is None
        clock.advance(200)
        surfer.jar = jar.copy()
        assert (await surfer.see(f"{HOST}/look"))["sub"] is None


@pytest.mark.parametrize("key", ["sub", "user_id", "AIOHTTP_SECURITY"])
async def test_the_user_may_stand_under_another_key(serve: Any, surfer: Surfer, clock: FakeClock, key: str) -> None:
    storage = MemoryStorage(clock=clock)

    async def enter(request: web.Request) -> web.Response:
        (await get_session(request))[key] = 7
        return web.Response()

    async def who(request: web.Request) -> web.Response:
        return web.json_response((await get_session(request)).get(key))

    server, manager = await serve(enter, who, doing(lambda s: s.pop(key)), storage=storage, subject_key=key)
    surfer.open(HOST, server)
    await surfer.go(f"{HOST}/buy")
    before = sid_of(surfer)
    await surfer.go(f"{HOST}/enter")
    [record] = await manager.sessions(7)
    assert record.sid != before
    older = surfer.jar.copy()
    assert await surfer.see(f"{HOST}/who") == 7
    await surfer.go(f"{HOST}/act_on_it")
    assert await manager.sessions(7) == []
    surfer.jar = older
    assert await surfer.see(f"{HOST}/who") is None


async def test_revoking_a_user_leaves_no_cookie_that_says_who_it_was(
    serve: Any, surfer: Surfer, clock: FakeClock
) -> None:
    server, manager = await serve(storage=MemoryStorage(clock=clock))
    surfer.open(HOST, server)
    jars = []
    for path in ("buy", "log_in", "buy", "log_in?sub=bob", "log_in?sub=ann", "buy"):
        await surfer.go(f"{HOST}/{path}")
        jars.append(surfer.jar.copy())
        clock.advance(1)
    assert await manager.revoke_subject("ann") == 1
    for jar in jars:
        surfer.jar = jar
        assert (await surfer.see(f"{HOST}/look"))["sub"] is None


# --- logins ------------------------------------------------------------------------------------------------------


async def test_a_login_without_renewal_moves_the_session_and_takes_the_cart_along(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any]
) -> None:
    server, manager = await serve(**kept_in)
    surfer.open(HOST, server)
    await surfer.go(f"{HOST}/buy")
    planted = surfer.jar.copy()
    before = sid_of(surfer)
    await surfer.go(f"{HOST}/log_in")
    assert sid_of(surfer) != before
    assert await surfer.see(f"{HOST}/look") == ANN
    if manager.storage is not None:  # who knew the cookie from before the login has nothing of it
        surfer.jar = planted
        assert await surfer.see(f"{HOST}/look") == NOBODY | {"why": "TokenSuperseded"}


@pytest.mark.parametrize("first", [None, "clear", "pop", "invalidate"])
async def test_another_user_over_the_first_finds_nothing_of_hers(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any], first: str | None
) -> None:
    handlers = [] if first is None else [doing(LOGOUTS[first])]
    server, manager = await serve(*handlers, **kept_in)
    surfer.open(HOST, server)
    for path in ("buy", "log_in", "buy", "act_on_it", "log_in?sub=bob"):
        await surfer.go(f"{HOST}/{path}")
    assert await surfer.see(f"{HOST}/look") == {"sub": "bob", "cart": 0, "why": None}
    if manager.storage is not None:
        assert await manager.sessions("ann") == []
        assert len(await manager.sessions("bob")) == 1


# --- this browser stays, all others go ---------------------------------------------------------------------------


async def revoke_by_sid(request: web.Request, session: Session) -> None:
    await get_manager(request).revoke_subject(session["sub"], keep=session.sid)


async def revoke_by_session(request: web.Request, session: Session) -> None:
    await get_manager(request).revoke_subject(session["sub"], keep=session)


async def revoke_others(request: web.Request, session: Session) -> None:
    await get_manager(request).revoke_others(session)


WORDINGS = [revoke_by_sid, revoke_by_session, revoke_others]


def password_change(revoke: Any, order: str) -> Any:
    async def change_password(request: web.Request) -> web.Response:
        session = await get_session(request)
        if order == "renew first":
            session.renew()
        await revoke(request, session)
        if order == "revoke first":
            session.renew()
        session["changed"] = True
        return web.Response()

    return change_password


@pytest.mark.parametrize("revoke", WORDINGS)
@pytest.mark.parametrize("order", ["renew first", "revoke first", "no renewal"])
async def test_a_password_change_keeps_this_browser_and_no_other(
    serve: Any, surfer: Surfer, clock: FakeClock, revoke: Any, order: str
) -> None:
    server, manager = await serve(password_change(revoke, order), storage=MemoryStorage(clock=clock))
    surfer.open(HOST, server)
    others = []
    for _ in range(3):
        surfer.jar = CookieJar(clock)
        await surfer.go(f"{HOST}/buy")
        await surfer.go(f"{HOST}/log_in")
        others.append(surfer.jar.copy())
    others.pop()
    assert (await surfer.go(f"{HOST}/change_password")).status == 200
    assert await surfer.see(f"{HOST}/look") == ANN
    assert [record.sid for record in await manager.sessions("ann")] == [sid_of(surfer)]
    for jar in others:
        surfer.jar = jar
        assert (await surfer.see(f"{HOST}/look"))["sub"] is None


@pytest.mark.parametrize("revoke", WORDINGS)
@pytest.mark.parametrize("renews", [True, False])
async def test_a_login_that_ends_all_other_sessions_of_its_user_is_kept(
    serve: Any, surfer: Surfer, clock: FakeClock, revoke: Any, renews: bool
) -> None:
    async def log_in_once(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["sub"] = "ann"
        if renews:
            session.renew()
        await revoke(request, session)
        return web.Response()

    server, manager = await serve(log_in_once, storage=MemoryStorage(clock=clock))
    surfer.open(HOST, server)
    await surfer.go(f"{HOST}/log_in")
    other = surfer.jar
    for visited in (False, True):
        surfer.jar = CookieJar(clock)
        if visited:
            await surfer.go(f"{HOST}/buy")
        assert (await surfer.go(f"{HOST}/log_in_once")).status == 200
        assert (await surfer.see(f"{HOST}/look"))["sub"] == "ann"
        assert len(await manager.sessions("ann")) == 1
        kept, surfer.jar = surfer.jar, other
        assert (await surfer.see(f"{HOST}/look"))["sub"] is None
        other = kept


async def test_a_sid_to_keep_that_nobody_has_is_an_error_and_logs_nobody_out(
    serve: Any, surfer: Surfer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def mistaken(request: web.Request) -> web.Response:
        session = await get_session(request)
        await get_manager(request).revoke_subject(session["sub"], keep=session.id)
        return web.Response()

    server, manager = await serve(mistaken, storage=MemoryStorage(clock=clock))
    surfer.open(HOST, server)
    await surfer.go(f"{HOST}/log_in")
    assert (await surfer.go(f"{HOST}/mistaken")).status == 500
    assert "pass the session itself" in caplog.text
    assert (await surfer.see(f"{HOST}/look"))["sub"] == "ann"
    assert len(await manager.sessions("ann")) == 1
