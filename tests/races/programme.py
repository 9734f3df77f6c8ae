"""The programme: which rounds are played, and how many of each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .clocks import play_clocks
from .figures import Figures
from .fleet import Fleet, fleet_of
from .logins import play_logins
from .logouts import play_logouts
from .losses import play_disconnects, play_locks, play_timeouts
from .nests import play_nests
from .options import Options

__all__ = ["LONG", "SHORT", "Programme"]


@dataclass(frozen=True)
class Clocks:
    """Servers so many seconds apart. ``is_beyond``: by more than they allow for."""

    apart: float
    leeway: float
    skew: float
    is_beyond: bool = False


@dataclass(frozen=True)
class Programme:
    """How often. ``logouts`` and the like are rounds of each kind, ``locks`` are held for some 60 logins each."""

    logouts: int
    logins: int
    losses: int
    locks: int
    nests: int
    bursts: int
    clocks: Sequence[Clocks]
    looks_late: bool

    async def on_sqlite(self, folder: Path) -> list[Figures]:
        """Every kind, on SQLite files in a folder."""
        options = Options(f"sqlite:///{folder / 'sessions.db'}")
        figures = []
        async with fleet_of(options) as fleet:
            figures += _told(await play_logouts(fleet, self.logouts))
            await _check_verdicts(fleet, figures[-1])
            figures += _told(await play_logins(fleet, self.logins))
            await _check_verdicts(fleet, figures[-1])
            figures += _told(await play_timeouts(fleet, self.losses))
            await _check_verdicts(fleet, figures[-1])
        async with fleet_of(replace(options, handler_cancellation=True)) as fleet:
            figures += _told(await play_disconnects(fleet, self.losses))
            await _check_verdicts(fleet, figures[-1])
        async with fleet_of(replace(options, storage_timeout=2)) as fleet:
            file = folder / "sessions.db"
            figures += _told([await play_locks(fleet, file, self.locks, looks_late=self.looks_late)])
            await _check_verdicts(fleet, figures[-1])
        async with fleet_of(replace(options, outer_storage=f"sqlite:///{folder / 'outer.db'}")) as fleet:
            figures += _told(await play_nests(fleet, self.nests))
            await _check_verdicts(fleet, figures[-1])
        return figures + _told(await self._with_clocks(folder))

    async def on_mongodb(self, url: str) -> list[Figures]:
        """What depends on how a storage orders changes."""
        async with fleet_of(Options(url)) as fleet:
            figures = _told(await play_logouts(fleet, self.logouts // 4, ", MongoDB"))
            figures += _told(await play_logins(fleet, self.logins // 4, ", MongoDB"))
            figures += _told(await play_timeouts(fleet, self.losses // 4, ", MongoDB"))
            await _check_verdicts(fleet, figures[-1])
        return figures

    async def _with_clocks(self, folder: Path) -> list[Figures]:
        """All at once: they mostly wait."""
        played = await asyncio.gather(
            *(
                play_clocks(
                    Options(
                        f"sqlite:///{folder / f'clocks{number}.db'}",
                        reuse_leeway=clocks.leeway,
                        max_clock_skew=clocks.skew,
                    ),
                    clocks.apart,
                    self.bursts,
                    is_beyond=clocks.is_beyond,
                )
                for number, clocks in enumerate(self.clocks)
            )
        )
        return [figures for pair in played for figures in pair]


def _told(figures: list[Figures]) -> list[Figures]:
    for one in figures:
        print(one, flush=True)
    return figures


async def _check_verdicts(fleet: Fleet, figures: Figures) -> None:
    """No round but those of the clocks has a replay in it."""
    if verdicts := await fleet.verdicts():
        figures.violated(f"{len(verdicts)} sessions were revoked for a replay in these rounds or the ones before")
        print(figures, flush=True)


BOTH_WAYS = (6, -6, 12, -12)

SHORT = Programme(
    logouts=60,
    logins=60,
    losses=80,
    locks=1,
    nests=5,
    bursts=20,
    clocks=[Clocks(apart, leeway=4, skew=15) for apart in BOTH_WAYS],
    looks_late=False,
)
LONG = Programme(
    logouts=3000,
    logins=3000,
    losses=3000,
    locks=15,
    nests=100,
    bursts=150,
    clocks=[
        *(Clocks(apart, leeway=10, skew=30) for apart in BOTH_WAYS),
        *(Clocks(apart, leeway=30, skew=30) for apart in BOTH_WAYS),
        *(Clocks(apart, leeway=30, skew=60) for apart in (59, -59)),
        *(Clocks(apart, leeway=30, skew=30, is_beyond=True) for apart in (59, -59)),
    ],
    looks_late=True,
)
