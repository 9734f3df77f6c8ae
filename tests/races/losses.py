"""A login whose end nobody waits for: the session before it lives on, with its cart, or the new one was delivered."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from .figures import Figures, play
from .fleet import Answer, Browser, Fleet

__all__ = ["lock_of", "play_disconnects", "play_locks", "play_timeouts"]

LOCKED = (2.1, 2.8)  # seconds; a little more than the managers' storage_timeout
AT_ONCE = 60  # logins that meet one lock
SPREAD = (0.0, 0.2)  # seconds over which they come, beginning before the lock is taken
QUICK = (0.0, 0.02)  # seconds after which a client goes away, or a middleware loses patience
LATE = 12.0  # seconds after which nothing is undone any more
LOCK = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
file.execute("ROLLBACK")
"""


async def play_locks(fleet: Fleet, file: Path, locks: int, *, looks_late: bool) -> Figures:
    """Logins while another process holds the lock of the SQLite file."""
    figures = Figures("login while the file is locked")
    began = time.monotonic()
    last: list[Browser] = []
    for number in range(locks):
        last += await _meet_a_lock(fleet, file, random.Random(number), figures)
    if looks_late:
        await asyncio.sleep(LATE)
        for browser in last:
            if not await browser.holds("cart", "full"):
                figures.violated("a session was lost long after the lock")
    figures.seconds = time.monotonic() - began
    return figures


async def _meet_a_lock(fleet: Fleet, file: Path, chance: random.Random, figures: Figures) -> list[Browser]:
    browsers = [fleet.browser() for _ in range(AT_ONCE)]
    await asyncio.gather(*(browser.ask(number % 2, "fill") for number, browser in enumerate(browsers)))
    locked = asyncio.create_task(_lock_for(file, chance.uniform(*LOCKED)))
    logins = [
        asyncio.create_task(browser.ask(number % 2, "log_in", sub=uuid4().hex, delay=chance.uniform(*SPREAD)))
        for number, browser in enumerate(browsers)
    ]
    await locked
    for browser, answer in zip(browsers, await asyncio.gather(*logins), strict=True):
        figures.rounds += 1
        figures.seen[f"answered {answer.status}"] += 1
        if not await browser.holds("cart", "full"):
            figures.seen["good again after a moment"] += 1
            if not await browser.comes_to_hold("cart", "full"):
                figures.violated(f"a login that was answered {answer.status} lost the session before it")
    return browsers


async def _lock_for(file: Path, seconds: float) -> None:
    async with lock_of(file):
        await asyncio.sleep(seconds)


@asynccontextmanager
async def lock_of(file: Path) -> AsyncIterator[None]:
    command = (sys.executable, "-c", LOCK, str(file))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), 10)
        yield
    finally:
        await process.communicate(b"\n")


async def play_disconnects(fleet: Fleet, rounds: int) -> list[Figures]:
    """Clients that go away while a server with ``handler_cancellation`` handles their login or renewal."""
    return [
        await play(f"client gone during a {name}", rounds, _round_of(fleet, act, _go_away))
        for name, act in (("login", "log_in"), ("renewal", "renew"))
    ]


async def play_timeouts(fleet: Fleet, rounds: int, where: str = "") -> list[Figures]:
    """A middleware outside of the sessions that ends a login or a renewal by a timeout."""
    return [
        await play(f"timeout outside of a {name}{where}", rounds, _round_of(fleet, act, _lose_patience))
        for name, act in (("login", "log_in"), ("renewal", "renew"))
    ]


Ending = Callable[[Browser, str, random.Random, Figures], Awaitable[bool]]


def _round_of(fleet: Fleet, act: str, ending: Ending) -> Callable[[random.Random, Figures], Awaitable[None]]:
    async def one(chance: random.Random, figures: Figures) -> None:
        browser = fleet.browser()
        await browser.ask(chance.randrange(2), "fill")
        may_be_lost = await ending(browser, act, chance, figures)
        if await browser.holds("cart", "full"):
            return
        if await browser.comes_to_hold("cart", "full", 1.0 if may_be_lost else 5.0):
            figures.seen["good again after a moment"] += 1
        elif may_be_lost:
            figures.seen["sent, and lost on the way"] += 1
        else:
            figures.violated(f"neither the session before the {act} lives, nor was the new one delivered")

    return one


async def _go_away(browser: Browser, act: str, chance: random.Random, figures: Figures) -> bool:
    at, name = chance.randrange(2), uuid4().hex
    request = asyncio.create_task(browser.ask(at, act, sub=uuid4().hex, id=name))
    await asyncio.sleep(chance.uniform(*QUICK))
    request.cancel()
    if not isinstance((await asyncio.gather(request, return_exceptions=True))[0], BaseException):
        figures.seen["answered before"] += 1
        return False
    await asyncio.sleep(0.02)
    return any(await browser.fleet.state(f"made/{name}"))


async def _lose_patience(browser: Browser, act: str, chance: random.Random, figures: Figures) -> bool:
    answer: Answer = await browser.ask(
        chance.randrange(2), act, sub=uuid4().hex, patience=max(0.0001, chance.uniform(*QUICK))
    )
    figures.seen[f"answered {answer.status}{' with cookies' if answer.cookies else ''}"] += 1
    return False
