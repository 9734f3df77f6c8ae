"""Every Python block of the README passes ``mypy --strict``."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Blocks that another one imports, by the heading they stand under and their place there.
NAMES: dict[tuple[str, int], str] = {}


def blocks() -> dict[tuple[str, int], str]:
    """The code by heading and place."""
    found = {}
    for part in re.split(r"^##+ ", (ROOT / "README.md").read_text(), flags=re.MULTILINE):
        heading = part.partition("\n")[0]
        for place, code in enumerate(re.findall(r"```python\n(.*?)```", part, re.DOTALL)):
            found[heading, place] = code
    return found


BLOCKS = blocks()


def module_of(block: tuple[str, int]) -> str:
    return NAMES.get(block) or re.sub(r"\W+", "_", f"readme {block[0]} {block[1]}".lower())


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of all blocks in one run, each a file of its own."""
    folder = tmp_path_factory.mktemp("readme")
    for block, code in BLOCKS.items():
        (folder / f"{module_of(block)}.py").write_text(code)
    options = ["--strict", "--config-file=", "--no-error-summary", f"--cache-dir={ROOT / '.mypy_cache' / 'readme'}"]
    files = [f"{module_of(block)}.py" for block in BLOCKS]
    command = [sys.executable, "-m", "mypy", *options, *files]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return ran.stdout.splitlines()


def test_the_readme_has_python_blocks() -> None:
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("block", BLOCKS, ids=module_of)
def test_a_block_of_the_readme_passes_mypy_strict(block: tuple[str, int], complaints: list[str]) -> None:
    assert [line for line in complaints if line.startswith(f"{module_of(block)}.py:")] == []


def test_mypy_complains_of_nothing_else(complaints: list[str]) -> None:
    known = tuple(f"{module_of(block)}.py:" for block in BLOCKS)
    assert [line for line in complaints if not line.startswith(known)] == []
