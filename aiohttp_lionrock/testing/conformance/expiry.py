"""Expiry: a record is live until the second it expires, by the storage's own clock."""

from dataclasses import replace

from ...errors import DuplicateRecord
from ..clock import FakeClock
from .case import LIFETIME, Case

__all__ = ["Expiry"]


class Expiry(Case):
    """Promises about records that have expired."""

    async def test_a_record_is_live_until_the_second_it_expires(self) -> None:
        record = await self.stored(subject="u")
        self.clock.advance(LIFETIME - 0.5)
        self.assertEqual(await self.storage.get("sid"), record, "half a second before expires_at it is live")
        self.assertEqual(await self.storage.get_many(["sid"]), {"sid": record})
        self.assertEqual(await self.storage.list_subject("u"), [record])
        with self.assertRaises(DuplicateRecord, msg="half a second before expires_at it is live"):
            await self.storage.insert(record)
        self.assertTrue(await self.storage.replace(record, 1), "half a second before expires_at it is live")
        removed = await self.storage.delete("sid")
        self.assertEqual(removed, replace(record, version=2), "half a second before expires_at it is live")

    async def test_get_does_not_see_an_expired_record(self) -> None:
        await self.expired()
        self.assertIsNone(await self.storage.get("sid"), "at expires_at the record is gone, purged or not")

    async def test_get_many_does_not_see_an_expired_record(self) -> None:
        await self.expired()
        self.assertEqual(await self.storage.get_many(["sid"]), {}, "at expires_at the record is gone")

    async def test_list_subject_does_not_see_an_expired_record(self) -> None:
        await self.expired(subject="u")
        self.assertEqual(await self.sids_of("u"), [], "at expires_at the record is gone, purged or not")

    async def test_delete_of_an_expired_record_is_none(self) -> None:
        await self.expired()
        self.assertIsNone(await self.storage.delete("sid"), "at expires_at there is nothing left to delete")

    async def test_delete_subject_does_not_count_expired_records(self) -> None:
        await self.expired(subject="u")
        await self.stored("live", subject="u")
        self.assertEqual(await self.storage.delete_subject("u"), 1, "only live records count")

    async def test_replace_of_an_expired_record_is_false_at_that_very_second(self) -> None:
        record = await self.expired()
        later = replace(record, expires_at=record.expires_at + LIFETIME)
        self.assertIs(await self.storage.replace(later, 1), False, "at expires_at there is nothing left to replace")

    async def test_insert_succeeds_at_the_very_second_of_expiry(self) -> None:
        record = await self.expired()
        later = replace(record, expires_at=record.expires_at + LIFETIME)
        await self.storage.insert(later)
        self.assertEqual(await self.storage.get("sid"), later, "at expires_at the sid is free")

    async def test_another_clock_is_looked_at_from_the_next_call_on(self) -> None:
        record = await self.stored(subject="u")
        self.storage.clock = FakeClock(record.expires_at)
        self.assertIsNone(await self.storage.get("sid"), "the clock is looked up at each call")
        self.assertEqual(await self.sids_of("u"), [], "the clock is looked up at each call")
        self.storage.clock = self.clock
        self.assertEqual(await self.storage.get("sid"), record, "the clock is looked up at each call")
