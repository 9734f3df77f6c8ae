"""Changes of one record that meet: all are done, in few compare-and-sets, and nobody pays for another one's trouble."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import pytest
from support.storages import Call, Recorder

from aiohttp_lionrock import JtiRecord, MemoryStorage, StorageUnavailable
from aiohttp_lionrock.errors import CorruptRecord, TokenRevoked
from aiohttp_lionrock.sessions import turns
from aiohttp_lionrock.sessions.link import Deadline
from aiohttp_lionrock.sessions.turns import Change, Changed, Turns
from aiohttp_lionrock.testing import FakeClock

T = TypeVar("T")
SID = "the one that all change"
LATENCY = 0.01  # seconds of each storage call
DEADLINE = 2.0
MANY = 300


class Hold(NamedTuple):
    """Two events around a call: it has come, and it may go on."""

    came: asyncio.Event
    may_go: asyncio.Event


class Slow(Recorder):
    """Takes its time for each call. ``hold`` stops one call of a name, after ``skip`` others."""

    def __init__(self, latency: float = LATENCY) -> None:
        super().__init__(MemoryStorage(clock=FakeClock()))
        self.latency = latency
        self.failure: Exception | None = None
        self._held: dict[str, list[Hold | None]] = {}

    def hold(self, name: str, skip: int = 0) -> "Hold":
        hold = Hold(asyncio.Event(), asyncio.Event())
        self._held[name] = [None] * skip + [hold]
        return hold

    async def around(self, name: str, call: Call[T]) -> T:
        self.calls.append(name)
        hold = self._held[name].pop(0) if self._held.get(name) else None
        if hold is not None:
            hold.came.set()
            await hold.may_go.wait()
        await asyncio.sleep(self.latency)
        if self.failure is not None:
            raise self.failure
        return await call()


@pytest.fixture
async def storage() -> Slow:
    storage = Slow()
    await storage.inner.insert(JtiRecord(SID, 1, 5_000_000_000, 0, access_jti="honoured"))
    return storage


def turns_on(storage: Slow, seconds: float = DEADLINE) -> Turns:
    return Turns(storage, Deadline(seconds))


def label(name: str) -> Change[str]:
    """Puts a label on the record; the result names those that were there before."""

    async def change(record: JtiRecord | None) -> tuple[JtiRecord, str]:
        if record is None:
            raise TokenRevoked("gone")
        if record.successor is not None:
            raise TokenRevoked("superseded")
        return replace(record, metadata={**record.metadata, name: ""}), " ".join(record.metadata)

    return change


def refusing(fault: Exception) -> Change[str]:
    async def change(record: JtiRecord | None) -> tuple[JtiRecord, str]:
        raise fault

    return change


async def labels(storage: Slow) -> set[str]:
    record = await storage.inner.get(SID)
    assert record is not None
    return set(record.metadata)


def names(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def in_time(calls: Sequence[Awaitable[T]], seconds: float = DEADLINE) -> list[T | BaseException]:
    async with asyncio.timeout(seconds):
        return await asyncio.gather(*calls, return_exceptions=True)


async def behind_a_leader(
    storage: Slow, ours: Turns, *changes: Change[str]
) -> tuple[asyncio.Event, list[asyncio.Task[Changed[str]]]]:
    """Tasks that wait, in this order, behind a first one that is held in its read; the event lets it go."""
    came, may_go = storage.hold("get")
    tasks = [asyncio.create_task(ours.change(SID, None, label("leader")))]
    await came.wait()
    tasks += [asyncio.create_task(ours.change(SID, None, change)) for change in changes]
    await asyncio.sleep(0)
    return may_go, tasks


async def group_held_in(
    stage: str, storage: Slow, ours: Turns, *changes: Change[str]
) -> tuple[asyncio.Event, list[asyncio.Task[Changed[str]]]]:
    """The same, where the leader is done, and the storage call of those behind it is held."""
    leader_may_go, tasks = await behind_a_leader(storage, ours, *changes)
    hold = storage.hold(stage, skip=0 if stage == "get" else 1)
    leader_may_go.set()
    await hold.came.wait()
    return hold.may_go, tasks


async def test_three_hundred_at_once_are_all_done_in_few_compare_and_sets(storage: Slow) -> None:
    ours = turns_on(storage)
    done = await in_time([ours.change(SID, None, label(name)) for name in names(MANY)])
    assert [one for one in done if not isinstance(one, Changed)] == []
    assert await labels(storage) == set(names(MANY))
    assert storage.calls.count("replace") <= 3
    assert storage.calls.count("get") <= 3


async def test_each_sees_those_before_it_and_the_record_as_it_was_stored(storage: Slow) -> None:
    ours = turns_on(storage)
    done = await asyncio.gather(*(ours.change(SID, None, label(name)) for name in names(20)))
    assert [len(one.result.split()) for one in done] == list(range(20))
    final = await storage.inner.get(SID)
    assert done[-1].record == final
    assert all(one.record in storage.stored for one in done)


async def test_they_come_in_while_others_are_served_and_none_starves(storage: Slow) -> None:
    ours = turns_on(storage)

    async def visitor(name: str, after: float) -> float:
        await asyncio.sleep(after)
        began = asyncio.get_running_loop().time()
        await ours.change(SID, None, label(name))
        return asyncio.get_running_loop().time() - began

    waited = await asyncio.gather(*(visitor(name, 0.001 * number) for number, name in enumerate(names(150))))
    assert await labels(storage) == set(names(150))
    assert max(waited) < DEADLINE
    assert storage.calls.count("replace") < 50


async def test_whoever_is_alone_and_knows_the_record_needs_one_call(storage: Slow) -> None:
    known = await storage.inner.get(SID)
    changed = await turns_on(storage).change(SID, known, label("mine"))
    assert storage.calls == ["replace"]
    assert changed.record == await storage.inner.get(SID)


async def test_a_record_that_is_known_no_longer_is_read_again(storage: Slow) -> None:
    known = await storage.inner.get(SID)
    ours = turns_on(storage)
    await ours.change(SID, known, label("first"))
    await ours.change(SID, known, label("second"))
    assert await labels(storage) == {"first", "second"}


async def test_who_changes_nothing_still_looks_whether_the_record_lives(storage: Slow) -> None:
    known = await storage.inner.get(SID)
    await storage.inner.delete(SID)

    async def keep(record: JtiRecord | None) -> tuple[JtiRecord, None]:
        if record is None:
            raise TokenRevoked("gone")
        return record, None

    with pytest.raises(TokenRevoked):
        await turns_on(storage).change(SID, known, keep)
    assert "replace" not in storage.calls


async def test_two_processes_on_one_record_both_get_through(storage: Slow) -> None:
    here, there = turns_on(storage), turns_on(storage)
    calls = [
        ours.change(SID, None, label(name))
        for ours, prefix in ((here, "a"), (there, "b"))
        for name in names(60, prefix)
    ]
    done = await in_time(calls)
    assert [one for one in done if not isinstance(one, Changed)] == []
    assert await labels(storage) == {*names(60, "a"), *names(60, "b")}
    assert storage.calls.count("replace") < 40


async def test_a_process_that_meets_a_busy_one_is_not_starved(storage: Slow) -> None:
    here, there = turns_on(storage), turns_on(storage)
    stop = asyncio.Event()

    async def keep_busy() -> None:
        count = 0
        while not stop.is_set():
            await here.change(SID, None, label(f"b{count % 20}{count % 2}"))
            count += 1

    busy = asyncio.create_task(keep_busy())
    try:
        for name in names(5):
            async with asyncio.timeout(DEADLINE):
                await there.change(SID, None, label(name))
    finally:
        stop.set()
        await busy
    assert await labels(storage) >= set(names(5))


@pytest.mark.parametrize("stage", ["get", "replace"])
async def test_a_cancelled_leader_lets_the_others_go_on(storage: Slow, stage: str) -> None:
    ours = turns_on(storage)
    came, _ = storage.hold(stage)
    leader = asyncio.create_task(ours.change(SID, None, label("leader")))
    await came.wait()
    others = [asyncio.create_task(ours.change(SID, None, label(name))) for name in names(5)]
    await asyncio.sleep(0)
    leader.cancel()
    await in_time(others)
    assert leader.cancelled()
    assert await labels(storage) >= set(names(5))


async def test_one_that_is_cancelled_while_it_waits_hurts_nobody_and_is_not_done(storage: Slow) -> None:
    ours = turns_on(storage)
    may_go, tasks = await behind_a_leader(storage, ours, *map(label, names(5)))
    tasks[3].cancel()
    may_go.set()
    done = await in_time(tasks)
    assert [index for index, one in enumerate(done) if isinstance(one, asyncio.CancelledError)] == [3]
    assert await labels(storage) == {"leader", *names(5)} - {"2"}


@pytest.mark.parametrize("stage", ["get", "replace"])
async def test_one_that_is_cancelled_while_its_group_is_served_hurts_nobody(storage: Slow, stage: str) -> None:
    ours = turns_on(storage)
    may_go, tasks = await group_held_in(stage, storage, ours, *map(label, names(5)))
    tasks[3].cancel()
    await asyncio.sleep(0)
    may_go.set()
    done = await in_time(tasks)
    assert [index for index, one in enumerate(done) if isinstance(one, asyncio.CancelledError)] == [3]
    assert await labels(storage) >= {"leader", *names(5)} - {"2"}


async def test_nothing_is_applied_for_one_that_was_cancelled_before_its_turn(storage: Slow) -> None:
    ours = turns_on(storage)
    may_go, tasks = await group_held_in("get", storage, ours, *map(label, names(3)))
    tasks[2].cancel()
    await asyncio.sleep(0)
    may_go.set()
    await in_time(tasks)
    assert await labels(storage) == {"leader", "0", "2"}


async def test_nothing_is_applied_again_for_one_that_was_cancelled_when_its_group_lost_a_race(storage: Slow) -> None:
    ours = turns_on(storage)
    may_go, tasks = await group_held_in("replace", storage, ours, *map(label, names(3)))
    tasks[2].cancel()
    faster = await storage.inner.get(SID)
    assert faster is not None
    await storage.inner.replace(faster, faster.version)
    may_go.set()
    await in_time(tasks)
    assert await labels(storage) == {"leader", "0", "2"}


@pytest.mark.parametrize("fault", [TokenRevoked("not you"), RuntimeError("broken"), ValueError("not a label")])
async def test_a_change_that_raises_harms_only_itself(storage: Slow, fault: Exception) -> None:
    ours = turns_on(storage)
    may_go, tasks = await behind_a_leader(storage, ours, label("0"), refusing(fault), label("2"))
    may_go.set()
    done = await in_time(tasks)
    assert done[2] is fault
    assert await labels(storage) == {"leader", "0", "2"}


async def test_a_leader_that_raises_lets_the_others_go_on(storage: Slow) -> None:
    ours = turns_on(storage)
    came, may_go = storage.hold("get")
    leader = asyncio.create_task(ours.change(SID, None, refusing(TokenRevoked("not you"))))
    await came.wait()
    others = [asyncio.create_task(ours.change(SID, None, label(name))) for name in names(3)]
    may_go.set()
    await in_time(others)
    with pytest.raises(TokenRevoked, match="not you"):
        await leader
    assert await labels(storage) == set(names(3))


async def _delete(storage: Slow) -> None:
    await storage.inner.delete(SID)


async def _supersede(storage: Slow) -> None:
    record = await storage.inner.get(SID)
    assert record is not None
    await storage.inner.replace(replace(record, successor="the next"), record.version)


@pytest.mark.parametrize("meanwhile", [_delete, _supersede])
@pytest.mark.parametrize("stage", ["get", "replace"])
async def test_a_record_that_ends_meanwhile_stays_ended_for_the_leader_and_for_the_group(
    storage: Slow, stage: str, meanwhile: Callable[[Slow], Awaitable[None]]
) -> None:
    ours = turns_on(storage)
    came, may_go = storage.hold(stage)
    leader = asyncio.create_task(ours.change(SID, None, label("leader")))
    await came.wait()
    others = [asyncio.create_task(ours.change(SID, None, label(name))) for name in names(5)]
    await meanwhile(storage)
    may_go.set()
    done = await in_time([leader, *others])
    assert [type(one) for one in done] == [TokenRevoked] * 6
    found = await storage.inner.get(SID)
    assert found is None or (found.successor == "the next" and not found.metadata)


@pytest.mark.parametrize(
    "failure", [StorageUnavailable("away", maybe_done=False), StorageUnavailable("lost"), CorruptRecord("damaged")]
)
async def test_a_storage_that_fails_is_told_to_each_as_it_is(storage: Slow, failure: StorageUnavailable) -> None:
    ours = turns_on(storage)
    may_go, tasks = await behind_a_leader(storage, ours, *map(label, names(5)))
    storage.failure = failure
    may_go.set()
    done = await in_time(tasks)
    assert [type(one) for one in done] == [type(failure)] * 6
    assert {one.maybe_done for one in done if isinstance(one, StorageUnavailable)} == {failure.maybe_done}
    assert len({id(one) for one in done}) == 6  # each has its own, with its own traceback
    storage.failure = None
    await ours.change(SID, None, label("later"))
    assert "later" in await labels(storage)


async def test_a_storage_that_breaks_its_contract_keeps_nobody_waiting(storage: Slow) -> None:
    ours = turns_on(storage)
    may_go, tasks = await behind_a_leader(storage, ours, *map(label, names(3)))
    storage.failure = RuntimeError("a driver's own error")
    may_go.set()
    done = await in_time(tasks)
    assert [type(one) for one in done] == [RuntimeError] * 4


async def test_a_storage_that_hangs_costs_a_group_its_deadline_and_no_more(storage: Slow) -> None:
    ours = turns_on(storage, 0.05)
    may_go, tasks = await behind_a_leader(storage, ours, *map(label, names(3)))
    storage.hold("get")
    may_go.set()
    done = await in_time(tasks[1:], 1)
    assert [type(one) for one in done] == [StorageUnavailable] * 3
    assert [one.maybe_done for one in done if isinstance(one, StorageUnavailable)] == [True] * 3
    await ours.change(SID, None, label("later"))


async def test_a_rival_that_is_always_faster_ends_in_an_error_that_nothing_was_done(
    storage: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LONGEST_PAUSE", 0.0)
    storage.latency = 0

    class Beaten(Slow):
        async def replace(self, record: JtiRecord, expected_version: int) -> bool:
            return False

    beaten = Beaten(0)
    await beaten.inner.insert(JtiRecord(SID, 1, 5_000_000_000, 0))
    ours = turns_on(beaten)
    came, may_go = beaten.hold("get")
    tasks = [asyncio.create_task(ours.change(SID, None, label("leader")))]
    await came.wait()
    tasks.append(asyncio.create_task(ours.change(SID, None, label("other"))))
    may_go.set()
    for one in await in_time(tasks):
        assert isinstance(one, StorageUnavailable)
        assert not one.maybe_done


async def test_records_do_not_wait_for_each_other(storage: Slow) -> None:
    await storage.inner.insert(JtiRecord("another", 1, 5_000_000_000, 0))
    ours = turns_on(storage)
    may_go, tasks = await behind_a_leader(storage, ours, label("behind"))
    await ours.change("another", None, label("free"))
    assert not any(task.done() for task in tasks)
    may_go.set()
    await in_time(tasks)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_nothing_is_left_behind(storage: Slow, cancelled: bool) -> None:
    ours, before = turns_on(storage), asyncio.all_tasks()
    kept: list[weakref.ref[object]] = []

    def remembered(name: str) -> Change[str]:
        change = label(name)
        kept.append(weakref.ref(change))
        return change

    may_go, tasks = await behind_a_leader(storage, ours, *map(remembered, names(20)))
    for number in range(len(tasks) * cancelled):
        tasks[number].cancel()
    may_go.set()
    await asyncio.wait(tasks)
    while asyncio.all_tasks() - before:
        await asyncio.sleep(0)
    del tasks
    gc.collect()
    assert [ref for ref in kept if ref() is not None] == []
    storage.calls.clear()
    await ours.change(SID, await storage.inner.get(SID), label("alone again"))
    assert storage.calls == ["replace"]  # nobody was thought to be before it


@pytest.mark.parametrize("is_known_still", [True, False])
async def test_a_change_that_changes_nothing_is_worked_out_again_only_where_the_record_is_another_one(
    storage: Slow, is_known_still: bool
) -> None:
    known = await storage.inner.get(SID)
    assert known is not None
    if not is_known_still:
        await storage.inner.replace(replace(known, metadata={"new": ""}), known.version)
    seen: list[JtiRecord | None] = []

    async def keep(record: JtiRecord | None) -> tuple[JtiRecord, int]:
        assert record is not None
        seen.append(record)
        return record, record.version

    changed = await turns_on(storage).change(SID, known, keep)
    stored = await storage.inner.get(SID)
    assert stored is not None
    assert changed == Changed(stored, stored.version)
    assert [record.version for record in seen if record] == ([1] if is_known_still else [1, 2])
    assert storage.calls == ["get"]
