"""Events: each says once what became of a session, and no listener changes an answer."""

import asyncio
from collections.abc import Callable

import pytest
from support.browser import REFRESH, ZONE, Browser, leeway_begun, make_manager
from support.outages import World

from aiohttp_lionrock import Session, SessionEvent, SessionManager, StorageUnavailable
from aiohttp_lionrock.testing import FakeClock

NAMES = ["started", "renewed", "refreshed", "ended", "reused", "refused", "storage_down", "storage_up"]


class Ear:
    """Hears everything that a manager tells."""

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.heard: list[SessionEvent] = []
        for name in NAMES:
            getattr(manager.events, name).append(self.heard.append)

    def take(self) -> list[tuple[str, ...]]:
        """What was heard since: names, subjects, and details where there are any."""
        found = [tuple(part for part in (e.name, e.subject, e.why or e.code) if part) for e in self.heard]
        self.heard.clear()
        return found


@pytest.fixture
def ear(manager: SessionManager) -> Ear:
    return Ear(manager)


async def test_a_session_from_its_start_to_its_end(ear: Ear, browser: Browser) -> None:
    await browser.visit()
    assert ear.take() == []
    await browser.write(cart=["apple"])
    assert ear.take() == [("started",)]
    before = browser.access["sid"]
    await browser.log_in()
    [renewed] = ear.heard
    assert (renewed.sid, renewed.former) == (browser.access["sid"], (before,))
    assert ear.take() == [("renewed", "ann")]
    await browser.write(cart=[])
    assert ear.take() == []
    await browser.refresh()
    assert ear.take() == [("refreshed", "ann")]
    sid = browser.access["sid"]
    await browser.log_out()
    assert [event.sid for event in ear.heard] == [sid]
    assert ear.take() == [("ended", "ann", "logout")]


async def test_who_leaves_a_user_for_another_ends_one_session_and_starts_another(ear: Ear, browser: Browser) -> None:
    await browser.log_in()
    ear.take()
    await browser.write(sub="bob")
    assert ear.take() == [("ended", "ann", "logout"), ("started", "bob")]


async def test_who_leaves_a_session_that_was_ended_meanwhile_ends_it_no_second_time(ear: Ear, browser: Browser) -> None:
    await browser.log_in()
    late = await browser.visit()
    assert await ear.manager.revoke(late.sid)
    late["sub"] = "bob"
    await ear.manager.save(late)
    assert (ear.manager.stats["ended"], ear.manager.stats["ended.revoked"]) == (1, 1)


async def test_revocations_say_what_they_were(ear: Ear, browser: Browser, manager: SessionManager) -> None:
    others = [Browser(manager) for _ in range(3)]
    for one in (browser, *others):
        await one.log_in()
    sids = {one.access["sid"] for one in others}
    sid = browser.access["sid"]
    ear.take()
    assert await manager.revoke(sid)
    assert not await manager.revoke(sid)
    assert [event.sid for event in ear.heard] == [sid]
    assert ear.take() == [("ended", "ann", "revoked")]
    assert await manager.revoke_subject("ann", keep=others[0].access["sid"]) == 2
    assert {event.sid for event in ear.heard} == sids - {others[0].access["sid"]}
    assert ear.take() == [("ended", "ann", "revoked subject")] * 2
    await browser.visit()
    assert ear.take() == [("refused", "ann", "JWT_JTI_REVOKED")]


async def test_a_renewed_session_that_is_ended_names_its_former_sids(
    ear: Ear, browser: Browser, build: Callable[..., SessionManager]
) -> None:
    await browser.log_in()
    sids = []
    elsewhere = browser.copy(build())
    for _ in range(3):
        sids.append(elsewhere.access["sid"])
        await elsewhere.visit(Session.renew)
    ear.take()
    await ear.manager.revoke(sids[1])
    [event] = ear.heard
    assert (event.sid, event.former) == (elsewhere.access["sid"], tuple(sids[1:]))


async def test_of_a_user_who_is_revoked_each_session_is_told_once_with_its_former_sids(
    ear: Ear, browser: Browser
) -> None:
    await browser.log_in()
    sids = []
    for _ in range(3):
        sids.append(browser.access["sid"])
        await browser.visit(Session.renew)
    ear.take()
    assert await ear.manager.revoke_subject("ann") == 1
    [event] = ear.heard
    assert (event.sid, set(event.former)) == (browser.access["sid"], set(sids))


async def test_a_replay_is_told_once(ear: Ear, browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    thief = browser.copy()
    await browser.refresh()
    await leeway_begun(browser)
    clock.advance(ZONE + 1)
    ear.take()
    for _ in range(2):
        await thief.refresh()
    assert ear.take() == [
        ("ended", "ann", "reuse"),
        ("reused", "ann"),
        ("refused", "ann", "JWT_REUSED"),
        ("refused", "ann", "JWT_JTI_REVOKED"),
    ]


@pytest.mark.parametrize(
    ("cookie", "code"), [("garbage", "JWT_MALFORMED"), ("e30.e30.e30", "JWT_FORGED"), ("x" * 9000, "JWT_TOO_LARGE")]
)
async def test_a_refused_token_is_told_by_its_code_alone(ear: Ear, browser: Browser, cookie: str, code: str) -> None:
    browser.cookies[REFRESH] = cookie
    await browser.refresh()
    assert ear.heard == [SessionEvent("refused", code=code)]


async def test_an_expired_access_token_with_a_good_refresh_token_is_no_refusal(
    ear: Ear, browser: Browser, clock: FakeClock
) -> None:
    await browser.log_in()
    ear.take()
    clock.advance(601)
    await browser.visit()
    assert ear.take() == [("refreshed", "ann")]


async def test_what_could_not_be_stored_is_not_told(world: World) -> None:
    ear = Ear(world.server())
    world.storage.fail("insert")
    with pytest.raises(StorageUnavailable):
        await Browser(ear.manager).log_in()
    assert ear.take() == []


async def test_without_a_storage_logins_and_logouts_are_told_too(clock: FakeClock) -> None:
    ear = Ear(make_manager(None, clock))
    browser = Browser(ear.manager)
    await browser.log_in()
    await browser.visit(Session.renew)
    await browser.write(sub="bob")
    await browser.log_out()
    assert ear.take() == [
        ("started", "ann"),
        ("renewed", "ann"),
        ("ended", "ann", "logout"),
        ("started", "bob"),
        ("ended", "bob", "logout"),
    ]


async def test_every_event_is_counted(browser: Browser, manager: SessionManager) -> None:
    await browser.log_in()
    await browser.log_out()
    browser.cookies[REFRESH] = "garbage"
    await browser.refresh()
    assert manager.stats == {
        "started": 1,
        "ended": 1,
        "ended.logout": 1,
        "refused": 1,
        "refused.JWT_MALFORMED": 1,
    }


# --- listeners ---------------------------------------------------------------------------------------------------


async def test_a_listener_that_fails_changes_no_answer_and_silences_no_other(
    ear: Ear, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: SessionEvent) -> None:
        raise RuntimeError("a bug in a listener")

    async def fail_later(event: SessionEvent) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("a bug in a listener")

    ear.manager.events.started[:0] = [fail, fail_later]
    await browser.log_in()
    await ear.manager.events.aclose()
    assert ear.take() == [("started", "ann")]
    assert [record.getMessage() for record in caplog.records] == ["a listener of 'started' failed"] * 2
    assert await browser.is_logged_in()


async def test_no_answer_waits_for_a_listener_and_closing_waits_a_moment(
    browser: Browser, manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    async def slow(event: SessionEvent) -> None:
        await asyncio.sleep(0.01)
        done.append(event.name)
        await asyncio.Event().wait()

    monkeypatch.setattr("aiohttp_lionrock.sessions.events.PATIENCE", 0.1)
    manager.events.started.append(slow)
    await browser.log_in()
    assert done == []
    async with asyncio.timeout(5):
        await manager.aclose()
    assert done == ["started"]


async def test_a_listener_may_remove_itself(ear: Ear, browser: Browser) -> None:
    def once(event: SessionEvent) -> None:
        ear.manager.events.started.remove(once)

    ear.manager.events.started.insert(0, once)
    await browser.log_in()
    assert ear.take() == [("started", "ann")]


def test_an_event_shows_no_token_and_cannot_be_changed(ear: Ear) -> None:
    assert set(SessionEvent.__slots__) == {"name", "sid", "subject", "former", "why", "code"}
    with pytest.raises(AttributeError):
        SessionEvent("started").sid = "x"  # type: ignore[misc]
