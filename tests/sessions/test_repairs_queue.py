"""The queue of what is settled after answers: urgent first, bounded, patient with an outage, and one task at most."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest
from support.browser import Browser, make_manager
from support.storages import Call, Recorder, T

from aiohttp_lionrock import MemoryStorage, StorageUnavailable
from aiohttp_lionrock.errors import CorruptRecord, TokenRevoked
from aiohttp_lionrock.sessions import repairs
from aiohttp_lionrock.sessions.repairs import Repairs, Urgency
from aiohttp_lionrock.testing import FakeClock

HELD, LEEWAY, UNTOLD, SEEN = Urgency
PATIENCE = 2.0  # seconds
FIRST, LONGEST = 0.004, 0.03  # seconds of the pauses in these tests

Job = Callable[[], Awaitable[bool]]


async def at_once(job: Job) -> bool:
    return await job()


class Work:
    """Jobs by name, and the order in which they were tried."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.moments: list[float] = []
        self.fault: Exception | None = None
        self.answer = True

    def job(self, name: str) -> Job:
        async def run() -> bool:
            self.tried.append(name)
            self.moments.append(asyncio.get_running_loop().time())
            if self.fault is not None:
                raise self.fault
            return self.answer

        return run


class Blocker:
    """A job that does not end before it is let go."""

    def __init__(self) -> None:
        self.started, self.may_end = asyncio.Event(), asyncio.Event()
        self.ended = False

    async def __call__(self) -> bool:
        self.started.set()
        await self.may_end.wait()
        self.ended = True
        return True


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", FIRST)
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", LONGEST)


@pytest.fixture
async def queue() -> AsyncIterator[Repairs]:
    queue = Repairs(at_once)
    yield queue
    await queue.aclose()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not done():
            await asyncio.sleep(0)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def busy(queue: Repairs) -> Blocker:
    """The worker has something in hand that does not end."""
    blocker = Blocker()
    queue.add(HELD, "blocker", blocker)
    async with asyncio.timeout(PATIENCE):
        await blocker.started.wait()
    return blocker


def counts(caplog: pytest.LogCaptureFixture) -> list[int]:
    """The counts in the lines that say what was given up or left."""
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [int(found[1]) for line in lines if (found := re.match(r"(\d+) session records", line))]


@pytest.mark.parametrize("batch", [1, 2, 100])
async def test_the_most_urgent_comes_first_and_of_one_urgency_the_oldest(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(repairs, "BATCH", batch)
    blocker = await busy(queue)
    for number in range(3):
        for urgency in (SEEN, UNTOLD, LEEWAY, HELD):
            queue.add(urgency, f"{urgency.name}{number}", work.job(f"{urgency.name}{number}"))
            await asyncio.sleep(0.001)
    blocker.may_end.set()
    await until(lambda: len(work.tried) == 12)
    assert work.tried == [f"{urgency.name}{number}" for urgency in Urgency for number in range(3)]


async def test_a_key_waits_once_for_each_urgency_and_is_free_again_when_it_is_done(queue: Repairs, work: Work) -> None:
    blocker = await busy(queue)
    for _ in range(3):
        queue.add(HELD, "sid", work.job("held"))
        queue.add(UNTOLD, "sid", work.job("untold"))
    blocker.may_end.set()
    await until(lambda: len(work.tried) == 2)
    await turns()
    assert work.tried == ["held", "untold"]
    queue.add(HELD, "sid", work.job("held again"))
    await until(lambda: work.tried[-1] == "held again")


async def test_work_that_comes_while_its_key_is_being_settled_is_not_lost(queue: Repairs, work: Work) -> None:
    blocker = await busy(queue)
    queue.add(HELD, "blocker", work.job("the second"))
    blocker.may_end.set()
    await until(lambda: work.tried == ["the second"])


async def test_ten_thousand_wait_and_the_least_urgent_are_given_up_first(
    queue: Repairs, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    blocker = await busy(queue)
    for number in range(repairs.MOST):
        urgency = LEEWAY if number < 100 else UNTOLD if number < 9_800 else SEEN
        queue.add(urgency, str(number), work.job(urgency.name))
    for number in range(500):
        queue.add(HELD, f"held {number}", work.job("HELD"))
    for number in range(100):
        queue.add(UNTOLD, f"one too many {number}", work.job("too many"))
    blocker.may_end.set()
    await until(lambda: len(work.tried) == repairs.MOST)
    await queue.aclose()
    assert work.tried.count("HELD") == 500
    assert work.tried.count("LEEWAY") == 100
    assert work.tried.count("UNTOLD") == repairs.MOST - 600
    assert "SEEN" not in work.tried
    assert "too many" not in work.tried
    assert sum(counts(caplog)) == 600
    assert len(counts(caplog)) == 2  # at the first, and what was not told of by the end


async def test_when_only_what_is_held_waits_nothing_of_it_is_given_up(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(repairs, "MOST", 10)
    blocker = await busy(queue)
    for number in range(10):
        queue.add(HELD, str(number), work.job(str(number)))
    for urgency in Urgency:
        queue.add(urgency, "one too many", work.job("too many"))
    blocker.may_end.set()
    await until(lambda: len(work.tried) == 10)
    await queue.aclose()
    assert work.tried == [str(number) for number in range(10)]
    assert sum(counts(caplog)) == 4


async def test_one_line_a_minute_says_how_many_were_given_up(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(repairs, "MOST", 1)
    blocker = await busy(queue)
    for number in range(10):
        queue.add(LEEWAY, str(number), work.job("x"))
    assert counts(caplog) == [1]
    monkeypatch.setattr(repairs, "REPORT_EVERY", 0.0)
    queue.add(LEEWAY, "the last", work.job("x"))
    assert counts(caplog) == [1, 9]
    blocker.may_end.set()


async def test_an_outage_is_tried_less_and_less_often_and_not_by_all(queue: Repairs, work: Work) -> None:
    work.fault = StorageUnavailable("away")
    for number in range(1000):
        queue.add(UNTOLD, str(number), work.job(str(number)))
    await until(lambda: len(work.tried) == repairs.BATCH * 8)
    groups = [work.moments[at] for at in range(0, len(work.moments), repairs.BATCH)]
    gaps = [later - earlier for earlier, later in pairwise(groups)]
    for number, gap in enumerate(gaps, 1):
        assert gap >= min(FIRST * 2**number, LONGEST) / 2
    work.fault = None
    await until(lambda: len(set(work.tried)) == 1000)


async def test_the_pause_is_spread_so_that_servers_do_not_come_back_together(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    monkeypatch.setattr(repairs, "uniform", uniform)
    work.fault = StorageUnavailable("away")
    queue.add(HELD, "sid", work.job("sid"))
    await until(lambda: len(work.tried) == 4)
    assert set(asked) == {(0.5, 1)}


async def test_a_long_outage_is_given_up_in_the_end_and_said_so(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(repairs, "GIVE_UP_AFTER", LONGEST * 3)
    before = asyncio.all_tasks()
    work.fault = StorageUnavailable("away")
    queue.add(HELD, "sid", work.job("sid"))
    await until(lambda: asyncio.all_tasks() == before)
    assert counts(caplog) == [1]
    work.fault = None
    queue.add(HELD, "sid", work.job("the next"))
    await until(lambda: work.tried[-1] == "the next")


@pytest.mark.parametrize("old", Urgency)
@pytest.mark.parametrize("new", Urgency)
@pytest.mark.parametrize("fault", [None, CorruptRecord("one record is unreadable")])
async def test_new_work_does_not_wait_for_the_pause_of_an_old_one(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch, old: Urgency, new: Urgency, fault: Exception | None
) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", 60.0)
    stubborn = Work()
    stubborn.answer, stubborn.fault = False, fault
    queue.add(old, "old", stubborn.job("old"))
    await until(lambda: stubborn.tried == ["old"])
    await turns()
    queue.add(new, "new", work.job("new"))
    await until(lambda: work.tried == ["new"])
    assert stubborn.tried == ["old"]


async def test_what_is_asked_once_more_does_not_hold_up_the_rest_of_its_batch(queue: Repairs, work: Work) -> None:
    stubborn = Work()
    stubborn.answer = False
    queue.add(HELD, "stubborn", stubborn.job("stubborn"))
    for number in range(200):
        queue.add(LEEWAY, str(number), work.job(str(number)))
    await until(lambda: len(work.tried) == 200)


async def test_an_answer_that_settles_is_not_asked_for_again(
    queue: Repairs, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    work.fault = TokenRevoked("the session was ended")
    queue.add(HELD, "gone", work.job("gone"))
    await until(lambda: asyncio.all_tasks() == before)
    assert work.tried == ["gone"]
    assert caplog.records == []
    work.fault = ZeroDivisionError("a defect")
    queue.add(HELD, "broken", work.job("broken"))
    await until(lambda: asyncio.all_tasks() == before)
    assert work.tried == ["gone", "broken"]
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_the_end_tries_the_rest_once_and_says_what_is_left(
    queue: Repairs, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    queue.add(HELD, "a", work.job("a"))
    queue.add(UNTOLD, "b", work.job("b"))
    failing = Work()
    failing.fault = StorageUnavailable("away")
    queue.add(LEEWAY, "c", failing.job("c"))
    await queue.aclose()
    assert sorted(work.tried) == ["a", "b"]
    assert failing.tried == ["c"]
    assert counts(caplog) == [1]
    await queue.aclose()
    assert failing.tried == ["c"]


async def test_what_is_in_hand_at_the_end_is_tried_once_more(queue: Repairs, caplog: pytest.LogCaptureFixture) -> None:
    blocker = await busy(queue)
    closing = asyncio.create_task(queue.aclose())
    await turns()
    blocker.may_end.set()
    await closing
    assert blocker.ended
    assert counts(caplog) == []


async def test_the_end_in_the_middle_of_an_outage_does_not_wait_for_the_pause(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", 60.0)
    work.fault = StorageUnavailable("away")
    queue.add(HELD, "sid", work.job("sid"))
    await until(lambda: work.tried == ["sid"])
    async with asyncio.timeout(PATIENCE):
        await queue.aclose()
    assert work.tried == ["sid", "sid"]
    assert counts(caplog) == [1]


async def test_nothing_is_taken_after_the_end_until_it_is_opened_again(
    queue: Repairs, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    await queue.aclose()
    queue.add(HELD, "late", work.job("late"))
    await turns()
    assert work.tried == []
    assert asyncio.all_tasks() == before
    assert counts(caplog) == [1]
    queue.open()
    queue.add(HELD, "early", work.job("early"))
    await until(lambda: work.tried == ["early"])


def test_it_opens_again_in_another_event_loop() -> None:
    queue, work = Repairs(at_once), Work()

    async def a_life() -> None:
        queue.open()
        work.tried.clear()
        work.answer = False
        queue.add(HELD, "old", work.job("old"))
        await until(lambda: work.tried == ["old"])
        await asyncio.sleep(FIRST / 4)  # the worker waits for news
        work.answer = True
        queue.add(HELD, "new", work.job("new"))
        await until(lambda: sorted(work.tried) == ["new", "old", "old"])
        await queue.aclose()

    asyncio.run(a_life())
    asyncio.run(a_life())


class Refusing(Recorder):
    """Fails each insert, saying whether it may have been done."""

    def __init__(self, maybe_done: bool) -> None:
        super().__init__(MemoryStorage(clock=FakeClock()))
        self.maybe_done = maybe_done
        self.is_away = True

    async def around(self, name: str, call: Call[T]) -> T:
        self.calls.append(name)
        if self.is_away and name in ("insert", "delete"):
            raise StorageUnavailable("refused", maybe_done=self.maybe_done)
        return await call()


@pytest.mark.parametrize("maybe_done", [False, True])
async def test_ten_thousand_failed_logins_leave_one_task_at_most(
    maybe_done: bool, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Refusing(maybe_done)
    manager = make_manager(storage, storage.clock)
    await manager.open()
    before = asyncio.all_tasks()
    for _ in range(repairs.MOST):
        with pytest.raises(StorageUnavailable):
            await Browser(manager).visit(lambda session: session.update(sub="ann"))
    assert len(asyncio.all_tasks() - before) == (1 if maybe_done else 0)
    storage.is_away = False
    storage.calls.clear()
    await manager.aclose()
    assert storage.calls.count("delete") >= repairs.MOST * maybe_done
    assert ("delete" in storage.calls) == maybe_done
    assert asyncio.all_tasks() == before


async def test_what_waits_for_the_storage_is_tried_when_somebody_finds_that_it_answers(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", 60.0)
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(repairs, "SHORTEST_OUTAGE", FIRST)
    work.fault = StorageUnavailable("away")
    queue.wake()  # nothing waits yet
    queue.add(HELD, "one", work.job("one"))
    await until(lambda: work.tried == ["one"])
    await asyncio.sleep(2 * FIRST)
    assert work.tried == ["one"]
    queue.wake()
    await until(lambda: work.tried == ["one"] * 2)
    await asyncio.sleep(2 * FIRST)
    work.fault = None
    queue.wake()
    await until(lambda: work.tried == ["one"] * 3)
    await asyncio.sleep(2 * FIRST)
    queue.wake()
    await asyncio.sleep(2 * FIRST)
    assert work.tried == ["one"] * 3


async def test_one_job_that_cannot_be_done_waits_although_the_storage_answers_others(
    queue: Repairs, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", 60.0)
    failing = Work()
    failing.fault = StorageUnavailable("this one alone")
    queue.add(HELD, "failing", failing.job("failing"))
    queue.add(HELD, "good", work.job("good"))
    await until(lambda: bool(work.tried and failing.tried))
    queue.wake()
    await asyncio.sleep(5 * FIRST)
    assert failing.tried == ["failing"]
