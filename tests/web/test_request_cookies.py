"""Cookie headers as they may come."""

from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS
from support.storages import FaultyStorage
from support.visitor import Visitor, exchange, start
from support.webapp import (
    application,
)

from aiohttp_lionrock import get_manager, get_session


@pytest.fixture
async def visitor(aiohttp_client: Any, storage: FaultyStorage) -> Visitor:
    """A visitor who is logged in, without refresh tokens."""
    app, _ = application(storage=storage, refresh_token=False)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    return visitor


async def is_seen(visitor: Visitor, *lines: str | bytes) -> bool:
    """Whether the server sees the login in these header lines; it never fails over them."""
    answer = await exchange(visitor.server, "/look", *lines)
    assert answer.status == 200
    return '"ann"' in answer.text


async def test_a_cookie_is_found_among_others_however_they_are_sent(visitor: Visitor) -> None:
    cookie = f"{ACCESS}={visitor.cookies[ACCESS]}"
    assert await is_seen(visitor, f"Cookie: {cookie}")
    assert await is_seen(visitor, f"cookie:{cookie};a=b")
    assert await is_seen(visitor, f"Cookie: a=b;  {cookie} ; c")
    assert await is_seen(visitor, f"Cookie: ;;; =; a; {cookie}")
    assert await is_seen(visitor, "Cookie: a=b", f"Cookie: {cookie}", "Cookie: c=d")
    assert await is_seen(visitor, f"Cookie: $Version=1; {cookie}; $Path=/")
    assert await is_seen(visitor, f'Cookie: junk={{"a": [1, 2]}}; {cookie}')
    assert await is_seen(visitor, f'Cookie: open="never closed; {cookie}')


async def test_names_are_matched_whole_and_case_counts(visitor: Visitor) -> None:
    value = visitor.cookies[ACCESS]
    for name in (ACCESS.upper(), f"x{ACCESS}", f"{ACCESS}x", f"{ACCESS}-refresh", f"a={ACCESS}", f'"{ACCESS}"'):
        assert not await is_seen(visitor, f"Cookie: {name}={value}")


async def test_a_value_is_taken_as_it_stands_without_unquoting(visitor: Visitor) -> None:
    value = visitor.cookies[ACCESS]
    for written in (f'"{value}"', value.replace(".", "%2E"), f"{value}=", f"{value},", f"{value} x", f"\\{value}"):
        assert not await is_seen(visitor, f"Cookie: {ACCESS}={written}")


@pytest.mark.parametrize("place", range(4))
async def test_the_good_cookie_of_four_is_found_wherever_it_stands(visitor: Visitor, place: int) -> None:
    values = [f"bad{number}" for number in range(4)]
    values[place] = visitor.cookies[ACCESS]
    assert await is_seen(visitor, "Cookie: " + "; ".join(f"{ACCESS}={value}" for value in values))
    assert await is_seen(visitor, *(f"Cookie: {ACCESS}={value}" for value in values))


@pytest.mark.parametrize("place", [0, 17, 18, 19])
async def test_of_twenty_cookies_of_one_name_the_first_and_the_last_three_are_tried(
    visitor: Visitor, place: int
) -> None:
    values = [f"bad{number}" for number in range(20)]
    values[place] = visitor.cookies[ACCESS]
    assert await is_seen(visitor, "Cookie: " + "; ".join(f"{ACCESS}={value}" for value in values))


async def test_many_forgeries_cost_at_most_four_judgements_and_no_storage_call(
    visitor: Visitor, storage: FaultyStorage
) -> None:
    values = [f"bad{number}" for number in range(20)]
    values[10] = visitor.cookies[ACCESS]
    storage.calls.clear()
    assert not await is_seen(visitor, "Cookie: " + "; ".join(f"{ACCESS}={value}" for value in values))
    assert storage.calls == []


async def test_eight_hundred_cookies_are_no_trouble(visitor: Visitor) -> None:
    many = "; ".join(f"c{number}={number}" for number in range(800))
    assert len(many) < 8190
    assert await is_seen(visitor, f"Cookie: {many}", f"Cookie: {ACCESS}={visitor.cookies[ACCESS]}")
    assert not await is_seen(visitor, f"Cookie: {many}")


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", b"\xc3\xa9", b"\xed\xa0\x80", b"a.b.\xff", b"\xe2\x80\xa6" * 1000, b"\x80" * 4096]
)
async def test_eight_bit_bytes_in_a_cookie_are_a_bad_token_and_no_error(
    visitor: Visitor, storage: FaultyStorage, value: bytes
) -> None:
    storage.calls.clear()
    answer = await exchange(visitor.server, "/look", f"Cookie: {ACCESS}=".encode() + value)
    assert answer.status == 200
    assert not answer.set_cookies
    assert storage.calls == []
    assert await is_seen(visitor, b"Cookie: x=" + value, f"Cookie: {ACCESS}={visitor.cookies[ACCESS]}")


@pytest.mark.parametrize("wrong", [web.Application(), None, "request"], ids=["an app", "none", "text"])
async def test_what_is_no_request_is_named(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"a request is needed, not .*: in a view that is self\.request"):
        await get_session(wrong)


async def test_a_handler_that_waited_can_ask_again_whether_its_user_may_act(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    async def transfer(request: web.Request) -> web.Response:
        session, manager = await get_session(request), get_manager(request)
        before = (await manager.load(request.cookies)).subject
        await manager.revoke_subject("ann")
        now = (await manager.load(request.cookies)).subject
        return web.json_response([session.subject, before, now])

    app, _ = application(transfer, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    assert (await visitor.get("/transfer")).text == '["ann", "ann", null]'
