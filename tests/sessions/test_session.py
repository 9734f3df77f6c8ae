"""Session: a mapping that says what it is, and marks that a save carries out."""

from collections.abc import Callable, MutableMapping
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from support.sessions import NAME, NOW, SECRET, Recorder, claims_of, cookies_of, manager_with, stored

from aiohttp_lionrock import (
    Session,
    SessionConfig,
    SessionDataError,
    SessionManager,
    SessionSealed,
    TokenForged,
    TokenSuperseded,
    get_session,
    new_session,
    setup,
)

# ---- A mapping


def test_a_session_is_a_mutable_mapping() -> None:
    session = Session({"a": 1})
    assert isinstance(session, MutableMapping)
    session["b"] = [2]
    assert (len(session), list(session), dict(session)) == (2, ["a", "b"], {"a": 1, "b": [2]})
    assert "a" in session
    assert "c" not in session
    assert session.get("c") is None
    assert session.get("c", 5) == 5
    assert session.setdefault("c", 3) == 3
    assert session.setdefault("c", 4) == 3
    assert session.pop("c") == 3
    assert session.pop("c", None) is None
    session.update({"d": 4}, e=5)
    del session["d"]
    assert session == {"a": 1, "b": [2], "e": 5}
    assert session.popitem()[0] in "abe"
    session.clear()
    assert not session
    for missing in (lambda: session["x"], lambda: session.pop("x"), lambda: session.__delitem__("x")):
        with pytest.raises(KeyError):
            missing()


def test_the_repr_shows_the_keys_and_no_value() -> None:
    session = Session({"card": "4111 1111"})
    assert "card" in repr(session)
    assert "4111" not in repr(session)
    assert session.sid in repr(session)


def test_a_new_session_has_a_sid_and_no_id() -> None:
    session = Session()
    assert session.id is None
    assert UUID(session.sid).version == 4
    assert (session.creator, session.is_new, session.expires_at) == ("SessionJWT", True, None)
    assert (session.subject, session.rejected) == (None, None)
    assert Session().sid != session.sid


@pytest.mark.parametrize("name", ["id", "sid", "creator", "is_new", "expires_at", "subject", "rejected"])
def test_what_a_session_tells_about_itself_cannot_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Session(), name, "mine")


async def test_the_id_is_given_at_the_first_write_and_kept() -> None:
    manager = manager_with()
    session = await manager.load({})
    await manager.save(session)
    assert session.id is None
    session["n"] = 1
    cookies = cookies_of(await manager.save(session))
    assert session.id is not None
    assert UUID(session.id).version == 4
    again = await manager.load(cookies)
    again["n"] = 2
    await manager.save(again)
    assert (again.id, again.sid) == (session.id, session.sid)


async def test_a_session_knows_whether_it_is_new_and_when_it_expires() -> None:
    manager = manager_with(expires=100)
    session = await manager.load({})
    assert (session.is_new, session.expires_at) == (True, None)
    session["n"] = 1
    assert session.is_new
    cookies = cookies_of(await manager.save(session))
    assert (session.is_new, session.expires_at) == (False, NOW + 100)
    again = await manager.load(cookies)
    assert (again.is_new, again.expires_at, again.rejected) == (False, NOW + 100, None)


async def test_a_refused_session_says_why_until_it_is_gone() -> None:
    manager = manager_with()
    cookies = await stored(manager, user="ada")
    session = await manager.load({NAME: cookies[NAME][:-4] + "AAAA"})
    assert isinstance(session.rejected, TokenForged)
    assert session.is_new
    session["n"] = 1
    [change] = await manager.save(session)
    assert change.value is not None
    assert dict(await manager.load(cookies_of([change]))) == {"n": 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ada", "ada"),
        ("", None),
        (False, None),
        ([], None),
        ({}, None),
        (7, "7"),
        (0, "0"),
        (0.0, "0.0"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", 1], '["a",1]'),
        (None, None),
    ],
)
def test_the_subject_is_sub_as_text(value: Any, text: str | None) -> None:
    assert Session({"sub": value}).subject == text


# ---- Renew, invalidate, describe


async def test_renew_keeps_the_data_under_a_new_sid_and_ends_the_old_one() -> None:
    storage = Recorder()
    manager = manager_with(storage=storage)
    cookies = await stored(manager, user="ada", cart=[1])
    session = await manager.load(cookies)
    old_sid, old_id = session.sid, session.id
    session.renew()
    assert session.sid != old_sid
    assert dict(session) == {"user": "ada", "cart": [1]}
    assert storage.writes == ["insert"]
    new = cookies_of(await manager.save(session))
    assert dict(await manager.load(new)) == {"user": "ada", "cart": [1]}
    assert (await manager.load(new)).id == old_id
    assert type((await manager.load(cookies)).rejected) is TokenSuperseded
    assert claims_of(new)["jti"] != claims_of(cookies)["jti"]


async def test_renew_twice_ends_the_session_that_came_with_the_request() -> None:
    storage = Recorder()
    manager = manager_with(storage=storage)
    cookies = await stored(manager, user="ada")
    session = await manager.load(cookies)
    session.renew()
    between = session.sid
    session.renew()
    assert session.sid != between
    new = cookies_of(await manager.save(session))
    assert type((await manager.load(cookies)).rejected) is TokenSuperseded
    assert (await manager.load(new)).rejected is None
    assert await storage.get(between) is None


async def test_renewing_a_new_session_only_gives_it_another_sid() -> None:
    storage = Recorder()
    manager = manager_with(storage=storage)
    session = await manager.load({})
    first = session.sid
    session.renew()
    assert session.sid != first
    assert session.is_new
    assert await manager.save(session) == []
    session["n"] = 1
    await manager.save(session)
    assert storage.writes == ["insert"]


async def test_invalidate_empties_the_session_and_deletes_the_cookies() -> None:
    storage = Recorder()
    manager = manager_with(storage=storage, refresh_token=True)
    cookies = await stored(manager, user="ada")
    session = await manager.load(cookies)
    old = session.sid
    session.invalidate()
    assert (dict(session), session.is_new, session.id, session.expires_at) == ({}, True, None, None)
    assert session.sid != old
    changes = await manager.save(session)
    assert [(change.name, change.value) for change in changes] == [(NAME, None), (f"{NAME}-refresh", None)]
    for name, value in cookies.items():
        assert (await manager.load({name: value})).rejected is not None


async def test_what_is_stored_after_invalidate_is_a_new_session() -> None:
    storage = Recorder()
    manager = manager_with(storage=storage)
    cookies = await stored(manager, user="ada", sub="ada")
    session = await manager.load(cookies)
    old_sid, old_id = session.sid, session.id
    session.invalidate()
    session["flash"] = "bye"
    new = cookies_of(await manager.save(session))
    assert dict(await manager.load(new)) == {"flash": "bye"}
    assert session.sid != old_sid
    assert session.id not in (old_id, None)
    assert type((await manager.load(cookies)).rejected) is TokenSuperseded
    assert await manager.sessions("ada") == []


@pytest.mark.parametrize("steps", [("invalidate", "renew"), ("renew", "invalidate"), ("invalidate", "invalidate")])
async def test_invalidate_wins_over_renew_in_any_order(steps: tuple[str, str]) -> None:
    manager = manager_with(storage=Recorder())
    cookies = await stored(manager, user="ada")
    session = await manager.load(cookies)
    for step in steps:
        getattr(session, step)()
    assert [change.value for change in await manager.save(session)] == [None]
    assert (await manager.load(cookies)).rejected is not None


async def test_data_changed_before_invalidate_is_gone() -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, user="ada"))
    session["user"] = "eve"
    session.changed()
    session.describe(device="phone")
    session.invalidate()
    assert [change.value for change in await manager.save(session)] == [None]


async def test_without_a_storage_invalidate_still_deletes_the_cookie() -> None:
    manager = manager_with()
    for cookies in ({}, await stored(manager, user="ada")):
        session = await manager.load(cookies)
        session.invalidate()
        assert [change.value for change in await manager.save(session)] == [None]


async def test_describe_puts_labels_on_the_record_and_keeps_the_others() -> None:
    storage = Recorder()
    manager = manager_with(storage=storage)
    session = await manager.load({})
    session["sub"] = "ada"
    session.describe(device="phone", place="Wien")
    cookies = cookies_of(await manager.save(session))
    [record] = await manager.sessions("ada")
    assert dict(record.metadata) == {"device": "phone", "place": "Wien"}
    again = await manager.load(cookies)
    again.describe(device="Zo\u00eb's laptop")
    assert await manager.save(again)
    [record] = await manager.sessions("ada")
    assert dict(record.metadata) == {"device": "Zo\u00eb's laptop", "place": "Wien"}


@pytest.mark.parametrize(
    "label", ["x" * 2000, "Mozilla\udcff", "a\x00b", 5, None, b"x"], ids=lambda label: repr(label)[:16]
)
async def test_a_label_that_cannot_be_kept_is_an_error_of_this_library(label: Any) -> None:
    """A User-Agent header reaches Python with any length and any bytes, so this must be an error one can catch."""
    storage = Recorder()
    manager = manager_with(storage=storage)
    session = await manager.load({})
    session["user"] = "ada"

    async def describe_and_save() -> None:
        session.describe(device=label)
        await manager.save(session)

    with pytest.raises(SessionDataError, match="device"):
        await describe_and_save()
    assert storage.writes == []


@pytest.mark.parametrize("subject", ["x" * 1025, "a\x00b", ["x" * 2000]], ids=lambda subject: repr(subject)[:16])
async def test_a_subject_that_no_record_can_keep_is_refused_by_name(subject: Any) -> None:
    storage = Recorder()
    manager = manager_with(storage=storage)
    session = await manager.load({})
    session["sub"] = subject
    with pytest.raises(SessionDataError) as caught:
        await manager.save(session)
    assert caught.value.key == "sub"
    assert storage.writes == []


# ---- Sealed


def app_with(handler: Callable[[web.Request], Any]) -> web.Application:
    app = web.Application()
    setup(app, secret=SECRET)
    app.router.add_get("/", handler)
    return app


AFTERWARDS: list[Callable[[Session], Any]] = [
    lambda session: session.__setitem__("late", 1),
    lambda session: session.__delitem__("user"),
    lambda session: session.pop("user"),
    lambda session: session.update(late=1),
    lambda session: session.setdefault("late", 1),
    lambda session: session.clear(),
    lambda session: session.changed(),
    lambda session: session.renew(),
    lambda session: session.invalidate(),
    lambda session: session.describe(device="phone"),
]


async def test_a_session_is_sealed_once_its_response_is_on_its_way(
    aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    refused = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal refused
        session = await get_session(request)
        session["user"] = "ada"
        response = web.StreamResponse()
        await response.prepare(request)
        for late in AFTERWARDS:
            with pytest.raises(SessionSealed):
                late(session)
            refused += 1
        assert dict(session) == {"user": "ada"}
        await response.write(session["user"].encode())
        return response

    client = await aiohttp_client(app_with(handler))
    answer = await client.get("/")
    assert await answer.text() == "ada"
    assert len(answer.headers.getall("Set-Cookie")) == 1
    assert refused == len(AFTERWARDS)


async def test_new_session_drops_what_was_there(aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)

    async def handler(request: web.Request) -> web.Response:
        session = await get_session(request)
        old = session.sid
        assert session["user"] == "ada"
        session = await new_session(request)
        assert await get_session(request) is session
        session["fresh"] = session.sid != old
        return web.Response()

    client = await aiohttp_client(app_with(handler))
    cookies = await stored(SessionManager(SessionConfig(secret=SECRET), environ={}), user="ada")
    answer = await client.get("/", headers={"Cookie": f"{NAME}={cookies[NAME]}"})
    assert answer.status == 200
    value = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    assert claims_of({NAME: value})["fresh"] is True
    assert "user" not in claims_of({NAME: value})
