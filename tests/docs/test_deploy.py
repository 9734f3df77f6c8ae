"""The deploy pages on real servers: gunicorn, nginx's sizes, the environment, probes, secrets and purges."""

import asyncio
import os
import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import unused_port
from support.pages import (
    SECRET,
    Serve,
    ask,
    blocks_of,
    cookies_of,
    examples,
    program,
    rows,
    running,
    shell,
)

from aiohttp_lionrock import SessionConfig, SessionManager
from aiohttp_lionrock.log import logger

ROOT = Path(__file__).parents[2]
CORE = ROOT / "aiohttp_lionrock"


async def test_gunicorn_serves_sessions_from_several_processes(place: Path) -> None:
    port = unused_port()
    (place / "shop.py").write_text(blocks_of("deploy/gunicorn")[0].replace("/var/lib/shop", str(place)))
    assert program("deploy/gunicorn")["make_app"] is not None
    [line] = examples("deploy/gunicorn", "sh")
    command = shlex.split(line.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("--workers 4", "--workers 2"))
    async with running(place, port, sys.executable, "-m", *command, PYTHONPATH=str(place)):
        jar = CookieJar(unsafe=True, treat_as_secure_origin=f"http://127.0.0.1:{port}")
        seen: list[dict[str, int]] = []
        async with ClientSession(cookie_jar=jar) as client:
            for _ in range(400):  # the second process may come up later, and which one answers is by chance
                async with client.get(f"http://127.0.0.1:{port}/", headers={"Connection": "close"}) as response:
                    seen.append(await response.json())
                if len({one["process"] for one in seen}) == 2:
                    break
                await asyncio.sleep(0.03)
    assert [one["visits"] for one in seen] == list(range(1, len(seen) + 1))
    assert len({one["process"] for one in seen}) == 2


def secrets_after(lines: str, **environ: str) -> dict[str, str]:
    """The session secrets in the environment after these lines of shell."""
    told = [line.partition("=") for line in shell(f"{lines}\nenv", **environ).splitlines()]
    return {name: value for name, _, value in told if name.startswith("SESSION_SECRET")}


async def test_the_secret_is_changed_without_logging_anybody_out(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def visits(environ: dict[str, str], cookies: dict[str, str]) -> tuple[int, dict[str, str]]:
        """One visit to a server that is started with this environment."""
        for name in ("SESSION_SECRET", "SESSION_SECRET_PREVIOUS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        client = await serve(program("index")["app"], cookies)
        return (await ask(client, "/"))["visits"], cookies_of(client)

    announce, change, end = examples("deploy/secrets", "sh")
    before = {"SESSION_SECRET": SECRET}
    count, old_cookies = await visits(before, {})
    assert count == 1

    announced = secrets_after(announce, **before)
    assert announced["SESSION_SECRET"] == SECRET != announced["SESSION_SECRET_PREVIOUS"]
    changed = secrets_after(change, **announced)
    new = announced["SESSION_SECRET_PREVIOUS"]
    assert changed == {"SESSION_SECRET": new, "SESSION_SECRET_PREVIOUS": SECRET}
    count, new_cookies = await visits(changed, old_cookies)
    assert count == 2, "old cookies are good while the old secret is the previous one"
    assert (await visits(announced, new_cookies))[0] == 3, "a process that is not restarted yet knows the new one"
    for cookie in new_cookies.values():
        jwt.decode(cookie, new, algorithms=["HS256"])
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(cookie, SECRET, algorithms=["HS256"])

    after = secrets_after(end, **changed)
    assert after == {"SESSION_SECRET": new}
    assert (await visits(after, old_cookies))[0] == 1, "without the old secret they are refused"
    assert (await visits(after, new_cookies))[0] == 3


async def test_a_purge_from_outside_of_the_application(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET")
    url = f"sqlite:///{place}/sessions.db"
    with monkeypatch.context() as past:
        past.setenv("SESSION_SECRET", SECRET)
        async with SessionManager(SessionConfig(storage=url, expires=60), clock=lambda: 1_000_000_000) as manager:
            session = await manager.load({})
            session["sub"] = "ann"
            await manager.save(session)
    purge = program("deploy/operations")["purge"]
    assert [await purge(url) for _ in range(2)] == [1, 0]


async def test_after_a_restored_backup_its_time_ends_what_it_brings_back(place: Path) -> None:
    url = f"sqlite:///{place}/sessions.db"
    backup_time = datetime(2024, 5, 1, 3, tzinfo=UTC).timestamp()
    for began, sub in ((backup_time - 60, "ann"), (backup_time + 60, "bob")):
        config = SessionConfig(storage=url, refresh_token={"expires": 10**9})
        async with SessionManager(config, clock=lambda began=began: began) as manager:
            session = await manager.load({})
            session["sub"] = sub
            await manager.save(session)
    _, command = examples("deploy/operations", "sh")
    assert "ended every session that began up to 2024-05-01 03:00:00 UTC" in shell(command, SESSION_STORAGE=url)
    async with SessionManager(SessionConfig(storage=url)) as manager:
        assert [len(await manager.sessions(sub)) for sub in ("ann", "bob")] == [0, 1]


def test_the_checklist_of_a_deployment_is_done_from_a_shell(place: Path) -> None:
    url = f"sqlite:///{place}/sessions.db"
    environ = {"SESSION_SECRET": SECRET, "SESSION_STORAGE": url}
    checks, _ = examples("deploy/operations", "sh")
    [cron] = examples("deploy/operations", "text")
    before = os.umask(0o077)
    try:
        asyncio.run(program("deploy/operations")["purge"](url))
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in place.glob("sessions.db*")] == [0o600]
    told = shell(checks, **environ)
    assert told.startswith("the environment: good")
    assert "reachable  yes" in told
    command = cron.split(maxsplit=5)[5].replace("/var/lib/shop", str(place))
    assert shell(command) == "removed 0 expired records\n"


def test_the_lines_of_the_log_are_those_of_the_library() -> None:
    assert logger.name == "aiohttp_lionrock"
    source = "\n".join(path.read_text() for path in CORE.rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    for level, line, *_ in rows("deploy/operations", "Logs"):
        parts = [re.escape(part.strip()) for part in line.split(", with")[0].split("…")]
        pattern = r"logger\.(\w+)\(\s*\"" + ".{0,6}".join(f'[^"]*?{part}' for part in parts)
        found = re.findall(pattern, source)
        assert level in found, line


async def test_a_user_with_large_cookies_is_served_where_the_limit_is_raised(place: Path) -> None:
    port = unused_port()
    assert program("deploy/proxies", 1)["make_app"] is not None
    (place / "app.py").write_text(blocks_of("deploy/proxies")[1].replace("port=8080", f"port={port}"))
    async with running(place, port, sys.executable, "app.py"), ClientSession() as client:
        for size, status in ((16_000, 200), (40_000, 400)):
            headers = {"Cookie": f"other={'x' * size}"}
            async with client.get(f"http://127.0.0.1:{port}/", headers=headers) as response:
                assert response.status == status


def test_the_sizes_of_the_page_are_those_of_the_settings() -> None:
    sizes = {row[0]: row[1] for row in rows("deploy/proxies", "Sizes")}
    config = SessionConfig()
    assert sizes["`max_cookies_length`"].startswith(f"{config.max_cookies_length:,}")
    assert sizes["the browser"].startswith(f"{config.max_token_length:,}")
    assert sizes["aiohttp, request"] == "`max_field_size`, 8,190 bytes a line"
