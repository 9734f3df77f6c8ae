"""Subjects: whose sessions there are, and ending them together."""

import asyncio
from dataclasses import replace

from .case import EVERY_FIELD, MANY, NEVER_STORED, Case

__all__ = ["Subjects"]

SESSIONS = 1200  # more than the pages of drivers


class Subjects(Case):
    """Promises of list_subject and delete_subject."""

    async def test_list_subject_is_newest_first_and_ties_by_sid(self) -> None:
        begun = {"m": 5, "b": 7, "old": 1, "a": 7, "new": 9, "c": 7, "Z": 7, "é": 7, "10": 7, "9": 7}
        for sid, created_at in begun.items():
            await self.stored(sid, subject="u", created_at=created_at)
        self.assertEqual(
            await self.sids_of("u"),
            ["new", "10", "9", "Z", "a", "b", "c", "é", "m", "old"],
            "newest created_at first, ties by sid in the order of code points",
        )

    async def test_list_subject_leaves_out_none_however_many_there_are(self) -> None:
        sids = [f"sid {n:04}" for n in range(SESSIONS)]
        for first in range(0, SESSIONS, MANY):
            await asyncio.gather(*(self.stored(sid, subject="u") for sid in sids[first : first + MANY]))
        self.assertEqual(await self.sids_of("u"), sids, f"all of {SESSIONS} sessions of one user are listed")

    async def test_list_subject_returns_whole_records(self) -> None:
        record = await self.stored(**EVERY_FIELD)
        self.assertEqual(await self.storage.list_subject("user 7"), [record])

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
