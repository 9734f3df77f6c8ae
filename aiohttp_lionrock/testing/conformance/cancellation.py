"""Cancellation: a caller that gives up leaves nothing half-done, and harms nobody else."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from .case import Case, outcomes

__all__ = ["Cancellation"]


class Cancellation(Case):
    """Promises to callers that are cancelled, and to those beside them."""

    async def test_a_cancelled_call_leaves_the_storage_usable(self) -> None:
        for name in self.every_call(self.record()):
            for number, turns in enumerate(await moments(await self.prepared(name, name))):
                outcome = await cancelled(await self.prepared(name, f"{name} {number}"), turns)
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
        for number, turns in enumerate(await moments(await self.prepared("replace", "sid"))):
            before = await self.stored(f"sid {number}", subject="before", metadata={"n": "before"})
            after = replace(before, version=2, subject="after", metadata={"n": "after"})
            await cancelled(self.storage.replace(after, 1), turns)
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
        await outcomes([*gets, *replaces])
        for number in range(1, 20, 2):
            found = gets[number].result()
            self.assertIsNotNone(found, "a caller that was not cancelled gets its answer")
            self.assertTrue(replaces[number].result(), "a caller that was not cancelled gets its answer")


async def moments(call: Awaitable[object]) -> list[int]:
    """When to cancel calls like this one: turns of the event loop, spread over the time that it takes."""
    task = asyncio.ensure_future(call)
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    task.result()
    return sorted({0, 1, 2, *range(0, turns + 2, turns // 10 + 1)})


async def cancelled(call: Awaitable[object], turns: int) -> object:
    """What came of a call that was cancelled after so many turns of the event loop."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    [outcome] = await outcomes([task])
    return outcome
