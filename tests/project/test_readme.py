"""What the README shows is run here, and what it lists is compared with the code."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import ClientResponse, CookieJar, web
from aiohttp.test_utils import TestClient

import aiohttp_lionrock
from aiohttp_lionrock import (
    AccessTokenConfig,
    ConfigError,
    CookieConfig,
    JtiConfig,
    MemoryStorage,
    RefreshTokenConfig,
    SessionConfig,
    SessionManager,
    SessionTooLarge,
    get_session,
    open_storage,
    setup,
)
from aiohttp_lionrock.sessions.session import RESERVED
from aiohttp_lionrock.testing import FakeClock, FaultyStorage

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SECRET = "a secret for the examples of the readme"
PEER_SECRET = "the secret of an application on Node.js"


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    return README.split(f"# {heading}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]


def examples(heading: str, language: str = "python") -> list[str]:
    """The code blocks of a language under a heading."""
    return re.findall(rf"```{language}\n(.*?)```", section(heading), re.DOTALL)


def example(heading: str) -> dict[str, Any]:
    """The names that the one Python block under a heading makes when it is run."""
    [code] = examples(heading)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, f"README.md: {heading}", "exec"), names)
    return names


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a secret in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    monkeypatch.delenv("SESSION_SECRET_PREVIOUS", raising=False)
    return tmp_path


@pytest.fixture
def serve(aiohttp_server, aiohttp_client):
    """Serves an app on this machine, to a client that sends Secure cookies although there is no https."""

    async def serve(app: web.Application, cookies: dict[str, str] | None = None) -> TestClient:
        server = await aiohttp_server(app)
        jar = CookieJar(unsafe=True, treat_as_secure_origin=server.make_url("/"))
        jar.update_cookies(cookies or {}, server.make_url("/"))
        return await aiohttp_client(server, cookie_jar=jar)

    return serve


async def ask(client: TestClient, path: str, method: str = "GET", **options: Any) -> Any:
    async with client.request(method, path, **options) as response:
        assert response.status == 200, await response.text()
        return await response.json()


def cookies_of(client: TestClient) -> dict[str, str]:
    return {cookie.key: cookie.value for cookie in client.session.cookie_jar}


def test_every_code_block_is_run_by_a_test():
    _, *sections = re.split(r"\n##+ ", README)
    headings = {text.partition("\n")[0] for text in sections if "```" in text}
    assert headings == set(re.findall(r'examples?\("([^"]+)"', Path(__file__).read_text()))


async def test_the_first_example_counts_over_a_restart(serve):
    client = await serve(example("Register the middleware")["app"])
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    await client.server.close()
    again = await serve(example("Register the middleware")["app"], cookies_of(client))
    assert await ask(again, "/") == {"visits": 3}


async def test_login_logout_and_logout_elsewhere(serve):
    readme = example("Log in, log out")
    phone, laptop = [await serve(readme["make_app"]()) for _ in range(2)]
    for client in (phone, laptop):
        assert await ask(client, "/login", "POST", data={"user": "ann"}) == {"user": "ann"}
    assert [row["device"] for row in await ask(phone, "/sessions")] == ["a phone", "a phone"]
    assert await ask(phone, "/logout-elsewhere", "POST") == {"ended": 1}
    assert len(await ask(phone, "/sessions")) == 1
    dead = cookies_of(laptop)
    assert (await laptop.get("/sessions")).status == 401
    assert cookies_of(laptop) == dead != {}
    copy = cookies_of(phone)
    response = await phone.post("/logout", allow_redirects=False)
    assert (response.status, cookies_of(phone)) == (303, {})
    thief = await serve(readme["make_app"](), copy)
    assert (await thief.get("/sessions")).status == 401
    assert cookies_of(thief) == copy


def test_the_calls_of_the_table_are_there():
    for call, _ in rows("Log in, log out"):
        owner, name = re.fullmatch(r"`(?:await )?(?:(\w+)\.)?(\w+)\(.*\)`", call).groups()
        owners = {"session": aiohttp_lionrock.Session, "manager": SessionManager, None: aiohttp_lionrock}
        assert callable(getattr(owners[owner], name))


@pytest.mark.parametrize("url", [None, "memory://", "sqlite:///sessions.db"])
async def test_a_config_string_chooses_the_backend(place, serve, monkeypatch, url):
    if url is not None:
        monkeypatch.setenv("SESSION_STORAGE", url)
    app = example("Choose a backend by a config string")["make_app"]()
    app.router.add_get("/", example("Register the middleware")["visits"])
    client = await serve(app)
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    assert (place / "sessions.db").exists() == (url == "sqlite:///sessions.db")


def test_every_url_of_the_table_is_served_by_its_distribution():
    for url, distribution, _ in rows("Choose a backend by a config string"):
        package = type(open_storage(url.strip("`"))).__module__.partition(".")[0]
        assert package == distribution.strip("`").replace("-", "_")


async def test_the_backend_passes_the_suite_and_serves_an_app(place, serve, monkeypatch):
    backend, suite = examples("Write a backend")
    assert len(suite.partition("\n\nclass ")[2].splitlines()) < 25
    (place / "jsonfile_sessions.py").write_text(backend)
    (place / "test_jsonfile_sessions.py").write_text(suite)
    for runner in ("pytest -q -o asyncio_default_fixture_loop_scope=function", "unittest -q"):
        command = [sys.executable, "-W", "error", "-m", *runner.split()]
        subprocess.run(command, check=True, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    [entry_points] = examples("Write a backend", "toml")
    [(group, points)] = tomllib.loads(entry_points)["project"]["entry-points"].items()
    info = place / "jsonfile-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jsonfile\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("SESSION_STORAGE", "jsonfile:///sessions.json")
    app = example("Choose a backend by a config string")["make_app"]()
    monkeypatch.delitem(sys.modules, "jsonfile_sessions")
    app.router.add_get("/", example("Register the middleware")["visits"])
    client = await serve(app)
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    (place / "sessions.json").write_text("garbage")
    assert_unavailable(await client.get("/"))


def assert_unavailable(response: ClientResponse) -> None:
    assert response.status == 503
    assert "Retry-After" in response.headers
    assert "Set-Cookie" not in response.headers


async def test_what_is_promised_when_the_storage_is_down(serve):
    async def plain(request: web.Request) -> web.Response:
        return web.json_response("no session here")

    def make_app() -> web.Application:
        app = web.Application()
        app[readme["MANAGER"]] = setup(app, storage=storage, refresh_token=True)
        app.add_routes(readme["routes"])
        app.router.add_get("/plain", plain)
        return app

    readme = example("Log in, log out")
    storage = FaultyStorage(MemoryStorage())
    storage.down = True
    client = await serve(make_app())  # it starts while its storage is down
    assert await ask(client, "/plain") == "no session here"
    assert_unavailable(await client.post("/login", data={"user": "ann"}))
    storage.down = False
    await ask(client, "/login", "POST", data={"user": "ann"})
    kept = cookies_of(client)

    storage.down = True
    refreshing = await serve(make_app(), {"lionrock-session-refresh": kept["lionrock-session-refresh"]})
    assert_unavailable(await refreshing.get("/sessions"))
    assert_unavailable(await client.get("/sessions"))
    for path in ("/login", "/logout", "/logout-elsewhere"):
        assert_unavailable(await client.post(path, data={"user": "eve"}))
    assert cookies_of(client) == kept

    storage.down = False
    assert len(await ask(client, "/sessions")) == len(await ask(refreshing, "/sessions")) == 1
    await client.post("/logout", allow_redirects=False)
    storage.down = True
    thief = await serve(make_app(), kept)
    assert_unavailable(await thief.get("/sessions"))
    storage.down = False
    assert (await thief.get("/sessions")).status == 401
    assert cookies_of(thief) == kept


# aiohttp-jinja2 1.6 keeps its context under a key of text, which aiohttp 3.14 warns of.
@pytest.mark.filterwarnings("ignore:It is recommended to use web.RequestKey")
async def test_a_message_is_shown_once_on_the_next_page(serve):
    client = await serve(example("Messages for the next page")["make_app"]())
    shown = await (await client.post("/save")).text()
    assert '<p class="success">Saved.</p>' in shown
    assert "Nobody is here." in shown
    assert "Saved." not in await (await client.get("/")).text()


async def test_requests_from_other_sites_are_refused(serve):
    client = await serve(example("Requests from other sites")["make_app"]())

    async def status(path: str, **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.post(path, headers=sent)).status

    assert await status("/transfer") == await status("/transfer", Sec_Fetch_Site="same-origin") == 200
    assert await status("/transfer", Sec_Fetch_Site="same-site") == 403
    assert await status("/transfer", Origin="https://evil.example") == 403
    assert await status("/transfer", Sec_Fetch_Site="cross-site", Origin="https://app.example") == 200
    assert await status("/webhook", Sec_Fetch_Site="cross-site") == 200


async def test_live_connections_end_with_their_session(serve):
    async def leave(request: web.Request) -> web.Response:
        (await get_session(request)).invalidate()
        return web.json_response({})

    app = example("Live connections")["make_app"]()
    login = example("Log in, log out")["login"]
    app.add_routes([web.post("/login", login), web.post("/logout", leave)])
    client = await serve(app)
    assert (await client.get("/live")).status == 401
    await ask(client, "/login", "POST", data={"user": "ann"})
    async with client.ws_connect("/live") as socket, client.get("/news") as news:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=5) == "ann: hello"
        await ask(client, "/logout", "POST")
        assert (await socket.receive(timeout=5)).data == 4401
        assert (await news.read()).endswith(b"event: goodbye\ndata: logout\n\n")


async def test_events_reach_their_listeners(serve, caplog):
    app = example("Hear of what happens")["make_app"]()
    app.add_routes([web.post("/login", example("Log in, log out")["login"])])
    client = await serve(app)
    with caplog.at_level("INFO"):
        await ask(client, "/login", "POST", data={"user": "ann"})
    assert [record.getMessage() for record in caplog.records if record.name == "root"] == [
        f"started: session {jwt_of(client)['sid']} of ann (None)"
    ]


def jwt_of(client: TestClient) -> dict[str, Any]:
    return jwt.decode(cookies_of(client)["lionrock-session"], options={"verify_signature": False})


def shell(code: str, **environ: str) -> dict[str, str]:
    """The session secrets in the environment after these lines of shell."""
    show = f"{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", f"{code}\n{show}"], env={"PATH": path, **environ}, check=True, stdout=subprocess.PIPE
    )
    shown = json.loads(done.stdout.splitlines()[-1])
    return {name: value for name, value in shown.items() if name.startswith("SESSION_SECRET")}


def test_the_line_that_makes_a_secret_makes_a_good_one():
    [make] = examples("Register the middleware", "sh")
    first, second = shell(make), shell(make)
    assert first != second
    for environ in (first, second):
        SessionManager(SessionConfig(algorithm="HS512"), environ=environ).require_secret()


async def test_the_secret_is_changed_without_logging_anybody_out(serve, monkeypatch):
    async def visits(environ: dict[str, str], cookies: dict[str, str]) -> tuple[int, dict[str, str]]:
        """One visit to a server that is started with this environment."""
        for name in ("SESSION_SECRET", "SESSION_SECRET_PREVIOUS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        client = await serve(example("Register the middleware")["app"], cookies)
        return (await ask(client, "/"))["visits"], cookies_of(client)

    announce, change, end = examples("Change the secret", "sh")
    before = {"SESSION_SECRET": SECRET}
    count, old_cookies = await visits(before, {})
    assert count == 1

    announced = shell(announce, **before)
    assert announced["SESSION_SECRET"] == SECRET != announced["SESSION_SECRET_PREVIOUS"]
    changed = shell(change, **announced)
    new = announced["SESSION_SECRET_PREVIOUS"]
    assert changed == {"SESSION_SECRET": new, "SESSION_SECRET_PREVIOUS": SECRET}
    count, new_cookies = await visits(changed, old_cookies)
    assert count == 2, "old cookies are good while the old secret is the previous one"
    assert (await visits(announced, new_cookies))[0] == 3, "a process that is not restarted yet knows the new one"
    for cookie in new_cookies.values():
        jwt.decode(cookie, new, algorithms=["HS256"])
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(cookie, SECRET, algorithms=["HS256"])

    after = shell(end, **changed)
    assert after == {"SESSION_SECRET": new}
    assert (await visits(after, old_cookies))[0] == 1, "without the old secret they are refused"
    assert (await visits(after, new_cookies))[0] == 3


async def test_callbacks_take_the_place_of_a_storage(serve):
    readme = example("Callbacks in place of a storage")
    client = await serve(readme["make_app"]())
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    copy = cookies_of(client)
    await ask(client, "/logout", "POST")
    thief = await serve(readme["make_app"](), copy)
    assert await ask(thief, "/") == {"visits": 1}
    readme["issued"].clear()
    assert await ask(thief, "/") == {"visits": 1}
    readme["issued"] = None
    app = readme["make_app"]()  # its functions look into the same names
    failing = await serve(app, cookies_of(thief))
    assert_unavailable(await failing.get("/"))


async def test_a_tenant_refuses_the_cookies_of_another(serve, monkeypatch):
    client = await serve(example("Tenants")["make_app"]())
    for host, expected in (("red", 1), ("red", 2), ("blue", 1), ("blue", 2), ("red", 1)):
        assert await ask(client, "/", headers={"Host": f"{host}.example:80"}) == {"visits": expected}
    assert await ask(client, "/", headers={"Host": "unknown"}) == {"visits": 1}
    monkeypatch.delenv("SESSION_SECRET")
    client = await serve(example("Tenants")["make_app"]())
    assert await ask(client, "/", headers={"Host": "red.example"}) == {"visits": 1}
    assert (await client.get("/", headers={"Host": "unknown"})).status == 500


async def test_a_lionrockjs_application_and_this_one_take_each_others_cookies(serve, monkeypatch):
    monkeypatch.setenv("SESSION_SECRET", PEER_SECRET)
    make_app = example("Share cookies with LionRockJS")["make_app"]
    now = int(time.time())
    claims = {"id": "1", "sid": "2", "creator": "Peer", "cart": ["pear"], "token_use": "access", "iss": "shop.example"}

    async def cart(lifetime: int) -> tuple[list[str], dict[str, str]]:
        token = jwt.encode({**claims, "iat": now, "nbf": now, "exp": now + lifetime}, PEER_SECRET, "HS256")
        client = await serve(make_app(), {"shop-session": token})
        return (await ask(client, "/cart"))["cart"], cookies_of(client)

    carried, cookies = await cart(3600)
    assert carried == ["pear", "apple"]
    assert cookies.keys() == {"shop-session", "shop-refresh"}
    back = jwt.decode(cookies["shop-session"], PEER_SECRET, algorithms=["HS256"], issuer="shop.example")
    assert (back["id"], back["sid"], back["creator"], back["cart"]) == ("1", "2", "Peer", ["pear", "apple"])
    assert (await cart(7200))[0] == ["apple"], "it lives longer than the setting here allows"


def test_the_variables_of_the_environment_are_settings(monkeypatch):
    [lines] = examples("Settings", "sh")
    for line in lines.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    config = SessionConfig.from_env()
    assert config.refresh is not None
    assert (config.access.lifetime, config.refresh.lifetime, config.access.covered) == (900, 604_800, True)
    assert (config.audience, config.access.cookie.same_site) == (("shop", "api"), "Strict")
    assert config.jti_policy == JtiConfig(reuse_leeway=10)
    SessionManager(config, environ=os.environ).require_secret()


@pytest.mark.parametrize("kind", [SessionConfig, AccessTokenConfig, RefreshTokenConfig, JtiConfig])
def test_the_table_has_every_setting_and_its_default(kind):
    written = {name.strip("`"): ast.literal_eval(default.strip("`")) for name, default, _ in rows(kind.__name__)}
    assert list(written.items()) == [(field.name, field.default) for field in fields(kind) if field.init]


def test_the_table_has_every_cookie_attribute_and_its_default():
    written = {name.strip("`"): ast.literal_eval(default.strip("`")) for name, default, _ in rows("CookieConfig")}
    assert list(written) == [field.name for field in fields(CookieConfig)]
    assert {written.pop("previous_domains"), written.pop("previous_paths")} == {None}
    assert written == dict(SessionConfig().access.cookie)


def test_all_faults_of_a_configuration_come_in_one_message():
    with pytest.raises(ConfigError) as caught:
        SessionConfig.from_mapping({"algorithm": "none", "expires": 0, "refreshTokens": True})
    assert len(caught.value.faults) == 3


async def test_a_session_that_is_too_large_names_its_largest_key_and_leaves_the_cookies(serve, caplog):

    async def handler(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["small"] = "x"
        session["large"] = "x" * int(request.query["size"])
        return web.json_response({})

    app = web.Application()
    setup(app, storage="memory://", refresh_token=True)
    app.router.add_get("/", handler)
    client = await serve(app)
    await ask(client, "/?size=1000")
    kept = cookies_of(client)
    assert (await client.get("/?size=4000")).status == 500
    [exc] = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert isinstance(exc, SessionTooLarge)
    assert exc.key == "large"
    assert cookies_of(client) == kept


def test_the_names_that_cannot_be_stored_are_listed():
    [sentence] = re.findall(r"^- (.*?cannot be stored)", section("Limits"), re.DOTALL | re.MULTILINE)
    assert set(re.findall("`(.*?)`", sentence.rpartition("\n- ")[2])) == RESERVED


def test_the_test_of_an_application_passes(place):
    [code] = examples("Test an application")
    (place / "test_app.py").write_text(code)
    options = "-q -W error -o asyncio_mode=auto -o asyncio_default_fixture_loop_scope=function"
    command = [sys.executable, "-m", "pytest", *options.split(), "test_app.py"]
    done = subprocess.run(command, cwd=place, check=False, stdout=subprocess.PIPE, text=True)
    assert "5 passed" in done.stdout


def test_the_commands_do_what_the_table_says(place):
    assert [call.strip("`").split()[0] for cell, _ in rows("On the command line") for call in cell.split(", ")] == [
        *("secret", "backends", "check", "inspect", "sessions", "sessions", "sessions", "sessions"),
        *("purge", "doctor", "copy"),
    ]
    [lines] = examples("On the command line", "sh")
    environ = shell(lines, SESSION_STORAGE="sqlite:///sessions.db")
    SessionManager(SessionConfig(), environ=environ).require_secret()
    assert (place / "copy.db").exists()


async def test_the_clock_of_a_manager_can_be_moved(serve):
    clock = FakeClock()
    manager = SessionManager(SessionConfig(), clock=clock)
    app = web.Application()
    setup(app, manager=manager)
    app.router.add_get("/", example("Test an application")["visits"])
    client = await serve(app)
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    clock.advance(3 * 60 * 60)
    assert await ask(client, "/") == {"visits": 1}


def test_every_file_and_target_that_is_named_exists():
    for cell, _ in rows("In this repository"):
        for name in re.findall("`(.*?)`", cell):
            assert (ROOT / name).exists()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^make (\S+)|`make (\S+)`", README, re.MULTILINE):
        assert "".join(target) in targets


def test_the_figures_of_speed_are_those_of_the_results_beside_the_chart() -> None:
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    median = {name: ratio["median"] for name, ratio in results["ratios"].items()}
    facts = {(fact["group"], fact["name"]): fact["value"] for fact in results["facts"]}
    unseen = facts["added, over what aiohttp-session adds", "lionrock read, tokens not seen before"]
    in_table = [
        *(median[f"tokens.{name}"] for name in ("verify", "sign", "forged")),
        *(median["requests.read"], unseen, median["requests.write"]),
        *(median[f"network.{name}"] for name in ("read", "write", "mongodb")),
        *(median["sqlite.get"], median["sqlite.replace_full"], median["mongodb.get"], median["startup.time"]),
    ]
    by_hand = [facts["growth of a table by hand, in-thread", name] for name in ("point read", "compare-and-set")]
    below = [median["growth.sqlite_get"], median["growth.sqlite_replace"], *by_hand, median["growth.purge"]]
    text = section("Speed")
    assert re.findall(r"(?<![\d.])\d+\.\d\d(?![\d.])", text) == [f"{value:.2f}" for value in in_table]
    assert re.findall(r"(?<![\d.])\d+\.\d(?![\d.])", text) == [f"{value:.1f}" for value in below]
    assert results["machine"].replace(",", " with") in " ".join(text.split())
