"""Secrets: which one signs, which ones verify, which are refused, and that none is ever shown."""

import base64
import hashlib
import hmac
import itertools
import json
import logging
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aiohttp_lionrock import ConfigError, KeyRing, SessionConfig, SessionManager
from aiohttp_lionrock.tokens.keys import MAX_TENANTS

NOW = 1_800_000_000
NAME = "lionrock-session"


def secret(name: str) -> str:
    """A good secret that is its own."""
    return hashlib.sha256(name.encode()).hexdigest()


def token(key: str) -> str:
    """A good token signed with a key."""

    def b64(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = {"id": None, "sid": "sid-1", "creator": "x", "iat": NOW, "nbf": NOW, "exp": NOW + 60}
    signing_input = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, body))
    return f"{signing_input}.{b64(hmac.digest(key.encode(), signing_input.encode(), 'sha256'))}"


def is_signed_with(value: str, key: str) -> bool:
    signing_input, _, signature = value.rpartition(".")
    mac = hmac.digest(key.encode(), signing_input.encode(), "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode() == signature


def manager_with(environ: Mapping[str, str] | None = None, **settings: Any) -> SessionManager:
    return SessionManager(SessionConfig(**settings), clock=lambda: NOW, environ=environ or {})


async def signed_by(manager: SessionManager, env: Mapping[str, str] | None = None) -> str:
    session = await manager.load({}, env)
    session["n"] = 1
    [change] = await manager.save(session)
    assert change.value is not None
    return change.value


# ---- Order

CURRENT = ("tenant", "process", "secret", "secrets")
PREVIOUS = ("tenant-previous", "process-previous", "previous_secret", "previous_secrets")


def place(names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Settings, process environment and request environment that hold secrets in these places."""
    settings: dict[str, Any] = {}
    for name in names:
        if name in ("secret", "previous_secret"):
            settings[name] = secret(name)
        elif name in ("secrets", "previous_secrets"):
            settings[name] = [secret(name), secret(f"{name} 2"), secret(f"{name} 3")]
    process = {"SESSION_SECRET": "process", "SESSION_SECRET_PREVIOUS": "process-previous"}
    tenant = {"SESSION_SECRET": "tenant", "SESSION_SECRET_PREVIOUS": "tenant-previous"}
    return settings, *({k: secret(v) for k, v in env.items() if v in names} for env in (process, tenant))  # type: ignore[return-value]


EVERY = [*CURRENT[:3], "secrets", "secrets 2", "secrets 3", *PREVIOUS[:3]]
EVERY += ["previous_secrets", "previous_secrets 2", "previous_secrets 3", "nobody's"]


@pytest.mark.parametrize("current", [c for n in (1, 2, 3, 4) for c in itertools.combinations(CURRENT, n)], ids="+".join)
async def test_the_highest_current_secret_signs_and_verifies_with_all_previous_ones(current: tuple[str, ...]) -> None:
    for n in range(len(PREVIOUS) + 1):
        for previous in itertools.combinations(PREVIOUS, n):
            settings, process, tenant = place(current + previous)
            manager = manager_with(process, **settings)
            assert is_signed_with(await signed_by(manager, tenant), secret(current[0]))
            good = {current[0], *previous}
            good |= {"previous_secrets 2", "previous_secrets 3"} if "previous_secrets" in previous else set()
            good |= {"secrets 2", "secrets 3"} if "secrets" in current else set()
            accepted = set()
            for name in EVERY:
                session = await manager.load({NAME: token(secret(name))}, tenant)
                accepted |= set() if session.rejected else {name}
            assert accepted == good


async def test_a_previous_secret_of_the_tenant_is_no_secret_of_others() -> None:
    manager = manager_with({"SESSION_SECRET": secret("process")})
    env = {"SESSION_SECRET_PREVIOUS": secret("tenant-previous")}
    old = token(secret("tenant-previous"))
    assert (await manager.load({NAME: old}, env)).rejected is None
    assert (await manager.load({NAME: old}, {})).rejected is not None
    assert (await manager.load({NAME: old})).rejected is not None
    assert is_signed_with(await signed_by(manager, env), secret("process"))


async def test_tenants_do_not_accept_each_others_tokens() -> None:
    manager = manager_with()
    envs = {name: {"SESSION_SECRET": secret(name), "REGION": "eu"} for name in ("a", "b")}
    for _ in range(2):
        for one, other in itertools.product(envs, envs):
            session = await manager.load({NAME: token(secret(one))}, envs[other])
            assert (session.rejected is None) == (one == other)
        assert is_signed_with(await signed_by(manager, envs["a"]), secret("a"))


async def test_a_tenant_may_change_its_secret_while_the_process_runs() -> None:
    manager = manager_with()
    env = {"SESSION_SECRET": secret("old")}
    value = await signed_by(manager, env)
    env = {"SESSION_SECRET": secret("new"), "SESSION_SECRET_PREVIOUS": secret("old")}
    assert (await manager.load({NAME: value}, env)).rejected is None
    assert is_signed_with(await signed_by(manager, env), secret("new"))
    assert (await manager.load({NAME: value}, {"SESSION_SECRET": secret("new")})).rejected is not None


async def test_a_session_is_written_with_the_secret_of_the_request_that_it_came_with() -> None:
    manager = manager_with({"SESSION_SECRET": secret("process")})
    env = {"SESSION_SECRET": secret("tenant"), "SESSION_SECRET_PREVIOUS": secret("tenant-previous")}
    session = await manager.load({NAME: token(secret("tenant-previous"))}, env)
    assert session.rejected is None
    session["n"] = 1
    [change] = await manager.save(session)
    assert is_signed_with(str(change.value), secret("tenant"))


async def test_the_memory_for_tenants_is_bounded() -> None:
    manager = manager_with()
    for n in range(MAX_TENANTS + 5):
        await manager.load({}, {"SESSION_SECRET": secret(str(n))})
    assert len(manager._keys._tenants) == MAX_TENANTS
    assert is_signed_with(await signed_by(manager, {"SESSION_SECRET": secret("0")}), secret("0"))


async def test_the_process_environment_is_read_once() -> None:
    environ = {"SESSION_SECRET": secret("a")}
    manager = manager_with(environ)
    environ["SESSION_SECRET"] = "short"
    assert is_signed_with(await signed_by(manager), secret("a"))


@pytest.mark.parametrize("empty", ["", None])
async def test_an_empty_secret_is_none(empty: str | None) -> None:
    environ = {"SESSION_SECRET": "", "SESSION_SECRET_PREVIOUS": ""}
    manager = manager_with(environ, secret=empty, secrets=["", secret("good")], previous_secret=empty)
    assert is_signed_with(await signed_by(manager, dict(environ)), secret("good"))
    assert (await manager.load({NAME: token("")})).rejected is not None


# ---- None at all


async def test_without_a_secret_nothing_is_read_or_written() -> None:
    manager = manager_with()
    with pytest.raises(ConfigError, match="SESSION_SECRET"):
        manager.require_secret()
    for env in (None, {}, {"SESSION_SECRET": ""}, {"SESSION_SECRET_PREVIOUS": secret("old")}):
        for cookies in ({}, {NAME: token(secret("old"))}, {NAME: token("")}):
            with pytest.raises(ConfigError, match="no secret"):
                await manager.load(cookies, env)


async def test_a_previous_secret_alone_is_no_secret() -> None:
    manager = manager_with({"SESSION_SECRET_PREVIOUS": secret("a")}, previous_secrets=[secret("b")])
    with pytest.raises(ConfigError, match="no secret"):
        await manager.load({})


# ---- Weak ones

MARK = "tHe-MaRk"
LIKE_KEYS = {
    "public key": f"-----BEGIN PUBLIC KEY-----\n{MARK * 8}\n-----END PUBLIC KEY-----\n",
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{MARK * 8}\n-----END RSA PRIVATE KEY-----",
    "private key, indented": f"\n  -----BEGIN PRIVATE KEY-----\n{MARK * 8}\n-----END PRIVATE KEY-----",
    "certificate": f"-----BEGIN CERTIFICATE-----\r\n{MARK * 8}\r\n-----END CERTIFICATE-----",
    "key with escaped line breaks": f"-----BEGIN PUBLIC KEY-----\\n{MARK * 8}\\n-----END PUBLIC KEY-----",
    "ssh key": f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ{MARK * 8} user@host",
    "JWK": json.dumps({"kty": "oct", "k": MARK * 8}),
    "JWK of an RSA key": json.dumps({"kty": "RSA", "n": MARK * 8, "e": "AQAB"}, indent=2),
    "JWK set": json.dumps({"keys": [{"kty": "oct", "k": MARK * 8}]}),
}
WEAK: dict[str, tuple[str, str]] = {
    "short": (MARK * 3 + "1234567", "at least 32 bytes, it has 31"),
    "one byte": ("\u0001", "at least 32 bytes, it has 1"),
    "blank": (" " * 40, "blank"),
    "tabs and line breaks": ("\t\n" * 20, "blank"),
    "one character": ("a" * 64, "one character repeated"),
    "one wide character": ("\U0001f981" * 16, "one character repeated"),
    "no text": (MARK * 8 + "\ud800", "UTF-8"),
    **{name: (text, "PEM") for name, text in LIKE_KEYS.items()},
}
PLACES = {
    "SESSION_SECRET": lambda value: ({"SESSION_SECRET": value}, {}),
    "SESSION_SECRET_PREVIOUS": lambda value: ({"SESSION_SECRET": secret("x"), "SESSION_SECRET_PREVIOUS": value}, {}),
    "secret": lambda value: ({}, {"secret": value}),
    "secrets": lambda value: ({}, {"secrets": [secret("x"), value]}),
    "previous_secret": lambda value: ({}, {"secret": secret("x"), "previous_secret": value}),
    "previous_secrets": lambda value: ({}, {"secret": secret("x"), "previous_secrets": [secret("y"), value]}),
}


def shows_no(text: str, fault: BaseException, caplog: pytest.LogCaptureFixture) -> bool:
    chain: BaseException | None = fault
    while chain is not None:
        if text in f"{chain} {chain!r} {chain.args!r}" or MARK in repr(chain.args):
            return False
        chain = chain.__cause__ or chain.__context__
    return text not in caplog.text


@pytest.mark.parametrize("place_name", PLACES)
@pytest.mark.parametrize("kind", WEAK)
def test_a_weak_secret_is_refused_wherever_it_stands_and_never_shown(
    kind: str, place_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    value, reason = WEAK[kind]
    environ, settings = PLACES[place_name](value)
    config = SessionConfig(**settings)
    with pytest.raises(ConfigError, match=reason) as caught:
        SessionManager(config, environ=environ)
    [fault, *_] = caught.value.faults
    assert fault.split()[0].partition("[")[0] == place_name.split()[0]
    assert shows_no(value, caught.value, caplog)
    assert value not in repr(config)


@pytest.mark.parametrize("kind", WEAK)
@pytest.mark.parametrize("name", ["SESSION_SECRET", "SESSION_SECRET_PREVIOUS"])
async def test_a_weak_secret_of_a_tenant_is_refused_at_its_request(
    name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    value, reason = WEAK[kind]
    manager = manager_with({"SESSION_SECRET": secret("process")})
    with pytest.raises(ConfigError, match=reason) as caught:
        await manager.load({}, {name: value})
    assert caught.value.faults[0].startswith(f"{name} of the request's environment ")
    assert shows_no(value, caught.value, caplog)
    assert (await manager.load({})).is_new


def test_every_weak_secret_is_named_at_once() -> None:
    settings: dict[str, Any] = {
        "secret": "short-1",
        "previous_secret": "short-2",
        "previous_secrets": ["short-3", "short-4"],
    }
    with pytest.raises(ConfigError) as caught:
        SessionManager(SessionConfig(**settings), environ={"SESSION_SECRET_PREVIOUS": "short-5"})
    assert len(caught.value.faults) == 5
    assert "short-" not in str(caught.value)


def test_a_lower_ranked_current_secret_that_is_not_in_use_is_not_judged() -> None:
    manager = manager_with({"SESSION_SECRET": secret("process")}, secret="short", secrets=["short too"])
    manager.require_secret()


@pytest.mark.parametrize(("alg", "floor"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_has_at_least_the_size_of_the_hash(alg: str, floor: int) -> None:
    text = (secret("a") + secret("b"))[:floor]
    manager_with(algorithm=alg, secret=text).require_secret()
    with pytest.raises(ConfigError, match=f"at least {floor} bytes"):
        manager_with(algorithm=alg, secret=text[:-1])


def test_length_is_counted_in_bytes_of_utf_8() -> None:
    text = "".join(chr(0x4E00 + n) for n in range(11))
    manager_with(secret=text).require_secret()
    with pytest.raises(ConfigError, match="it has 30"):
        manager_with(secret=text[:10])


@pytest.mark.parametrize("weak", ["a" * 5, " " * 5, "abcde"])
def test_a_minimum_that_was_lowered_is_taken_at_its_word(weak: str) -> None:
    manager_with(secret=weak, minimum_secret_length=5).require_secret()
    with pytest.raises(ConfigError, match="at least 5 bytes"):
        manager_with(secret=weak[:4], minimum_secret_length=5)


def test_a_minimum_that_was_raised_holds_for_previous_secrets_too() -> None:
    with pytest.raises(ConfigError, match=r"previous_secret must be at least 65 bytes"):
        manager_with(secret=secret("a") + "b", previous_secret=secret("b"), minimum_secret_length=65)


@pytest.mark.parametrize("kind", LIKE_KEYS)
def test_a_key_for_other_algorithms_is_refused_with_a_lowered_minimum_too(kind: str) -> None:
    with pytest.raises(ConfigError, match="PEM"):
        manager_with(secret=LIKE_KEYS[kind], minimum_secret_length=1)


def test_the_oldest_pyjwt_allowed_refuses_key_texts_as_the_newest_does() -> None:
    """PyJWT tells a JWK from a secret since 2.13."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    [floor] = [line.split(">=")[1] for line in project["dependencies"] if line.startswith("PyJWT")]
    assert tuple(int(part) for part in floor.split(".")) >= (2, 13)


# ---- KeyRing alone


def test_a_ring_holds_each_key_once_and_shows_none() -> None:
    config = SessionConfig(secret=secret("a"), previous_secrets=[secret("a"), secret("b"), secret("b")])
    ring = KeyRing.find(config, {}, {})
    assert ring is not None
    assert ring.signing == secret("a").encode()
    assert ring.verifying == (secret("a").encode(), secret("b").encode())
    assert secret("a") not in repr(ring)
    assert secret("b") not in repr(ring)


def test_there_is_no_ring_without_a_current_secret() -> None:
    assert KeyRing.find(SessionConfig(previous_secret=secret("a")), {}, {}) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f"{secret('one')}\n", "begins or ends with white space"),
        (f" {secret('one')}", "begins or ends with white space"),
        (f'["{secret("one")}", "{secret("two")}"]\n', "looks like a list and is one secret"),
    ],
    ids=["line feed", "blank", "list"],
)
@pytest.mark.parametrize("name", ["SESSION_SECRET", "SESSION_SECRET_PREVIOUS"])
def test_what_is_probably_a_mistake_in_a_secret_is_said_at_the_start(
    name: str, value: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    SessionManager(SessionConfig(), environ={"SESSION_SECRET": secret("process"), name: value})
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(line.startswith(f"{name} {said}") for line in lines)
    assert value.strip() not in caplog.text


def test_a_usual_secret_is_nothing_to_talk_about(caplog: pytest.LogCaptureFixture) -> None:
    SessionManager(SessionConfig(), environ={"SESSION_SECRET": secret("process")})
    assert caplog.text == ""
