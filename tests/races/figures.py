"""Figures: what was seen in the rounds of one kind."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Figures", "play", "table"]

SHOWN = 5  # violations of one kind


@dataclass
class Figures:
    """One kind of round: how many were played, what was counted in them, what was violated."""

    name: str
    rounds: int = 0
    seconds: float = 0
    seen: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def violated(self, text: str) -> None:
        self.violations.append(text)

    def __str__(self) -> str:
        return "\n".join([table([self]), *(f"    {text}" for text in self.violations[:SHOWN])])


Round = Callable[[random.Random, Figures], Awaitable[None]]


async def play(name: str, rounds: int, one: Round, *, at_once: int = 8) -> Figures:
    """Plays so many rounds, some of them at the same time."""
    figures = Figures(name)
    numbers = iter(range(rounds))

    async def player() -> None:
        for number in numbers:
            await one(random.Random(f"{name}/{number}"), figures)
            figures.rounds += 1

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(player())
    figures.seconds = time.monotonic() - began
    return figures


def table(all_figures: Sequence[Figures]) -> str:
    """One line for each kind of round."""
    rows = [("rounds of", "rounds", "seconds", "violations", "seen")]
    for one in all_figures:
        seen = ", ".join(f"{what}: {count}" for what, count in sorted(one.seen.items()))
        rows.append((one.name, str(one.rounds), f"{one.seconds:.1f}", str(len(one.violations)), seen))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
