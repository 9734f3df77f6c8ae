"""The MongoDB example as two machines run it, and the code in the backend's pages."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession, CookieJar

from aiohttp_lionrock import JtiRecord, open_storage

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "backends" / "mongodb"
SECRET = "a secret that both machines have, for tests"


@pytest.fixture
def machines(replica_set_database: str) -> Iterator[list[str]]:
    """The URLs of two processes that run the example on one database."""
    environ = {**os.environ, "MONGODB_URL": replica_set_database, "SESSION_SECRET": SECRET}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "mongodb_app.py")]
    ports = [str(_free_port()) for _ in range(2)]
    processes = [subprocess.Popen(command, env={**environ, "PORT": port}, stdout=subprocess.PIPE) for port in ports]
    yield [f"http://127.0.0.1:{port}" for port in ports]
    for process in processes:
        process.send_signal(signal.SIGINT)
    assert [process.communicate(timeout=20)[0] is not None and process.returncode for process in processes] == [0, 0]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def test_the_example_runs_on_two_machines_with_one_database(machines: list[str]) -> None:
    one, two = machines
    async with (
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as phone,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as laptop,
    ):
        for url in machines:
            await _answers(phone, url)
        phone.cookie_jar.clear()
        assert await _json(phone.get(one)) == {"user": None, "visits": 1}
        assert await _json(phone.post(f"{two}/login", data={"user": "ann"})) == {"user": "ann", "visits": 1}
        assert await _json(phone.get(two)) == {"user": "ann", "visits": 2}
        assert await _json(laptop.post(f"{one}/login", data={"user": "ann"})) == {"user": "ann", "visits": 0}
        assert await _json(laptop.post(f"{one}/logout-everywhere")) == {"ended": 1}
        assert await _json(phone.get(two)) == {"user": None, "visits": 1}
        assert await _json(laptop.get(two)) == {"user": "ann", "visits": 1}
        assert await _json(laptop.post(f"{two}/logout")) == {"user": None, "visits": 0}
        assert await _json(laptop.get(one)) == {"user": None, "visits": 1}


async def _json(request: Any) -> Any:
    async with request as response:
        assert response.status == 200
        return await response.json()


async def _answers(client: ClientSession, url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                async with client.get(url):
                    return
            except ClientConnectionError:
                await asyncio.sleep(0.1)


def blocks(page: str) -> list[dict[str, Any]]:
    """The names that each Python block of a page makes when it is run."""
    found: list[dict[str, Any]] = []
    for code in re.findall(r"```python\n(.*?)```", (BACKEND / page).read_text(), re.DOTALL):
        found.append({"__name__": "page"})
        exec(code, found[-1])
    return found


async def test_the_readme_of_the_backend_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    by_url, by_database = blocks("README.md")
    assert by_url["app"].cleanup_ctx
    assert by_database["app"].on_cleanup
    await by_database["close"](by_database["app"])


async def test_the_snippet_for_moving_from_sqlite_copies_the_sessions(tmp_path: Path, standalone_database: str) -> None:
    [names] = blocks("OPERATIONS.md")
    old, now = f"sqlite:///{tmp_path}/old.db", int(time.time())
    records = [
        JtiRecord(
            f"{user} {n}", version=n + 1, expires_at=now + 99, created_at=now, subject=user, metadata={"n": str(n)}
        )
        for user in ("ann", "bob", None)
        for n in range(400)
    ]
    async with open_storage(old) as storage:
        for record in records:
            await storage.insert(record)
    assert await names["copy_sessions"](old, standalone_database) == len(records)
    assert await names["copy_sessions"](old, standalone_database) == 0
    async with open_storage(standalone_database) as storage:
        assert await storage.get_many([record.sid for record in records]) == {record.sid: record for record in records}


def test_the_measuring_program_runs(standalone_database: str) -> None:
    command = [sys.executable, str(BACKEND / "tools" / "measure.py"), "2000", "3"]
    environ = {**os.environ, "MONGODB_URL": standalone_database}
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "on disk in all" in result.stdout
    assert re.search(r"replace +\d+ at 1,000, +\d+ at 2,000: \d", result.stdout)
    assert "COLLSCAN" not in result.stdout
