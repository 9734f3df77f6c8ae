"""Each test of a page has an empty working directory, a secret, and a client that keeps Secure cookies over http."""

from pathlib import Path
from typing import Any

import pytest
from support.pages import Serve, empty_place, server_for


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_place(tmp_path, monkeypatch)


@pytest.fixture
def serve(aiohttp_server: Any, aiohttp_client: Any) -> Serve:
    return server_for(aiohttp_server, aiohttp_client)
