"""Tests that need a program say so where it is missing: skipped on a laptop, failed in CI."""

import sys
from pathlib import Path

import pytest
from support.programs import find_program


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def test_the_first_of_its_names_is_found(folder: Path) -> None:
    for name in ("second-name", "third-name"):
        (folder / name).symlink_to(sys.executable)
    assert find_program("package", "first-name", "second-name", "third-name") == str(folder / "second-name")


@pytest.mark.parametrize(("ci", "outcome"), [(None, "Skipped"), ("false", "Skipped"), ("true", "Failed")])
def test_one_that_is_missing_skips_but_fails_in_ci_and_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ci: str | None, outcome: str
) -> None:
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException, match=r"first-name or second-name .* apt-get install package") as caught:
        find_program("package", "first-name", "second-name")
    assert type(caught.value).__name__ == outcome
