"""Every Python block of the documentation runs as it stands, passes ``mypy --strict``, and is put to work by a test."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import BLOCKS, MODULES, ROOT, module_of, program

IDS = [module_of(block) for block in BLOCKS]


def used_by_tests() -> set[tuple[str, int]]:
    """The blocks that tests of this folder put to work."""
    found = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for call in re.findall(r"\bprogram\(([^()]*)\)", path.read_text()):
            try:
                page, *place = ast.literal_eval(f"({call},)")
            except (SyntaxError, ValueError):
                continue
            found.add((page, place[0] if place else 0))
        for page, place in re.findall(r'blocks_of\("([^"]+)"\)\[(\d+)\]', path.read_text()):
            found.add((page, int(place)))
    return found


@pytest.mark.parametrize("block", BLOCKS, ids=IDS)
def test_a_block_runs_as_it_stands(block: tuple[str, int], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(place))
    for other, name in MODULES.items():
        monkeypatch.delitem(sys.modules, name, raising=False)
        (place / f"{name}.py").write_text(str(BLOCKS[other].parsed))
    program(*block)
    for name in MODULES.values():
        sys.modules.pop(name, None)


def test_every_block_is_put_to_work_by_a_test() -> None:
    assert set(BLOCKS) - used_by_tests() == set()


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 30


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of all blocks in one run, each a file of its own."""
    folder = tmp_path_factory.mktemp("docs")
    for block, example in BLOCKS.items():
        (folder / f"{module_of(block)}.py").write_text(str(example.parsed))
    options = ["--strict", "--config-file=", "--no-error-summary", f"--cache-dir={ROOT / '.mypy_cache' / 'docs'}"]
    command = [sys.executable, "-m", "mypy", *options, *(f"{name}.py" for name in IDS)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("block", BLOCKS, ids=IDS)
def test_a_block_passes_mypy_strict(block: tuple[str, int], complaints: list[str]) -> None:
    assert [line for line in complaints if line.startswith(f"{module_of(block)}.py:")] == []


def test_mypy_complains_of_nothing_else(complaints: list[str]) -> None:
    known = tuple(f"{name}.py:" for name in IDS)
    assert [line for line in complaints if not line.startswith(known)] == []
