"""The statements: what each call of the storage sends to MongoDB, and how its outcome is known."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from pymongo.errors import DuplicateKeyError

from aiohttp_lionrock.errors import ConfigError, CorruptRecord, DuplicateRecord, StorageUnavailable
from aiohttp_lionrock.storage import Clock, JtiRecord

from .calls import Calls, settle
from .documents import Document, expired, expired_by_date, live, this_write, to_document, to_record
from .driver import Reign, collection_of, reign_of
from .indexes import prepare_indexes
from .reasons import Place

__all__ = ["Sessions"]

STAMP_BYTES = 12
INDEX_SECONDS = 30.0
NOWHERE: dict[str, Any] = {"_id": "", "version": -1}  # what no document is


class Sessions:
    """One collection of sessions. Its calls raise the driver's errors: `Calls` runs them under a deadline."""

    def __init__(self, place: Place, name: str, *, is_replicated: bool) -> None:
        self._place = place
        self._database = database = place.database
        self._one_by_one = is_replicated and database.read_concern.level == "linearizable"
        self._collection = collection_of(database, name, "linearizable" if self._one_by_one else "majority")
        self._firm = collection_of(database, name, "linearizable" if is_replicated else "majority")
        self._settled: Reign | None = None

    @classmethod
    async def open(cls, place: Place, name: str, calls: Calls, *, may_create: bool) -> "Sessions":
        """Asks the server what it is, prepares the indexes and makes sure that sessions can be read and written."""
        hello = await calls.read(_hello(place))
        is_replicated = "setName" in hello or hello.get("msg") == "isdbgrid"
        if place.database.read_concern.level == "linearizable" and not is_replicated:
            raise ConfigError("readConcernLevel=linearizable needs a replica set; this MongoDB server is in none")
        sessions = cls(place, name, is_replicated=is_replicated)
        await calls.read(prepare_indexes(sessions._collection, may_create), seconds=INDEX_SECONDS)
        await calls.read(sessions.ping())
        if not sessions._one_by_one:
            await calls.read(sessions._settled_documents(NOWHERE, 1))
        return sessions

    async def insert(self, record: JtiRecord, now: float) -> None:
        document = to_document(record, record.version, stamp := os.urandom(STAMP_BYTES))

        async def attempt() -> bool:
            # The filter holds nothing but an expired record. Where a live one has the sid, the upsert is a duplicate.
            try:
                await self._collection.replace_one({"_id": record.sid, **expired(now)}, document, upsert=True)
            except DuplicateKeyError:
                return False
            return True

        async def look() -> bool:
            found = await self._stored(record.sid)
            if found is not None and found.get("stamp") == stamp:
                return True
            # Not repeated: it may have been made, and ended since by a call that is not to be undone.
            raise StorageUnavailable("it is not known whether MongoDB stored the new session")

        if not await settle(attempt, look):
            raise DuplicateRecord(f"a live session has the sid {record.sid!r}")

    async def find(self, sids: Sequence[str], now: float) -> dict[str, JtiRecord | CorruptRecord]:
        """The live documents among these, each as its record or as the error that it is none."""
        if self._one_by_one:  # MongoDB promises linearizable reads for one document at a time
            found = await asyncio.gather(*(self._documents({"_id": sid, **live(now)}, 1) for sid in sids))
            documents = [document for documents in found for document in documents]
        else:
            documents = await self._settled_documents({"_id": {"$in": list(sids)}, **live(now)}, len(sids))
        return {document["_id"]: _record_or_error(document) for document in documents}

    async def replace(self, record: JtiRecord, expected_version: int, now: float) -> bool:
        document = to_document(record, expected_version + 1, stamp := os.urandom(STAMP_BYTES))
        place = {"_id": record.sid, "version": expected_version, **live(now)}

        async def attempt() -> bool:
            return (await self._collection.replace_one(place, document)).matched_count == 1

        async def look() -> bool | None:
            found = await self._stored(record.sid)
            if found is None:
                return False
            if found.get("stamp") == stamp:
                return True
            version = found.get("version")
            if version == expected_version:
                return None
            if version == expected_version + 1:
                return False
            raise StorageUnavailable("it is not known whether MongoDB made this change before later ones")

        return await settle(attempt, look)

    async def delete(self, sid: str, now: float) -> Document | None:
        """The live document that this call removed.

        It is read first, and removed as it was read or not at all. So where the answer is lost and the document is
        gone, it is known what was removed, though perhaps by somebody else at the same moment.
        """
        place = {"_id": sid, **live(now)}

        async def attempt() -> bool:
            return (await self._collection.delete_one(this_write(document))).deleted_count == 1

        async def look() -> bool | None:
            found = await self._stored(sid)
            if found is None:
                return True
            return None if found.get("stamp") == document.get("stamp") else False

        found = await self._settled_documents(place, 1)
        while found := found or await self._firm_documents(place):
            document = found.pop()
            if await settle(attempt, look):
                return document
        return None

    async def delete_subject(self, subject: str, keep: str | None, now: float) -> int:
        place: dict[str, Any] = {"subject": subject, **live(now)}
        if keep is not None:
            place["_id"] = {"$ne": keep}
        while not (deleted := (await self._collection.delete_many(place)).deleted_count):
            if not await self._firm_documents(place):
                break
        return deleted

    async def of_subject(self, subject: str, now: float) -> list[JtiRecord]:
        documents = await self._settled_documents({"subject": subject, **live(now)}, 100)
        return sorted(map(to_record, documents), key=lambda record: (-record.created_at, record.sid))

    async def scan(self, cursor: str | None, limit: int, now: float) -> list[JtiRecord]:
        """The first live records in the order of their sids, after the sid ``cursor``."""
        place = {"_id": {"$gte": ""} if cursor is None else {"$gt": cursor}, **live(now)}
        documents = await self._settled_documents(place, limit, limit=limit, sort=[("_id", 1)])
        return [to_record(document) for document in documents]

    async def purge(self, now: float, limit: int) -> int:
        found = await self._collection.find(
            expired_by_date(now), {"_id": 1}, limit=limit, batch_size=limit + 1
        ).to_list(None)
        if not found:
            return 0
        sids = [document["_id"] for document in found]
        return (await self._collection.delete_many({"_id": {"$in": sids}, **expired(now)})).deleted_count

    async def ping(self) -> None:
        """Raises where there is no primary, where none has a majority behind it, and where it refuses writes."""
        await _hello(self._place)
        await self._collection.delete_one(NOWHERE)
        await self._firm_documents(NOWHERE)

    async def facts(self, clock: Clock) -> dict[str, str]:
        """What there is beside the documents: the server, the indexes, and how far its clock is from this one."""
        begin = clock()
        hello = await _hello(self._place)
        ahead = hello["localTime"].replace(tzinfo=UTC).timestamp() - (begin + clock()) / 2
        build = await self._database.command("buildInfo")
        kind = f"replica set {hello['setName']}" if "setName" in hello else "no replica set"
        indexes = await self._collection.index_information()
        return {
            "server": f"MongoDB {build.get('version')} at {self._place.hosts}, {kind}",
            "schema": f"collection {self._collection.name} of the database {self._database.name}",
            "indexes": ", ".join(sorted(name for name in indexes if name != "_id_")),
            "clock": f"the server's is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
        }

    async def _firm_documents(self, place: Document) -> list[dict[str, Any]]:
        """At most one document, as a majority confirms it: a deposed primary finds nothing either."""
        return await self._firm.find(place, limit=1, batch_size=2).to_list(None)

    async def _settled_documents(self, place: Document, expected: int, **how: Any) -> list[dict[str, Any]]:
        """Reads from a primary that has settled in.

        One that was elected a moment ago may not know yet how far its predecessor's writes were confirmed, and a
        majority read from it can show what was there before them. A read that a majority confirms ends that.
        """
        while True:
            reign = reign_of(self._database)
            if reign != self._settled:
                await self._firm_documents(NOWHERE)
            documents = await self._documents(place, expected, **how)
            if reign == reign_of(self._database):
                self._settled = reign
                return documents

    async def _documents(self, place: Document, expected: int, **how: Any) -> list[dict[str, Any]]:
        return await self._collection.find(place, batch_size=expected + 1, **how).to_list(None)

    async def _stored(self, sid: str) -> Document | None:
        """The newest document, confirmed by a majority; a majority read alone could still show an older one."""
        found = await self._firm_documents({"_id": sid})
        return found[0] if found else None


async def _hello(place: Place) -> Document:
    hello = await place.database.command("hello")
    if not hello.get("isWritablePrimary"):
        raise StorageUnavailable(place.no_primary(hello), maybe_done=False)
    return hello


def _record_or_error(document: Document) -> JtiRecord | CorruptRecord:
    try:
        return to_record(document)
    except CorruptRecord as exc:
        return exc
