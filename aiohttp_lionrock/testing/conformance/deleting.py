"""Deleting: a session ends, and its record is given to the one caller who ended it."""

from dataclasses import replace

from .case import EVERY_FIELD, Case

__all__ = ["Deleting"]


class Deleting(Case):
    """Promises of delete."""

    async def test_delete_gives_the_whole_record_that_it_removed_and_then_none(self) -> None:
        record = await self.stored(**EVERY_FIELD)
        self.assertEqual(await self.storage.delete("sid"), record, "delete gives what it removed, with every field")
        self.assertIsNone(await self.storage.get("sid"), "a deleted record is gone")
        self.assertEqual(await self.sids_of("user 7"), [], "a deleted record is gone")
        self.assertIsNone(await self.storage.delete("sid"), "there was nothing left to remove")

    async def test_delete_gives_the_record_as_it_was_stored_last(self) -> None:
        changed = replace(await self.stored(), **EVERY_FIELD)
        await self.storage.replace(changed, 1)
        self.assertEqual(await self.storage.delete("sid"), replace(changed, version=2), "the last version was removed")

    async def test_delete_of_an_absent_record_is_none(self) -> None:
        await self.stored()
        self.assertIsNone(await self.storage.delete("absent"), "there was nothing to remove")

    async def test_delete_touches_no_other_record(self) -> None:
        await self.stored()
        other = await self.stored("sid 2")
        await self.storage.delete("sid")
        self.assertEqual(await self.storage.get("sid 2"), other)
