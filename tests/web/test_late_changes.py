"""Changes by a task of the handler's own while its session is being saved: never lost in silence."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from support.browser import ACCESS, claims
from support.visitor import install, start
from support.webapp import application

from aiohttp_lionrock import JtiRecord, MemoryStorage, Session, SessionSealed, get_session, setup
from aiohttp_lionrock.web.visit import Visit


class Waiting(MemoryStorage):
    """Inserts nothing before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def insert(self, record: JtiRecord) -> None:
        self.has_begun.set()
        await self.may_go_on.wait()
        await super().insert(record)


async def saved_meanwhile(
    aiohttp_client: Any, change: Callable[[Session], object], sends_itself: bool
) -> dict[str, Any]:
    """What the access token says after a change that was made while the storage was slow."""
    storage, tasks = Waiting(), list[asyncio.Task[None]]()

    async def handler(request: web.Request) -> web.StreamResponse:
        session = await get_session(request)
        session["cart"] = []

        async def change_late() -> None:
            await storage.has_begun.wait()
            try:
                change(session)
            finally:
                storage.may_go_on.set()

        tasks.append(asyncio.create_task(change_late()))
        response = web.Response()
        if sends_itself:
            await response.prepare(request)
        return response

    app, _ = application(handler, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/handler")
    await tasks[0]
    said: dict[str, Any] = claims(visitor.cookies[ACCESS])
    return said


both_ways = pytest.mark.parametrize("sends_itself", [False, True], ids=["returned", "sent by the handler"])


@both_ways
@pytest.mark.parametrize("change", [lambda session: session.update(late=1), Session.renew, Session.invalidate])
async def test_a_change_raises_once_the_session_is_being_saved(
    aiohttp_client: Any, change: Callable[[Session], object], sends_itself: bool
) -> None:
    with pytest.raises(SessionSealed):
        await saved_meanwhile(aiohttp_client, change, sends_itself)


@both_ways
async def test_a_change_inside_of_a_value_is_logged_by_its_key(
    aiohttp_client: Any, caplog: pytest.LogCaptureFixture, sends_itself: bool
) -> None:
    said = await saved_meanwhile(aiohttp_client, lambda session: session["cart"].append("tea"), sends_itself)
    assert said["cart"] == []
    assert "changed after the response had left are lost: 'cart'" in caplog.text


def visits_in_memory() -> int:
    return sum(isinstance(one, Visit) for one in gc.get_objects())


@pytest.mark.parametrize("path", ["/read", "/write"])
async def test_a_request_leaves_nothing_for_the_garbage_collector(aiohttp_client: Any, path: str) -> None:
    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await get_session(request))))

    async def write(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = session.get("n", 0) + 1
        return web.Response()

    app = web.Application()
    setup(app, secret="for this test, 32 bytes and more", cookie={"secure": False})
    app.router.add_get("/read", read)
    app.router.add_get("/write", write)
    client = await aiohttp_client(app)
    await client.get("/write")
    gc.collect()
    gc.disable()
    try:
        before = visits_in_memory()  # an open connection knows its last request
        for _ in range(20):
            await client.get(path)
        await asyncio.sleep(0.05)
        assert visits_in_memory() <= before + 1
    finally:
        gc.enable()


async def test_a_session_that_is_loaded_while_another_one_is_saved_is_saved_too(aiohttp_client: Any) -> None:
    outer_storage, tasks = Waiting(), list[asyncio.Task[None]]()

    async def handler(request: web.Request) -> web.StreamResponse:
        async def change_late() -> None:
            await outer_storage.has_begun.wait()
            (await get_session(request))["cart"] = ["tea"]
            outer_storage.may_go_on.set()

        tasks.append(asyncio.create_task(change_late()))
        response = web.StreamResponse()
        await response.prepare(request)
        return response

    @web.middleware
    async def store(request: web.Request, handler: Handler) -> web.StreamResponse:
        (await get_session(request))["theme"] = "dark"
        return await handler(request)

    inner, _ = application(handler, storage=MemoryStorage(), name="inner")
    outer = web.Application()
    install(outer, storage=outer_storage)
    outer.middlewares.append(store)
    outer.add_subapp("/sub", inner)
    visitor = await start(aiohttp_client, outer)
    await visitor.get("/sub/handler")
    await tasks[0]
    assert claims(visitor.cookies["inner"])["cart"] == ["tea"]
    assert claims(visitor.cookies[ACCESS])["theme"] == "dark"
