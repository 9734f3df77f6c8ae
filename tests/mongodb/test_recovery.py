"""What is wrong at the start is one clear line, and is over without a restart: roles, sets, late servers, loops."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymongo
import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from motor.motor_asyncio import AsyncIOMotorClient
from support.mongod import Mongod, database_url
from support.mongod_proxy import Wire

from aiohttp_lionrock import SessionConfig, SessionManager
from aiohttp_lionrock.errors import ConfigError, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord

NOW = int(time.time())
RECORD = JtiRecord("sid", version=1, expires_at=NOW + 3600, created_at=NOW, subject="ann")
SECRET = "s3cr3t-Pa55"
BY_HAND = "only a person can mend this"


@pytest.fixture(scope="module")
def guarded(mongod_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server that asks who is there; root's password is "root"."""
    server = Mongod(mongod_program, tmp_path_factory.mktemp("guarded") / "data", auth=True)
    try:
        server.start()
        with server.client() as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        yield server
    finally:
        server.terminate()


class User:
    """A user of the guarded server, whose roles come and go."""

    def __init__(self, server: Mongod, admin: "pymongo.database.Database[Any]") -> None:
        self.url = f"mongodb://ann:{SECRET}@{server.address}/shop?authSource=admin"
        self.admin = admin
        self.admin.command("createUser", "ann", pwd=SECRET, roles=[])

    def grant(self, role: str) -> None:
        self.admin.command("grantRolesToUser", "ann", roles=[{"role": role, "db": "shop"}])

    def revoke(self, role: str) -> None:
        self.admin.command("revokeRolesFromUser", "ann", roles=[{"role": role, "db": "shop"}])


@pytest.fixture
def ann(guarded: Mongod) -> Iterator[User]:
    with pymongo.MongoClient[dict[str, Any]](f"mongodb://root:root@{guarded.address}") as client:
        yield User(guarded, client.admin)
        client.admin.command("dropUser", "ann")
        client.drop_database("shop")


async def refused(storage: MongoStorage) -> str:
    """What an `open` that fails says."""
    with pytest.raises(StorageUnavailable) as caught:
        await storage.open()
    assert not caught.value.maybe_done
    assert SECRET not in str(caught.value)
    return str(caught.value)


async def test_a_user_without_a_role_is_told_so_and_served_once_it_is_granted(ann: User, guarded: Mongod) -> None:
    storage = MongoStorage.from_url(ann.url)
    for role in ("read", "readWrite"):
        fault = await refused(storage)
        assert fault.startswith(f"MongoDB at {guarded.address} ")
        assert BY_HAND in fault
        assert 'grant it "readWrite" on the database shop' in fault
        ann.grant(role)
    async with storage:
        await storage.insert(RECORD)
        assert await storage.get("sid") == RECORD


async def test_a_user_that_may_only_read_is_not_taken_for_served(ann: User) -> None:
    ann.grant("readWrite")
    async with MongoStorage.from_url(ann.url) as storage:
        ann.revoke("readWrite")
        ann.grant("read")
        with pytest.raises(StorageUnavailable, match=BY_HAND):
            await storage.ping()
        assert "readWrite" in await refused(MongoStorage.from_url(ann.url)), "the indexes are there by now"


async def test_a_role_that_is_lost_for_a_while_costs_no_restart(ann: User) -> None:
    ann.grant("readWrite")
    async with MongoStorage.from_url(ann.url) as storage:
        await storage.insert(RECORD)
        ann.revoke("readWrite")
        for call in (
            lambda: storage.insert(replace(RECORD, sid="new")),
            lambda: storage.replace(RECORD, 1),
            lambda: storage.delete("sid"),
            lambda: storage.delete_subject("ann"),
            lambda: storage.get("sid"),
            lambda: storage.purge(10),
        ):
            with pytest.raises(StorageUnavailable, match=BY_HAND) as caught:
                await call()
            assert not caught.value.maybe_done
        ann.grant("readWrite")
        assert await storage.delete("sid") == RECORD


async def test_a_wrong_password_and_no_password_are_told_apart(ann: User, guarded: Mongod) -> None:
    wrong = await refused(MongoStorage.from_url(ann.url.replace(SECRET, "wrong")))
    assert wrong.startswith(f"MongoDB at {guarded.address} did not serve: the user name, the password or authSource")
    assert BY_HAND in wrong
    none = await refused(MongoStorage.from_url(f"mongodb://{guarded.address}/shop"))
    assert "the user lacks a role, or none is given" in none


async def test_a_password_that_is_corrected_on_the_server_is_taken_without_a_restart(ann: User) -> None:
    ann.grant("readWrite")
    ann.admin.command("updateUser", "ann", pwd="another")
    storage = MongoStorage.from_url(ann.url)
    assert BY_HAND in await refused(storage)
    ann.admin.command("updateUser", "ann", pwd=SECRET)
    async with storage:
        await storage.insert(RECORD)


async def test_a_server_that_starts_later_and_a_set_that_is_initiated_later_are_found(
    mongod_program: Path, tmp_path: Path
) -> None:
    server = Mongod(mongod_program, tmp_path / "data", replica_set="rs0")
    storage = MongoStorage.from_url(f"mongodb://{server.address}/shop?replicaSet=rs0&timeout=1.2")
    direct = MongoStorage.from_url(f"mongodb://{server.address}/shop?directConnection=true&timeout=1.2")
    misnamed = MongoStorage.from_url(f"mongodb://{server.address}/shop?replicaSet=rs1&timeout=1.2")
    try:
        fault = await refused(storage)
        assert f"there is no primary ({server.address}: [Errno 111] Connection refused)" in fault
        assert BY_HAND not in fault
        await asyncio.to_thread(server.start)
        for waiting in (storage, direct):
            assert "the replica set is not initiated" in await refused(waiting)
        with server.client() as client:
            members = [{"_id": 0, "host": server.address}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        async with asyncio.timeout(30):
            while True:
                try:
                    await storage.open()
                    break
                except StorageUnavailable:
                    await asyncio.sleep(0.1)
        await storage.insert(RECORD)
        await direct.open()
        assert await direct.get("sid") == RECORD
        fault = await refused(misnamed)
        assert "no server belongs to the replica set that replicaSet names" in fault
        assert BY_HAND in fault
        await storage.aclose()
        await direct.aclose()
    finally:
        server.terminate()


async def test_a_host_that_the_dns_does_not_know_is_named() -> None:
    assert "no-such-host.invalid:27017" in await refused(MongoStorage.from_url("mongodb://no-such-host.invalid/shop"))
    fault = await refused(MongoStorage.from_url("mongodb+srv://no-such-host.invalid/shop"))
    assert fault.startswith("MongoDB at no-such-host.invalid did not serve: the DNS")


@pytest.fixture
async def wire(standalone: Mongod) -> AsyncIterator[Wire]:
    wire = Wire("127.0.0.1", standalone.port)
    await wire.mend()
    yield wire
    await wire.cut()


async def test_a_call_to_servers_that_refuse_connections_did_nothing(wire: Wire, standalone_database: str) -> None:
    database = standalone_database.rpartition("/")[2]
    storage = MongoStorage.from_url(f"mongodb://127.0.0.1:{wire.port}/{database}&timeout=1.45")
    with pytest.raises(StorageUnavailable, match="not open") as unopened:
        await storage.insert(RECORD)
    assert not unopened.value.maybe_done
    async with storage:
        await storage.insert(RECORD)
        await wire.cut()
        with pytest.raises(StorageUnavailable):
            await storage.ping()  # the driver has noticed by now
        for call in (
            storage.insert(replace(RECORD, sid="new")),
            storage.replace(RECORD, 1),
            storage.delete("sid"),
            storage.delete_subject("ann"),
            storage.purge(10),
        ):
            with pytest.raises(StorageUnavailable, match="Connection refused") as caught:
                await call
            assert not caught.value.maybe_done
        await wire.mend()
        assert await storage.get("sid") == RECORD


async def test_a_write_that_may_have_arrived_is_never_said_to_have_done_nothing(
    wire: Wire, standalone: Mongod, standalone_database: str
) -> None:
    database = standalone_database.rpartition("/")[2]
    async with MongoStorage.from_url(f"mongodb://127.0.0.1:{wire.port}/{database}") as storage:
        await storage.insert(RECORD)
        for name, call in (
            ("update", lambda: storage.insert(replace(RECORD, sid="new"))),
            ("update", lambda: storage.replace(RECORD, 1)),
            ("delete", lambda: storage.delete("sid")),
            ("delete", lambda: storage.delete_subject("ann")),
        ):
            with standalone.failing(name, blockConnection=True, blockTimeMS=200):
                writing = asyncio.ensure_future(call())
                await asyncio.sleep(0.1)  # it has arrived, and its answer will not
                await wire.cut()
                with pytest.raises(StorageUnavailable) as caught:
                    await writing
            assert caught.value.maybe_done, name
            await wire.mend()
            await storage.ping()


def test_a_storage_whose_event_loop_ended_opens_again_in_the_next(standalone_database: str) -> None:
    storage = MongoStorage.from_url(standalone_database)

    async def use(sid: str) -> None:
        with pytest.raises(StorageUnavailable, match="not open") as caught:
            await storage.get(sid)
        assert not caught.value.maybe_done
        await storage.open()
        record = replace(RECORD, sid=sid)
        await storage.insert(record)
        found = await asyncio.gather(*(storage.get(sid) for _ in range(3)))
        assert found == [record] * 3
        reading = asyncio.ensure_future(storage.get(sid))  # and the loop ends in the middle of it
        await asyncio.sleep(0)
        reading.cancel()

    for sid in ("first", "second", "third"):
        asyncio.run(use(sid))
    asyncio.run(storage.aclose())


def test_a_storage_whose_event_loop_ended_in_the_middle_of_a_read_does_not_wait_for_it(
    standalone: Mongod, standalone_database: str
) -> None:
    storage = MongoStorage.from_url(standalone_database)
    reading: list[asyncio.Future[Any]] = []

    async def begin() -> None:
        reading.append(asyncio.ensure_future(storage.get("sid")))
        await asyncio.sleep(0.05)

    async def reopen() -> float:
        await storage.open()
        begun = time.monotonic()
        await storage.aclose()
        return time.monotonic() - begun

    loop = asyncio.new_event_loop()
    loop.run_until_complete(storage.open())
    with standalone.failing("find", times=1, blockConnection=True, blockTimeMS=500):
        loop.run_until_complete(begin())
        assert not reading[0].done()
    assert asyncio.run(reopen()) < 1
    loop.run_until_complete(asyncio.wait(reading))
    reading[0].exception()
    loop.close()


async def test_a_storage_that_is_open_in_a_running_loop_is_not_taken_away_from_it(standalone_database: str) -> None:
    async with MongoStorage.from_url(standalone_database) as storage:
        with pytest.raises(StorageUnavailable, match="open in another event loop"):
            await asyncio.to_thread(asyncio.run, storage.open())
        await storage.insert(RECORD)


def test_a_manager_whose_event_loop_has_ended_goes_on_in_the_next_one(standalone_database: str) -> None:
    manager = SessionManager(SessionConfig(storage=standalone_database, secret="0123456789abcdefghijklmnopqrstuv"))

    async def log_in() -> int:
        session = await manager.load({})
        session["sub"] = "ann"
        await manager.save(session)
        return len(await manager.sessions("ann"))

    assert [asyncio.run(log_in()) for _ in range(3)] == [1, 2, 3]
    asyncio.run(manager.aclose())


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
def test_a_ready_database_of_another_event_loop_is_an_error_that_says_so(driver: str, standalone_database: str) -> None:
    with asyncio.Runner() as first, asyncio.Runner() as second:
        make = AsyncIOMotorClient if driver == "motor" else pymongo.AsyncMongoClient
        client: Any = first.run(_called(make, standalone_database))
        storage = MongoStorage(client.get_default_database())
        first.run(storage.open())
        first.run(storage.insert(RECORD))
        second.run(_does_not_open(storage))
        first.run(storage.open())
        assert first.run(storage.get("sid")) == RECORD
        first.run(_called(client.close))


async def _called(call: Callable[..., Any], *arguments: object) -> Any:
    """What a function answers, or the coroutine that it answers, inside an event loop."""
    answer = call(*arguments)
    return await answer if asyncio.iscoroutine(answer) else answer


async def _does_not_open(storage: MongoStorage) -> None:
    with pytest.raises(StorageUnavailable, match="not open"):
        await storage.get("sid")
    with pytest.raises(StorageUnavailable, match="serves another event loop") as caught:
        await storage.open()
    assert not caught.value.maybe_done
    with pytest.raises(StorageUnavailable, match="not open"):
        await storage.get("sid")


async def test_what_only_another_configuration_can_help_is_a_config_error(standalone_database: str) -> None:
    url = database_url(standalone_database, "shop", readConcernLevel="linearizable")
    with pytest.raises(ConfigError, match="needs a replica set"):
        await MongoStorage.from_url(url).open()
