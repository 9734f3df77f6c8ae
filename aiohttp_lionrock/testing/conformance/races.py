"""Races: of many callers in one moment, one wins, and what was deleted stays deleted."""

import asyncio
from dataclasses import replace

from .case import EVERY_FIELD, LIFETIME, MANY, Case, outcomes

__all__ = ["Races"]


class Races(Case):
    """Promises of calls that run at the same time."""

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
        answers = await outcomes(map(self.storage.insert, contenders))
        self.assert_one_inserted(answers)
        self.assertEqual(await self.storage.get("sid"), contenders[answers.index(None)], "the winner is stored")

    async def test_of_many_concurrent_inserts_over_an_expired_record_one_wins(self) -> None:
        await self.expired()
        contenders = [self.record(access_jti=f"jti {n}") for n in range(MANY)]
        answers = await outcomes(map(self.storage.insert, contenders))
        self.assert_one_inserted(answers)
        self.assertEqual(await self.storage.get("sid"), contenders[answers.index(None)], "the winner is stored")

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

    async def test_of_many_concurrent_deletes_one_gets_the_record(self) -> None:
        record = await self.stored(**EVERY_FIELD)
        answers = await asyncio.gather(*(self.storage.delete("sid") for _ in range(MANY)))
        self.assertEqual([answer for answer in answers if answer is not None], [record], "one caller gets it, whole")

    async def test_a_delete_that_races_replaces_gets_the_record_that_the_last_winner_stored(self) -> None:
        for number in range(5):
            record = await self.stored(f"sid {number}")
            replaces = [self.storage.replace(replace(record, access_jti=f"jti {n}"), n) for n in (1, 2, 3, 4)]
            answers = await asyncio.gather(*replaces[:number], self.storage.delete(record.sid), *replaces[number:])
            removed, wins = answers.pop(number), answers.count(True)
            last = replace(record, version=1 + wins, access_jti=f"jti {wins}" if wins else None)
            self.assertEqual(removed, last, "delete must give the very record that it removed")

    async def test_every_insert_of_many_at_once_is_listed_when_the_last_is_acknowledged(self) -> None:
        sids = [f"sid {n:02}" for n in range(MANY)]
        await asyncio.gather(*(self.storage.insert(self.record(sid, subject="u")) for sid in sids))
        self.assertEqual(await self.sids_of("u"), sids, "list_subject sees every acknowledged insert")
