"""A login or a renewal beside other requests of the same browser: at the end the browser is logged in.

What cannot be helped is counted: an answer that was saved before the login and arrives after it overwrites it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

from .figures import Figures, play
from .fleet import Answer, Browser, Fleet

__all__ = ["play_logins"]

SOON = 0.006  # seconds within which the rivals start

Meeting = Callable[[Browser, random.Random, str], Awaitable[Answer]]


async def play_logins(fleet: Fleet, rounds: int, where: str = "") -> list[Figures]:
    figures = []
    for name, (before, meeting) in MEETINGS.items():
        figures.append(await play(f"{name}{where}", rounds, _round_of(fleet, before, meeting)))
    return figures


def _round_of(fleet: Fleet, before: str, meeting: Meeting) -> Callable[[random.Random, Figures], Awaitable[None]]:
    async def one(chance: random.Random, figures: Figures) -> None:
        user = uuid4().hex
        browser = fleet.browser()
        if before:
            await browser.ask(chance.randrange(2), before, sub=user)
        login = await meeting(browser, chance, user)
        await _check(browser, login, user, figures)

    return one


async def _ask(browser: Browser, chance: random.Random, act: str, only: str | None = None, **query: object) -> Answer:
    delay, work = chance.uniform(0, SOON), chance.uniform(0, SOON)
    return await browser.ask(chance.randrange(2), act, delay=delay, work=work, **query)


async def _beside_reads(browser: Browser, chance: random.Random, user: str) -> Answer:
    reads = [_ask(browser, chance, "look") for _ in range(4)]
    return (await asyncio.gather(_ask(browser, chance, "log_in", sub=user), *reads))[0]


async def _beside_refreshes(browser: Browser, chance: random.Random, user: str) -> Answer:
    browser.let_access_expire()
    return await _beside_reads(browser, chance, user)


async def _beside_writes(browser: Browser, chance: random.Random, user: str) -> Answer:
    writes = [_ask(browser, chance, "write") for _ in range(2)]
    return (await asyncio.gather(_ask(browser, chance, "log_in", sub=user), *writes))[0]


async def _twice(browser: Browser, chance: random.Random, user: str) -> Answer:
    answers = await asyncio.gather(*(_ask(browser, chance, "log_in", sub=user) for _ in range(2)))
    return max(answers, key=lambda answer: answer.saved or 0)


async def _as_another_twice(browser: Browser, chance: random.Random, user: str) -> Answer:
    await browser.ask(chance.randrange(2), "log_in", sub=f"not {user}")
    return await _twice(browser, chance, user)


async def _twice_and_the_first_is_dropped(browser: Browser, chance: random.Random, user: str) -> Answer:
    """As browsers do: the second click takes the place of the first, whose answer is thrown away."""
    at = chance.randrange(2)
    work = chance.uniform(0, SOON)
    first = asyncio.ensure_future(browser.beside().ask(at, "log_in", sub=user, work=work))
    await asyncio.sleep(chance.uniform(0, 2 * SOON))
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    return await browser.ask(1 - at, "log_in", sub=user, work=chance.uniform(0, SOON))


async def _renew_beside_refreshes(browser: Browser, chance: random.Random, user: str) -> Answer:
    browser.let_access_expire()
    reads = [_ask(browser, chance, "look") for _ in range(3)]
    return (await asyncio.gather(_ask(browser, chance, "renew", sub=user), *reads))[0]


MEETINGS: dict[str, tuple[str, Meeting]] = {
    "login beside four reads": ("fill", _beside_reads),
    "login beside four refreshes": ("fill", _beside_refreshes),
    "login beside two writes": ("fill", _beside_writes),
    "login clicked twice, nobody before": ("", _twice),
    "login clicked twice, a cart before": ("fill", _twice),
    "login clicked twice while logged in": ("log_in", _twice),
    "login as another clicked twice": ("", _as_another_twice),
    "the same, first answer dropped, cart before": ("fill", _twice_and_the_first_is_dropped),
    "the same, first answer dropped, logged in": ("log_in", _twice_and_the_first_is_dropped),
    "renewal beside three refreshes": ("log_in", _renew_beside_refreshes),
}


async def _check(browser: Browser, login: Answer, user: str, figures: Figures) -> None:
    answers = browser.arrived
    if any(answer.status != 200 for answer in answers):
        figures.seen["not answered with 200"] += 1
    if any(answer.deletes for answer in answers):
        figures.violated(f"user {user}: an answer deletes cookies, and nobody logged out")
    if await browser.holds("sub", user):
        return
    last = [answer for answer in answers if answer.cookies][-1]
    if last is not login and login.cookies and (last.saving or 0) < (login.saved or 0):
        figures.seen["overwritten by an answer made before"] += 1
    else:
        figures.violated(f"user {user} is not logged in: {[(a.body, list(a.cookies)) for a in answers]}")
