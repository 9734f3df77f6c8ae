"""Everyone of one tenant out: by the secrets that the tokens were signed with, through their rotations."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.browser import SECRET, Browser, assert_untouched, make_manager
from support.storages import Recorder

from aiohttp_lionrock import ConfigError, MemoryStorage, Session, SessionManager, TokenRevoked
from aiohttp_lionrock.testing import FakeClock

Env = Mapping[str, str]


def env(secret: str, *previous: str) -> Env:
    """A tenant's environment."""
    named = [f"the {name} secret, which has 32 bytes and more" for name in (secret, *previous)]
    return dict(zip(("SESSION_SECRET", "SESSION_SECRET_PREVIOUS"), named, strict=False))


RED, BLUE = env("red"), env("blue")


class Tenant(Browser):
    """A browser that brings its tenant along."""

    def __init__(self, manager: SessionManager, env: Env | None = RED, cookies: dict[str, str] | None = None) -> None:
        super().__init__(manager, cookies)
        self.env = env

    async def visit(self, *acts: Callable[[Session], object], only: str | None = None) -> Session:
        sent = {name: value for name, value in self.cookies.items() if only in (None, name)}
        session = await self.manager.load(sent, self.env)
        for act in acts:
            act(session)
        self.receive(await self.manager.save(session))
        return session

    async def is_in(self) -> bool:
        return not (await self.visit()).is_new


async def logged_in(manager: SessionManager, env: Env | None = RED) -> Tenant:
    browser = Tenant(manager, env)
    await browser.log_in()
    return browser


async def test_one_tenant_is_out_and_all_others_stay(manager: SessionManager, build: Any, clock: FakeClock) -> None:
    red, blue, own = [await logged_in(manager, tenant) for tenant in (RED, BLUE, None)]
    await manager.revoke_all(env=RED)
    assert [await one.is_in() for one in (red, blue, own)] == [False, True, True]
    again = await logged_in(manager, RED)
    assert await again.is_in()
    elsewhere = build()
    for one, lives in ((red, False), (blue, True), (own, True), (again, True)):
        assert await Tenant(elsewhere, one.env, one.cookies).is_in() is lives


async def test_everyone_is_every_tenant(manager: SessionManager) -> None:
    browsers = [await logged_in(manager, tenant) for tenant in (RED, BLUE, None)]
    await manager.revoke_all()
    assert [await one.is_in() for one in browsers] == [False] * 3
    for one in browsers:
        assert_untouched(one, await one.visit(), TokenRevoked)


async def test_an_environment_without_a_secret_is_the_site_that_has_none_of_its_own(manager: SessionManager) -> None:
    red, own = await logged_in(manager, RED), await logged_in(manager, {})
    await manager.revoke_all(env={})
    assert [await one.is_in() for one in (red, own)] == [True, False]


async def test_those_out_stay_out_when_the_secret_is_rotated(manager: SessionManager, build: Any) -> None:
    red = await logged_in(manager, RED)
    await manager.revoke_all(env=RED)
    rotated = env("new red", "red")
    for server in (manager, build()):
        one = Tenant(server, rotated, dict(red.cookies))
        assert not await one.is_in()
        assert_untouched(one, await one.refresh(), TokenRevoked)
        assert await (await logged_in(server, rotated)).is_in()


async def test_who_was_signed_with_the_previous_secret_is_out_as_well(manager: SessionManager) -> None:
    old = await logged_in(manager, RED)
    rotated = env("new red", "red")
    moved = Tenant(manager, rotated, dict((await logged_in(manager, RED)).cookies))
    await moved.visit(lambda session: session.update(theme="dark"))  # signed anew
    old.env = rotated
    assert [await one.is_in() for one in (old, moved)] == [True, True]
    await manager.revoke_all(env=rotated)
    assert [await one.is_in() for one in (old, moved)] == [False, False]


async def test_who_was_signed_anew_is_out_when_only_the_newer_secrets_are_left(manager: SessionManager) -> None:
    browser = await logged_in(manager, env("first"))
    for names in (("second", "first"), ("third", "second")):
        browser.env = env(*names)
        await browser.visit(lambda session: session.update(theme="dark"))
    await manager.revoke_all(env=env("third", "second"))
    assert not await browser.is_in()


async def test_a_server_that_has_not_the_newer_secret_yet_knows_all_the_same(
    manager: SessionManager, build: Any, clock: FakeClock
) -> None:
    """Its tokens are old, and the record says that another server has signed newer ones."""
    late = await logged_in(build(), RED)
    rotated = env("new red", "red")
    moved = Tenant(manager, rotated, dict(late.cookies))
    await moved.visit(lambda session: session.update(theme="dark"))
    assert await late.is_in()
    await manager.revoke_all(env=rotated)
    clock.advance(1)
    assert not await late.is_in()
    assert await late.manager.sessions("ann") == []


async def test_what_was_read_of_one_secret_is_not_taken_for_all_that_is_known(
    manager: SessionManager, build: Any, clock: FakeClock
) -> None:
    late = await logged_in(build(), RED)
    await late.visit()
    clock.advance(0.5)
    moved = Tenant(manager, env("new red", "red"), dict(late.cookies))
    await moved.visit(lambda session: session.update(theme="dark"))
    assert await late.is_in()  # asks for the mark of the new secret
    await manager.revoke_all()
    clock.advance(0.5)
    assert await late.manager.sessions("ann") == []


async def test_lists_caps_and_watches_go_by_the_tenant_of_each_session(build: Any, clock: FakeClock) -> None:
    manager, elsewhere = build(max_sessions=2, when_full="refuse"), build()
    red, blue = await logged_in(manager, RED), await logged_in(manager, BLUE)
    ended: list[str] = []
    for one in (red, blue):
        manager.watch(await one.visit(), lambda why, one=one: ended.append(one.sid), every=0.02)
    await elsewhere.revoke_all(env=RED)
    clock.advance(1)
    assert [record.sid for record in await manager.sessions("ann")] == [blue.sid]
    assert await (await logged_in(manager, RED)).is_in()
    await manager.revoke_all(clock() - 500, env=RED)  # which changes nothing, but looks at once
    assert ended == [red.sid]
    assert not await manager.revoke(red.sid)
    assert await manager.revoke_subject("ann") == 2
    await manager.aclose()


@pytest.mark.parametrize("tenants", [(None,), (RED,), (RED, BLUE, None)])
async def test_a_request_of_a_tenant_makes_one_call(clock: FakeClock, tenants: tuple[Env | None, ...]) -> None:
    storage = Recorder(MemoryStorage(clock=clock))
    manager = make_manager(storage, clock)
    await manager.revoke_all(env=RED)
    browsers = [await logged_in(manager, tenant) for tenant in tenants]
    storage.calls.clear()
    for _ in range(10):
        clock.advance(0.5)
        for browser in browsers:
            assert await browser.is_in()
    assert len(storage.calls) == 10 * len(browsers)


async def test_an_environment_with_a_weak_secret_is_refused(manager: SessionManager) -> None:
    with pytest.raises(ConfigError, match="at least 32 bytes"):
        await manager.revoke_all(env={"SESSION_SECRET": "weak"})


async def test_no_record_tells_anything_of_a_secret(manager: SessionManager, storage: MemoryStorage) -> None:
    await logged_in(manager, RED)
    await logged_in(manager, None)
    await manager.revoke_all(env=RED)
    records, _ = await storage.scan()
    signers = {record.signer for record in records}
    assert len(signers) == 3
    for record in records:
        assert SECRET not in repr(record)
        assert RED["SESSION_SECRET"] not in repr(record)
