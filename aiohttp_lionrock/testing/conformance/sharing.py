"""Sharing: two storages on one database, as two processes would have them."""

import asyncio
from dataclasses import replace

from ...errors import DuplicateRecord
from ...storage.contract import Clock, JtiStorage
from .case import EVERY_FIELD, LIFETIME, MANY, Case, outcomes
from .hooks import needs
from .scanning import or_refused

__all__ = ["Sharing"]


class Sharing(Case):
    """Promises where several processes use one database."""

    sibling: JtiStorage

    async def make_sibling(self, clock: Clock) -> JtiStorage:
        """Gives a second unopened storage on the database of `make_storage`, as another process would open it."""
        raise NotImplementedError("a shared conformance test must say how a second storage on one database is made")

    async def open_sibling(self) -> JtiStorage:
        """A second storage, open."""
        self.sibling = await self.make_sibling(self.clock)
        self.addAsyncCleanup(self.sibling.aclose)
        await self.sibling.open()
        return self.sibling

    async def test_before_open_two_storages_open_a_fresh_database_at_once(self) -> None:
        self.sibling = await self.make_sibling(self.clock)
        self.addAsyncCleanup(self.sibling.aclose)
        await asyncio.gather(self.storage.open(), self.sibling.open())
        record = await self.stored()
        self.assertEqual(await self.sibling.get("sid"), record, "both must serve the one database")
        await self.assert_works()

    @needs("bare_url")
    async def test_the_bare_url_leads_to_the_same_database(self) -> None:
        record = await self.stored()
        self.sibling = type(self.storage).from_url(self.bare_url())
        self.addAsyncCleanup(self.sibling.aclose)
        await self.sibling.open()
        self.assertEqual(await self.sibling.get("sid"), record, "what from_url makes of a URL is the database it names")

    async def test_the_other_storage_sees_an_insert_at_once(self) -> None:
        sibling = await self.open_sibling()
        self.assertIsNone(await sibling.get("sid"))
        record = await self.stored(subject="u")
        self.assertEqual(await sibling.get("sid"), record, "an insert is seen at once")
        self.assertEqual(await sibling.get_many(["sid"]), {"sid": record}, "an insert is seen at once")
        self.assertEqual(await sibling.list_subject("u"), [record], "an insert is seen at once")
        with self.assertRaises(DuplicateRecord, msg="an insert is seen at once"):
            await sibling.insert(record)

    async def test_the_other_storage_sees_a_replace_at_once(self) -> None:
        sibling = await self.open_sibling()
        record = await self.stored(subject="old")
        self.assertEqual(await sibling.get("sid"), record)
        changed = replace(record, version=2, subject="new")
        self.assertTrue(await self.storage.replace(changed, 1))
        self.assertEqual(await sibling.get("sid"), changed, "a replace is seen at once")
        self.assertEqual(await sibling.list_subject("old"), [], "a replace is seen at once")
        self.assertEqual(await sibling.list_subject("new"), [changed], "a replace is seen at once")
        self.assertFalse(await sibling.replace(record, 1), "the version has been won by the other storage")

    async def test_the_other_storage_sees_a_delete_at_once(self) -> None:
        sibling = await self.open_sibling()
        record = await self.stored()
        self.assertEqual(await sibling.get("sid"), record)
        self.assertEqual(await self.storage.delete("sid"), record)
        self.assertIsNone(await sibling.get("sid"), "a delete is seen at once")
        self.assertIsNone(await sibling.delete("sid"), "a delete is seen at once")

    async def test_the_other_storage_sees_a_delete_subject_at_once(self) -> None:
        sibling = await self.open_sibling()
        await self.stored_subject("u", "a", "b", "c")
        self.assertEqual(sorted(await sibling.get_many([*"abc"])), ["a", "b", "c"])
        self.assertEqual(await self.storage.delete_subject("u", keep="b"), 2)
        self.assertEqual(sorted(await sibling.get_many([*"abc"])), ["b"], "a delete_subject is seen at once")

    async def test_a_record_deleted_in_one_storage_is_not_revived_by_the_other(self) -> None:
        sibling = await self.open_sibling()
        one, two = await self.stored("one"), await self.stored("two", subject="u")
        await self.storage.delete("one")
        await self.storage.delete_subject("u")
        for record in (one, two):
            self.assertIs(await sibling.replace(record, 1), False, "what was deleted stays deleted")
            self.assertIsNone(await self.storage.get(record.sid), "what was deleted stays deleted")

    async def test_of_many_replaces_in_two_storages_one_wins(self) -> None:
        storages = (self.storage, await self.open_sibling())
        record = await self.stored()
        contenders = [replace(record, access_jti=f"jti {n}") for n in range(MANY)]
        calls = (storages[n % 2].replace(contender, 1) for n, contender in enumerate(contenders))
        wins = await asyncio.gather(*calls)
        self.assertEqual(wins.count(True), 1, "exactly one caller may win a version")
        winner = replace(contenders[wins.index(True)], version=2)
        for storage in storages:
            self.assertEqual(await storage.get("sid"), winner, "the winner's fields are stored")

    async def test_of_many_inserts_in_two_storages_one_wins(self) -> None:
        storages = (self.storage, await self.open_sibling())
        contenders = [self.record(access_jti=f"jti {n}") for n in range(MANY)]
        answers = await outcomes(storages[n % 2].insert(contender) for n, contender in enumerate(contenders))
        self.assert_one_inserted(answers)
        for storage in storages:
            self.assertEqual(await storage.get("sid"), contenders[answers.index(None)], "the winner is stored")

    async def test_of_many_deletes_in_two_storages_one_gets_the_record(self) -> None:
        storages = (self.storage, await self.open_sibling())
        record = await self.stored(**EVERY_FIELD)
        answers = await asyncio.gather(*(storages[n % 2].delete("sid") for n in range(MANY)))
        self.assertEqual([answer for answer in answers if answer is not None], [record], "one caller gets it, whole")

    async def test_inserts_in_two_storages_are_listed_by_both_when_the_last_is_acknowledged(self) -> None:
        storages = (self.storage, await self.open_sibling())
        sids = [f"sid {n:02}" for n in range(MANY)]
        await asyncio.gather(*(storages[n % 2].insert(self.record(sid, subject="u")) for n, sid in enumerate(sids)))
        for storage in storages:
            listed = [record.sid for record in await storage.list_subject("u")]
            self.assertEqual(listed, sids, "list_subject sees every acknowledged insert, whichever storage made it")

    async def test_purges_in_two_storages_count_each_record_once(self) -> None:
        sibling = await self.open_sibling()
        for number in range(20):
            await self.stored(str(number))
        self.clock.advance(LIFETIME)
        calls = (storage.purge(4) for storage in (self.storage, sibling) for _ in range(3))
        self.assertEqual(sum(await asyncio.gather(*calls)) + await self.purged(), 20, "each record counts once")

    async def test_closing_one_storage_leaves_the_other_serving(self) -> None:
        sibling = await self.open_sibling()
        record = await self.stored()
        await sibling.aclose()
        self.assertEqual(await self.storage.get("sid"), record, "the other storage must serve on")
        await self.assert_works()

    @or_refused
    async def test_a_scan_meets_what_the_other_storage_inserted(self) -> None:
        sibling = await self.open_sibling()
        records = [await self.stored(sid) for sid in "abc"]
        found, cursor = await sibling.scan()
        while cursor is not None:
            page, cursor = await sibling.scan(cursor)
            found += page
        self.assertEqual(sorted(found, key=lambda record: record.sid), records)
