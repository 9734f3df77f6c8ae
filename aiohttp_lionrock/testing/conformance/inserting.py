"""Inserting and getting: what goes in comes out, whole, and nothing else does."""

import asyncio

from ...errors import DuplicateRecord
from .case import EVERY_FIELD, MANY, NEVER_STORED, TEXTS, Case

__all__ = ["Inserting"]


class Inserting(Case):
    """Promises of insert, get and get_many."""

    async def test_a_record_comes_back_with_every_field(self) -> None:
        record = await self.stored(**EVERY_FIELD)
        self.assertEqual(await self.storage.get("sid"), record, "every field must come back as it was inserted")

    async def test_fields_that_are_none_come_back_as_none(self) -> None:
        record = await self.stored()
        self.assertEqual(await self.storage.get("sid"), record, "None must stay None, and no metadata empty")

    async def test_each_field_comes_back_when_it_is_the_only_one(self) -> None:
        for name, value in EVERY_FIELD.items():
            record = await self.stored(name, **{name: value})
            self.assertEqual(await self.storage.get(name), record, f"{name} must come back, and nothing beside it")

    async def test_empty_text_and_zero_do_not_become_none(self) -> None:
        texts = dict.fromkeys(("access_jti", "refresh_jti", "previous_jti", "subject", "successor"), "")
        record = await self.stored(**texts, rotated_at=0, created_at=0, metadata={"": ""})
        self.assertEqual(await self.storage.get("sid"), record, "an empty text and a zero are values")
        self.assertEqual(await self.storage.list_subject(""), [record], "the empty subject is a subject")

    async def test_the_largest_numbers_come_back_exactly(self) -> None:
        largest = 2**53 - 1
        record = await self.stored(
            version=largest - 1, expires_at=largest, created_at=largest - 2, rotated_at=largest - 3
        )
        self.assertEqual(await self.storage.get("sid"), record, "numbers up to 2**53 - 1 must keep every digit")
        self.assertTrue(await self.storage.replace(record, largest - 1), "large versions must compare exactly")
        self.assertFalse(await self.storage.replace(record, largest - 1), "neighbouring versions must differ")
        found = await self.storage.get("sid")
        self.assertEqual(found and found.version, largest, "the largest version must be stored exactly")

    async def test_any_text_comes_back_unchanged_in_every_field(self) -> None:
        names = ("access_jti", "refresh_jti", "previous_jti", "subject", "successor")
        records = [await self.stored(str(n), **dict.fromkeys(names, text)) for n, text in enumerate(TEXTS)]
        for record in records:
            self.assertEqual(await self.storage.get(record.sid), record, "text must come back unchanged")
            self.assertEqual(await self.storage.list_subject(record.subject or ""), [record], "and be found by subject")

    async def test_any_text_is_a_sid_of_its_own(self) -> None:
        texts = [text for text in TEXTS if text] + ["sid", "SID", "sid ", " sid", "s\u0131d", "%", "_", "s%", "s_d"]
        records = {text: await self.stored(text, metadata={"n": str(n)}) for n, text in enumerate(texts)}
        for sid, record in records.items():
            self.assertEqual(await self.storage.get(sid), record, "sids are compared exactly")
        self.assertEqual(await self.storage.get_many(texts), records, "get_many must find exactly these sids")
        for sid, record in records.items():
            self.assertTrue(await self.storage.replace(record, 1), "replace must find exactly this sid")
            removed = await self.storage.delete(sid)
            self.assertEqual(removed and removed.metadata, record.metadata, "delete must find exactly this sid")

    async def test_metadata_comes_back_unchanged_up_to_its_limit(self) -> None:
        for number, metadata in enumerate(
            (
                {"key": "x" * 1021},
                {"k" * 1023: "v"},
                {"🦁": "🦁" * 255},
                {chr(0x100 + n): "" for n in range(512)},
                {text: text for text in TEXTS if len(text) < 30},
                {"$set": "$a", "a.b.c": "a.b", "_id": "1", "b": "2", "a": "1"},
            )
        ):
            record = await self.stored(f"sid {number}", metadata=metadata)
            self.assertEqual(await self.storage.get(record.sid), record, "metadata must come back unchanged")

    async def test_the_largest_record_comes_back_unchanged(self) -> None:
        worst, keys = "\x01" * 1024, [f"{chr(one)}{chr(two)}" for one in range(1, 32) for two in range(1, 32)]
        record = await self.stored(
            "\x02" * 1024,
            **dict.fromkeys(("access_jti", "refresh_jti", "previous_jti", "subject", "successor"), worst),
            rotated_at=2**53 - 1,
            metadata=dict.fromkeys(keys[:512], ""),
        )
        self.assertEqual(await self.storage.get(record.sid), record, "a record whose text needs escapes must fit")

    async def test_an_absent_sid_is_none(self) -> None:
        await self.stored()
        self.assertIsNone(await self.storage.get("absent"), "an absent sid is None")

    async def test_a_second_insert_raises_duplicate_record_and_keeps_the_first(self) -> None:
        first = await self.stored(subject="first", metadata={"n": "1"})
        with self.assertRaises(DuplicateRecord, msg="a live sid must not be inserted twice"):
            await self.storage.insert(self.record(subject="second", metadata={"n": "2"}))
        self.assertEqual(await self.storage.get("sid"), first, "the first record must be kept whole")
        self.assertEqual(await self.sids_of("second"), [], "nothing of the refused record may be left")

    async def test_insert_takes_the_place_of_an_expired_record(self) -> None:
        await self.expired(**{**EVERY_FIELD, "subject": "old"})
        second = await self.stored(subject="new")
        self.assertEqual(await self.storage.get("sid"), second, "an expired record must not stand in the way")
        self.assertEqual(await self.sids_of("old"), [], "nothing of the expired record may be left")
        self.assertEqual(await self.sids_of("new"), ["sid"])

    async def test_a_deleted_sid_can_be_inserted_again(self) -> None:
        await self.stored(metadata={"n": "1"})
        await self.storage.delete("sid")
        second = await self.stored(metadata={"n": "2"})
        self.assertEqual(await self.storage.get("sid"), second)

    async def test_keys_that_are_never_stored_find_nothing(self) -> None:
        record = await self.stored("s")
        for key in NEVER_STORED:
            self.assertIsNone(await self.storage.get(key), "a key that cannot be stored is absent")
            self.assertEqual(await self.storage.get_many([key, "s"]), {"s": record}, "and hides no other key")
            self.assertIsNone(await self.storage.delete(key), "there is nothing to delete under it")
            self.assertEqual(await self.storage.list_subject(key), [], "it is no subject that has sessions")
            self.assertEqual(await self.storage.delete_subject(key), 0, "nor one to delete")
        self.assertEqual(await self.storage.get("s"), record, "nothing else may be touched")

    async def test_get_many_returns_exactly_the_live_records_asked_for(self) -> None:
        await self.stored("expired", expires_at=int(self.clock()) + 1)
        one, two = await self.stored("one", **EVERY_FIELD), await self.stored("two")
        await self.stored("not asked for")
        self.clock.advance(1)
        found = await self.storage.get_many(["two", "absent", "one", "expired", "two"])
        self.assertEqual(found, {"one": one, "two": two}, "only live records, whole, each once, by sid")

    async def test_get_many_of_nothing_is_empty(self) -> None:
        await self.stored()
        self.assertEqual(await self.storage.get_many([]), {})

    async def test_get_many_has_no_upper_limit(self) -> None:
        one, two = await self.stored("0"), await self.stored("2999")
        found = await self.storage.get_many([str(n) for n in range(3000)])
        self.assertEqual(found, {"0": one, "2999": two}, "get_many must take any number of sids")

    async def test_many_concurrent_gets_answer_each_caller_with_its_own(self) -> None:
        records = [self.record(f"sid {n}") for n in range(MANY)]
        await asyncio.gather(*(self.storage.insert(record) for record in records))
        found = await asyncio.gather(*(self.storage.get(f"sid {n % (MANY + 10)}") for n in range(4 * MANY)))
        wanted = [*records, *[None] * 10]
        self.assertEqual(found, [wanted[n % (MANY + 10)] for n in range(4 * MANY)], "each caller gets its own record")
