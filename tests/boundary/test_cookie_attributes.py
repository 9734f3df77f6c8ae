"""A change of ``domain`` or ``path`` while users are logged in: old and new cookies come together."""

from typing import Any

import pytest
from aiohttp import web
from support.surfer import Surfer

from aiohttp_lionrock import get_session
from aiohttp_lionrock.testing import FakeClock

HOST = "shop.example"
WWW = f"www.{HOST}"
PLACE = f"{WWW}/deep/"
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "to a domain": ({}, {"domain": WWW}),
    "from a domain": ({"domain": WWW}, {"previous_domains": [WWW]}),
    "to a parent domain": ({"domain": WWW}, {"domain": HOST, "previous_domains": [WWW]}),
    "to the root": ({"path": "/deep"}, {"previous_paths": ["/deep"]}),
    "from the root": ({}, {"path": "/deep", "previous_paths": ["/"]}),
    "both": ({"path": "/deep", "domain": WWW}, {"previous_paths": ["/deep"], "previous_domains": [WWW]}),
}
changes = pytest.mark.parametrize("change", CHANGES)


async def change_user(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.invalidate()
    session["sub"] = "bob"
    return web.Response()


@pytest.fixture
def cookie_changes(serve: Any, surfer: Surfer, kept_in: dict[str, Any]) -> Any:
    async def change(which: str, step: int) -> None:
        surfer.open(WWW, (await serve(change_user, **kept_in, cookie=CHANGES[which][step]))[0])

    return change


@changes
async def test_writes_are_seen_while_old_and_new_cookies_come_together(
    cookie_changes: Any, surfer: Surfer, clock: FakeClock, change: str
) -> None:
    await cookie_changes(change, 0)
    await surfer.go(f"{PLACE}log_in")
    await cookie_changes(change, 1)
    for bought in range(1, 4):
        clock.advance(10)
        await surfer.go(f"{PLACE}buy")
        assert await surfer.see(f"{PLACE}look") == {"sub": "ann", "cart": bought, "why": None}
    is_told_of_the_old = any(setting.startswith("previous_") for setting in CHANGES[change][1])
    assert len(surfer.jar) == (2 if is_told_of_the_old else 4)


@pytest.mark.parametrize("place", ["/elsewhere/", "/"])
async def test_where_the_new_refresh_cookie_does_not_go_the_old_one_is_not_left_to_be_taken_for_a_thief(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any], place: str
) -> None:
    surfer.open(WWW, (await serve(**kept_in))[0])
    await surfer.go(f"{PLACE}log_in")
    server, manager = await serve(**kept_in, cookie={"path": "/deep/", "previous_paths": ["/"]})
    surfer.open(WWW, server)
    for _ in range(3):
        clock.advance(manager.config.access.lifetime + 61)
        assert (await surfer.see(f"{PLACE}look"))["sub"] == "ann"
        clock.advance(120)
        assert (await surfer.see(f"{WWW}{place}look"))["why"] is None
    assert manager.stats["reused"] == 0
    assert (await surfer.see(f"{PLACE}look"))["sub"] == "ann"


@changes
@pytest.mark.parametrize("writes_before", [0, 1])
async def test_a_logout_holds_whichever_cookies_came(
    cookie_changes: Any, surfer: Surfer, clock: FakeClock, change: str, writes_before: int
) -> None:
    await cookie_changes(change, 0)
    await surfer.go(f"{PLACE}log_in")
    await cookie_changes(change, 1)
    for _ in range(writes_before):
        clock.advance(10)
        await surfer.go(f"{PLACE}buy")
    clock.advance(10)
    await surfer.go(f"{PLACE}log_out")
    assert (await surfer.see(f"{PLACE}look"))["sub"] is None
    clock.advance(10)
    await surfer.go(f"{PLACE}log_in?sub=bob")
    assert await surfer.see(f"{PLACE}look") == {"sub": "bob", "cart": 0, "why": None}


@changes
async def test_who_changes_the_user_in_one_request_leaves_no_way_back_either(
    cookie_changes: Any, surfer: Surfer, clock: FakeClock, change: str
) -> None:
    await cookie_changes(change, 0)
    await surfer.go(f"{PLACE}log_in")
    await cookie_changes(change, 1)
    clock.advance(10)
    await surfer.go(f"{PLACE}change_user")
    assert (await surfer.see(f"{PLACE}look"))["sub"] == "bob"
    assert len(surfer.jar) == 2


async def test_a_logout_under_a_domain_leaves_other_cookies_of_the_host_alone(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any]
) -> None:
    surfer.open(WWW, (await serve(**kept_in, name="other"))[0])
    await surfer.go(f"{WWW}/log_in?sub=bob")
    surfer.open(WWW, (await serve(**kept_in, cookie={"domain": WWW, "previous_domains": [HOST]}))[0])
    await surfer.go(f"{WWW}/log_in")
    await surfer.go(f"{WWW}/log_out")
    assert {cookie.name for cookie in surfer.jar} == {"other", "other-refresh"}


@changes
@pytest.mark.parametrize("visited", [False, True], ids=["nobody", "with a cart"])
async def test_a_login_after_the_change_is_seen(
    cookie_changes: Any, surfer: Surfer, clock: FakeClock, change: str, visited: bool
) -> None:
    await cookie_changes(change, 0)
    if visited:
        await surfer.go(f"{PLACE}buy")
    await cookie_changes(change, 1)
    clock.advance(10)
    await surfer.go(f"{PLACE}log_in")
    assert await surfer.see(f"{PLACE}look") == {"sub": "ann", "cart": int(visited), "why": None}


async def test_a_fresh_session_that_a_sibling_domain_puts_there_changes_nothing(
    serve: Any, surfer: Surfer, clock: FakeClock, kept_in: dict[str, Any]
) -> None:
    server, _ = await serve(**kept_in)
    surfer.open(HOST, server)
    await surfer.go(f"{HOST}/log_in")
    clock.advance(10)
    thief, _ = await serve(change_user, **kept_in, cookie={"domain": HOST})
    surfer.open(f"evil.{HOST}", thief)
    await surfer.go(f"evil.{HOST}/log_in?sub=mallory")
    assert len(surfer.jar) == 4
    for bought in range(1, 3):
        clock.advance(10)
        assert (await surfer.see(f"{HOST}/buy")) == {"sub": "ann", "cart": bought, "why": None}
