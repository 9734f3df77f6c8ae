"""A session that is saved more than once, ended, copied, or asked for by two tasks at a time."""

import asyncio
import copy
import logging
import pickle
from collections import OrderedDict
from http.cookies import SimpleCookie
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, Browser, claims, make_manager, record_of
from support.storages import FaultyStorage
from support.visitor import install, start

from aiohttp_lionrock import MemoryStorage, Session, get_session
from aiohttp_lionrock.errors import SessionDataError, SessionSealed, StorageUnavailable
from aiohttp_lionrock.sessions.sealing import seal, warn_if_changed
from aiohttp_lionrock.testing import FakeClock


async def loaded(browser: Browser) -> Session:
    return await browser.manager.load(browser.cookies)


async def save(browser: Browser, session: Session) -> list[str]:
    """The names of the cookies that the response carries."""
    browser.receive(await browser.manager.save(session))
    return [change.name for change in browser.changes]


# Its sid, in a handler


async def test_the_sid_in_a_login_handler_is_the_one_that_revocation_goes_by(browser: Browser) -> None:
    await browser.write(cart=["tea"])
    session = await loaded(browser)
    before = session.sid
    session["sub"] = "ann"
    sid = session.sid
    assert sid != before
    del session["sub"]
    assert session.sid == before
    session.update(sub="ann")
    session.renew()
    assert session.sid == sid
    assert await browser.manager.revoke_subject("ann", keep=sid) == 0
    await save(browser, session)
    assert (session.sid, browser.sid) == (sid, sid)
    session["sub"] = "bob"
    assert session.sid not in (sid, before)
    await save(browser, session)
    assert browser.sid == session.sid
    assert await browser.manager.revoke(session.sid)


async def test_a_subject_that_cannot_be_read_meanwhile_breaks_no_line_of_a_log(
    storage: MemoryStorage, clock: FakeClock
) -> None:
    browser = Browser(make_manager(storage, clock, subject_key=lambda data: data["user"]["id"] if data else None))
    await browser.write(user={"id": "7"})
    session = await loaded(browser)
    session["user"] = {"name": "x"}
    assert session.sid in repr(session)
    session["user"]["id"] = "8"
    assert session.sid != browser.sid


@pytest.mark.parametrize("waited", [-1, float("nan"), "5", True])
async def test_a_request_has_been_there_for_some_seconds(browser: Browser, waited: Any) -> None:
    with pytest.raises(ValueError, match=r"^waited must be a number of seconds"):
        await browser.manager.load({}, waited=waited)


async def test_a_login_that_failed_is_saved_again_under_another_sid(storage: MemoryStorage, clock: FakeClock) -> None:
    faulty = FaultyStorage(storage)
    browser = Browser(make_manager(faulty, clock))
    await browser.write(cart=["tea"])
    session = await loaded(browser)
    session["sub"] = "ann"
    in_vain = session.sid
    faulty.fail("insert", "after")
    with pytest.raises(StorageUnavailable):
        await browser.manager.save(session)
    assert session.sid != in_vain
    await save(browser, session)
    assert browser.sid == session.sid
    await browser.manager.aclose()
    assert [record.sid for record in await make_manager(storage, clock).sessions("ann")] == [session.sid]


async def test_a_session_made_by_hand_goes_by_the_settings_of_the_manager_that_saves_it(
    storage: MemoryStorage, clock: FakeClock
) -> None:
    browser = Browser(make_manager(storage, clock, subject_key="user_id"))
    session = Session({"user_id": 7})
    await save(browser, session)
    assert session.subject == "7"
    assert session.authenticated_at == clock()
    assert [record.sid for record in await browser.manager.sessions(7)] == [session.sid]


# Saved twice


async def test_what_was_saved_is_not_saved_again(browser: Browser) -> None:
    session = await loaded(browser)
    session["list"] = [1]
    session.describe(device="phone")
    assert len(await save(browser, session)) == 2
    assert await save(browser, session) == []
    session["list"].append(2)
    assert len(await save(browser, session)) == 2
    assert (await loaded(browser))["list"] == [1, 2]
    assert await save(browser, session) == []


@pytest.mark.parametrize("ask", [Session.changed, Session.renew])
async def test_what_was_asked_for_is_done_once(browser: Browser, ask: object) -> None:
    await browser.log_in()
    session = await loaded(browser)
    assert callable(ask)
    ask(session)
    assert len(await save(browser, session)) == 2
    sid = session.sid
    assert await save(browser, session) == []
    assert session.sid == sid == browser.sid


async def test_labels_are_put_on_once_and_later_ones_beside_them(browser: Browser) -> None:
    await browser.log_in()
    session = await loaded(browser)
    session.describe(device="phone")
    await save(browser, session)
    version = (await record_of(browser)).version
    assert await save(browser, session) == []
    assert (await record_of(browser)).version == version
    session.describe(place="home")
    await save(browser, session)
    assert dict((await record_of(browser)).metadata) == {"device": "phone", "place": "home"}


async def test_after_it_was_written_a_session_is_as_the_next_request_would_find_it(browser: Browser) -> None:
    session = await loaded(browser)
    assert (session.is_new, session.id, session.expires_at) == (True, None, None)
    session.update(sub="ann", cart=[1])
    await save(browser, session)
    found = await loaded(browser)
    assert (session.id, session.sid, session.creator) == (found.id, found.sid, found.creator)
    assert (session.is_new, found.is_new) == (False, False)
    assert session.expires_at == claims(list(browser.cookies.values())[1])["exp"]
    assert dict(session) == dict(found)
    assert session.subject == found.subject == "ann"


async def test_who_leaves_after_a_first_save_takes_along_only_what_was_assigned_since(browser: Browser) -> None:
    await browser.log_in(cart=[1])
    session = await loaded(browser)
    session["theme"] = "dark"
    await save(browser, session)
    session["sub"] = "bob"
    await save(browser, session)
    assert dict(await loaded(browser)) == {"sub": "bob"}


async def test_a_session_that_was_ended_may_begin_again(browser: Browser) -> None:
    await browser.log_in(cart=[1])
    before = browser.copy()
    session = await loaded(browser)
    session.invalidate()
    assert len(await save(browser, session)) == 2
    assert browser.cookies == {}
    assert await save(browser, session) == []
    session["sub"] = "bob"
    assert len(await save(browser, session)) == 2
    assert dict(await loaded(browser)) == {"sub": "bob"}
    assert browser.sid != before.sid
    assert not await before.is_logged_in()


# After invalidate()


async def test_nothing_of_before_is_left_after_the_end(browser: Browser) -> None:
    await browser.log_in(cart=[1])
    session = await loaded(browser)
    sid, id_ = session.sid, session.id
    session.describe(device="phone")
    session["note"] = "x"
    session.invalidate()
    assert (dict(session), session.is_new, session.id, session.expires_at) == ({}, True, None, None)
    assert session.subject is None
    assert session.sid != sid
    session.describe(place="home")
    session.update(sub="bob", list=[])
    session["list"].append(1)
    await save(browser, session)
    found = await loaded(browser)
    assert dict(found) == {"sub": "bob", "list": [1]}
    assert found.id != id_
    assert dict((await record_of(browser)).metadata) == {"place": "home"}
    assert await browser.manager.sessions("ann") == []


async def test_labels_alone_after_the_end_begin_no_session(browser: Browser) -> None:
    await browser.log_in()
    session = await loaded(browser)
    session.invalidate()
    session.describe(place="home")
    await save(browser, session)
    assert browser.cookies == {}


async def test_what_was_stored_and_removed_after_the_end_begins_no_session(browser: Browser) -> None:
    await browser.log_in()
    session = await loaded(browser)
    session.invalidate()
    session["note"] = 1
    del session["note"]
    await save(browser, session)
    assert browser.cookies == {}


# Copies


async def test_a_copy_has_the_data_alone(browser: Browser) -> None:
    await browser.log_in(list=[[1]])
    session = await loaded(browser)
    copies = [
        session.copy(),
        copy.copy(session),
        copy.deepcopy(session),
        *(pickle.loads(pickle.dumps(session, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)),
        copy.deepcopy({"held": session})["held"],
    ]
    for twin in copies:
        assert type(twin) is Session
        assert dict(twin) == {"sub": "ann", "list": [[1]]}
        assert twin == session
        assert (twin.is_new, twin.id, twin.expires_at) == (True, None, None)
        assert twin.sid != session.sid
        twin["list"][0].append(2)
        twin["mine"] = True
    assert dict(session) == {"sub": "ann", "list": [[1]]}
    assert await save(browser, session) == []
    assert len({twin.sid for twin in copies}) == len(copies)


async def test_a_copy_of_a_sealed_session_is_open(browser: Browser) -> None:
    session = Session({"a": 1})
    seal(session)
    twin = session.copy()
    twin["a"] = 2
    assert session["a"] == 1


def test_a_copy_of_what_cannot_be_stored_names_the_key() -> None:
    session = Session({"list": [1]})
    session["list"].append(object())
    for way in (Session.copy, copy.deepcopy):
        with pytest.raises(SessionDataError, match="list"):
            way(session)


def test_merging_in_place_keeps_the_session_and_checks_each_key() -> None:
    session = same = Session({"a": 1})
    session |= {"b": [2]}
    session |= [("c", 3)]
    assert session is same
    assert dict(session) == {"a": 1, "b": [2], "c": 3}
    with pytest.raises(SessionDataError, match="exp"):
        session |= {"exp": 1}


# What it is not


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_age", "cookie_max_age"),
        ("permanent", "cookie_max_age"),
        ("modified", r"session\.changed\(\)"),
        ("new", r"session\.is_new"),
        ("sid", r"session\.renew\(\)"),
        ("id", "first write"),
        ("subject", r"session\['sub'\]"),
        ("user", r"session\['user'\] = value"),
        ("is_new", r"read session\.is_new"),
        ("_life", "no attribute"),
        ("__dict__", "no attribute"),
    ],
)
def test_an_attribute_is_never_set_and_the_error_says_what_there_is(name: str, hint: str) -> None:
    session = Session()
    with pytest.raises(AttributeError, match=hint):
        setattr(session, name, 1)
    assert list(session) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("new", r"read session\.is_new"),
        ("identity", r"read session\.sid"),
        ("empty", r"len\(session\)"),
        ("created", r"read session\.created_at"),
        ("modified", r"session\.changed\(\)"),
        ("flush", r"session\.invalidate\(\)"),
        ("set_new_identity", r"session\.renew\(\)"),
        ("is_empty", r"len\(session\)"),
        ("touch", r"session\.changed\(\)"),
        ("flash", r"await flash\(request, text\)"),
        ("user", r"session\['user'\]$"),
    ],
)
def test_reading_what_other_libraries_have_is_an_error_that_says_what_there_is(name: str, hint: str) -> None:
    session = Session({"user": 1})
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': .*{hint}"):
        getattr(session, name)
    assert not hasattr(session, name)


async def test_a_property_that_fails_tells_its_own_error(clock: FakeClock) -> None:
    manager = make_manager(None, clock, subject_key=lambda data: data["account"].id if "account" in data else None)
    session = await manager.load({})
    session["account"] = "ann"
    with pytest.raises(AttributeError, match="'str' object has no attribute 'id'"):
        _ = session.subject


def test_an_unknown_attribute_is_an_error_and_a_session_has_no_dictionary() -> None:
    session = Session({"user": 1})
    for name in ("user", "modified", "new", "identity", "__dict__"):
        with pytest.raises(AttributeError, match=name):
            getattr(session, name)
    with pytest.raises(TypeError):
        hash(session)


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.update(a=2),
        lambda session: session.pop("a"),
        lambda session: session.popitem(),
        lambda session: session.setdefault("b", 1),
        Session.clear,
        Session.changed,
        Session.renew,
        Session.invalidate,
        lambda session: session.describe(a="b"),
        lambda session: session.__ior__({"a": 2}),
    ],
)
def test_a_sealed_session_is_not_changed(change: object) -> None:
    session = Session({"a": 1})
    sid = session.sid
    seal(session)
    assert callable(change)
    with pytest.raises(SessionSealed):
        change(session)
    assert (dict(session), session.sid) == ({"a": 1}, sid)


# Changes that are lost


async def test_a_value_changed_in_place_too_late_is_logged_by_its_key(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    await browser.write(cart=[1], table={"x": [1]}, text="t")
    session = await loaded(browser)
    session["cart"].append(2)
    session["new"] = []
    await save(browser, session)
    seal(session)
    warn_if_changed(session)
    assert caplog.records == []
    session["cart"].append("secret")
    session["table"]["x"].append("secret")
    warn_if_changed(session)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "'cart'" in record.getMessage()
    assert "'table'" in record.getMessage()
    assert "secret" not in caplog.text
    assert "'new'" not in caplog.text


async def test_nothing_is_logged_of_a_value_that_is_only_of_another_class(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    session = await loaded(browser)
    session["table"] = OrderedDict(a=1)
    await save(browser, session)
    assert await save(browser, session) == []
    seal(session)
    warn_if_changed(session)
    assert caplog.records == []


class Undecided:
    """Something whose comparison is no yes and no no, as that of an array of numpy's."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


async def test_what_cannot_be_compared_is_an_error_that_names_the_key_and_is_logged_when_it_is_too_late(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    await browser.write(cart=[1])
    session = await loaded(browser)
    session["cart"][0] = Undecided()
    with pytest.raises(SessionDataError, match="'cart'"):
        await save(browser, session)
    late = await loaded(browser)
    seal(late)
    late["cart"][0] = Undecided()
    warn_if_changed(late)
    assert "'cart'" in caplog.text


async def test_what_can_no_longer_be_written_is_logged_too(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    await browser.write(cart=[1])
    session = await loaded(browser)
    seal(session)
    session["cart"].append(session["cart"])
    warn_if_changed(session)
    assert "'cart'" in caplog.text


# Two tasks at once


async def test_two_tasks_that_ask_at_once_get_one_session(aiohttp_client: object) -> None:
    seen: list[bool] = []

    async def handler(request: web.Request) -> web.Response:
        async def add(name: str) -> Session:
            session = await get_session(request)
            session.setdefault("names", []).append(name)
            await asyncio.sleep(0)
            session["names"].append(name)
            return session

        sessions = await asyncio.gather(*(add(name) for name in "abc"))
        seen.append(len(set(map(id, sessions))) == 1)
        return web.json_response(sessions[0]["names"])

    app = web.Application()
    app.router.add_get("/", handler)
    install(app, storage="memory://")
    visitor = await start(aiohttp_client, app)
    await visitor.get("/")
    answer = await visitor.get("/")
    assert answer.text == '["a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "b", "c"]'
    assert seen == [True, True]


# What is no session, no cookies, no name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a=b", "a mapping of cookie names to values"),
        (b"a=b", "a mapping of cookie names to values"),
        ([("a", "b")], "a mapping of cookie names to values"),
        (None, "a mapping of cookie names to values"),
        (SimpleCookie({ACCESS: "token"}), "morsel.value for name, morsel"),
        ({ACCESS: 7}, "must be text, or a list of texts"),
        ({ACCESS: [None]}, "must be text, or a list of texts"),
    ],
)
async def test_what_are_no_cookies_is_an_error_that_names_the_way_out(browser: Browser, given: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        await browser.manager.load(given)


@pytest.mark.parametrize("given", [None, {"sub": "ann"}])
async def test_what_is_no_session_is_not_saved(browser: Browser, given: Any) -> None:
    with pytest.raises(TypeError, match="save takes a session, as load answers it"):
        await browser.manager.save(given)


@pytest.mark.parametrize("name", ["id", "sid", "creator"])
@pytest.mark.parametrize("given", [5, "", "x" * 1025, "a\0b"])
def test_a_session_made_by_hand_is_named_by_text(name: str, given: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be text of 1 to"):
        Session(**{name: given})


def test_a_label_whose_name_is_no_text_is_an_error_where_labels_are_cut_too() -> None:
    with pytest.raises(SessionDataError, match="label 5 must be text"):
        Session().describe({5: "x"}, cut=True)  # type: ignore[dict-item]
