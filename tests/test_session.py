"""Session: a mapping whose data comes back unchanged or is refused by name, and marks that a save carries out."""

import base64
import json
import math
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_lionrock import (
    CookieChange,
    JtiRecord,
    MemoryStorage,
    ReservedName,
    Session,
    SessionConfig,
    SessionDataError,
    SessionManager,
    SessionSealed,
    TokenForged,
    get_session,
    new_session,
    setup,
)

NOW = 1_800_000_000
SECRET = "correct horse battery staple, and then some"
NAME = "lionrock-session"
RESERVED = ["aud", "exp", "iat", "iss", "jti", "nbf", "token_use"]
OWN = ["id", "sid", "creator", "orig_iat"]

deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=150)


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

    async def delete(self, sid: str) -> bool:
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
    [("ada", "ada"), ("", ""), (7, "7"), (0, "0"), (1.5, "1.5"), (True, "true"), (["a", 1], '["a",1]'), (None, None)],
)
def test_the_subject_is_sub_as_text(value: Any, text: str | None) -> None:
    assert Session({"sub": value}).subject == text


# ---- Names


@pytest.mark.parametrize("name", RESERVED + OWN)
def test_a_name_of_the_token_itself_is_refused_at_the_line_that_stores_it(name: str) -> None:
    session = Session({"user": "ada"})
    attempts: list[Callable[[], Any]] = [
        lambda: session.__setitem__(name, 1),
        lambda: session.setdefault(name, 1),
        lambda: session.update({name: 1}),
        lambda: Session({name: 1}),
    ]
    for attempt in attempts:
        with pytest.raises(ReservedName, match=name) as caught:
            attempt()
        assert caught.value.key == name
    assert session == {"user": "ada"}


@pytest.mark.parametrize(
    "name", ["Exp", "EXP", " exp", "exp ", "sub", "nonce", "alg", "__class__", "__proto__", "constructor"]
)
async def test_any_other_name_can_be_stored(name: str) -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, **{name: {"exp": 1, "sid": 2, "__proto__": {"x": 1}}}))
    assert dict(session) == {name: {"exp": 1, "sid": 2, "__proto__": {"x": 1}}}
    assert type(session) is Session


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"x", ("a",), frozenset()], ids=repr)
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    session = Session()
    with pytest.raises(SessionDataError) as caught:
        session[key] = 1
    assert caught.value.key == repr(key)
    assert type(key).__name__ in str(caught.value)
    assert not session


# ---- Values

NAUGHTY = [
    *[
        "",
        " ",
        "\t",
        "\r\n",
        "\x00",
        "\x00\x00",
        "\x01\x1f\x7f\x80\x9f",
        "\u00a0",
        "\ufeff",
        "\ufffe",
        "\uffff",
        "\U0010ffff",
    ],
    *[
        "Set-Cookie: x=y\r\nX: 1",
        "a;b",
        "a,b",
        'a"b',
        "a'b",
        "a\\b",
        "a=b",
        "%00%0d%0a",
        "; Path=/; Max-Age=0",
        "..",
        "/../etc",
    ],
    *[
        "null",
        "true",
        "undefined",
        "NaN",
        "1e400",
        "{}",
        "[]",
        '{"a":1}',
        '"quoted"',
        "\\u0000",
        "\\ud800",
        "\\",
        "\\\\",
        "\\n",
    ],
    *[
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "'; DROP TABLE x; --",
        "${7*7}",
        "{{7*7}}",
        "$(reboot)",
        "`id`",
        "%s%n%x",
    ],
    *["Zo\u00eb", "Zoe\u0308", "\u00c5", "A\u030a", "\u212b", "\ufb01", "\u0130\u0131", "\u00df", "\u03c2", "\u1e9e"],
    *[
        "\U0001f981",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f1e9\U0001f1ea",
        "1\ufe0f\u20e3",
        "\u200b\u200e\u202e",
    ],
    *[
        "\u2028\u2029",
        "\u0645\u0631\u062d\u0628\u0627",
        "\u05e9\u05dc\u05d5\u05dd",
        "\u7530\u4e2d",
        "\uff11\uff12\uff13",
    ],
    *[
        "Z\u0351\u036b\u0343",
        "\u0e33" * 20,
        "\u1680\u180e\u3000",
        "\U000e0041",
        "\ue000",
        "x" * 1000,
        "\U0001f981" * 200,
    ],
    *[
        "__proto__",
        "constructor",
        "__class__",
        "exp",
        "eyJhbGciOiJub25lIn0.e30.",
        "a.b.c",
        "CON",
        "0",
        "-0",
        "1_000",
        "0x10",
    ],
]
VALUES: list[Any] = [
    *[None, True, False, 0, -1, 1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**64, 10**30, 10**400],
    *[0.0, -0.0, 1.0, 0.1, -1.5, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, math.pi],
    *[[], {}, [[]], [{}], {"": ""}, {"a": []}, [None, True, 1, 1.0, "1"], {"b": 1, "a": 2}, {"1": 1, "01": 2}],
    *[{"exp": 1, "sid": [], "__class__": {"__init__": None}}, {"a.b": 1, "$where": 2, "\x00": 3, "\U0001f981": 4}],
]
UNSTORABLE: list[Any] = [
    *[b"x", bytearray(b"x"), {1, 2}, frozenset(), (1, 2), (), datetime.now(UTC), Decimal("1.5"), UUID(int=1), object()],
    *[
        math.nan,
        math.inf,
        -math.inf,
        1j,
        range(3),
        len,
        int,
        "\ud800",
        "x\udfff",
        10**5000,
        {1: 2},
        {None: 1},
        {("a",): 1},
    ],
]


def cycle() -> Any:
    loop: dict[str, Any] = {"a": []}
    loop["a"].append(loop)
    return loop


@pytest.mark.parametrize("value", [*VALUES, *NAUGHTY], ids=lambda value: ascii(value)[:32])
async def test_a_value_comes_back_exactly(value: Any) -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, v=value, nested={"list": [value]}))
    assert same(dict(session), {"v": value, "nested": {"list": [value]}})


@pytest.mark.parametrize("key", NAUGHTY, ids=lambda value: ascii(value)[:32])
async def test_a_key_comes_back_exactly_or_is_refused_by_name(key: str) -> None:
    manager = manager_with()
    session = await manager.load({})
    fault = refusal(session, key, 1)
    if fault is not None:
        assert key in RESERVED
        assert fault.key == key
        return
    session["nested"] = {key: 2}
    again = await manager.load(cookies_of(await manager.save(session)))
    assert dict(again) == {key: 1, "nested": {key: 2}}


@pytest.mark.parametrize("value", [*UNSTORABLE, cycle()], ids=lambda value: type(value).__name__)
def test_what_would_not_come_back_is_refused_at_the_line_that_stores_it(value: Any) -> None:
    session = Session()
    for stored_value in (value, [value], {"a": [1, {"b": value}]}):
        with pytest.raises(SessionDataError, match=r"session\['cart'\]") as caught:
            session["cart"] = stored_value
        assert caught.value.key == "cart"
    assert "cart" not in session


def test_a_key_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(SessionDataError) as caught:
        Session()["x\udcff"] = 1
    assert caught.value.key == "x\udcff"
    assert str(caught.value).isprintable()


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=12,
)


@deterministic
@given(st.dictionaries(st.text(st.characters(), max_size=8) | st.sampled_from(RESERVED + OWN), JSON_VALUES, max_size=5))
async def test_any_data_comes_back_exactly_or_is_refused_by_name(data: dict[str, Any]) -> None:
    manager = manager_with(max_token_length=10**6)
    session = await manager.load({})
    kept = {}
    for key, value in data.items():
        fault = refusal(session, key, value)
        if fault is None:
            kept[key] = value
        assert fault is None or fault.key == key
    cookies = cookies_of(await manager.save(session))
    assert set(cookies) == ({NAME} if kept else set())
    again = await manager.load(cookies)
    assert again.rejected is None
    assert same(dict(again), kept)
    assert await manager.save(again) == []


@pytest.mark.parametrize("depth", [97, 98, 99, 100, 101])
@pytest.mark.parametrize("innermost", [[], 1], ids=repr)
async def test_what_can_be_stored_can_be_read_at_every_depth(depth: int, innermost: Any) -> None:
    value = innermost
    for _ in range(depth - 1):
        value = [value]
    manager = manager_with()
    session = await manager.load({})
    session["wide"] = [[], []]
    fault = refusal(session, "deep", value)
    if fault is not None:
        assert depth > 97
        assert fault.key == "deep"
        return
    assert (await manager.load(cookies_of(await manager.save(session)))).get("deep") == value


# ---- Changes


async def test_a_session_that_nothing_happened_to_sets_no_cookie() -> None:
    manager = manager_with()
    assert await manager.save(await manager.load({})) == []
    assert await manager.save(await manager.load(await stored(manager, a=1, b=[{"c": 1}]))) == []


READS: list[Callable[[Session], Any]] = [
    lambda session: session["cart"],
    lambda session: session.get("nothing"),
    lambda session: dict(session),
    lambda session: session.setdefault("cart", []),
    lambda session: session.pop("nothing", None),
    lambda session: session.update(user="ada"),
    lambda session: session.__setitem__("cart", {"items": [1, {"n": 1}]}),
    lambda session: (session.__setitem__("x", 1), session.__delitem__("x")),
    lambda session: (session["cart"]["items"].append(5), session["cart"]["items"].pop()),
    lambda session: session.subject,
    lambda session: repr(session),
]


@pytest.mark.parametrize("read", READS, ids=range(len(READS)))
async def test_what_leaves_the_data_as_it_was_sets_no_cookie(read: Callable[[Session], Any]) -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, user="ada", cart={"items": [1, {"n": 1}]}))
    read(session)
    assert await manager.save(session) == []


CHANGES: list[Callable[[Session], Any]] = [
    lambda session: session["cart"]["items"].append(2),
    lambda session: session["cart"]["items"][1].update(n=2),
    lambda session: session["cart"]["items"][1].update(n=True),
    lambda session: session["cart"]["items"][1].update(n=1.0),
    lambda session: session["cart"]["items"].clear(),
    lambda session: session["cart"].pop("items"),
    lambda session: session.__setitem__("user", "eve"),
    lambda session: session.__setitem__("n", True),
    lambda session: session.__setitem__("n", 1.0),
    lambda session: session.__setitem__("new", None),
    lambda session: session.pop("user"),
    lambda session: session.clear(),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
async def test_a_change_at_any_depth_is_written(change: Callable[[Session], Any]) -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, user="ada", n=1, cart={"items": [1, {"n": 1}]}))
    change(session)
    expected = repr(dict(session))
    cookies = cookies_of(await manager.save(session))
    assert repr(dict(await manager.load(cookies))) == expected


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (True, 1), (1, 1.0), (0, False), ("1", 1), (0.0, -0.0), (None, False)]
)
async def test_a_change_of_type_or_sign_alone_is_written(before: Any, after: Any) -> None:
    manager = manager_with()
    session = await manager.load(await stored(manager, v=before))
    session["v"] = after
    cookies = cookies_of(await manager.save(session))
    assert cookies
    assert same((await manager.load(cookies))["v"], after)


async def test_changes_after_a_save_are_seen_by_the_next_one() -> None:
    manager = manager_with()
    session = await manager.load({})
    session["items"] = []
    await manager.save(session)
    assert await manager.save(session) == []
    session["items"].append(1)
    cookies = cookies_of(await manager.save(session))
    assert (await manager.load(cookies))["items"] == [1]


async def test_a_structure_shared_with_the_outside_is_watched_too() -> None:
    manager = manager_with()
    items: list[int] = []
    session = await manager.load({})
    session["items"] = items
    items.append(1)
    assert (await manager.load(cookies_of(await manager.save(session))))["items"] == [1]


IN_PLACE: list[Callable[[Any], Any]] = [
    lambda cart: cart.update(x=b"bytes"),
    lambda cart: cart.update(x={1}),
    lambda cart: cart.update(x=(1, 2)),
    lambda cart: cart.update(x=math.nan),
    lambda cart: cart.update(x="\ud800"),
    lambda cart: cart.update(x=datetime.now(UTC)),
    lambda cart: cart.update(x=cart),
    lambda cart: cart.update(x=10**5000),
    lambda cart: cart.__setitem__(5, "five"),
    lambda cart: cart.__setitem__(None, "none"),
    lambda cart: cart["items"].append(cart["items"]),
    lambda cart: cart["items"].append({"deep": [object()]}),
]


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "new"])
@pytest.mark.parametrize("spoil", IN_PLACE, ids=range(len(IN_PLACE)))
async def test_a_change_in_place_that_cannot_be_kept_is_an_error_at_save_and_nothing_is_written(
    spoil: Callable[[Any], Any], loaded: bool
) -> None:
    storage = Recorder()
    manager = manager_with(storage=storage, refresh_token=True)
    data: Any = {"user": "ada", "other": {"fine": 1}, "cart": {"items": [1]}}
    cookies = await stored(manager, **data) if loaded else {}
    storage.writes.clear()
    session = await manager.load(cookies)
    if not loaded:
        session.update(data)
    session["user"] = "eve"
    spoil(session["cart"])
    for _ in range(2):
        with pytest.raises(SessionDataError, match=r"session\['cart'\]") as caught:
            await manager.save(session)
        assert caught.value.key == "cart"
    assert storage.writes == []
    if loaded:
        assert dict(await manager.load(cookies)) == {"user": "ada", "other": {"fine": 1}, "cart": {"items": [1]}}
    session["cart"] = {"items": [2]}
    assert cookies_of(await manager.save(session))


async def test_a_failed_save_leaves_a_new_session_as_it_was() -> None:
    manager = manager_with()
    session = await manager.load({})
    session["big"] = "x" * 5000
    with pytest.raises(SessionDataError):
        await manager.save(session)
    assert session.is_new
    session["big"] = "x"
    assert cookies_of(await manager.save(session))


async def test_the_order_of_keys_is_no_change_once_what_could_change_inside_is_gone() -> None:
    manager = manager_with()
    session = await manager.load({})
    session.update(a=1, b=2, cart=[])
    await manager.save(session)
    del session["cart"]
    await manager.save(session)
    session["a"] = session.pop("a")
    assert await manager.save(session) == []


async def test_changed_has_the_cookies_written_once_though_no_value_changed() -> None:
    manager = manager_with()
    cookies = await stored(manager, user="ada")
    session = await manager.load(cookies)
    session.changed()
    [change] = await manager.save(session)
    assert change.value is not None
    assert await manager.save(session) == []
    empty = await manager.load({})
    empty.changed()
    assert len(await manager.save(empty)) == 1


@pytest.mark.parametrize(("setting", "new", "loaded"), [("save_uninitialized", 1, 0), ("resave", 1, 1)])
async def test_a_setting_has_untouched_sessions_written(setting: str, new: int, loaded: int) -> None:
    manager = manager_with(**{setting: True})
    changes = await manager.save(await manager.load({}))
    assert len(changes) == new
    again = await manager.load(await stored(manager_with(), user="ada"))
    assert len(await manager.save(again)) == loaded


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
    assert (await manager.load(cookies)).rejected is not None
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
    assert (await manager.load(cookies)).rejected is not None
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
    assert (await manager.load(cookies)).rejected is not None
    assert await storage.list_subject("ada") == []


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
