"""What a tired person types: each message names what was given, never a secret, and the way out."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, get_type_hints

import pytest

from aiohttp_lionrock import ConfigError, MemoryStorage, SessionConfig, SessionManager
from aiohttp_lionrock.settings.keywords import SessionSettings

SECRET = "correct horse battery staple, and then some"
NUMPY_BOOL = type("bool", (), {"__module__": "numpy", "__bool__": lambda self: True})()


def faults_of(make: Callable[[], Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        make()
    return caught.value.faults


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SESSION_SECRET", "SESSION_SECRET_PREVIOUS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            {"refresh_token": "true"},
            "refresh_token must be true, false, a RefreshTokenConfig or a mapping of its fields, "
            "not the text 'true' (write True without quotes)",
        ),
        (
            {"expires": "3600"},
            "expires must be a positive finite number of seconds, not the text '3600' (write 3600 without quotes)",
        ),
        ({"expires": 0.5}, "expires must be 1 second or more, not 0.5"),
        ({"expires": "2h"}, "expires must be a positive finite number of seconds, not the text '2h'"),
        ({"expires": SECRET}, "expires must be a positive finite number of seconds, not text"),
        (
            {"expires": timedelta(hours=2)},
            "expires must be a positive finite number of seconds, not a datetime.timedelta (give its total_seconds())",
        ),
        (
            {"max_lifetime": Decimal(60)},
            "max_lifetime must be a positive finite number of seconds, not a decimal.Decimal (convert it with float())",
        ),
        (
            {"max_token_length": "4096"},
            "max_token_length must be a positive whole number, not the text '4096' (write 4096 without quotes)",
        ),
        ({"resave": NUMPY_BOOL}, "resave must be true or false, not a numpy.bool (convert it with bool())"),
        (
            {"refresh_token": NUMPY_BOOL},
            "refresh_token must be true, false, a RefreshTokenConfig or a mapping of its fields, "
            "not a numpy.bool (convert it with bool())",
        ),
        (
            {"cookie": {"secure": NUMPY_BOOL}},
            "cookie.secure must be true or false, not a numpy.bool (convert it with bool())",
        ),
        ({"resave": 1}, "resave must be true or false, not 1"),
        ({"access_token": True}, "access_token must be an AccessTokenConfig or a mapping of its fields, not True"),
        ({"storage": MemoryStorage}, "storage must be a URL or a JtiStorage, not the class MemoryStorage"),
        (
            {"subject_key": "sid"},
            "subject_key cannot be sid: that is a name of the token itself, and no session data has it",
        ),
        (
            {"clear_site_data": ["cookie"]},
            "clear_site_data has a directive that does not exist; did you mean cookies?",
        ),
        (
            {"jti": {"require": False}, "storage": "memory://"},
            "jti.require=False together with a storage would revive what was revoked: remove one of the two",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_value_is_named_with_its_way_out(settings: dict[str, Any], fault: str) -> None:
    assert faults_of(lambda: SessionConfig.from_mapping(settings)) == (fault,)


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("secure", 'cookie={"secure": ...}'),
        ("httpOnly", 'cookie={"http_only": ...}'),
        ("samesite", 'cookie={"same_site": ...}'),
        ("max_age", 'cookie={"max_age": ...}'),
        ("remember", "session.expire_in(seconds)"),
        ("rememberMe", "session.expire_in(seconds)"),
        ("reuse_leeway", 'jti={"reuse_leeway": ...}'),
        ("rotate", 'refresh_token={"rotate": ...}'),
        ("secret_key", "it is called secret"),
        ("storage_url", "it is called storage"),
    ],
)
def test_a_setting_of_another_place_or_library_is_answered_with_what_there_is(name: str, way_out: str) -> None:
    [fault] = faults_of(lambda: SessionConfig.from_mapping({name: SECRET}))
    assert fault.startswith(f"unknown setting {name}; ")
    assert way_out in fault
    assert "did you mean" not in fault


@pytest.mark.parametrize("name", ["lifespan", "backend", "domainname", "cookie_secure", "secur"])
def test_nothing_is_suggested_that_is_not_near(name: str) -> None:
    [fault] = faults_of(lambda: SessionConfig.from_mapping({name: 1}))
    assert "known here: name, algorithm, expires" in fault


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        ({"secure": "yes"}, ["cookie.secure must be true or false, not the text 'yes'"]),
        ({"same_site": "sometimes"}, ["cookie.same_site must be Strict, Lax or None (as text), not text"]),
        (
            {"same_site": "strickt"},
            [
                "cookie.same_site must be Strict, Lax or None (as text), not text that is none of these;"
                " did you mean Strict?"
            ],
        ),
        ({"same_site": True}, ["cookie.same_site must be Strict, Lax or None (as text), not True"]),
        ({"max_age": "5"}, ["cookie.max_age must be"]),
        ({"domain": "a b", "path": "x"}, ["cookie.path must start with /", "cookie.domain must be a host name"]),
        (
            {"same_site": "None", "secure": False},
            ["cookie.same_site None needs secure (RFC 6265bis), and cookie.secure is off"],
        ),
    ],
    ids=str,
)
def test_a_fault_of_the_common_cookie_setting_is_named_by_it_and_once_for_both_tokens(
    settings: dict[str, Any], faults: list[str]
) -> None:
    found = faults_of(lambda: SessionConfig(cookie=settings, refresh_token={"cookie_max_age": 5}))
    assert len(found) == len(faults)
    for fault, expected in zip(found, faults, strict=True):
        assert fault.startswith(expected)


def test_a_contradiction_between_two_settings_names_both() -> None:
    own = {"cookie_options": {"secure": False}}
    [fault] = faults_of(lambda: SessionConfig(cookie={"same_site": "None"}, refresh_token=own))
    assert fault.startswith("cookie.same_site None needs secure ")
    assert fault.endswith(" and refresh_token.cookie_options.secure is off")


# ---- In place of settings


@pytest.mark.parametrize(
    ("given", "named", "way_out"),
    [
        (None, "None", "SessionConfig() has the defaults"),
        (f"sqlite://user:{SECRET}@x", "text", "for example"),
        ([("expires", 5)], "a list", "for example"),
        (5, "5", "for example"),
        (SessionConfig(), "a SessionConfig", "needs no reading"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("read", [SessionConfig.from_mapping, SessionConfig().updated], ids=["from_mapping", "updated"])
def test_settings_are_a_mapping(read: Callable[[Any], Any], given: Any, named: str, way_out: str) -> None:
    [fault] = faults_of(lambda: read(given))
    assert fault.startswith(f"settings must be a mapping of names to values, not {named}; ")
    assert way_out in fault
    assert SECRET not in fault


@pytest.mark.parametrize(
    ("given", "named", "way_out"),
    [
        (f"sqlite://user:{SECRET}@x", "text", 'storage="sqlite:///sessions.db"'),
        ({"expires": 5}, "a dict", "SessionConfig.from_mapping(...)"),
        (MemoryStorage(), "a MemoryStorage", "storage=..."),
        (SessionConfig, "the class SessionConfig", "SessionConfig(...)"),
        (True, "True", "by name"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_configuration_is_a_session_config(given: Any, named: str, way_out: str) -> None:
    for take in (SessionConfig.coerce, SessionManager):
        [fault] = faults_of(lambda take=take: take(given))
        assert fault.startswith(f"the configuration must be a SessionConfig, not {named}; ")
        assert way_out in fault
        assert SECRET not in fault


def test_a_session_config_is_taken_as_it_is_and_none_as_the_defaults() -> None:
    config = SessionConfig(expires=5)
    assert SessionConfig.coerce(config) is config
    assert SessionConfig.coerce(None) == SessionConfig()


# ---- Secrets


@pytest.mark.parametrize(
    ("environ", "settings", "named"),
    [
        ({"SESSION_SECRET": ""}, {}, "no secret: SESSION_SECRET is empty; set SESSION_SECRET"),
        ({"SESSION_SECRET": ""}, {"secret": ""}, "no secret: SESSION_SECRET and secret are empty; set SESSION_SECRET"),
        ({}, {"secret": ""}, "no secret: secret is empty; set SESSION_SECRET"),
        ({}, {}, "no secret: set SESSION_SECRET"),
    ],
    ids=str,
)
def test_a_secret_that_is_empty_is_said_to_be(environ: dict[str, str], settings: dict[str, Any], named: str) -> None:
    [fault] = faults_of(lambda: SessionManager(SessionConfig(**settings), environ=environ).require_secret())
    assert fault.startswith(named)


async def test_an_empty_secret_of_a_tenant_is_said_to_be() -> None:
    manager = SessionManager(SessionConfig(), environ={})
    with pytest.raises(ConfigError, match="SESSION_SECRET of the request's environment is empty"):
        await manager.load({}, {"SESSION_SECRET": ""})


WAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "SessionConfig": lambda settings: SessionConfig(**settings),
    "from_mapping": SessionConfig.from_mapping,
    "updated": SessionConfig().updated,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_bad_secret_is_named_among_other_faults(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"expires": 0, "secret": "hunter2", "previous_secrets": ["hunter3"]}
    faults = faults_of(lambda: WAYS[way](settings))
    assert [fault.split(" ")[0] for fault in faults] == ["expires", "secret", "previous_secrets[0]"]
    assert "hunter" not in " ".join(faults)
    monkeypatch.setenv("SESSION_SECRET", "hunter4")
    faults = faults_of(lambda: WAYS[way](settings))
    assert [fault.split(" ")[0] for fault in faults] == ["expires", "SESSION_SECRET", "previous_secrets[0]"]


@pytest.mark.parametrize("way", ["from_mapping", "updated"])
def test_a_bad_secret_is_named_beside_an_unknown_setting(way: str) -> None:
    faults = faults_of(lambda: WAYS[way]({"expire": 5, "secret": "hunter2"}))
    assert [fault.split(" ")[0] for fault in faults] == ["unknown", "secret"]


def test_a_secret_that_the_environment_comes_before_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    assert len(faults_of(lambda: SessionConfig(expires=0, secret="short"))) == 1


@pytest.mark.parametrize("bad", [{"algorithm": "none"}, {"minimum_secret_length": 0}, {"secret": 5}], ids=str)
def test_secrets_are_not_judged_by_a_rule_that_is_wrong_itself(bad: dict[str, Any]) -> None:
    [fault] = faults_of(lambda: SessionConfig(**({"secret": "short"} | bad)))
    assert next(iter(bad)).split("_")[0] in fault


# ---- Keyword arguments


def test_the_keyword_arguments_are_the_fields_of_the_configuration() -> None:
    hints = get_type_hints(SessionConfig)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(SessionConfig) if field.init}
    assert get_type_hints(SessionSettings) == fields
    assert SessionSettings.__required_keys__ == set()


@pytest.mark.parametrize(
    ("directives", "header"),
    [(False, None), (("cache",), '"cache"'), (["cache", "storage", "*"], '"cache", "storage", "*"')],
    ids=str,
)
def test_clear_site_data_is_the_value_of_a_header(directives: Any, header: str | None) -> None:
    assert SessionConfig(clear_site_data=directives).clear_site_data_header == header
