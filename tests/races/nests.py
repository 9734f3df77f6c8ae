"""An application with sessions inside another one with its own, which spoils the answer in every way.

Whatever the outer one does: the inner session's cookies are delivered, or nothing was recorded.
"""

import random
from collections.abc import Awaitable, Callable
from uuid import uuid4

from .figures import Figures, play
from .fleet import ACCESS, REFRESH, Browser, Fleet
from .options import SIGNALS

__all__ = ["WAYS", "play_nests"]

WAYS = ("", "write", "replace", "raise", "crash", "503", "503 first", "stream", "stream outside", *SIGNALS)


async def play_nests(fleet: Fleet, rounds: int) -> list[Figures]:
    """So many rounds for each pair of an act and a way to spoil its answer."""
    figures = []
    for act, check in CHECKS.items():
        one = Figures(f"{act} inside an outer application")
        for way in WAYS:
            played = await play(f"{act}/{way}", rounds, _round_of(fleet, act, way, check))
            one.rounds += played.rounds
            one.seconds += played.seconds
            one.seen.update(played.seen)
            one.violations += played.violations
        figures.append(one)
    return figures


Check = Callable[[Browser, dict[str, str], str], Awaitable[str]]
"""From the browser, the cookies it had before, and the user, to what has become of the session; "" where it is lost."""


def _round_of(fleet: Fleet, act: str, way: str, check: Check) -> Callable[[random.Random, Figures], Awaitable[None]]:
    async def one(chance: random.Random, figures: Figures) -> None:
        user, browser = uuid4().hex, fleet.browser()
        await browser.ask(chance.randrange(2), "fill" if act == "log_in" else "log_in", prefix="/in", sub=user)
        before = dict(browser.cookies)
        only = REFRESH if act == "look" else None
        await browser.ask(chance.randrange(2), act, prefix="/in", only=only, way=way, sub=user)
        became = await check(browser, before, user)
        figures.seen[became] += 1
        if not became:
            figures.violated(f"{act} with an outer application that does {way!r}: {browser.arrived[-1]}")

    return one


def _is_untouched(browser: Browser, before: dict[str, str]) -> bool:
    return all(browser.cookies.get(name) == before[name] for name in (ACCESS, REFRESH))


async def _after_login(browser: Browser, before: dict[str, str], user: str) -> str:
    if _is_untouched(browser, before):
        return "nothing recorded" if await browser.holds("cart", "full") and not await _listed(browser, user) else ""
    return "delivered" if await browser.holds("sub", user) and await browser.holds("cart", "full") else ""


async def _after_rotation(browser: Browser, before: dict[str, str], user: str) -> str:
    session = await browser.fleet.judge.load({REFRESH: browser.cookies[REFRESH]})
    storage = browser.fleet.judge.storage
    assert storage is not None
    record = await storage.get(session.sid)
    if record is None or not await browser.holds("sub", user):
        return ""
    is_rotated = record.previous_jti is not None
    return "" if is_rotated is _is_untouched(browser, before) else "delivered" if is_rotated else "nothing recorded"


async def _after_logout(browser: Browser, before: dict[str, str], user: str) -> str:
    if _is_untouched(browser, before):
        return "nothing recorded" if await browser.holds("sub", user) else ""
    gone = {ACCESS, REFRESH}.isdisjoint(browser.cookies)
    return "delivered" if gone and not await _listed(browser, user) else ""


async def _listed(browser: Browser, user: str) -> bool:
    return bool(await browser.fleet.judge.sessions(user))


CHECKS: dict[str, Check] = {"log_in": _after_login, "look": _after_rotation, "log_out": _after_logout}
