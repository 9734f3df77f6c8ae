"""The first pages: what a newcomer types, and what comes of it."""

import shlex
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from support.pages import BLOCKS, Serve, ask, cookies_of, examples, module_of, program, running, shell

from aiohttp_lionrock import SessionConfig, SessionManager


async def test_the_first_program_counts_over_a_restart(serve: Serve) -> None:
    client = await serve(program("index")["app"])
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    await client.server.close()
    again = await serve(program("index")["app"], cookies_of(client))
    assert await ask(again, "/") == {"visits": 3}


@pytest.mark.parametrize("page", ["index", "tutorial"])
def test_the_line_that_makes_a_secret_makes_a_good_one(page: str) -> None:
    [line] = [line for block in examples(page, "sh") for line in block.splitlines() if "SESSION_SECRET" in line]
    first, second = (shell(f'{line}\nprintf %s "$SESSION_SECRET"') for _ in range(2))
    assert first != second
    for secret in (first, second):
        SessionManager(SessionConfig(algorithm="HS512"), environ={"SESSION_SECRET": secret}).require_secret()


async def test_the_counter_keeps_its_session_over_plain_http(serve: Serve) -> None:
    client = await serve(program("tutorial", 0)["make_app"]())
    for visits in (1, 2):
        async with client.get("/") as response:
            assert await response.text() == f"You were here {visits} times.\n"
            assert "Secure" not in "".join(response.headers.getall("Set-Cookie"))


async def test_the_members_site_logs_in_and_out(serve: Serve, place: Path) -> None:
    client = await serve(program("tutorial", 1)["make_app"]())

    async def page(path: str = "/", **form: str) -> tuple[int, str]:
        async with client.request("POST" if path != "/" else "GET", path, data=form or None) as response:
            return response.status, await response.text()

    assert "Visit 1" in (await page())[1]
    assert (await page("/login", user="ann", password="wrong"))[0] == 403
    assert (await page("/login", user="", password=""))[0] == 403
    status, text = await page("/login", user="ann", password="a secret of ann")
    assert (status, "Visit 2" in text, "Hello, ann" in text) == (200, True, True)
    copy = cookies_of(client)
    assert len(copy) == 2
    status, text = await page("/logout")
    assert (status, "Visit 1" in text, "Hello" in text) == (200, True, False)
    assert (place / "sessions.db").exists()
    thief = await serve(program("tutorial", 1)["make_app"](), copy)
    async with thief.get("/") as response:
        assert "Hello" not in await response.text(), "a copy of the cookies is not honoured after the logout"


SERVERS = [block for block, example in BLOCKS.items() if "web.run_app(" in example.parsed]


@pytest.mark.parametrize("block", SERVERS, ids=module_of)
async def test_a_program_serves_from_the_command_line(block: tuple[str, int], place: Path) -> None:
    port = unused_port()
    source = str(BLOCKS[block].parsed).replace("port=8080", f"port={port}")
    (place / "app.py").write_text(source)
    # These two keep things under keys of text, which aiohttp 3.14 warns of.
    strict = [] if "aiohttp_jinja2" in source or "aiohttp_session" in source else ["-W", "error"]
    async with running(place, port, sys.executable, *strict, "app.py"):
        pass
    assert "Running on" in (place / "output.txt").read_text()


def test_the_lines_to_install_name_what_is_in_the_checkout() -> None:
    root = Path(__file__).parents[2]
    for page in ("tutorial", "backends/sqlite", "backends/mongodb"):
        [line] = [line for block in examples(page, "sh") for line in block.splitlines() if "pip install" in line]
        for argument in shlex.split(line)[2:]:
            folder = root / argument.removeprefix("path/to/checkout").lstrip("/")
            assert (folder / "pyproject.toml").exists()
