"""The SQLite storage from inside its process, against the same statements in the thread that asks."""

import sqlite3
import time
from itertools import cycle
from pathlib import Path

import aiosqlite
from aiohttp_lionrock_sqlite import SqliteStorage

from .harness import Case, Findings, measure, per_call, ratios
from .records import TASKS, getting, in_tasks, records, replacing

__all__ = ["measure_sqlite", "reading", "rewriting"]

RECORDS = 1000
TABLE = "lionrock_sessions"
FIELDS = ("expires_at", "created_at", "access_jti", "refresh_jti", "previous_jti", "rotated_at", "subject", "metadata")
GET = f"SELECT sid, version, {', '.join(FIELDS)} FROM {TABLE} WHERE sid = ? AND expires_at > ?"
REPLACE = (
    f"UPDATE {TABLE} SET version = ?, {', '.join(f'{name} = ?' for name in FIELDS)}"
    " WHERE sid = ? AND version = ? AND expires_at > ?"
)


async def measure_sqlite(folder: Path, rounds: int) -> Findings:
    findings = Findings()
    for synchronous in ("NORMAL", "FULL"):
        path = folder / f"floor-{synchronous}.db"
        async with SqliteStorage(path) as storage:
            await _fill(storage)
        plain = sqlite3.connect(path, isolation_level=None)
        plain.execute(f"PRAGMA synchronous = {synchronous}")
        async with (
            SqliteStorage(folder / f"ours-{synchronous}.db", synchronous=synchronous) as storage,
            SqliteStorage(folder / f"moved-{synchronous}.db", synchronous=synchronous) as moved,
        ):
            await _fill(storage)
            await _fill(moved)
            if synchronous == "FULL":
                await _measure_reads(findings, storage, plain, path, rounds)
            cases = {
                "ours, 50 tasks": await replacing(storage, RECORDS),
                "50 a transaction, in-thread": rewriting(plain, RECORDS),
                "ours, 50 tasks, expiry moved": await replacing(moved, RECORDS, moves=True),
            }
            timings = await measure(cases, rounds, slices=12, seconds=0.03)
        plain.close()
        findings.ratio(
            f"sqlite.replace_{synchronous.lower()}", ratios(timings, "ours, 50 tasks", "50 a transaction, in-thread")
        )
        findings.micros(f"SQLite replace, synchronous={synchronous}", timings)
    return findings


async def _measure_reads(
    findings: Findings, storage: SqliteStorage, plain: sqlite3.Connection, path: Path, rounds: int
) -> None:
    async with aiosqlite.connect(path, isolation_level=None) as driver:
        cases = {
            "point read, in-thread": reading(plain, RECORDS),
            "ours, 50 tasks": await getting(storage, RECORDS),
            "ours, 1 task": await getting(storage, RECORDS, tasks=1),
            "aiosqlite in one hop, 50 tasks": _hopping(driver, TASKS),
            "aiosqlite in one hop, 1 task": _hopping(driver, 1),
        }
        timings = await measure(cases, rounds)
    findings.ratio("sqlite.get", ratios(timings, "ours, 50 tasks", "point read, in-thread"))
    findings.ratio("sqlite.get_alone", ratios(timings, "ours, 1 task", "aiosqlite in one hop, 1 task"))
    findings.micros("SQLite get", timings)


async def _fill(storage: SqliteStorage) -> None:
    for each in records(RECORDS):
        await storage.insert(each)


def reading(plain: sqlite3.Connection, count: int) -> Case:
    """Point reads in the thread that asks."""
    sids = cycle([each.sid for each in records(count)])

    def get() -> tuple[object, ...]:
        row: tuple[object, ...] = plain.execute(GET, (next(sids), time.time())).fetchone()
        return row

    def check() -> None:
        assert len(get()) == len(FIELDS) + 2

    return Case(per_call(get), check)


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


def rewriting(plain: sqlite3.Connection, count: int) -> Case:
    """Compare-and-sets in the thread that asks, ``TASKS`` in each transaction."""
    known = records(count)
    rows = [[each.sid, *(getattr(each, name) or None for name in FIELDS)] for each in known]
    versions = [plain.execute(GET, (each.sid, 0)).fetchone()[1] for each in known]
    numbers = cycle(range(len(known)))

    def run(transactions: int) -> None:
        for _ in range(transactions):
            now = time.time()
            plain.execute("BEGIN IMMEDIATE")
            for _ in range(TASKS):
                number = next(numbers)
                version, (key, *fields) = versions[number], rows[number]
                versions[number] = version + 1
                assert plain.execute(REPLACE, (version + 1, *fields, key, version, now)).rowcount == 1
            plain.execute("COMMIT")

    def check() -> None:
        run(1)
        number = next(numbers)
        row = plain.execute(GET, (rows[number][0], 0)).fetchone()
        assert row[1] == versions[number]
        assert plain.execute(REPLACE, (0, *rows[number][1:], row[0], row[1] - 1, 0)).rowcount == 0

    return Case(run, check, unit=TASKS)
