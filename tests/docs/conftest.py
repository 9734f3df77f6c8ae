"""Each test of a page has an empty working directory, a secret, and a client that keeps Secure cookies over http."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient
from support.pages import SECRET, Serve


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a secret in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)
    return tmp_path


@pytest.fixture
def serve(aiohttp_server: Any, aiohttp_client: Any) -> Serve:
    """Serves an app on this machine, to a client that may bring cookies."""

    async def serve(app: web.Application, cookies: dict[str, str] | None = None) -> TestClient[Any, Any]:
        server = await aiohttp_server(app)
        jar = CookieJar(unsafe=True, treat_as_secure_origin=server.make_url("/"))
        jar.update_cookies(cookies or {}, server.make_url("/"))
        client: TestClient[Any, Any] = await aiohttp_client(server, cookie_jar=jar)
        return client

    return serve
