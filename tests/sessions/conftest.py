"""One server on one storage, and a browser of its own."""

from collections.abc import AsyncIterator, Callable

import pytest
from support.browser import Browser, make_manager
from support.outages import World
from support.storages import KINDS, storage_of_kind

from aiohttp_lionrock import JtiStorage, MemoryStorage, SessionManager
from aiohttp_lionrock.sessions import repairs
from aiohttp_lionrock.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def storage(clock: FakeClock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture(params=KINDS)
async def each_storage(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[JtiStorage]:
    """One storage of each kind in turn."""
    async with storage_of_kind(request.param, request, clock) as made:
        yield made


@pytest.fixture
def build(storage: MemoryStorage, clock: FakeClock) -> Callable[..., SessionManager]:
    """Makes managers on the one storage and clock of this test."""
    return lambda **settings: make_manager(storage, clock, **settings)


@pytest.fixture
def manager(build: Callable[..., SessionManager]) -> SessionManager:
    return build()


@pytest.fixture
def browser(manager: SessionManager) -> Browser:
    return Browser(manager)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", 0.01)


@pytest.fixture
async def world(short_pauses: None) -> AsyncIterator[World]:
    world = World()
    yield world
    world.storage.heal()
    for manager in world.managers:
        await manager.aclose()
