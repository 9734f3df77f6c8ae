"""A browser at the manager's seam: it keeps the cookies it is given and brings them back."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any, Self

from aiohttp_lionrock import CookieChange, JtiRecord, JtiStorage, Session, SessionConfig, SessionManager, TokenError
from aiohttp_lionrock.storage import Clock

__all__ = [
    "ACCESS",
    "ACCESS_LIFETIME",
    "LEEWAY",
    "REFRESH",
    "REFRESH_LIFETIME",
    "SECRET",
    "ZONE",
    "Browser",
    "assert_deleted",
    "assert_untouched",
    "claims",
    "leeway_begun",
    "make_manager",
    "record_of",
    "visits",
]

SECRET = "known to nobody but these tests: 0123456789"
ACCESS, REFRESH = "lionrock-session", "lionrock-session-refresh"
ACCESS_LIFETIME, REFRESH_LIFETIME = 600, 30 * 24 * 3600  # seconds
LEEWAY = 30  # seconds; the default of jti.reuse_leeway
ZONE = LEEWAY + 30  # seconds; beyond it, with jti.max_clock_skew, a rotated token is a replay


def make_manager(storage: JtiStorage | str | None, clock: Clock, **settings: Any) -> SessionManager:
    """A manager with refresh tokens, no clock tolerance and an environment of its own, but for the settings given."""
    settings = {
        "secret": SECRET,
        "access_token": {"expires": ACCESS_LIFETIME},
        "refresh_token": True,
        "clock_tolerance": 0,
        "storage": storage,
        **settings,
    }
    return SessionManager(SessionConfig.from_mapping(settings), clock=clock, environ={})


def claims(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    payload = token.split(".")[1]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return read


class Browser:
    """Cookies by name. ``changes`` is what the last response sent."""

    def __init__(self, manager: SessionManager, cookies: dict[str, str] | None = None) -> None:
        self.manager = manager
        self.cookies = dict(cookies or {})
        self.changes: list[CookieChange] = []

    def copy(self, manager: SessionManager | None = None) -> Self:
        """Another holder of the same cookies: a thief, or a server beside the first."""
        return type(self)(manager or self.manager, self.cookies)

    async def visit(self, *acts: Callable[[Session], object], only: str | None = None) -> Session:
        """One request and its response; ``acts`` is what the handler does, ``only`` the one cookie that is sent."""
        sent = {name: value for name, value in self.cookies.items() if only in (None, name)}
        session = await self.manager.load(sent)
        for act in acts:
            act(session)
        self.receive(await self.manager.save(session))
        return session

    async def refresh(self, *acts: Callable[[Session], object]) -> Session:
        """A visit without the access cookie, as after its expiry."""
        return await self.visit(*acts, only=REFRESH)

    async def log_in(self, sub: Any = "ann", **data: Any) -> Session:
        return await self.visit(Session.renew, lambda session: session.update(sub=sub, **data))

    async def log_out(self) -> Session:
        return await self.visit(Session.invalidate)

    async def write(self, **data: Any) -> Session:
        return await self.visit(lambda session: session.update(data))

    def receive(self, changes: list[CookieChange]) -> None:
        self.changes = changes
        for change in changes:
            if change.value is None:
                self.cookies.pop(change.name, None)
            else:
                self.cookies[change.name] = change.value

    @property
    def sent(self) -> dict[str, str | None]:
        """The cookies of the last response; None where one was deleted."""
        return {change.name: change.value for change in self.changes}

    @property
    def access(self) -> dict[str, Any]:
        return claims(self.cookies[ACCESS])

    @property
    def refreshing(self) -> dict[str, Any]:
        return claims(self.cookies[REFRESH])

    @property
    def sid(self) -> str:
        return str(self.refreshing["sid"] if REFRESH in self.cookies else self.access["sid"])

    async def is_logged_in(self) -> bool:
        """Whether each cookie, brought alone, is honoured: all or none. Nothing is saved, so nothing is rotated."""
        loaded = [await self.manager.load({name: value}) for name, value in self.cookies.items()]
        honoured = {not session.is_new for session in loaded}
        assert len(honoured) < 2, "one cookie is honoured, the other one is not"
        return honoured == {True}


async def record_of(browser: Browser) -> JtiRecord:
    assert browser.manager.storage is not None
    record = await browser.manager.storage.get(browser.sid)
    assert record is not None
    return record


async def leeway_begun(browser: Browser) -> JtiRecord:
    """The record once its leeway runs: that begins in a write of its own, which follows the answer."""
    async with asyncio.timeout(5):
        while (record := await record_of(browser)).previous_jti is not None and record.rotated_at is None:
            await asyncio.sleep(0)
    return record


def assert_untouched(browser: Browser, session: Session, reason: type[TokenError]) -> None:
    """The last response sent no cookie, and its session stands refused, for exactly this reason."""
    assert browser.sent == {}
    assert type(session.rejected) is reason


def assert_deleted(browser: Browser, *names: str) -> None:
    """The last response deletes these cookies and sends no other."""
    assert browser.sent == dict.fromkeys(names)


def visits(session: Session) -> None:
    session["visits"] = session.get("visits", 0) + 1
