"""What the README shows is run here, and what it lists is there. The pages it points to are tested in tests/docs."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.pages import DOCS, ROOT, Serve, ask, cookies_of, empty_place, server_for, shell

import aiohttp_lionrock
from aiohttp_lionrock import Session, SessionConfig, SessionManager, open_storage

README = (ROOT / "README.md").read_text()


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    return README.split(f"# {heading}\n", 1)[1].split("\n## ", 1)[0]


def examples(heading: str, language: str = "python") -> list[str]:
    """The code blocks of a language under a heading."""
    return re.findall(rf"```{language}\n(.*?)```", section(heading), re.DOTALL)


def example(heading: str) -> dict[str, Any]:
    """The names that the one Python block under a heading makes when it is run."""
    [code] = examples(heading)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, f"README.md: {heading}", "exec"), names)
    return names


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_place(tmp_path, monkeypatch)


@pytest.fixture
def serve(aiohttp_server: Any, aiohttp_client: Any) -> Serve:
    return server_for(aiohttp_server, aiohttp_client)


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_every_code_block_is_run_by_a_test() -> None:
    headings = {part.partition("\n")[0] for part in re.split(r"\n##+ ", README)[1:] if "```python" in part}
    assert headings == set(re.findall(r'example\("([^"]+)"\)', Path(__file__).read_text()))


async def test_the_first_program_counts_over_a_restart(serve: Serve) -> None:
    client = await serve(example("The first program")["app"])
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    await client.server.close()
    again = await serve(example("The first program")["app"], cookies_of(client))
    assert await ask(again, "/") == {"visits": 3}


def test_the_line_that_makes_a_secret_makes_a_good_one() -> None:
    [line] = examples("The first program", "sh")
    first, second = (shell(f'{line}\nprintf %s "$SESSION_SECRET"') for _ in range(2))
    assert first != second
    for secret in (first, second):
        SessionManager(SessionConfig(algorithm="HS512"), environ={"SESSION_SECRET": secret}).require_secret()


def test_the_lines_to_install_name_what_is_in_the_checkout() -> None:
    for line in examples("Install", "sh")[0].splitlines():
        folders = re.findall(r"(?<![\w.])\./?[\w/]*", line.partition("#")[0])
        assert folders[0] == "."
        assert all((ROOT / folder / "pyproject.toml").exists() for folder in folders)


def test_the_calls_of_the_table_are_there() -> None:
    owners = {"session": Session, "manager": SessionManager, "": aiohttp_lionrock}
    calls = re.findall(r"`(?:await )?(?:(\w+)\.)?(\w+)\(", " ".join(row[0] for row in rows("The calls")))
    assert len(calls) == 13
    for owner, name in calls:
        assert callable(getattr(owners[owner], name))


@pytest.mark.parametrize("url", [None, "memory://", "sqlite:///sessions.db"])
async def test_a_url_chooses_the_backend(
    place: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    if url is not None:
        monkeypatch.setenv("SESSION_STORAGE", url)
    app = example("Choose a backend")["make_app"]()
    app.router.add_get("/", example("The first program")["visits"])
    client = await serve(app)
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    assert (place / "sessions.db").exists() == (url == "sqlite:///sessions.db")


def test_every_url_of_the_table_is_served_by_its_distribution() -> None:
    for url, distribution, _ in rows("Choose a backend"):
        package = type(open_storage(url.strip("`"))).__module__.partition(".")[0]
        assert package == distribution.strip("`").replace("-", "_")


def test_every_page_of_the_documentation_is_linked() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)\)", README))
    pages = {path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")}
    reached = {f"docs/backends/{name}.md" for name in ("memory", "sqlite", "mongodb")}  # from the page of backends
    assert linked == pages - reached - {"docs/index.md"}


def test_every_file_and_target_that_is_named_exists() -> None:
    for cell, _ in rows("In this repository"):
        for name in re.findall("`(.*?)`", cell):
            assert (ROOT / name).exists()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", README, re.MULTILINE):
        assert "".join(target) in targets
