"""How large sessions are in MongoDB, and how `get` and `replace` cost more the more there are.

    MONGODB_URL='mongodb://127.0.0.1/measure' python measure.py [records [rounds]]

Fills two collections of that database, one with a thousand records and one with a million (or as many as
given), measures both in turns, prints what it found and drops them again.
"""

# ruff: noqa: S311, T201 - a program that prints, about numbers that need not be secret

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_mongodb.documents import live, to_document
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from aiohttp_lionrock.storage import JtiRecord

FEW = 1000
CHUNK = 10_000
TASKS = 50

random = Random(1)


def record(number: int, now: int) -> JtiRecord:
    """A session as the library makes them: UUIDs for ids, three sessions for each user."""
    ids = Random(number)
    sid, access, refresh, previous = (str(UUID(int=ids.getrandbits(128), version=4)) for _ in range(4))
    return JtiRecord(
        sid,
        version=1,
        expires_at=now + 30 * 86400 + number % 86400,
        created_at=now - number % 86400,
        access_jti=access,
        refresh_jti=refresh,
        previous_jti=previous,
        rotated_at=now,
        subject=f"user-{number // 3}",
        signer="AbCdEfGhIjKl",
    )


def chunks(count: int) -> Iterator[range]:
    for first in range(0, count, CHUNK):
        yield range(first, min(first + CHUNK, count))


async def fill(collection: AsyncCollection[dict[str, Any]], count: int, now: int) -> None:
    for numbers in chunks(count):
        documents = [to_document(record(number, now), 1, os.urandom(12)) for number in numbers]
        await collection.insert_many(documents, ordered=False)


class Measured:
    """One collection of so many records, and what calls on it took."""

    def __init__(self, client: "AsyncMongoClient[dict[str, Any]]", count: int) -> None:
        database = client.get_default_database()
        self.count = count
        self.collection = database[f"measure_{count}"]
        self.storage = MongoStorage(database, collection=self.collection.name, timeout=60)
        self.now = int(time.time())
        self.times: dict[str, list[float]] = {"get": [], "replace": []}

    async def prepare(self) -> None:
        await self.collection.drop()
        await self.storage.open()
        begun = time.perf_counter()
        await fill(self.collection, self.count, self.now)
        print(f"{self.count:,} records filled in {time.perf_counter() - begun:.0f} s")

    async def round(self) -> None:
        """Fifty tasks read a session each, then fifty tasks rotate the same sessions."""
        sids = [record(random.randrange(self.count), self.now).sid for _ in range(TASKS)]
        await self._timed("get", [self.storage.get(sid) for sid in sids])
        found = (await self.storage.get_many(sids)).values()
        rotated = [replace(one, refresh_jti=one.previous_jti, previous_jti=one.refresh_jti) for one in found]
        await self._timed("replace", [self.storage.replace(one, one.version) for one in rotated])

    async def _timed(self, name: str, calls: Sequence[Awaitable[object]]) -> None:
        begun = time.perf_counter()
        await asyncio.gather(*calls)
        self.times[name].append((time.perf_counter() - begun) / len(calls) * 1e6)

    async def print_sizes(self) -> None:
        await self.collection.database.client.admin.command("fsync")  # what is in memory alone has no size on disk yet
        stats = await self.collection.database.command("collStats", self.collection.name)
        print(f"\nbytes a record, at {self.count:,} records:")
        print(f"  {'document, uncompressed':32} {stats['size'] / self.count:8.0f}")
        print(f"  {'document, on disk':32} {stats['storageSize'] / self.count:8.0f}")
        for name, size in stats["indexSizes"].items():
            print(f"  {'index ' + name:32} {size / self.count:8.0f}")
        print(f"  {'on disk in all':32} {(stats['storageSize'] + stats['totalIndexSize']) / self.count:8.0f}")

    async def print_plans(self) -> None:
        one = record(0, self.now)
        places: dict[str, dict[str, Any]] = {
            "get": {"_id": {"$in": [one.sid]}, **live(self.now)},
            "replace": {"_id": one.sid, "version": 1, **live(self.now)},
            "list_subject": {"subject": one.subject, **live(self.now)},
        }
        print(f"\nplans, at {self.count:,} records:")
        for name, place in places.items():
            plan: dict[str, Any] = await self.collection.find(place).explain()
            stages, stage = [], plan["queryPlanner"]["winningPlan"]
            while stage:
                stages.append(" ".join(filter(None, (stage["stage"], stage.get("indexName")))))
                stage = stage.get("inputStage")
            examined = plan["executionStats"]["totalDocsExamined"]
            print(f"  {name:14} {' <- '.join(stages)}, documents read: {examined}")


async def main(url: str, many: int = 1_000_000, rounds: int = 60) -> None:
    async with AsyncMongoClient[dict[str, Any]](url, w="majority") as client:
        few, lots = Measured(client, FEW), Measured(client, many)
        try:
            await few.prepare()
            await lots.prepare()
            for _ in range(rounds):
                await few.round()
                await lots.round()
            await lots.print_sizes()
            await lots.print_plans()
            print(f"\nmicroseconds a call, {TASKS} at once, medians of {rounds} rounds in turns:")
            for name in ("get", "replace"):
                small, large = statistics.median(few.times[name]), statistics.median(lots.times[name])
                print(f"  {name:8} {small:7.0f} at {FEW:,}, {large:7.0f} at {many:,}: {large / small:.2f}x")
        finally:
            for measured in (few, lots):
                await measured.storage.aclose()
                await measured.collection.drop()


if __name__ == "__main__":
    asyncio.run(main(os.environ["MONGODB_URL"], *map(int, sys.argv[1:])))
