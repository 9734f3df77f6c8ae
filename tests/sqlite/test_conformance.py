"""The SQLite backend keeps the storage contract, on a file and in memory."""

import tempfile
from pathlib import Path

from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock.storage import Clock, JtiStorage
from aiohttp_lionrock.testing import SharedStorageConformance, StorageConformance


class TestSqliteFile(SharedStorageConformance):
    async def make_storage(self, clock: Clock) -> JtiStorage:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = Path(folder, "sessions.db")
        return await self.make_sibling(clock)

    async def make_sibling(self, clock: Clock) -> JtiStorage:
        return SqliteStorage(self.path, clock=clock)


class TestSqliteMemory(StorageConformance):
    async def make_storage(self, clock: Clock) -> JtiStorage:
        return SqliteStorage(":memory:", clock=clock)
