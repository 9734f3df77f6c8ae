"""The command line as a process of its own: what it prints, where, and how it ends."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp_lionrock import JtiRecord, open_storage

from .sessions import SECRET

__all__ = ["COMMAND", "Ran", "Shell", "environment", "everything", "put", "run"]

COMMAND = [sys.executable, "-W", "error", "-m", "aiohttp_lionrock"]
PATIENCE = 60  # seconds


class Ran(NamedTuple):
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        [line] = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


Shell = Callable[..., Ran]


def environment(**variables: str) -> dict[str, str]:
    """This process's, without any session setting, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSION_", "NO_COLOR"))}
    return {**kept, "SESSION_SECRET": SECRET, **variables}


def run(folder: Path, *arguments: str, stdin: str = "", **variables: str) -> Ran:
    """Runs one command to its end; the variables are added to the environment."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def put(url: str, *records: JtiRecord) -> None:
    """Writes records as they are."""

    async def write() -> None:
        async with open_storage(url) as storage:
            for record in records:
                await storage.insert(record)

    asyncio.run(write())


def everything(url: str) -> list[JtiRecord]:
    """Every live record."""

    async def read() -> list[JtiRecord]:
        async with open_storage(url) as storage:
            records, cursor = await storage.scan(None, 10_000)
            assert cursor is None
            return sorted(records, key=lambda record: record.sid)

    return asyncio.run(read())
