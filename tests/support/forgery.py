"""A forge that signs anything at all, and a storage that nothing refused may reach.

A hostile token differs from a good one in one thing, its jti included: a check that is missing shows as a call of the
storage, which fails the test.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp_lionrock import JtiRecord, JtiStorage, SessionConfig, SessionManager, TokenError

__all__ = [
    "ABSENT",
    "HEADER",
    "HUGE",
    "NAME",
    "NOW",
    "REFRESH",
    "SECRET",
    "Refuse",
    "Untouchable",
    "b64",
    "claims",
    "forge",
    "manager_with",
    "sign",
    "to_bytes",
    "with_member",
]


NOW = 1_800_000_000
SECRET = "correct horse battery staple, thrice over"
NAME = "lionrock-session"
REFRESH = "lionrock-session-refresh"
HUGE = 1_000_000
HEADER = {"alg": "HS256", "typ": "JWT"}
ABSENT = object()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(part: object) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()


def sign(signing_input: str, secret: str | bytes = SECRET, digest: str = "sha256") -> str:
    """A correct signature over any text, whatever its shape."""
    key = secret if isinstance(secret, bytes) else secret.encode()
    mac = hmac.new(key, signing_input.encode("utf-8", "surrogateescape"), getattr(hashlib, digest)).digest()
    return f"{signing_input}.{b64(mac)}"


def forge(payload: object = None, header: object = None, secret: str | bytes = SECRET, digest: str = "sha256") -> str:
    payload = claims() if payload is None else payload
    return sign(f"{b64(to_bytes(HEADER if header is None else header))}.{b64(to_bytes(payload))}", secret, digest)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, with these changed; ABSENT leaves one out."""
    good = {"id": None, "sid": "sid-1", "creator": "SessionJWT", "user": "ada"}
    good |= {"iat": NOW, "nbf": NOW, "exp": NOW + 7200, "jti": "jti-1"}
    return {name: value for name, value in (good | changes).items() if value is not ABSENT}


def with_member(member: bytes) -> bytes:
    """The text of good claims with one more member, written as given."""
    return to_bytes(claims())[:-1] + b',"x":' + member + b"}"


class Untouchable(JtiStorage):
    """A storage that fails the test as soon as it is asked anything."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW)
        self.calls: list[str] = []

    @classmethod
    def from_url(cls, url: str) -> "Untouchable":
        raise NotImplementedError

    def _touched(self, call: str) -> Any:
        self.calls.append(call)
        raise AssertionError(f"the storage was asked to {call}")

    async def open(self) -> None:
        self._touched("open")

    async def insert(self, record: JtiRecord) -> None:
        self._touched("insert")

    async def get(self, sid: str) -> JtiRecord | None:
        return self._touched("get")

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return self._touched("replace")

    async def delete(self, sid: str) -> JtiRecord | None:
        return self._touched("delete")

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        return self._touched("delete_subject")

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return self._touched("list_subject")

    async def purge(self, limit: int) -> int:
        return self._touched("purge")

    async def ping(self) -> None:
        self._touched("ping")


def manager_with(storage: JtiStorage | None, **settings_: Any) -> SessionManager:
    return SessionManager(SessionConfig(secret=SECRET, storage=storage, **settings_), clock=lambda: NOW, environ={})


Refuse = Callable[..., Awaitable[TokenError]]
