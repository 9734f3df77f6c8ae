"""``help()`` is safe and useful: no signature shows the environment, a secret or a function bound at import."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_sqlite import SqliteStorage
from support import house
from support.browser import ACCESS, SECRET, claims
from support.house import Source

from aiohttp_lionrock import MemoryStorage, SessionConfig, SessionManager, open_storage, setup

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "aiohttp_lionrock", *(path for path in ROOT.glob("backends/*/aiohttp_lionrock_*") if path.is_dir())]
SOURCES = [source for package in PACKAGES for source in house.read(package)]
PUBLIC = [
    *("aiohttp_lionrock", "aiohttp_lionrock.storage", "aiohttp_lionrock.errors", "aiohttp_lionrock.testing"),
    *("aiohttp_lionrock_sqlite", "aiohttp_lionrock_mongodb"),
]
MARK = "a value that stands in the environment alone"
LATER = 3_000_000_000


def public_names() -> list[tuple[str, str]]:
    return [(module, name) for module in PUBLIC for name in importlib.import_module(module).__all__]


def callables(value: Any) -> Iterator[Any]:
    """What is public of a public name and can be called: itself, and the methods that it has or inherits."""
    if callable(value):
        yield value
    if inspect.isclass(value):
        for name, member in inspect.getmembers(value, callable):
            if not name.startswith("_") or name == "__init__":
                yield member


def defaults(value: Any) -> Iterator[tuple[str, object]]:
    for each in callables(value):
        try:
            parameters = inspect.signature(each).parameters.values()
        except ValueError:  # some built-in methods have none
            continue
        yield from ((str(parameter), parameter.default) for parameter in parameters)


def is_harmless(default: object) -> bool:
    """A constant, a mark for "not given", or the place of what is made for each call."""
    if isinstance(default, tuple | frozenset):
        return all(map(is_harmless, default))
    plain = default is None or isinstance(default, bool | int | float | str)
    mark = default is inspect.Parameter.empty or type(default) is object or repr(default) == "<factory>"
    return plain or mark


@pytest.mark.parametrize(("module", "name"), public_names())
def test_no_public_signature_has_a_default_that_is_more_than_a_constant(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    assert [shown for shown, default in defaults(value) if not is_harmless(default)] == []


def test_help_shows_nothing_of_the_environment() -> None:
    script = (
        "import importlib, pydoc, sys\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module(name)\n"
        "    for value in (module, *(getattr(module, each) for each in module.__all__)):\n"
        "        print(pydoc.render_doc(value, renderer=pydoc.plaintext))\n"
    )
    marked = dict.fromkeys(("SESSION_SECRET", "SESSION_SECRET_PREVIOUS", "ANY_OTHER"), MARK)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *PUBLIC],
        env={**os.environ, **marked},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "class SessionManager" in ran.stdout
    assert MARK not in ran.stdout
    assert "environ(" not in ran.stdout


# --- clocks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.module)
def test_the_time_is_looked_up_when_it_is_asked_for(source: Source) -> None:
    """``time.time`` is called where it stands, and never kept: what replaces it in a test is seen."""
    calls = {id(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call)}
    kept = [node for node in ast.walk(source.tree) if isinstance(node, ast.Attribute) and id(node) not in calls]
    assert [source.at(node, "keeps time.time") for node in kept if ast.unparse(node) == "time.time"] == []
    assert [each for each in house.imports_of(source) if (each.module, each.name) == ("time", "time")] == []


MANAGERS: dict[str, Callable[[], SessionManager]] = {
    "by hand": lambda: SessionManager(SessionConfig(secret=SECRET)),
    "by setup": lambda: setup(web.Application(), secret=SECRET),
}


@pytest.mark.parametrize("make", MANAGERS.values(), ids=MANAGERS)
async def test_a_manager_sees_a_time_that_is_replaced_later(
    make: Callable[[], SessionManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    manager = make()
    monkeypatch.setattr(time, "time", lambda: LATER)
    session = await manager.load({})
    session["user"] = "ada"
    cookies = {change.name: str(change.value) for change in await manager.save(session)}
    assert claims(cookies[ACCESS])["iat"] == LATER


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryStorage(),
        lambda: open_storage("memory://"),
        lambda: SqliteStorage("never-opened.db"),
        lambda: MongoStorage.from_url("mongodb://127.0.0.1/never_opened"),
    ],
    ids=["memory", "memory by its URL", "sqlite", "mongodb by its URL"],
)
def test_a_storage_sees_a_time_that_is_replaced_later(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    storage = make()
    monkeypatch.setattr(time, "time", lambda: LATER)
    assert storage.clock() == LATER
