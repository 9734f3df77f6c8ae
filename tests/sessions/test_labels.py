"""Labels: checked where they are given, cut where that is asked, and never what a login fails of."""

from typing import Any

import pytest
from aiohttp import web
from support.browser import Browser, make_manager, record_of
from support.storages import FaultyStorage, Wrapper
from support.visitor import exchange, install, start

from aiohttp_lionrock import JtiRecord, MemoryStorage, Session, SessionDataError, SessionManager, get_session
from aiohttp_lionrock.sessions.labels import joined_labels
from aiohttp_lionrock.testing import FakeClock

LIMIT = 1024  # bytes of UTF-8, names and values together


def size(labels: Any) -> int:
    return sum(len(name.encode()) + len(text.encode()) for name, text in labels.items())


@pytest.mark.parametrize("given", [{"device": "x" * 1020}, {"device": "x" * 600, "place": "y" * 600}])
def test_too_much_is_an_error_at_once_that_names_the_largest_and_the_limit(given: dict[str, str]) -> None:
    session = Session()
    with pytest.raises(SessionDataError, match=r"1024 bytes together.*'(device|place)'"):
        session.describe(**given)
    session.describe(place="here")


def test_labels_of_one_request_are_counted_together() -> None:
    session = Session()
    session.describe(device="x" * 600)
    with pytest.raises(SessionDataError, match="'device'"):
        session.describe(place="y" * 500)
    session.describe(device="x", place="y" * 500)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"device": "x" * 5000}, {"device": "x" * 1018}),
        ({"device": "x" * 5000, "id": "7" * 36}, {"device": "x" * 980, "id": "7" * 36}),
        ({"a": "x" * 5000, "b": "y" * 5000}, {"a": "x" * 511, "b": "y" * 511}),
        ({"device": "\u20ac" * 600}, {"device": "\u20ac" * 339}),
        ({"device": "Mozilla\udcff a\x00b"}, {"device": "Mozilla? a?b"}),
        ({"device": ""}, {"device": ""}),
        ({}, {}),
    ],
)
def test_what_is_cut_fits_and_only_the_longest_loses(given: dict[str, str], kept: dict[str, str]) -> None:
    assert joined_labels(given, cut=True) == kept
    assert list(joined_labels(given, cut=True)) == list(given)
    assert size(kept) <= LIMIT


def test_what_is_not_text_is_an_error_where_labels_are_cut_too() -> None:
    for given in ({"device": None}, {"device": b"x"}, {"x" * 1025: ""}, {"a\udcff": "x"}):
        with pytest.raises(SessionDataError):
            Session().describe(given, cut=True)  # type: ignore[arg-type]


async def test_a_label_may_have_any_name(browser: Browser) -> None:
    await browser.visit(
        lambda s: s.update(sub="ann"), lambda s: s.describe({"cut": "slim", "labels": "a"}, self="b", device="c")
    )
    assert (await record_of(browser)).metadata == {"cut": "slim", "labels": "a", "self": "b", "device": "c"}


def test_a_label_that_is_taken_for_the_switch_is_told_the_way_out() -> None:
    with pytest.raises(SessionDataError, match=r"describe\(\{'cut': ...\}\)"):
        Session().describe(cut="slim")  # type: ignore[arg-type]


@pytest.mark.parametrize("act", [lambda s: s.update(sub="ann"), Session.renew, Session.changed, lambda s: None])
async def test_older_labels_of_the_record_give_way_to_new_ones_the_oldest_first(
    browser: Browser, act: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("first", "second", "third"):
        await browser.visit(lambda s, n=name: s.update(n=n), lambda s, n=name: s.describe({n: "x" * 300}))
    assert not caplog.records
    await browser.visit(act, lambda s: s.describe(second="y" * 600))
    assert (await record_of(browser)).metadata == {"third": "x" * 300, "second": "y" * 600}
    [warning] = [record.getMessage() for record in caplog.records]
    assert "'first'" in warning
    assert "second" not in warning


@pytest.mark.parametrize("ttl", [0, 10])
async def test_a_label_that_is_put_on_beside_a_renewal_stays(
    storage: MemoryStorage, clock: FakeClock, ttl: int
) -> None:
    class Beside(Wrapper):
        async def insert(self, record: JtiRecord) -> None:
            await self.inner.insert(record)
            if record.predecessor is not None:
                await browser.copy().visit(lambda session: session.describe(device="phone"))

    browser = Browser(make_manager(storage, clock))
    await browser.log_in()
    renewing = browser.copy(make_manager(Beside(storage), clock, jti={"cache_ttl": ttl}))
    await renewing.visit()
    await renewing.visit(Session.renew)
    assert (await record_of(renewing)).metadata == {"device": "phone"}


async def test_labels_of_two_requests_at_once_that_are_too_much_together_fail_neither(
    storage: MemoryStorage, manager: SessionManager, browser: Browser
) -> None:
    await browser.log_in()
    one, two = [await manager.load(dict(browser.cookies)) for _ in range(2)]
    one.describe(one="x" * 700)
    two.describe(two="y" * 700)
    assert await manager.save(one)
    assert await manager.save(two)
    assert (await record_of(browser)).metadata == {"two": "y" * 700}


@pytest.mark.parametrize("agent", [b"x" * 7000, b"Mozilla\xff" * 500], ids=["long", "of odd bytes"])
async def test_a_user_agent_never_fails_a_login(
    aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch, agent: bytes
) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    storage = FaultyStorage(MemoryStorage())

    async def log_in(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["sub"] = "ann"
        session.describe(device=request.headers["User-Agent"], place=request.query["place"], cut=True)
        return web.Response()

    app = web.Application()
    manager = install(app, storage=storage)
    app.router.add_get("/log_in", log_in)
    visitor = await start(aiohttp_client, app)
    for place in ("home", "x" * 2000):
        cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        head = [b"User-Agent: " + agent, f"Cookie: {cookies}"]
        answer = visitor.receive(await exchange(visitor.server, f"/log_in?place={place}", *head))
        assert answer.status == 200
        [record] = await manager.sessions("ann")
        assert size(record.metadata) <= LIMIT
        assert record.metadata["device"].startswith(agent[:7].decode())
        assert await visitor.is_logged_in(manager)


async def test_a_renewal_keeps_what_another_tab_has_described_meanwhile(
    manager: SessionManager, browser: Browser
) -> None:
    await browser.log_in()
    session = await manager.load(browser.cookies)
    await browser.visit(lambda session: session.describe(device="phone"))
    session.renew()
    session.describe(place="home")
    browser.receive(await manager.save(session))
    assert (await record_of(browser)).metadata == {"device": "phone", "place": "home"}
    assert await browser.is_logged_in()
