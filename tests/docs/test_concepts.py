"""What the concept pages show: their programs, and diagrams that are as the script draws them."""

import json
import logging
import re
import runpy
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from aiohttp import web
from support.pages import DOCS, ROOT, Serve, ask, assert_unavailable, cookies_of, program, rows, text

from aiohttp_lionrock import JtiConfig, MemoryStorage, SessionConfig, get_session, setup
from aiohttp_lionrock.testing import FakeClock, FaultyStorage

ACCESS, REFRESH = "lionrock-session", "lionrock-session-refresh"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock(time.time())
    monkeypatch.setattr(time, "time", clock)
    return clock


async def test_a_replay_ends_the_session_and_tells_the_application(
    serve: Serve, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = program("concepts/refresh")["make_app"]()
    client = await serve(app)
    assert await ask(client, "/") == {"visits": 1}
    copy = {REFRESH: cookies_of(client)[REFRESH]}
    clock.advance(3 * 60 * 60)
    assert await ask(client, "/") == {"visits": 2}
    burst = await serve(program("concepts/refresh")["make_app"](), copy)
    assert await ask(burst, "/") == {"visits": 2}, "a moment later the old token still gets the successor"
    clock.advance(45)
    seen = await serve(program("concepts/refresh")["make_app"](), copy)
    assert await ask(seen, "/") == {"visits": 1}, "in the middle zone it is refused"
    assert await ask(client, "/") == {"visits": 3}, "and the session lives"
    clock.advance(30)
    thief = await serve(program("concepts/refresh")["make_app"](), copy)
    with caplog.at_level(logging.WARNING):
        assert await ask(thief, "/") == {"visits": 1}
        assert await ask(client, "/") == {"visits": 1}
    assert [record.message for record in caplog.records if record.name == "root"] == [
        "a refresh token of None came back"
    ]


def test_the_zones_are_those_of_the_settings() -> None:
    jti = JtiConfig()
    table = " ".join(" ".join(row) for row in rows("concepts/refresh", "The zones"))
    assert f"`reuse_leeway` ({jti.reuse_leeway})" in table
    assert f"`max_clock_skew` ({jti.max_clock_skew})" in table
    assert f"`clock_tolerance` ({SessionConfig().clock_tolerance} s)" in text("concepts/guarantees")
    assert f"({SessionConfig().storage_timeout} seconds)" in text("concepts/outages")


async def test_a_request_without_the_session_meets_no_outage(serve: Serve, place: Path) -> None:
    async def plain(request: web.Request) -> web.Response:
        return web.json_response("no session here")

    async def look(request: web.Request) -> web.Response:
        return web.json_response((await get_session(request)).subject)

    async def login(request: web.Request) -> web.Response:
        (await get_session(request))["sub"] = "ann"
        return web.json_response("ann")

    def make_app() -> web.Application:
        app = web.Application()
        setup(app, storage=f"sqlite:///{place}/later/sessions.db", refresh_token=True)
        for handler in (plain, look, login):
            app.router.add_get(f"/{handler.__name__}", handler)
        return app

    client = await serve(make_app())  # it starts while its storage is down
    assert await ask(client, "/plain") == "no session here"
    assert await ask(client, "/look") is None
    assert_unavailable(await client.get("/login"))
    (place / "later").mkdir()
    assert await ask(client, "/login") == "ann"
    kept = cookies_of(client)
    away = (place / "later" / "sessions.db").rename(place / "away.db")
    assert await ask(client, "/plain") == "no session here"
    assert_unavailable(await client.get("/look"))
    assert cookies_of(client) == kept
    away.rename(place / "later" / "sessions.db")
    assert await ask(client, "/look") == "ann"


async def test_what_is_promised_when_the_storage_is_down(serve: Serve) -> None:
    def make_app() -> web.Application:
        app = web.Application()
        setup(app, storage=storage, refresh_token=True)
        app.add_routes(program("how-to/devices")["routes"])
        app.router.add_post("/logout", program("how-to/login", 0)["logout"])
        return app

    storage = FaultyStorage(MemoryStorage())
    with storage.away():
        client = await serve(make_app())
        assert_unavailable(await client.post("/login", data={"user": "ann"}))
    await ask(client, "/login", "POST", data={"user": "ann"})
    kept = cookies_of(client)

    with storage.away():
        refreshing = await serve(make_app(), {REFRESH: kept[REFRESH]})
        assert_unavailable(await refreshing.get("/devices"))
        assert_unavailable(await client.get("/devices"))
        for path in ("/login", "/logout", "/logout-elsewhere", "/logout-everywhere"):
            assert_unavailable(await client.post(path, data={"user": "eve"}))
        assert cookies_of(client) == kept

    assert len(await ask(client, "/devices")) == len(await ask(refreshing, "/devices")) == 1
    await client.post("/logout", allow_redirects=False)
    with storage.away():
        thief = await serve(make_app(), kept)
        assert_unavailable(await thief.get("/devices"))
    assert (await thief.get("/devices")).status == 401
    assert cookies_of(thief) == kept


async def test_a_response_that_sets_a_cookie_is_kept_from_caches(serve: Serve) -> None:
    client = await serve(program("index")["app"])
    async with client.get("/") as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Cookie"


def test_the_diagrams_are_as_the_script_draws_them() -> None:
    script = runpy.run_path(str(DOCS / "diagrams.py"))
    drawn = {f"{name}.svg": draw().svg() for name, draw in script["DRAWINGS"].items()}
    assert {path.name: path.read_text() for path in (DOCS / "_static").glob("*.svg")} == drawn
    for svg in drawn.values():
        ElementTree.fromstring(svg)
    shown = "".join(text(f"concepts/{page}") for page in ("tokens", "request", "refresh", "outages"))
    assert [name for name in drawn if f"](../_static/{name})" not in shown] == []


def test_the_figures_of_speed_are_those_of_the_results_beside_the_chart() -> None:
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    median = {name: ratio["median"] for name, ratio in results["ratios"].items()}
    facts = {(fact["group"], fact["name"]): fact["value"] for fact in results["facts"]}
    unseen = facts["added, over what aiohttp-session adds", "lionrock read, tokens not seen before"]
    in_table = [
        *(median[f"tokens.{name}"] for name in ("verify", "sign", "forged")),
        *(median["requests.read"], median["requests.nested_read"], unseen),
        *(median["requests.write"], median["requests.nested_write"]),
        *(median[f"network.{name}"] for name in ("read", "write", "mongodb")),
        *(median["sqlite.get"], median["sqlite.replace_full"], median["mongodb.get"], median["startup.time"]),
    ]
    by_hand = [facts["growth of a table by hand, in-thread", name] for name in ("point read", "compare-and-set")]
    below = [median["growth.sqlite_get"], median["growth.sqlite_replace"], *by_hand, median["growth.purge"]]
    speed = text("speed")
    assert re.findall(r"(?<![\d.])\d+\.\d\d(?![\d.])", speed) == [f"{value:.2f}" for value in in_table]
    assert re.findall(r"(?<![\d.])\d+\.\d(?![\d.])", speed) == [f"{value:.1f}" for value in below]
    assert results["machine"].replace(",", " with") in " ".join(speed.split())
