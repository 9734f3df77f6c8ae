"""What every file of the suite stands on: a clock, an open storage on an empty database, and records to put in."""

import asyncio
import unittest
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Any

from ...storage.contract import JtiRecord, JtiStorage
from ..clock import FakeClock
from .hooks import Hooks

__all__ = ["EVERY_FIELD", "LIFETIME", "MANY", "NEVER_STORED", "TEXTS", "Case", "outcomes"]

LIFETIME = 60
MANY = 50

EVERY_FIELD: dict[str, Any] = {
    "created_at": 1_700_000_000,
    "access_jti": "access",
    "refresh_jti": "refresh",
    "previous_jti": "previous",
    "rotated_at": 1_799_999_999,
    "subject": "user 7",
    "successor": "the next sid",
    "metadata": {"device": "phone", "place": "home"},
    "seen_at": 1_799_999_998,
    "signer": "a secret's name",
    "until": 1_900_000_000,
    "place": 3,
    "predecessor": "before",
}
"""Each field that a record may leave out, with a value of its own."""

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
    "".join(map(chr, Random(0).choices(range(0x10000, 0x20000), k=1024))),  # noqa: S311 - 4,096 bytes, incompressible
)
NEVER_STORED = ("", "\x00", "s\x00", "\ud800", "s\udfff", "x" * 100_000)


class Case(Hooks, unittest.IsolatedAsyncioTestCase):
    """The helpers of the tests; nothing of it is for a backend to override."""

    __test__: bool = False
    clock: FakeClock
    storage: JtiStorage

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__test__" not in vars(cls):
            cls.__test__ = not f"{cls.__module__}.".startswith(f"{__package__}.")

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        # unittest does not read __test__; it would run these classes wherever they are imported.
        return super().run(result) if self.__test__ else result

    async def asyncSetUp(self) -> None:
        self.clock = FakeClock()
        self.storage = await self.make_storage(self.clock)
        self.addAsyncCleanup(self.storage.aclose)
        if ".test_before_open_" not in self.id():
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
        """The sids that list_subject gives."""
        return [record.sid for record in await self.storage.list_subject(subject)]

    async def purged(self, limit: int = 100) -> int:
        """How many records a loop of purges removes."""
        total = count = 0
        for _ in range(100):
            count = await self.storage.purge(limit)
            self.assertLessEqual(count, limit, "purge must keep to its limit")
            total += count
            if count == 0:
                break
        self.assertEqual(count, 0, "a loop of purges must come to an end")
        return total

    def assert_one_inserted(self, outcomes: list[Any]) -> None:
        """One insert of a sid succeeded, and every other one raised DuplicateRecord."""
        self.assertEqual(outcomes.count(None), 1, "exactly one insert of a sid may succeed")
        kinds = {type(outcome).__name__ for outcome in outcomes if outcome is not None}
        self.assertEqual(kinds, {"DuplicateRecord"}, "every other one must raise DuplicateRecord")

    async def assert_works(self, sid: str = "round") -> None:
        """A full round of calls on a session of its own."""
        subject = f"{sid}'s subject"
        first = self.record(sid, subject=subject)
        await self.storage.ping()
        await self.storage.insert(first)
        self.assertTrue(await self.storage.replace(first, 1), "replace must work in a full round")
        second = replace(first, version=2)
        self.assertEqual(await self.storage.get(sid), second, "get must work in a full round")
        self.assertEqual(await self.storage.get_many([sid]), {sid: second}, "get_many must work in a full round")
        self.assertEqual(await self.sids_of(subject), [sid], "list_subject must work in a full round")
        self.assertEqual(await self.storage.delete(sid), second, "delete must work in a full round")
        self.assertEqual(await self.storage.delete_subject(subject), 0, "delete_subject must work in a full round")
        await self.purged()

    def can_scan(self) -> bool:
        """Whether the backend overrides scan."""
        return type(self.storage).scan is not JtiStorage.scan

    def every_call(self, record: JtiRecord) -> dict[str, Callable[[], Awaitable[object]]]:
        """Each call of the contract by name, on this record."""
        storage, sid, subject = self.storage, record.sid, record.subject or ""
        calls: dict[str, Callable[[], Awaitable[object]]] = {
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
        if self.can_scan():
            calls["scan"] = lambda: storage.scan()
        return calls


async def outcomes(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """What each of these concurrent calls returned or raised."""
    return await asyncio.gather(*calls, return_exceptions=True)
