"""What a change of settings does to who is logged in: each row of the page, tried."""

from typing import Any

import pytest
from support.browser import ACCESS, SECRET, Browser
from support.pages import rows

from aiohttp_lionrock import MemoryStorage, Session, SessionConfig, SessionManager
from aiohttp_lionrock.testing import FakeClock

OTHER_SECRET = "another secret, known to nobody but these tests: 0123456789"
WITH_REFRESH: dict[str, Any] = {"refresh_token": True}
FOR_REFRESH_ALONE = {**WITH_REFRESH, "storage": "shared", "jti": {"token_use": "refresh"}}
FOR_BOTH = {**WITH_REFRESH, "storage": "shared", "jti": {"token_use": "both"}}
AFTER_EXPIRY = "once the access token is over"

Settings = dict[str, Any]

# By the first cell of each row: the settings before and after.
CHANGES: dict[str, list[tuple[Settings, Settings]]] = {
    "`secret`": [({}, {"secret": OTHER_SECRET})],
    "`secret`, and the old one is `previous_secret`": [({}, {"secret": OTHER_SECRET, "previous_secret": SECRET})],
    "`algorithm`": [({"minimum_secret_length": 40}, {"minimum_secret_length": 40, "algorithm": "HS384"})],
    "`name`, `access_token.name`": [({}, {"name": "shop"}), ({}, {"access_token": {"name": "shop"}})],
    "`name`, and `refresh_token.name` keeps the name that the refresh cookie has now": [
        (WITH_REFRESH, {"name": "shop", "refresh_token": {"name": "lionrock-session-refresh"}})
    ],
    "`refresh_token.name`": [(WITH_REFRESH, {"refresh_token": {"name": "shop-refresh"}})],
    "`issuer` set": [({}, {"issuer": "shop"})],
    "`issuer` removed": [({"issuer": "shop"}, {})],
    "`issuer`, to another one": [({"issuer": "shop"}, {"issuer": "new"})],
    "`audience` set": [({}, {"audience": "shop"})],
    "`audience` removed": [({"audience": "shop"}, {})],
    "`audience`, to a list that names the old one too": [({"audience": "shop"}, {"audience": ["new", "shop"]})],
    "`subject_key`": [({}, {"subject_key": "user"}), (WITH_REFRESH, {**WITH_REFRESH, "subject_key": "user"})],
    "`expires` or `access_token.expires` shortened": [({}, {"expires": 600}), ({}, {"access_token": {"expires": 600}})],
    "`expires` or `access_token.expires` lengthened": [
        ({}, {"expires": 72000}),
        ({}, {"access_token": {"expires": 72000}}),
    ],
    "`expires` shortened or lengthened, with refresh tokens": [
        (WITH_REFRESH, {**WITH_REFRESH, "expires": 600}),
        (WITH_REFRESH, {**WITH_REFRESH, "expires": 72000}),
    ],
    "`refresh_token.expires` shortened": [(WITH_REFRESH, {"refresh_token": {"expires": 86400}})],
    "`refresh_token.expires` lengthened": [(WITH_REFRESH, {"refresh_token": {"expires": 86400 * 90}})],
    "`refresh_token` switched on": [({}, WITH_REFRESH)],
    "`refresh_token` switched off": [(WITH_REFRESH, {})],
    "`refresh_token.rotate`": [(WITH_REFRESH, {"refresh_token": {"rotate": False}})],
    "`storage` set": [({}, {"storage": "new"}), (WITH_REFRESH, {**WITH_REFRESH, "storage": "new"})],
    "`storage` removed": [({"storage": "old"}, {}), ({**WITH_REFRESH, "storage": "old"}, WITH_REFRESH)],
    "`storage`, to an empty one": [({"storage": "old"}, {"storage": "new"})],
    '`jti.token_use` from `"refresh"` to `"both"`': [(FOR_REFRESH_ALONE, FOR_BOTH)],
    '`jti.token_use` from `"both"` to `"refresh"`': [(FOR_BOTH, FOR_REFRESH_ALONE)],
    "`max_lifetime`, `idle_timeout` or `anonymous_lifetime` set": [
        ({**refresh, "storage": "shared"}, {**refresh, "storage": "shared", name: 90000})
        for name in ("max_lifetime", "idle_timeout", "anonymous_lifetime")
        for refresh in ({}, WITH_REFRESH)
    ],
    "`max_sessions` set": [({"storage": "shared"}, {"storage": "shared", "max_sessions": 1})],
    "`cookie.domain`, `cookie.path` or `cookie.partitioned`": [
        ({}, {"cookie": attribute}) for attribute in ({"domain": "example.com"}, {"path": "/a"}, {"partitioned": True})
    ],
    "`cookie.secure`, `cookie.same_site` and the like": [({}, {"cookie": {"secure": False, "same_site": "Strict"}})],
    "`clock_tolerance`": [({}, {"clock_tolerance": 0})],
}


def managers_of(before: Settings, after: Settings, clock: FakeClock) -> list[SessionManager]:
    """One of the old settings and one of the new; storages of one name are one storage."""
    storages = {name: MemoryStorage(clock=clock) for name in ("old", "new", "shared")}
    made = []
    for settings in (before, after):
        storage = storages.get(settings.get("storage", ""))
        config = SessionConfig.from_mapping({"secret": SECRET, **settings, "storage": storage})
        made.append(SessionManager(config, clock=clock, environ={}))
    return made


async def outcome(issuing: SessionManager, judging: SessionManager, clock: FakeClock) -> str:
    """What becomes of somebody who logged in at one of them and then meets the other: a word of the page."""
    browser = Browser(issuing)
    await browser.visit(Session.renew, lambda session: session.update({str(issuing.config.subject_key): "ann"}))
    clock.advance(1)
    at_once = _word(await judging.load(browser.cookies))
    if issuing.config.refresh is None or judging.config.refresh is None:
        return at_once
    clock.advance(issuing.config.access.lifetime + 61)
    later = _word(await judging.load(browser.cookies))
    return {
        ("good", "refused"): f"refused, {AFTER_EXPIRY}",
        ("good", "ignored"): f"ignored, {AFTER_EXPIRY}",
        ("refused", "good"): "refused, until the access token is over",
    }.get((at_once, later), later)


def _word(session: Session) -> str:
    if session.subject is not None:
        return "good"
    return "ignored" if session.rejected is None else "refused"


@pytest.mark.parametrize("row", rows("deploy/changes"), ids=lambda row: str(row[0]))
async def test_a_change_of_settings_does_what_its_row_says(row: list[str]) -> None:
    change, at_new, at_old, _ = row
    for before, after in CHANGES[change]:
        clock = FakeClock()
        old, new = managers_of(before, after, clock)
        assert await outcome(old, new, clock) == _measured(at_new)
        assert await outcome(new, old, clock) == _measured(at_old)


def _measured(cell: str) -> str:
    """A cell without its reason, and without what only holds later on, which other tests are for."""
    return "good" if cell.startswith("good,") else cell.partition(":")[0]


def test_the_page_has_every_change() -> None:
    assert [row[0] for row in rows("deploy/changes")] == list(CHANGES)


async def test_a_refresh_cookie_from_before_would_bring_a_user_back() -> None:
    clock = FakeClock()
    old, new = managers_of(WITH_REFRESH, {}, clock)
    browser = Browser(old)
    await browser.log_in()
    at_new = browser.copy(new)
    await at_new.log_out()
    assert ACCESS not in at_new.cookies
    assert (await at_new.copy(old).visit()).subject == "ann", "the page warns of it"
    renamed = SessionConfig(secret=SECRET, refresh_token={"name": "shop-refresh"})
    assert (await at_new.copy(SessionManager(renamed, clock=clock, environ={})).visit()).subject is None


async def test_a_user_under_both_keys_stays_logged_in_when_the_key_changes() -> None:
    clock = FakeClock()
    for manager in (managers := managers_of({}, {"subject_key": "user"}, clock)):
        browser = Browser(manager)
        await browser.visit(Session.renew, lambda session: session.update(sub="ann", user="ann"))
        assert [(await browser.copy(other).visit()).subject for other in managers] == ["ann", "ann"]


async def test_without_its_storage_what_was_ended_lives_again() -> None:
    clock = FakeClock()
    old, new = managers_of({"storage": "old"}, {}, clock)
    browser = Browser(old)
    await browser.log_in()
    await old.revoke(browser.sid)
    assert (await browser.visit()).subject is None
    assert (await browser.copy(new).visit()).subject == "ann", "the page warns of it"
