"""What changes when a table grows: look-ups, compare-and-sets, memory, the file, and the purge of what expired.

``python -m benchmarks.growth URL RECORDS`` works on one table and prints the peak of its memory in bytes.
"""

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock import SessionConfig, SessionManager, open_storage
from aiohttp_lionrock.storage import JtiStorage

from .byhand import reading, rewriting
from .filling import fill_by_hand, fill_mongodb, fill_sqlite
from .harness import Case, Findings, Spread, Timings, measure, ratios, settled
from .lab import ROOT
from .mongodb import opened
from .records import POOL, TASKS, getting, record, replacing
from .samples import SECRET
from .sqlite import MERGED
from .targets import TARGETS

__all__ = ["measure_mongodb_growth", "measure_sqlite_growth", "percentile"]

FEW = 1000
PAUSE = 0.001  # seconds between the look-ups whose times are looked at
WINDOW = 1.0  # seconds of look-ups that make one 99th percentile
EXPIRED = 1_000_000_000
READING = (12, 0.02)  # slices in a round, and the seconds of each
WRITING = {"sqlite": (4, 2 * MERGED), "mongodb": (12, 0.05)}


async def measure_sqlite_growth(folder: Path, many: int, purged: int, rounds: int) -> Findings:
    findings = Findings()
    paths = {count: folder / f"growth-{count}.db" for count in (FEW, many)}
    for count, path in paths.items():
        await fill_sqlite(path, count)
        findings.fact("SQLite file", f"{count} records", path.stat().st_size / count, "bytes a record")
    await _compare_floor(findings, folder, many, rounds)
    async with SqliteStorage(paths[FEW]) as few, SqliteStorage(paths[many]) as much:
        await _compare(findings, "sqlite", few, much, many, rounds)
    _measure_memory(findings, {count: f"sqlite:///{path}" for count, path in paths.items()}, rounds)
    paths[many].unlink()
    await _measure_purge(findings, folder / "purge.db", purged)
    return findings


async def _compare_floor(findings: Findings, folder: Path, many: int, rounds: int) -> None:
    """What a table written by hand takes longer among many records, in the thread that asks."""
    connections: dict[int, sqlite3.Connection] = {}
    for count in (FEW, many):
        path = folder / f"floor-{count}.db"
        fill_by_hand(path, count)
        connections[count] = sqlite3.connect(path, isolation_level=None)
    for what, make, (slices, seconds) in (
        ("point read", reading, READING),
        ("compare-and-set", rewriting, WRITING["sqlite"]),
    ):
        cases = {str(count): make(connection, count) for count, connection in connections.items()}
        timings = await _measure_warm(cases, rounds, slices, seconds)
        grown = Spread.of(ratios(timings, *reversed(cases)))
        findings.fact("growth of a table by hand, in-thread", what, grown.median, "x")
    for connection in connections.values():
        connection.close()
    (folder / f"floor-{many}.db").unlink()


async def measure_mongodb_growth(url: str, many: int, rounds: int) -> Findings:
    findings = Findings()
    async with opened(url, "bench_few") as (few, few_database), opened(url, "bench_many") as (much, database):
        await fill_mongodb(few, few_database, FEW)
        await fill_mongodb(much, database, many)
        await database.client.admin.command("fsync")
        stats = await database.command("collStats", "lionrock_sessions")
        disk = stats["storageSize"] + stats["totalIndexSize"]
        findings.fact("MongoDB on disk, compressed", f"{many} records", disk / many, "bytes a record")
        await _compare(findings, "mongodb", few, much, many, rounds)
    return findings


async def _compare(findings: Findings, name: str, few: JtiStorage, much: JtiStorage, many: int, rounds: int) -> None:
    kinds: dict[str, tuple[Callable[[JtiStorage, int], Coroutine[Any, Any, Case]], int, float]] = {
        "get": (getting, *READING),
        "replace": (replacing, *WRITING[name]),
        "replace, expiry moved": (partial(replacing, moves=True), *WRITING[name]),
    }
    for what, (make, slices, seconds) in kinds.items():
        cases = {f"{FEW} records": await make(few, FEW), f"{many} records": await make(much, many)}
        timings = await _measure_warm(cases, rounds, slices, seconds)
        grown = ratios(timings, f"{many} records", f"{FEW} records")
        if f"growth.{name}_{what}" in TARGETS:
            findings.ratio(f"growth.{name}_{what}", grown)
        else:
            findings.fact(f"growth, {name} {what}", "grown", Spread.of(grown).median, "x")
        findings.micros(f"growth, {name} {what}", timings)


async def _measure_warm(cases: dict[str, Case], rounds: int, slices: int, seconds: float) -> Timings:
    """Once over all records first: a page's first change since the filling takes longer."""
    for case in cases.values():
        await settled(case.run(POOL // case.unit))
    return await measure(cases, rounds, slices=slices, seconds=seconds)


def _measure_memory(findings: Findings, urls: dict[int, str], rounds: int) -> None:
    peaks: dict[int, list[float]] = {count: [] for count in urls}
    for _ in range(max(1, rounds // 3)):
        for count, url in urls.items():
            command = [sys.executable, "-m", "benchmarks.growth", url, str(count)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            peaks[count].append(float(done.stdout))
    small, large = peaks.values()
    findings.ratio("growth.memory", [b / a for a, b in zip(small, large, strict=True)])
    for count, values in peaks.items():
        findings.fact("memory of a process", f"SQLite, {count} records", max(values) / 2**20, "MiB")


async def _work_on(url: str, count: int) -> None:
    """Looks up and changes records all over the table, as often for a small one as for a large one."""
    async with open_storage(url) as storage:
        for start in range(0, POOL, TASKS):
            sids = [record(number % count).sid for number in range(start, start + TASKS)]
            found = await asyncio.gather(*map(storage.get, sids))
            done = await asyncio.gather(*(storage.replace(each, each.version) for each in found if each))
            assert all(done)
            assert len(done) == TASKS
    print(_peak())


def _peak() -> int:
    """The most memory that this process has had, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


async def _measure_purge(findings: Findings, path: Path, expired: int) -> None:
    await fill_sqlite(path, expired, EXPIRED)
    await fill_sqlite(path, FEW, first=expired)
    manager = SessionManager(SessionConfig(secret=SECRET, storage=f"sqlite:///{path}"))
    async with manager:
        assert manager.storage is not None
        idle = await _latencies(manager.storage, expired, asyncio.sleep(4 * WINDOW))
        start = time.perf_counter()
        purge = asyncio.ensure_future(manager.purge())
        busy = await _latencies(manager.storage, expired, asyncio.shield(purge))
        took = time.perf_counter() - start
        assert purge.result() == expired
        idle += await _latencies(manager.storage, expired, asyncio.sleep(4 * WINDOW))
    rest = statistics.median(percentile(window, 99) for window in idle)
    findings.ratio("growth.purge", [percentile(window, 99) / rest for window in busy])
    findings.fact("SQLite purge", f"{expired} expired records", expired / took, "records a second")
    findings.fact("SQLite purge", "99th percentile of get, idle", rest * 1e6, "us")
    during = statistics.median(percentile(window, 99) for window in busy)
    findings.fact("SQLite purge", "99th percentile of get, purging", during * 1e6, "us")
    findings.fact("SQLite purge", "slowest get, purging", max(map(max, busy)) * 1e6, "us")


async def _latencies(storage: JtiStorage, first: int, during: Awaitable[object]) -> list[list[float]]:
    """The times of single look-ups, one after the other with a pause between, in windows, until ``during`` is over."""
    end = asyncio.ensure_future(during)
    sids = [record(first + number).sid for number in range(FEW)]
    windows: list[list[float]] = []
    while not end.done():
        window: list[float] = []
        opened_at = time.perf_counter()
        while not end.done() and time.perf_counter() - opened_at < WINDOW:
            await asyncio.sleep(PAUSE)
            start = time.perf_counter()
            assert await storage.get(sids[len(window) % FEW])
            window.append(time.perf_counter() - start)
        if len(window) >= 100 or not windows:
            windows.append(window)
    await end
    return windows


def percentile(values: list[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


if __name__ == "__main__":
    asyncio.run(_work_on(sys.argv[1], int(sys.argv[2])))
