"""Everyone out: records that say up to which beginning sessions are over, for all of them and for those of a secret.

Such a record is one like any other for a storage. Its sid is reserved, its ``created_at`` is the time, and it is never
lowered: what was over once stays so.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ..errors import CorruptRecord, DuplicateRecord, StorageUnavailable
from ..storage.contract import JtiRecord, JtiStorage

__all__ = ["is_reserved", "mark_of", "raise_mark"]

RESERVED = "aiohttp-lionrock everyone out"
FOR_EVER = 253_402_300_799  # the last second of the year 9999, which every database has a date for
MAX_ATTEMPTS = 100


def mark_of(signer: str | None) -> str:
    """The sid of the record for the sessions of a secret; None: for all sessions."""
    return RESERVED if signer is None else f"{RESERVED}, {signer}"


def is_reserved(sid: str) -> bool:
    """Whether a record of this sid is one of these, and no session."""
    return sid.startswith(RESERVED)


async def raise_mark(storage: JtiStorage, sid: str, wanted: Callable[[int | None], int]) -> int:
    """Has a record say at least what is wanted, given what it says so far; returns what it says then.

    One that is damaged has said nobody knows what, and makes way.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            record = await storage.get(sid)
        except CorruptRecord:
            with suppress(CorruptRecord):
                await storage.delete(sid)
            continue
        before = wanted(None if record is None else record.created_at)
        if record is None:
            with suppress(DuplicateRecord):
                await storage.insert(JtiRecord(sid, version=1, expires_at=FOR_EVER, created_at=before))
                return before
        elif before <= record.created_at:
            return record.created_at
        elif await storage.replace(replace(record, created_at=before, version=record.version + 1), record.version):
            return before
    raise StorageUnavailable(f"{sid!r} changes faster than it can be written", maybe_done=False)
