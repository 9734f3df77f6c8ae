"""Set-Cookie lines: Expires beside Max-Age, deletions that repeat every attribute, and the prefixes of names."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from support.sessions import manager_with

from aiohttp_lionrock import ConfigError, CookieChange, CookieOptions, SessionConfig

NOW = 1_800_000_000
WHOLE: dict[str, Any] = {"path": "/a", "domain": "x.org", "secure": True, "http_only": True, "same_site": "Strict"}
OPTIONS: dict[str, Any] = {**WHOLE, "partitioned": True}


def expires(line: str) -> datetime:
    return parsedate_to_datetime(line.rpartition("; Expires=")[2])


@pytest.mark.parametrize("max_age", [1, 3600, 34_560_000])
def test_a_cookie_with_an_age_says_it_in_both_ways(max_age: int) -> None:
    change = CookieChange("s", "v", CookieOptions(max_age=max_age, **OPTIONS))
    for now in (NOW, NOW + 1, NOW + 0.999, NOW + 86_400):
        line = change.header(now)
        assert f"; Max-Age={max_age}; " in line
        assert expires(line) == datetime.fromtimestamp(int(now) + max_age, UTC)
        assert line.endswith(" GMT")


def test_the_clock_of_the_machine_counts_where_no_time_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    change = CookieChange("s", "v", CookieOptions(max_age=60, **OPTIONS))
    monkeypatch.setattr("time.time", lambda: NOW + 0.5)
    assert change.header() == change.header(NOW)


def test_a_cookie_of_the_browser_session_has_neither() -> None:
    line = CookieChange("s", "v", CookieOptions(max_age=None, **OPTIONS)).header(NOW)
    assert line == "s=v; Path=/a; Domain=x.org; Secure; HttpOnly; SameSite=Strict; Partitioned"


def test_a_deletion_repeats_every_attribute_and_has_long_expired() -> None:
    line = CookieChange("s", None, CookieOptions(max_age=0, **OPTIONS)).header(NOW)
    assert line == (
        "s=; Path=/a; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
        "Domain=x.org; Secure; HttpOnly; SameSite=Strict; Partitioned"
    )


PREFIXED = [
    ("__Http-s", {}, {"secure": False}, "secure and http_only"),
    ("__Http-s", {"path": "/a", "domain": "x.org"}, {"http_only": False}, "secure and http_only"),
    ("__HTTP-s", {}, {"http_only": False}, "secure and http_only"),
    ("__Host-Http-s", {}, {"secure": False}, "secure, http_only, path / and no domain"),
    ("__Host-Http-s", {}, {"http_only": False}, "secure, http_only, path / and no domain"),
    ("__host-http-s", {}, {"path": "/a"}, "secure, http_only, path / and no domain"),
    ("__Host-Http-s", {}, {"domain": "x.org"}, "secure, http_only, path / and no domain"),
    ("__Host-s", {"http_only": False}, {"path": "/a"}, "secure, path / and no domain"),
    ("__Secure-s", {"http_only": False, "path": "/a"}, {"secure": False}, "secure"),
]


@pytest.mark.parametrize(("name", "good", "bad", "needs"), PREFIXED, ids=str)
def test_a_prefix_of_a_name_needs_what_browsers_ask_for(
    name: str, good: dict[str, Any], bad: dict[str, Any], needs: str
) -> None:
    assert SessionConfig(name=name, cookie=good).access.name == name
    with pytest.raises(ConfigError) as caught:
        SessionConfig(name=name, cookie=bad)
    [fault] = caught.value.faults
    assert fault.startswith(f"name {name!r}: the prefix __")
    assert fault.endswith(f" needs {needs} (RFC 6265bis)")


SET, DELETED = "set", "deleted"


@pytest.mark.parametrize(
    ("cookie", "lines"),
    [
        ({}, [(SET, "/", None, False)]),
        ({"domain": "a.org"}, [(SET, "/", "a.org", False)]),
        ({"path": "/a", "previous_paths": ["/"]}, [(SET, "/a", None, False), (DELETED, "/", None, False)]),
        ({"previous_domains": ["a.org"]}, [(SET, "/", None, False), (DELETED, "/", "a.org", False)]),
        (
            {"partitioned": True, "previous_partitioned": False},
            [(SET, "/", None, True), (DELETED, "/", None, False)],
        ),
        ({"previous_partitioned": True}, [(SET, "/", None, False), (DELETED, "/", None, True)]),
        ({"previous_partitioned": False}, [(SET, "/", None, False)]),
        (
            {"domain": "a.org", "previous_domains": [".A.org"]},
            [(SET, "/", "a.org", False), (DELETED, "/", None, False)],
        ),
        (
            {"path": "/a", "previous_paths": ["/"], "previous_partitioned": True},
            [
                (SET, "/a", None, False),
                (DELETED, "/", None, False),
                (DELETED, "/a", None, True),
                (DELETED, "/", None, True),
            ],
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("refresh", [False, True], ids=["one token", "two tokens"])
async def test_every_write_deletes_the_cookies_that_the_settings_say_are_still_about(
    cookie: dict[str, Any], lines: list[tuple[str, str, str | None, bool]], refresh: bool
) -> None:
    manager = manager_with(cookie=cookie, refresh_token=refresh)
    session = await manager.load({})
    for value in range(2):
        session["cart"] = value
        changes = await manager.save(session)
        for name in manager.cookie_names:
            own = [(change.value, change.options) for change in changes if change.name == name]
            assert [
                (DELETED if value is None else SET, options.path, options.domain, options.partitioned)
                for value, options in own
            ] == [*lines[1:], lines[0]], "what is deleted comes first"
            assert {options.max_age for value, options in own if value is None} <= {0}


async def test_a_write_that_leaves_the_refresh_cookie_as_it_is_does_not_delete_the_former_one() -> None:
    once = {"refresh_token": {"rotate": False}}
    old, manager = manager_with(**once), manager_with(**once, cookie={"path": "/a", "previous_paths": ["/"]})
    session = await old.load({})
    session["cart"] = 1
    _, refresh = await old.save(session)
    session = await manager.load({refresh.name: refresh.value or ""})
    changes = await manager.save(session)
    assert [(change.name, change.options.path) for change in changes] == [
        ("lionrock-session", "/"),
        ("lionrock-session", "/a"),
    ]


async def test_who_leaves_a_user_leaves_no_former_cookie_of_hers_behind() -> None:
    manager = manager_with(cookie={"path": "/a", "previous_paths": ["/"]}, refresh_token=True, anonymous_lifetime=600)
    session = await manager.load({})
    session["sub"] = "ann"
    tokens = {change.name: change.value for change in await manager.save(session) if change.value}
    session = await manager.load(tokens)
    del session["sub"]
    session["note"] = "kept"
    deleted = {(change.name, change.options.path) for change in await manager.save(session) if change.value is None}
    assert deleted == {
        ("lionrock-session", "/"),
        ("lionrock-session-refresh", "/"),
        ("lionrock-session-refresh", "/a"),
    }


@pytest.mark.parametrize(
    ("cookie", "places"),
    [
        ({}, [("/", None)]),
        ({"domain": "a.org"}, [("/", "a.org"), ("/", None)]),
        ({"previous_domains": ["a.org"]}, [("/", None), ("/", "a.org")]),
        ({"path": "/a", "previous_paths": ("/", "/a", "/b")}, [("/a", None), ("/", None), ("/b", None)]),
        (
            {"domain": "a.org", "previous_domains": ["b.a.org"], "previous_paths": ["/b"]},
            [(path, domain) for path in ("/", "/b") for domain in ("a.org", "b.a.org", None)],
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("refresh", [False, True], ids=["one token", "two tokens"])
async def test_a_logout_deletes_each_cookie_wherever_it_was_before(
    cookie: dict[str, Any], places: list[tuple[str, str | None]], refresh: bool
) -> None:
    manager = manager_with(cookie=cookie, refresh_token=refresh)
    session = await manager.load({})
    session.invalidate()
    changes = await manager.save(session)
    assert {change.value for change in changes} == {None}
    for name in manager.cookie_names:
        own = [change.options for change in changes if change.name == name]
        assert [(options.path, options.domain) for options in own] == places
        assert {options.max_age for options in own} == {0}
    session["user"] = "ada"
    written = [change.name for change in await manager.save(session) if change.value is not None]
    assert written == ["lionrock-session", "lionrock-session-refresh"][: 1 + refresh]
