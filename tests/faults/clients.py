"""The load: clients that keep cookies as a browser does, and an operator who revokes sessions behind their backs."""

import asyncio
import base64
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from aiohttp_lionrock import StorageUnavailable

from .app import COOKIES, Server
from .history import REFRESH, UNANSWERED, History, Kind, Operation, Outcome, Ticket

__all__ = ["Browser", "Client", "Operator", "Tokens", "browsing", "ticket"]

PATHS = {
    Kind.LOGIN: ("POST", "/login"),
    Kind.RENEW: ("POST", "/renew"),
    Kind.WRITE: ("POST", "/"),
    Kind.LOGOUT: ("POST", "/logout"),
}
OUTCOMES = {200: Outcome.DONE, 401: Outcome.REFUSED, 503: Outcome.UNAVAILABLE}
PATIENCE = 30.0  # seconds that a client waits for an answer
PAUSE = (0.05, 0.3)  # seconds between two requests of a client
SOON = (0.2, 0.5)  # seconds after which a prompt client tries again

Tokens = dict[str, str]
Act = Callable[[], Awaitable[None]]


@dataclass
class _Answer:
    """What came back: nothing, until it did."""

    outcome: Outcome = Outcome.LOST
    changes: dict[str, str | None] = field(default_factory=dict)
    state: dict[str, str | None] = field(default_factory=dict)
    note: str = ""


class Browser:
    """Sends requests to the servers and writes down what happened; `tokens` has every token of each session."""

    def __init__(self, http: aiohttp.ClientSession, servers: Sequence[Server], history: History) -> None:
        self._http = http
        self.servers = servers
        self.history = history
        self.tokens: dict[str, list[Tokens]] = {}

    async def ask(self, name: str, server: int, kind: Kind, jar: Tokens, send: Mapping[str, str]) -> Operation:
        """One request with these tokens. ``jar`` is changed where the response carries cookies, and nowhere else."""
        started = time.monotonic()
        answer = await self._request(name, self.servers[server].url, kind, send)
        ended = time.monotonic()
        self._keep(jar, answer.changes)
        sent = {use: ticket(token) for use, token in send.items()}
        received = {use: ticket(token) if token else None for use, token in answer.changes.items()}
        outcome, honoured, note = answer.outcome, answer.state.get("loaded"), answer.note
        return self.history.add(
            Operation(name, server, kind, started, ended, outcome, sent, received, honoured, note=note)
        )

    async def _request(self, name: str, url: str, kind: Kind, send: Mapping[str, str]) -> "_Answer":
        method, path = PATHS.get(kind, ("GET", "/"))
        headers = {"Cookie": "; ".join(f"{COOKIES[use]}={token}" for use, token in send.items())} if send else {}
        answer = _Answer()
        try:
            async with self._http.request(method, url + path, params={"user": name}, headers=headers) as response:
                answer.changes = _changes(response.headers.getall("Set-Cookie", ()))
                outcome = OUTCOMES.get(response.status, Outcome.ODD)
                answer.note = str(response.status)
                if outcome in (Outcome.DONE, Outcome.REFUSED):
                    answer.state = await response.json()
                    answer.note += f" {answer.state['rejected'] or ''}".rstrip()
                answer.outcome = outcome
        except (aiohttp.ClientError, TimeoutError) as exc:
            answer.note = repr(exc)
        if answer.state.get("user") not in (None, name):
            answer.outcome, answer.note = Outcome.ODD, f"the session of {answer.state['user']}"
        return answer

    def _keep(self, jar: Tokens, changes: Mapping[str, str | None]) -> None:
        for use, token in changes.items():
            if token is None:
                jar.pop(use, None)
            else:
                jar[use] = token
        got = {use: token for use, token in changes.items() if token}
        if got:
            self.tokens.setdefault(ticket(next(iter(got.values()))).sid, []).append(got)


@contextlib.asynccontextmanager
async def browsing(servers: Sequence[Server], history: History) -> AsyncIterator[Browser]:
    """A browser whose connections are closed at the end."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as http:
        yield Browser(http, servers, history)


class Client:
    """One visitor. A stayer does not log out; a latecomer tries again only when the reuse leeway is over."""

    def __init__(self, number: int, browser: Browser, seed: int) -> None:
        self.name = f"client{number:02d}"
        self.is_stayer = number % 2 == 0
        self.is_latecomer = number % 4 >= 2
        self.jar: Tokens = {}
        self._browser = browser
        self._random = random.Random(f"{seed}/{number}")
        self._server = number % len(browser.servers)

    @property
    def sid(self) -> str | None:
        token = next(iter(self.jar.values()), None)
        return ticket(token).sid if token else None

    async def live(self, stop: asyncio.Event) -> None:
        """Uses the app until told to stop, and sees its last request through."""
        acts, weights = zip(*self._habits().items(), strict=True)
        while not stop.is_set():
            act = self._random.choices(acts, weights)[0] if self.jar else self.log_in
            await act()
            await asyncio.sleep(self._random.uniform(*PAUSE))

    def _habits(self) -> dict[Act, int]:
        habits: dict[Act, int] = {self.refresh: 35, self.write: 20, self.read: 15}
        habits |= {self.refresh_in_tabs: 9, self.use_tabs: 9, self.renew: 4}
        if not self.is_stayer:
            habits |= {self.log_out: 5, self.log_in: 4, self.race_a_logout: 3, self.race_a_login: 4}
            habits |= {self.race_a_renewal: 4, self.log_out_in_an_old_tab: 4}
        return habits

    async def log_in(self) -> None:
        await self._insist(Kind.LOGIN)

    async def log_out(self) -> None:
        await self._insist(Kind.LOGOUT)

    async def renew(self) -> None:
        await self._insist(Kind.RENEW)

    async def log_out_in_an_old_tab(self) -> None:
        """A logout by cookies that a renewal has replaced: the session that took over ends."""
        old = dict(self.jar)
        await self.renew()
        if self.jar != old:
            await self._insist(Kind.LOGOUT, old)

    async def refresh(self) -> None:
        await self._insist(Kind.REFRESH)

    async def read(self) -> None:
        await self._insist(Kind.READ)

    async def write(self) -> None:
        await self._insist(Kind.WRITE)

    async def refresh_in_tabs(self) -> None:
        """Three tabs with one expired access token, on different servers."""
        await self._at_once(Kind.REFRESH, Kind.REFRESH, Kind.REFRESH)

    async def use_tabs(self) -> None:
        """Tabs that write, read and refresh at once."""
        await self._at_once(*self._random.sample([Kind.REFRESH, Kind.WRITE, Kind.WRITE, Kind.READ], 4))

    async def race_a_logout(self) -> None:
        """A logout while other tabs still refresh and write."""
        await self._at_once(*self._random.sample([Kind.REFRESH, Kind.LOGOUT, Kind.WRITE], 3))

    async def race_a_login(self) -> None:
        """A renewal while other tabs still refresh and write."""
        await self._at_once(*self._random.sample([Kind.REFRESH, Kind.LOGIN, Kind.WRITE], 3))

    async def race_a_renewal(self) -> None:
        """A renewal while another tab logs out and a third one writes."""
        await self._at_once(*self._random.sample([Kind.RENEW, Kind.LOGOUT, Kind.WRITE], 3))

    async def _at_once(self, *kinds: Kind) -> None:
        asked = [self._ask(kind, self._server + tab) for tab, kind in enumerate(kinds)]
        answers = await asyncio.gather(*asked)
        unanswered = [answer.kind for answer in answers if answer.outcome in UNANSWERED]
        if unanswered and self.jar:
            await self._wait()
            await self._insist(unanswered[0])

    async def _insist(self, kind: Kind, cookies: Tokens | None = None) -> None:
        """Tries again, on the other server, until there is an answer."""
        while (await self._ask(kind, self._server, cookies)).outcome in UNANSWERED:
            await self._wait()

    async def _wait(self) -> None:
        self._server += 1
        await asyncio.sleep(self._random.uniform(*SOON))
        if self.is_latecomer:
            await asyncio.sleep(self._browser.history.leeway + 1.0)

    async def _ask(self, kind: Kind, server: int, cookies: Tokens | None = None) -> Operation:
        """One request by the jar's cookies, or by these. Who is refused by the jar's goes back to the login."""
        jar = dict(self.jar)
        send = {use: token for use, token in (cookies or jar).items() if use == REFRESH or kind is not Kind.REFRESH}
        answer = await self._browser.ask(self.name, server % len(self._browser.servers), kind, self.jar, send)
        if answer.outcome is Outcome.REFUSED and self.jar == jar and cookies is None:
            self.jar.clear()
        return answer


class Operator:
    """Revokes sessions of clients that are no stayers: one by its sid, or all of a subject."""

    def __init__(self, servers: Sequence[Server], clients: Sequence[Client], history: History, seed: int) -> None:
        self._servers = servers
        self._clients = [client for client in clients if not client.is_stayer]
        self._history = history
        self._random = random.Random(seed)

    async def live(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(self._random.uniform(0.3, 0.7))
            client, server = self._random.choice(self._clients), self._random.choice(self._servers)
            if self._random.random() < 0.1:
                await self._revoke(server, Kind.REVOKE_ALL, client.name, server.manager.revoke_subject)
            elif client.sid is not None:
                await self._revoke(server, Kind.REVOKE, client.sid, server.manager.revoke)

    async def _revoke(self, server: Server, kind: Kind, target: str, call: Callable[[str], Awaitable[object]]) -> None:
        started, outcome, note = time.monotonic(), Outcome.DONE, ""
        try:
            note = str(await call(target))
        except StorageUnavailable as exc:
            outcome, note = Outcome.UNAVAILABLE, repr(exc)
        except Exception as exc:
            outcome, note = Outcome.ODD, repr(exc)
        ended = time.monotonic()
        self._history.add(Operation("operator", server.number, kind, started, ended, outcome, target=target, note=note))


def ticket(token: str) -> Ticket:
    """What a token says, unverified."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return Ticket(claims["sid"], claims["jti"])


def _changes(headers: Sequence[str]) -> dict[str, str | None]:
    """The session cookies in Set-Cookie headers, by the use of their tokens; None where one is deleted."""
    uses = {name: use for use, name in COOKIES.items()}
    pairs = [header.partition(";")[0].partition("=") for header in headers]
    return {uses[name]: value or None for name, _, value in pairs if name in uses}
