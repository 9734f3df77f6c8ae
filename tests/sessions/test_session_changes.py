"""A change at any depth is written, and what leaves the data as it was sets no cookie."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.sessions import Recorder, cookies_of, manager_with, same, stored

from aiohttp_lionrock import Session, SessionDataError


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
