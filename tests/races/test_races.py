"""The races in short. ``make test-races`` is the long form."""

from pathlib import Path

from .figures import table
from .programme import SHORT


async def test_no_round_is_violated(tmp_path: Path) -> None:
    figures = await SHORT.on_sqlite(tmp_path)
    assert not any(one.violations for one in figures), "\n".join([table(figures), *map(str, figures)])
    assert all(one.rounds for one in figures)
