"""Scanning: every live record once, from page to page, or a refusal where the backend leaves scan as it is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import wraps
from typing import TypeVar

from ...errors import StorageError, StorageUnavailable
from ...storage.contract import JtiRecord
from .case import EVERY_FIELD, LIFETIME, TEXTS, Case

__all__ = ["Scanning"]

T = TypeVar("T", bound=Case)


def or_refused(test: Callable[[T], Awaitable[None]]) -> Callable[[T], Awaitable[None]]:
    """Where the backend does not override scan, its refusal is tested in the place of what it would find."""

    @wraps(test)
    async def either(case: T) -> None:
        if case.can_scan():
            await test(case)
        else:
            await case.stored()
            with case.assertRaises(StorageError, msg="a scan that is not there must say so") as caught:
                await case.storage.scan()
            case.assertNotIsInstance(caught.exception, StorageUnavailable, "waiting does not help here")

    return either


class Scanning(Case):
    """Promises of scan."""

    async def pages(self, limit: int) -> AsyncIterator[list[JtiRecord]]:
        """One page of a scan after the other, each within the limit."""
        cursor = None
        for _ in range(500):
            records, cursor = await self.storage.scan(cursor, limit)
            self.assertLessEqual(len(records), limit, "a page of a scan must keep to its limit")
            yield records
            if cursor is None:
                return
            self.assertIsInstance(cursor, str, "a cursor is text")
        self.fail("a scan must come to an end")

    async def scanned(self, limit: int) -> list[JtiRecord]:
        """All that a scan meets, in the order of the sids."""
        met = [record async for page in self.pages(limit) for record in page]
        return sorted(met, key=lambda record: record.sid)

    @or_refused
    async def test_a_scan_of_nothing_is_empty(self) -> None:
        self.assertEqual(await self.scanned(10), [])

    @or_refused
    async def test_a_scan_meets_every_record_whole_and_once_whatever_its_limit(self) -> None:
        records = [await self.stored(f"sid {n}", **EVERY_FIELD) for n in range(4)]
        records += [await self.stored(f"sid {n}", subject=f"u {n % 2}", created_at=n) for n in range(4, 10)]
        for limit in (1, 3, 5, 10, 11, 1000):
            self.assertEqual(await self.scanned(limit), records, "each record once, whole")

    @or_refused
    async def test_a_scan_goes_on_after_any_sid(self) -> None:
        sids = sorted({text for text in TEXTS if text} | {"SID", "sid", "sid ", "%", "_"})
        records = [await self.stored(sid) for sid in sids]
        for limit in (1, 4):
            self.assertEqual(await self.scanned(limit), records, "a cursor must lead on, whatever the sids are")

    @or_refused
    async def test_a_scan_leaves_out_the_expired(self) -> None:
        for number in range(10):
            await self.stored(f"sid {number}", expires_at=int(self.clock()) + 1 + number % 2)
        self.clock.advance(1)
        for limit in (1, 3, 100):
            met = [record.sid for record in await self.scanned(limit)]
            self.assertEqual(met, [f"sid {n}" for n in (1, 3, 5, 7, 9)], "only live records are met")

    @or_refused
    async def test_a_scan_leaves_out_what_expires_or_is_deleted_before_its_page(self) -> None:
        for number in range(12):
            await self.stored(f"sid {number:02}", expires_at=int(self.clock()) + (1 if number % 2 else LIFETIME))
        pages = self.pages(1)
        met = {record.sid for record in await anext(pages)}
        gone = {sid for sid in ("sid 02", "sid 04", "sid 06") if sid not in met}
        for sid in gone:
            await self.storage.delete(sid)
        self.clock.advance(1)
        rest = {record.sid async for page in pages for record in page}
        self.assertEqual(rest, {f"sid {n:02}" for n in range(0, 12, 2)} - gone - met, "only what is live is met")

    @or_refused
    async def test_a_scan_meets_each_record_once_while_others_come_go_and_change(self) -> None:
        kept = [await self.stored(f"kept {n:02}", subject="u", created_at=n) for n in range(20)]
        for number in range(20):
            await self.stored(f"going {number:02}")
        met: list[str] = []
        turn = 0
        async for page in self.pages(4):
            met += [record.sid for record in page]
            turn += 1
            if turn < 20:
                await self.storage.delete(f"going {turn:02}")
                for sid in (f"a {turn}", f"kept {turn:02} and more", f"z {turn}"):
                    await self.stored(sid)
                for record in (kept[turn], kept[-turn]):
                    await self.move(record, turn)
        sids = [record.sid for record in kept]
        self.assertEqual(sorted(set(sids) & set(met)), sids, "what lives throughout is met")
        self.assertEqual([sid for sid in sids if met.count(sid) > 1], [], "what lives throughout is met once")

    async def move(self, record: JtiRecord, turn: int) -> None:
        """Changes whatever a scan may be ordered by, but the sid."""
        moved = replace(record, expires_at=record.expires_at + 900 - turn, created_at=900 - turn, subject=f"v {turn}")
        current = await self.storage.get(record.sid)
        assert current is not None
        self.assertTrue(await self.storage.replace(moved, current.version))
