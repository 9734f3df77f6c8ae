"""A logout against renewals: what was answered as done leaves nothing of that login alive."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from .figures import Figures, play
from .fleet import Answer, Browser, Fleet

__all__ = ["play_logouts"]

SOON = 0.006  # seconds within which the rivals start
SETTLED = 3.0  # seconds after which nothing is under way any more

Rivals = Callable[[Browser, random.Random, int], Awaitable[object]]


async def play_logouts(fleet: Fleet, rounds: int, where: str = "") -> list[Figures]:
    return [
        await play(f"logout beside {name}{where}", rounds, _round_of(fleet, rivals)) for name, rivals in RIVALS.items()
    ] + [await play(f"revoke(sid) beside a renewal{where}", rounds, _round_of(fleet, _renew, is_revoked=True))]


def _round_of(
    fleet: Fleet, rivals: Rivals, *, is_revoked: bool = False
) -> Callable[[random.Random, Figures], Awaitable[None]]:
    async def one(chance: random.Random, figures: Figures) -> None:
        user, here = uuid4().hex, chance.randrange(2)
        browser = fleet.browser()
        await browser.ask(here, "log_in", sub=user)
        sid = (await fleet.judge.load(dict(browser.cookies))).sid
        if chance.random() < 0.5:
            browser.let_access_expire()
        leaving = _revoke(fleet, sid, chance) if is_revoked else _log_out(browser.beside(), chance, here)
        done, _ = await asyncio.gather(leaving, rivals(browser, chance, 1 - here))
        if not done:
            figures.violated(f"user {user} ended a session that was alive, and was told that there was none")
        await _check(fleet, browser, user, figures)

    return one


async def _log_out(browser: Browser, chance: random.Random, at: int) -> bool:
    answer = await browser.ask(at, "log_out", delay=chance.uniform(0, SOON), work=chance.uniform(0, SOON))
    return answer.status == 200 and answer.deletes


async def _revoke(fleet: Fleet, sid: str, chance: random.Random) -> bool:
    await asyncio.sleep(chance.uniform(0, 2 * SOON))
    return await fleet.judge.revoke(sid)


async def _renew(browser: Browser, chance: random.Random, at: int) -> Answer:
    return await browser.ask(at, "renew", delay=chance.uniform(0, SOON), work=chance.uniform(0, SOON))


async def _renew_twice_at_once(browser: Browser, chance: random.Random, at: int) -> None:
    await asyncio.gather(_renew(browser, chance, at), _renew(browser, chance, 1 - at))


async def _renew_again_and_again(browser: Browser, chance: random.Random, at: int) -> None:
    for number in range(3):
        await browser.ask((at + number) % 2, "renew", work=chance.uniform(0, SOON / 6))


RIVALS: dict[str, Rivals] = {
    "a renewal": _renew,
    "two renewals at once": _renew_twice_at_once,
    "three renewals in a row": _renew_again_and_again,
}


async def _check(fleet: Fleet, browser: Browser, user: str, figures: Figures) -> None:
    figures.seen["renewals answered"] += sum(bool(answer.cookies) for answer in browser.arrived[1:])
    alive = [name for name, value in browser.issued if not (await fleet.judge.load({name: value})).is_new]
    if alive:
        figures.violated(f"user {user} logged out, and of his cookies these are honoured: {alive}")
    if await fleet.judge.sessions(user):  # of a renewal that lost, and is being taken back
        figures.seen["listed for a moment"] += 1
        deadline = time.monotonic() + SETTLED
        while left := await fleet.judge.sessions(user):
            if time.monotonic() > deadline:
                figures.violated(f"user {user} logged out, and is listed with {left}")
                return
            await asyncio.sleep(0.02)
