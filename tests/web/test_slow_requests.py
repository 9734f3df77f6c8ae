"""A request whose body takes its time: its cookies are judged as they were when it came."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from support.storages import FaultyStorage
from support.visitor import start
from support.webapp import application

from aiohttp_lionrock import get_session
from aiohttp_lionrock.testing import FakeClock


class Upload:
    """A handler that reads its body first, and asks for the session then."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.is_read = asyncio.Event()

    async def upload(self, request: web.Request) -> web.Response:
        self.is_there.set()
        await self.is_read.wait()
        session = await get_session(request)
        session["uploads"] = session.get("uploads", 0) + 1
        return web.json_response({"sub": session.subject, "why": type(session.rejected).__name__})


async def renew(request: web.Request) -> web.Response:
    (await get_session(request)).renew()
    return web.Response()


@pytest.mark.parametrize(
    ("beside", "seconds", "answer"),
    [
        ("look", 300, '{"sub": "ann", "why": "NoneType"}'),
        ("look", 900, '{"sub": null, "why": "TokenSuperseded"}'),
        ("renew", 300, '{"sub": null, "why": "TokenSuperseded"}'),
    ],
    ids=["refreshed beside", "refreshed long ago", "renewed beside"],
)
async def test_what_another_tab_does_during_a_slow_upload_makes_nobody_a_thief(
    aiohttp_client: Any,
    storage: FaultyStorage,
    monkeypatch: pytest.MonkeyPatch,
    beside: str,
    seconds: int,
    answer: str,
) -> None:
    clock, slow = FakeClock(), Upload()
    storage.clock = storage.inner.clock = clock
    monkeypatch.setattr("aiohttp_lionrock.web.visit.monotonic", clock)
    app, manager = application(slow.upload, renew, storage=storage, access_token={"expires": 10}, clock=clock)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    if beside == "look":
        clock.advance(100)  # the access token is over: both bring the refresh token
    upload = asyncio.create_task(visitor.copy().get("/upload", method="POST"))
    await slow.is_there.wait()
    await visitor.get(f"/{beside}")
    async with asyncio.timeout(5):
        while any(record.previous_jti and not record.rotated_at for record in await manager.sessions("ann")):
            await asyncio.sleep(0)
    clock.advance(seconds)
    slow.is_read.set()
    assert (await upload).text == answer
    assert '"sub": "ann"' in (await visitor.get("/look")).text
    assert manager.stats.get("refreshed", 0) + manager.stats.get("renewed", 0) >= 1
    assert manager.stats.get("reused", 0) == 0
