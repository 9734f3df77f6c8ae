"""The MongoDB backend on servers that freeze, die and hand over: true verdicts, kept deadlines, recovery."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pymongo
import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from motor.motor_asyncio import AsyncIOMotorClient
from support.mongod import Mongod, ReplicaSet, database_url
from support.mongod_sent import Sent

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord

NOW = int(time.time())
RECORD = JtiRecord("sid", version=1, expires_at=NOW + 3600, created_at=NOW, subject="ann")
TIMEOUT = 1.0
SLACK = 0.4


@pytest.fixture
def whole_set(replica_set: ReplicaSet, replica_set_database: str) -> Iterator[ReplicaSet]:
    """A replica set to disturb; it is whole again before the database is dropped."""
    replica_set.wait_until_whole()
    yield replica_set
    replica_set.wait_until_whole()


@pytest.fixture
def frozen(standalone: Mongod, standalone_database: str) -> Iterator[Callable[[], None]]:
    """Freezes the standalone server; it wakes before the database is dropped."""
    yield standalone.stop
    standalone.cont()


@pytest.fixture(params=["motor", "pymongo"])
async def storage(request: pytest.FixtureRequest, standalone_database: str) -> AsyncIterator[MongoStorage]:
    if request.param == "motor":
        motor: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(standalone_database)
        async with MongoStorage(motor.get_default_database(), timeout=TIMEOUT) as storage:
            yield storage
        motor.close()
    else:
        async with pymongo.AsyncMongoClient[dict[str, Any]](standalone_database) as client:
            async with MongoStorage(client.get_default_database(), timeout=TIMEOUT) as storage:
                yield storage


async def refused(call: Awaitable[object]) -> float:
    """How long a call took to raise StorageUnavailable."""
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await call
    return time.monotonic() - begun


async def eventually(storage: MongoStorage) -> None:
    """Waits until the storage serves, as a load balancer would."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await storage.ping()
            except StorageUnavailable:
                await asyncio.sleep(0.1)


async def test_a_frozen_server_costs_each_caller_its_deadline_and_no_more(
    storage: MongoStorage, frozen: Callable[[], None], standalone: Mongod
) -> None:
    await storage.insert(RECORD)
    frozen()

    async def later(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return await refused(storage.get("sid"))

    waits = await asyncio.gather(
        *(refused(storage.get(f"sid {number % 5}")) for number in range(50)),
        *(later(number / 10) for number in range(8)),
        refused(storage.get_many(["sid"])),
        refused(storage.replace(RECORD, 1)),
        refused(storage.insert(replace(RECORD, sid="new"))),
        refused(storage.delete("sid 2")),
        refused(storage.delete_subject("bob")),
        refused(storage.list_subject("ann")),
        refused(storage.purge(10)),
        refused(storage.ping()),
    )
    assert max(waits) < TIMEOUT + SLACK
    standalone.cont()
    await eventually(storage)
    assert await storage.get("sid") is not None
    assert await storage.delete("sid") == RECORD


async def test_closing_does_not_wait_long_for_a_frozen_server(
    frozen: Callable[[], None], standalone_database: str
) -> None:
    storage = MongoStorage.from_url(f"{standalone_database}&timeout={TIMEOUT}")
    await storage.open()
    await storage.insert(RECORD)
    frozen()
    reading = asyncio.ensure_future(refused(storage.get("sid")))
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    await storage.aclose()
    assert time.monotonic() - begun < TIMEOUT + 1 + SLACK
    await reading


async def test_opening_on_a_frozen_server_says_that_none_has_answered(
    frozen: Callable[[], None], standalone_database: str
) -> None:
    frozen()
    storage = MongoStorage.from_url(f"{standalone_database}&timeout={TIMEOUT}")
    with pytest.raises(StorageUnavailable, match="no server has answered"):
        await storage.open()


async def test_a_secondary_alone_does_not_pass_for_service(replica_set: ReplicaSet) -> None:
    storage = MongoStorage.from_url(database_url(replica_set.secondaries()[0].url, "alone"))
    with pytest.raises(StorageUnavailable, match="takes no writes: it is not the primary"):
        await storage.open()


async def test_without_a_majority_writes_and_pings_end_at_the_deadline_and_come_back_with_it(
    replica_set_database: str, whole_set: ReplicaSet
) -> None:
    async with MongoStorage.from_url(f"{replica_set_database}&timeout={TIMEOUT}") as storage:
        await storage.insert(RECORD)
        for member in whole_set.secondaries():
            member.stop()
        for call in (storage.replace(RECORD, 1), storage.ping(), storage.insert(replace(RECORD, sid="new"))):
            assert await refused(call) < TIMEOUT + SLACK
        whole_set.wait_until_whole()
        await eventually(storage)
        found = await storage.get("sid")
        assert found is not None
        assert await storage.replace(found, found.version) is True


async def test_a_session_revoked_on_the_new_primary_is_gone_for_who_last_spoke_to_the_old_one(
    replica_set_database: str, whole_set: ReplicaSet
) -> None:
    async with (
        MongoStorage.from_url(replica_set_database) as revoking,
        MongoStorage.from_url(replica_set_database) as reading,
    ):
        await revoking.insert(RECORD)
        assert await reading.get("sid") == RECORD
        old = whole_set.primary()
        old.stop()
        try:
            whole_set.primary(other_than=old)
            await eventually(revoking)
            assert await revoking.delete("sid") == RECORD
        finally:
            old.cont()
        for _ in range(50):
            try:
                assert await reading.get("sid") is None
            except StorageUnavailable:
                continue
            await asyncio.sleep(0.01)


async def test_the_first_read_after_an_election_is_confirmed_by_a_majority(
    replica_set_database: str, whole_set: ReplicaSet
) -> None:
    sent = Sent()
    async with pymongo.AsyncMongoClient[dict[str, Any]](replica_set_database, event_listeners=[sent]) as client:
        async with MongoStorage(client.get_default_database()) as storage:
            await storage.insert(RECORD)
            for read in (
                lambda: storage.get("sid"),
                lambda: storage.get_many(["sid"]),
                lambda: storage.list_subject("ann"),
            ):
                await asyncio.to_thread(hand_over, whole_set)
                whole_set.primary()
                sent.commands.clear()
                assert await read()
                assert await read()
                levels = [find["readConcern"]["level"] for find in sent.named("find")]
                assert levels[-2:] == ["majority", "majority"]
                assert "linearizable" in levels[:-1], levels


class Writer:
    """The only one who writes its session: what it may find there at any time follows from the verdicts."""

    def __init__(self, storage: MongoStorage, number: int) -> None:
        self.storage = storage
        self.record = replace(RECORD, sid=f"writer {number}")
        self.possible = {1}
        self.acknowledged = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.step()
            except StorageUnavailable:
                await asyncio.sleep(0.02)

    async def step(self) -> None:
        found = await self.storage.get(self.record.sid)
        assert found is not None, "a session that nobody ended is gone"
        assert found.version in self.possible, f"{found.version} is there, possible were {self.possible}"
        try:
            done = await self.storage.replace(found, found.version)
        except StorageUnavailable:
            self.possible.add(found.version + 1)
            raise
        if done:
            self.acknowledged += 1
            self.possible = {found.version + 1}
        else:
            assert found.version < max(self.possible), "a compare-and-set was lost that nobody else could win"
            self.possible.discard(found.version)


def hand_over(servers: ReplicaSet) -> None:
    servers.wait_until_whole()
    servers.step_down(seconds=3)


def freeze_the_primary(servers: ReplicaSet) -> None:
    primary = servers.primary()
    primary.stop()
    try:
        servers.primary(other_than=primary)
    finally:
        primary.cont()


@pytest.mark.parametrize("fault", [hand_over, freeze_the_primary])
async def test_no_verdict_is_false_while_twenty_write_and_the_primary_changes(
    replica_set_database: str, whole_set: ReplicaSet, fault: Callable[[ReplicaSet], None]
) -> None:
    async with MongoStorage.from_url(replica_set_database) as storage:
        writers = [Writer(storage, number) for number in range(20)]
        await asyncio.gather(*(storage.insert(writer.record) for writer in writers))
        stop = asyncio.Event()
        running = asyncio.gather(*(writer.run(stop) for writer in writers))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(fault, whole_set)
        await eventually(storage)
        before = sum(writer.acknowledged for writer in writers)
        await asyncio.sleep(0.5)
        stop.set()
        await running
        assert sum(writer.acknowledged for writer in writers) > before > 0
