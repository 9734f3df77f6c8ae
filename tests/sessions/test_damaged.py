"""A record that somebody has damaged, in a real SQLite file: it keeps no other alive, and can be ended itself."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage
from support.browser import Browser, make_manager

from aiohttp_lionrock import CorruptRecord, Session, SessionManager, TokenRevoked
from aiohttp_lionrock.testing import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
async def manager(path: Path, clock: FakeClock) -> AsyncIterator[SessionManager]:
    async with make_manager(SqliteStorage(path, clock=clock), clock) as manager:
        yield manager


def damage(path: Path, sid: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE lionrock_sessions SET packed = 'garbage' WHERE sid = ?", (sid,))


@pytest.mark.parametrize("everyone_was_out", [False, True], ids=["", "after revoke_all"])
async def test_it_keeps_no_other_session_of_its_user_alive(
    manager: SessionManager, path: Path, clock: FakeClock, everyone_was_out: bool
) -> None:
    if everyone_was_out:
        await manager.revoke_all()
        clock.advance(5)
    sound, damaged = Browser(manager), Browser(manager)
    for browser in (sound, damaged):
        await browser.log_in()
    damage(path, damaged.sid)
    assert await manager.revoke_subject("ann") == 2
    for browser in (sound, damaged):
        assert isinstance((await browser.visit()).rejected, TokenRevoked)


async def test_it_is_ended_through_the_sid_that_it_took_over_from(
    manager: SessionManager, path: Path, clock: FakeClock
) -> None:
    browser = Browser(manager)
    await browser.log_in()
    former = browser.sid
    await browser.visit(Session.renew)
    damage(path, browser.sid)
    with pytest.raises(CorruptRecord):
        await browser.visit()
    assert await manager.revoke(former)
    assert isinstance((await browser.visit()).rejected, TokenRevoked)
