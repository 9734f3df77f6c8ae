"""The pages of docs/: their Python blocks as Sybil finds them, their tables, and a server for the programs on them."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, CookieJar, web
from aiohttp.test_utils import TestClient
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.myst import PythonCodeBlockParser

__all__ = [
    "BLOCKS",
    "DOCS",
    "MODULES",
    "ROOT",
    "SECRET",
    "Serve",
    "ask",
    "assert_unavailable",
    "blocks_of",
    "cookies_of",
    "empty_place",
    "examples",
    "module_of",
    "program",
    "rows",
    "run_pytest",
    "running",
    "server_for",
    "shell",
    "text",
]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECRET = "a secret for the programs of the documentation"
Serve = Callable[..., Awaitable[TestClient[Any, Any]]]

Block = tuple[str, int]  # the page without .md, and the place of the block on it

# Blocks that another one imports.
MODULES: dict[Block, str] = {("backends/write", 0): "jsonfile_sessions"}


def text(page: str) -> str:
    return (DOCS / f"{page}.md").read_text()


def _parsed(page: str) -> list[Example]:
    return list(Sybil([PythonCodeBlockParser()]).parse(DOCS / f"{page}.md").examples())


PAGES = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
BLOCKS: dict[Block, Example] = {(page, place): example for page in PAGES for place, example in enumerate(_parsed(page))}


def module_of(block: Block) -> str:
    """The name of the file that the block is, for whatever reads files."""
    return MODULES.get(block) or re.sub(r"\W+", "_", f"{block[0]}_{block[1]}")


def blocks_of(page: str) -> list[str]:
    return [str(example.parsed) for (name, _), example in BLOCKS.items() if name == page]


def program(page: str, place: int = 0) -> dict[str, Any]:
    """The names that a block makes, run by Sybil as if it were alone on its page."""
    example = BLOCKS[page, place]
    names = example.namespace
    names.clear()
    names["__name__"] = module_of((page, place))
    example.evaluate()
    return dict(names)


def examples(page: str, language: str) -> list[str]:
    """The code blocks of another language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE)


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The cells of the table under a heading (or of all tables of the page), without heads."""
    part = text(page).split(f"# {heading}\n", 1)[1].split("\n## ", 1)[0] if heading else text(page)
    found, is_body = [], False
    for line in part.splitlines():
        if not line.startswith("|"):
            is_body = False
        elif set(line) <= set("|-: "):
            is_body = True
        elif is_body:
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def empty_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a secret in the environment."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)
    return folder


def server_for(aiohttp_server: Any, aiohttp_client: Any) -> Serve:
    """Serves an app on this machine, to a client that may bring cookies and sends Secure ones without https."""

    async def serve(app: web.Application, cookies: dict[str, str] | None = None) -> TestClient[Any, Any]:
        server = await aiohttp_server(app)
        jar = CookieJar(unsafe=True, treat_as_secure_origin=server.make_url("/"))
        jar.update_cookies(cookies or {}, server.make_url("/"))
        client: TestClient[Any, Any] = await aiohttp_client(server, cookie_jar=jar)
        return client

    return serve


async def ask(client: TestClient[Any, Any], path: str, method: str = "GET", **options: Any) -> Any:
    """The JSON of an answer that must be 200."""
    async with client.request(method, path, **options) as response:
        assert response.status == 200, await response.text()
        return await response.json()


def cookies_of(client: TestClient[Any, Any]) -> dict[str, str]:
    return {cookie.key: cookie.value for cookie in client.session.cookie_jar}


def assert_unavailable(response: ClientResponse) -> None:
    assert response.status == 503
    assert "Retry-After" in response.headers
    assert "Set-Cookie" not in response.headers


def run_pytest(folder: Path, *files: str) -> str:
    """What pytest says of files in a folder, any warning being an error."""
    options = "-q -W error -o asyncio_mode=auto -o asyncio_default_fixture_loop_scope=function -p no:cacheprovider"
    command = [sys.executable, "-m", "pytest", *options.split(), *files]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def shell(lines: str, **environ: str) -> str:
    """What these lines of shell print; ``python`` and the command line are those of these tests."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "NO_COLOR": "1", **environ}
    done = subprocess.run(
        ["sh", "-eu", "-c", lines], env=env, check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.stdout


@asynccontextmanager
async def running(folder: Path, port: int, *command: str, **environ: str) -> AsyncIterator[None]:
    """A server process that listens on this port, ended at last; what it says goes into the folder's ``output.txt``."""
    env = {**os.environ, "SESSION_SECRET": SECRET, **environ}
    with (folder / "output.txt").open("ab") as output:
        server = await asyncio.create_subprocess_exec(*command, cwd=folder, env=env, stdout=output, stderr=output)
        try:
            async with asyncio.timeout(20):
                await _wait_for(port, server)
            yield
        finally:
            if server.returncode is None:
                server.terminate()
            async with asyncio.timeout(20):
                await server.wait()


async def _wait_for(port: int, server: asyncio.subprocess.Process) -> None:
    while True:
        assert server.returncode is None, "the server ended at its start"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return
