"""The SQLite backend keeps the storage contract, on a file and in memory."""

import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from aiohttp_lionrock_sqlite import SqliteStorage

from aiohttp_lionrock.storage import Clock, JtiStorage
from aiohttp_lionrock.testing import SharedStorageConformance, StorageConformance

PASSWORD = StorageConformance.password


class TestSqliteFile(SharedStorageConformance):
    good_url = "sqlite:///sessions.db?busy_timeout=0.5"
    bad_urls: ClassVar[list[tuple[str, str]]] = [
        (f"sqlite://user:{PASSWORD}@host/x.db", "three slashes"),
        (f"sqlite:///{PASSWORD}/", "names a folder"),
        (f"sqlite:///C:\\{PASSWORD}\\x.db", "not Windows"),
        (f"sqlite:///x.db?table={PASSWORD}%20", "table must be"),
        (f"sqlite:///x.db?synchronous={PASSWORD}", "synchronous must be"),
        ("sqlite:///", "names no file"),
        ("sqlite:///x.db?tabel=t", "did you mean table?"),
        ("sqlite:///x.db?table=a&table=b", "twice"),
        ("sqlite:///x.db?busy_timeout=61", "at most 60"),
    ]

    async def make_storage(self, clock: Clock) -> JtiStorage:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()), "data")
        self.folder.mkdir()
        return await self.make_sibling(clock)

    def bare_url(self) -> str:
        return f"sqlite:///{self.folder}/sessions.db"

    def absent_url(self) -> str:
        return f"sqlite:///{self.folder}/absent.db"

    async def make_sibling(self, clock: Clock) -> JtiStorage:
        return SqliteStorage(self.folder / "sessions.db", clock=clock)

    async def break_storage(self) -> Callable[[], Awaitable[None]]:
        away = self.folder.with_name("away")
        self.folder.rename(away)

        async def mend() -> None:
            away.rename(self.folder)

        return mend

    async def corrupt(self, sid: str) -> None:
        with closing(sqlite3.connect(self.folder / "sessions.db")) as other, other:
            other.execute("UPDATE lionrock_sessions SET packed = 'not a record' WHERE sid = ?", (sid,))


class TestSqliteMemory(StorageConformance):
    def bare_url(self) -> str:
        return "sqlite://"

    async def make_storage(self, clock: Clock) -> JtiStorage:
        return SqliteStorage(":memory:", clock=clock)
