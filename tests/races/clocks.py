"""Servers whose clocks differ: no honest client is called a thief, and a real one is."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from uuid import uuid4

from .figures import Figures, play
from .fleet import REFRESH, Browser, Fleet, fleet_of
from .options import Options

__all__ = ["play_clocks"]

TABS = 6


async def play_clocks(options: Options, apart: float, rounds: int, *, is_beyond: bool = False) -> list[Figures]:
    """Bursts of refreshes, spread over the leeway, on two servers so many seconds apart; then true replays.

    ``is_beyond``: the clocks differ by more than ``max_clock_skew``; what happens is counted and is no violation.
    """
    name = f"{apart:+g} s, leeway {options.reuse_leeway:g}, skew {options.max_clock_skew:g}"
    async with fleet_of(options, offsets=(0, apart)) as fleet:
        bursts = await play(f"bursts {name}", rounds, _burst_of(fleet, is_beyond), at_once=rounds)
        false = await fleet.verdicts()
        bursts.seen["verdicts of theft"] += len(false)
        if false and not is_beyond:
            bursts.violated(f"{len(false)} honest sessions were revoked for a replay")
        if is_beyond:
            return [bursts]
        return [bursts, await _play_replays(fleet, name, min(rounds, 20))]


def _burst_of(fleet: Fleet, is_beyond: bool) -> Callable[[random.Random, Figures], Awaitable[None]]:
    async def one(chance: random.Random, figures: Figures) -> None:
        user = uuid4().hex
        browser = fleet.browser()
        await asyncio.sleep(chance.uniform(0, 1))
        await browser.ask(chance.randrange(2), "log_in", sub=user)
        tabs = [_refresh(browser, fleet, chance) for _ in range(TABS)]
        first = browser.cookies[REFRESH]
        await asyncio.gather(browser.ask(chance.randrange(2), "look", only=REFRESH), *(tab(first) for tab in tabs))
        refused = [answer.body["rejected"] for answer in browser.arrived if answer.body["rejected"]]
        figures.seen.update(refused)
        for at in (0, 1):
            answer = await browser.ask(at, "look")
            if answer.body["sub"] == user:
                continue
            figures.seen["logged out for good"] += 1
            if not is_beyond:
                figures.violated(f"user {user} is logged out: {answer.body}, before that {refused}")
            return

    return one


def _refresh(browser: Browser, fleet: Fleet, chance: random.Random) -> Callable[[str], Awaitable[None]]:
    """A tab that sends the refresh token of the burst's beginning, some time within the leeway."""

    async def refresh(token: str) -> None:
        await asyncio.sleep(chance.triangular(0, fleet.options.reuse_leeway - 1, 0))
        tab = fleet.browser({REFRESH: token})
        answer = await tab.ask(chance.randrange(2), "look")
        browser.arrived.append(answer)
        if answer.cookies:
            browser.cookies.update(tab.cookies)

    return refresh


async def _play_replays(fleet: Fleet, name: str, rounds: int) -> Figures:
    """A token that was rotated away, presented when both clocks have passed leeway and skew: caught at once."""
    options = fleet.options
    thefts: list[tuple[str, Browser, str]] = []
    for number in range(rounds):
        browser = fleet.browser()
        await browser.ask(number % 2, "log_in", sub=uuid4().hex)
        stolen = browser.cookies[REFRESH]
        sid = (await fleet.judge.load(dict(browser.cookies))).sid
        await browser.ask(number // 2 % 2, "look", only=REFRESH)
        thefts.append((sid, browser, stolen))
    await asyncio.sleep(0.5)  # the leeways begin after the answers
    offsets = [offset + options.reuse_leeway + options.max_clock_skew + 61 for offset in (0, fleet.apart)]
    for port, offset in zip(fleet.ports, offsets, strict=True):
        await fleet.set_clock(port, offset)
    chance = iter(range(rounds))

    async def one(_: random.Random, figures: Figures) -> None:
        number = next(chance)
        sid, browser, stolen = thefts[number]
        answer = await fleet.browser({REFRESH: stolen}).ask(number % 2, "look")
        figures.seen[str(answer.body["rejected"])] += 1
        if answer.body["sub"] is not None or (await fleet.verdicts()).count(sid) != 1:
            figures.violated(f"a replay was not caught: {answer.body}")
        elif (await browser.ask(1 - number % 2, "look")).body["sub"] is not None:
            figures.violated("a session lives on after a replay of its token")

    return await play(f"true replays {name}", rounds, one, at_once=1)
