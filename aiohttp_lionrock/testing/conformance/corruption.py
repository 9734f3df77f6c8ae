"""Corruption: something that is not a record is named, and hides no other record."""

from collections.abc import Awaitable
from typing import Any

from ...errors import CorruptRecord
from .case import Case, outcomes
from .hooks import needs

__all__ = ["Corruption"]


class Corruption(Case):
    """Promises about damaged records; there where a backend gives the hook `corrupt`."""

    @needs("corrupt")
    async def test_a_damaged_record_is_reported_with_its_sid(self) -> None:
        await self.stored("damaged", subject="u")
        await self.stored("sound", subject="u")
        await self.corrupt("damaged")
        calls: dict[str, Awaitable[Any]] = {
            "get": self.storage.get("damaged"),
            "get_many": self.storage.get_many(["sound", "damaged"]),
            "list_subject": self.storage.list_subject("u"),
        }
        if self.can_scan():
            calls["scan"] = self.storage.scan()
        for name, answer in zip(calls, await outcomes(calls.values()), strict=True):
            self.assertIsInstance(answer, CorruptRecord, f"{name} must not pass over a damaged record")
            self.assertIn("damaged", str(answer), f"the error of {name} must name the sid")
            self.assertEqual(answer.sid, "damaged", f"the error of {name} must be CorruptRecord(message, sid=sid)")

    @needs("corrupt")
    async def test_a_damaged_record_is_removed_by_delete_and_then_reported(self) -> None:
        await self.stored("damaged")
        await self.corrupt("damaged")
        with self.assertRaises(CorruptRecord, msg="what was removed cannot be given back"):
            await self.storage.delete("damaged")
        self.assertIsNone(await self.storage.get("damaged"), "a session must be ended although its record is damaged")

    @needs("corrupt")
    async def test_a_damaged_record_keeps_no_other_of_its_subject_alive(self) -> None:
        for sid in ("kept", "damaged", "sound"):
            await self.stored(sid, subject="u")
        await self.corrupt("damaged")
        [answer] = await outcomes([self.storage.delete_subject("u", "kept")])
        self.assertIsInstance(
            answer, int, f"delete_subject ends what can be read, and CorruptRecord must have the sid: {answer!r}"
        )
        self.assertIsNone(await self.storage.get("sound"), "a user is logged out although one record is damaged")
        self.assertIsNotNone(await self.storage.get("kept"), "the session to keep stays")

    @needs("corrupt")
    async def test_a_damaged_record_hides_no_other(self) -> None:
        sids = [f"sid {n}" for n in range(10)]
        records = {sid: await self.stored(sid, subject=sid) for sid in sids}
        await self.corrupt("sid 4")
        for sid, answer in zip(sids, await outcomes(map(self.storage.get, sids)), strict=True):
            if sid == "sid 4":
                self.assertIsInstance(answer, CorruptRecord, "the damaged record is reported to who asked for it")
            else:
                self.assertEqual(answer, records[sid], "the others are readable in the same moment")
        sound = [sid for sid in sids if sid != "sid 4"]
        self.assertEqual(sorted(await self.storage.get_many(sound)), sound, "the others are readable together")
        self.assertEqual(await self.storage.list_subject("sid 5"), [records["sid 5"]])
