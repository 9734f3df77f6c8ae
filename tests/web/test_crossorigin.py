"""Cross-site requests are refused, and no others: every method, header and kind of handler over a real server."""

from functools import partial, wraps
from typing import Any

import pytest
from aiohttp import web
from support.visitor import Answer, Visitor, exchange, install, start
from support.webapp import application

from aiohttp_lionrock import ConfigError, cross_origin_exempt, cross_origin_middleware

HOST = "127.0.0.1"  # what `exchange` asks for
TRUSTED = "https://app.example:8443"
HANDSHAKE = ["Upgrade: WebSocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
HANDSHAKE += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]

SAFE = ["GET", "HEAD", "OPTIONS"]
UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "MERGE"]

# What a browser says, and whether its unsafe requests pass.
HEADERS: dict[str, tuple[list[str], bool]] = {
    "neither": ([], True),
    "empty": (["Sec-Fetch-Site:", "Origin:"], True),
    "same origin": (["Sec-Fetch-Site: same-origin"], True),
    "by the user": (["Sec-Fetch-Site: none"], True),
    "same site": (["Sec-Fetch-Site: same-site"], False),
    "cross site": (["Sec-Fetch-Site: cross-site"], False),
    "an unknown site": (["Sec-Fetch-Site: nearby"], False),
    "same origin through a proxy": (["Sec-Fetch-Site: same-origin", "Origin: https://public.example"], True),
    "cross site with our origin": (["Sec-Fetch-Site: cross-site", f"Origin: https://{HOST}"], False),
    "cross site and trusted": (["Sec-Fetch-Site: cross-site", f"Origin: {TRUSTED}"], True),
    "same site and trusted": (["Sec-Fetch-Site: same-site", f"Origin: {TRUSTED}"], True),
    "our origin": ([f"Origin: http://{HOST}"], True),
    "our origin behind TLS": ([f"Origin: https://{HOST}"], True),
    "our origin with its port": ([f"Origin: https://{HOST}:443"], True),
    "our host, another port": ([f"Origin: http://{HOST}:8080"], False),
    "our host, the port of another scheme": ([f"Origin: http://{HOST}:443"], False),
    "our host at the end": ([f"Origin: https://evil.example/{HOST}"], False),
    "our host as a user": ([f"Origin: https://{HOST}@evil.example"], False),
    "our host as a subdomain": ([f"Origin: https://{HOST}.evil.example"], False),
    "another origin": (["Origin: https://evil.example"], False),
    "an opaque origin": (["Origin: null"], False),
    "no origin at all": ([f"Origin: {HOST}"], False),
    "trusted": ([f"Origin: {TRUSTED}"], True),
    "trusted, another scheme": (["Origin: http://app.example:8443"], False),
    "trusted, another port": (["Origin: https://app.example"], False),
}


async def plain(request: web.Request) -> web.Response:
    return web.Response(text="done")


class Page(web.View):
    async def get(self) -> web.Response:
        return web.Response(text="done")

    head = options = post = put = patch = delete = get


class Methods:
    async def handle(self, request: web.Request) -> web.Response:
        return web.Response(text="done")

    @cross_origin_exempt
    async def hook(self, request: web.Request) -> web.Response:
        return web.Response(text="done")


async def socket(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    await response.close()
    return response


@cross_origin_exempt
async def hook(request: web.Request) -> web.Response:
    return web.Response(text="done")


@cross_origin_exempt
class Hook(web.View):
    async def post(self) -> web.Response:
        return web.Response(text="done")


class HalfHook(web.View):
    @cross_origin_exempt
    async def post(self) -> web.Response:
        return web.Response(text="done")

    async def put(self) -> web.Response:
        return web.Response(text="done")


@cross_origin_exempt
async def open_socket(request: web.Request) -> web.WebSocketResponse:
    return await socket(request)


def decorated(handler: Any) -> Any:
    @wraps(handler)
    async def wrapper(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    return wrapper


def make_app() -> web.Application:
    app = web.Application(middlewares=[cross_origin_middleware([TRUSTED])])
    install(app, storage="memory://")
    sub = web.Application()
    sub.router.add_route("*", "/plain", plain)
    app.add_subapp("/sub", sub)
    handlers = {"plain": plain, "page": Page, "method": Methods().handle, "partial": partial(plain)}
    exempt = {"hook": hook, "class_hook": Hook, "half_hook": HalfHook, "partial_hook": partial(hook)}
    exempt["hook_of_partial"] = cross_origin_exempt(partial(plain))
    exempt["wrapped_hook"] = decorated(hook)
    exempt["method_hook"] = Methods().hook
    for name, handler in {**handlers, **exempt, "socket": socket, "open_socket": open_socket}.items():
        app.router.add_route("*", f"/{name}", handler)
    return app


@pytest.fixture
async def visitor(aiohttp_client: Any) -> Visitor:
    return await start(aiohttp_client, make_app())


async def ask(visitor: Visitor, method: str, path: str, *lines: str) -> Answer:
    return await exchange(visitor.server, path, *lines, method=method, only_head="socket" in path)


@pytest.mark.parametrize("path", ["/plain", "/page", "/method", "/partial", "/sub/plain"])
@pytest.mark.parametrize(("lines", "passes"), HEADERS.values(), ids=HEADERS)
async def test_unsafe_requests_pass_by_their_headers_and_safe_ones_always(visitor, path, lines, passes):
    for method in SAFE:
        assert (await ask(visitor, method, path, *lines)).status == 200
    for method in UNSAFE:
        if path == "/page" and method == "MERGE":
            continue  # a class-based view knows the usual methods only
        answer = await ask(visitor, method, path, *lines)
        assert (answer.status, answer.text == "done") == ((200, True) if passes else (403, False)), method


@pytest.mark.parametrize(("lines", "passes"), HEADERS.values(), ids=HEADERS)
async def test_a_handshake_is_no_safe_request(visitor, lines, passes):
    answer = await ask(visitor, "GET", "/socket", *HANDSHAKE, *lines)
    assert answer.status == (101 if passes else 403)


@pytest.mark.parametrize("lines", [lines for lines, _ in HEADERS.values()], ids=HEADERS)
async def test_an_exempt_handler_is_reached_by_every_origin(visitor, lines):
    for path in (
        "/hook",
        "/class_hook",
        "/half_hook",
        "/method_hook",
        "/partial_hook",
        "/wrapped_hook",
        "/hook_of_partial",
    ):
        assert (await ask(visitor, "POST", path, *lines)).text == "done"
    assert (await ask(visitor, "GET", "/open_socket", *HANDSHAKE, *lines)).status == 101


async def test_of_a_class_only_the_exempt_method_is_reached(visitor):
    refused = await ask(visitor, "PUT", "/half_hook", "Sec-Fetch-Site: cross-site")
    assert refused.status == 403


async def test_an_unknown_path_tells_another_origin_nothing(visitor):
    assert (await ask(visitor, "POST", "/absent", "Sec-Fetch-Site: cross-site")).status == 403
    assert (await ask(visitor, "POST", "/absent", "Sec-Fetch-Site: same-origin")).status == 404


async def test_the_reason_is_in_the_body_and_in_the_log(visitor, caplog):
    answer = await ask(visitor, "POST", "/plain", "Sec-Fetch-Site: cross-site", "Origin: https://evil.example")
    reason = "Sec-Fetch-Site is 'cross-site', and the origin 'https://evil.example' is not trusted"
    assert answer.text == f"Cross-origin request refused: {reason}.\n"
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert [record.getMessage() for record in caplog.records] == [
        f"a cross-origin request was refused: POST '/plain': {reason}"
    ]
    answer = await ask(visitor, "POST", "/plain", "Origin: https://evil.example")
    assert f"the host asked for is '{HOST}', and the origin" in answer.text


async def test_a_refused_login_leaves_no_session(aiohttp_client):
    async def log_in(request: web.Request) -> web.Response:
        raise AssertionError("the handler was reached")

    app, _ = application(storage="memory://")
    app.middlewares.append(cross_origin_middleware())
    app.router.add_post("/form", log_in)
    answer = await (await start(aiohttp_client, app)).get("/form", method="POST", Sec_Fetch_Site="cross-site")
    assert (answer.status, answer.set_cookies) == (403, {})


async def test_a_host_that_an_outer_middleware_restores_is_the_one_that_counts(aiohttp_client):
    """As XForwardedRelaxed of aiohttp-remotes does it behind a proxy that sets its own Host."""

    @web.middleware
    async def restore(request: web.Request, handler: Any) -> web.StreamResponse:
        return await handler(request.clone(host=request.headers["X-Forwarded-Host"]))

    app = web.Application(middlewares=[restore, cross_origin_middleware()])
    app.router.add_route("*", "/socket", socket)
    visitor = await start(aiohttp_client, app)
    forwarded = [*HANDSHAKE, "X-Forwarded-Host: shop.example"]
    assert (await ask(visitor, "GET", "/socket", *forwarded, "Origin: https://shop.example")).status == 101
    assert (await ask(visitor, "GET", "/socket", *forwarded, f"Origin: https://{HOST}")).status == 403
    nameless = [*HANDSHAKE, "X-Forwarded-Host:"]
    assert (await ask(visitor, "GET", "/socket", *nameless, "Origin: null")).status == 403


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("safari-web-extension://F3A1B2", "safari-web-extension://F3A1B2"),
    ],
)
async def test_an_origin_is_trusted_as_browsers_send_it(aiohttp_client, written, sent):
    app = web.Application(middlewares=[cross_origin_middleware([written])])
    app.router.add_post("/plain", plain)
    visitor = await start(aiohttp_client, app)
    assert (await ask(visitor, "POST", "/plain", "Sec-Fetch-Site: cross-site", f"Origin: {sent}")).status == 200


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("app.example", "not of the form scheme://host"),
        ("//app.example", "not of the form"),
        ("https://", "not of the form"),
        ("null", "not of the form"),
        ("*", "not of the form"),
        ("https://*.example", "not of the form"),
        ("https://app.example:port", "not of the form"),
        (None, "not of the form"),
        ("https://app.example/", "write 'https://app.example'"),
        ("https://app.example/login?x=1", "write 'https://app.example'"),
        ("https://ann@app.example", "write 'https://app.example'"),
        ("https://bücher.example", "xn--"),
    ],
)
def test_an_origin_that_no_browser_sends_stops_the_start(origin, message):
    with pytest.raises(ConfigError, match=message.replace("*", r"\*")):
        cross_origin_middleware([origin])


def test_all_faulty_origins_come_in_one_message():
    with pytest.raises(ConfigError) as caught:
        cross_origin_middleware(["https://good.example", "app.example", "https://app.example/"])
    assert len(caught.value.faults) == 2


def test_one_origin_in_place_of_a_list_stops_the_start():
    with pytest.raises(ConfigError, match=r"write \['https://app.example'\]"):
        cross_origin_middleware("https://app.example")
