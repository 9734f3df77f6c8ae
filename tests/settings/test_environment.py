"""SessionConfig.from_env: every setting has its variable, typed, and what is wrong is named all at once."""

import dataclasses
import os
from typing import Any

import pytest

from aiohttp_lionrock import ConfigError, SessionConfig, SessionManager

SECRET = "correct horse battery staple, and then some"


def faults_of(prefix: str = "SESSION_", **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        SessionConfig.from_env(prefix, environ)
    return caught.value.faults


VARIABLES: list[tuple[str, str, dict[str, Any]]] = [
    ("NAME", "shop", {"name": "shop"}),
    ("ALGORITHM", "HS512", {"algorithm": "HS512"}),
    ("EXPIRES", "900", {"expires": 900}),
    ("EXPIRES", "900.5", {"expires": 900.5}),
    ("COOKIE_MAX_AGE", "60", {"cookie_max_age": 60}),
    ("COOKIE_MAX_AGE", "none", {"cookie_max_age": None}),
    ("ACCESS_TOKEN_NAME", "a", {"access_token": {"name": "a"}}),
    ("ACCESS_TOKEN_COOKIE_OPTIONS_PATH", "/a", {"access_token": {"cookie_options": {"path": "/a"}}}),
    ("REFRESH_TOKEN", "true", {"refresh_token": {"enabled": True}}),
    ("REFRESH_TOKEN", "FALSE", {"refresh_token": {"enabled": False}}),
    ("REFRESH_TOKEN_ENABLED", "1", {"refresh_token": {"enabled": True}}),
    ("REFRESH_TOKEN_EXPIRES", "604800", {"refresh_token": {"expires": 604_800}}),
    ("REFRESH_TOKEN_ROTATE", "no", {"refresh_token": {"rotate": False}}),
    ("REFRESH_TOKEN_COOKIE_OPTIONS_SECURE", "on", {"refresh_token": {"cookie_options": {"secure": True}}}),
    ("JTI", "off", {"jti": {"enabled": False}}),
    ("JTI_TOKEN_USE", "both", {"jti": {"token_use": "both"}}),
    ("JTI_REUSE_LEEWAY", "0", {"jti": {"reuse_leeway": 0}}),
    ("JTI_MAX_CLOCK_SKEW", "10", {"jti": {"max_clock_skew": 10}}),
    ("JTI_CACHE_TTL", "1.5", {"jti": {"cache_ttl": 1.5}}),
    ("ISSUER", "true", {"issuer": "true"}),
    ("AUDIENCE", "shop", {"audience": ["shop"]}),
    ("AUDIENCE", "shop, api", {"audience": ["shop", "api"]}),
    ("CLOCK_TOLERANCE", "0", {"clock_tolerance": 0}),
    ("MINIMUM_SECRET_LENGTH", "64", {"minimum_secret_length": 64}),
    ("MAX_TOKEN_LENGTH", "2048", {"max_token_length": 2048}),
    ("MAX_COOKIES_LENGTH", "4096", {"max_cookies_length": 4096}),
    ("SECRETS", "one, and only one, secret", {"secrets": "one, and only one, secret"}),
    ("SECRETS", '["first", "second"]', {"secrets": ["first", "second"]}),
    ("PREVIOUS_SECRET", "old", {"previous_secret": "old"}),
    ("PREVIOUS_SECRETS", '["old"]', {"previous_secrets": ["old"]}),
    ("SAVE_UNINITIALIZED", "yes", {"save_uninitialized": True}),
    ("RESAVE", "true", {"resave": True}),
    ("COOKIE_SAME_SITE", "strict", {"cookie": {"same_site": "strict"}}),
    ("COOKIE_SECURE", "0", {"cookie": {"secure": False}}),
    ("COOKIE_PREVIOUS_DOMAINS", "a.org, b.org", {"cookie": {"previous_domains": ["a.org", "b.org"]}}),
    ("CLEAR_SITE_DATA", "cache,storage", {"clear_site_data": ["cache", "storage"]}),
    ("CLEAR_SITE_DATA", "false", {"clear_site_data": False}),
    ("SUBJECT_KEY", "user_id", {"subject_key": "user_id"}),
    ("STORAGE", "memory://", {"storage": "memory://"}),
    ("STORAGE_TIMEOUT", "0.5", {"storage_timeout": 0.5}),
    ("MAX_LIFETIME", "86400", {"max_lifetime": 86_400}),
    ("IDLE_TIMEOUT", "1800", {"idle_timeout": 1800}),
    ("TOUCH_INTERVAL", "none", {"touch_interval": None}),
    ("ANONYMOUS_LIFETIME", "3600", {"anonymous_lifetime": 3600}),
    ("MAX_SESSIONS", "none", {"max_sessions": None}),
    ("WHEN_FULL", "refuse", {"when_full": "refuse"}),
    ("SEEN_INTERVAL", "60", {"seen_interval": 60}),
    ("PURGE_INTERVAL", "None", {"purge_interval": None}),
]


@pytest.mark.parametrize(("name", "written", "settings"), VARIABLES, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("prefix", ["SESSION_", "SHOP_"])
def test_a_variable_is_the_setting_that_it_names(
    prefix: str, name: str, written: str, settings: dict[str, Any]
) -> None:
    config = SessionConfig.from_env(prefix, {prefix + name: written, "PATH": "/bin", "OTHER_EXPIRES": "x"})
    assert config == SessionConfig(**settings)
    for setting, value in settings.items():
        assert type(getattr(config, setting)) in (type(value), tuple)


def test_every_setting_but_the_secret_has_a_variable_above() -> None:
    tried = {name for _, _, settings in VARIABLES for name in settings}
    assert tried == {field.name for field in dataclasses.fields(SessionConfig) if field.init} - {"secret"}


def test_variables_of_one_table_stand_together() -> None:
    environ = {"SESSION_REFRESH_TOKEN": "true", "SESSION_REFRESH_TOKEN_EXPIRES": "60", "SESSION_COOKIE_PATH": "/app"}
    config = SessionConfig.from_env(environ=environ)
    assert config.refresh is not None
    assert (config.refresh.lifetime, config.refresh.cookie.path) == (60, "/app")


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SESSION_")]:
        monkeypatch.delenv(name)
    assert SessionConfig.from_env() == SessionConfig()
    monkeypatch.setenv("SESSION_EXPIRES", "77")
    assert SessionConfig.from_env().expires == 77


def test_the_secrets_of_the_environment_are_left_to_the_manager_and_those_of_a_desktop_to_it() -> None:
    environ = {"SESSION_SECRET": SECRET, "SESSION_SECRET_PREVIOUS": "x" + SECRET, "SESSION_MANAGER": "local/host:1"}
    config = SessionConfig.from_env(environ=environ)
    assert config == SessionConfig()
    SessionManager(config, environ=environ).require_secret()


def test_a_secret_under_another_prefix_is_the_secret_of_the_settings() -> None:
    assert SessionConfig.from_env("SHOP_", {"SHOP_SECRET": SECRET}).secret == SECRET


@pytest.mark.parametrize(
    ("name", "written", "needle"),
    [
        ("SESSION_EXPIRES", "2h", "must be a plain number (times are in seconds), not the text '2h'"),
        ("SESSION_EXPIRES", "hunter2", "must be a plain number (times are in seconds), not text"),
        ("SESSION_EXPIRES", "none", "must be a plain number"),
        ("SESSION_REFRESH_TOKEN", "maybe", "must be true or false, not text"),
        ("SESSION_COOKIE_SECURE", "none", "must be true or false, not the text 'none'"),
        ("SESSION_STORAGE", "", "is empty: give it a value, or remove it"),
        ("SESSION_SECRETS", "[1]", "must be one secret, or a JSON list of secrets"),
        ("SESSION_SECRETS", "[" * 100_000, "must be one secret, or a JSON list of secrets"),
        ("SESSION_JTI_VERIFY", "x", "cannot be set: it is a function, which only code can give"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_that_cannot_be_read_is_a_fault_that_names_the_variable(name: str, written: str, needle: str) -> None:
    [fault] = faults_of(**{name: written})
    assert fault.startswith(f"{name} {needle}")


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("SESSION_EXPIRSE", "did you mean SESSION_EXPIRES?"),
        ("SESSION_SECERT", "did you mean SESSION_SECRET?"),
        ("SESSION_SECRET_PREVIOS", "did you mean SESSION_SECRET_PREVIOUS?"),
        ("SESSION_REFRESH_TOKENS", "did you mean SESSION_REFRESH_TOKEN?"),
        ("SESSION_refresh_token", "did you mean SESSION_REFRESH_TOKEN?"),
        ("SESSION_SECURE", "did you mean SESSION_COOKIE_SECURE?"),
        ("SESSION_SAME_SITE", "did you mean SESSION_COOKIE_SAME_SITE?"),
        ("SESSION_REUSE_LEEWAY", "did you mean SESSION_JTI_REUSE_LEEWAY?"),
        ("SESSION_COOKIE_NAME", "did you mean SESSION_NAME?"),
        ("SESSION_HTTPONLY", "did you mean SESSION_COOKIE_HTTP_ONLY?"),
        ("SESSION_MAX_AGE", "did you mean SESSION_COOKIE_MAX_AGE?"),
        ("SESSION_STORAGE_URL", "did you mean SESSION_STORAGE?"),
        ("SESSION_SECRET_KEY", "did you mean SESSION_SECRET?"),
        ("SESSION_REMEMBER", "a handler says it of one login: session.expire_in(seconds)"),
        ("SESSION_COOKIE", "known are SESSION_COOKIE_MAX_AGE, SESSION_COOKIE_SECURE"),
        ("SESSION_ZZZ_QQQ", "known are SESSION_NAME, SESSION_ALGORITHM"),
    ],
)
def test_an_unknown_variable_is_a_fault_with_a_way_out(name: str, way_out: str) -> None:
    [fault] = faults_of(**{name: SECRET})
    assert fault.startswith(f"unknown setting {name}; {way_out}")


def test_the_previous_secret_under_another_prefix_has_another_name() -> None:
    with pytest.raises(ConfigError, match=r"APP_SECRET_PREVIOUS; did you mean APP_PREVIOUS_SECRET\?"):
        SessionConfig.from_env("APP_", {"APP_SECRET_PREVIOUS": SECRET})


def test_one_setting_by_two_variables_is_a_fault() -> None:
    [fault] = faults_of(SESSION_JTI="true", SESSION_JTI_ENABLED="true")
    assert "jti.enabled a second time" in fault


def test_all_faults_of_the_environment_come_at_once_and_none_shows_a_value_that_may_be_a_secret() -> None:
    faults = faults_of(
        SESSION_SECRET="hunter2",
        SESSION_SECERT="hunter2",
        SESSION_EXPIRES="hunter2",
        SESSION_RESAVE="hunter2",
        SESSION_SECRETS='["hunter2", 5]',
        SESSION_STORAGE_TIMEOUT="0",
    )
    needles = ["SESSION_SECERT", "SESSION_EXPIRES", "SESSION_RESAVE", "SESSION_SECRETS", "storage_timeout"]
    assert [needle for needle in needles if not any(needle in fault for fault in faults)] == []
    assert "hunter2" not in " ".join(faults)


def test_a_weak_secret_of_the_environment_stands_beside_the_other_faults() -> None:
    first, second = faults_of(SESSION_SECRET="hunter2", SESSION_EXPIRES="x")
    assert first.startswith("SESSION_EXPIRES ")
    assert second.startswith("SESSION_SECRET must be at least 32 bytes, it has 7")


@pytest.mark.parametrize("prefix", ["", None, 5])
def test_a_prefix_is_text_that_is_not_empty(prefix: Any) -> None:
    with pytest.raises(ConfigError, match="prefix must be non-empty text"):
        SessionConfig.from_env(prefix, {"PATH": "/bin"})
