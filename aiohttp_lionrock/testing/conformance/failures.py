"""Failures: while the database is unreachable every call says StorageUnavailable, and afterwards all works again."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from ...errors import StorageUnavailable
from ...storage.contract import JtiRecord
from .case import Case, outcomes
from .hooks import needs

__all__ = ["Failures"]

READS = ("get", "get_many", "list_subject", "scan")
PATIENCE = 60  # seconds: far more than any storage waits for its database


class Failures(Case):
    """Promises while the database is away; there where a backend gives the hook `break_storage`."""

    async def answers(self, record: JtiRecord) -> dict[str, object]:
        """What each call of the contract returns or raises, all of them in one moment."""
        calls = self.every_call(record)
        waiting: list[Awaitable[object]] = [asyncio.wait_for(call(), PATIENCE) for call in calls.values()]
        return dict(zip(calls, await outcomes(waiting), strict=True))

    def assert_unavailable(self, name: str, answer: object) -> None:
        """A call answered with StorageUnavailable, and said which error of the driver led to it."""
        self.assertIsInstance(answer, StorageUnavailable, f"{name} on an unreachable database")
        assert isinstance(answer, StorageUnavailable)
        self.assertFalse(
            answer.__cause__ is None and answer.__context__ is not None,
            f"{name} must raise StorageUnavailable from the error that it met",
        )

    def assert_nothing_was_done(self, name: str, answer: object) -> None:
        """A call that only reads has done nothing, for certain."""
        if name in READS and isinstance(answer, StorageUnavailable):
            self.assertFalse(answer.maybe_done, f"{name} only reads: StorageUnavailable(..., maybe_done=False)")

    async def broken(self) -> None:
        """Breaks the database until the test is over; a server of several tests serves the next one again."""
        mend = await self.break_storage()
        if mend is not None:
            self.addAsyncCleanup(mend)

    @needs("break_storage")
    async def test_every_call_on_an_unreachable_database_raises_storage_unavailable(self) -> None:
        record = await self.stored(subject="u")
        await self.broken()
        for _ in range(2):  # a driver that has lost its connection fails in another way
            for name, answer in (await self.answers(record)).items():
                self.assert_unavailable(name, answer)
                self.assert_nothing_was_done(name, answer)

    @needs("break_storage")
    async def test_many_calls_at_once_on_an_unreachable_database_all_raise_storage_unavailable(self) -> None:
        records = [await self.stored(f"sid {n}") for n in range(10)]
        await self.broken()
        calls = [call for record in records for call in self.every_call(record).items()]
        waiting = [asyncio.wait_for(call(), PATIENCE) for _, call in calls]
        for (name, _), answer in zip(calls, await outcomes(waiting), strict=True):
            self.assert_unavailable(name, answer)

    @needs("break_storage")
    async def test_after_mending_the_same_storage_has_every_record_and_works(self) -> None:
        record = await self.stored(subject="u")
        mend = await self.break_storage()
        await self.answers(self.record("other", subject="v"))
        if mend is None:
            return
        await mend()
        self.assertEqual(await self.storage.get("sid"), record, "what was acknowledged outlives the outage")
        self.assertEqual(await self.storage.list_subject("u"), [record], "what was acknowledged outlives the outage")
        await self.assert_works()

    @needs("break_storage")
    async def test_what_certainly_was_not_done_is_not_there_after_mending(self) -> None:
        record, doomed = await self.stored("changed"), await self.stored("deleted")
        new = self.record("new")
        mend = await self.break_storage()
        insert, change, delete = await outcomes(
            [
                self.storage.insert(new),
                self.storage.replace(replace(record, access_jti="new"), 1),
                self.storage.delete("deleted"),
            ]
        )
        for name, answer in {"insert": insert, "replace": change, "delete": delete}.items():
            self.assert_unavailable(name, answer)
        if mend is None:
            return
        await mend()
        if not insert.maybe_done:
            self.assertIsNone(await self.storage.get("new"), "insert said that it certainly did nothing")
        if not change.maybe_done:
            self.assertEqual(await self.storage.get("changed"), record, "replace said that it certainly did nothing")
        if not delete.maybe_done:
            self.assertEqual(await self.storage.get("deleted"), doomed, "delete said that it certainly did nothing")

    @needs("break_storage")
    async def test_a_storage_closes_while_its_database_is_unreachable_and_opens_when_it_is_back(self) -> None:
        record = await self.stored()
        mend = await self.break_storage()
        await self.storage.aclose()
        await self.assert_opens_later()
        if mend is None:
            return
        await mend()
        await self.storage.open()
        self.assertEqual(await self.storage.get("sid"), record, "what was acknowledged outlives the outage")
        await self.assert_works()

    async def assert_opens_later(self) -> None:
        """open raises StorageUnavailable, or leaves that to the calls after it."""
        [answer] = await outcomes([asyncio.wait_for(self.storage.open(), PATIENCE)])
        if answer is not None:
            self.assert_unavailable("open", answer)
        [answer] = await outcomes([asyncio.wait_for(self.storage.get("sid"), PATIENCE)])
        self.assert_unavailable("get after open", answer)
