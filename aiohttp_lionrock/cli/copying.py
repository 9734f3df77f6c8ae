"""``copy``: takes the records of one storage over into another one."""

import asyncio
from collections.abc import Iterable

import click

from ..errors import ConfigError, DuplicateRecord
from ..sessions.everyone import is_reserved, raise_mark
from ..storage.contract import JtiRecord
from ..storage.registry import open_storage
from .exits import DONE, NO
from .options import batch_option, json_option, timeout_option, url_option
from .output import Progress, show
from .storages import Opened, existing, opened

__all__ = ["copy"]

AT_ONCE = 50  # inserts that are under way together

Counts = dict[str, int]


@click.command()
@url_option("--from", "source", "COPY_FROM", "The storage to read.")
@url_option("--to", "target", "COPY_TO", "The storage to write to.")
@timeout_option
@batch_option
@json_option
def copy(source: str, target: str, timeout: float, batch: int, json_wanted: bool) -> int:
    """Copies every live record from one storage to another: the sessions go on, nobody is logged out.

    Stop the applications first: what is refreshed or ended meanwhile is not copied. A copy that was interrupted is
    called again, and goes on with what is missing. No record that is there already is touched; exit code 1 where one
    of them differs.
    """
    if source == target:
        raise ConfigError("--from and --to are the same storage")
    counts = asyncio.run(_copy(source, target, timeout, batch))
    lines = [f"copied {counts['copied']} records; {counts['there']} were there already"]
    if counts["different"]:
        lines.append(
            f"{counts['different']} records are there and differ; they are left as they are: one of the two storages "
            "was written to since they were copied. Copy into an empty storage while no application runs"
        )
    show(json_wanted, counts, lines)
    return NO if counts["different"] else DONE


async def _copy(source_url: str, target_url: str, timeout: float, batch: int) -> Counts:
    counts = {"copied": 0, "there": 0, "different": 0}
    progress = Progress()
    async with opened(existing(source_url), timeout) as source, opened(open_storage(target_url), timeout) as target:
        async for page in source.pages(batch):
            await _take_over(page, target, counts)
            progress(f"{counts['copied']} copied, {counts['there'] + counts['different']} there already")
    progress.end()
    return counts


async def _take_over(page: list[JtiRecord], target: Opened, counts: Counts) -> None:
    there = await target(target.storage.get_many, [record.sid for record in page])
    for mark in [record for record in page if is_reserved(record.sid)]:
        page.remove(mark)
        await _raise(mark, there.get(mark.sid), target, counts)
    missing = [record for record in page if record.sid not in there]
    for begin in range(0, len(missing), AT_ONCE):
        await _insert(missing[begin : begin + AT_ONCE], target, counts)
    _compare((record for record in page if record.sid in there), there, counts)


async def _raise(mark: JtiRecord, there: JtiRecord | None, target: Opened, counts: Counts) -> None:
    """What `revoke_all` has ended is ended in the other storage too, however much that has ended by itself."""
    await target(raise_mark, target.storage, mark.sid, lambda _: mark.created_at)
    is_there = there is not None and there.created_at >= mark.created_at
    counts["there" if is_there else "copied"] += 1


async def _insert(records: list[JtiRecord], target: Opened, counts: Counts) -> None:
    async def insert(record: JtiRecord) -> bool:
        try:
            await target(target.storage.insert, record)
        except DuplicateRecord:  # another copy runs beside this one
            return False
        return True

    outcomes = await asyncio.gather(*map(insert, records), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    copied = outcomes.count(True)
    counts["copied"] += copied
    counts["there"] += len(records) - copied


def _compare(records: Iterable[JtiRecord], there: dict[str, JtiRecord], counts: Counts) -> None:
    for record in records:
        counts["there" if there[record.sid] == record else "different"] += 1
