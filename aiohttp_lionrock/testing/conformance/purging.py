"""Purging: expired records go, at most so many in one call, and no live one with them."""

import asyncio

from .case import LIFETIME, Case

__all__ = ["Purging"]


class Purging(Case):
    """Promises of purge."""

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

    async def test_a_purge_of_more_than_there_is_removes_all_at_once(self) -> None:
        for number in range(20):
            await self.stored(str(number))
        await self.stored("live", expires_at=int(self.clock()) + 2 * LIFETIME)
        self.clock.advance(LIFETIME)
        self.assertEqual(await self.storage.purge(10_000), 20, "within its limit purge removes all that has expired")
