"""What a round comes to, in figures."""

from dataclasses import dataclass
from itertools import pairwise

from .checker import Violation, back_at, check
from .history import REFRESH, UNANSWERED, History, Kind, Outcome

__all__ = ["HEADINGS", "Report", "table"]

HEADINGS = (
    "fault",
    "operations",
    "503",
    "lost",
    "late retries",
    "kept in doubt",
    "longest silence",
    "back after",
    "violations",
)


@dataclass(frozen=True)
class Report:
    """The figures of one round, and what was violated."""

    name: str
    operations: int
    unavailable: int
    lost: int
    late_retries: int  # refreshes answered with 503 and tried again when the leeway was over
    kept_in_doubt: int  # rotations that were made although their request got 503
    silence: float  # the longest time without any answer but 503, in seconds
    recovery: float | None  # from the election of the new primary to the service being back, in seconds
    violations: tuple[Violation, ...]

    @classmethod
    def of(cls, history: History) -> "Report":
        back, fault = back_at(history), history.fault
        outcomes = [operation.outcome for operation in history.operations]
        return cls(
            fault.name if fault else "none",
            len(outcomes),
            outcomes.count(Outcome.UNAVAILABLE),
            outcomes.count(Outcome.LOST),
            _late_retries(history),
            _kept_in_doubt(history),
            _longest_silence(history),
            back - fault.primary_at if back and fault else None,
            tuple(check(history)),
        )

    def row(self) -> tuple[str, ...]:
        """The figures under `HEADINGS`."""
        counts = (self.operations, self.unavailable, self.lost, self.late_retries, self.kept_in_doubt)
        back = "never" if self.recovery is None else f"{self.recovery:.1f} s"
        return (self.name, *map(str, counts), f"{self.silence:.1f} s", back, str(len(self.violations)))

    def __str__(self) -> str:
        return "\n".join([table([self]), *map(str, self.violations)])


def table(reports: "list[Report]") -> str:
    """The reports under their headings."""
    rows = [HEADINGS, *(report.row() for report in reports)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _late_retries(history: History) -> int:
    failed = {
        op.sent[REFRESH]: op.ended for op in history.unavailable() if op.kind is Kind.REFRESH and REFRESH in op.sent
    }
    return sum(
        op.started > failed[op.sent[REFRESH]] + history.leeway
        for op in history.answered()
        if REFRESH in op.sent and op.sent[REFRESH] in failed
    )


def _kept_in_doubt(history: History) -> int:
    first: dict[str, float] = {}
    for operation in history.requests():
        if jti := operation.successor:
            first[jti] = min(first.get(jti, operation.started), operation.started)
    return sum(history.minted.get(jti, started) < started for jti, started in first.items())


def _longest_silence(history: History) -> float:
    ended = sorted(op.ended for op in history.requests() if op.outcome not in UNANSWERED)
    return max((later - earlier for earlier, later in pairwise(ended)), default=0.0)
