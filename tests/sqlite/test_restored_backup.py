"""A backup that was restored brings back what was ended since it was made, until everyone of before it is put out."""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.browser import Browser, make_manager

from aiohttp_lionrock import Session, SessionManager
from aiohttp_lionrock.testing import FakeClock

HOUR = 3600


class Site:
    """One server after another on a SQLite file, of which a backup is made and restored."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.file = folder / "sessions.db"
        self.backup = folder / "backup.db"

    def server(self) -> SessionManager:
        return make_manager(f"sqlite:///{self.file}", self.clock)

    def back_up(self) -> float:
        with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(self.backup)) as target:
            source.backup(target)
        return self.clock()

    def restore(self) -> None:
        for file in self.file.parent.glob("sessions.db*"):
            file.unlink()
        shutil.copy(self.backup, self.file)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


ENDINGS: dict[str, Callable[[Browser], Awaitable[object]]] = {
    "logout": lambda browser: browser.log_out(),
    "revoked": lambda browser: browser.manager.revoke(browser.sid),
    "revoked subject": lambda browser: browser.manager.revoke_subject("ann"),
    "everyone": lambda browser: browser.manager.revoke_all(),
    "renewed": lambda browser: browser.visit(Session.renew),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("called", ["before the start", "after the start"])
async def test_what_was_ended_since_the_backup_is_ended_by_a_call_with_its_time(
    site: Site, ending: str, called: str
) -> None:
    async with site.server() as server:
        browser = Browser(server)
        await browser.log_in()
        site.clock.advance(1)
        backup_time = site.back_up()
        site.clock.advance(HOUR / 12)
        stolen = browser.copy()
        await ENDINGS[ending](browser)
        assert (await stolen.visit()).is_new
    site.clock.advance(HOUR / 12)
    site.restore()
    async with site.server() as server:
        thief = stolen.copy(server)
        if called == "after the start":
            assert not (await thief.visit(Session.renew)).is_new  # the danger: it lives, and may even be renewed
        await server.revoke_all(backup_time)
        for one in (thief, stolen.copy(server)):
            assert (await one.visit()).is_new
            assert (await one.refresh()).is_new
        assert await server.sessions("ann") == []
        late = Browser(server)
        await late.log_in()
        assert await late.is_logged_in()
        assert [record.sid for record in await server.sessions("ann")] == [late.sid]
