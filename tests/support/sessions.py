"""Sessions that are stored and read again without a browser."""

import base64
import json
from typing import Any

from aiohttp_lionrock import (
    CookieChange,
    JtiRecord,
    MemoryStorage,
    Session,
    SessionConfig,
    SessionDataError,
    SessionManager,
)

__all__ = [
    "NAME",
    "NOW",
    "OWN",
    "RESERVED",
    "SECRET",
    "Recorder",
    "claims_of",
    "cookies_of",
    "manager_with",
    "refusal",
    "same",
    "stored",
]


NOW = 1_800_000_000
SECRET = "correct horse battery staple, and then some"
NAME = "lionrock-session"
RESERVED = ["aud", "exp", "iat", "iss", "jti", "nbf", "token_use"]
OWN = ["id", "sid", "creator", "orig_iat"]


class Recorder(MemoryStorage):
    """A storage that remembers which calls would have changed it."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW)
        self.writes: list[str] = []

    async def insert(self, record: JtiRecord) -> None:
        self.writes.append("insert")
        await super().insert(record)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        self.writes.append("replace")
        return await super().replace(record, expected_version)

    async def delete(self, sid: str) -> JtiRecord | None:
        self.writes.append("delete")
        return await super().delete(sid)


def manager_with(**changes: Any) -> SessionManager:
    return SessionManager(SessionConfig(**({"secret": SECRET} | changes)), clock=lambda: NOW, environ={})


def cookies_of(changes: list[CookieChange]) -> dict[str, str]:
    return {change.name: change.value for change in changes if change.value is not None}


async def stored(manager: SessionManager, **data: Any) -> dict[str, str]:
    """The cookies of a session that holds this."""
    session = await manager.load({})
    session.update(data)
    return cookies_of(await manager.save(session))


def claims_of(cookies: dict[str, str], name: str = NAME) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(cookies[name].split(".")[1] + "=="))


def refusal(session: Session, key: str, value: Any) -> SessionDataError | None:
    """Stores a value, or gives back the error that it met."""
    try:
        session[key] = value
    except SessionDataError as fault:
        return fault
    return None


def same(one: object, other: object) -> bool:
    """Equal in type at every depth, where 1 is neither True nor 1.0 and -0.0 is not 0.0."""
    return repr(one) == repr(other)
