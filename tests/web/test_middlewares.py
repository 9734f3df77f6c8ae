"""Middlewares around the session: auth, errors, caches, CORS, forwarded headers, in whichever order they stand."""

import asyncio
import copy
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from support.browser import ACCESS, claims
from support.storages import FaultyStorage
from support.visitor import Answer, Visitor, install, start
from support.webapp import BOTH, application, crash, log_in, look, plain, stream, text, wrapped

from aiohttp_lionrock import ConfigError, SessionSealed, StorageUnavailable, get_manager, get_session
from aiohttp_lionrock.web.installation import INSTALLATION
from aiohttp_lionrock.web.middleware import make_middleware

ORDERS = ["given to the app", "before setup", "after setup", "outer app"]


def put_around(middleware: Any, order: str, *handlers: Any, **settings: Any) -> tuple[web.Application, str]:
    """An app with sessions and this middleware, written down in this order, and the prefix of its paths."""
    given = [middleware] if order == "given to the app" else []
    app = web.Application(middlewares=given)
    if order == "before setup":
        app.middlewares.append(middleware)
    install(app, **settings)
    if order == "after setup":
        app.middlewares.append(middleware)
    for handler in handlers:
        app.router.add_route("*", f"/{handler.__name__}", handler)
    return (wrapped(app, middleware), "/sub") if order == "outer app" else (app, "")


async def test_without_setup_the_error_says_what_to_call(aiohttp_client: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = web.Application()
    app.router.add_get("/look", look)
    answer = await (await start(aiohttp_client, app)).get("/look")
    assert answer.status == 500
    assert "ConfigError" in caplog.text
    assert "setup(app)" in caplog.text


# --- auth --------------------------------------------------------------------------------------------------------


@web.middleware
async def auth(request: web.Request, handler: Any) -> web.StreamResponse:
    session = await get_session(request)
    if "sub" not in session and request.path != "/log_in":
        session["next"] = request.path
        raise web.HTTPFound("/log_in")
    return await handler(request)  # type: ignore[no-any-return]


@pytest.mark.parametrize("order", ORDERS[:3])
async def test_an_auth_middleware_has_the_session_whenever_it_was_added(
    aiohttp_client: Any, storage: FaultyStorage, order: str
) -> None:
    app, _ = put_around(auth, order, log_in, look, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/look")
    assert (answer.status, answer.headers["Location"]) == (302, "/log_in")
    assert claims(visitor.cookies[ACCESS])["next"] == "/look"
    assert (await visitor.get("/log_in")).status == 200
    assert '"ann"' in (await visitor.get("/look")).text


async def test_an_auth_middleware_of_an_outer_app_is_told_that_it_has_no_session_yet(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = put_around(auth, "outer app", look, storage=storage)
    assert (await (await start(aiohttp_client, app)).get("/sub/look")).status == 500
    assert "no session yet" in caplog.text


async def test_a_middleware_outside_can_read_the_session_afterwards_and_its_change_is_refused(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    seen: list[Any] = []

    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        with pytest.raises(ConfigError):
            await get_session(request)
        response = await handler(request)
        session = await get_session(request)
        seen.append(session.get("sub"))
        with pytest.raises(SessionSealed):
            session["late"] = True
        return response  # type: ignore[no-any-return]

    app, _ = application(storage=storage)
    assert (await (await start(aiohttp_client, wrapped(app, outside))).get("/sub/log_in")).status == 200
    assert seen == ["ann"]


async def limited(work: Any) -> Any:
    return await asyncio.wait_for(work, 5)


async def shielded(work: Any) -> Any:
    return await asyncio.shield(work)


async def gathered(work: Any) -> Any:
    [done] = await asyncio.gather(work)
    return done


async def plain_await(work: Any) -> Any:
    return await work


WAYS = [limited, shielded, gathered, plain_await]


@pytest.mark.parametrize("around_the_call", WAYS)
@pytest.mark.parametrize("around_the_handler", WAYS)
async def test_a_request_that_ends_the_users_sessions_and_logs_in_does_so_in_whichever_task(
    aiohttp_client: Any, storage: FaultyStorage, around_the_call: Any, around_the_handler: Any
) -> None:
    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        return await around_the_handler(handler(request))  # type: ignore[no-any-return]

    async def log_in_alone(request: web.Request) -> web.Response:
        session = await get_session(request)
        await around_the_call(get_manager(request).revoke_subject("ann"))
        session.renew()
        session["sub"] = "ann"
        return web.Response()

    app, manager = application(log_in_alone, storage=storage)
    app.middlewares.append(middleware)
    visitor = await start(aiohttp_client, app)
    for _ in range(3):
        assert (await visitor.get("/log_in_alone")).set_cookies.keys() == BOTH
        assert await visitor.is_logged_in(manager)


async def test_a_mocked_request_has_no_session_but_inside_of_the_middleware() -> None:
    app = web.Application()
    install(app)

    async def store(request: web.Request) -> web.Response:
        (await get_session(request))["theme"] = "dark"
        return web.Response(text=repr(await get_session(request)))

    request = make_mocked_request("GET", "/", app=app)
    with pytest.raises(ConfigError, match="no session yet"):
        await store(request)
    response = await make_middleware(app[INSTALLATION])(request, store)
    assert isinstance(response, web.Response)
    assert response.text is not None
    assert "theme" in response.text


async def test_a_middleware_put_before_ours_can_read_the_session_afterwards_and_its_change_is_refused(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def outside(request: web.Request, handler: Any) -> web.StreamResponse:
        with pytest.raises(ConfigError, match="yet"):
            await get_session(request)
        response = await handler(request)
        with pytest.raises(SessionSealed):
            (await get_session(request)).invalidate()
        return response  # type: ignore[no-any-return]

    app, manager = application(storage=storage)
    app.middlewares.insert(0, outside)
    visitor = await start(aiohttp_client, app)
    assert (await visitor.get("/log_in")).status == 200
    assert await visitor.is_logged_in(manager)


@pytest.mark.parametrize("order", ORDERS[:3])
async def test_a_middleware_shares_the_session_with_the_handler_and_has_the_last_word(
    aiohttp_client: Any, storage: FaultyStorage, order: str
) -> None:
    @web.middleware
    async def around(request: web.Request, handler: Any) -> web.StreamResponse:
        (await get_session(request))["before"] = True
        response: web.StreamResponse = await handler(request)
        (await get_session(request))["after"] = True
        return response

    app, _ = put_around(around, order, text, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/text")
    assert {"before", "after", "visits"} <= claims(visitor.cookies[ACCESS]).keys()


async def test_a_middleware_that_first_asks_after_the_handler_has_its_change_kept(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        (await get_session(request))["counted"] = True
        return response

    app, _ = put_around(counting, "given to the app", plain, storage=storage)
    visitor = await start(aiohttp_client, app)
    assert (await visitor.get("/plain")).set_cookies.keys() == BOTH
    assert claims(visitor.cookies[ACCESS])["counted"] is True


# --- errors ------------------------------------------------------------------------------------------------------


@web.middleware
async def json_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """What many JSON APIs have."""
    try:
        return await handler(request)  # type: ignore[no-any-return]
    except web.HTTPException:
        raise
    except Exception as exc:
        return web.json_response({"error": type(exc).__name__}, status=500)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("failing", ["get", "replace"])
@pytest.mark.parametrize("handler", [text, stream], ids=["text", "stream"])
async def test_an_error_middleware_does_not_turn_our_503_into_a_500(
    aiohttp_client: Any, storage: FaultyStorage, order: str, failing: str, handler: Any
) -> None:
    app, prefix = put_around(json_errors, order, log_in, handler, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get(f"{prefix}/log_in")
    storage.fail(failing, "before")
    answer = await visitor.refresh(f"{prefix}/{handler.__name__}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers["Cache-Control"] == "no-store"
    assert not answer.set_cookies
    assert (await visitor.refresh(f"{prefix}/{handler.__name__}")).status == 200


async def test_a_500_that_an_error_middleware_raises_for_an_outage_becomes_a_503_too(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def raising(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[no-any-return]
        except StorageUnavailable:
            raise web.HTTPInternalServerError from None

    app, _ = put_around(raising, "before setup", log_in, look, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    assert (await visitor.get("/look")).status == 503


@pytest.mark.parametrize("order", ORDERS)
async def test_an_error_middleware_keeps_its_say_over_what_is_no_outage(
    aiohttp_client: Any, storage: FaultyStorage, order: str
) -> None:
    app, prefix = put_around(json_errors, order, crash, storage=storage)
    answer = await (await start(aiohttp_client, app)).get(f"{prefix}/crash")
    assert (answer.status, answer.text) == (500, '{"error": "RuntimeError"}')
    assert answer.set_cookies.keys() == (set() if order == "outer app" else BOTH)


async def test_a_handler_that_does_without_the_session_in_an_outage_keeps_its_answer(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    async def patient(request: web.Request) -> web.Response:
        try:
            await get_session(request)
        except StorageUnavailable:
            return web.Response(text="as a guest")
        return web.Response(text="as ann")

    app, _ = application(patient, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    answer = await visitor.get("/patient")
    assert (answer.status, answer.text, answer.set_cookies) == (200, "as a guest", {})
    assert (await visitor.get("/patient")).text == "as ann"


async def test_an_outage_that_a_handler_has_sat_out_is_forgotten(aiohttp_client: Any, storage: FaultyStorage) -> None:
    async def persistent(request: web.Request) -> web.Response:
        with pytest.raises(StorageUnavailable):
            await get_session(request)
        await get_session(request)
        return web.Response(status=500, text="a bug of another kind")

    app, _ = application(persistent, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in")
    storage.fail("get", "before")
    assert (await visitor.get("/persistent")).text == "a bug of another kind"


@pytest.mark.parametrize("order", ORDERS)
async def test_a_logout_by_an_error_middleware_is_kept_or_refused_aloud(
    aiohttp_client: Any, storage: FaultyStorage, order: str
) -> None:
    refused: list[Any] = []

    @web.middleware
    async def out_on_error(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[no-any-return]
        except RuntimeError:
            try:
                (await get_session(request)).invalidate()
            except SessionSealed as sealed:
                refused.append(sealed)
            return web.Response(status=500)

    app, prefix = put_around(out_on_error, order, log_in, crash, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get(f"{prefix}/log_in")
    sid = visitor.refreshing["sid"]
    answer = await visitor.get(f"{prefix}/crash")
    if order == "outer app":
        assert len(refused) == 1
        assert not answer.set_cookies
        assert await storage.get(sid) is not None
    else:
        assert answer.deleted == BOTH
        assert await storage.get(sid) is None
        assert not refused


# --- caches of responses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("keeps", ["a copy", "the headers of a copy", "the headers themselves"])
async def test_a_cache_of_responses_in_the_process_copies_no_cookie(
    aiohttp_client: Any, storage: FaultyStorage, order: str, keeps: str
) -> None:
    cache: dict[str, Any] = {}

    @web.middleware
    async def caching(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path in cache:
            status, headers, body = cache[request.path]
            return web.Response(status=status, headers=headers, body=body)
        response = await handler(request)
        copies = {"a copy": dict(response.headers), "the headers of a copy": copy.copy(response).headers.copy()}
        cache[request.path] = response.status, copies.get(keeps, response.headers), response.body
        return response  # type: ignore[no-any-return]

    app, prefix = put_around(caching, order, log_in, storage=storage)
    visitor = await start(aiohttp_client, app)
    assert (await visitor.get(f"{prefix}/log_in")).set_cookies.keys() == BOTH
    again = await Visitor(visitor.client).get(f"{prefix}/log_in")
    assert (again.status, again.set_cookies) == (200, {})


# --- responses and requests in the place of others ---------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("handler", [look, log_in])
async def test_a_response_that_a_middleware_puts_in_the_place_of_ours_is_kept_from_caches_too(
    aiohttp_client: Any, storage: FaultyStorage, handler: Any, order: str
) -> None:
    @web.middleware
    async def replacing(request: web.Request, handler: Any) -> web.StreamResponse:
        return web.Response(text=f"wrapped {(await handler(request)).text}")

    app, prefix = put_around(replacing, order, handler, storage=storage)
    answer = await (await start(aiohttp_client, app)).get(f"{prefix}/{handler.__name__}")
    assert answer.text.startswith("wrapped ")
    assert answer.headers["Vary"] == "Cookie"
    is_written = handler is log_in
    assert answer.headers["Cache-Control"] == ("no-store" if is_written else "private, no-cache")
    assert answer.set_cookies.keys() == (BOTH if is_written else set())


@pytest.mark.parametrize("order", ORDERS)
async def test_what_is_made_into_a_response_by_a_middleware_keeps_its_session(
    aiohttp_client: Any, storage: FaultyStorage, order: str
) -> None:
    async def order_it(request: web.Request) -> Any:
        (await get_session(request))["ordered"] = True
        return {"ordered": True}

    @web.middleware
    async def as_json(request: web.Request, handler: Any) -> web.StreamResponse:
        return web.json_response(await handler(request))

    app, prefix = put_around(as_json, order, order_it, storage=storage)
    answer = await (await start(aiohttp_client, app)).get(f"{prefix}/order_it")
    assert (answer.status, answer.text) == (200, '{"ordered": true}')
    assert answer.set_cookies.keys() == BOTH


async def refreshed(visitor: Visitor, prefix: str) -> Answer:
    await visitor.get(f"{prefix}/log_in")
    return await visitor.refresh(f"{prefix}/look")


@pytest.mark.parametrize("order", ORDERS)
async def test_a_middleware_that_clones_the_request_loses_no_cookie(
    aiohttp_client: Any, storage: FaultyStorage, order: str
) -> None:
    """As aiohttp-remotes does, which hands on what a proxy said of the client."""

    @web.middleware
    async def forwarded(request: web.Request, handler: Any) -> web.StreamResponse:
        return await handler(request.clone(scheme="https", host="shop.example", remote="192.0.2.1"))  # type: ignore[no-any-return]

    async def where(request: web.Request) -> web.Response:
        (await get_session(request))["host"] = request.host
        return web.Response(text=request.host)

    app, prefix = put_around(forwarded, order, log_in, look, where, stream, storage=storage)
    visitor = await start(aiohttp_client, app)
    answer = await refreshed(visitor, prefix)
    assert answer.set_cookies.keys() == BOTH
    assert '"ann"' in answer.text
    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == ("no-store", "Cookie")
    assert (await visitor.get(f"{prefix}/where")).text == "shop.example"
    assert claims(visitor.cookies[ACCESS])["host"] == "shop.example"
    assert (await visitor.get(f"{prefix}/stream")).set_cookies.keys() == BOTH


async def test_a_middleware_that_shares_the_session_and_clones_has_one_session_with_the_handler(
    aiohttp_client: Any, storage: FaultyStorage
) -> None:
    @web.middleware
    async def inside(request: web.Request, handler: Any) -> web.StreamResponse:
        (await get_session(request))["inside"] = True
        return await handler(request.clone(method="POST"))  # type: ignore[no-any-return]

    app, _ = put_around(inside, "before setup", text, storage=storage)
    visitor = await start(aiohttp_client, app)
    await visitor.get("/text")
    assert {"inside", "visits"} <= claims(visitor.cookies[ACCESS]).keys()


@pytest.mark.parametrize("order", ["before setup", "after setup"])
async def test_a_prepare_signal_that_adds_headers_leaves_the_cookies_alone(
    aiohttp_client: Any, storage: FaultyStorage, order: str
) -> None:
    """As aiohttp-cors does, for every response to another origin."""

    async def cors(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Vary"] = "Origin"

    app = web.Application()
    if order == "before setup":
        app.on_response_prepare.append(cors)
    install(app, storage=storage)
    if order == "after setup":
        app.on_response_prepare.append(cors)
    app.router.add_get("/log_in", log_in)
    answer = await (await start(aiohttp_client, app)).get("/log_in", Origin="https://shop.example")
    assert answer.set_cookies.keys() == BOTH
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.headers["Vary"].split(", ")) == {"Origin", "Cookie"}
