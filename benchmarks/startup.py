"""What ``import aiohttp_lionrock`` takes of the CPU, in processes of their own, and what comes with it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .harness import Findings, Timings, ratios

__all__ = ["UNWANTED", "measure_startup", "unwanted"]

UNWANTED = ("aiosqlite", "sqlite3", "motor", "pymongo", "bson", "redis", "pytest", "unittest")
OURS, THEIRS = "aiohttp_lionrock", "aiohttp.web"

TIMED = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
LISTED = "import {}, sys; print(*sys.modules)"


def measure_startup(folder: Path, rounds: int) -> Findings:
    """``folder`` takes the compiled files: an installed package has them, a checkout may not."""
    findings = Findings()
    timings: Timings = {OURS: [], THEIRS: []}
    for name in timings:
        _run(TIMED.format(name), folder)
    for _ in range(rounds):
        for name in timings:
            timings[name].append(min(float(_run(TIMED.format(name), folder)) for _ in range(3)))
    findings.ratio("startup.time", ratios(timings, OURS, THEIRS))
    for name, times in timings.items():
        findings.fact("import", name, min(times) * 1e3, "ms")
    extra = unwanted(_run(LISTED.format(OURS), folder).split(), _run(LISTED.format(THEIRS), folder).split())
    findings.ratio("startup.modules", [len(extra)])
    for name in extra:
        findings.fact("import", f"{OURS} imports {name}", 1, "module")
    return findings


def unwanted(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """The database drivers and testing modules among our modules that are not among theirs."""
    return sorted(name for name in set(ours) - set(theirs) if name in UNWANTED or name == f"{OURS}.testing")


def _run(code: str, compiled: Path) -> str:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
