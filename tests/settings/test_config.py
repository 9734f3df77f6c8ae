"""SessionConfig: good values pass, bad ones are all named at once, and no secret is ever shown."""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from aiohttp_lionrock import (
    AccessTokenConfig,
    ConfigError,
    CookieConfig,
    JtiConfig,
    MemoryStorage,
    RefreshTokenConfig,
    SessionConfig,
    SessionManager,
    setup,
)

SECRET = "correct horse battery staple, and then some"
PASSWORD = "hunter2-hunter2"


def faults_of(make: Callable[[], Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == "; ".join(caught.value.faults)
    return caught.value.faults


def fault_of(make: Callable[[], Any]) -> str:
    [fault] = faults_of(make)
    return fault


async def honour(event: Any) -> bool:
    return True


# ---- Each setting

NO_SECONDS = [0, -1, 0.5, math.nan, math.inf, -math.inf, "60", True, False, [], {}, b"1", 10**20, 10**400, 10**5000]
NO_TEXT = ["", 5, True, b"x", {}]
NO_FLAGS = ["yes", "", 0, 1, "false", [], {}]
NO_COUNTS = [0, -1, 1.5, 4096.0, "32", True, math.nan, [], -(10**5000)]
NO_TABLES = ["on", 1, [], ("a", 1)]

GOOD: dict[str, list[Any]] = {
    "name": ["session", "__Host-session", "__Secure-s", "a", "!#$%&'*+-.^_`|~09AZaz"],
    "algorithm": ["HS256", "HS384", "HS512"],
    "expires": [1, 1.9, 60, 86_400 * 365],
    "cookie_max_age": [None, 1, 60.5],
    "access_token": [None, {}, {"expires": 5}, AccessTokenConfig(name="a")],
    "refresh_token": [None, True, False, {}, {"enabled": False}, {"rotate": False}, RefreshTokenConfig(expires=5)],
    "issuer": [None, "me", "Zo\u00eb"],
    "audience": [None, "app", ["app"], ("app", "api")],
    "clock_tolerance": [0, 0.5, 60],
    "minimum_secret_length": [None, 1, 32, 1000],
    "max_token_length": [1, 4096, 10**9],
    "max_cookies_length": [1, 6000, 10**9],
    "secret": [None, "", "x"],
    "secrets": [None, "", "x", ["x", "y"], [], ("x",)],
    "previous_secret": [None, "", "x", ["x"]],
    "previous_secrets": [None, "", "x", ["x"]],
    "save_uninitialized": [True, False],
    "resave": [True, False],
    "cookie": [None, {}, {"secure": False}, CookieConfig(path="/app")],
    "clear_site_data": [False, ("cache",), ["cache", "storage"], ["*"]],
    "subject_key": ["sub", "user_id", "Zo\u00eb", len],
    "storage": [None, "memory://", MemoryStorage()],
    "storage_timeout": [0.001, 2, 60],
    "max_lifetime": [None, 1, 86_400.5],
    "idle_timeout": [None, 1, 1800.5],
    "touch_interval": [None],
    "anonymous_lifetime": [None, 1, 3600],
    "max_sessions": [None, 1, 5],
    "when_full": ["oldest", "refuse"],
    "seen_interval": [None, 1, 3600],
    "purge_interval": [None, 1, 3600.5],
}
BAD: dict[str, list[Any]] = {
    "name": ["", " ", "a b", "a;b", "a=b", "a,b", "a\n", 'a"', "a/b", "a@b", "n\u00e4me", "\x00", 5, None, b"x"],
    "algorithm": ["none", "hs256", "RS256", "", "HS256 ", None, 256, b"HS256"],
    "expires": [*NO_SECONDS, None],
    "cookie_max_age": NO_SECONDS,
    "access_token": [*NO_TABLES, True, RefreshTokenConfig()],
    "refresh_token": [*NO_TABLES, AccessTokenConfig()],
    "jti": [*NO_TABLES, AccessTokenConfig()],
    "issuer": [*NO_TEXT, "\ud800", "x\udcff"],
    "audience": [*NO_TEXT, [], (), [""], [None], ["app", 5], "\ud800", ["app", "\udcff"]],
    "clock_tolerance": [-1, -0.5, math.nan, math.inf, "60", True, None, 10**20, 10**400, 10**5000],
    "minimum_secret_length": NO_COUNTS,
    "max_token_length": [*NO_COUNTS, None],
    "max_cookies_length": [*NO_COUNTS, None],
    "secret": [5, b"x", ["x", "y"], ("x",), [5], [b"x"], {"a": "b"}, True],
    "secrets": [5, b"x", [5], [b"x"], {"x"}, True],
    "previous_secret": [5, b"x", [None], {}],
    "previous_secrets": [5, b"x", [None], {}],
    "save_uninitialized": [*NO_FLAGS, None],
    "resave": [*NO_FLAGS, None],
    "cookie": [*NO_TABLES, AccessTokenConfig()],
    "clear_site_data": [True, None, "cache", [], (), ["cookie"], ['"cache"'], [5], [None], {"cache"}],
    "subject_key": ["", None, 5, b"sub", ["sub"], "x\ud800", "sid", "id", "jti", "exp"],
    "storage": [5, True, b"sqlite://", object(), MemoryStorage],
    "storage_timeout": [0, -1, math.nan, math.inf, "2", True, None, 10**20, 10**5000],
    "max_lifetime": NO_SECONDS,
    "idle_timeout": NO_SECONDS,
    "touch_interval": [*NO_SECONDS, 60],
    "anonymous_lifetime": NO_SECONDS,
    "max_sessions": [0, -1, 1.5, True, "5"],
    "when_full": ["newest", None, 1],
    "seen_interval": NO_SECONDS,
    "purge_interval": NO_SECONDS,
}


def short(value: object) -> str:
    return repr(value)[:24] if not isinstance(value, int) or abs(value) < 10**30 else "huge"


def plain(value: object) -> object:
    """A list for a tuple, so that a configuration may keep either."""
    return list(value) if isinstance(value, tuple) else value


def test_every_setting_has_its_good_and_its_bad_values_here() -> None:
    settings = {field.name for field in dataclasses.fields(SessionConfig) if field.init}
    assert settings == set(BAD)
    assert settings - set(GOOD) == {"jti"}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in GOOD.items() for v in values], ids=short)
def test_a_good_value_is_taken_in_both_spellings(name: str, value: Any) -> None:
    config = SessionConfig(**{name: value})
    camel = "".join(part.capitalize() if n else part for n, part in enumerate(name.split("_")))
    assert plain(getattr(config, name)) == plain(value)
    assert SessionConfig.from_mapping({name: value}) == config
    assert SessionConfig.from_mapping({camel: value}) == config


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values], ids=short)
def test_a_bad_value_is_a_fault_that_names_the_setting(name: str, value: Any) -> None:
    faults = faults_of(lambda: SessionConfig(**{name: value}))
    assert any(name.replace("_", " ") in fault.replace("_", " ") for fault in faults)
    assert len(" ".join(faults)) < 1000


NESTED_BAD: dict[str, dict[str, list[Any]]] = {
    "access_token": {"name": ["", "a b", 5], "expires": [0, math.nan, "x", True, 10**400], "cookie_max_age": [0, "x"]},
    "refresh_token": {
        "enabled": [1, "yes", None],
        "name": ["", "a b", 5],
        "expires": [0, math.inf, "x", None, 10**400],
        "cookie_max_age": [0, "x"],
        "rotate": [1, "no", None],
    },
}


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [(t, n, v) for t, names in NESTED_BAD.items() for n, values in names.items() for v in values],
    ids=short,
)
def test_a_bad_value_in_a_table_is_a_fault_that_names_both(table: str, name: str, value: Any) -> None:
    fault = " ".join(faults_of(lambda: SessionConfig(**{table: {name: value}})))
    assert table in fault
    assert name in fault or name.replace("_", " ") in fault or "cookie max_age" in fault


JTI_BAD = {
    "enabled": [1, "yes", None],
    "token_use": ["all", "", 5, ["access"], "Access"],
    "require": [1, "no", None],
    "generate": ["uuid", 5],
    "persist": ["x", 5],
    "verify": [True, "x"],
    "reuse_leeway": [-1, math.nan, "10", True, None, 10**400],
    "max_clock_skew": [-1, math.nan, "10", True, None, 301, 10**400],
    "cache_ttl": [-1, math.inf, "10", True, None, 10**400],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in JTI_BAD.items() for v in values], ids=short)
def test_a_bad_value_in_the_jti_table_is_a_fault_that_names_it(name: str, value: Any) -> None:
    settings = {"persist": honour, "verify": honour, name: value}
    assert any(f"jti.{name}" in fault for fault in faults_of(lambda: SessionConfig(jti=settings)))


# ---- All at once


def test_every_fault_is_listed_at_once() -> None:
    faults = faults_of(
        lambda: SessionConfig.from_mapping(
            {
                "algorithm": "none",
                "expires": 0,
                "clockTolerance": -1,
                "resave": "yes",
                "maxTokenLengt": 5,
                "refreshToken": {"expires": 0, "rotates": True},
                "accessToken": {"name": "a b"},
                "cookie": {"secure": False, "sameSite": "none", "domain": "a b", "path": "app", "colour": 1},
                "jti": True,
                "storage": 5,
                "audience": [],
            }
        )
    )
    needles = ["algorithm", "expires", "clock_tolerance", "resave", "maxTokenLengt", "refresh_token.expires", "rotates"]
    needles += ["a b", "same_site None", "domain", "path", "colour", "storage must", "audience"]
    assert [needle for needle in needles if not any(needle in fault for fault in faults)] == []


def test_a_setting_in_both_spellings_is_a_fault() -> None:
    fault = fault_of(lambda: SessionConfig.from_mapping({"cookieMaxAge": 5, "cookie_max_age": 5}))
    assert "cookie_max_age" in fault
    assert "twice" in fault


@pytest.mark.parametrize(
    ("written", "suggested"),
    [
        ("expire", "expires"),
        ("cookieMaxAg", "cookieMaxAge"),
        ("cookie_max_ag", "cookie_max_age"),
        ("refreshTokens", "refreshToken"),
        ("refresh_tokens", "refresh_token"),
        ("previousSecretes", "previousSecrets"),
        ("sekret", "secret"),
        ("saveUninitialised", "saveUninitialized"),
        ("save_uninitialised", "save_uninitialized"),
        ("minSecretLength", "minimumSecretLength"),
    ],
)
def test_an_unknown_setting_suggests_the_nearest_in_the_style_it_was_written_in(written: str, suggested: str) -> None:
    fault = fault_of(lambda: SessionConfig.from_mapping({written: SECRET}))
    assert f"unknown setting {written};" in fault
    assert fault.endswith(f"did you mean {suggested}?")
    assert SECRET not in fault


@pytest.mark.parametrize(
    ("settings", "where", "suggested"),
    [
        ({"refreshToken": {"rotates": True}}, "refresh_token.rotates", "rotate"),
        ({"accessToken": {"cookieOption": {}}}, "access_token.cookieOption", "cookieOptions"),
        ({"cookie": {"httpOnl": True}}, "cookie.httpOnl", "httpOnly"),
        ({"cookie": {"same_sit": "Lax"}}, "cookie.same_sit", "same_site"),
        ({"jti": {"tokenUs": "both"}}, "jti.tokenUs", "tokenUse"),
        ({"refreshToken": {"cookieOptions": {"secur": True}}}, "refresh_token.cookie_options.secur", "secure"),
    ],
)
def test_an_unknown_setting_in_a_table_is_named_with_its_place(
    settings: dict[str, Any], where: str, suggested: str
) -> None:
    faults = faults_of(lambda: SessionConfig.from_mapping(settings))
    assert any(f"unknown setting {where}" in fault and fault.endswith(f"{suggested}?") for fault in faults)


def test_a_setting_that_is_like_none_lists_those_that_there_are() -> None:
    fault = fault_of(lambda: SessionConfig.from_mapping({"zzz": 1}))
    assert "expires" in fault
    assert "secret" in fault


@pytest.mark.parametrize("name", ["access", "refresh", "jti_policy", "rotate"])
def test_what_is_worked_out_cannot_be_set(name: str) -> None:
    assert "unknown setting" in faults_of(lambda: SessionConfig.from_mapping({name: None}))[0]


def test_settings_of_either_spelling_replace_those_of_a_configuration() -> None:
    config = SessionConfig(secret=SECRET, expires=60).updated({"cookieMaxAge": 5, "expires": 70})
    assert (config.secret, config.access.lifetime, config.access.cookie.max_age) == (SECRET, 70, 5)
    assert "did you mean expires?" in fault_of(lambda: config.updated({"expire": 1}))


# ---- Tables and defaults


def test_the_defaults_are_those_of_the_wire_contract() -> None:
    config = SessionConfig(refresh_token=True)
    assert (config.access.name, config.access.lifetime, config.access.cookie.max_age) == (
        "lionrock-session",
        7200,
        None,
    )
    assert config.refresh is not None
    assert (config.refresh.name, config.refresh.lifetime) == ("lionrock-session-refresh", 2_592_000)
    assert (config.refresh.cookie.max_age, config.rotate) == (2_592_000, True)
    assert (config.clock_tolerance, config.max_token_length, config.algorithm) == (60, 4096, "HS256")
    attributes = {
        "path": "/",
        "domain": None,
        "secure": True,
        "http_only": True,
        "same_site": "Lax",
        "partitioned": False,
    }
    assert dict(config.access.cookie) == attributes | {"max_age": None}
    assert SessionConfig().refresh is None
    assert SessionConfig().jti_policy is None


@pytest.mark.parametrize("value", [None, False, {"enabled": False}, RefreshTokenConfig(enabled=False)], ids=repr)
def test_a_table_that_is_switched_off_is_off(value: Any) -> None:
    assert SessionConfig(refresh_token=value).refresh is None
    assert SessionConfig(refresh_token=value).rotate is False


@pytest.mark.parametrize("value", [True, {}, {"enabled": True}, RefreshTokenConfig()], ids=repr)
def test_a_table_is_on_unless_it_is_switched_off(value: Any) -> None:
    assert SessionConfig(refresh_token=value).refresh is not None


def test_the_settings_of_one_token_win_over_the_common_ones() -> None:
    config = SessionConfig.from_mapping(
        {
            "name": "common",
            "expires": 100,
            "cookieMaxAge": 200,
            "cookie": {"sameSite": "lax", "path": "/app"},
            "accessToken": {"name": "own", "expires": 10, "cookieMaxAge": 20, "cookieOptions": {"path": "/own"}},
            "refreshToken": {"expires": 1000, "cookieOptions": {"httpOnly": False}},
        }
    )
    access, refresh = config.access, config.refresh
    assert refresh is not None
    assert (access.name, access.lifetime, access.cookie.max_age, access.cookie.path) == ("own", 10, 20, "/own")
    assert (refresh.name, refresh.lifetime, refresh.cookie.max_age) == ("common-refresh", 1000, 1000)
    assert (refresh.cookie.path, refresh.cookie.http_only, access.cookie.http_only) == ("/app", False, True)
    assert access.cookie.same_site == refresh.cookie.same_site == "Lax"


def test_two_tokens_of_one_cookie_name_are_a_fault() -> None:
    fault = fault_of(lambda: SessionConfig(access_token={"name": "s"}, refresh_token={"name": "s"}))
    assert "'s'" in fault


@pytest.mark.parametrize(
    ("settings", "covered"),
    [
        ({"storage": "memory://"}, ["access"]),
        ({"storage": "memory://", "refresh_token": True}, ["access", "refresh"]),
        ({"storage": "memory://", "refresh_token": True, "jti": {"token_use": "refresh"}}, ["refresh"]),
        ({"storage": "memory://", "refresh_token": True, "jti": {"token_use": "access"}}, ["access"]),
        ({"jti": {"verify": honour}}, ["access"]),
        ({"jti": {"verify": honour}, "refresh_token": True}, ["refresh"]),
        ({"jti": JtiConfig(verify=honour, token_use="both"), "refresh_token": True}, ["access", "refresh"]),
        ({"jti": {"verify": honour, "enabled": False}}, []),
        ({}, []),
    ],
    ids=str,
)
def test_jti_covers_the_tokens_that_it_should(settings: dict[str, Any], covered: list[str]) -> None:
    config = SessionConfig(**settings)
    policies = [policy for policy in (config.access, config.refresh) if policy]
    assert [policy.use for policy in policies if policy.covered] == covered


@pytest.mark.parametrize(
    ("settings", "needle"),
    [
        ({"jti": False, "storage": "memory://"}, "switched off"),
        ({"jti": {"verify": honour}, "storage": "memory://"}, "the storage or the callbacks"),
        ({"jti": {"token_use": "refresh"}, "storage": "memory://"}, "refresh tokens are off"),
        ({"jti": {"token_use": "refresh", "verify": honour}}, "refresh tokens are off"),
        ({"jti": {"require": False}, "storage": "memory://"}, "would revive what was revoked"),
    ],
    ids=str,
)
def test_jti_settings_that_contradict_each_other_are_a_fault(settings: dict[str, Any], needle: str) -> None:
    assert needle in fault_of(lambda: SessionConfig(**settings))


@pytest.mark.parametrize("jti", [True, {}, {"reuse_leeway": 5}], ids=str)
def test_jti_with_nothing_behind_it_is_a_fault_of_the_manager(jti: Any) -> None:
    config = SessionConfig(secret=SECRET, jti=jti)
    assert "nothing behind it" in fault_of(lambda: SessionManager(config, environ={}))
    assert SessionManager(config, "memory://", environ={}).config.access.covered


def test_a_storage_given_to_the_manager_counts_as_if_it_stood_in_the_settings() -> None:
    config = SessionManager(SessionConfig(secret=SECRET, refresh_token=True), "memory://", environ={}).config
    assert config.access.covered
    assert config.refresh is not None
    assert config.refresh.covered


@pytest.mark.parametrize("jti", [{"reuse_leeway": 5}, {"max_clock_skew": 0}, True], ids=str)
def test_setup_takes_jti_settings_for_a_storage_that_is_given_beside_them(jti: Any) -> None:
    manager = setup(web.Application(), storage=MemoryStorage(), jti=jti, secret=SECRET)
    assert manager.config.access.covered


def test_setup_names_the_faults_of_all_settings_at_once() -> None:
    faults = faults_of(lambda: setup(web.Application(), expires=0, storage_timeout=0, expire=5))
    assert len(faults) == 3


# ---- Cookie attributes


@pytest.mark.parametrize(
    ("name", "cookie"),
    [
        ("__Host-s", {"path": "/app"}),
        ("__Host-s", {"domain": "example.org"}),
        ("__Host-s", {"secure": False}),
        ("__host-s", {"secure": False}),
        ("__HOST-s", {"path": "/app"}),
    ],
    ids=str,
)
def test_a_host_prefix_needs_secure_and_the_root_path_and_no_domain(name: str, cookie: dict[str, Any]) -> None:
    fault = fault_of(lambda: SessionConfig(name=name, cookie=cookie))
    assert "__Host-" in fault
    assert [word for word in ("secure", "path", "domain") if word not in fault.lower()] == []


@pytest.mark.parametrize("name", ["__Secure-s", "__secure-s", "__SECURE-s"])
def test_a_secure_prefix_needs_secure(name: str) -> None:
    assert SessionConfig(name=name, cookie={"path": "/app", "domain": "example.org"}).access.name == name
    fault = fault_of(lambda: SessionConfig(name=name, cookie={"secure": False}))
    assert "secure" in fault.lower().replace("__secure-", "")


def test_the_rules_of_a_prefix_hold_for_each_token_by_itself() -> None:
    faults = faults_of(
        lambda: SessionConfig(refresh_token={"name": "__Host-r", "cookie_options": {"path": "/refresh"}})
    )
    assert [fault.partition(" ")[0] for fault in faults] == ["refresh_token.name"]


COOKIE_BAD: dict[str, list[Any]] = {
    "secure": ["yes", 1, 0],
    "http_only": ["yes", 1, 0],
    "partitioned": ["yes", 1, 0],
    "same_site": ["", "Any", "strict;", "Lax\n", True, False, 5, ["Lax"]],
    "path": ["", "app", "app/", "/a;b", "/a\n", "/a\r\nSet-Cookie: x=y", "/\x00", "/\x7f", "/\u00e9", "/\udcff", 5],
    "domain": [
        "",
        " ",
        "a b",
        "a;b",
        "a\n",
        "a_b",
        "-a",
        "a-",
        "a..b",
        "a.",
        ".",
        "http://a",
        "a/b",
        "a:80",
        "\u00e9.org",
    ],
    "max_age": [0, -1, math.nan, math.inf, "5", True, 10**400],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in COOKIE_BAD.items() for v in values], ids=short)
def test_a_bad_cookie_attribute_is_a_fault_that_names_it(name: str, value: Any) -> None:
    fault = fault_of(lambda: SessionConfig(cookie={name: value}))
    assert fault.startswith(f"cookie.{name} ")
    for table in ("access_token", "refresh_token") if name != "max_age" else ("access_token",):
        faults = faults_of(lambda table=table: SessionConfig(**{table: {"cookie_options": {name: value}}}))
        assert any(fault.startswith(f"{table}.cookie_options.{name} ") for fault in faults)


def test_a_domain_too_long_for_dns_is_a_fault() -> None:
    assert "domain" in fault_of(lambda: SessionConfig(cookie={"domain": ".".join(["a" * 60] * 5)}))


@pytest.mark.parametrize("setting", ["previous_domains", "previous_paths"])
@pytest.mark.parametrize("value", ["example.org", "/app", [5], [""], ["a b"], [None], 5, {"a": 1}, ["/app", "a;b"]])
def test_what_domains_and_paths_were_before_is_a_list_of_such(setting: str, value: Any) -> None:
    assert f"cookie.{setting} must be a list of" in fault_of(lambda: SessionConfig(cookie={setting: value}))


@pytest.mark.parametrize("value", [1, "yes", [True]])
def test_whether_cookies_were_partitioned_before_is_true_or_false(value: Any) -> None:
    assert "cookie.previous_partitioned must be" in fault_of(
        lambda: SessionConfig(cookie={"previous_partitioned": value})
    )


@pytest.mark.parametrize("domain", ["localhost", "example.org", ".example.org", "a-b.c1.example", "127.0.0.1"])
def test_a_domain_that_is_a_host_name_is_taken(domain: str) -> None:
    assert SessionConfig(cookie={"domain": domain}).access.cookie.domain == domain


@pytest.mark.parametrize(
    "cookie",
    [{"same_site": "None"}, {"same_site": "none"}, {"partitioned": True}, {"previous_partitioned": True}],
    ids=str,
)
def test_what_browsers_take_on_secure_cookies_alone_needs_secure(cookie: dict[str, Any]) -> None:
    assert SessionConfig(cookie=cookie).access.cookie.secure
    assert "needs secure" in fault_of(lambda: SessionConfig(cookie={**cookie, "secure": False}))


@pytest.mark.parametrize("written", ["Strict", "strict", "STRICT", "Lax", "lax", "None", "none"])
def test_same_site_is_written_in_one_spelling(written: str) -> None:
    assert SessionConfig(cookie={"same_site": written}).access.cookie.same_site == written.capitalize()


def test_a_max_age_of_its_own_setting_wins_over_the_attribute() -> None:
    config = SessionConfig(cookie={"max_age": 5}, refresh_token=True)
    assert config.refresh is not None
    assert (config.access.cookie.max_age, config.refresh.cookie.max_age) == (5, 2_592_000)
    assert SessionConfig(cookie={"max_age": 5}, cookie_max_age=9).access.cookie.max_age == 9


# ---- Frozen, and silent about secrets


@pytest.mark.parametrize("part", ["config", "access", "cookie", "tables"])
def test_a_configuration_cannot_be_changed(part: str) -> None:
    config = SessionConfig(secret=SECRET)
    target, name = {
        "config": (config, "secret"),
        "access": (config.access, "lifetime"),
        "cookie": (config.access.cookie, "secure"),
        "tables": (RefreshTokenConfig(), "expires"),
    }[part]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(target, name, "other")
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(target, name)


def test_a_list_that_is_changed_later_changes_no_configuration() -> None:
    audience, secrets = ["app"], [SECRET]
    config = SessionConfig(audience=audience, secrets=secrets)
    audience.append("evil")
    secrets.insert(0, "x" * 40)
    assert list(config.audience or ()) == ["app"]
    assert list(config.secrets or ()) == [SECRET]


def secret_settings(secret: str) -> dict[str, Any]:
    names = ("secret", "secrets", "previous_secret", "previous_secrets")
    return {name: [f"{secret}-{name}"] if name.endswith("s") else f"{secret}-{name}" for name in names}


def test_no_repr_shows_a_secret_or_a_storage_password() -> None:
    config = SessionConfig(**secret_settings(SECRET), storage=f"memory://user:{PASSWORD}@host")
    for shown in (repr(config), str(config), f"{config}", repr([config]), repr(config.access)):
        assert SECRET not in shown
        assert PASSWORD not in shown


@pytest.mark.parametrize(
    "bad",
    [
        {"secret": [SECRET, 5]},
        {"secret": SECRET.encode()},
        {"secrets": {SECRET}},
        {"previous_secrets": (SECRET, None)},
        {"secrets": SECRET, "algorithm": "none", "expires": 0},
        {"secert": SECRET},
        {"accessToken": SECRET},
        {"refreshToken": {"secret": SECRET}},
        {"refreshToken": {"expires": SECRET}},
        {"jti": {"verify": SECRET}},
        {"cookie": {"domain": SECRET}},
        {"issuer": [SECRET]},
        {"storageTimeout": SECRET},
        {"resave": SECRET},
        {"storage": [SECRET]},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_no_fault_shows_a_value_that_may_be_a_secret(bad: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigError) as caught:
        SessionConfig.from_mapping(bad)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in f"{chain} {chain!r} {chain.args!r}"
        chain = chain.__cause__ or chain.__context__
    assert SECRET not in caplog.text
