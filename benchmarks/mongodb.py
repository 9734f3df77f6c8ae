"""The MongoDB storage from inside its process, against the bare driver with one call for each record."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from itertools import cycle
from typing import Any

from aiohttp_lionrock_mongodb import MongoStorage
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.write_concern import WriteConcern

from .harness import Case, Findings, measure, ratios
from .records import TASKS, getting, in_tasks, record, records, replacing

__all__ = ["COLLECTION", "database_url", "measure_mongodb", "opened"]

RECORDS = 1000
COLLECTION = "lionrock_sessions"

Collection = Any


def database_url(url: str, database: str) -> str:
    """The server's URL with this database in it."""
    head, _, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{database}?{query}".rstrip("?")


@contextlib.asynccontextmanager
async def opened(url: str, database: str) -> AsyncIterator[tuple[MongoStorage, Any]]:
    """The storage in a fresh database, and the driver's own view of that database."""
    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(url)
    await client.drop_database(database)
    try:
        async with MongoStorage.from_url(database_url(url, database)) as storage:
            yield storage, client[database]
    finally:
        await client.drop_database(database)
        client.close()


async def measure_mongodb(url: str, rounds: int) -> Findings:
    findings = Findings()
    async with opened(url, "bench_ours") as (storage, _), opened(url, "bench_plain") as (_, database):
        for each in records(RECORDS):
            await storage.insert(each)
        plain = database.get_collection("plain", write_concern=WriteConcern("majority", j=True))
        await plain.insert_many([_document(number) for number in range(RECORDS)])
        reads = await measure(await _reads(storage, plain), rounds, seconds=0.05)
        writes = await measure(
            {"ours, 50 tasks": await replacing(storage, RECORDS), "replace_one each, 50 tasks": _replacing(plain)},
            rounds,
            seconds=0.1,
        )
    findings.ratio("mongodb.get", ratios(reads, "ours, 50 tasks", "find_one each, 50 tasks"))
    findings.ratio("mongodb.replace", ratios(writes, "ours, 50 tasks", "replace_one each, 50 tasks"))
    findings.micros("MongoDB get", reads)
    findings.micros("MongoDB replace, w=majority, j=true", writes)
    return findings


async def _reads(storage: MongoStorage, plain: Collection) -> dict[str, Case]:
    return {
        "ours, 50 tasks": await getting(storage, RECORDS),
        "find_one each, 50 tasks": _getting(plain, TASKS),
        "ours, 1 task": await getting(storage, RECORDS, tasks=1),
        "find_one each, 1 task": _getting(plain, 1),
    }


def _document(number: int) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(record(number)).items() if value}
    return {"_id": fields.pop("sid"), **fields}


def _getting(plain: Collection, tasks: int) -> Case:
    sids = cycle([each.sid for each in records(RECORDS)])

    async def work(share: int) -> None:
        for _ in range(share):
            assert await plain.find_one({"_id": next(sids)})

    async def check() -> None:
        found = await plain.find_one({"_id": record(0).sid})
        assert found["access_jti"] == record(0).access_jti

    return Case(lambda share: in_tasks(work, share, tasks), check, unit=tasks)


def _replacing(plain: Collection) -> Case:
    """The same compare-and-set: the whole document, by its version."""
    known = [_document(number) for number in range(RECORDS)]
    turns = cycle(known)

    async def put(document: dict[str, Any]) -> int:
        place = {"_id": document["_id"], "version": document["version"]}
        document["version"] += 1
        result = await plain.replace_one(place, document)
        return int(result.matched_count)

    async def work(share: int) -> None:
        for _ in range(share):
            assert await put(next(turns)) == 1

    async def check() -> None:
        document = next(turns)
        assert await put(document) == 1
        found = await plain.find_one({"_id": document["_id"]})
        assert found["version"] == document["version"]

    return Case(lambda share: in_tasks(work, share, TASKS), check, unit=TASKS)
