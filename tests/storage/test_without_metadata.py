"""Without metadata (in a zip file, in a copied folder) the backends of this project are found by name."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipapp
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

CORE, SQLITE, MONGODB = "aiohttp_lionrock", "aiohttp_lionrock_sqlite", "aiohttp_lionrock_mongodb"

SCRIPT = """
import asyncio, importlib.metadata, sys
from aiohttp_lionrock import ConfigError, open_storage

assert not importlib.metadata.entry_points(group="aiohttp_lionrock.backends"), "there is metadata after all"
for url in sys.argv[1:]:
    try:
        storage = open_storage(url)
    except ConfigError as exc:
        print(exc)
    else:
        if not url.startswith("mongodb"):
            asyncio.run(storage.open())
            asyncio.run(storage.aclose())
        print(type(storage).__module__.partition(".")[0], type(storage).__name__)
"""


def copy_packages(folder: Path, *packages: str) -> None:
    for package in packages:
        spec = find_spec(package)
        assert spec is not None
        [source] = spec.submodule_search_locations or []
        shutil.copytree(source, folder / package, ignore=shutil.ignore_patterns("__pycache__"))


def other_packages() -> Iterator[Path]:
    """What is installed beside this project: without metadata, and without what leads to this checkout."""
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.endswith((".dist-info", ".pth")) and not path.name.startswith(("_aiohttp_lionrock", CORE)):
            yield path


@pytest.fixture
def others(tmp_path: Path) -> Path:
    folder = tmp_path / "others"
    folder.mkdir()
    for path in other_packages():
        (folder / path.name).symlink_to(path)
    return folder


def run(program: Path, others: Path, *urls: str) -> list[str]:
    """The lines that the script prints in a fresh interpreter, which knows no site-packages."""
    done = subprocess.run(
        [sys.executable, "-S", str(program), *urls],
        cwd=others.parent,
        env={**os.environ, "PYTHONPATH": str(others)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def zipped(folder: Path) -> Path:
    zipapp.create_archive(folder, folder.with_suffix(".pyz"))
    return folder.with_suffix(".pyz")


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["a copied folder", "a zip application"])
def test_the_projects_own_backends_are_found_by_name(pack, tmp_path: Path, others: Path) -> None:
    app = tmp_path / "app"
    copy_packages(app, CORE, SQLITE, MONGODB)
    (app / "__main__.py").write_text(SCRIPT)
    lines = run(
        pack(app), others, "memory://", "sqlite:///x.db", "mongodb://host/db", "mongodb+srv://host/db", "shelf://"
    )
    assert lines == [
        f"{CORE} MemoryStorage",
        f"{SQLITE} SqliteStorage",
        f"{MONGODB} MongoStorage",
        f"{MONGODB} MongoStorage",
        "no storage backend named 'shelf' is installed (installed: memory, mongodb, mongodb+srv, sqlite); "
        "docs/backends/write.md shows how to write one",
    ]


def test_a_backend_that_is_not_there_comes_with_its_pip_line(tmp_path: Path, others: Path) -> None:
    app = tmp_path / "app"
    copy_packages(app, CORE)
    (app / "__main__.py").write_text(SCRIPT)
    assert run(app, others, "memory://", "sqlite:///x.db") == [
        f"{CORE} MemoryStorage",
        "no storage backend named 'sqlite' is installed (installed: memory); install the distribution "
        "aiohttp-lionrock-sqlite (from a checkout of aiohttp-lionrock: pip install ./backends/sqlite)",
    ]


def test_a_backend_without_metadata_is_held_to_the_contract_too(tmp_path: Path, others: Path) -> None:
    app = tmp_path / "app"
    copy_packages(app, CORE)
    (app / SQLITE).mkdir()
    (app / SQLITE / "__init__.py").write_text(
        "from aiohttp_lionrock.storage.memory import MemoryStorage\n"
        "class SqliteStorage(MemoryStorage):\n    CONTRACT = 2\n"
    )
    (app / "__main__.py").write_text(SCRIPT)
    assert run(app, others, "sqlite:///x.db") == [
        "the storage backend 'sqlite' of aiohttp-lionrock-sqlite is written for version 2 of the storage contract, "
        "and aiohttp-lionrock has version 1; upgrade aiohttp-lionrock"
    ]
