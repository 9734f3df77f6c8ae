"""jti.require=False: sessions from before jti was on are taken over at their next write. With callbacks alone."""

from collections.abc import Callable
from typing import Any

import pytest
from support.browser import ACCESS, REFRESH, Browser, assert_untouched, make_manager, visits

from aiohttp_lionrock import JtiEvent, SessionManager, TokenClaimError, TokenRevoked
from aiohttp_lionrock.testing import FakeClock


class Ledger:
    """An application's own store of ids."""

    def __init__(self) -> None:
        self.known: set[str | None] = set()
        self.asked: list[str | None] = []

    def persist(self, event: JtiEvent) -> None:
        self.known.add(event.jti)

    def verify(self, event: JtiEvent) -> bool:
        self.asked.append(event.jti)
        return event.jti in self.known


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def server(clock: FakeClock, ledger: Ledger) -> Callable[..., SessionManager]:
    def make(**jti: Any) -> SessionManager:
        callbacks = {"token_use": "both", "persist": ledger.persist, "verify": ledger.verify}
        return make_manager(None, clock, jti={**callbacks, **jti})

    return make


@pytest.fixture
async def migrant(server: Callable[..., SessionManager], clock: FakeClock) -> Browser:
    """A visitor whose tokens were made before jti was switched on, at a server that lets such pass."""
    before = Browser(make_manager(None, clock))
    await before.log_in(theme="dark")
    return before.copy(server(require=False))


@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_a_token_without_a_jti_is_refused_unless_it_is_a_migration(
    migrant: Browser, manager: SessionManager, server: Callable[..., SessionManager], cookie: str
) -> None:
    for strict in (server(), manager):
        refused = migrant.copy(strict)
        assert_untouched(refused, await refused.visit(only=cookie), TokenClaimError)
    assert not (await migrant.copy().visit(only=cookie)).is_new


@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_a_migrating_session_has_its_ids_from_its_next_write_on(
    migrant: Browser, ledger: Ledger, cookie: str
) -> None:
    sid = migrant.sid
    await migrant.visit(visits, only=cookie)
    assert ledger.asked == []
    assert migrant.sid == sid
    assert ledger.known == {migrant.access["jti"], migrant.refreshing["jti"]}
    assert await migrant.is_logged_in()
    assert set(ledger.asked) == ledger.known


async def test_once_it_has_ids_a_migrant_is_revocable_by_its_new_tokens(migrant: Browser, ledger: Ledger) -> None:
    await migrant.visit(visits)
    ledger.known.clear()
    assert_untouched(migrant, await migrant.visit(), TokenRevoked)
    assert_untouched(migrant, await migrant.refresh(), TokenRevoked)


async def test_during_a_migration_an_old_token_can_bring_back_what_was_ended(migrant: Browser, ledger: Ledger) -> None:
    """The documented weakness: nothing tells a token without a jti that its session was ended."""
    old = migrant.copy()
    await migrant.visit(visits)
    await migrant.log_out()
    ledger.known.clear()
    await old.visit(visits)
    assert await old.is_logged_in()
