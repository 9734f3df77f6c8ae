"""Replacing: one compare-and-set, which stores every field and creates nothing."""

from dataclasses import replace
from typing import Any

from .case import EVERY_FIELD, LIFETIME, Case

__all__ = ["Replacing"]


class Replacing(Case):
    """Promises of replace."""

    async def test_replace_stores_every_field_with_the_next_version(self) -> None:
        before: dict[str, Any] = {
            "version": 7,
            "access_jti": "a",
            "refresh_jti": "r",
            "subject": "old",
            "successor": "other",
            "metadata": {"old": "1"},
        }
        await self.stored(**before)
        changed = self.record(expires_at=int(self.clock()) + 999, **EVERY_FIELD)
        self.assertIs(await self.storage.replace(changed, 7), True, "the right version must win")
        self.assertEqual(
            await self.storage.get("sid"), replace(changed, version=8), "every field, and the version expected + 1"
        )

    async def test_replace_can_clear_fields(self) -> None:
        await self.stored(**EVERY_FIELD)
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
