"""The SQLite storage from inside its process, against a table written by hand in the thread that asks."""

import sqlite3
import time
from itertools import cycle
from pathlib import Path

import aiosqlite
from aiohttp_lionrock_sqlite import SqliteStorage
from aiohttp_lionrock_sqlite.connection import connect_writer
from aiohttp_lionrock_sqlite.settings import Settings
from aiohttp_lionrock_sqlite.statements import Statements, row_of
from aiohttp_lionrock_sqlite.transaction import Transaction, Writes

from .byhand import GET, reading, rewriting
from .filling import TABLE, fill_by_hand, fill_sqlite
from .harness import Case, Findings, measure, ratios
from .records import TASKS, getting, in_tasks, records, replacing

__all__ = ["measure_sqlite"]

RECORDS = 1000
MERGED = 0.12  # seconds of writing in which the WAL is merged into the file once at least: that is part of a write


async def measure_sqlite(folder: Path, rounds: int) -> Findings:
    findings = Findings()
    for synchronous in ("NORMAL", "FULL"):
        paths = [folder / f"{name}-{synchronous}.db" for name in ("floor", "ours", "moved", "bare")]
        fill_by_hand(paths[0], RECORDS)
        for path in paths[1:]:
            await fill_sqlite(path, RECORDS)
        plain = sqlite3.connect(paths[0], isolation_level=None)
        plain.execute(f"PRAGMA synchronous = {synchronous}")
        bare = connect_writer(Settings(str(paths[3]), synchronous), may_create=True)
        async with (
            SqliteStorage(paths[1], synchronous=synchronous) as storage,
            SqliteStorage(paths[2], synchronous=synchronous) as moved,
        ):
            if synchronous == "FULL":
                await _measure_reads(findings, storage, plain, paths[0], rounds)
            cases = {
                "ours, 50 tasks": await replacing(storage, RECORDS),
                "50 a transaction by hand, in-thread": rewriting(plain, RECORDS),
                "50 a transaction of ours, in-thread": _transacting(bare, RECORDS),
                "ours, 50 tasks, expiry moved": await replacing(moved, RECORDS, moves=True),
            }
            timings = await measure(cases, rounds, slices=5, seconds=MERGED)
        bare.close()
        plain.close()
        findings.ratio(
            f"sqlite.replace_{synchronous.lower()}",
            ratios(timings, "ours, 50 tasks", "50 a transaction by hand, in-thread"),
        )
        findings.micros(f"SQLite replace, synchronous={synchronous}", timings)
    return findings


async def _measure_reads(
    findings: Findings, storage: SqliteStorage, plain: sqlite3.Connection, path: Path, rounds: int
) -> None:
    async with aiosqlite.connect(path, isolation_level=None) as driver:
        cases = {
            "point read by hand, in-thread": reading(plain, RECORDS),
            "ours, 50 tasks": await getting(storage, RECORDS),
            "ours, 1 task": await getting(storage, RECORDS, tasks=1),
            "aiosqlite in one hop, 50 tasks": _hopping(driver, TASKS),
            "aiosqlite in one hop, 1 task": _hopping(driver, 1),
        }
        timings = await measure(cases, rounds)
    findings.ratio("sqlite.get", ratios(timings, "ours, 50 tasks", "point read by hand, in-thread"))
    findings.ratio("sqlite.get_alone", ratios(timings, "ours, 1 task", "aiosqlite in one hop, 1 task"))
    findings.micros("SQLite get", timings)


def _hopping(driver: aiosqlite.Connection, tasks: int) -> Case:
    """A point read through the driver's thread, in one hop: what a look-up alone costs at least."""
    sids = cycle([each.sid for each in records(RECORDS)])

    async def work(count: int) -> None:
        for _ in range(count):
            rows = list(await driver.execute_fetchall(GET, (next(sids), time.time())))
            assert len(rows) == 1

    async def check() -> None:
        await work(1)

    return Case(lambda share: in_tasks(work, share, tasks), check, unit=tasks)


def _transacting(connection: sqlite3.Connection, count: int) -> Case:
    """What the storage gives to its thread, without the event loop and the thread."""
    statements = Statements(TABLE).replace
    known = records(count)
    starts = cycle(range(0, count, TASKS))
    versions = dict.fromkeys(range(0, count, TASKS), 1)

    def run(transactions: int) -> None:
        for _ in range(transactions):
            start, now = next(starts), time.time()
            rows = [(*row_of(each, versions[start]), now) for each in known[start : start + TASKS]]
            versions[start] += 1
            assert all(connection.execute(Transaction.BEGIN, Writes(statements, rows)).fetchall())

    return Case(run, lambda: run(1), unit=TASKS)
