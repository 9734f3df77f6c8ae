"""The storage cannot answer: 503, cookies untouched, one line in the log at either end."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH, SECRET, Browser
from support.site import Site
from support.storages import FaultyStorage
from support.visitor import Answer, Visitor
from support.webapp import (
    BOTH,
    ask,
)

from aiohttp_lionrock import (
    SessionManager,
    StorageUnavailable,
    get_session,
)
from aiohttp_lionrock.sessions import repairs

HOUR = 3600
SECRETS_OF_THE_HOUSE = ("refused", "away", "storage", "Traceback", "sid", SECRET)


def assert_unavailable(answer: Answer) -> None:
    """503 and Retry-After, no cookie, nothing of the house's inside or the handler's page in it."""
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert not answer.set_cookies
    assert "secret page" not in answer.text
    everything = answer.text + "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    for word in SECRETS_OF_THE_HOUSE:
        assert word not in everything


@pytest.mark.parametrize("mode", ["before", "hang"])
@pytest.mark.parametrize("path", ["/look", "/write", "/file", "/redirect", "/stream", "/socket", "/log_out", "/renew"])
async def test_a_session_that_cannot_be_loaded_is_503_and_no_logout(
    aiohttp_client: Any, storage: FaultyStorage, path: str, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    cookies, before = dict(visitor.cookies), await site.record()
    for only in (None, ACCESS, REFRESH):
        storage.fail("get", mode)
        began = time.monotonic()
        assert_unavailable(await ask(visitor, path, only=only))
        assert time.monotonic() - began < 2
    assert visitor.cookies == cookies
    assert await site.record() == before
    assert site.seen == []
    await visitor.get("/look")
    assert site.seen[0]["sub"] == "ann"


@pytest.mark.parametrize("mode", ["before", "after", "hang", "hang after"])
@pytest.mark.parametrize("path", ["/write", "/file", "/redirect", "/stream", "/zipped", "/socket"])
async def test_a_session_that_cannot_be_saved_is_503_and_no_logout(
    aiohttp_client: Any, storage: FaultyStorage, path: str, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    cookies = dict(visitor.cookies)
    for only in (None, REFRESH):
        storage.fail("replace", mode)
        assert_unavailable(await ask(visitor, path, only=only))
        assert visitor.cookies == cookies
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert await visitor.is_logged_in(site.manager)
    answer = await ask(visitor, path)
    assert answer.set_cookies.keys() == BOTH
    assert not answer.deleted


@pytest.mark.parametrize("mode", ["before", "hang"])
async def test_a_first_session_that_cannot_be_saved_is_503_and_sets_no_cookie(
    aiohttp_client: Any, storage: FaultyStorage, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    for path in ("/write", "/file", "/redirect", "/stream", "/zipped", "/socket", "/log_in"):
        storage.fail("insert", mode)
        assert_unavailable(await ask(visitor, path))
        assert not visitor.cookies
    assert (await visitor.get("/log_in")).status == 200


@pytest.mark.parametrize("mode", ["before", "hang"])
@pytest.mark.parametrize(("path", "call"), [("/log_out", "delete"), ("/renew", "insert")])
async def test_a_logout_or_renewal_that_did_not_happen_is_503_and_the_session_goes_on(
    aiohttp_client: Any, storage: FaultyStorage, path: str, call: str, mode: str
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    cookies = dict(visitor.cookies)
    storage.fail(call, mode)
    assert_unavailable(await visitor.get(path))
    assert visitor.cookies == cookies
    await asyncio.sleep(0.02)
    assert await visitor.is_logged_in(site.manager)
    assert [record.sid for record in await site.manager.sessions("ann")] == [visitor.refreshing["sid"]]
    assert (await visitor.get(path)).set_cookies.keys() == BOTH


async def test_what_needs_no_session_is_served_while_the_storage_is_away(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    newcomer, junk = Visitor(visitor.client), Visitor(visitor.client, {ACCESS: "junk"})
    with storage.away():
        assert (await visitor.get("/plain")).status == 200
        assert (await visitor.get("/nowhere")).status == 404
        assert (await newcomer.get("/look")).status == 200
        assert (await junk.get("/look")).status == 200
        assert_unavailable(await visitor.get("/look"))
    assert await visitor.is_logged_in(site.manager)


async def test_an_app_starts_while_its_storage_is_down_and_serves_when_it_is_back(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    storage.down = True
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    assert "not available at start" in caplog.text
    assert_unavailable(await visitor.get("/write"))
    storage.down = False
    assert (await visitor.get("/write")).set_cookies.keys() == BOTH


async def test_an_app_starts_in_time_while_its_storage_hangs(aiohttp_client: Any, storage: FaultyStorage) -> None:
    storage.fail("open", "hang", times=2)
    site = Site(storage)
    visitor = await asyncio.wait_for(site.start(aiohttp_client), 1)
    assert_unavailable(await visitor.get("/write"))
    assert (await visitor.get("/write")).set_cookies.keys() == BOTH


async def test_an_outage_that_a_handler_meets_by_itself_is_503_too(aiohttp_client: Any, storage: FaultyStorage) -> None:
    site = Site(storage)

    async def everywhere(request: web.Request) -> web.Response:
        (await get_session(request))["seen"] = True
        return web.json_response(await site.manager.revoke_subject("ann"))

    site.app.router.add_get("/everywhere", everywhere)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("delete_subject", "before")
    assert_unavailable(await visitor.get("/everywhere"))
    assert await visitor.is_logged_in(site.manager)


async def test_an_outage_is_logged_with_its_cause_and_without_a_token(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    await visitor.get("/look")
    assert "get: refused" in caplog.text
    for value in visitor.cookies.values():
        assert value not in caplog.text


async def test_a_rotation_that_was_not_acknowledged_is_no_replay_when_the_client_comes_back_late(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    now = [time.time() - HOUR]
    site = Site(storage)
    early = SessionManager(site.manager.config, clock=lambda: now[0], environ={})
    browser = Browser(early)
    await browser.log_in()
    storage.fail("replace", "after")
    with pytest.raises(Exception, match="lost"):
        await browser.refresh()
    await asyncio.sleep(0.02)
    visitor = await site.start(aiohttp_client)
    visitor.cookies = dict(browser.cookies)
    assert (await visitor.refresh("/look")).set_cookies.keys() == BOTH
    assert site.seen[0]["sub"] == "ann"
    await early.aclose()


async def test_a_handler_that_answers_otherwise_after_a_failed_prepare_leaves_the_client_a_good_session_or_none(
    aiohttp_client: Any, storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 0.002)
    site = Site(storage)

    async def stubborn(request: web.Request) -> web.StreamResponse:
        await site.change(request)
        response = web.StreamResponse()
        try:
            await response.prepare(request)
        except StorageUnavailable:
            return web.Response(text="something else")
        return response

    site.app.router.add_get("/stubborn", stubborn)
    visitor = await site.start(aiohttp_client)
    for mode in ("before", "after"):
        visitor.cookies.clear()
        storage.fail("insert", mode)
        storage.fail("delete", "before", times=2)
        await visitor.get("/stubborn")
        await asyncio.sleep(0.05)
        assert not visitor.cookies or await visitor.is_logged_in(site.manager)
