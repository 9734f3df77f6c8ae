"""A program of examples/ as a process of its own. What it prints goes to a file."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["EXAMPLES", "PATIENCE", "Example"]

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 20  # seconds for a process to start or to end on a busy machine
# aiohttp-jinja2 1.6 keeps its context under a key of text, which aiohttp 3.14 warns of.
STRICT = ["-W", "error", "-W", "ignore:It is recommended to use web.RequestKey"]


class Example:
    """A program that listens on a free port, with no settings of sessions but those given."""

    def __init__(self, program: Path, log: Path, **environ: str) -> None:
        self._log = log
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")}
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, *STRICT, program],
                env={**clean, "PORT": "0", **environ},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def printed(self) -> str:
        return self._log.read_text()

    async def url(self) -> str:
        async with asyncio.timeout(PATIENCE):
            while not (found := re.search(r"Open (http://\S+)", self.printed)):
                assert self.process.poll() is None, self.printed
                await asyncio.sleep(0.02)
        return found[1]

    async def end(self, number: int = signal.SIGINT) -> int:
        """Sends a signal, and gives the exit code."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    def kill(self) -> None:
        """Ends it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
