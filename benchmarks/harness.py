"""Taking times on a machine that is never quiet: rounds of interleaved slices, and ratios within one round.

Within a round every case gets several short slices in turn, and its time is that of its best slice: what
disturbs the machine for a moment disturbs no ratio. The spread between rounds is what `Spread` reports.
"""

import inspect
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Case",
    "Fact",
    "Findings",
    "Spread",
    "Timings",
    "added",
    "calibrated",
    "measure",
    "per_call",
    "ratios",
    "settled",
]

Clock = Callable[[], float]
Timings = dict[str, list[float]]
"""Seconds per operation by case, one for each round."""


@dataclass(frozen=True, slots=True)
class Case:
    """``run(n)`` does n times ``unit`` operations; ``check()`` raises where one does no work. Both plain or async."""

    run: Callable[[int], Awaitable[None] | None]
    check: Callable[[], Awaitable[Any] | Any]
    unit: int = 1


@dataclass(frozen=True, slots=True)
class Spread:
    """What came out of several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that is stated and not judged."""

    group: str
    name: str
    value: float
    unit: str


@dataclass(slots=True)
class Findings:
    """What one group found: ratios by the names of `targets`, facts beside them, and what was not to be had."""

    ratios: dict[str, Spread] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def ratio(self, name: str, values: Sequence[float]) -> None:
        self.ratios[name] = Spread.of(values)

    def fact(self, group: str, name: str, value: float, unit: str) -> None:
        self.facts.append(Fact(group, name, value, unit))

    def micros(self, group: str, timings: Timings) -> None:
        """One fact for each case: the median of its rounds in microseconds."""
        for name, rounds in timings.items():
            self.fact(group, name, statistics.median(rounds) * 1e6, "us")

    def add(self, other: "Findings") -> None:
        self.ratios |= other.ratios
        self.facts += other.facts
        self.missing += [item for item in other.missing if item not in self.missing]


def per_call(function: Callable[[], object]) -> Callable[[int], None]:
    """The ``run`` of a case whose operation is one plain call."""

    def run(count: int) -> None:
        for _ in range(count):
            function()

    return run


async def measure(
    cases: Mapping[str, Case], rounds: int, *, slices: int = 10, seconds: float = 0.02, clock: Clock | None = None
) -> Timings:
    """Times all cases, interleaved; every case is checked in every round. ``seconds`` is about one slice's length.

    ``clock`` is ``time.perf_counter`` unless given. Where nothing waits and no other thread works,
    ``time.process_time`` does not count what other processes take.
    """
    clock = clock or time.perf_counter
    counts = {name: await calibrated(case, seconds, clock) for name, case in cases.items()}
    timings: Timings = {name: [] for name in cases}
    for _ in range(rounds):
        best = dict.fromkeys(cases, float("inf"))
        for case in cases.values():
            await settled(case.check())
        for turn in range(slices):
            for name in list(cases)[:: -1 if turn % 2 else 1]:
                best[name] = min(best[name], await _time(cases[name], counts[name], clock))
        for name, seconds_each in best.items():
            timings[name].append(seconds_each)
    return timings


async def calibrated(case: Case, seconds: float, clock: Clock) -> int:
    """The n for which ``run(n)`` takes about so long, where nothing holds it up."""
    count = 1
    while (took := min([await _time(case, count, clock) for _ in range(3)]) * count * case.unit) < seconds / 4:
        count *= 2
    return max(1, round(count * seconds / took))


def ratios(timings: Timings, of: str, to: str) -> list[float]:
    """One case over another, round by round."""
    return [a / b for a, b in zip(timings[of], timings[to], strict=True)]


def added(timings: Timings, name: str, bare: str) -> list[float]:
    """What a case takes beyond a bare one, round by round, in seconds."""
    return [a - b for a, b in zip(timings[name], timings[bare], strict=True)]


async def _time(case: Case, count: int, clock: Clock) -> float:
    start = clock()
    await settled(case.run(count))
    return (clock() - start) / (count * case.unit)


async def settled(result: object) -> None:
    """Waits for an async call; a plain one is done."""
    if inspect.isawaitable(result):
        await result
