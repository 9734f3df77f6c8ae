"""The MongoDB backend keeps the storage contract: over Motor and PyMongo, standalone and on a replica set."""

import asyncio
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from support.mongod import database_url

from aiohttp_lionrock.storage import Clock, JtiStorage
from aiohttp_lionrock.testing import SharedStorageConformance


class _Motor:
    async def make_sibling(self: Any, clock: Clock) -> JtiStorage:
        storage = MongoStorage.from_url(database_url(self.url, self.database))
        storage.clock = clock
        return storage


class _PyMongo:
    async def make_sibling(self: Any, clock: Clock) -> JtiStorage:
        client: pymongo.AsyncMongoClient[dict[str, Any]] = pymongo.AsyncMongoClient(self.url)
        self.addAsyncCleanup(client.close)
        return MongoStorage(client[self.database], clock=clock)


class _Fresh:
    async def make_storage(self: Any, clock: Clock) -> JtiStorage:
        asyncio.get_running_loop().set_debug(False)  # unittest's debug mode takes as long again
        self.database = f"conformance_{uuid4().hex}"
        self.addCleanup(self.drop)
        storage: JtiStorage = await self.make_sibling(clock)
        return storage

    def drop(self: Any) -> None:
        with pymongo.MongoClient(self.url) as client:
            client.drop_database(self.database)


class _Standalone(_Fresh):
    @pytest.fixture(autouse=True)
    def _server(self, standalone_url: str) -> None:
        self.url = standalone_url


class _ReplicaSet(_Fresh):
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
