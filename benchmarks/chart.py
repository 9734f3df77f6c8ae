"""The chart that the documentation shows: bars, drawn by hand as SVG, readable on light and dark pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from .harness import Fact, Findings

__all__ = ["Bar", "Panel", "draw", "panels", "write_chart"]

WIDTH, LABELS, VALUES = 760, 250, 110
BAR, GAP, HEAD, FOOT = 18, 8, 46, 30

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 14px }
  .note { font-size: 12px; fill: #57606a }
  .ours { fill: #0969da } .peer { fill: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #8d96a0 } .ours { fill: #4493f8 } .peer { fill: #57606a }
  }
"""

RATE = "requests a second, 64 connections"
COST = "added to a bare request"

# Which facts are shown, and by what name.
RATES = {
    "bare": "no session at all",
    "lionrock, read": "aiohttp-lionrock, read",
    "encrypted, read": "aiohttp-session encrypted, read",
    "redis, read": "aiohttp-session with Redis, read",
    "lionrock, write": "aiohttp-lionrock, write",
    "encrypted, write": "aiohttp-session encrypted, write",
    "redis, write": "aiohttp-session with Redis, write",
}
CHECKED = {
    "lionrock, sqlite": "aiohttp-lionrock with SQLite",
    "lionrock, mongodb": "aiohttp-lionrock with MongoDB",
    "no session, find_one each": "Motor find_one in a plain handler",
}
COSTS = {
    "lionrock untouched": "aiohttp-lionrock, not asked for",
    "lionrock read": "aiohttp-lionrock, read",
    "encrypted read": "aiohttp-session encrypted, read",
    "PyJWT read": "a PyJWT middleware, read",
    "lionrock write": "aiohttp-lionrock, write",
    "encrypted write": "aiohttp-session encrypted, write",
    "PyJWT write": "a PyJWT middleware, write",
}


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: float
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        return HEAD + len(self.bars) * (BAR + GAP)


def write_chart(path: Path, findings: Findings, machine: str) -> None:
    path.write_text(draw(panels(findings.facts), machine))


def panels(facts: Sequence[Fact]) -> list[Panel]:
    """What was measured of what is shown; a panel without bars is left out."""
    made = [
        Panel("What a session adds to a request, in process (less is better)", "us", _bars(facts, COST, COSTS)),
        Panel("Requests a second, one server process, 64 connections (more is better)", "", _bars(facts, RATE, RATES)),
        Panel("The same, with every read checked against a database", "", _bars(facts, RATE, CHECKED)),
    ]
    return [panel for panel in made if panel.bars]


def _bars(facts: Sequence[Fact], group: str, names: dict[str, str]) -> list[Bar]:
    values = {fact.name: fact.value for fact in facts if fact.group == group}
    return [Bar(label, values[name], "lionrock" in name) for name, label in names.items() if name in values]


def draw(panels: Sequence[Panel], machine: str) -> str:
    """The whole picture as an SVG document."""
    height = sum(panel.height for panel in panels) + FOOT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-label="Benchmarks of aiohttp-lionrock">',
        f"<style>{STYLE}</style>",
    ]
    top = 0
    for panel in panels:
        lines += _panel(panel, top)
        top += panel.height
    note = f"Medians on {machine}; shares, not microseconds, hold on other machines."
    lines += [f'<text class="note" x="12" y="{height - 10}">{escape(note)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield f'<text class="title" x="12" y="{top + 30}">{escape(panel.title)}</text>'
    most = max(bar.value for bar in panel.bars)
    for place, bar in enumerate(panel.bars):
        y = top + HEAD + place * (BAR + GAP)
        length = max(1.0, (WIDTH - LABELS - VALUES) * bar.value / most)
        kind = "ours" if bar.is_ours else "peer"
        yield f'<text x="{LABELS - 10}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>'
        yield f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>'
        yield f'<text x="{LABELS + length + 8:.1f}" y="{y + 14}">{bar.value:,.0f} {panel.unit}</text>'
