"""Every Python block of the documentation runs as it stands, and is put to work by a test."""

import ast
import re
import sys
from pathlib import Path

import pytest
from support.pages import BLOCKS, MODULES, module_of, program

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
