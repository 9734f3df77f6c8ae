"""Faults of opening, closing and cancelled calls."""

import asyncio
from dataclasses import replace
from typing import Any, Self

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord
from aiohttp_lionrock.storage.memory import MemoryStorage

from .catching import caught_by


@caught_by("records_outlive_close_and_open")
class ReopenLosesTheRecords(MemoryStorage):
    async def aclose(self) -> None:
        self._records.clear()


@caught_by("a_second_open_does_nothing")
class SecondOpenLosesTheRecords(MemoryStorage):
    async def open(self) -> None:
        self._records.clear()


@caught_by("a_second_aclose_does_nothing", "before_open_aclose_does_nothing")
class SecondCloseFails(MemoryStorage):
    _open = False

    async def open(self) -> None:
        self._open = True

    async def aclose(self) -> None:
        if not self._open:
            raise RuntimeError("not open")
        self._open = False


@caught_by(
    "before_open_a_call_works_or_raises_storage_unavailable", "after_aclose_a_call_works_or_raises_storage_unavailable"
)
class NotOpenIsAnAttributeError(SecondCloseFails):
    async def aclose(self) -> None:
        self._open = False

    async def ping(self) -> None:
        if not self._open:
            raise AttributeError("'NoneType' object has no attribute 'execute'")


@caught_by("a_call_in_flight_at_aclose_works_or_raises_storage_unavailable")
class CloseBreaksTheCallsInFlight(SecondCloseFails):
    async def aclose(self) -> None:
        self._open = False

    async def get(self, sid: str) -> JtiRecord | None:
        opened = self._open
        await asyncio.sleep(0)
        if opened and not self._open:
            raise ValueError("no active connection")
        return await super().get(sid)


@caught_by("ping_answers_where_the_storage_serves")
class PingNeverAnswersWell(MemoryStorage):
    async def ping(self) -> None:
        raise StorageUnavailable("no answer")


@caught_by("before_open_async_with_opens_and_closes")
class EnterGivesNothing(MemoryStorage):
    async def __aenter__(self) -> Self:
        return None  # type: ignore[return-value]


@caught_by("a_cancelled_replace_is_done_whole_or_not_at_all")
class CancelledReplaceIsHalfDone(MemoryStorage):
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        current = self._live(record.sid)
        if current is None or current.version != expected_version:
            return False
        self._records[record.sid] = replace(current, version=expected_version + 1)
        await asyncio.sleep(0)
        self._records[record.sid] = replace(record, version=expected_version + 1)
        return True


@caught_by("a_cancelled_call_leaves_the_storage_usable")
class CancelledCallKeepsTheLock(MemoryStorage):
    _busy = False

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        if self._busy:
            raise RuntimeError("cannot start a transaction within a transaction")
        self._busy = True
        await asyncio.sleep(0)
        self._busy = False
        return await super().list_subject(subject)


@caught_by("the_backend_is_written_for_the_contract_that_this_suite_tests")
class WrittenForAnotherContract(MemoryStorage):
    CONTRACT = 2


@caught_by("the_facts_are_texts_by_topic")
class FactsAreNumbers(MemoryStorage):
    async def facts(self) -> Any:
        return {"records": len(self._records)}


@caught_by("the_facts_are_texts_by_topic")
class FactsFail(MemoryStorage):
    async def facts(self) -> Any:
        raise TypeError("unsupported operand")
