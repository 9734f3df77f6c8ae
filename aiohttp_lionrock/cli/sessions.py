"""``sessions``: lists, counts and ends the sessions in a storage."""

import asyncio
import time
from typing import Any

import click

from ..sessions.verdicts import State, state_of
from ..storage.contract import JtiRecord
from .exits import DONE, NO
from .options import batch_option, json_option, storage_options
from .output import Progress, moment, printable, show, table
from .storages import manager_of, opened

__all__ = ["sessions"]


@click.group()
def sessions() -> None:
    """Lists, counts and ends the sessions in a storage."""


@sessions.command("list")
@click.argument("subject")
@storage_options
@json_option
def list_sessions(subject: str, url: str, timeout: float, json_wanted: bool) -> None:
    """Lists the live sessions of a SUBJECT (what session["sub"] holds), newest first."""

    async def work() -> list[JtiRecord]:
        async with manager_of(url, timeout) as manager:
            return await manager.sessions(subject)

    records, now = asyncio.run(work()), time.time()
    rows = [
        (printable(record.sid), moment(record.created_at, now), moment(record.expires_at, now), _labels(record))
        for record in records
    ]
    lines = table(("SID", "BEGAN", "EXPIRES", "LABELS"), rows) if rows else [f"{printable(subject)} has no session"]
    show(json_wanted, {"subject": subject, "sessions": [_described(record) for record in records]}, lines)


@sessions.command("count")
@storage_options
@batch_option
@json_option
def count_sessions(url: str, timeout: float, batch: int, json_wanted: bool) -> None:
    """Counts the live sessions, by a scan of the whole storage."""
    counts = asyncio.run(_count(url, timeout, batch))
    show(
        json_wanted,
        counts,
        [f"{counts['sessions']} sessions, {counts['logged_in']} of them of a user; {counts['superseded']} superseded"],
    )


@sessions.command()
@click.argument("sid")
@storage_options
@json_option
def revoke(sid: str, url: str, timeout: float, json_wanted: bool) -> int:
    """Ends the session of a SID, and what it goes on as if it was renewed; exit code 1 where there is none."""

    async def work() -> bool:
        async with manager_of(url, timeout) as manager:
            return await manager.revoke(sid)

    ended = asyncio.run(work())
    line = f"ended {printable(sid)}" if ended else f"no live session has the sid {printable(sid)}"
    show(json_wanted, {"sid": sid, "ended": ended}, [line])
    return DONE if ended else NO


@sessions.command("revoke-subject")
@click.argument("subject")
@storage_options
@json_option
def revoke_subject(subject: str, url: str, timeout: float, json_wanted: bool) -> None:
    """Ends every session of a SUBJECT: logged out everywhere."""

    async def work() -> int:
        async with manager_of(url, timeout) as manager:
            return await manager.revoke_subject(subject)

    ended = asyncio.run(work())
    show(json_wanted, {"subject": subject, "ended": ended}, [f"ended {ended} sessions of {printable(subject)}"])


async def _count(url: str, timeout: float, batch: int) -> dict[str, int]:
    counts = {"sessions": 0, "logged_in": 0, "superseded": 0}
    progress = Progress()
    async with opened(url, timeout) as storage:
        async for page in storage.pages(batch):
            superseded = [record for record in page if state_of(record) is State.SUPERSEDED]
            counts["superseded"] += len(superseded)
            counts["sessions"] += len(page) - len(superseded)
            counts["logged_in"] += sum(record.subject is not None and record not in superseded for record in page)
            progress(f"{counts['sessions']} sessions")
    progress.end()
    return counts


def _labels(record: JtiRecord) -> str:
    return ", ".join(f"{printable(name)}={printable(value)}" for name, value in record.metadata.items())


def _described(record: JtiRecord) -> dict[str, Any]:
    return {
        "sid": record.sid,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "labels": dict(record.metadata),
    }
