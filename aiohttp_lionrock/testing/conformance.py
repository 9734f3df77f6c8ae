"""For people who write a storage backend, and for tests that must not wait: the conformance suite and a clock.

A backend's own tests subclass `StorageConformance`, or `SharedStorageConformance` where two processes can use
one database at once, and say how a storage is made. The suite needs neither pytest nor a plugin.
"""

# ruff: noqa: PT009, PT027 - the suite runs under plain unittest, so it asserts with unittest's methods

import asyncio
import unittest
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from ..errors import DuplicateRecord, StorageUnavailable
from ..storage.contract import Clock, JtiRecord, JtiStorage

__all__ = ["FakeClock", "SharedStorageConformance", "StorageConformance"]

LIFETIME = 60
MANY = 50

TEXTS = (
    "",
    "Zoë in 東京 🦁",
    "caf\u00e9",
    "cafe\u0301",
    "CAF\u00c9",
    "'; DROP TABLE x; --",
    '"double" `back` \\slash\\',
    "100%_of.$where.{}[]*?^",
    "$set",
    "a.b",
    "  spaces  ",
    "\t\r\n\x01\x7f",
    "\ufeffmark \uffff \U0010ffff",
    "0012",
    "null",
    "x" * 1024,
    "🦁" * 1024,
)
NEVER_STORED = ("", "\x00", "s\x00", "\ud800", "s\udfff", "x" * 100_000)


class FakeClock:
    """A clock that stands still until a test moves it. Call it for the time, in seconds."""

    def __init__(self, start: float = 4_000_000_000) -> None:
        self.now = float(start)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Moves the clock on by so many seconds."""
        self.now += seconds


class _Case(unittest.IsolatedAsyncioTestCase):
    """What the topics below share: a fake clock, an open storage on an empty database, and records to put in."""

    __test__ = False
    password = "Pa55word0fTheSuite"  # noqa: S105
    clock: FakeClock
    storage: JtiStorage

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__test__" not in vars(cls):
            cls.__test__ = cls.__module__ != __name__

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        # unittest does not read __test__; it would run these classes wherever they are imported.
        return super().run(result) if self.__test__ else result

    async def make_storage(self, clock: Clock) -> JtiStorage:
        """Gives an unopened storage with this clock, on an empty database that belongs to this test alone."""
        raise NotImplementedError("a conformance test must say how its storage is made")

    async def asyncSetUp(self) -> None:
        self.clock = FakeClock()
        self.storage = await self.make_storage(self.clock)
        self.addAsyncCleanup(self.storage.aclose)
        if not self._testMethodName.startswith("test_before_open_"):
            await self.storage.open()

    def record(self, sid: str = "sid", **fields: Any) -> JtiRecord:
        """A record of version 1 that begins now and lives for LIFETIME seconds, but for the fields given."""
        now = int(self.clock())
        return JtiRecord(sid, **{"version": 1, "expires_at": now + LIFETIME, "created_at": now, **fields})

    async def stored(self, sid: str = "sid", **fields: Any) -> JtiRecord:
        """A record that has been inserted."""
        record = self.record(sid, **fields)
        await self.storage.insert(record)
        return record

    async def expired(self, sid: str = "sid", **fields: Any) -> JtiRecord:
        """A record that has been inserted and has expired since, by the clock alone."""
        record = await self.stored(sid, **fields)
        self.clock.advance(record.expires_at - self.clock())
        return record

    async def stored_subject(self, subject: str, *sids: str) -> list[JtiRecord]:
        """Records of one subject, inserted in this order."""
        return [await self.stored(sid, subject=subject) for sid in sids]

    async def sids_of(self, subject: str) -> list[str]:
        return [record.sid for record in await self.storage.list_subject(subject)]

    async def purged(self, limit: int = 100) -> int:
        """How many records a loop of purges at the clock's now removes."""
        total = count = 0
        for _ in range(100):
            count = await self.storage.purge(limit)
            self.assertLessEqual(count, limit, "purge must keep to its limit")
            total += count
            if count == 0:
                break
        self.assertEqual(count, 0, "a loop of purges must come to an end")
        return total

    async def assert_works(self, sid: str = "round") -> None:
        """A full round of calls on a session of its own."""
        first = self.record(sid, subject=f"{sid}'s subject")
        await self.storage.ping()
        await self.storage.insert(first)
        self.assertTrue(await self.storage.replace(first, 1), "replace must work in a full round")
        second = replace(first, version=2)
        self.assertEqual(await self.storage.get(sid), second, "get must work in a full round")
        self.assertEqual(await self.storage.get_many([sid]), {sid: second}, "get_many must work in a full round")
        self.assertEqual(await self.sids_of(f"{sid}'s subject"), [sid], "list_subject must work in a full round")
        self.assertTrue(await self.storage.delete(sid), "delete must work in a full round")
        self.assertEqual(await self.storage.delete_subject(f"{sid}'s subject"), 0)
        await self.purged()

    def every_call(self, record: JtiRecord) -> dict[str, Callable[[], Awaitable[object]]]:
        """Each call of the contract by name, on this record."""
        storage, sid, subject = self.storage, record.sid, record.subject or ""
        return {
            "insert": lambda: storage.insert(record),
            "get": lambda: storage.get(sid),
            "get_many": lambda: storage.get_many([sid, "absent"]),
            "replace": lambda: storage.replace(record, record.version),
            "list_subject": lambda: storage.list_subject(subject),
            "delete": lambda: storage.delete(sid),
            "delete_subject": lambda: storage.delete_subject(subject),
            "purge": lambda: storage.purge(10),
            "ping": lambda: storage.ping(),
        }


async def _outcomes(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """What each of these concurrent calls returned or raised."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def _moments(call: Awaitable[object]) -> list[int]:
    """When to cancel calls like this one: turns of the event loop, spread over the time that it takes."""
    task = asyncio.ensure_future(call)
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    task.result()
    return sorted({0, 1, 2, *range(0, turns + 2, turns // 10 + 1)})


async def _cancelled(call: Awaitable[object], turns: int) -> object:
    """What came of a call that was cancelled after so many turns of the event loop."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    [outcome] = await _outcomes([task])
    return outcome


class _InsertAndGet(_Case):
    async def test_a_record_comes_back_with_every_field(self) -> None:
        record = await self.stored(
            access_jti="access",
            refresh_jti="refresh",
            previous_jti="previous",
            rotated_at=1_799_999_999,
            created_at=1_700_000_000,
            subject="user 7",
            metadata={"device": "phone", "place": "home"},
        )
        self.assertEqual(await self.storage.get("sid"), record, "every field must come back as it was inserted")

    async def test_fields_that_are_none_come_back_as_none(self) -> None:
        record = await self.stored()
        self.assertEqual(await self.storage.get("sid"), record, "None must stay None, and no metadata empty")

    async def test_empty_text_and_zero_do_not_become_none(self) -> None:
        record = await self.stored(
            access_jti="", refresh_jti="", previous_jti="", subject="", rotated_at=0, created_at=0, metadata={"": ""}
        )
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
        self.assertEqual(await self.storage.get("sid"), replace(record, version=largest))

    async def test_any_text_comes_back_unchanged_in_every_field(self) -> None:
        records = [
            await self.stored(str(number), access_jti=text, refresh_jti=text, previous_jti=text, subject=text)
            for number, text in enumerate(TEXTS)
        ]
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
            self.assertTrue(await self.storage.delete(sid), "delete must find exactly this sid")

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
        await self.expired(subject="old", access_jti="old", metadata={"old": "yes"})
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
        one, two, _ = [await self.stored(sid) for sid in ("one", "two", "not asked for")]
        self.clock.advance(1)
        found = await self.storage.get_many(["two", "absent", "one", "expired", "two"])
        self.assertEqual(found, {"one": one, "two": two}, "only live records, each once, by sid")

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


class _Replace(_Case):
    async def test_replace_stores_every_field_with_the_next_version(self) -> None:
        await self.stored(version=7, access_jti="a", refresh_jti="r", subject="old", metadata={"old": "1"})
        changed = self.record(
            version=1,
            expires_at=int(self.clock()) + 999,
            created_at=1_700_000_000,
            access_jti="access",
            refresh_jti="refresh",
            previous_jti="r",
            rotated_at=1_800_000_001,
            subject="new",
            metadata={"new": "2"},
        )
        self.assertIs(await self.storage.replace(changed, 7), True, "the right version must win")
        self.assertEqual(
            await self.storage.get("sid"), replace(changed, version=8), "every field, and the version expected + 1"
        )

    async def test_replace_can_clear_fields(self) -> None:
        await self.stored(
            access_jti="a", refresh_jti="r", previous_jti="p", rotated_at=5, subject="s", metadata={"m": "1"}
        )
        cleared = self.record()
        self.assertTrue(await self.storage.replace(cleared, 1))
        self.assertEqual(await self.storage.get("sid"), replace(cleared, version=2), "None must be stored as None")

    async def test_replace_touches_no_other_record(self) -> None:
        await self.stored()
        other = await self.stored("other", subject="u")
        self.assertTrue(await self.storage.replace(self.record(subject="u", access_jti="new"), 1))
        self.assertEqual(await self.storage.get("other"), other, "only the record with this sid may change")

    async def test_replace_with_a_wrong_version_changes_nothing(self) -> None:
        record = await self.stored(version=5, subject="old")
        for wrong in (0, 1, 4, 6):
            changed = self.record(version=5, subject="new")
            self.assertIs(await self.storage.replace(changed, wrong), False, "a wrong version must lose")
        self.assertEqual(await self.storage.get("sid"), record, "a lost replace must change nothing")
        self.assertEqual(await self.sids_of("new"), [], "a lost replace must not be listed")

    async def test_replace_compares_the_stored_version_and_not_the_records_own(self) -> None:
        await self.stored(version=3)
        self.assertFalse(await self.storage.replace(self.record(version=3), 2), "expected_version alone counts")
        self.assertTrue(await self.storage.replace(self.record(version=99), 3), "expected_version alone counts")

    async def test_a_version_wins_only_once(self) -> None:
        record = await self.stored()
        self.assertTrue(await self.storage.replace(replace(record, access_jti="first"), 1))
        self.assertFalse(await self.storage.replace(replace(record, access_jti="second"), 1), "version 1 is gone")
        self.assertTrue(await self.storage.replace(replace(record, access_jti="third"), 2), "version 2 is next")
        self.assertEqual(await self.storage.get("sid"), replace(record, access_jti="third", version=3))

    async def test_replace_of_an_absent_record_creates_nothing(self) -> None:
        for version in (0, 1):
            self.assertIs(await self.storage.replace(self.record(subject="u"), version), False, "nothing to replace")
        self.assertIsNone(await self.storage.get("sid"), "replace must never create")
        self.assertEqual(await self.sids_of("u"), [], "replace must never create")

    async def test_replace_after_delete_creates_nothing(self) -> None:
        record = await self.stored(subject="u")
        await self.storage.delete("sid")
        self.assertIs(await self.storage.replace(record, 1), False, "what was deleted stays deleted")
        self.assertIsNone(await self.storage.get("sid"), "what was deleted stays deleted")
        self.assertEqual(await self.sids_of("u"), [], "what was deleted stays deleted")

    async def test_replace_after_delete_subject_creates_nothing(self) -> None:
        record = await self.stored(subject="u")
        await self.storage.delete_subject("u")
        self.assertIs(await self.storage.replace(record, 1), False, "what was deleted stays deleted")
        self.assertIsNone(await self.storage.get("sid"), "what was deleted stays deleted")

    async def test_replace_of_an_expired_record_revives_nothing(self) -> None:
        await self.expired()
        self.assertIs(await self.storage.replace(self.record(), 1), False, "an expired record is absent")
        self.assertIsNone(await self.storage.get("sid"), "an expired record must not come back to life")

    async def test_replace_moves_the_expiry(self) -> None:
        longer, shorter = await self.stored("longer"), await self.stored("shorter")
        now = int(self.clock())
        await self.storage.replace(replace(longer, expires_at=now + 2 * LIFETIME), 1)
        await self.storage.replace(replace(shorter, expires_at=now + 1), 1)
        self.clock.advance(1)
        self.assertIsNone(await self.storage.get("shorter"), "an earlier expiry must hold")
        self.clock.advance(LIFETIME)
        self.assertIsNotNone(await self.storage.get("longer"), "a later expiry must hold")
        self.assertEqual(await self.purged(), 1, "purge must go by the expiry stored last")
        self.assertIsNotNone(await self.storage.get("longer"), "purge must go by the expiry stored last")


class _Races(_Case):
    async def test_of_many_concurrent_replaces_one_wins(self) -> None:
        record = await self.stored()
        contenders = [replace(record, access_jti=f"jti {n}") for n in range(MANY)]
        wins = await asyncio.gather(*(self.storage.replace(contender, 1) for contender in contenders))
        self.assertEqual(wins.count(True), 1, "exactly one caller may win a version")
        winner = contenders[wins.index(True)]
        self.assertEqual(await self.storage.get("sid"), replace(winner, version=2), "the winner's fields are stored")

    async def test_concurrent_counters_lose_no_update(self) -> None:
        await self.stored(metadata={"count": "0"})

        async def add_one() -> None:
            for _ in range(100):
                record = await self.storage.get("sid")
                assert record is not None
                more = {"count": str(int(record.metadata["count"]) + 1)}
                if await self.storage.replace(replace(record, metadata=more), record.version):
                    return
            self.fail("with 10 callers, one must win within 100 attempts")

        await asyncio.gather(*(add_one() for _ in range(10)))
        self.assertEqual(
            await self.storage.get("sid"), self.record(version=11, metadata={"count": "10"}), "no update may be lost"
        )

    async def test_of_many_concurrent_inserts_one_wins(self) -> None:
        contenders = [self.record(access_jti=f"jti {n}") for n in range(MANY)]
        outcomes = await _outcomes(self.storage.insert(contender) for contender in contenders)
        self.assert_one_inserted(outcomes)
        self.assertEqual(await self.storage.get("sid"), contenders[outcomes.index(None)], "the winner is stored")

    async def test_of_many_concurrent_inserts_over_an_expired_record_one_wins(self) -> None:
        await self.expired()
        contenders = [self.record(access_jti=f"jti {n}") for n in range(MANY)]
        outcomes = await _outcomes(self.storage.insert(contender) for contender in contenders)
        self.assert_one_inserted(outcomes)
        self.assertEqual(await self.storage.get("sid"), contenders[outcomes.index(None)], "the winner is stored")

    def assert_one_inserted(self, outcomes: list[Any]) -> None:
        self.assertEqual(outcomes.count(None), 1, "exactly one insert of a sid may succeed")
        for outcome in outcomes:
            if outcome is not None:
                self.assertIsInstance(outcome, DuplicateRecord, "every other one must raise DuplicateRecord")

    async def test_of_many_concurrent_deletes_one_is_true(self) -> None:
        await self.stored()
        outcomes = await asyncio.gather(*(self.storage.delete("sid") for _ in range(MANY)))
        self.assertEqual(len(outcomes) - outcomes.count(None), 1, "exactly one caller may have deleted the record")

    async def test_of_many_concurrent_delete_subjects_each_record_counts_once(self) -> None:
        await self.stored_subject("u", *"abcdefgh")
        counts = await asyncio.gather(*(self.storage.delete_subject("u") for _ in range(10)))
        self.assertEqual(sum(counts), 8, "each record may be counted by one caller alone")

    async def test_replaces_that_race_a_delete_never_bring_the_record_back(self) -> None:
        for number in range(5):
            record = await self.stored(f"sid {number}", subject="u")
            replaces = [self.storage.replace(record, version) for version in (1, 2, 3, 4)]
            await asyncio.gather(*replaces[:number], self.storage.delete(record.sid), *replaces[number:])
            self.assertIsNone(await self.storage.get(record.sid), "a deleted record must stay deleted")
        self.assertEqual(await self.sids_of("u"), [], "a deleted record must stay deleted")

    async def test_replaces_that_race_a_delete_subject_never_bring_a_record_back(self) -> None:
        records = await self.stored_subject("u", *"abcdefgh")
        replaces = [self.storage.replace(record, version) for version in (1, 2) for record in records]
        await asyncio.gather(*replaces[:8], self.storage.delete_subject("u"), *replaces[8:])
        self.assertEqual(await self.storage.get_many([*"abcdefgh"]), {}, "every session of the subject must have ended")
        self.assertEqual(await self.sids_of("u"), [])

    async def test_a_purge_that_races_inserts_over_expired_records_removes_none_of_the_new(self) -> None:
        for sid in "abcdefgh":
            await self.stored(sid)
        self.clock.advance(LIFETIME)
        inserts = [self.storage.insert(self.record(sid)) for sid in "abcdefgh"]
        await asyncio.gather(*inserts[:4], self.storage.purge(5), self.storage.purge(5), *inserts[4:])
        self.assertEqual(sorted(await self.storage.get_many([*"abcdefgh"])), [*"abcdefgh"], "live records must stay")


class _Expiry(_Case):
    async def test_a_record_is_live_until_the_second_it_expires(self) -> None:
        record = await self.stored(subject="u")
        self.clock.advance(LIFETIME - 0.5)
        self.assertEqual(await self.storage.get("sid"), record, "half a second before expires_at it is live")
        self.assertEqual(await self.storage.get_many(["sid"]), {"sid": record})
        self.assertEqual(await self.storage.list_subject("u"), [record])
        with self.assertRaises(DuplicateRecord, msg="half a second before expires_at it is live"):
            await self.storage.insert(record)
        self.assertTrue(await self.storage.replace(record, 1), "half a second before expires_at it is live")
        self.assertTrue(await self.storage.delete("sid"), "half a second before expires_at it is live")

    async def test_get_does_not_see_an_expired_record(self) -> None:
        await self.expired()
        self.assertIsNone(await self.storage.get("sid"), "at expires_at the record is gone, purged or not")

    async def test_get_many_does_not_see_an_expired_record(self) -> None:
        await self.expired()
        self.assertEqual(await self.storage.get_many(["sid"]), {}, "at expires_at the record is gone")

    async def test_list_subject_does_not_see_an_expired_record(self) -> None:
        await self.expired(subject="u")
        self.assertEqual(await self.sids_of("u"), [], "at expires_at the record is gone, purged or not")

    async def test_delete_of_an_expired_record_is_false(self) -> None:
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


class _Purge(_Case):
    async def test_purge_removes_the_expired_and_counts_them(self) -> None:
        for sid in "abc":
            await self.stored(sid)
        self.clock.advance(LIFETIME)
        self.assertEqual(await self.storage.purge(10), 3, "purge returns how many it removed")
        self.assertEqual(await self.storage.purge(10), 0, "what was purged is gone")

    async def test_purge_never_removes_a_live_record(self) -> None:
        record = await self.stored(subject="u")
        self.clock.advance(LIFETIME - 0.5)
        self.assertEqual(await self.storage.purge(10), 0, "a live record must not be purged")
        self.assertEqual(await self.storage.get("sid"), record, "a live record must not be purged")
        self.assertEqual(await self.storage.list_subject("u"), [record])

    async def test_purge_leaves_the_live_among_the_expired(self) -> None:
        for number, sid in enumerate("abcdef"):
            await self.stored(sid, expires_at=int(self.clock()) + 1 + number % 2)
        self.clock.advance(1)
        self.assertEqual(await self.purged(), 3, "only the expired are purged")
        self.assertEqual(sorted(await self.storage.get_many([*"abcdef"])), ["b", "d", "f"], "the live must stay")

    async def test_purge_removes_at_most_its_limit_until_nothing_is_left(self) -> None:
        for sid in "abcdefg":
            await self.stored(sid)
        self.clock.advance(LIFETIME)
        self.assertEqual(await self.storage.purge(0), 0, "a limit of 0 removes nothing")
        self.assertEqual(await self.purged(limit=3), 7, "a loop of purges must remove every expired record")

    async def test_concurrent_purges_count_each_record_once(self) -> None:
        for number in range(20):
            await self.stored(str(number))
        self.clock.advance(LIFETIME)
        counts = await asyncio.gather(*(self.storage.purge(4) for _ in range(8)))
        self.assertEqual(sum(counts) + await self.purged(), 20, "each removed record counts once")

    async def test_a_purged_sid_can_be_inserted_again(self) -> None:
        await self.expired(subject="old")
        await self.purged()
        record = await self.stored(subject="new")
        self.assertEqual(await self.storage.get("sid"), record)
        self.assertEqual(await self.sids_of("old"), [])


class _Subjects(_Case):
    async def test_list_subject_is_newest_first_and_ties_by_sid(self) -> None:
        begun = {"m": 5, "b": 7, "old": 1, "a": 7, "new": 9, "c": 7, "Z": 7, "é": 7, "10": 7, "9": 7}
        for sid, created_at in begun.items():
            await self.stored(sid, subject="u", created_at=created_at)
        self.assertEqual(
            await self.sids_of("u"),
            ["new", "10", "9", "Z", "a", "b", "c", "é", "m", "old"],
            "newest created_at first, ties by sid in the order of code points",
        )

    async def test_list_subject_returns_whole_records(self) -> None:
        record = await self.stored(
            subject="u", access_jti="a", refresh_jti="r", previous_jti="p", rotated_at=3, metadata={"device": "phone"}
        )
        self.assertEqual(await self.storage.list_subject("u"), [record])

    async def test_list_subject_lists_that_subject_alone(self) -> None:
        names = ["u", "U", "u1", "u ", " u", "%", "_", "ü", "u\u0308", "1", "01", "null"]
        for name in names:
            await self.stored(f"sid of {name}", subject=name)
        await self.stored("no subject")
        for name in names:
            self.assertEqual(await self.sids_of(name), [f"sid of {name}"], "subjects are compared exactly")
        for unknown in ("nobody", "None", ""):
            self.assertEqual(await self.sids_of(unknown), [], "a record without a subject is listed nowhere")

    async def test_list_subject_follows_a_replace_to_another_subject(self) -> None:
        record = await self.stored(subject="old")
        await self.storage.replace(replace(record, subject="new"), 1)
        self.assertEqual(await self.sids_of("old"), [], "the old subject must not list it any more")
        self.assertEqual(await self.sids_of("new"), ["sid"], "the new subject must list it")
        await self.storage.replace(replace(record, subject=None), 2)
        self.assertEqual(await self.sids_of("new"), [], "without a subject it is listed nowhere")
        await self.storage.replace(replace(record, subject="old"), 3)
        self.assertEqual(await self.sids_of("old"), ["sid"], "it must be listed again")

    async def test_list_subject_still_lists_a_record_after_replace(self) -> None:
        record = await self.stored(subject="u")
        await self.storage.replace(record, 1)
        self.assertEqual(await self.storage.list_subject("u"), [replace(record, version=2)], "with its new version")

    async def test_list_subject_forgets_a_deleted_record(self) -> None:
        await self.stored_subject("u", "a", "b")
        await self.storage.delete("a")
        self.assertEqual(await self.sids_of("u"), ["b"])

    async def test_delete_subject_ends_every_session_and_counts_them(self) -> None:
        await self.stored_subject("u", "a", "b", "c")
        self.assertEqual(await self.storage.delete_subject("u"), 3, "it returns how many it ended")
        self.assertEqual(await self.storage.get_many([*"abc"]), {}, "every session of the subject must have ended")
        self.assertEqual(await self.storage.delete_subject("u"), 0, "a second call finds nothing")

    async def test_delete_subject_keeps_the_session_it_is_told_to(self) -> None:
        await self.stored_subject("u", "a", "b", "c")
        self.assertEqual(await self.storage.delete_subject("u", keep="b"), 2, "the kept session does not count")
        self.assertEqual(await self.sids_of("u"), ["b"], "the kept session must live on")
        self.assertIsNotNone(await self.storage.get("b"), "the kept session must live on")

    async def test_delete_subject_keeping_a_sid_that_is_not_its_own_ends_every_session(self) -> None:
        for number, keep in enumerate(["other", "absent", *NEVER_STORED]):
            subject = f"u {number}"
            await self.stored(f"sid {number}", subject=subject)
            if keep == "other":
                await self.stored("other", subject="v")
            self.assertEqual(await self.storage.delete_subject(subject, keep=keep), 1, "there is nothing to keep")
            self.assertEqual(await self.sids_of(subject), [], "there is nothing to keep")
        self.assertEqual(await self.sids_of("v"), ["other"], "another subject's session is not touched")

    async def test_delete_subject_touches_no_other_subject(self) -> None:
        names = ["U", "u1", "u ", "%", "_", "ü"]
        for name in ["u", *names]:
            await self.stored(f"sid of {name}", subject=name)
        await self.stored("no subject")
        self.assertEqual(await self.storage.delete_subject("u"), 1, "only that subject's sessions count")
        for name in names:
            self.assertEqual(await self.sids_of(name), [f"sid of {name}"], "other subjects must live on")
        self.assertIsNotNone(await self.storage.get("no subject"), "sessions without a subject must live on")

    async def test_delete_subject_goes_by_the_subject_stored_last(self) -> None:
        left, came = await self.stored("left", subject="u"), await self.stored("came", subject="v")
        await self.storage.replace(replace(left, subject="v"), 1)
        await self.storage.replace(replace(came, subject="u"), 1)
        self.assertEqual(await self.storage.delete_subject("u"), 1)
        self.assertIsNotNone(await self.storage.get("left"), "it belongs to another subject now")
        self.assertIsNone(await self.storage.get("came"), "it belongs to this subject now")


class _Delete(_Case):
    async def test_delete_is_true_for_a_live_record_and_then_false(self) -> None:
        await self.stored()
        self.assertIsNotNone(await self.storage.delete("sid"), "a live record was removed")
        self.assertIsNone(await self.storage.get("sid"), "a deleted record is gone")
        self.assertIsNone(await self.storage.delete("sid"), "there was nothing left to remove")

    async def test_delete_of_an_absent_record_is_false(self) -> None:
        self.assertIsNone(await self.storage.delete("absent"), "there was nothing to remove")

    async def test_delete_touches_no_other_record(self) -> None:
        await self.stored()
        other = await self.stored("sid 2")
        await self.storage.delete("sid")
        self.assertEqual(await self.storage.get("sid 2"), other)


class _Lifecycle(_Case):
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
        outcomes = dict(zip(calls, await _outcomes(calls.values()), strict=True))
        for name, outcome in outcomes.items():
            if isinstance(outcome, BaseException):
                wanted = (StorageUnavailable, DuplicateRecord) if name == "insert" else StorageUnavailable
                self.assertIsInstance(outcome, wanted, f"{name} while the storage is closed")
        await self.storage.open()
        await self.assert_works()

    async def test_ping_answers_where_the_storage_serves(self) -> None:
        await self.storage.ping()
        await asyncio.gather(*(self.storage.ping() for _ in range(10)))

    async def test_before_open_async_with_opens_and_closes(self) -> None:
        async with self.storage as entered:
            self.assertIs(entered, self.storage, "async with gives the storage itself")
            await self.assert_works()
        with self.assertRaisesRegex(KeyError, "mine", msg="async with must not swallow an error"):
            async with self.storage:
                raise KeyError("mine")

    async def test_a_cancelled_call_leaves_the_storage_usable(self) -> None:
        for name in self.every_call(self.record()):
            for number, turns in enumerate(await _moments(await self.prepared(name, name))):
                outcome = await _cancelled(await self.prepared(name, f"{name} {number}"), turns)
                if isinstance(outcome, BaseException):
                    self.assertIsInstance(outcome, asyncio.CancelledError, f"a cancelled {name} raised something else")
            await self.assert_works(f"after a cancelled {name}")

    async def prepared(self, name: str, sid: str) -> Awaitable[object]:
        """A call of this name on a record of its own, ready to be awaited."""
        record = self.record(sid, subject=name)
        if name != "insert":
            await self.storage.insert(record)
        return self.every_call(record)[name]()

    async def test_a_cancelled_replace_is_done_whole_or_not_at_all(self) -> None:
        for number, turns in enumerate(await _moments(await self.prepared("replace", "sid"))):
            before = await self.stored(f"sid {number}", subject="before", metadata={"n": "before"})
            after = replace(before, version=2, subject="after", metadata={"n": "after"})
            await _cancelled(self.storage.replace(after, 1), turns)
            found, listed = None, []
            # The call that was cancelled may still be on its way: read until nothing moves between two reads.
            while found != (found := await self.storage.get(before.sid)):
                listed = await self.storage.list_subject("before") + await self.storage.list_subject("after")
            self.assertIn(found, (before, after), "a cancelled replace leaves nothing half-done")
            of_this_sid = [record for record in listed if record.sid == before.sid]
            self.assertEqual(of_this_sid, [found], "a cancelled replace leaves nothing half-listed")

    async def test_a_cancelled_caller_does_not_hurt_the_others(self) -> None:
        records = [await self.stored(f"sid {n}") for n in range(20)]
        gets = [asyncio.ensure_future(self.storage.get(record.sid)) for record in records]
        replaces = [asyncio.ensure_future(self.storage.replace(record, 1)) for record in records]
        await asyncio.sleep(0)
        for task in gets[::2] + replaces[::2]:
            task.cancel()
        await _outcomes([*gets, *replaces])
        for number in range(1, 20, 2):
            found = gets[number].result()
            self.assertIsNotNone(found, "a caller that was not cancelled gets its answer")
            self.assertTrue(replaces[number].result(), "a caller that was not cancelled gets its answer")


class StorageConformance(_InsertAndGet, _Replace, _Races, _Expiry, _Purge, _Subjects, _Delete, _Lifecycle):
    """Every promise of the storage contract as a test of its own; a backend's tests subclass it.

    Give `make_storage`; it is called once for each test, and the suite opens and closes what it gives.
    """


class SharedStorageConformance(StorageConformance):
    """The suite for backends where several processes use one database: two storages on it keep the promises."""

    sibling: JtiStorage

    async def make_sibling(self, clock: Clock) -> JtiStorage:
        """Gives a second unopened storage on the database of `make_storage`, as another process would open it."""
        raise NotImplementedError("a shared conformance test must say how a second storage on one database is made")

    async def open_sibling(self) -> JtiStorage:
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
        self.assertTrue(await self.storage.delete("sid"))
        self.assertIsNone(await sibling.get("sid"), "a delete is seen at once")
        self.assertFalse(await sibling.delete("sid"), "a delete is seen at once")

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
        outcomes = await _outcomes(storages[n % 2].insert(contender) for n, contender in enumerate(contenders))
        self.assert_one_inserted(outcomes)
        for storage in storages:
            self.assertEqual(await storage.get("sid"), contenders[outcomes.index(None)], "the winner is stored")

    async def test_of_many_deletes_in_two_storages_one_is_true(self) -> None:
        storages = (self.storage, await self.open_sibling())
        await self.stored()
        outcomes = await asyncio.gather(*(storages[n % 2].delete("sid") for n in range(MANY)))
        self.assertEqual(len(outcomes) - outcomes.count(None), 1, "exactly one caller may have deleted the record")

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
