"""Fixtures for tests of applications, loaded when they are asked for alone.

``pytest_plugins = ["aiohttp_lionrock.testing.pytest_plugin"]`` in the topmost conftest.py or in a test file does so.
"""

from typing import Any

import pytest

from ..storage.memory import MemoryStorage
from .clock import FakeClock
from .storages import FaultyStorage

__all__ = ["session_clock", "session_settings", "session_storage"]


@pytest.fixture
def session_clock() -> FakeClock:
    """The time that sessions go by; it stands still until a test lets it ``advance``."""
    return FakeClock()


@pytest.fixture
def session_storage(session_clock: FakeClock) -> FaultyStorage:
    """An empty storage in memory, which fails as it is told to."""
    return FaultyStorage(MemoryStorage(clock=session_clock))


@pytest.fixture
def session_settings(
    session_clock: FakeClock, session_storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Arguments of `setup` for a test: this clock and storage, a secret, and cookies that go over plain http."""
    for name in ("SESSION_SECRET", "SESSION_SECRET_PREVIOUS"):
        monkeypatch.delenv(name, raising=False)
    return {
        "clock": session_clock,
        "storage": session_storage,
        "secret": "for tests alone: nothing is signed with it elsewhere",
        "cookie": {"secure": False},
    }
