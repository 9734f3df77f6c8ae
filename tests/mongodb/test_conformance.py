"""The MongoDB backend keeps the storage contract: over Motor and PyMongo, standalone and on a replica set."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar
from uuid import uuid4

import pymongo
import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from support.mongod import database_url, direct_url
from support.mongod_proxy import Wire

from aiohttp_lionrock.storage import Clock, JtiStorage
from aiohttp_lionrock.testing import SharedStorageConformance

PASSWORD = SharedStorageConformance.password


class _MongoDB:
    """The storage is at the end of a wire that can be cut; its sibling goes by the server's own URL."""

    good_url = f"mongodb://ann:{PASSWORD}@db1,db2:27018/shop?replicaSet=rs0&appName=@shop@&timeout=1.5"
    bad_urls: ClassVar = [
        (f"mongodb://ann:{PASSWORD}@h", "names no database"),
        (f"mongodb://ann:pa/{PASSWORD}@h/shop", "percent-encoded"),
        (f"mongodb://ann:pa?{PASSWORD}=@h/shop", "percent-encoded"),
        (f"mongodb://ann:pa@{PASSWORD}@h/shop", "percent-encoded"),
        (f"mongodb://ann:{PASSWORD}@h/shop?collection={PASSWORD}$", "collection must be a name"),
        (f"mongodb://ann:{PASSWORD}@h/shop?authMechanism={PASSWORD}", "authMechanism has a value that the driver"),
        ("mongodb://h/shop?colection=visits", "did you mean collection?"),
        ("mongodb://h/shop?timeuot=1", "did you mean timeout?"),
        ("mongodb://h/shop?timeout=0", "timeout must be a number of seconds above 0"),
        ("mongodb://h/shop?timeout=1&timeout=2", "timeout is given twice"),
        ("mongodb://h/shop?tls=yes", "tls must be true or false"),
        ("mongodb://h/shop?w=1", "acknowledged by a majority"),
        ("mongodb+srv://h:27017/shop", "without a port"),
    ]

    async def make_storage(self: Any, clock: Clock) -> JtiStorage:
        asyncio.get_running_loop().set_debug(False)  # unittest's debug mode takes as long again
        self.database = f"conformance_{uuid4().hex}"
        self.addCleanup(self.drop)
        with pymongo.MongoClient(self.url) as client:
            client.admin.command("ping")  # the driver knows the primary then
            self.wire = Wire(*client.address)
        await self.wire.mend()
        self.addAsyncCleanup(self.wire.cut)
        wired = direct_url(database_url(self.url, self.database), f"127.0.0.1:{self.wire.port}")
        storage: JtiStorage = await self.storage_at(wired, clock)
        return storage

    def bare_url(self: Any) -> str:
        return database_url(self.url, self.database)

    def absent_url(self: Any) -> str:
        return database_url(self.url, self.database, collection="absent")

    async def make_sibling(self: Any, clock: Clock) -> JtiStorage:
        storage: JtiStorage = await self.storage_at(database_url(self.url, self.database), clock)
        return storage

    async def break_storage(self: Any) -> Callable[[], Awaitable[None]]:
        await self.wire.cut()
        mend: Callable[[], Awaitable[None]] = self.wire.mend
        return mend

    async def corrupt(self: Any, sid: str) -> None:
        with pymongo.MongoClient(self.url) as client:
            sessions = client[self.database].lionrock_sessions
            assert sessions.update_one({"_id": sid}, {"$set": {"packed": "{}"}}).matched_count == 1

    def drop(self: Any) -> None:
        with pymongo.MongoClient(self.url) as client:
            client.drop_database(self.database)


class _Motor(_MongoDB):
    async def storage_at(self, url: str, clock: Clock) -> JtiStorage:
        storage = MongoStorage.from_url(url)
        storage.clock = clock
        return storage


class _PyMongo(_MongoDB):
    async def storage_at(self: Any, url: str, clock: Clock) -> JtiStorage:
        client: pymongo.AsyncMongoClient[dict[str, Any]] = pymongo.AsyncMongoClient(url)
        self.addAsyncCleanup(client.close)
        return MongoStorage(client.get_default_database(), clock=clock)


class _Standalone:
    @pytest.fixture(autouse=True)
    def _server(self, standalone_url: str) -> None:
        self.url = standalone_url


class _ReplicaSet:
    @pytest.fixture(autouse=True)
    def _server(self, replica_set_url: str) -> None:
        self.url = replica_set_url


class TestMotorStandalone(_Motor, _Standalone, SharedStorageConformance):
    pass


class TestMotorReplicaSet(_Motor, _ReplicaSet, SharedStorageConformance):
    pass


class TestPyMongoStandalone(_PyMongo, _Standalone, SharedStorageConformance):
    pass


class TestPyMongoReplicaSet(_PyMongo, _ReplicaSet, SharedStorageConformance):
    pass
