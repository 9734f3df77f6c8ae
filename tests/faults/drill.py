"""One round: people use the app, something breaks, and when it is over every session is asked for once more."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .app import StorageFactory, serve, silence
from .clients import Browser, Client, Operator, Tokens, browsing, ticket
from .history import ACCESS, REFRESH, UNANSWERED, Fault, History, Kind
from .lives import Life, lives_in

__all__ = ["Drill"]

CLIENTS = 20
REPLAYS = 3
PATIENCE = 60.0  # seconds in which the last retries, and then the last questions, must be answered

Disruption = Callable[[], Awaitable[Fault]]


@dataclass(frozen=True)
class Drill:
    """How long it all takes, in seconds, and the apps' reuse leeway."""

    leeway: float
    before: float
    after: float
    clients: int = CLIENTS

    async def run(self, storage: StorageFactory, disrupt: Disruption, seed: int = 0) -> History:
        """Runs one round; ``disrupt`` returns when nothing is disturbed any more."""
        history = History(self.leeway)
        with silence():
            async with serve(storage, history) as servers, browsing(servers, history) as browser:
                clients = [Client(number, browser, seed) for number in range(self.clients)]
                operator = Operator(servers, clients, history, seed)
                await self._use([*clients, operator], disrupt, history)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await _ask_again(browser)
        return history

    async def _use(self, people: "list[Client | Operator]", disrupt: Disruption, history: History) -> None:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(person.live(stop)) for person in people]
        try:
            await asyncio.sleep(self.before)
            history.fault = await disrupt()
            await asyncio.sleep(self.after)
            stop.set()
            await asyncio.wait(tasks, timeout=PATIENCE)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()


async def _ask_again(browser: Browser) -> None:
    """Presents the cookies of every session once more, then some that were superseded long ago."""
    lives = list(lives_in(browser.history).values())
    gate = asyncio.Semaphore(CLIENTS)

    async def ask(life: Life, number: int) -> None:
        async with gate:
            await _ask_for(life, browser, number)

    await asyncio.gather(*(ask(life, number) for number, life in enumerate(lives)))
    stayed = [life for life in lives if life.must_live and len(_refreshes(life, browser)) > 2]
    for life in stayed[:REPLAYS]:
        jar = {REFRESH: _refreshes(life, browser)[0]}
        await _present(browser, life, Kind.REPLAY, 0, jar)
        await _ask_for(life, browser, 1)


async def _ask_for(life: Life, browser: Browser, number: int) -> None:
    """Each cookie alone: the last ones of a session, and for one that has ended the ones before as well."""
    given = browser.tokens[life.sid]
    access = [tokens[ACCESS] for tokens in given if ACCESS in tokens][-1]
    refreshes = _refreshes(life, browser)
    for token in refreshes[-2:] if life.is_over else refreshes[-1:]:
        await _present(browser, life, Kind.PROBE, number, {REFRESH: token})
    await _present(browser, life, Kind.PROBE, number + 1, {ACCESS: access})


def _refreshes(life: Life, browser: Browser) -> list[str]:
    """The refresh tokens that were given out, the last one of each jti."""
    given = [tokens[REFRESH] for tokens in browser.tokens[life.sid] if REFRESH in tokens]
    return list({ticket(token).jti: token for token in given}.values())


async def _present(browser: Browser, life: Life, kind: Kind, server: int, jar: Tokens) -> None:
    arguments = life.birth.client, server % len(browser.servers), kind
    while (await browser.ask(*arguments, dict(jar), jar)).outcome in UNANSWERED:
        await asyncio.sleep(0.2)
