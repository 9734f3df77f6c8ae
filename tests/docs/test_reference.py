"""What the reference pages list is what the code has."""

import ast
import inspect
import re
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.pages import DOCS, ROOT, SECRET, Serve, ask, cookies_of, examples, program, rows, shell, text

import aiohttp_lionrock
import aiohttp_lionrock.storage
import aiohttp_lionrock.testing
from aiohttp_lionrock import (
    AccessTokenConfig,
    ConfigError,
    CookieConfig,
    JtiConfig,
    JtiRecord,
    JtiStorage,
    RefreshTokenConfig,
    Session,
    SessionConfig,
    SessionDataError,
    SessionManager,
    SessionTooLarge,
    TokenError,
    errors,
    get_manager,
    get_session,
    setup,
)
from aiohttp_lionrock.settings.names import RESERVED
from aiohttp_lionrock.testing import FakeClock

PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.parametrize("kind", [SessionConfig, AccessTokenConfig, RefreshTokenConfig, JtiConfig])
def test_the_table_has_every_setting_and_its_default(kind: Any) -> None:
    written = {
        name.strip("`"): ast.literal_eval(default.strip("`")) for name, default, _ in rows("settings", kind.__name__)
    }
    assert list(written.items()) == [(field.name, field.default) for field in fields(kind) if field.init]


def test_the_table_has_every_cookie_attribute_and_its_default() -> None:
    written = {
        name.strip("`"): ast.literal_eval(default.strip("`")) for name, default, _ in rows("settings", "CookieConfig")
    }
    assert list(written) == [field.name for field in fields(CookieConfig)]
    assert {written.pop(f"previous_{name}") for name in ("domains", "paths", "partitioned")} == {None}
    assert written == dict(SessionConfig().access.cookie)


def test_the_configuration_of_the_page_is_read() -> None:
    config = program("settings")["config"]
    assert (config.name, config.access.cookie.path, config.jti_policy.reuse_leeway) == ("shop-session", "/shop/", 10)
    assert isinstance(program("settings")["make_app"](), web.Application)


def test_settings_are_passed_on_by_a_function_that_names_their_types() -> None:
    app = program("settings", 1)["make_app"](name="shop-session", expires=60)
    assert (get_manager(app).config.name, get_manager(app).config.expires) == ("shop-session", 60)


def test_all_faults_of_a_configuration_come_in_one_message() -> None:
    with pytest.raises(ConfigError) as caught:
        SessionConfig.from_mapping({"algorithm": "none", "expires": 0, "refreshTokens": True})
    assert len(caught.value.faults) == 3


def test_the_names_that_cannot_be_stored_are_listed() -> None:
    [sentence] = re.findall(r"^- (`aud`.*?)cannot be stored", text("settings"), re.DOTALL | re.MULTILINE)
    assert set(re.findall("`(.*?)`", sentence)) == RESERVED
    tokens = {name for row in rows("concepts/tokens", "The tokens") for name in re.findall("`(.*?)`", row[0])}
    assert tokens == RESERVED
    for name in RESERVED:
        with pytest.raises(errors.ReservedName):
            Session()[name] = 1


def test_every_field_of_a_record_is_listed() -> None:
    listed = {name for row in rows("concepts/tokens", "The record") for name in re.findall("`(.*?)`", row[0])}
    assert listed == {field.name for field in fields(JtiRecord)}


async def test_a_session_that_is_too_large_names_its_largest_key_and_leaves_the_cookies(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["small"] = "x"
        session["large"] = "x" * int(request.query["size"])
        return web.json_response({})

    app = web.Application()
    setup(app, storage="memory://", refresh_token=True)
    app.router.add_get("/", handler)
    client = await serve(app)
    await ask(client, "/?size=1850")
    kept = cookies_of(client)
    assert (await client.get("/?size=2100")).status == 500
    [exc] = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert isinstance(exc, SessionTooLarge)
    assert exc.key == "large"
    assert cookies_of(client) == kept


async def test_what_would_not_come_back_unchanged_is_refused() -> None:
    for value in (b"bytes", {1, 2}, float("nan"), {1: "a number as a key"}, object()):
        with pytest.raises(SessionDataError):
            Session()["key"] = value


def test_every_code_is_listed() -> None:
    written = {row[0].strip("`"): row[1].strip("`") for row in rows("errors", "A refused cookie")}
    kinds = [getattr(errors, name) for name in errors.__all__]
    refused = [kind for kind in kinds if issubclass(kind, TokenError) and kind is not TokenError]
    assert written == {kind.__name__: kind.code for kind in refused}
    raised = {name for row in rows("errors", "Errors that are raised") for name in re.findall("`([A-Z]\\w+)`", row[0])}
    assert raised | set(written) == set(errors.__all__)


async def test_a_refused_session_is_logged_by_its_code(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    client = await serve(program("errors")["make_app"](), {"lionrock-session": "garbage"})
    assert await ask(client, "/") == {"user": None}
    assert "a session was refused: JWT_MALFORMED" in [record.message for record in caplog.records]


async def test_a_manager_works_without_a_framework(capsys: pytest.CaptureFixture[str]) -> None:
    await program("api")["main"]()
    assert capsys.readouterr().out.startswith("ann ['lionrock-session=ey")


async def test_the_clock_of_a_manager_can_be_moved(serve: Serve) -> None:
    clock = FakeClock()
    app = web.Application()
    setup(app, manager=SessionManager(SessionConfig(), clock=clock))
    app.router.add_get("/", program("index")["visits"])
    client = await serve(app)
    assert [await ask(client, "/") for _ in range(2)] == [{"visits": 1}, {"visits": 2}]
    clock.advance(3 * 60 * 60)
    assert await ask(client, "/") == {"visits": 1}


def of_api(name: str) -> Any:
    """What a name on the page of the API stands for."""
    for place in (aiohttp_lionrock, aiohttp_lionrock.storage, aiohttp_lionrock.testing):
        try:
            return attrgetter(name)(place)
        except AttributeError:
            continue
    raise AssertionError(f"there is no {name}")


def row_of_api(name: str) -> list[str]:
    """The row that belongs on the page: how it is called, and the first line of its docstring."""
    found = of_api(name)
    call = name
    if inspect.isroutine(found):
        given = inspect.signature(found)
        parameters = [one.replace(annotation=one.empty) for one in given.parameters.values() if one.name != "self"]
        call += str(inspect.Signature(parameters))
    if inspect.iscoroutinefunction(found):
        call = f"await {call}"
    line = str(inspect.getdoc(found)).splitlines()[0]
    return [f"`{call}`", line.replace("``", "`")]


def members(owner: type) -> set[str]:
    """The members of a class that are documented there."""
    own = [name for name, value in vars(owner).items() if not name.startswith("_") and getattr(value, "__doc__", None)]
    return {f"{owner.__name__}.{name}" for name in own if not isinstance(vars(owner)[name], int)}


def test_the_tables_of_the_api_have_every_name_with_the_first_line_of_its_docstring() -> None:
    told = {re.sub(r"`(?:await )?([\w.]+).*", r"\1", row[0]): row for row in rows("api")}
    expected = {*aiohttp_lionrock.__all__, *aiohttp_lionrock.storage.__all__, *aiohttp_lionrock.testing.__all__}
    expected |= members(Session) | members(SessionManager) | members(JtiStorage)
    expected -= {*errors.__all__, "Clock", "MAX_TEXT", "MAX_NUMBER", "MAX_METADATA_BYTES"}
    assert expected - told.keys() == set()
    assert list(told.values()) == [row_of_api(name) for name in told]


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    page = text("api")
    told = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", page, re.MULTILINE)) | set(errors.__all__)
    assert set(aiohttp_lionrock.__all__) - told == set()
    for name in told - set(errors.__all__):
        assert of_api(name.rpartition(".")[2]) is not None
    assert {name.removeprefix("aiohttp_lionrock.testing.") for name in told} >= set(aiohttp_lionrock.testing.__all__)


def test_the_attributes_of_a_manager_are_named_on_the_page_of_the_api() -> None:
    [told] = re.findall(r"^Its attributes are .*?\n\n", text("api"), re.DOTALL | re.MULTILINE)
    attributes = {name for name in vars(SessionManager(SessionConfig())) if not name.startswith("_")}
    assert attributes == set(re.findall("`([a-z_]+)`", told))


async def test_the_commands_do_what_the_page_says(place: Path) -> None:
    assert [
        call.strip("`").split()[0] for cell, _ in rows("command-line", "Commands") for call in cell.split(", ")
    ] == [
        *("secret", "backends", "check", "inspect", "sessions", "sessions", "sessions", "sessions", "sessions"),
        *("purge", "doctor", "copy"),
    ]
    secret, looks, acts, look = examples("command-line", "sh")
    assert len(shell(secret).strip()) >= 32
    url = f"sqlite:///{place}/sessions.db"
    async with SessionManager(SessionConfig(storage=url)) as manager:
        session = await manager.load({})
        session["sub"] = "ann"
        [change] = await manager.save(session)
    (place / "token.txt").write_text(f"{change.value}\n")
    told = shell(look, SESSION_SECRET=SECRET, SESSION_STORAGE=url)
    assert told.startswith("verdict     honoured: ")
    assert f"sid         {session.sid}\n" in told
    served = {"SESSION_SECRET": SECRET, "SESSION_STORAGE": url}
    assert session.sid in shell(looks, **served)
    assert "ended 1 session of ann" in shell(acts, **served)
    assert (place / "copy.db").exists()
    assert "ann has no session\nann is not logged in\n" in shell(looks, **served)
    assert "ann has no session\nnothing to end\n" in shell(acts, **served)


def test_every_test_that_holds_a_promise_is_there() -> None:
    promised = [row[-1] for row in rows("security", "What is promised, and the test that holds it")]
    told = re.findall("`(tests/.*?)`", " ".join([*promised, *(row[-1] for row in rows("standards"))]))
    assert [name for name in told if not (ROOT / name).exists()] == []
    assert all(name.startswith("`tests/") for name in promised)


def test_the_frequently_asked_questions_name_what_is_there() -> None:
    assert "manager(request).revoke" in text("faq")
    assert callable(aiohttp_lionrock.SessionManager.revoke)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_a_page_stands_alone_and_fits(path: Path) -> None:
    page = path.read_text()
    for word in ("DESIGN", "WIRE.md", "SECURITY.md", "STYLE.md", "pip install aiohttp-lionrock", "pypi.org"):
        assert word not in page
    assert all(len(line) <= 120 for line in page.splitlines() if not line.startswith(("|", "![")))
