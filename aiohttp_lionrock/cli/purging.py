"""``purge``: removes the records that have expired."""

import asyncio

import click

from .options import batch_option, json_option, storage_options
from .output import Progress, show
from .storages import existing, opened

__all__ = ["purge"]


@click.command()
@storage_options
@batch_option
@json_option
def purge(url: str, timeout: float, batch: int, json_wanted: bool) -> None:
    """Removes the expired records of a storage, in small steps.

    An application does so by itself, every purge_interval seconds; this is for those that have switched that off.
    """
    removed = asyncio.run(_purge(url, timeout, batch))
    show(json_wanted, {"removed": removed}, [f"removed {removed} expired records"])


async def _purge(url: str, timeout: float, batch: int) -> int:
    total, progress = 0, Progress()
    async with opened(existing(url), timeout) as storage:
        while removed := await storage(storage.storage.purge, batch):
            total += removed
            progress(f"{total} removed")
    progress.end()
    return total
