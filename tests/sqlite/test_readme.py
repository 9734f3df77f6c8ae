"""The page of the SQLite package: its code runs, and its table of options is the truth."""

import dataclasses
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp_lionrock_sqlite.settings import Settings

PAGE = (Path(__file__).parents[2] / "backends" / "sqlite" / "README.md").read_text()


async def test_the_code_on_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", "for this test alone: 0123456789abcdef")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    apps = [app for app in names.values() if isinstance(app, web.Application)]
    assert len(apps) == 2
    for app in apps:
        runner = web.AppRunner(app)
        await runner.setup()
        await runner.cleanup()
    assert [file.name for file in tmp_path.iterdir()] == ["sessions.db"]


def test_the_table_of_options_on_the_page_names_each_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    settings = Settings("x.db")
    expected = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Settings)}
    del expected["path"]
    expected["busy_timeout"], expected["create_parents"] = f"{expected['busy_timeout']:g}", "false"
    assert dict(rows) == expected
