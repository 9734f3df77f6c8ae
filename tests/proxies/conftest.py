"""Fixtures of the tests with shared caches."""

import pytest
from support.caches import Command, apache, nginx


@pytest.fixture(params=[nginx, apache], ids=["nginx", "apache"])
def cache(request: pytest.FixtureRequest) -> Command:
    command: Command = request.param
    return command


@pytest.fixture(autouse=True)
def _no_secret_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)
