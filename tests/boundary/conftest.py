"""A browser with a cookie jar, and servers under any settings for it, with and without a storage."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.shop import shop
from support.surfer import Surfer

from aiohttp_lionrock import MemoryStorage, SessionManager
from aiohttp_lionrock.testing import FakeClock

Serve = Callable[..., Awaitable[tuple[TestServer, SessionManager]]]


@pytest.fixture(autouse=True)
def _no_secret_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["storage", "stateless"])
def kept_in(request: pytest.FixtureRequest, clock: FakeClock) -> dict[str, Any]:
    """The settings of a shop with a storage, which all its servers share, and of one without."""
    return {"storage": MemoryStorage(clock=clock)} if request.param == "storage" else {}


@pytest.fixture
async def surfer(clock: FakeClock) -> AsyncIterator[Surfer]:
    async with Surfer.client() as http:
        yield Surfer(http, clock)


@pytest.fixture
def serve(aiohttp_server: Any, clock: FakeClock) -> Serve:
    """Starts a shop on a free port, under these settings."""

    async def serve(
        *handlers: Callable[[web.Request], Any], clock: Callable[[], float] = clock, **settings: Any
    ) -> tuple[TestServer, SessionManager]:
        app, manager = shop(*handlers, clock=clock, **settings)
        return await aiohttp_server(app), manager

    return serve
