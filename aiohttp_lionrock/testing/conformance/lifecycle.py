"""Opening and closing: in any order, any number of times, without losing what was acknowledged."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from ...errors import DuplicateRecord, StorageUnavailable
from ...storage.contract import JtiStorage
from .case import Case, outcomes

__all__ = ["Lifecycle"]


class Lifecycle(Case):
    """Promises of open, aclose, ping and async with."""

    async def test_records_outlive_close_and_open(self) -> None:
        record = await self.stored(subject="u", metadata={"device": "phone"})
        await self.storage.replace(record, 1)
        await self.storage.aclose()
        await self.storage.open()
        self.assertEqual(await self.storage.get("sid"), replace(record, version=2), "an acknowledged write is durable")
        self.assertEqual(await self.sids_of("u"), ["sid"], "an acknowledged write is durable")
        self.assertFalse(await self.storage.replace(record, 1), "versions must be remembered")

    async def test_deletions_outlive_close_and_open(self) -> None:
        record = await self.stored()
        await self.storage.delete("sid")
        await self.storage.aclose()
        await self.storage.open()
        self.assertIsNone(await self.storage.get("sid"), "what was deleted stays deleted")
        self.assertFalse(await self.storage.replace(record, 1), "what was deleted stays deleted")

    async def test_a_second_open_does_nothing(self) -> None:
        record = await self.stored()
        await self.storage.open()
        await asyncio.gather(self.storage.open(), self.storage.open())
        self.assertEqual(await self.storage.get("sid"), record, "opening again must lose nothing")
        await self.assert_works()

    async def test_a_second_aclose_does_nothing(self) -> None:
        await self.storage.aclose()
        await self.storage.aclose()
        await asyncio.gather(self.storage.aclose(), self.storage.aclose())

    async def test_a_closed_storage_opens_again_more_than_once(self) -> None:
        for number in range(3):
            await self.storage.aclose()
            await self.storage.open()
            await self.assert_works(f"round {number}")

    async def test_before_open_aclose_does_nothing(self) -> None:
        await self.storage.aclose()
        await self.storage.open()
        await self.assert_works()

    async def test_before_open_concurrent_opens_are_one(self) -> None:
        await asyncio.gather(*(self.storage.open() for _ in range(5)))
        await self.assert_works()

    async def test_before_open_a_call_works_or_raises_storage_unavailable(self) -> None:
        await self.assert_calls_work_or_raise_storage_unavailable()

    async def test_after_aclose_a_call_works_or_raises_storage_unavailable(self) -> None:
        await self.storage.aclose()
        await self.assert_calls_work_or_raise_storage_unavailable()

    async def assert_calls_work_or_raise_storage_unavailable(self) -> None:
        for name, call in self.every_call(self.record(subject="u")).items():
            try:
                await call()
            except Exception as exc:
                self.assertIsInstance(exc, StorageUnavailable, f"{name} on a storage that is not open")
        await self.storage.open()
        await self.assert_works()

    async def test_a_call_in_flight_at_aclose_works_or_raises_storage_unavailable(self) -> None:
        record = await self.stored(subject="u")
        calls = {name: asyncio.ensure_future(call()) for name, call in self.every_call(record).items()}
        await asyncio.sleep(0)
        await self.storage.aclose()
        answers = dict(zip(calls, await outcomes(calls.values()), strict=True))
        for name, outcome in answers.items():
            if isinstance(outcome, BaseException):
                wanted = (StorageUnavailable, DuplicateRecord) if name == "insert" else StorageUnavailable
                self.assertIsInstance(outcome, wanted, f"{name} while the storage is closed")
        await self.storage.open()
        await self.assert_works()

    async def test_ping_answers_where_the_storage_serves(self) -> None:
        await self.storage.ping()
        await asyncio.gather(*(self.storage.ping() for _ in range(10)))

    async def test_the_facts_are_texts_by_topic(self) -> None:
        facts = await self.storage.facts()
        self.assertIsInstance(facts, Mapping, "facts is a mapping from topics to texts")
        texts = [*facts.keys(), *facts.values()]
        self.assertEqual([text for text in texts if not isinstance(text, str)], [], "topics and facts are texts")

    async def test_before_open_async_with_opens_and_closes(self) -> None:
        async with self.storage as entered:
            self.assertIs(entered, self.storage, "async with gives the storage itself")
            await self.assert_works()
        with self.assertRaisesRegex(KeyError, "mine", msg="async with must not swallow an error"):
            async with self.storage:
                raise KeyError("mine")

    async def test_the_backend_is_written_for_the_contract_that_this_suite_tests(self) -> None:
        self.assertEqual(
            type(self.storage).CONTRACT, JtiStorage.CONTRACT, "another version of the contract is another suite"
        )
