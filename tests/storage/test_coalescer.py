"""The Coalescer: concurrent calls become one batch, and nobody pays for another's trouble."""

import asyncio
import gc
from collections.abc import Mapping, Sequence

import pytest

from aiohttp_lionrock.errors import StorageUnavailable
from aiohttp_lionrock.storage import Coalescer

PATIENCE = 2  # seconds until a test calls a caller forgotten


class Batches:
    """A ``run`` that answers each key in capitals, remembers its batches, and can be held back."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.answers: dict[str, str | Exception] = {}
        self.failures: dict[str, BaseException] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, str | Exception]:
        self.seen.append(list(keys))
        await self.gate.wait()
        for key in self.failures.keys() & keys:
            raise self.failures[key]
        return {key: key.upper() for key in keys} | self.answers


async def settle() -> None:
    """Lets everything that is ready to run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def hold_a_batch(batches: Batches, coalescer: Coalescer[str, str], key: str) -> asyncio.Future[str]:
    """A call whose batch is running, and stays so until the gate opens."""
    batches.gate.clear()
    call = asyncio.ensure_future(coalescer(key))
    await settle()
    assert batches.seen[-1] == [key]
    return call


def worker_beside(*calls: asyncio.Future[str]) -> asyncio.Task[object]:
    """The one task that is neither the test nor one of these calls."""
    [worker] = asyncio.all_tasks() - {asyncio.current_task(), *calls}
    return worker


async def test_concurrent_calls_are_one_batch() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    assert await asyncio.gather(*map(coalescer, "abc")) == ["A", "B", "C"]
    assert batches.seen == [["a", "b", "c"]]


async def test_calls_that_follow_each_other_are_batches_of_their_own() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    assert [await coalescer(key) for key in "aab"] == ["A", "A", "B"]
    assert batches.seen == [["a"], ["a"], ["b"]]


async def test_nobody_waits_for_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    def call_at(*args: object, **kwargs: object) -> None:
        raise AssertionError("a timer was set")

    coalescer = Coalescer(Batches(), default="")
    monkeypatch.setattr(asyncio.get_running_loop(), "call_at", call_at)
    assert await coalescer("a") == "A"


async def test_while_one_batch_runs_the_next_one_gathers() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    first = await hold_a_batch(batches, coalescer, "a")
    others = []
    for key in "bcd":
        others.append(asyncio.ensure_future(coalescer(key)))
        await settle()
    assert batches.seen == [["a"]]
    batches.gate.set()
    assert await asyncio.gather(first, *others) == ["A", "B", "C", "D"]
    assert batches.seen == [["a"], ["b", "c", "d"]]


async def test_equal_keys_share_one_answer() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    assert await asyncio.gather(*map(coalescer, "abaa")) == ["A", "B", "A", "A"]
    assert batches.seen == [["a", "b"]]


async def test_a_key_that_comes_while_its_own_batch_runs_is_asked_again() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    first = await hold_a_batch(batches, coalescer, "a")
    second = asyncio.ensure_future(coalescer("a"))
    await settle()
    batches.gate.set()
    assert [await first, await second] == ["A", "A"]
    assert batches.seen == [["a"], ["a"]], "an answer may be older than the call that shares it"


async def test_a_key_that_run_leaves_out_gets_the_default() -> None:
    async def run(keys: Sequence[str]) -> Mapping[str, str | None]:
        return {"a": "A"}

    coalescer: Coalescer[str, str | None] = Coalescer(run, default=None)
    assert await asyncio.gather(*map(coalescer, "ab")) == ["A", None]


async def test_an_exception_as_a_value_is_raised_to_the_callers_of_that_key_alone() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    batches.answers["b"] = KeyError("b")
    outcomes = await asyncio.gather(*map(coalescer, "abcb"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [str, KeyError, str, KeyError]


async def test_each_caller_gets_a_failure_of_its_own_that_says_as_much_as_the_first() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    batches.failures["a"] = StorageUnavailable("down", maybe_done=False)
    batches.failures["a"].__cause__ = OSError("refused")
    one, two = await asyncio.gather(coalescer("a"), coalescer("a"), return_exceptions=True)
    assert isinstance(one, StorageUnavailable)
    assert isinstance(two, StorageUnavailable)
    assert one is not two
    assert [(str(exc), exc.maybe_done, exc.__cause__) for exc in (one, two)] == [
        ("down", False, batches.failures["a"].__cause__)
    ] * 2


async def test_a_failure_that_cannot_be_copied_reaches_every_caller() -> None:
    class Driver(Exception):
        def __init__(self, code: int, *, host: str) -> None:
            super().__init__(f"{code} at {host}")

    coalescer = Coalescer(batches := Batches(), default="")
    batches.failures["a"] = failure = Driver(7, host="db")
    outcomes = await asyncio.gather(coalescer("a"), coalescer("a"), return_exceptions=True)
    assert outcomes == [failure, failure]


async def test_a_run_that_raises_fails_its_own_batch_alone() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    first = await hold_a_batch(batches, coalescer, "a")
    second = asyncio.ensure_future(coalescer("b"))
    await settle()
    batches.failures["a"] = StorageUnavailable("down")
    batches.gate.set()
    with pytest.raises(StorageUnavailable, match="down"):
        await first
    assert await second == "B"
    batches.failures.clear()
    assert await coalescer("a") == "A"


async def test_a_run_that_raises_fails_every_caller_of_its_batch() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    batches.failures["b"] = StorageUnavailable("down")
    outcomes = await asyncio.gather(*map(coalescer, "aab"), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["down"] * 3


async def test_a_run_that_returns_no_mapping_leaves_nobody_waiting() -> None:
    async def run(keys: Sequence[str]) -> Mapping[str, str]:
        return None  # type: ignore[return-value]

    coalescer = Coalescer(run, default="")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises((StorageUnavailable, AttributeError, TypeError)):
            await coalescer("a")


async def test_a_caller_that_is_cancelled_before_its_batch_starts_does_not_hurt_the_others() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    held = await hold_a_batch(batches, coalescer, "a")
    calls = [asyncio.ensure_future(coalescer(key)) for key in "bbc"]
    await settle()
    calls[0].cancel()
    calls[2].cancel()
    batches.gate.set()
    outcomes = await asyncio.gather(held, *calls, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["A", "", "B", ""]


async def test_a_call_that_nobody_waits_for_any_more_is_not_run() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    running = await hold_a_batch(batches, coalescer, "a")
    left, shared, kept = (asyncio.ensure_future(coalescer(key)) for key in "bcc")
    await settle()
    left.cancel()
    shared.cancel()
    batches.gate.set()
    async with asyncio.timeout(PATIENCE):
        assert [await running, await kept] == ["A", "C"]
    assert batches.seen == [["a"], ["c"]]


async def test_a_caller_that_is_cancelled_does_not_cancel_the_running_batch() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    batches.gate.clear()
    calls = [asyncio.ensure_future(coalescer(key)) for key in "aab"]
    await settle()
    calls[0].cancel()
    await settle()
    batches.gate.set()
    assert await asyncio.gather(*calls[1:]) == ["A", "B"]
    assert calls[0].cancelled()
    assert batches.seen == [["a", "b"]], "the batch ran once, to its end"


async def test_when_every_caller_is_cancelled_the_batch_still_ends_and_later_calls_work() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    held = await hold_a_batch(batches, coalescer, "a")
    held.cancel()
    await settle()
    later = asyncio.ensure_future(coalescer("b"))
    await settle()
    assert batches.seen == [["a"]], "the batch without callers still runs"
    batches.gate.set()
    assert await later == "B"


async def test_more_keys_than_the_limit_are_several_batches_first_come_first_served() -> None:
    coalescer = Coalescer(batches := Batches(), default="", limit=2)
    assert await asyncio.gather(*map(coalescer, "abcde")) == [*"ABCDE"]
    assert batches.seen == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_worker_that_is_cancelled_fails_its_callers_and_later_calls_work() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    running = await hold_a_batch(batches, coalescer, "a")
    gathered = asyncio.ensure_future(coalescer("b"))
    await settle()
    worker_beside(running, gathered).cancel()
    async with asyncio.timeout(PATIENCE):
        for call in (running, gathered):
            with pytest.raises(StorageUnavailable):
                await call
    batches.gate.set()
    assert await coalescer("a") == "A"


async def test_a_worker_that_is_cancelled_before_it_starts_leaves_nobody_waiting() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    call = asyncio.ensure_future(coalescer("a"))
    assert batches.seen == []
    worker_beside(call).cancel()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(StorageUnavailable):
            await call
    assert await coalescer("b") == "B"


async def test_a_run_that_is_cancelled_from_within_cancels_nobody_and_leaves_nobody_waiting() -> None:
    coalescer = Coalescer(batches := Batches(), default="")
    running = await hold_a_batch(batches, coalescer, "a")
    gathered = asyncio.ensure_future(coalescer("b"))
    await settle()
    batches.failures["a"] = asyncio.CancelledError()
    batches.gate.set()
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(running, gathered, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
    batches.failures.clear()
    assert await coalescer("a") == "A"


def test_it_works_again_on_another_event_loop() -> None:
    coalescer = Coalescer(batches := Batches(), default="")

    async def call() -> list[str]:
        return await asyncio.gather(*map(coalescer, "ab"))

    assert asyncio.run(call()) == asyncio.run(call()) == ["A", "B"]
    assert batches.seen == [["a", "b"], ["a", "b"]]


def test_it_works_again_after_its_event_loop_was_shut_down_with_a_batch_in_flight() -> None:
    coalescer = Coalescer(batches := Batches(), default="")

    async def leave() -> None:
        await hold_a_batch(batches, coalescer, "a")
        gathering.append(asyncio.ensure_future(coalescer("b")))
        await settle()

    async def call() -> str:
        batches.gate = asyncio.Event()
        batches.gate.set()
        async with asyncio.timeout(PATIENCE):
            return await coalescer("c")

    gathering: list[asyncio.Future[str]] = []
    asyncio.run(leave())
    assert asyncio.run(call()) == "C"
    assert batches.seen == [["a"], ["c"]], "nobody is left who asked for b"


def test_it_works_again_after_its_event_loop_was_closed_with_a_batch_in_flight() -> None:
    coalescer = Coalescer(batches := Batches(), default="")

    async def leave() -> None:
        left.append(await hold_a_batch(batches, coalescer, "a"))
        left.append(asyncio.ensure_future(coalescer("b")))
        await settle()

    async def call() -> str:
        batches.gate = asyncio.Event()
        batches.gate.set()
        async with asyncio.timeout(PATIENCE):
            return await coalescer("c")

    left: list[asyncio.Future[str]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    assert asyncio.run(call()) == "C"
    assert batches.seen == [["a"], ["c"]], "nobody is left who asked for b"
    left.clear()
    gc.collect()
    assert asyncio.run(call()) == "C"
