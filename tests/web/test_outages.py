"""The storage cannot answer: 503, cookies untouched, one line in the log at either end."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, REFRESH, SECRET, Browser
from support.site import Site
from support.storages import FaultyStorage
from support.visitor import Answer, Visitor, start
from support.webapp import BOTH, application, ask, wrapped

from aiohttp_lionrock import (
    CorruptRecord,
    JtiConfig,
    JtiEvent,
    MemoryStorage,
    SessionManager,
    StorageUnavailable,
    get_manager,
    get_session,
)
from aiohttp_lionrock.sessions import repairs
from aiohttp_lionrock.web import outages

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
    visitor = await asyncio.wait_for(site.start(aiohttp_client), 5)
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


class FailedWork(Exception):
    """What an application makes of any failure."""


async def in_a_group(request: web.Request) -> web.Response:
    async with asyncio.TaskGroup() as group:
        group.create_task(get_session(request))
        group.create_task(asyncio.sleep(0))
    return web.Response()


async def from_an_outage(request: web.Request) -> web.Response:
    try:
        await get_session(request)
    except StorageUnavailable as exc:
        raise FailedWork("no session") from exc
    return web.Response()


async def during_an_outage(request: web.Request) -> web.Response:
    try:
        await get_session(request)
    except StorageUnavailable:
        raise FailedWork("no session")  # noqa: B904
    return web.Response()


@pytest.mark.parametrize("handler", [in_a_group, from_an_outage])
async def test_an_outage_that_comes_inside_another_error_is_503_too(
    aiohttp_client: Any, storage: FaultyStorage, handler: Any
) -> None:
    site = Site(storage)
    site.app.router.add_get("/wrapped", handler)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    assert_unavailable(await visitor.get("/wrapped"))
    assert (await visitor.get("/wrapped")).status == 200


async def after_an_outage(request: web.Request) -> web.Response:
    with contextlib.suppress(StorageUnavailable):
        await get_session(request)
    raise KeyError("a bug")


async def from_itself(request: web.Request) -> web.Response:
    try:
        raise KeyError("a bug")
    except KeyError as exc:
        raise exc from exc


async def out_of_its_group(request: web.Request) -> web.Response:
    try:
        raise ExceptionGroup("all", [KeyError("a bug"), ValueError()])
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


@pytest.mark.parametrize("handler", [during_an_outage, after_an_outage, from_itself, out_of_its_group])
async def test_a_bug_is_a_bug_whatever_it_followed(aiohttp_client: Any, storage: FaultyStorage, handler: Any) -> None:
    site = Site(storage)
    site.app.router.add_get("/bug", handler)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    async with asyncio.timeout(5):
        assert (await visitor.get("/bug")).status == 500


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the library logs by default."""
    records = [record for record in caplog.records if record.name == "aiohttp_lionrock"]
    return [record.getMessage() for record in records if record.levelno > logging.INFO]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "PAUSE", 60.0)  # the first request that is served again tells
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    with caplog.at_level(logging.DEBUG, "aiohttp_lionrock"):
        for number in (3, 5):
            caplog.clear()
            with storage.away():
                for _ in range(number):
                    assert_unavailable(await visitor.get("/look"))
            [first] = lines(caplog)
            assert "stopped answering" in first
            assert "get: the storage is away" in first
            details = [record for record in caplog.records if record.levelno == logging.DEBUG and record.exc_info]
            assert len(details) == number
            assert (await visitor.get("/look")).status == 200
            await until(lambda: len(lines(caplog)) == 2)
            assert f"answers again; {number} requests got 503" in lines(caplog)[1]
    for value in visitor.cookies.values():
        assert value not in caplog.text


async def test_an_outage_is_told_to_listeners_at_either_end(aiohttp_client: Any, storage: FaultyStorage) -> None:
    site = Site(storage)
    events = site.manager.events
    heard: list[str] = []
    back = asyncio.Event()
    events.storage_down.append(lambda event: heard.append(event.name))
    events.storage_up += [lambda event: heard.append(event.name), lambda _: back.set()]
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    with storage.away():
        for _ in range(3):
            assert (await visitor.get("/look")).status == 503
        assert heard == ["storage_down"]
    async with asyncio.timeout(5):
        await back.wait()
    assert heard == ["storage_down", "storage_up"]


async def test_the_end_of_an_outage_is_seen_without_any_request(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "PAUSE", 0.01)
    storage.down = True
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    assert_unavailable(await visitor.get("/write"))
    await asyncio.sleep(0.1)
    storage.down = False
    await until(lambda: len(lines(caplog)) == 2)
    assert "not available at start" in lines(caplog)[0]
    assert "answers again; 1 requests got 503" in lines(caplog)[1]


async def test_an_outage_is_over_although_its_storage_was_put_right_the_wrong_way_first(
    aiohttp_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "PAUSE", 0.02)
    file = tmp_path / "volume" / "sessions.db"
    site = Site(f"sqlite:///{file}")
    stats = site.manager.stats
    visitor = await site.start(aiohttp_client)
    assert_unavailable(await visitor.get("/write"))
    file.mkdir(parents=True)  # a folder where the file ought to be is a wrong configuration
    await asyncio.sleep(0.2)
    assert (stats["storage_down"], stats["storage_up"]) == (1, 0)
    file.rmdir()
    await until(lambda: stats["storage_up"] == 1)
    assert (await visitor.get("/write")).status == 200


async def test_an_outage_of_callbacks_is_over_when_a_session_is_served_again(
    aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def verify(event: JtiEvent) -> bool:
        if is_away:
            await asyncio.Event().wait()
        return True

    monkeypatch.setattr(outages, "PAUSE", 0.02)
    is_away = False
    site = Site(None, jti=JtiConfig(verify=verify, token_use="both"))
    stats = site.manager.stats
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    is_away = True
    for _ in range(5):
        assert_unavailable(await visitor.get("/look"))
        await asyncio.sleep(0.05)
    assert (stats["storage_down"], stats["storage_up"]) == (1, 0)
    is_away = False
    assert (await visitor.get("/look")).status == 200
    await until(lambda: stats["storage_up"] == 1)


async def test_an_app_that_ends_in_an_outage_ends_in_peace(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    await visitor.get("/look")
    others = asyncio.all_tasks()
    await visitor.client.close()
    assert not {task for task in asyncio.all_tasks() & others if "wait_for_end" in repr(task)}
    assert len(lines(caplog)) == 1


async def test_a_record_that_cannot_be_read_is_no_outage(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def spoiled(sid: str) -> None:
        raise CorruptRecord(f"the record of {sid!r} cannot be read")

    site = Site(storage)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    monkeypatch.setattr(storage, "get", spoiled)
    assert_unavailable(await visitor.get("/look"))
    [line] = lines(caplog)
    assert "cannot be read" in line
    assert "stopped answering" not in line


# --- the application's own answer --------------------------------------------------------------------------------


def sorry(request: web.Request, exc: StorageUnavailable) -> web.Response:
    return web.json_response({"error": "try again", "path": request.path}, status=503)


async def sorry_later(request: web.Request, exc: StorageUnavailable) -> web.Response:
    await asyncio.sleep(0)
    return sorry(request, exc)


@pytest.mark.parametrize("on_unavailable", [sorry, sorry_later])
@pytest.mark.parametrize(("path", "call"), [("/look", "get"), ("/write", "replace"), ("/stream", "replace")])
async def test_the_answer_in_an_outage_can_be_the_applications_own(
    aiohttp_client: Any, storage: FaultyStorage, on_unavailable: Any, path: str, call: str
) -> None:
    site = Site(storage, on_unavailable=on_unavailable)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail(call, "before")
    answer = await visitor.get(path)
    assert_unavailable(answer)
    assert json.loads(answer.text) == {"error": "try again", "path": path}


async def test_the_applications_own_answer_keeps_its_headers_and_decides_the_status(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    def later(request: web.Request, exc: StorageUnavailable) -> web.Response:
        if "busy" in request.query:
            return web.Response(status=503, headers={"Retry-After": "60", "Cache-Control": "public, max-age=60"})
        return web.Response(status=200, text="read only")

    site = Site(storage, on_unavailable=later)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("get", "before", times=2)
    busy = await visitor.get("/look?busy")
    assert (busy.status, busy.headers["Retry-After"], busy.headers["Cache-Control"]) == (503, "60", "no-store")
    calm = await visitor.get("/look")
    assert (calm.status, calm.text, calm.headers["Cache-Control"]) == (200, "read only", "no-store")
    assert "Retry-After" not in calm.headers


async def test_an_answer_of_the_application_that_raises_is_what_it_raises(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    def redirect(request: web.Request, exc: StorageUnavailable) -> web.Response:
        raise web.HTTPFound("/maintenance")

    site = Site(storage, on_unavailable=redirect)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    answer = await visitor.get("/look")
    assert (answer.status, answer.headers["Location"]) == (302, "/maintenance")


async def test_an_answer_of_the_application_that_is_raised_is_marked_as_one_that_is_returned(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    def down(request: web.Request, exc: StorageUnavailable) -> web.Response:
        raise web.HTTPServiceUnavailable(text="back soon")

    site = Site(storage, on_unavailable=down)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    for path, call in (("/look", "get"), ("/write", "replace"), ("/redirect", "replace"), ("/stream", "replace")):
        storage.fail(call, "before")
        answer = await visitor.get(path)
        assert_unavailable(answer)
        assert answer.text == "back soon"


async def test_an_answer_of_the_application_that_needs_the_session_itself_is_a_plain_503(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async def page_with_the_user(request: web.Request, exc: StorageUnavailable) -> web.Response:
        return web.Response(status=503, text=f"{(await get_session(request)).subject}, we are back soon")

    site = Site(storage, on_unavailable=page_with_the_user)
    visitor = await site.start(aiohttp_client)
    await visitor.get("/log_in")
    with storage.away():
        assert_unavailable(await visitor.get("/look"))
    assert "on_unavailable failed: the client gets the plain 503" in lines(caplog)


@pytest.mark.parametrize("failing", ["inner", "outer"])
async def test_of_nested_applications_the_one_whose_storage_is_away_answers(aiohttp_client: Any, failing: str) -> None:
    def named(name: str) -> Any:
        return lambda request, exc: web.Response(status=503, text=name)

    storages = {name: FaultyStorage(MemoryStorage()) for name in ("inner", "outer")}

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        (await get_session(request))["path"] = request.path_qs
        return await handler(request)  # type: ignore[no-any-return]

    async def everywhere(request: web.Request) -> web.Response:
        return web.json_response(await get_manager(request).revoke_subject("ann"))

    inner, _ = application(everywhere, name="inner", storage=storages["inner"], on_unavailable=named("inner"))
    outer = wrapped(inner, outside, name="outer", storage=storages["outer"], on_unavailable=named("outer"))
    visitor = await start(aiohttp_client, outer)
    await visitor.get("/sub/log_in")
    storages[failing].fail("get", "before")
    assert (await visitor.get("/sub/look?again")).text == failing
    storages["inner"].fail("delete_subject", "before")
    assert (await visitor.get("/sub/everywhere")).text == "inner"


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
