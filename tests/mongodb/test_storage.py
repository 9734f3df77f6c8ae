"""The MongoDB backend beside the storage contract: databases of either driver, corrupt documents, plans."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import bson
import pymongo
import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient
from support.mongod_sent import Sent

from aiohttp_lionrock.errors import ConfigError, CorruptRecord, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord
from aiohttp_lionrock.testing import FakeClock

NOW = int(time.time())
RECORD = JtiRecord("sid", version=1, expires_at=NOW + 3600, created_at=NOW, refresh_jti="first", subject="ann")


@pytest.fixture
async def storage(standalone_database: str) -> AsyncIterator[MongoStorage]:
    async with MongoStorage.from_url(standalone_database) as storage:
        yield storage


@pytest.fixture
def documents(standalone_database: str) -> Iterator["pymongo.collection.Collection[Any]"]:
    """The storage's collection, behind its back."""
    with pymongo.MongoClient[dict[str, Any]](standalone_database) as client:
        yield client.get_default_database().lionrock_sessions


async def every_call(storage: MongoStorage, record: JtiRecord = RECORD) -> None:
    await storage.insert(record)
    assert await storage.get(record.sid) == record
    assert await storage.get_many([record.sid, "absent"]) == {record.sid: record}
    assert await storage.replace(replace(record, version=2), 1)
    assert await storage.list_subject("ann") == [replace(record, version=2)]
    assert await storage.delete_subject("ann", keep=record.sid) == 0
    assert await storage.delete_subject("ann") == 1
    await storage.insert(replace(record, sid="other"))
    assert await storage.delete("other") == replace(record, sid="other")
    await storage.insert(replace(record, sid="expired", expires_at=NOW + 1000))
    assert "expired" in [found.sid for found in (await storage.scan())[0]]
    storage.clock, clock = lambda: NOW + 1000, storage.clock
    assert await storage.purge(10) == 1
    storage.clock = clock
    await storage.ping()


async def test_a_ready_motor_database_stays_open(replica_set_database: str) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(replica_set_database)
    async with MongoStorage(client.get_default_database()) as storage:
        await every_call(storage)
    assert (await client.admin.command("ping"))["ok"]
    client.close()


async def test_a_ready_pymongo_database_stays_open(replica_set_database: str) -> None:
    async with pymongo.AsyncMongoClient[dict[str, Any]](replica_set_database) as client:
        async with MongoStorage(client.get_default_database(), collection="visits", timeout=5) as storage:
            await every_call(storage)
        assert (await client.admin.command("ping"))["ok"]
        assert await client.get_default_database().list_collection_names() == ["visits"]


async def test_the_settings_of_a_ready_client_change_nothing(replica_set_database: str) -> None:
    options = "&w=0&readPreference=secondary&readConcernLevel=local"
    sent = Sent()
    async with pymongo.AsyncMongoClient(
        replica_set_database + options, document_class=RawBSONDocument, tz_aware=False, event_listeners=[sent]
    ) as client:
        async with MongoStorage(client.get_default_database()) as storage:
            await every_call(storage)
    for command in sent.named("find"):
        assert command["readConcern"]["level"] in ("majority", "linearizable")
        assert "$readPreference" not in command, "the primary is asked"
    for command in sent.named("update") + sent.named("delete") + sent.named("createIndexes"):
        assert command["writeConcern"] == {"w": "majority", "j": True}
    for command in sent.named("find") + sent.named("update") + sent.named("delete"):
        assert 0 < command["maxTimeMS"] <= 2000, command


async def test_only_asynchronous_databases_are_taken() -> None:
    motor: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient("mongodb://h")
    fine: pymongo.AsyncMongoClient[dict[str, Any]] = pymongo.AsyncMongoClient("mongodb://h")
    with pymongo.MongoClient[dict[str, Any]]("mongodb://h", connect=False) as blocking:
        for wrong in (blocking.shop, blocking, motor, motor.shop.visits, fine, fine.shop.visits, None, "mongodb://h/d"):
            with pytest.raises(ConfigError, match="needs a database of Motor"):
                MongoStorage(wrong)  # type: ignore[arg-type]
    for right in (motor.shop, fine.shop):
        assert repr(MongoStorage(right)) == "<MongoStorage shop.lionrock_sessions>"
    motor.close()
    await fine.close()


def test_faults_of_the_constructor_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        MongoStorage(None, collection="", timeout=-1)  # type: ignore[arg-type]
    assert len(caught.value.faults) == 3


def valid(**changes: Any) -> dict[str, Any]:
    whole = {"version": 1, "expires_at": NOW + 3600, "created_at": NOW, "subject": "eve", "packed": "[]", "stamp": b"1"}
    document = {"_id": "bad", **whole, **changes}
    return {name: value for name, value in document.items() if value is not ...}


CORRUPT = [
    {},
    *(valid(**{name: ...}) for name in ("version", "expires_at", "created_at", "packed")),
    *(valid(version=value) for value in (None, "1", 1.0, True, -1, 2**53, [1], {})),
    *(valid(expires_at=value) for value in (None, "9", float("nan"), True, [NOW * 2], {"$date": 1}, 2.0**60)),
    *(valid(subject=value) for value in (5, b"x", ["x"], {}, "x" * 1025, "\x00", bson.ObjectId())),
    *(valid(packed=value) for value in (None, 5, b"[]", [], {}, "", "{}", "[", "[5]", '["\\u0000"]', "[" * 100_000)),
    *(valid(packed=f"[null,null,null,{value}]") for value in ('"now"', "-1", "1.5", "true", "1e3", "9" * 5000)),
    *(valid(packed=f"[null,null,null,null,null,{value}]") for value in ('["a"]', '{"a":1}', "5", '"ab"')),
    *(valid(stamp=value, version=0.5) for value in (..., None, {"$ne": 1}, "text", [b"1"])),
]


@pytest.mark.parametrize("document", CORRUPT, ids=lambda document: repr(document)[:200])
async def test_a_document_of_another_shape_is_an_error_that_names_it_and_hurts_no_neighbour(
    storage: MongoStorage, documents: "pymongo.collection.Collection[Any]", document: dict[str, Any]
) -> None:
    await storage.insert(RECORD)
    documents.insert_one({"_id": "bad", **document})
    good, bad, absent = await asyncio.gather(*map(storage.get, ("sid", "bad", "absent")), return_exceptions=True)
    assert (good, absent) == (RECORD, None)
    assert isinstance(bad, CorruptRecord)
    assert "_id 'bad'" in str(bad)
    with pytest.raises(CorruptRecord):
        await storage.get_many(["sid", "bad"])
    with pytest.raises(CorruptRecord):
        await storage.scan()
    with pytest.raises(CorruptRecord):
        await storage.delete("bad")
    assert documents.count_documents({}) == 1, "logging out ends it"
    assert await storage.delete("bad") is None


async def test_bytes_that_are_no_text_and_dates_beyond_the_calendar_are_no_crash(
    storage: MongoStorage, documents: "pymongo.collection.Collection[Any]"
) -> None:
    await storage.insert(RECORD)
    raw = bson.encode(valid(packed="##", stamp="##")).replace(b"##", b"\xff\xfe")
    documents.with_options(codec_options=bson.CodecOptions(RawBSONDocument)).insert_one(RawBSONDocument(raw))
    documents.insert_one(valid(_id="late", expires=bson.DatetimeMS(2**62)))
    good, bad, late = await asyncio.gather(*map(storage.get, ("sid", "bad", "late")), return_exceptions=True)
    assert good == RECORD
    assert isinstance(bad, CorruptRecord)
    assert isinstance(late, JtiRecord)
    with pytest.raises(CorruptRecord):
        await storage.delete("bad")
    assert await storage.get("bad") is None


async def test_a_corrupt_document_in_a_users_list_is_an_error_that_names_it(
    storage: MongoStorage, documents: "pymongo.collection.Collection[Any]"
) -> None:
    await storage.insert(RECORD)
    documents.insert_one({"_id": bson.ObjectId("65a5a5a5a5a5a5a5a5a5a5a5"), "subject": "ann"})
    with pytest.raises(CorruptRecord, match="65a5a5a5a5a5a5a5a5a5a5a5"):
        await storage.list_subject("ann")
    assert await storage.delete_subject("ann") == 2, "ending all sessions ends it too"


INJECTIONS = [{"$ne": ""}, {"$gt": ""}, {"$in": ["sid"]}, ["sid"], None, 1, b"sid", True, bson.Regex("."), ("sid",)]


@pytest.mark.parametrize("value", INJECTIONS, ids=repr)
async def test_what_is_no_text_never_reaches_a_query(standalone_database: str, value: Any) -> None:
    sent = Sent()
    async with pymongo.AsyncMongoClient[dict[str, Any]](standalone_database, event_listeners=[sent]) as client:
        async with MongoStorage(client.get_default_database()) as storage:
            await storage.insert(RECORD)
            sent.commands.clear()
            assert await storage.get(value) is None
            assert await storage.get_many([value]) == {}
            assert await storage.delete(value) is None
            assert await storage.list_subject(value) == []
            assert await storage.delete_subject(value) == 0
            if value != 1:
                assert await storage.replace(RECORD, value) is False
            assert sent.commands == []
            if value is not None:
                assert await storage.delete_subject("ann", keep=value) == 1
                assert "_id" not in sent.named("delete")[0]["deletes"][0]["q"]


@pytest.mark.parametrize("text", ["$ne", "$where", "{'$gt': ''}", "sid.version", "ann$"])
async def test_text_that_looks_like_an_operator_is_only_text(storage: MongoStorage, text: str) -> None:
    await storage.insert(RECORD)
    assert await storage.get(text) is None
    assert await storage.delete_subject(text) == 0
    await storage.insert(replace(RECORD, sid=text, subject=text))
    assert await storage.list_subject(text) == [replace(RECORD, sid=text, subject=text)]


async def test_expiry_goes_by_the_storages_clock_and_not_by_the_servers(standalone_database: str) -> None:
    storage = MongoStorage.from_url(standalone_database)
    storage.clock = clock = FakeClock(4_000_000_100)  # ahead of the server, whose TTL monitor is to leave it alone
    async with storage:
        await storage.insert(JtiRecord("sid", 1, expires_at=4_000_000_200, created_at=4_000_000_100, subject="ann"))
        assert await storage.get("sid") is not None
        clock.advance(99.9)
        assert await storage.get("sid") is not None
        clock.advance(0.1)
        assert await storage.get("sid") is None


@pytest.mark.parametrize("database", ["standalone_database", "replica_set_database"])
async def test_every_statement_goes_by_an_index(database: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(database)
    sent = Sent()
    async with pymongo.AsyncMongoClient[dict[str, Any]](url, event_listeners=[sent]) as client:
        async with MongoStorage(client.get_default_database()) as storage:
            await asyncio.gather(*(storage.insert(replace(RECORD, sid=f"s{n}", subject=f"u{n}")) for n in range(50)))
            await every_call(storage)
            assert await storage.delete("absent") is None
            assert await storage.delete_subject("absent", keep="sid") == 0
            records, cursor = await storage.scan(limit=10)
            assert (len(records), cursor) == (10, records[-1].sid)
            following, _ = await storage.scan(cursor, limit=10)
            assert [record.sid for record in records + following] == sorted(f"s{n}" for n in range(50))[:20]
    kinds = set()
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        for command in sent.named("find") + sent.named("update") + sent.named("delete"):
            name = next(iter(command))
            stages, documents = _explained(client.get_default_database(), command)
            kinds.add((name, *stages))
            assert "COLLSCAN" not in stages, command
            assert "SORT" not in stages, command
            assert {"IXSCAN", "IDHACK"} & set(stages), (command, stages)
            assert documents <= (command["limit"] if "sort" in command else 3), command
    assert {kind[0] for kind in kinds} == {"find", "update", "delete"}


def _explained(database: "pymongo.database.Database[Any]", command: dict[str, Any]) -> tuple[list[str], int]:
    dropped = ("lsid", "$clusterTime", "$db", "txnNumber", "maxTimeMS", "readConcern", "writeConcern")
    bare = {name: value for name, value in command.items() if name not in dropped}
    plan = database.command("explain", bare, verbosity="executionStats")
    return list(_stages(plan["queryPlanner"]["winningPlan"])), plan["executionStats"]["totalDocsExamined"]


def _stages(plan: dict[str, Any]) -> Iterator[str]:
    yield plan["stage"]
    for child in [plan.get("inputStage"), *plan.get("inputStages", ())]:
        if child:
            yield from _stages(child)


async def test_linearizable_reads_are_one_document_each_and_can_be_asked_for(replica_set_database: str) -> None:
    sent = Sent()
    url = f"{replica_set_database}&readConcernLevel=linearizable"
    async with pymongo.AsyncMongoClient[dict[str, Any]](url, event_listeners=[sent]) as client:
        async with MongoStorage(client.get_default_database()) as storage:
            await every_call(storage)
            sent.commands.clear()
            await storage.insert(RECORD)
            assert await asyncio.gather(storage.get("sid"), storage.get("absent")) == [RECORD, None]
    finds = sent.named("find")
    assert sorted(find["filter"]["_id"] for find in finds) == ["absent", "sid"]
    assert {find["readConcern"]["level"] for find in finds} == {"linearizable"}


async def test_linearizable_reads_need_a_replica_set(standalone_database: str) -> None:
    with pytest.raises(ConfigError, match="needs a replica set"):
        await MongoStorage.from_url(f"{standalone_database}&readConcernLevel=linearizable").open()


async def test_what_ends_nothing_is_confirmed_by_a_majority(replica_set_database: str) -> None:
    sent = Sent()
    async with pymongo.AsyncMongoClient[dict[str, Any]](replica_set_database, event_listeners=[sent]) as client:
        async with MongoStorage(client.get_default_database()) as storage:
            for call in (lambda: storage.delete("absent"), lambda: storage.delete_subject("absent"), storage.ping):
                sent.commands.clear()
                await call()
                assert sent.commands[-1]["readConcern"]["level"] == "linearizable"


async def test_concurrent_gets_are_one_find(replica_set_database: str) -> None:
    sent = Sent()
    async with pymongo.AsyncMongoClient[dict[str, Any]](replica_set_database, event_listeners=[sent]) as client:
        async with MongoStorage(client.get_default_database()) as storage:
            await storage.insert(RECORD)
            sent.commands.clear()
            found = await asyncio.gather(*(storage.get(sid) for sid in ["sid", "absent"] * 50))
    assert found == [RECORD, None] * 50
    assert len(sent.named("find")) == 1


def test_a_storage_that_was_closed_serves_in_a_second_event_loop(standalone_database: str) -> None:
    storage = MongoStorage.from_url(standalone_database)

    async def use(record: JtiRecord) -> None:
        await asyncio.gather(storage.open(), storage.open())
        await asyncio.gather(*(storage.get(f"absent {n}") for n in range(10)))
        await every_call(storage, record)
        await asyncio.gather(storage.aclose(), storage.aclose())

    asyncio.run(use(RECORD))
    asyncio.run(use(replace(RECORD, sid="second")))


async def test_a_storage_that_is_not_open_says_so(standalone_database: str) -> None:
    storage = MongoStorage.from_url(standalone_database)
    with pytest.raises(StorageUnavailable, match=r"await its open\(\) first"):
        await storage.get("sid")


async def test_a_failed_open_leaves_nothing_behind_and_can_be_tried_again(standalone_database: str) -> None:
    storage = MongoStorage.from_url("mongodb://127.0.0.1:1/shop?timeout=0.2")
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await storage.open()
        with pytest.raises(StorageUnavailable, match="not open"):
            await storage.ping()


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.02])
async def test_a_cancelled_open_leaves_nothing_behind(standalone_database: str, moment: float) -> None:
    storage = MongoStorage.from_url(standalone_database)
    task = asyncio.ensure_future(storage.open())
    await asyncio.sleep(moment)
    task.cancel()
    await asyncio.wait([task])
    await storage.aclose()
    async with storage:
        await every_call(storage)


async def test_answers_that_came_while_a_handler_kept_the_event_loop_are_not_late(standalone_database: str) -> None:
    async with MongoStorage.from_url(f"{standalone_database}&timeout=0.5") as storage:
        record = JtiRecord("sid", version=1, expires_at=int(time.time()) + 60, created_at=0)
        await storage.insert(record)
        for call in (
            lambda: storage.get("sid"),
            lambda: storage.get_many(["sid"]),
            lambda: storage.replace(replace(record, expires_at=record.expires_at + 1), 1),
        ):
            asked = asyncio.ensure_future(call())
            for _ in range(3):  # so that it is on its way to the driver's thread
                await asyncio.sleep(0)
            time.sleep(1)
            assert await asked
