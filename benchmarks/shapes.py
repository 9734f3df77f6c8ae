"""Storages and handlers of the same shape as ours, to see how much of a difference is the database's part."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from aiohttp import web
from aiohttp_lionrock_mongodb import MongoStorage
from motor.motor_asyncio import AsyncIOMotorClient

from aiohttp_lionrock.storage import Clock, Coalescer, JtiRecord
from aiohttp_lionrock.storage.memory import MemoryStorage

from .samples import DATA

__all__ = ["COLLECTION", "CoalescedMemory", "FindOne", "find_one_app"]

COLLECTION = "lionrock_sessions"


class CoalescedMemory(MemoryStorage):
    """Answers from memory, through the coalescer that the databases answer through."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self._gets: Coalescer[str, JtiRecord | None] = Coalescer(self._find, default=None)

    async def get(self, sid: str) -> JtiRecord | None:
        return await self._gets(sid)

    async def _find(self, sids: Sequence[str]) -> Mapping[str, JtiRecord | None]:
        return {sid: await MemoryStorage.get(self, sid) for sid in sids}


class FindOne(MongoStorage):
    """The MongoDB storage with one Motor ``find_one`` for each look-up."""

    url = ""

    @classmethod
    def from_url(cls, url: str) -> Self:
        storage = super().from_url(url)
        storage.url = url
        return storage

    async def open(self) -> None:
        await super().open()
        self._plain = AsyncIOMotorClient(self.url).get_default_database()[COLLECTION]

    async def aclose(self) -> None:
        self._plain.database.client.close()
        await super().aclose()

    async def get(self, sid: str) -> JtiRecord | None:
        found = await self._plain.find_one({"_id": sid, "expires_at": {"$gt": self.clock()}})
        return None if found is None else _record(found)


def _record(found: dict[str, Any]) -> JtiRecord:
    own = (found["_id"], found["version"], found["expires_at"], found["created_at"])
    return JtiRecord.unpack(*own, found.get("subject"), found["packed"])


def find_one_app(url: str) -> web.Application:
    """No sessions: a handler that looks up the document named in a cookie, with Motor."""
    app = web.Application()
    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(url)
    collection = client.get_default_database()["plain_sessions"]

    async def read(request: web.Request) -> web.Response:
        found = await collection.find_one({"_id": request.cookies["sid"]})
        return web.Response(text=found["user"]) if found else web.Response(status=401)

    async def login(request: web.Request) -> web.Response:
        sid = request.query["sid"]
        await collection.replace_one({"_id": sid}, {"_id": sid, **DATA}, upsert=True)
        response = web.Response(text=str(DATA["user"]))
        response.set_cookie("sid", sid)
        return response

    app.router.add_get("/read", read)
    app.router.add_get("/login", login)
    return app
