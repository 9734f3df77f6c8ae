"""describe_request: browsers and systems in words, by the real headers of browsers in use, and never a failure."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from support.visitor import exchange, install

from aiohttp_lionrock import MemoryStorage, SessionManager, describe_request, get_session
from aiohttp_lionrock.web.useragent import read_user_agent

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT}"
LINUX = f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT}"

# What both ways of reading a User-Agent say.
BROWSERS = {
    WINDOWS: ("Chrome", "Windows"),
    f"{WINDOWS} Edg/142.0.0.0": ("Edge", "Windows"),
    f"{WINDOWS} OPR/124.0.0.0": ("Opera", "Windows"),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0": ("Firefox", "Windows"),
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15": ("Safari", "macOS"),
    f"{MAC} {WEBKIT} Chrome/142.0.0.0 Safari/537.36": ("Chrome", "macOS"),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0": ("Firefox", "macOS"),
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0": ("Firefox", "Linux"),
    f"{LINUX} Chrome/142.0.0.0 Safari/537.36": ("Chrome", "Linux"),
    f"{LINUX} HeadlessChrome/142.0.0.0 Safari/537.36": ("Headless Chrome", "Linux"),
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/142.0.0.0 Safari/537.36": ("Chrome", "ChromeOS"),
    f"{IPHONE} Version/18.6 Mobile/15E148 Safari/604.1": ("Safari", "iOS"),
    f"{IPHONE} CriOS/142.0.7444.46 Mobile/15E148 Safari/604.1": ("Chrome", "iOS"),
    f"{IPHONE} FxiOS/145.0 Mobile/15E148 Safari/605.1.15": ("Firefox", "iOS"),
    f"{IPHONE} Version/18.0 EdgiOS/142.0.3595.66 Mobile/15E148 Safari/604.1": ("Edge", "iOS"),
    f"{ANDROID} Chrome/142.0.0.0 Mobile Safari/537.36": ("Chrome", "Android"),
    f"{ANDROID} Chrome/142.0.0.0 Mobile Safari/537.36 EdgA/142.0.0.0": ("Edge", "Android"),
    f"{ANDROID} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36": ("Samsung Internet", "Android"),
    "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0": ("Firefox", "Android"),
    "curl/8.14.1": ("curl", None),
}

# Lines of less common clients: without ua-parser nothing is said of what may be another browser.
LOOKALIKES = {
    f"{LINUX} Version/17.0 Safari/605.1.15": "Safari",
    "Mozilla/5.0 (Linux; U; Android 4.0.3) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30": (
        "Safari"
    ),
    f"{WINDOWS} Vivaldi/7.6.3797.63": "Chrome",
    f"{WINDOWS} YaBrowser/25.8.0": "Chrome",
    f"{ANDROID.replace('K', 'K; wv')} Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36": "Chrome",
    f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/500.0]": "Safari",
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15 Ddg/17.4": "Safari",
    "Mozilla/5.0 (X11; Linux x86_64; rv:91.0) Gecko/20100101 Firefox/91.0 SeaMonkey/2.53.18": "Firefox",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) "
    "Chrome/142.0.0.0 Safari/537.36": "Chrome",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "Chrome",
    "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063": "Chrome",
}

CHROME_HINT = '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'
HINTS = {
    CHROME_HINT: "Chrome",
    '"Not)A;Brand";v="8", "Chromium";v="138", "Microsoft Edge";v="138"': "Edge",
    '"Brave";v="142", "Chromium";v="142", "Not(A:Brand";v="24"': "Brave",
    '"Opera";v="124", "Not:A-Brand";v="99", "Chromium";v="140"': "Opera",
    '"Chromium";v="138", "Yowser";v="2.5", "YaBrowser";v="25.8", "Not/A)Brand";v="24"': "Yandex Browser",
    '"Samsung Internet";v="29.0", "Not;A=Brand";v="8", "Chromium";v="136"': "Samsung Internet",
    '"Chromium";v="142", "HeadlessChrome";v="142", "Not_A Brand";v="99"': "Headless Chrome",
    '"Chromium";v="142", "Not_A Brand";v="99"': "Chromium",
}

Reader = Callable[[str], tuple[str | None, str | None]]


@pytest.fixture
def _without_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ua_parser", None)


async def devices(request: web.Request) -> web.Response:
    return web.json_response(describe_request(request, address="address" in request.query))


async def described(aiohttp_client: Any, headers: Any, path: str = "/", *middlewares: Any) -> dict[str, str]:
    app = web.Application(middlewares=middlewares)
    app.router.add_get("/", devices)
    client = await aiohttp_client(app)
    async with client.get(path, headers=headers, skip_auto_headers=["User-Agent"]) as response:
        assert response.status == 200
        labels: dict[str, str] = await response.json()
        return labels


@pytest.mark.parametrize("line", BROWSERS)
def test_ua_parser_names_the_browsers_in_use_in_words(line: str) -> None:
    assert read_user_agent(line) == BROWSERS[line]


@pytest.mark.usefixtures("_without_parser")
@pytest.mark.parametrize("line", BROWSERS)
def test_without_ua_parser_the_same_browsers_are_known(line: str) -> None:
    assert read_user_agent(line) == BROWSERS[line]


@pytest.mark.usefixtures("_without_parser")
@pytest.mark.parametrize("line", LOOKALIKES)
def test_without_ua_parser_nothing_is_taken_for_a_browser_that_it_only_resembles(line: str) -> None:
    browser, system = read_user_agent(line)
    assert browser is None
    if "Windows Phone" in line:
        assert system is None


@pytest.mark.parametrize("hint", HINTS)
async def test_client_hints_go_before_the_user_agent_that_hides_the_browser(aiohttp_client: Any, hint: str) -> None:
    headers = {"User-Agent": WINDOWS, "Sec-CH-UA": hint, "Sec-CH-UA-Platform": '"Chrome OS"'}
    assert await described(aiohttp_client, headers) == {"browser": HINTS[hint], "system": "ChromeOS"}


@pytest.mark.parametrize(
    ("hints", "labels"),
    [
        ({"Sec-CH-UA": CHROME_HINT, "Sec-CH-UA-Platform": '"Unknown"'}, ("Chrome", "Linux")),
        ({"Sec-CH-UA": CHROME_HINT}, ("Chrome", "Linux")),
        ({"Sec-CH-UA": '"Not_A Brand";v="99"', "Sec-CH-UA-Platform": '"macOS"'}, ("Firefox", "macOS")),
        ({"Sec-CH-UA": "Chrome", "Sec-CH-UA-Platform": "macOS"}, ("Firefox", "Linux")),
        ({"Sec-CH-UA": '"";v="1"', "Sec-CH-UA-Platform": ""}, ("Firefox", "Linux")),
    ],
)
async def test_what_no_hint_says_the_user_agent_does(
    aiohttp_client: Any, hints: dict[str, str], labels: tuple[str, str]
) -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    said = await described(aiohttp_client, {"User-Agent": firefox, **hints})
    assert (said["browser"], said["system"]) == labels


async def test_what_is_not_known_is_called_unknown(aiohttp_client: Any) -> None:
    assert await described(aiohttp_client, {}) == {"browser": "unknown browser", "system": "unknown system"}


async def test_the_address_is_told_where_it_is_asked_for(aiohttp_client: Any) -> None:
    assert (await described(aiohttp_client, {}, "/?address"))["address"] == "127.0.0.1"


async def test_the_address_is_the_one_that_aiohttp_remotes_sets(aiohttp_client: Any) -> None:
    @web.middleware
    async def forwarded(request: web.Request, handler: Any) -> web.StreamResponse:
        return await handler(request.clone(remote=request.headers["X-Forwarded-For"]))  # type: ignore[no-any-return]

    said = await described(aiohttp_client, {"X-Forwarded-For": "2001:db8::1"}, "/?address", forwarded)
    assert said["address"] == "2001:db8::1"


@pytest.mark.parametrize("parser", ["ua-parser", "none"])
@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x80Mozilla/5.0 (\xc3\xa9; \xed\xa0\x80) Chrome/1",
        b"Mozilla/5.0 (" + b"(" * 6000 + b") Chrome/1",
        b"Mozilla/5.0 (Windows NT 10.0) Firefox/" + b"1." * 3000,
        b'"' * 500 + b"\\" * 500 + b";v=",
        b"A" * 7000 + b"/1.0",
        b'"\xff\xed\xa0\x80";v="1"',
        b'"\xe2\x80\xae\xff"',
        b'"' + b"a" * 400 + b'";v="1"',
        b'"' + b"a" * 400 + b'"',
        b"<script>alert(1)</script>\t",
        b"\xc2\x85\xe2\x80\xae\xf0\x9f\x98\x80",
    ],
    ids=[
        "not UTF-8",
        "parentheses",
        "digits",
        "quotes",
        "a long name",
        "a brand",
        "a system",
        "a long brand",
        "a long system",
        "markup",
        "controls",
    ],
)
async def test_a_login_never_fails_of_what_a_header_holds(
    aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch, line: bytes, parser: str
) -> None:
    async def log_in(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["sub"] = "ann"
        session.describe(describe_request(request, address=True))
        return web.Response(text="welcome")

    if parser == "none":
        monkeypatch.setitem(sys.modules, "ua_parser", None)
    app = web.Application()
    manager: SessionManager = install(app, storage=MemoryStorage())
    app.router.add_get("/", log_in)
    server = await aiohttp_server(app)
    for name in (b"User-Agent", b"Sec-CH-UA", b"Sec-CH-UA-Platform"):
        assert (await exchange(server, "/", name + b": " + line)).status == 200
    records = await manager.sessions("ann")
    assert len(records) == 3
    for record in records:
        assert record.metadata.keys() == {"browser", "system", "address"}
        assert all(0 < len(text) <= 64 and text.isprintable() for text in record.metadata.values())
