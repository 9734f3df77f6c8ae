"""Faults that show through the optional hooks: an unreachable database, damaged records, URLs."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Self

from aiohttp_lionrock.errors import ConfigError, CorruptRecord, StorageUnavailable
from aiohttp_lionrock.storage import Clock, Faults, JtiRecord, JtiStorage, Option, UrlOptions, number, whole
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import StorageConformance

from .catching import caught_by

PASSWORD = StorageConformance.password


class DriverError(Exception):
    """What the driver of a database raises."""


class Breaks:
    async def break_storage(self: Any) -> Callable[[], Awaitable[object]]:
        self.storage.reachable = False

        async def mend() -> None:
            self.storage.reachable = True

        return mend


class Remote(MemoryStorage):
    """Honest: its database can be unreachable, and then each call says so."""

    hooks: tuple[type, ...] = (Breaks,)
    reachable = True

    def ask_server(self) -> None:
        if not self.reachable:
            raise DriverError("connection refused")

    def reach(self) -> None:
        try:
            self.ask_server()
        except DriverError as exc:
            raise StorageUnavailable("the server cannot be reached", maybe_done=False) from exc

    async def open(self) -> None:
        self.reach()

    async def insert(self, record: JtiRecord) -> None:
        self.reach()
        await super().insert(record)

    async def get(self, sid: str) -> JtiRecord | None:
        self.reach()
        return await super().get(sid)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        self.reach()
        return await super().replace(record, expected_version)

    async def delete(self, sid: str) -> JtiRecord | None:
        self.reach()
        return await super().delete(sid)

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        self.reach()
        return await super().delete_subject(subject, keep)

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        self.reach()
        return await super().list_subject(subject)

    async def purge(self, limit: int) -> int:
        self.reach()
        return await super().purge(limit)

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        self.reach()
        return await super().scan(cursor, limit)

    async def ping(self) -> None:
        self.reach()


class BreaksForGood:
    async def break_storage(self: Any) -> None:
        self.storage.reachable = False


class RemoteForGood(Remote):
    """Honest: its database cannot be mended."""

    hooks = (BreaksForGood,)


MANY_CALLS = "many_calls_at_once_on_an_unreachable_database_all_raise_storage_unavailable"
EVERY_CALL = "every_call_on_an_unreachable_database_raises_storage_unavailable"
AFTER_MENDING = "after_mending_the_same_storage_has_every_record_and_works"
CERTAINLY_NOT = "what_certainly_was_not_done_is_not_there_after_mending"
CLOSES = "a_storage_closes_while_its_database_is_unreachable_and_opens_when_it_is_back"


@caught_by(EVERY_CALL, MANY_CALLS, CLOSES)
class RaisesTheDriversError(Remote):
    def reach(self) -> None:
        self.ask_server()


@caught_by(EVERY_CALL)
class HidesTheDriversError(Remote):
    def reach(self) -> None:
        try:
            self.ask_server()
        except DriverError:
            raise StorageUnavailable("the server cannot be reached") from None


@caught_by(EVERY_CALL)
class SaysThatAReadMayBeDone(Remote):
    async def get(self, sid: str) -> JtiRecord | None:
        if not self.reachable:
            raise StorageUnavailable("the server cannot be reached")
        return await super().get(sid)


@caught_by(EVERY_CALL)
class PurgeFindsNothingWhereItCannotLook(Remote):
    async def purge(self, limit: int) -> int:
        return await super().purge(limit) if self.reachable else 0


@caught_by(EVERY_CALL)
class ScanRaisesTheDriversError(Remote):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        self.ask_server()
        return await super().scan(cursor, limit)


@caught_by(EVERY_CALL)
class LosesItsConnectionToAnAttributeError(Remote):
    _failed = 0

    def reach(self) -> None:
        self._failed += not self.reachable
        if self._failed > 12 and not self.reachable:
            raise AttributeError("'NoneType' object has no attribute 'send'")
        super().reach()


@caught_by(MANY_CALLS)
class RunsOutOfConnections(Remote):
    _waiting = 0

    async def get(self, sid: str) -> JtiRecord | None:
        self._waiting += 1
        await asyncio.sleep(0)
        try:
            if self._waiting > 5 and not self.reachable:
                raise DriverError("the pool is exhausted")
            return await super().get(sid)
        finally:
            self._waiting -= 1


@caught_by(AFTER_MENDING)
class StaysAway(Remote):
    def ask_server(self) -> None:
        self.reachable = self.reachable and "_away" not in vars(self)
        if not self.reachable:
            self._away = True
        super().ask_server()


@caught_by(AFTER_MENDING)
class ForgetsInAnOutage(Remote):
    def reach(self) -> None:
        if not self.reachable:
            self._records.clear()
        super().reach()


@caught_by(CERTAINLY_NOT)
class InsertsAndSaysThatItDidNot(Remote):
    async def insert(self, record: JtiRecord) -> None:
        self._records.setdefault(record.sid, record)
        self.reach()


@caught_by(CERTAINLY_NOT)
class ReplacesAndSaysThatItDidNot(Remote):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        replaced = await MemoryStorage.replace(self, record, expected_version)
        self.reach()
        return replaced


@caught_by(CERTAINLY_NOT)
class DeletesAndSaysThatItDidNot(Remote):
    async def delete(self, sid: str) -> JtiRecord | None:
        removed = await MemoryStorage.delete(self, sid)
        self.reach()
        return removed


@caught_by(CLOSES)
class CloseSaysGoodbyeToTheServer(Remote):
    async def aclose(self) -> None:
        self.ask_server()


@caught_by(CLOSES)
class OpenRaisesTheDriversError(Remote):
    async def open(self) -> None:
        self.ask_server()


class WaitsForEver(Remote):
    """Faulty: a call on an unreachable database has no end. It is not registered, because that takes patience."""

    async def ping(self) -> None:
        if not self.reachable:
            await asyncio.Event().wait()


class Damages:
    async def corrupt(self: Any, sid: str) -> None:
        self.storage.damaged.add(sid)


class Damageable(MemoryStorage):
    """Honest: a record can be damaged, and is reported then."""

    hooks: tuple[type, ...] = (Damages,)

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.damaged: set[str] = set()

    def check(self, *sids: str) -> None:
        for sid in sids:
            if sid in self.damaged:
                raise CorruptRecord(f"under the sid {sid!r} there is no record", sid=sid)

    async def get(self, sid: str) -> JtiRecord | None:
        found = await super().get(sid)
        if found is not None:
            self.check(sid)
        return found

    async def delete(self, sid: str) -> JtiRecord | None:
        removed = await super().delete(sid)
        if removed is not None:
            self.check(sid)
            self.damaged.discard(sid)
        return removed

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        records = await super().list_subject(subject)
        self.check(*(record.sid for record in records))
        return records

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        records, cursor = await super().scan(cursor, limit)
        self.check(*(record.sid for record in records))
        return records, cursor


REPORTED = "a_damaged_record_is_reported_with_its_sid"
REMOVED = "a_damaged_record_is_removed_by_delete_and_then_reported"
HIDES_NONE = "a_damaged_record_hides_no_other"
KEEPS_NONE = "a_damaged_record_keeps_no_other_of_its_subject_alive"


@caught_by(REMOVED)
class DeleteLeavesTheDamaged(Damageable):
    async def delete(self, sid: str) -> JtiRecord | None:
        self.check(sid)
        return await super().delete(sid)


@caught_by(REMOVED)
class DeleteDoesNotTellOfTheDamaged(Damageable):
    async def delete(self, sid: str) -> JtiRecord | None:
        return await MemoryStorage.delete(self, sid)


@caught_by(REPORTED, HIDES_NONE)
class DamagedIsAbsent(Damageable):
    async def get(self, sid: str) -> JtiRecord | None:
        return None if sid in self.damaged else await super().get(sid)


@caught_by(REPORTED)
class GetManyPassesOverTheDamaged(Damageable):
    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        return await super().get_many([sid for sid in sids if sid not in self.damaged])


@caught_by(REPORTED)
class ListPassesOverTheDamaged(Damageable):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        records = await MemoryStorage.list_subject(self, subject)
        return [record for record in records if record.sid not in self.damaged]


@caught_by(REPORTED)
class ScanPassesOverTheDamaged(Damageable):
    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        records, cursor = await MemoryStorage.scan(self, cursor, limit)
        return [record for record in records if record.sid not in self.damaged], cursor


@caught_by(REPORTED, KEEPS_NONE)
class DamagedHasNoSid(Damageable):
    delete_subject = JtiStorage.delete_subject

    def check(self, *sids: str) -> None:
        for sid in self.damaged.intersection(sids):
            raise CorruptRecord(f"under the sid {sid!r} there is no record")


@caught_by(KEEPS_NONE)
class DeleteSubjectStopsAtTheDamaged(Damageable):
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        doomed = [record.sid for record in await self.list_subject(subject) if record.sid != keep]
        return len([await self.delete(sid) for sid in doomed])


@caught_by(REPORTED)
class DamagedHasNoName(Damageable):
    def check(self, *sids: str) -> None:
        if self.damaged.intersection(sids):
            raise CorruptRecord("a record is corrupt")


@caught_by(REPORTED)
class DamagedIsAnyFailure(Damageable):
    def check(self, *sids: str) -> None:
        if self.damaged.intersection(sids):
            raise StorageUnavailable(f"{self.damaged} cannot be read")


@caught_by(HIDES_NONE)
class OneDamagedRecordSpoilsTheBatch(Damageable):
    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._batch: list[str] = []

    async def get(self, sid: str) -> JtiRecord | None:
        self._batch.append(sid)
        await asyncio.sleep(0)
        batch, self._batch = self._batch, []
        self.check(*batch)
        return await super().get(sid)


@caught_by(HIDES_NONE)
class ListReadsEveryRecord(Damageable):
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        self.check(*self._records)
        return await super().list_subject(subject)


class HasUrls:
    good_url = "shelf://host?size=3"
    bad_urls = (
        ("shelf://", "names no host"),
        (f"shelf://?size={PASSWORD}", "names no host"),
        (f"shelf://host?size={PASSWORD}", "size must be a number"),
        (f"shelf://host?colour={PASSWORD}", "unknown shelf option"),
    )

    def bare_url(self) -> str:
        return "shelf://host"

    absent_url = bare_url


OPTIONS = UrlOptions("shelf", {"size": Option(number(1, 9), 1)})


class Addressed(MemoryStorage):
    """Honest: it has an address and an option."""

    hooks: tuple[type, ...] = (HasUrls,)

    @classmethod
    def from_url(cls, url: str) -> Self:
        faults = Faults()
        host, _, query = url.removeprefix("shelf://").partition("?")
        OPTIONS.read(query, faults)
        if not host:
            faults.add("the shelf URL names no host")
        faults.raise_if_any()
        return cls()


REFUSED = "before_open_a_bad_url_is_refused_with_what_is_wrong"
NOT_SHOWN = "before_open_no_error_shows_a_value_of_the_url"
MADE = "before_open_a_good_url_makes_a_storage_each_time"


@caught_by(REFUSED)
class TakesEveryUrl(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Self:
        return cls()


@caught_by(REFUSED)
class SaysOnlyTheFirstFault(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Self:
        try:
            return super().from_url(url)
        except ConfigError as exc:
            raise ConfigError(exc.faults[0]) from exc


@caught_by(NOT_SHOWN)
class RepeatsTheUrl(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Self:
        try:
            return super().from_url(url)
        except ConfigError as exc:
            raise ConfigError([*exc.faults, f"in {url}"]) from exc


@caught_by(NOT_SHOWN)
class RepeatsTheUrlInTheCause(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Self:
        try:
            return super().from_url(url)
        except ConfigError as exc:
            raise exc from ValueError(url)


OPENS = "a_url_without_options_opens_and_serves"


@caught_by(OPENS)
class HasAnOptionWithoutADefault(Addressed):
    _size: Any = 1

    @classmethod
    def from_url(cls, url: str) -> Self:
        storage = super().from_url(url)
        options, _ = UrlOptions("shelf", {"size": Option(whole(1, 9))}).read(url.partition("?")[2], Faults())
        storage._size = options["size"]
        return storage

    async def open(self) -> None:
        range(self._size)


class HasUrlsWithoutAPassword:
    bad_urls = (("shelf://", "names no host"),)


@caught_by(NOT_SHOWN)
class TriesNoPassword(Addressed):
    hooks = (HasUrlsWithoutAPassword,)


@caught_by(MADE)
class LooksForTheFileAtOnce(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Self:
        os.listdir()
        return super().from_url(url)


@caught_by(REFUSED)
class ReadsAFileBeforeItRefuses(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Self:
        with open(os.devnull):
            return super().from_url(url)


@caught_by(MADE)
class NeedsAnEventLoop(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Self:
        asyncio.get_running_loop()
        return super().from_url(url)


@caught_by(MADE)
class MakesOneStorageForAll(Addressed):
    _made: ClassVar[dict[str, Any]] = {}

    @classmethod
    def from_url(cls, url: str) -> Self:
        made = super().from_url(url)
        return cls._made.setdefault(url, made)


@caught_by(MADE)
class MakesAnotherKindOfStorage(Addressed):
    @classmethod
    def from_url(cls, url: str) -> Any:
        return MemoryStorage()


ONLY_WHERE = "before_open_a_database_is_made_only_where_it_may_be"


@caught_by(ONLY_WHERE)
class MakesWhatIsMissingForWhoeverLooks(Addressed):
    async def open(self) -> None:
        pass


@caught_by(ONLY_WHERE)
class OpensForNobodyWhoLooks(Addressed):
    async def open(self) -> None:
        if not self.may_create:
            raise StorageUnavailable("there is nothing")


@caught_by(ONLY_WHERE)
class MakesItAndComplains(Addressed):
    is_there = False

    async def open(self) -> None:
        was_there, self.is_there = self.is_there, True
        if not (was_there or self.may_create):
            raise StorageUnavailable("there was nothing")


@caught_by("a_closed_storage_opens_again_in_another_event_loop")
class StaysInItsEventLoop(Addressed):
    _loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        self._loop = self._loop or asyncio.get_running_loop()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("attached to a different loop")
