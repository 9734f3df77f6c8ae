"""Every Python block of the documentation, the README and the backends' pages passes mypy --strict and pyright."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pages import BLOCKS, ROOT, module_of
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

MYPY_CACHE = ROOT / ".mypy_cache" / "docs"
PATIENCE = 300  # seconds, on a busy machine
Complaints = dict[str, list[str]]


def code_of(page: Path) -> dict[str, str]:
    """The Python blocks of a page that is not in docs/, by a name for each."""
    name = re.sub(r"\W+", "_", page.relative_to(ROOT).with_suffix("").as_posix()).lower()
    found = Sybil([PythonCodeBlockParser()]).parse(page).examples()
    return {f"{name}_{place}": str(example.parsed) for place, example in enumerate(found)}


CODE = {module_of(block): str(example.parsed) for block, example in BLOCKS.items()}
for page in sorted([ROOT / "README.md", *(ROOT / "backends").glob("*/*.md")]):
    CODE |= code_of(page)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All blocks, each a file of its own."""
    folder = tmp_path_factory.mktemp("blocks")
    for name, code in CODE.items():
        (folder / f"{name}.py").write_text(code)
    return folder


def said(folder: Path, *command: str) -> str:
    """What a checker prints of all blocks; it must be able to run."""
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return ran.stdout


def of_mypy(folder: Path) -> Complaints:
    options = ["--strict", "--config-file=", "--no-error-summary", f"--cache-dir={MYPY_CACHE}"]
    found: Complaints = {}
    for line in said(folder, "mypy", *options, *(f"{name}.py" for name in CODE)).splitlines():
        found.setdefault(line.partition(".py:")[0], []).append(line)
    return found


def of_pyright(folder: Path) -> Complaints:
    # Members whose types are unknown are those of other packages: ours are all known, as a test below shows.
    settings = {"include": ["."], "typeCheckingMode": "strict", "reportUnknownMemberType": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    report = json.loads(said(folder, "pyright", "--outputjson", "--pythonpath", sys.executable))
    assert report["summary"]["filesAnalyzed"] == len(CODE)
    found: Complaints = {}
    for fault in report["generalDiagnostics"]:
        line = f"{fault['range']['start']['line'] + 1}: {fault['message']}"
        found.setdefault(Path(fault["file"]).stem, []).append(line)
    return found


@pytest.fixture(scope="module", params=[of_mypy, of_pyright], ids=["mypy", "pyright"])
def complaints(request: pytest.FixtureRequest, folder: Path) -> Complaints:
    """What one checker says of all blocks in one run, by block."""
    check: Callable[[Path], Complaints] = request.param
    return check(folder)


def test_there_are_blocks_of_each_kind_of_page() -> None:
    for name in ("readme_0", "backends_sqlite_readme_0", "backends_mongodb_readme_1", "tutorial_0"):
        assert name in CODE
    assert len(CODE) >= 40


@pytest.mark.parametrize("name", CODE)
def test_a_block_passes(name: str, complaints: Complaints) -> None:
    assert complaints.get(name, []) == []


def test_the_checkers_complain_of_nothing_else(complaints: Complaints) -> None:
    assert set(complaints) - set(CODE) == set()


@pytest.mark.parametrize("package", ["aiohttp_lionrock", "aiohttp_lionrock_sqlite", "aiohttp_lionrock_mongodb"])
def test_every_public_name_has_a_known_type(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Here pyright looks for a package in folders alone, and not where an editable installation points to.
    places = [ROOT, ROOT / "backends" / "sqlite", ROOT / "backends" / "mongodb", sysconfig.get_path("purelib")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))
    told = said(tmp_path, "pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson")
    report = json.loads(told)["typeCompleteness"]
    unknown = [symbol["name"] for symbol in report["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]]
    assert unknown == []
    assert report["completenessScore"] == 1
