"""setup: its arguments, tenants, get_manager."""

import time
from typing import Any

import pytest
from aiohttp import web
from support.browser import ACCESS, SECRET
from support.site import Site
from support.storages import FaultyStorage
from support.visitor import config, install, start
from support.webapp import BOTH, application, plain, stream, text

from aiohttp_lionrock import ConfigError, MemoryStorage, SessionConfig, SessionManager, get_manager, setup

TENANTS = {
    "one": {"SESSION_SECRET": "the secret of tenant one: 0123456789"},
    "two": {"SESSION_SECRET": "the secret of tenant two: 0123456789"},
    "weak": {"SESSION_SECRET": "short"},
}


async def test_tenants_have_secrets_of_their_own(aiohttp_client: Any, storage: FaultyStorage) -> None:
    app, _ = application(storage=storage, request_env=lambda request: TENANTS.get(request.headers.get("X-Tenant", "")))
    visitor = await start(aiohttp_client, app)
    await visitor.get("/log_in", X_Tenant="one")
    assert '"ann"' in (await visitor.get("/look", X_Tenant="one")).text
    for tenant in ("two", ""):
        answer = await visitor.copy().get("/look", X_Tenant=tenant)
        assert "TokenForged" in answer.text
        assert not answer.set_cookies
    assert '"ann"' in (await visitor.get("/look", X_Tenant="one")).text


async def test_a_tenant_with_a_weak_secret_gets_an_error_and_hurts_nobody_else(
    aiohttp_client: Any, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = application(storage=storage, request_env=lambda request: TENANTS.get(request.headers.get("X-Tenant", "")))
    visitor = await start(aiohttp_client, app)
    answer = await visitor.get("/log_in", X_Tenant="weak")
    assert answer.status == 500
    assert not answer.set_cookies
    assert "SESSION_SECRET of the request's environment" in caplog.text
    assert (await visitor.get("/log_in", X_Tenant="one")).status == 200


async def test_tenants_alone_need_no_secret_of_the_process(aiohttp_client: Any) -> None:
    app = web.Application()
    setup(app, request_env=lambda request: TENANTS["one"])
    app.router.add_get("/text", text)
    app.router.add_get("/plain", plain)
    visitor = await start(aiohttp_client, app)
    assert (await visitor.get("/text")).set_cookies.keys() == {ACCESS}


def test_without_any_secret_setup_refuses_and_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="SESSION_SECRET"):
        setup(web.Application())


# --- the configuration is wrong ----------------------------------------------------------------------------------


def test_a_wrong_configuration_stops_the_app_with_every_fault_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        setup(
            web.Application(),
            secret=SECRET,
            algorithm="none",
            cookie={"same_site": "Sometimes"},
            storage_timeout=0,
            expires=-1,
            refresh_tokens=True,
        )
    text = str(caught.value)
    for word in ("algorithm", "same_site", "storage_timeout", "expires", "did you mean refresh_token?"):
        assert word in text
    assert len(caught.value.faults) == 5
    assert SECRET not in text


async def test_a_storage_that_cannot_be_configured_stops_the_app_at_setup_not_at_a_request() -> None:
    app = web.Application()
    with pytest.raises(ConfigError, match="no storage backend named 'nowhere'"):
        setup(app, SessionConfig(secret=SECRET, storage="nowhere://x"))


async def test_a_configuration_fault_that_opening_finds_stops_the_app(
    storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_a_fault() -> None:
        raise ConfigError("the table is newer than this library")

    monkeypatch.setattr(storage, "open", find_a_fault)
    runner = web.AppRunner(Site(storage).app)
    with pytest.raises(ConfigError, match="newer"):
        await runner.setup()
    await runner.cleanup()


def test_a_second_setup_on_one_app_is_refused() -> None:
    app = web.Application()
    install(app)
    with pytest.raises(ConfigError, match="setup was called"):
        install(app, name="other")


async def test_a_manager_that_is_put_together_by_hand_takes_the_place_of_settings(
    aiohttp_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    manager = SessionManager(config(storage=MemoryStorage()), environ={})
    app = web.Application()
    assert setup(app, manager=manager) is manager
    app.router.add_get("/text", text)
    app.router.add_get("/stream", stream)
    visitor = await start(aiohttp_client, app)
    for path in ("/text", "/stream"):
        assert (await visitor.get(path)).set_cookies.keys() == BOTH
    assert not caplog.records


@pytest.mark.parametrize(
    "also",
    [{"config": config()}, {"storage": "memory://"}, {"clock": time.time}, {"expires": 5}],
    ids=lambda also: next(iter(also)),
)
def test_a_manager_and_settings_together_are_refused(also: dict[str, Any]) -> None:
    app = web.Application()
    with pytest.raises(ConfigError, match="the manager has its own"):
        setup(app, manager=SessionManager(config(), environ={}), **also)
    assert not app.middlewares


@pytest.mark.parametrize(
    ("given", "way_out"),
    [
        ("sqlite:///x.db?password=hush", 'storage="sqlite:///sessions.db"'),
        ({"secret": "hush"}, "SessionConfig.from_mapping(...)"),
    ],
)
def test_what_is_no_configuration_is_refused_with_the_way_out_and_without_its_secrets(given: Any, way_out: str) -> None:
    with pytest.raises(ConfigError) as caught:
        setup(web.Application(), given)
    assert way_out in str(caught.value)
    assert "hush" not in str(caught.value)


def test_setup_after_an_app_was_taken_into_another_one_is_refused_with_the_way_out() -> None:
    outer, inner = web.Application(), web.Application()
    outer.add_subapp("/inner", inner)
    with pytest.raises(ConfigError, match="before add_subapp"):
        install(inner)
    with pytest.raises(ConfigError, match="pass the request"):
        get_manager(inner)


async def test_setup_while_an_app_serves_is_refused_with_the_way_out(aiohttp_client: Any) -> None:
    app = web.Application()
    await start(aiohttp_client, app)
    with pytest.raises(ConfigError, match="before the app starts"):
        install(app)


async def test_our_middleware_stands_in_front_of_those_that_were_there() -> None:
    @web.middleware
    async def other(request: web.Request, handler: Any) -> web.StreamResponse:
        return await handler(request)  # type: ignore[no-any-return]

    app = web.Application(middlewares=[other])
    install(app)
    assert app.middlewares[1] is other


async def _environment(_: web.Request) -> dict[str, str]:
    return {}


WRONG_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"manager": SessionConfig()}, "manager must be a SessionManager, not a SessionConfig"),
    ({"request_env": {"SESSION_SECRET": SECRET}}, "request_env must be callable, not a dict"),
    ({"request_env": _environment}, "request_env must be a plain function"),
    ({"on_unavailable": web.HTTPServiceUnavailable()}, "on_unavailable must be callable"),
    ({"clock": 1_700_000_000}, "clock must be callable, not 1700000000"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_ARGUMENTS)
def test_an_argument_of_another_kind_is_an_error_that_names_it(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        setup(web.Application(), **arguments)
