"""What the page on middlewares shows: its programs, and what a middleware outside of ours may do."""

import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.pages import Serve, ask, assert_unavailable, cookies_of, program

from aiohttp_lionrock import LionRockError, get_session, setup
from aiohttp_lionrock.testing import log_in


async def test_errors_as_json_let_the_503_pass(serve: Serve, place: Path) -> None:
    client = await serve(program("how-to/middlewares", 1)["make_app"]())
    assert (await client.get("/bug")).status == 401
    await ask(client, "/login", "POST")
    async with client.get("/bug") as response:
        assert (response.status, await response.json()) == (500, {"error": "internal"})
    away = (place / "sessions.db").rename(place / "away.db")
    for response in (await client.get("/bug"), await client.post("/login")):
        assert_unavailable(response)
        assert await response.json() == {"error": "unavailable"}
    away.rename(place / "sessions.db")
    assert (await client.get("/bug")).status == 500


async def test_a_request_log_outside_tells_the_503_and_does_not_make_a_500_of_it(
    serve: Serve, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(program("how-to/middlewares", 0)["make_app"]())
    with caplog.at_level(logging.INFO):
        assert [(await client.get(path)).status for path in ("/", "/nowhere")] == [401, 404]
    await log_in(client, {"sub": "ann"})
    away = (place / "sessions.db").rename(place / "away.db")
    with caplog.at_level(logging.INFO):
        assert_unavailable(await client.get("/"))
        away.rename(place / "sessions.db")
        assert await ask(client, "/") == {"user": "ann"}
    assert [line for line in caplog.messages if " by " in line] == [
        "401 / by None",
        "404 /nowhere by None",
        "503 / by None",
        "200 / by ann",
    ]


async def test_what_saving_refuses_gets_a_page_of_the_application(serve: Serve) -> None:
    app = program("how-to/middlewares", 2)["make_app"]()
    client = await serve(app)
    await ask(client, "/login", "POST")
    kept = cookies_of(client)
    async with client.post("/note", data="x" * 5000) as response:
        assert (response.status, await response.json()) == (413, {"error": "note is too large"})
    client.session.cookie_jar.clear()
    async with client.post("/login") as response:
        assert (response.status, await response.json()) == (403, {"error": "log out on another device first"})
        assert "Set-Cookie" not in response.headers
    client.session.cookie_jar.update_cookies(kept, client.make_url("/"))
    await ask(client, "/note", "POST", data="tea")


@pytest.mark.parametrize("where", ["inside", "outside"])
async def test_the_session_is_that_of_the_copy_which_aiohttp_remotes_makes(serve: Serve, where: str) -> None:
    app = await program("how-to/middlewares", 3)["make_app"]()
    if where == "outside":
        app.middlewares.insert(0, app.middlewares.pop())
    client = await serve(app)
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    for visits in (1, 2):
        seen = await ask(client, "/", headers=headers)
        assert seen == {"visits": visits, "from": "203.0.113.7", "scheme": "https"}


async def test_a_middleware_outside_reads_after_its_handler_and_changes_nothing(serve: Serve) -> None:
    seen: list[Any] = []

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        for _ in range(2):
            try:
                session = await get_session(request)
                seen.append(session.subject)
                session["late"] = 1
            except LionRockError as exc:
                seen.append(type(exc).__name__)
            if len(seen) == 1:
                response: web.StreamResponse = await handler(request)
        return response

    async def handler(request: web.Request) -> web.Response:
        (await get_session(request))["sub"] = "ann"
        return web.json_response({})

    app = web.Application()
    setup(app)
    app.middlewares.insert(0, outside)
    app.router.add_get("/", handler)
    await ask(await serve(app), "/")
    assert seen == ["ConfigError", "ann", "SessionSealed"]
