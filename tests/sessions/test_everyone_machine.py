"""Everyone out, in any order of events: two servers whose clocks differ, tenants, and what each session does."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from support.browser import REFRESH, make_manager

from aiohttp_lionrock import MemoryStorage, Session, SessionManager, TokenReused
from aiohttp_lionrock.testing import FakeClock

BEHIND = 20  # seconds by which the clock of the second server is late
TENANTS = [None, *({"SESSION_SECRET": f"the secret of {name}, of 32 bytes and more"} for name in ("red", "blue"))]

servers = st.integers(0, 1)
tenants = st.integers(0, len(TENANTS) - 1)
numbers = st.integers(0, 100)


@dataclass
class Login:
    """What a browser holds; ``began`` is by the clock of its server, and after what that server knew to be over."""

    cookies: dict[str, str]
    tenant: int
    began: int
    is_out: bool = False


class EveryoneOut(RuleBasedStateMachine):
    """Browsers of three tenants at two servers; now and then everybody, or one tenant, is put out."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.storage = MemoryStorage(clock=self.clock)
        clocks: list[Callable[[], float]] = [self.clock, lambda: self.clock() - BEHIND]
        self.servers = [make_manager(self.storage, clock, clock_tolerance=60) for clock in clocks]
        self.clocks = clocks
        self.marks = [-1] * len(TENANTS)
        self.logins: list[Login] = []

    def teardown(self) -> None:
        for server in self.servers:
            self.run(server.aclose())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @rule(seconds=st.sampled_from([0.5, 1, 10, 59, 1000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(at=servers, tenant=tenants)
    def log_in(self, at: int, tenant: int) -> None:
        cookies, session = self.visit(at, {}, tenant, lambda session: session.update(sub="ann"))
        assert not session.is_new
        self.logins.append(Login(cookies, tenant, max(int(self.clocks[at]()), self.marks[tenant] + 1)))

    @precondition(lambda self: self.logins)
    @rule(at=servers, number=numbers, act=st.sampled_from(["look", "write", "refresh", "renew"]))
    def use(self, at: int, number: int, act: str) -> None:
        login = self.logins[number % len(self.logins)]
        brought = {REFRESH: login.cookies[REFRESH]} if act == "refresh" else login.cookies
        acts = {"write": lambda session: session.update(theme="dark"), "renew": Session.renew}
        cookies, session = self.visit(at, brought, login.tenant, acts.get(act, lambda _: None), only_old=login.is_out)
        assert (session.subject is None) == login.is_out, (act, session.rejected)
        assert not isinstance(session.rejected, TokenReused)
        if not login.is_out:
            login.cookies = {**login.cookies, **cookies}

    @rule(tenant=st.none() | tenants, back=st.sampled_from([None, None, 0, 1, 5, 60]))
    def everyone_out(self, tenant: int | None, back: int | None) -> None:
        """By the server whose clock is ahead; the other one knows a second later."""
        before = None if back is None else int(self.clock()) - back
        named = [number for number in range(len(TENANTS)) if tenant in (None, number)]
        scope: Mapping[str, str] | None = None if tenant is None else TENANTS[tenant] or {}
        over = self.run(self.servers[0].revoke_all(before, env=scope))
        assert over >= (int(self.clock()) if before is None else before)
        for number in named:
            self.marks[number] = max(self.marks[number], over)
        for login in self.logins:
            login.is_out |= login.tenant in named and (before is None or login.began <= self.marks[login.tenant])
        self.clock.advance(1)
        self.run(self.knows(self.servers[1]))

    async def knows(self, server: SessionManager) -> None:
        """Has a server ask for every mark, as the first request of each tenant does."""
        for tenant in TENANTS:
            stale = {REFRESH: (await self.cookies_of_nobody(server, tenant))}
            await server.load(stale, tenant)

    async def cookies_of_nobody(self, server: SessionManager, tenant: Mapping[str, str] | None) -> str:
        session = await server.load({}, tenant)
        session["sub"] = "nobody"
        changes = {change.name: change.value or "" for change in await server.save(session)}
        await server.revoke(session.sid)
        return changes[REFRESH]

    @rule()
    def lists_agree(self) -> None:
        for server in self.servers:
            assert len(self.run(server.sessions("ann"))) == sum(not login.is_out for login in self.logins)

    def visit(
        self,
        at: int,
        cookies: dict[str, str],
        tenant: int,
        act: Callable[[Session], object],
        *,
        only_old: bool = False,
    ) -> tuple[dict[str, str], Session]:
        async def work() -> tuple[dict[str, str], Session]:
            session = await self.servers[at].load(cookies, TENANTS[tenant])
            if only_old:
                assert session.is_new
                return {}, session
            act(session)
            changes = await self.servers[at].save(session)
            return {change.name: change.value for change in changes if change.value is not None}, session

        return self.run(work())


TestEveryoneOut = EveryoneOut.TestCase
TestEveryoneOut.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
