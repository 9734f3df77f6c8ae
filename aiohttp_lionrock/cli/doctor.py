"""``doctor``: whether a storage is reachable, how fast it answers, and what is in it."""

import asyncio
import time
from contextlib import suppress
from statistics import median
from typing import Any

import click

from ..errors import CorruptRecord, LionRockError, StorageError, StorageUnavailable
from ..sessions.verdicts import State, state_of
from ..storage.contract import JtiRecord
from .exits import DONE, NO, UNAVAILABLE
from .options import batch_option, json_option, storage_options
from .output import Progress, duration, printable, show
from .storages import Opened, existing

__all__ = ["doctor"]

LOOKS = 20  # times that the latency is taken
ABSENT = "aiohttp-lionrock doctor"  # a sid that no session has


@click.command()
@storage_options
@batch_option
@json_option
def doctor(url: str, timeout: float, batch: int, json_wanted: bool) -> int:
    """Looks at a storage: is it reachable, how fast is it, its schema and indexes, what is in it, do clocks differ.

    Records from the future show that the clock of a machine which wrote them is ahead of this one's. Nothing is
    created: exit code 3 where the storage cannot serve, and where nothing is there.
    """
    storage = Opened(existing(url), timeout)
    report, code = asyncio.run(_examine(storage, batch))
    show(json_wanted, report, _lines(report))
    return code


async def _examine(storage: Opened, batch: int) -> tuple[dict[str, Any], int]:
    kind = type(storage.storage)
    report: dict[str, Any] = {"backend": f"{kind.__module__}.{kind.__qualname__}", "reachable": False}
    try:
        report["open_ms"] = await _milliseconds(storage, storage.storage.open)
        report["ping_ms"] = await _milliseconds(storage, storage.storage.ping)
        report["reachable"] = True
        looks = [await _milliseconds(storage, storage.storage.get, ABSENT) for _ in range(LOOKS)]
        report["get_ms"] = {"median": round(median(looks), 3), "worst": max(looks)}
        report["facts"] = dict(await storage(storage.storage.facts))
        await _count(storage, batch, report)
    except LionRockError as exc:
        report["fault"] = str(exc)
        is_away = isinstance(exc, StorageUnavailable) and not isinstance(exc, CorruptRecord)
        return report, UNAVAILABLE if is_away else NO
    finally:
        with suppress(StorageUnavailable):
            await storage(storage.storage.aclose)
    return report, DONE


async def _milliseconds(storage: Opened, call: Any, *args: Any) -> float:
    begin = time.perf_counter()
    await storage(call, *args)
    return round((time.perf_counter() - begin) * 1000, 3)


async def _count(storage: Opened, batch: int, report: dict[str, Any]) -> None:
    counts = {"sessions": 0, "superseded": 0, "rotating": 0}
    progress, now, ahead = Progress(), time.time(), 0.0
    try:
        async for page in storage.pages(batch, storage.living):
            for record in page:
                state = state_of(record)
                counts["superseded" if state is State.SUPERSEDED else "sessions"] += 1
                counts["rotating"] += state is State.ROTATING
                ahead = max(ahead, _written_at(record) - now)
            progress(f"{counts['sessions']} sessions")
            now = time.time()
        stored, _ = await storage(storage.storage.scan, None, 1)
    except StorageUnavailable:
        raise
    except StorageError as exc:  # a backend that cannot scan is healthy all the same
        report["counts"] = printable(str(exc))
        return
    progress.end()
    report["counts"] = counts
    report["is_empty"] = not stored
    report["clock_ahead_s"] = int(ahead)


def _written_at(record: JtiRecord) -> int:
    return max(record.created_at, record.rotated_at or 0)


def _lines(report: dict[str, Any]) -> list[str]:
    lines = [f"backend    {report['backend']}"]
    state = click.style("yes", fg="green") if report["reachable"] else click.style("no", fg="red")
    lines.append(f"reachable  {state}")
    if "ping_ms" in report:
        lines.append(f"opened in  {report['open_ms']} ms, ping {report['ping_ms']} ms")
    if "get_ms" in report:
        lines.append(f"get        {report['get_ms']['median']} ms (median), {report['get_ms']['worst']} ms (worst)")
    lines += [f"{topic:<10} {printable(fact)}" for topic, fact in report.get("facts", {}).items()]
    counts = report.get("counts")
    if isinstance(counts, dict):
        lines.append(f"sessions   {counts['sessions']}, and {counts['superseded']} superseded{_why_none(report)}")
        lines.append(f"clocks     {_of_clocks(report['clock_ahead_s'])}")
    elif counts:
        lines.append(f"sessions   not counted: {counts}")
    if "fault" in report:
        lines.append(click.style(f"fault      {printable(report['fault'])}", fg="red"))
    return lines


def _why_none(report: dict[str, Any]) -> str:
    if report["counts"]["sessions"] or report["counts"]["superseded"]:
        return ""
    return ": nothing is stored here yet" if report["is_empty"] else ": revoke-all has ended all that are stored here"


def _of_clocks(ahead: int) -> str:
    if ahead < 1:
        return "no record is from the future"
    return f"a record is from the future: the clock that wrote it is at least {duration(ahead)} ahead of this machine's"
