"""What commands print: one JSON object or lines for people, on standard output; progress and errors beside it."""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

__all__ = ["Progress", "as_json", "duration", "moment", "printable", "show", "table"]

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
PAUSE_ON_TERMINAL, PAUSE_IN_LOG = 0.2, 5.0  # seconds between two lines of progress


def show(json_wanted: bool, data: dict[str, Any], lines: Iterable[str]) -> None:
    """Prints the data as one line of JSON, or else the lines."""
    if json_wanted:
        click.echo(as_json(data))
    else:
        for line in lines:
            click.echo(line)


def as_json(value: object) -> str:
    """JSON in ASCII, which no terminal and no log misreads."""
    return json.dumps(value)


def printable(value: object) -> str:
    """A value from a token or a storage: what would move a cursor or hide other text is escaped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def moment(when: float, now: float) -> str:
    """A time in words: ``2026-05-01 12:00:00 UTC, 2 h ago``."""
    try:
        written = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{when:g} s, a time without a date"
    distance = int(when) - int(now)
    if distance == 0:
        return f"{written}, now"
    return f"{written}, in {duration(distance)}" if distance > 0 else f"{written}, {duration(-distance)} ago"


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    left, parts = int(seconds), []
    for size, unit in UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines with columns as wide as they need to be."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return [click.style(lines[0].rstrip(), bold=True), *(line.rstrip() for line in lines[1:])]


class Progress:
    """How far a long command is, on standard error: one line that changes on a terminal, else a line now and then.

    A command of one step is silent.
    """

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._next = 0.0
        self._steps = 0

    def __call__(self, text: str) -> None:
        self._steps += 1
        now = time.monotonic()
        if self._steps == 1 or now < self._next:
            return
        self._next = now + (PAUSE_ON_TERMINAL if self._on_terminal else PAUSE_IN_LOG)
        click.echo(f"\r\x1b[K{text}" if self._on_terminal else text, nl=not self._on_terminal, err=True)

    def end(self) -> None:
        """Clears the line for what follows."""
        if self._on_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)
