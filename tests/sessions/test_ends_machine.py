"""The ends of a session, whatever is done with it: nothing outlives its end, and nothing in use dies before it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.browser import ACCESS, REFRESH, SECRET
from support.storages import KINDS, storage_of_kind

from aiohttp_lionrock import CookieChange, JtiStorage, Session, SessionConfig, SessionManager
from aiohttp_lionrock.storage import Clock
from aiohttp_lionrock.testing import FakeClock

HOUR, DAY = 3600, 86_400
SHORT = 900  # seconds of an access token that has a refresh token beside it
IDLE, TOUCH = 1800, 300
TOTAL, ANONYMOUS = 3 * DAY, DAY
TOLERANCE = 60

pauses = st.one_of(st.sampled_from([1, 59, TOUCH, SHORT, HOUR, 5 * HOUR, DAY]), st.integers(1, 4 * HOUR))
terms = st.sampled_from([None, 600, HOUR, DAY, 90 * DAY])


@dataclass
class Expected:
    """What is promised of the session that the browser has. ``issued``: when its last token was last written."""

    user: str | None
    began: int
    used: int
    issued: int
    until: int | None = None
    authenticated_at: int | None = None


class Ends(RuleBasedStateMachine):
    """One browser, which drops its cookies at their Max-Age, and a server whose clock is set back now and then."""

    def __init__(self, make_storage: Callable[[Clock], JtiStorage] | None) -> None:
        super().__init__()
        self.make_storage = make_storage
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.elapsed = 0  # seconds by the browser's clock, which nobody sets back
        self.peak = int(self.clock())
        self.cookies: dict[str, tuple[str, float]] = {}  # value, and when the browser drops it
        self.expected: Expected | None = None

    @initialize(
        refresh=st.sampled_from([None, True, {"rotate": False}]),
        idle=st.sampled_from([None, IDLE]),
        total=st.sampled_from([None, TOTAL]),
        anonymous=st.sampled_from([None, ANONYMOUS]),
    )
    def start(self, refresh: Any, idle: int | None, total: int | None, anonymous: int | None) -> None:
        self.has_refresh, self.idle, self.total, self.anonymous = refresh is not None, idle, total, anonymous
        self.lifetime = {ACCESS: SHORT if self.has_refresh else 2 * HOUR, REFRESH: 30 * DAY}
        config = SessionConfig(
            secret=SECRET,
            access_token={"expires": self.lifetime[ACCESS]},
            refresh_token=refresh,
            storage=self.make_storage and self.make_storage(self.clock),
            clock_tolerance=TOLERANCE,
            idle_timeout=idle,
            touch_interval=idle and TOUCH,
            max_lifetime=total,
            anonymous_lifetime=anonymous,
        )
        self.manager = SessionManager(config, clock=self.clock, environ={})

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            self.run(self.manager.aclose())
        self.loop.close()

    @rule(seconds=pauses)
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.elapsed += seconds

    @precondition(lambda self: self.expected is not None)
    @rule(data=st.data(), offset=st.sampled_from([-1, 0, 1, TOLERANCE - 1, TOLERANCE]))
    def look_when_something_ends(self, data: st.DataObject, offset: int) -> None:
        expected = self.expected
        assert expected is not None
        ends = [expected.used + TOUCH, expected.issued + SHORT, self.end(expected), self.limit(expected)]
        if self.idle is not None:
            ends += [expected.used + self.idle, expected.used + self.idle - TOUCH]
        coming = sorted({int(end) for end in ends if self.clock() < end + offset < float("inf")})
        if coming:
            self.time_passes(data.draw(st.sampled_from(coming)) + offset - int(self.clock()))
            self.visit()

    @precondition(lambda self: self.expected is not None)  # what has ended may be back by a clock that is set back
    @rule(seconds=st.integers(1, TOLERANCE))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.clock.now = max(self.clock.now - seconds, min(self.clock.now, self.peak - TOLERANCE))

    @rule()
    def look(self) -> None:
        self.visit()

    @rule()
    def write(self) -> None:
        def count(session: Session) -> None:
            session["visits"] = session.get("visits", 0) + 1

        self.visit(count)
        if self.expected is None:
            self.expect_new(None)

    @rule(user=st.sampled_from(["ann", "bob"]), term=terms, renews=st.booleans())
    def log_in(self, user: str, term: int | None, renews: bool) -> None:
        def log_in(session: Session) -> None:
            session.renew()
            session["sub"] = user
            if term is not None:
                session.expire_in(term)

        self.visit(log_in)
        self.expect_new(user, term)

    @rule()
    def leave_with_a_notice(self) -> None:
        def leave(session: Session) -> None:
            session["notice"] = session.get("notice", 0) + 1
            session.pop("sub", None)

        self.visit(leave)
        if self.expected is None or self.expected.user is not None:
            self.expect_new(None)

    @rule()
    def log_out(self) -> None:
        self.visit(Session.invalidate)
        assert not self.cookies
        self.expected = None

    @rule()
    def renew(self) -> None:
        self.visit(Session.renew)

    @precondition(lambda self: self.expected is not None)
    @rule(term=terms)
    def choose_a_term(self, term: int | None) -> None:
        self.visit(lambda session: session.expire_in(term))
        if self.expected is not None:
            self.expected.until = None if term is None else int(self.clock()) + term

    @precondition(lambda self: self.expected is not None and self.expected.user is not None)
    @rule()
    def prove_it(self) -> None:
        def authenticate(session: Session) -> None:
            if session.subject is not None:
                session.authenticate()

        self.visit(authenticate)
        if self.expected is not None:
            self.expected.authenticated_at = int(self.clock())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def visit(self, *acts: Callable[[Session], object]) -> None:
        """One request; what was promised is checked as it comes in."""
        self.cookies = {name: kept for name, kept in self.cookies.items() if kept[1] > self.elapsed}
        self.peak = max(self.peak, int(self.clock()))
        self.run(self.exchange(acts))

    async def exchange(self, acts: tuple[Callable[[Session], object], ...]) -> None:
        session = await self.manager.load({name: value for name, (value, _) in self.cookies.items()})
        self.check(session)
        for act in acts:
            act(session)
        self.receive(await self.manager.save(session))
        await asyncio.sleep(0)  # for what follows the answer

    def receive(self, changes: list[CookieChange]) -> None:
        for change in changes:
            age = change.options.max_age
            if change.value is None:
                self.cookies.pop(change.name, None)
                continue
            self.cookies[change.name] = change.value, float("inf") if age is None else self.elapsed + age
            if self.expected is not None and change.name == self.last_token(self.expected):
                self.expected.issued = int(self.clock())

    def check(self, session: Session) -> None:
        expected, now = self.expected, int(self.clock())
        if session.is_new:
            assert expected is None or not self.must_live(expected, now), (expected, session.rejected)
            self.expected = None
            return
        assert expected is not None
        assert not self.must_have_ended(expected, now), expected
        assert (session.subject, session.authenticated_at) == (expected.user, expected.authenticated_at)
        expected.used = max(expected.used, now)

    def must_live(self, expected: Expected, now: int) -> bool:
        """A use is noted at most once in an interval, so an idle session may end so much earlier."""
        allowed = self.idle_of(expected)
        idle = allowed is None or now < expected.used + allowed - TOUCH
        return idle and now < self.end(expected) and self.last_token(expected) in self.cookies

    def must_have_ended(self, expected: Expected, now: int) -> bool:
        """Clocks may differ, so a token lives a little longer; what ends the session itself does so to the second."""
        allowed = self.idle_of(expected)
        is_idle = allowed is not None and now >= expected.used + allowed
        return is_idle or now >= min(self.limit(expected), self.end(expected) + TOLERANCE)

    def idle_of(self, expected: Expected) -> int | None:
        """A login with a term of its own does not end by idleness."""
        return self.idle if expected.until is None else None

    def end(self, expected: Expected) -> float:
        lifetime = self.lifetime[REFRESH if self.has_refresh else ACCESS]  # of a visitor's one token too
        return min(expected.issued + lifetime if expected.until is None else expected.until, self.limit(expected))

    def limit(self, expected: Expected) -> float:
        limits = [self.total, self.anonymous if expected.user is None else None]
        ends = [expected.began + limit for limit in limits if limit is not None]
        return min([float("inf"), *ends, *(() if expected.until is None else (expected.until,))])

    def last_token(self, expected: Expected) -> str:
        is_alone = not self.has_refresh or (self.anonymous is not None and expected.user is None)
        return ACCESS if is_alone else REFRESH

    def expect_new(self, user: str | None, term: int | None = None) -> None:
        now = int(self.clock())
        until = None if term is None else now + term
        self.expected = Expected(user, now, now, now, until, None if user is None else now)
        assert self.last_token(self.expected) in self.cookies
        assert self.cookies[self.last_token(self.expected)][1] >= self.elapsed + min(
            self.end(self.expected) - now, self.idle_of(self.expected) or float("inf")
        )


@pytest.mark.parametrize(("kind", "examples"), [("", 200), *zip(KINDS, (200, 80, 60), strict=True)])
def test_a_session_ends_when_it_is_to_and_not_before(request: pytest.FixtureRequest, kind: str, examples: int) -> None:
    make = None if not kind else lambda clock: storage_of_kind(kind, request, clock)
    run_state_machine_as_test(
        lambda: Ends(make), settings=settings(max_examples=examples, stateful_step_count=50, deadline=None)
    )
