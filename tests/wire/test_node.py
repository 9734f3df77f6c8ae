"""Sessions pass between this library and a Node.js process that keeps the wire contract with node:crypto alone."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from aiohttp_lionrock import JtiEvent, Session, SessionConfig, SessionManager
from aiohttp_lionrock.testing import FakeClock

PEER = Path(__file__).with_name("peer.mjs")
NAME, REFRESH = "lionrock-session", "lionrock-session-refresh"
SECRET = "a secret that two applications share"
OLD = "the secret that both had before this"
DATA: dict[str, Any] = {
    "sub": 42,
    "cart": [{"id": 1, "price": 9.5, "gone": None}, []],
    "name": 'Änne 李 🦁 \u2028 " \\ / \x7f',
    "ключ": {"deep": {"deeper": [True, False, 2**53 - 1, -0.5, 1e-7]}},
    "empty": {"text": "", "list": [], "object": {}},
}


class Peer:
    """The process, and what it is asked."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, now: float, cookies: dict[str, str] | None = None, **question: Any) -> dict[str, Any]:
        """One request to the other application; its answer has the session, why one was refused, and cookies."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"now": int(now), "cookies": cookies or {}, **question})
        print(line, file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert isinstance(answer, dict)
        return answer


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """A Node.js process. Where there is no Node.js the test is skipped, and fails under ``CI=true``."""
    node = shutil.which("node")
    if node is None:
        reason = "no node on the PATH: nothing is shown of sharing sessions with an application on Node.js"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with subprocess.Popen([node, PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Peer(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


class Here:
    """This application: settings as the peer writes them, a clock, and one request at a time."""

    def __init__(self, clock: FakeClock, settings: dict[str, Any], env: dict[str, str] | None = None) -> None:
        config = SessionConfig.from_mapping({"cookie": {"sameSite": "Strict"}, **settings})
        self.manager = SessionManager(config, clock=clock, environ=env or {})

    async def load(self, cookies: dict[str, str]) -> Session:
        return await self.manager.load(cookies)

    async def request(self, cookies: dict[str, str] | None = None, **data: Any) -> dict[str, str]:
        """Stores data in the session of these cookies; the cookies after that."""
        session = await self.manager.load(cookies or {})
        assert session.rejected is None
        session.update(data)
        changes = await self.manager.save(session)
        return {**(cookies or {}), **{change.name: change.value for change in changes if change.value is not None}}


VARIANTS: list[dict[str, Any]] = [
    {},
    {"algorithm": "HS384", "secret": SECRET * 2},
    {"algorithm": "HS512", "secret": SECRET * 2, "name": "shop"},
    {"issuer": "shop", "audience": ["web", "api"], "expires": 600},
    {"refreshToken": {"expires": 86400}, "accessToken": {"expires": 300}},
]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_800_000_000)


@pytest.mark.parametrize("variant", VARIANTS, ids=json.dumps)
async def test_a_session_goes_there_and_back_unchanged(peer: Peer, clock: FakeClock, variant: dict[str, Any]) -> None:
    settings = {"secret": SECRET, **variant}
    here = Here(clock, settings)
    cookies = await here.request(**DATA)
    there = peer(clock(), cookies, settings=settings, set={"seen": "there"})
    assert there["rejected"] is None
    assert {name: there["session"][name] for name in DATA} == DATA
    back = await here.load({**cookies, **there["cookies"]})
    assert dict(back) == {**DATA, "seen": "there"}
    assert (back.rejected, back.is_new) == (None, False)
    assert (back.id, back.sid) == (there["session"]["id"], there["session"]["sid"])


@pytest.mark.parametrize("variant", VARIANTS, ids=json.dumps)
async def test_a_session_that_begins_there_goes_on_here(peer: Peer, clock: FakeClock, variant: dict[str, Any]) -> None:
    settings = {"secret": SECRET, **variant}
    begun = peer(clock(), settings=settings, set=DATA)
    here = Here(clock, settings)
    session = await here.load(begun["cookies"])
    assert (dict(session), session.sid, session.creator) == (DATA, begun["session"]["sid"], "SessionJWT")
    cookies = await here.request(begun["cookies"], seen="here")
    there = peer(clock(), cookies, settings=settings)
    assert there["session"] == {**begun["session"], "seen": "here"}


async def test_both_sign_the_same_bytes_of_the_same_claims(peer: Peer, clock: FakeClock) -> None:
    """The contract leaves the order of names open; both write them as the original does."""
    settings = {"secret": SECRET}
    cookies = await Here(clock, settings).request(name="李")
    there = peer(clock(), cookies, settings=settings, set={"name": "李"})
    assert there["cookies"][NAME] == cookies[NAME]


async def test_a_previous_secret_is_honoured_on_both_sides_and_the_new_one_signs(peer: Peer, clock: FakeClock) -> None:
    before, after = {"SESSION_SECRET": OLD}, {"SESSION_SECRET": SECRET, "SESSION_SECRET_PREVIOUS": OLD}
    alone = {"SESSION_SECRET": SECRET}
    old_here = await Here(clock, {}, before).request(user="ann")
    old_there = peer(clock(), env=before, set={"user": "bob"})["cookies"]
    for cookies, user in ((old_here, "ann"), (old_there, "bob")):
        assert (await Here(clock, {}, after).load(cookies))["user"] == user
        assert peer(clock(), cookies, env=after)["session"]["user"] == user
        assert (await Here(clock, {}, alone).load(cookies)).rejected is not None
        assert peer(clock(), cookies, env=alone)["rejected"] == "FORGED"
        rewritten = peer(clock(), cookies, env=after, set={"seen": 1})["cookies"]
        assert (await Here(clock, {}, alone).load(rewritten))["user"] == user
        assert peer(clock(), await Here(clock, {}, after).request(cookies, seen=2), env=alone)["rejected"] is None


async def test_each_refreshes_what_the_other_issued(peer: Peer, clock: FakeClock) -> None:
    settings = {"secret": SECRET, "refreshToken": {"expires": 86400}, "expires": 300}
    here = Here(clock, settings)
    cookies = await here.request(user="ann")
    for _ in range(2):
        clock.advance(600)
        there = peer(clock(), cookies, settings=settings)
        assert (there["refreshed"], there["session"]["user"]) == (True, "ann")
        assert there["cookies"].keys() == {NAME, REFRESH}
        cookies.update(there["cookies"])
        assert (await here.load(cookies)).rejected is None

        clock.advance(600)
        session = await here.load(cookies)
        assert session["user"] == "ann"
        changes = await here.manager.save(session)
        assert {change.name for change in changes} == {NAME, REFRESH}
        cookies.update({change.name: str(change.value) for change in changes})
        assert not peer(clock(), cookies, settings=settings)["refreshed"]
    clock.advance(90_000)
    assert peer(clock(), cookies, settings=settings)["rejected"] == "EXPIRED"
    assert (await here.load(cookies)).rejected is not None


async def test_a_refresh_token_is_no_access_token_on_either_side(peer: Peer, clock: FakeClock) -> None:
    settings = {"secret": SECRET, "refreshToken": True}
    for cookies in (
        await Here(clock, settings).request(a=1),
        peer(clock(), settings=settings, set={"a": 1})["cookies"],
    ):
        swapped = {NAME: cookies[REFRESH], REFRESH: cookies[NAME]}
        assert (await Here(clock, settings).load(swapped)).rejected is not None
        assert peer(clock(), swapped, settings=settings)["rejected"] == "CLAIM"


async def test_a_jti_that_one_side_revokes_is_refused_by_both(peer: Peer, clock: FakeClock) -> None:
    revoked: list[str | None] = []

    async def verify(event: JtiEvent) -> bool:
        return event.jti not in revoked

    settings = {"secret": SECRET, "jti": {"tokenUse": "access"}}
    here = Here(clock, {**settings, "jti": {"tokenUse": "access", "verify": verify}})
    for cookies in (await here.request(a=1), peer(clock(), settings=settings, set={"a": 1})["cookies"]):
        assert (await here.load(cookies)).rejected is None
        assert peer(clock(), cookies, settings=settings, revoked=revoked)["rejected"] is None
        revoked.append(jwt.decode(cookies[NAME], options={"verify_signature": False})["jti"])
        assert (await here.load(cookies)).rejected is not None
        assert peer(clock(), cookies, settings=settings, revoked=revoked)["rejected"] == "REVOKED"


async def test_a_token_that_was_tampered_with_is_refused_by_both(peer: Peer, clock: FakeClock) -> None:
    settings = {"secret": SECRET}
    cookies = await Here(clock, settings).request(user="ann")
    header, payload, signature = cookies[NAME].split(".")
    other = "A" if payload[20] != "A" else "B"
    for token in (
        f"{header}.{payload[:20]}{other}{payload[21:]}.{signature}",
        f"{header}.{payload}.{signature[:-2]}AA",
        jwt.encode({"sid": "x", "exp": clock() + 60}, "another secret, of more than 32 bytes"),
    ):
        assert (await Here(clock, settings).load({NAME: token})).rejected is not None
        assert peer(clock(), {NAME: token}, settings=settings)["rejected"] == "FORGED"
