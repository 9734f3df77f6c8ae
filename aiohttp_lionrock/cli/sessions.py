"""``sessions``: lists, counts and ends the sessions in a storage."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from ..log import logger
from ..sessions.manager import SessionManager
from ..sessions.verdicts import State, state_of
from ..storage.contract import JtiRecord
from .exits import DONE, NO
from .options import batch_option, json_option, storage_options, time_option
from .output import Progress, moment, printable, show, table
from .storages import existing, manager_of, opened

__all__ = ["sessions"]

T = TypeVar("T")


@click.group()
def sessions() -> None:
    """Lists, counts and ends the sessions in a storage."""


@sessions.command("list")
@click.argument("subject")
@storage_options
@json_option
def list_sessions(subject: str, url: str, timeout: float, json_wanted: bool) -> int:
    """Lists the live sessions of a SUBJECT (what session["sub"] holds), newest first; exit code 1 where it has none."""
    records, now = _asked(url, timeout, lambda manager: manager.sessions(subject)), time.time()
    rows = [
        (
            printable(record.sid),
            *(moment(when, now) for when in (record.created_at, _last_seen(record), record.expires_at)),
            _labels(record),
        )
        for record in records
    ]
    lines = table(("SID", "BEGAN", "LAST SEEN", "EXPIRES", "LABELS"), rows) if rows else [_none_of(subject)]
    show(json_wanted, {"subject": subject, "sessions": [_described(record) for record in records]}, lines)
    return DONE if records else NO


@sessions.command("count")
@storage_options
@batch_option
@json_option
def count_sessions(url: str, timeout: float, batch: int, json_wanted: bool) -> None:
    """Counts the live sessions, by a scan of the whole storage."""
    counts = asyncio.run(_count(url, timeout, batch))
    live = f"{counts['sessions']} session{'' if counts['sessions'] == 1 else 's'}"
    show(json_wanted, counts, [f"{live}, {counts['logged_in']} of them of a user; {counts['superseded']} superseded"])


@sessions.command()
@click.argument("sid")
@storage_options
@json_option
def revoke(sid: str, url: str, timeout: float, json_wanted: bool) -> int:
    """Ends the session of a SID, and what it goes on as if it was renewed; exit code 1 where there is none."""
    ended = _asked(url, timeout, lambda manager: manager.revoke(sid))
    line = f"ended {printable(sid)}" if ended else f"no live session has the sid {printable(sid)}"
    show(json_wanted, {"sid": sid, "ended": ended}, [line])
    return DONE if ended else NO


@sessions.command("revoke-subject")
@click.argument("subject")
@storage_options
@json_option
def revoke_subject(subject: str, url: str, timeout: float, json_wanted: bool) -> int:
    """Ends every session of a SUBJECT: logged out everywhere; exit code 1 where there is none."""
    ended = _asked(url, timeout, lambda manager: manager.revoke_subject(subject))
    line = f"ended {ended} session{'s' if ended > 1 else ''} of {printable(subject)}" if ended else _none_of(subject)
    show(json_wanted, {"subject": subject, "ended": ended}, [line])
    return DONE if ended else NO


@sessions.command("revoke-all")
@time_option("--before", "Those that began up to then; without it, up to now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@storage_options
@json_option
def revoke_all(before: float | None, yes: bool, url: str, timeout: float, json_wanted: bool) -> int:
    """Ends every session that began up to a time: everyone is logged out, and logs in again.

    It cannot be taken back. After a backup was restored, the backup's time ends again what was ended since. Running
    applications know after jti.cache_ttl or one second, whichever is longer.
    """
    if not yes and not _is_confirmed():
        show(json_wanted, {"asked": before, "before": None}, ["nobody was logged out"])
        return NO
    logger.setLevel(logging.CRITICAL)  # what it says is said below
    try:
        over, now = _asked(url, timeout, lambda manager: manager.revoke_all(before)), time.time()
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    lines = [f"ended every session that began up to {moment(over, now)}"]
    if before is not None and over > before:
        lines.append("that is later than asked for: it was said before, and is not taken back")
    show(json_wanted, {"asked": before, "before": over}, lines)
    return DONE


def _asked(url: str, timeout: float, work: Callable[[SessionManager], Awaitable[T]]) -> T:
    """What a manager of the storage answers."""

    async def ask() -> T:
        async with manager_of(url, timeout) as manager:
            return await work(manager)

    return asyncio.run(ask())


def _none_of(subject: str) -> str:
    return f"{printable(subject)} has no session"


def _is_confirmed() -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("this logs everyone out: say --yes where nobody can be asked")
    click.echo("This logs everyone out. Go on? [y/N]: ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _count(url: str, timeout: float, batch: int) -> dict[str, int]:
    counts = {"sessions": 0, "logged_in": 0, "superseded": 0}
    progress = Progress()
    async with opened(existing(url), timeout) as storage:
        async for page in storage.pages(batch, storage.living):
            live = [record for record in page if state_of(record) is not State.SUPERSEDED]
            counts["sessions"] += len(live)
            counts["logged_in"] += sum(record.subject is not None for record in live)
            counts["superseded"] += len(page) - len(live)
            progress(f"{counts['sessions']} sessions")
    progress.end()
    return counts


def _last_seen(record: JtiRecord) -> int:
    """As it is noted at most once in ``seen_interval``, the beginning until then."""
    return record.created_at if record.seen_at is None else record.seen_at


def _labels(record: JtiRecord) -> str:
    return ", ".join(f"{printable(name)}={printable(value)}" for name, value in record.metadata.items())


def _described(record: JtiRecord) -> dict[str, Any]:
    return {
        "sid": record.sid,
        "created_at": record.created_at,
        "seen_at": record.seen_at,
        "expires_at": record.expires_at,
        "labels": dict(record.metadata),
    }
