"""The command line in an empty folder, and sessions in a SQLite file there."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.sessions import SECRET, cookies_of
from support.shell import Shell, run

from aiohttp_lionrock import SessionConfig, SessionManager

Fill = Callable[..., dict[str, str]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a command in an empty folder."""
    return partial(run, tmp_path)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sessions.db"


@pytest.fixture
def log_in(url: str) -> Fill:
    """Stores a session in the SQLite file; gives its access and refresh cookies by name."""

    async def stored(labels: dict[str, str], data: dict[str, Any]) -> dict[str, str]:
        config = SessionConfig(secret=SECRET, storage=url, refresh_token=True)
        async with SessionManager(config, environ={}) as manager:
            session = await manager.load({})
            session.update(data)
            session.describe(**labels)
            return cookies_of(await manager.save(session))

    def log_in(labels: dict[str, str] | None = None, **data: Any) -> dict[str, str]:
        return asyncio.run(stored(labels or {}, data))

    return log_in
