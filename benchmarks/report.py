"""What became of the promises: the table on the screen, the rule by which a quick run fails, ``results.json``."""

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from .harness import Findings, Spread
from .targets import TARGETS, Target

__all__ = ["far_off", "machine", "missed", "others_at_work", "summary", "table", "write_results"]

QUIET = 0.5  # load average


def others_at_work() -> str | None:
    """A warning where the machine was busy before the measuring began: the spread then says more than the median."""
    load = os.getloadavg()[0]
    return f"a quiet machine: the load average was {load:.1f} before the start" if load > QUIET else None


def machine() -> str:
    """What the times were taken on, in as many words as a reader needs."""
    return f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"


def table(findings: Findings) -> Iterator[str]:
    """The lines of the table, one for each promise, then what is stated, then what is missing."""
    yield f"{'':<24}{'target':>9}{'measured':>10}{'minimum':>10}{'maximum':>10}  "
    for name, target in TARGETS.items():
        yield f"{name:<24}{target.text:>9}{_verdict(target, findings.ratios.get(name))}"
    for group, facts in groupby(sorted(findings.facts, key=lambda fact: fact.group), key=lambda fact: fact.group):
        yield f"\n{group}"
        yield from (f"    {fact.name:<44}{fact.value:>14,.2f} {fact.unit}" for fact in facts)
    for item in findings.missing:
        yield f"\nmissing: {item}"


def _verdict(target: Target, spread: Spread | None) -> str:
    if spread is None:
        return f"{'not measured':>30}  {target.compared}"
    met = "" if target.is_met(spread.median) else "MISSED: "
    return f"{spread.median:>10.3f}{spread.low:>10.3f}{spread.high:>10.3f}  {met}{target.compared}"


def missed(findings: Findings) -> list[str]:
    """The promises that were measured and not kept."""
    return [name for name, spread in findings.ratios.items() if not TARGETS[name].is_met(spread.median)]


def far_off(findings: Findings) -> list[str]:
    """The promises that were missed by more than half in every round: for these a quick run fails."""
    return [name for name, spread in findings.ratios.items() if TARGETS[name].is_far_off(_best(name, spread))]


def _best(name: str, spread: Spread) -> float:
    return spread.high if TARGETS[name].at_least else spread.low


def summary(findings: Findings) -> str:
    """One line: how many were kept."""
    count, broken = len(findings.ratios), missed(findings)
    unmeasured = len(TARGETS) - count
    parts = [f"{count - len(broken)} of {len(TARGETS)} targets met on {machine()}"]
    if broken:
        parts.append(f"missed: {', '.join(broken)}")
    if unmeasured:
        parts.append(f"{unmeasured} not measured")
    return "; ".join(parts)


def write_results(path: Path, findings: Findings) -> None:
    """Everything that was measured, for whoever compares it with a later run."""
    ratios = {
        name: {**asdict(TARGETS[name]), **asdict(spread), "met": TARGETS[name].is_met(spread.median)}
        for name, spread in findings.ratios.items()
    }
    results: dict[str, Any] = {
        "machine": machine(),
        "ratios": ratios,
        "facts": [asdict(fact) for fact in findings.facts],
        "missing": findings.missing,
    }
    path.write_text(json.dumps(_rounded(results), indent=1) + "\n")


def _rounded(value: Any) -> Any:
    """Four digits are more than a benchmark knows."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
