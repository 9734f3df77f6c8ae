"""Records as the library writes them, and look-ups and compare-and-sets of them by many tasks at once."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import cycle
from typing import Any

from aiohttp_lionrock.storage import JtiRecord, JtiStorage

from .harness import Case

__all__ = ["LATE", "POOL", "TASKS", "getting", "ids", "in_tasks", "record", "records", "replacing"]

TASKS = 50
POOL = 20_000  # records that are worked on; their sids are spread evenly over a table of any size
BEGAN = 1_700_000_000
LATE = 4_000_000_000  # not during a benchmark, at least


def ids(number: int) -> list[str]:
    """The four UUIDs of a session: its sid, and the jtis of the access, the refresh and the previous refresh token."""
    text = hashlib.blake2b(str(number).encode(), digest_size=64).hexdigest()
    parts = (text[start : start + 32] for start in (0, 32, 64, 96))
    return [f"{part[:8]}-{part[8:12]}-{part[12:16]}-{part[16:20]}-{part[20:]}" for part in parts]


def record(number: int, expires_at: int = LATE) -> JtiRecord:
    """A session that was refreshed once."""
    sid, access_jti, refresh_jti, previous_jti = ids(number)
    return JtiRecord(
        sid=sid,
        version=1,
        expires_at=expires_at,
        created_at=BEGAN,
        access_jti=access_jti,
        refresh_jti=refresh_jti,
        previous_jti=previous_jti,
        rotated_at=BEGAN,
        subject=f"user-{number}",
    )


def records(count: int) -> list[JtiRecord]:
    """Up to ``POOL`` records of a table that has so many."""
    return [record(number) for number in range(min(count, POOL))]


async def getting(storage: JtiStorage, count: int, tasks: int = TASKS) -> Case:
    """``get``, of one record after the other, by so many tasks."""
    known = records(count)
    await _versions(storage, known)
    sids = cycle([each.sid for each in known])

    async def work(share: int) -> None:
        for _ in range(share):
            assert await storage.get(next(sids))

    async def check() -> None:
        found = await storage.get(known[0].sid)
        assert found is not None
        assert (found.sid, found.access_jti) == (known[0].sid, known[0].access_jti)
        assert await storage.get("absent") is None

    return Case(lambda share: in_tasks(work, share, tasks), check, unit=tasks)


async def replacing(storage: JtiStorage, count: int, tasks: int = TASKS, *, moves: bool = False) -> Case:
    """``replace``, of one record after the other, each at the version that the storage gave it last.

    With ``moves`` the expiry is another one each time, as in a rotation's first step; without, as in its second.
    """
    known = records(count)
    versions = await _versions(storage, known)
    others = [replace(each, rotated_at=BEGAN + 1, expires_at=each.expires_at + moves) for each in known]
    forms = {each.sid: (each, other) for each, other in zip(known, others, strict=True)}
    turns = cycle(known)

    async def put(each: JtiRecord) -> bool:
        version = versions[each.sid]
        versions[each.sid] = version + 1
        return await storage.replace(forms[each.sid][version % 2], version)

    async def work(share: int) -> None:
        for _ in range(share):
            assert await put(next(turns))

    async def check() -> None:
        each = next(turns)
        assert await put(each)
        found = await storage.get(each.sid)
        assert found is not None
        assert found.version == versions[each.sid]
        assert found == replace(forms[each.sid][(found.version - 1) % 2], version=found.version)
        assert not await storage.replace(each, found.version - 1)

    return Case(lambda share: in_tasks(work, share, tasks), check, unit=tasks)


async def _versions(storage: JtiStorage, known: list[JtiRecord]) -> dict[str, int]:
    """Each record looked up once, which also leaves the caches as warm as those of a busy server."""
    versions: dict[str, int] = {}
    for start in range(0, len(known), TASKS):
        found = await storage.get_many([each.sid for each in known[start : start + TASKS]])
        versions |= {sid: each.version for sid, each in found.items()}
    assert len(versions) == len(known)
    return versions


async def in_tasks(work: Callable[[int], Coroutine[Any, Any, None]], share: int, tasks: int) -> None:
    """So many tasks at once, each with its share of operations."""
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work(share))
