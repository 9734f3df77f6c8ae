"""The 93 outcomes of the original, through SessionConfig.from_mapping and SessionManager alone."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from aiohttp_lionrock import ConfigError, CookieChange, JtiEvent, Session, SessionConfig, SessionManager
from aiohttp_lionrock.errors import SessionTooLarge

FILE = Path(__file__).parent / "vectors" / "lionrockjs.json"
VECTORS = json.loads(FILE.read_text())["vectors"]
UNNAMED = {"secure": "secure", "httpOnly": "http_only", "sameSite": "same_site", "path": "path", "maxAge": "max_age"}


class Callbacks:
    """Persist and verify callbacks that record their calls, as the vectors were made."""

    def __init__(self, revoked: list[str]) -> None:
        self.revoked = revoked
        self.calls: list[dict[str, Any]] = []

    async def persist(self, event: JtiEvent) -> None:
        self._record("persist", event, jti_is_string=isinstance(event.jti, str))

    async def verify(self, event: JtiEvent) -> bool:
        self._record("verify", event, jti=event.jti)
        return event.jti not in self.revoked

    def _record(self, call: str, event: JtiEvent, **more: Any) -> None:
        used = {"token_use": event.token_use, "exp": event.exp, "sid": event.session.sid}
        self.calls.append({"call": call, **more, **used})


def build(vector: dict[str, Any]) -> tuple[SessionManager, Callbacks]:
    settings = dict(vector["config"])
    callbacks = Callbacks([])
    if "jti" in settings:
        settings["jti"] = dict(settings["jti"])
        callbacks.revoked = settings["jti"].pop("revoked", [])
        settings["jti"].update(persist=callbacks.persist, verify=callbacks.verify)
    settings["cookie"] = {"sameSite": "Strict"} | (vector.get("cookie_config") or {})  # the default of the original
    config = SessionConfig.from_mapping(settings)
    return SessionManager(config, clock=lambda: vector["now"], environ=vector["env"]), callbacks


def segments(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload))  # type: ignore[return-value]


def shown(change: CookieChange, expected: dict[str, Any]) -> dict[str, Any]:
    """A cookie in the form of the vectors, with no more fields than the vector compares."""
    assert change.value is not None
    header, claims = segments(change.value)
    has_jti = bool(claims.pop("jti", None))
    if "id" not in expected["claims"]:
        assert claims.pop("id")
    options = {js: change.options[name] for js, name in UNNAMED.items() if change.options[name] is not None}
    form = {"name": change.name, "header": header, "claims": claims, "has_jti": has_jti, "options": options}
    assert list(claims)[:2] in (["id", "sid"], ["sid", "creator"])
    return {key: form[key] for key in expected}


def check_cookies(changes: list[CookieChange], expected: list[dict[str, Any]]) -> None:
    assert len(changes) == len(expected)
    assert [shown(change, form) for change, form in zip(changes, expected, strict=True)] == expected


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] == "read"], ids=lambda v: v["name"])
async def test_a_cookie_is_read_as_the_original_reads_it(vector: dict[str, Any]) -> None:
    expect = vector["expect"]
    callbacks = Callbacks([])
    try:
        manager, callbacks = build(vector)
        session = await manager.load(vector["cookies"], vector["request_env"])
        changes = await manager.save(session)
    except ConfigError:
        assert expect["outcome"] == "reject"
        return
    if expect["outcome"] == "session":
        shown_session = {"id": session.id, "sid": session.sid, "creator": session.creator, **session}
        assert shown_session == expect["session"]
        assert not session.is_new
        assert session.rejected is None
        check_cookies(changes, expect["set_cookies"])
    else:
        assert session.is_new
        assert not session
        assert (session.rejected is not None) == (expect["outcome"] == "reject")
        assert changes == []
        assert expect["code"] in (None, session.rejected.code) if session.rejected else True
    assert callbacks.calls == expect.get("jti_calls", [])


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] == "write"], ids=lambda v: v["name"])
async def test_a_session_is_written_as_the_original_writes_it(vector: dict[str, Any]) -> None:
    expect = vector["expect"]
    fields = dict(vector["session"])
    own = {name: fields.pop(name) for name in ("id", "sid", "creator")}
    callbacks = Callbacks([])
    try:
        manager, callbacks = build(vector)
        session = Session(fields, **own)
        changes = await manager.save(session)
    except (ConfigError, SessionTooLarge):
        assert expect["outcome"] == "error"
        return
    assert expect["outcome"] == "written"
    assert (session.id != own["id"]) == expect["id_assigned"]
    check_cookies(changes, expect["set_cookies"])
    assert callbacks.calls == expect.get("jti_calls", [])


def test_every_vector_is_run() -> None:
    assert len(VECTORS) == 93
    assert {vector["kind"] for vector in VECTORS} == {"read", "write"}
