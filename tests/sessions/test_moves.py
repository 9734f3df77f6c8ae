"""Renewal, login, leaving and logout: the records and cookies after each, and after each that was broken off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.browser import REFRESH, Browser, assert_deleted, make_manager, record_of
from support.outages import World, assert_unavailable
from support.scheduler import Gates
from support.storages import FaultyStorage

from aiohttp_lionrock import JtiRecord, MemoryStorage, Session, SessionManager, StorageUnavailable
from aiohttp_lionrock.errors import DuplicateRecord, TokenRevoked, TokenSuperseded
from aiohttp_lionrock.sessions import repairs
from aiohttp_lionrock.sessions.everyone import mark_of
from aiohttp_lionrock.testing import FakeClock

Act = Callable[[Session], object]
SUPERSEDED_FOR = 600  # seconds


def login(session: Session) -> None:
    session["sub"] = "ann"


def leave(session: Session) -> None:
    del session["sub"]
    session["note"] = "kept"


def become_bob(session: Session) -> None:
    session["sub"] = "bob"


async def stored(manager: SessionManager, sid: str) -> JtiRecord | None:
    assert manager.storage is not None
    return await manager.storage.get(sid)


async def honoured(browser: Browser) -> bool:
    """Whether each cookie is honoured; fails where it is one of the two only."""
    loaded = [await browser.manager.load({name: value}) for name, value in browser.cookies.items()]
    assert len({session.is_new for session in loaded}) <= 1
    return bool(loaded) and not loaded[0].is_new


async def renewals(browser: Browser, count: int) -> list[Browser]:
    """The browser as it was before each of so many renewals, and as it is after the last."""
    states = [browser.copy()]
    for _ in range(count):
        await browser.visit(Session.renew)
        states.append(browser.copy())
    return states


# What each move leaves


async def test_a_renewal_hands_the_record_over_and_keeps_data_id_and_labels(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in(cart=[1])
    await browser.visit(lambda session: session.describe(device="phone"))
    before, old = browser.copy(), await record_of(browser)
    clock.advance(5)
    renewed = await browser.visit(Session.renew)
    new, left = await record_of(browser), await stored(browser.manager, old.sid)
    assert (new.sid, new.version, new.subject, dict(new.metadata)) == (renewed.sid, 1, "ann", {"device": "phone"})
    assert new.access_jti not in (None, old.access_jti)
    assert new.refresh_jti not in (None, old.refresh_jti)
    assert left == JtiRecord(
        sid=old.sid,
        version=old.version + 1,
        expires_at=int(clock()) + SUPERSEDED_FOR,
        created_at=old.created_at,
        rotated_at=int(clock()),
        subject="ann",
        successor=new.sid,
        signer=old.signer,
    )
    assert browser.access["id"] == before.access["id"]
    assert dict(await browser.visit()) == {"sub": "ann", "cart": [1]}
    for name, value in before.cookies.items():
        assert isinstance((await browser.manager.load({name: value})).rejected, TokenSuperseded)


async def test_the_old_token_is_superseded_for_a_minute_then_revoked_and_its_record_goes(
    browser: Browser, clock: FakeClock
) -> None:
    await browser.log_in()
    before, sid = browser.copy(), browser.sid
    await browser.visit(Session.renew)
    for seconds, fault in ((60, TokenSuperseded), (1, TokenRevoked), (SUPERSEDED_FOR, TokenRevoked)):
        clock.advance(seconds)
        session = await browser.manager.load({REFRESH: before.cookies[REFRESH]})
        assert type(session.rejected) is fault
        assert await browser.manager.save(session) == []
    assert await stored(browser.manager, sid) is None


async def test_a_login_takes_the_cart_along_and_leaves_no_way_back(browser: Browser) -> None:
    await browser.write(cart=[1])
    before = browser.copy()
    await browser.visit(login)
    assert browser.sid != before.sid
    assert dict(await browser.visit()) == {"cart": [1], "sub": "ann"}
    left = await stored(browser.manager, before.sid)
    assert left is not None
    assert (left.successor, left.subject) == (browser.sid, None)
    assert not await honoured(before)


async def test_who_leaves_takes_along_only_what_the_request_assigned(browser: Browser) -> None:
    await browser.log_in(cart=[1], theme="dark")
    await browser.visit(lambda session: session.describe(device="ann's phone"))
    before = browser.copy()
    await browser.visit(lambda session: session["cart"].append(2), leave)
    assert dict(await browser.visit()) == {"note": "kept"}
    record = await record_of(browser)
    assert (record.subject, dict(record.metadata)) == (None, {})
    assert not await honoured(before)


async def test_another_user_gets_nothing_of_the_one_before(browser: Browser) -> None:
    await browser.log_in(cart=[1])
    before = browser.copy()
    await browser.visit(become_bob)
    assert dict(await browser.visit()) == {"sub": "bob"}
    assert (await record_of(browser)).subject == "bob"
    assert not await honoured(before)
    assert await browser.manager.sessions("ann") == []


@pytest.mark.parametrize("act", [lambda session: session.pop("sub"), Session.clear])
async def test_a_user_who_leaves_with_nothing_is_logged_out(browser: Browser, act: Act) -> None:
    await browser.log_in(cart=[1])
    before = browser.copy()
    session = await browser.visit(act)
    assert_deleted(browser, *before.cookies)
    assert session.is_new
    assert await stored(browser.manager, before.sid) is None


async def test_a_logout_deletes_the_record_and_what_is_stored_after_it_is_new(browser: Browser) -> None:
    await browser.log_in(cart=[1])
    before = browser.copy()
    await browser.visit(Session.invalidate, lambda session: session.update(flash="bye"))
    assert dict(await browser.visit()) == {"flash": "bye"}
    assert browser.sid != before.sid
    assert browser.access["id"] != before.access["id"]
    assert not await honoured(before)


# Chains


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("how", ["logout", "revoke"])
async def test_the_oldest_token_ends_the_newest_session_of_its_subject(browser: Browser, length: int, how: str) -> None:
    await browser.log_in()
    first, *_, last = await renewals(browser, length)
    if how == "logout":
        await first.log_out()
        assert_deleted(first, *last.cookies)
    else:
        assert await browser.manager.revoke(first.sid) is True
        assert await browser.manager.revoke(first.sid) is False
    assert not await honoured(last)
    assert await browser.manager.sessions("ann") == []


async def test_it_does_not_end_a_session_of_another_subject(browser: Browser) -> None:
    await browser.write(cart=[1])
    visitor = browser.copy()
    await browser.visit(login)
    assert await browser.manager.revoke(visitor.sid) is False
    assert await honoured(browser)
    ann = browser.copy()
    await browser.visit(become_bob)
    await ann.log_out()
    assert await honoured(browser)
    assert [record.sid for record in await browser.manager.sessions("bob")] == [browser.sid]


async def test_a_chain_that_passes_through_another_subject_ends_there(browser: Browser) -> None:
    await browser.log_in()
    ann = browser.copy()
    await browser.visit(Session.renew)
    await browser.visit(become_bob)
    await browser.visit(Session.renew)
    assert await browser.manager.revoke(ann.sid) is False
    assert await honoured(browser)


async def test_revoke_is_true_only_where_something_alive_was_ended(browser: Browser, clock: FakeClock) -> None:
    await browser.log_in()
    states = await renewals(browser, 2)
    manager = browser.manager
    assert await manager.revoke("a sid that nobody has") is False
    assert await manager.revoke(browser.sid) is True
    assert [await manager.revoke(state.sid) for state in states] == [False] * 3
    await browser.log_in()
    clock.advance(31 * 24 * 3600)
    assert await manager.revoke(browser.sid) is False


@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize("how", ["session", "sid"])
async def test_revoking_the_others_spares_what_the_kept_one_goes_on_as(browser: Browser, length: int, how: str) -> None:
    other = Browser(browser.manager)
    await other.log_in()
    await browser.log_in()
    session = await browser.manager.load(browser.cookies)
    await renewals(browser, length)  # in another tab, meanwhile
    keep = session if how == "session" else session.sid
    assert await browser.manager.revoke_subject("ann", keep=keep) == 1
    assert await honoured(browser)
    assert not await honoured(other)


async def test_of_ten_who_revoke_at_once_one_has_ended_it(browser: Browser) -> None:
    await browser.log_in()
    first, *_ = await renewals(browser, 3)
    revoke = browser.manager.revoke
    ended = await asyncio.gather(*(revoke(first.sid if index % 2 else browser.sid) for index in range(10)))
    assert ended.count(True) == 1


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize(("call", "skip"), [("delete", 0), ("delete", 1), ("delete", 2), ("get", 1), ("get", 2)])
async def test_wherever_the_end_of_a_chain_fails_the_next_try_or_the_background_ends_it(
    world: World, call: str, skip: int, mode: str
) -> None:
    browser = await world.logged_in()
    first, *_, last = await renewals(browser, 2)
    world.storage.fail(call, mode, skip=skip)
    with contextlib.suppress(StorageUnavailable):
        await first.log_out()
    await world.settled()
    await first.log_out()
    await world.settled()
    assert not await honoured(last)
    assert await world.elsewhere.sessions("ann") == []


# Broken off


ACTS: dict[str, tuple[bool, Act]] = {
    "renewal": (True, Session.renew),
    "login": (False, login),
    "leaving": (True, leave),
    "another user": (True, become_bob),
    "write": (True, lambda session: session.update(theme="light")),
}


@pytest.fixture
async def gated(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Browser]:
    """A browser whose manager's storage stops at each call."""
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 0.0)
    clock = FakeClock()
    manager = make_manager(Gates(MemoryStorage(clock=clock)), clock)
    yield Browser(manager)
    await manager.aclose()


async def begin(browser: Browser, logged_in: bool) -> None:
    await (browser.log_in(cart=[1]) if logged_in else browser.write(cart=[1]))


async def break_off(browser: Browser, stop: int, act: Act, only: str | None = None) -> bool:
    """A request that is cancelled where its storage call stops for the ``stop`` th time; whether that hit it."""
    gates = browser.manager.storage
    assert isinstance(gates, Gates)
    was_hit = False

    def cancel(task: "asyncio.Task[Session]") -> None:
        nonlocal was_hit
        was_hit = task.cancel()

    with contextlib.suppress(asyncio.CancelledError):
        await gates.run_to(stop, browser.visit(act, only=only), cancel)
    await browser.manager.aclose()
    await browser.manager.open()
    return was_hit


@pytest.mark.parametrize("only", [None, REFRESH])
@pytest.mark.parametrize("name", [name for name in ACTS if name != "leaving"])
async def test_wherever_it_is_cancelled_the_old_cookies_are_good_or_new_ones_came(
    gated: Browser, name: str, only: str | None
) -> None:
    logged_in, act = ACTS[name]
    for stop in range(20):
        gated.cookies.clear()
        await begin(gated, logged_in)
        before = gated.copy()
        was_hit = await break_off(gated, stop, act, only)
        assert await honoured(gated), stop
        if not was_hit:
            assert gated.changes
            assert stop >= 4  # each call stops twice
            return
        assert gated.cookies == before.cookies
        assert (await gated.manager.load(gated.cookies))["cart"] == [1]
        await gated.log_out()
        for subject in ("ann", "bob"):
            assert await gated.manager.sessions(subject) == [], stop
    pytest.fail("the request never came to its end")


@pytest.mark.parametrize("only", [None, REFRESH])
async def test_who_leaves_and_is_cancelled_is_out_once_it_has_begun(gated: Browser, only: str | None) -> None:
    """A logout by the data holds, as `invalidate` does: of a request that has gone nobody knows how far it came."""
    was_over = False
    for stop in range(20):
        gated.cookies.clear()
        await begin(gated, logged_in=True)
        before = gated.copy()
        if not await break_off(gated, stop, leave, only):
            assert was_over
            assert gated.changes
            return
        is_over = await gated.manager.sessions("ann") == []
        assert is_over or not was_over, stop
        assert await honoured(before) is not is_over
        was_over = is_over
        await gated.manager.revoke_subject("ann")
    pytest.fail("the request never came to its end")


async def test_wherever_a_first_login_is_cancelled_no_session_is_left(gated: Browser) -> None:
    for stop in range(20):
        gated.cookies.clear()
        if not await break_off(gated, stop, login):
            assert await honoured(gated)
            return
        assert gated.cookies == {}
        assert await gated.manager.sessions("ann") == []
    pytest.fail("the request never came to its end")


@pytest.mark.parametrize("chained", [False, True])
async def test_a_logout_that_is_cancelled_once_it_has_begun_is_finished(gated: Browser, chained: bool) -> None:
    for stop in range(20):
        gated.cookies.clear()
        await begin(gated, logged_in=True)
        first = gated.copy()
        if chained:
            await gated.visit(Session.renew)
        was_hit = await break_off(first, stop, Session.invalidate)
        assert await honoured(gated) == (was_hit and stop < 2), stop  # it begins when the session is loaded
        if not was_hit:
            return
        await gated.log_out()
    pytest.fail("the request never came to its end")


# The storage does not answer in time, or says that it cannot

CALLS = [("get", 0), ("get", 1), ("insert", 0), ("replace", 0), ("replace", 1)]


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize(("call", "skip"), CALLS)
@pytest.mark.parametrize("name", ACTS)
async def test_wherever_the_storage_fails_the_old_cookies_are_good_or_new_ones_came(
    world: World, name: str, call: str, skip: int, mode: str
) -> None:
    logged_in, act = ACTS[name]
    browser = Browser(world.manager)
    await begin(browser, logged_in)
    world.clock.advance(1)
    before = browser.copy()
    world.storage.fail(call, mode, skip=skip)
    failed = False
    try:
        await browser.visit(act)
    except StorageUnavailable:
        failed = True
    await world.settled()
    browser.manager = world.elsewhere
    assert await honoured(browser)
    assert failed == (browser.cookies == before.cookies)
    if failed:
        assert (await browser.manager.load(browser.cookies))["cart"] == [1]
        living = [record.sid for record in await world.elsewhere.sessions("ann")]
        assert living == ([browser.sid] if logged_in else [])
        assert await world.elsewhere.sessions("bob") == []


@pytest.mark.parametrize("mode", FaultyStorage.MODES)
@pytest.mark.parametrize(("call", "skip"), [("get", 0), ("get", 1), ("delete", 0)])
async def test_a_logout_that_failed_is_none_and_the_next_one_is(world: World, call: str, skip: int, mode: str) -> None:
    browser = await world.logged_in()
    before = browser.copy()
    world.storage.fail(call, mode, skip=skip)
    with contextlib.suppress(StorageUnavailable):
        await browser.log_out()
        assert browser.cookies == {}
    if browser.cookies:
        assert browser.cookies == before.cookies
        await world.settled()
        await browser.log_out()
    assert browser.cookies == {}
    assert not await honoured(before.copy(world.elsewhere))
    assert await world.elsewhere.sessions("ann") == []


# What is taken back


def held_up(world: World, monkeypatch: pytest.MonkeyPatch, call: str = "get") -> None:
    """The next request meets one such call that is answered; what it leaves behind meets a failure, and waits."""
    monkeypatch.setattr(repairs, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(repairs, "LONGEST_PAUSE", 60.0)
    world.storage.fail(call, "before", skip=1)


async def turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("mode", ["before", "hang"])
async def test_nothing_that_another_renewal_replaced_is_brought_back(
    world: World, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    browser = await world.logged_in()
    other, old = browser.copy(world.elsewhere), browser.sid
    held_up(world, monkeypatch)
    world.storage.fail("replace", mode)
    await assert_unavailable(browser.visit(Session.renew))
    await turn()
    await other.visit(Session.renew)
    await world.manager.aclose()
    left = await world.records.get(old)
    assert left is not None
    assert left.successor == other.sid
    assert await honoured(other)
    assert not await honoured(browser.copy(world.elsewhere))
    assert [record.sid for record in await world.elsewhere.sessions("ann")] == [other.sid]


@pytest.mark.parametrize("mode", ["before", "after", "hang", "hang after"])
async def test_nothing_that_was_ended_meanwhile_is_brought_back(
    world: World, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    browser = await world.logged_in()
    held_up(world, monkeypatch)
    world.storage.fail("replace", mode)
    await assert_unavailable(browser.visit(Session.renew))
    await turn()
    await browser.copy(world.elsewhere).log_out()
    await world.manager.aclose()
    assert not await honoured(browser.copy(world.elsewhere))
    assert await world.elsewhere.sessions("ann") == []


async def test_what_is_written_meanwhile_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await world.logged_in()
    held_up(world, monkeypatch)
    world.storage.fail("replace", "before")
    await assert_unavailable(browser.visit(Session.renew))
    await turn()
    await browser.copy(world.elsewhere).visit(lambda session: session.describe(device="phone"))
    await world.manager.aclose()
    assert [dict(record.metadata) for record in await world.elsewhere.sessions("ann")] == [{"device": "phone"}]


async def test_two_renewals_of_one_session_that_failed_are_both_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await world.logged_in()
    held_up(world, monkeypatch)
    world.storage.fail("replace", "before")
    await assert_unavailable(browser.visit(Session.renew))
    await turn()
    world.storage.fail("replace", "after")
    await assert_unavailable(browser.visit(Session.renew))
    await world.manager.aclose()
    assert await honoured(browser.copy(world.elsewhere))
    assert [record.sid for record in await world.elsewhere.sessions("ann")] == [browser.sid]


async def test_a_rotation_that_follows_another_closely_has_its_leeway_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await world.logged_in()
    held_up(world, monkeypatch, "replace")
    await browser.refresh()
    await turn()
    world.clock.advance(1)
    replaced = browser.cookies[REFRESH]
    await browser.refresh()
    await world.manager.aclose()
    record = await world.records.get(browser.sid)
    assert record is not None
    assert record.rotated_at is not None
    world.clock.advance(61)
    assert (await world.elsewhere.load({REFRESH: replaced})).is_new


async def test_a_session_whose_save_failed_may_be_saved_again(world: World) -> None:
    session = await world.manager.load({})
    session["sub"] = "ann"
    for mode in ("after", "hang", "late"):
        world.storage.fail("insert", mode)
        await assert_unavailable(world.manager.save(session))
    changes = await world.manager.save(session)
    await world.settled()
    browser = Browser(world.elsewhere)
    browser.receive(changes)
    assert await honoured(browser)
    assert [record.sid for record in await world.elsewhere.sessions("ann")] == [session.sid]


async def test_a_sid_that_is_another_ones_is_refused_and_its_session_lives_on(world: World) -> None:
    browser = await world.logged_in()
    with pytest.raises(DuplicateRecord):
        await world.manager.save(Session({"sub": "eve"}, sid=browser.sid))
    await world.settled()
    assert await honoured(browser)
    assert await world.elsewhere.sessions("eve") == []


async def test_a_shutdown_that_cancels_a_renewal_takes_it_back(world: World) -> None:
    browser = await world.logged_in()
    world.storage.fail("replace", "hang after")
    request = asyncio.create_task(browser.visit(Session.renew))
    while "replace" not in world.storage.calls[-1:]:
        await asyncio.sleep(0)
    request.cancel()
    await world.manager.aclose()
    assert await honoured(browser.copy(world.elsewhere))
    assert [record.sid for record in await world.elsewhere.sessions("ann")] == [browser.sid]


async def test_a_renewal_that_is_cancelled_while_it_waits_its_turn_is_not_made_after_all(gated: Browser) -> None:
    """It waits behind a write of the same record; nothing of it may be done once it was taken back."""
    gates: Any = gated.manager.storage
    for stop in range(30):
        gated.cookies.clear()
        await gated.log_in(cart=[1])
        writer, renewing = gated.copy(), gated.copy()
        cancelled: list[bool] = []

        async def both(writer: Browser = writer, renewing: Browser = renewing, seen: list[bool] = cancelled) -> None:
            written = asyncio.create_task(writer.visit(lambda session: session.update(theme="light")))
            renewal = asyncio.create_task(renewing.visit(Session.renew))
            try:
                await asyncio.gather(written, renewal)
            except asyncio.CancelledError:
                seen.append(True)
                renewal.cancel()
                await asyncio.gather(written, renewal, return_exceptions=True)

        await gates.run_to(stop, both(), asyncio.Task.cancel)
        await gated.manager.aclose()
        await gated.manager.open()
        assert await honoured(renewing), stop
        if not cancelled:
            return
    pytest.fail("the requests never came to their end")


@pytest.mark.parametrize("sid", ["", "x" * 513, "a\x00b", 5])
def test_a_session_made_by_hand_has_a_sid_that_a_token_can_have(sid: Any) -> None:
    with pytest.raises(ValueError, match=r"^sid must be text of 1 to 512 characters"):
        Session({"sub": "ann"}, sid=sid)


async def test_no_session_made_by_hand_logs_everyone_out(world: World) -> None:
    with pytest.raises(ValueError, match="is reserved"):
        await world.manager.save(Session({"sub": "eve"}, sid=mark_of(None)))
