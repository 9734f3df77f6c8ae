"""Fixtures of the adapter's tests."""

import pytest
from support.storages import FaultyStorage

from aiohttp_lionrock import MemoryStorage


@pytest.fixture(autouse=True)
def _no_secret_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage(MemoryStorage())
