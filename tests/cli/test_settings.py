"""``secret``, ``backends`` and ``check``."""

from pathlib import Path

import pytest
from support.shell import Shell

from aiohttp_lionrock import SessionConfig, SessionManager


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret_is_good_for_its_algorithm_and_never_the_same(shell: Shell, algorithm: str) -> None:
    first, second = (shell("secret", "--algorithm", algorithm).out.strip() for _ in range(2))
    assert first != second
    for secret in (first, shell("secret", "--algorithm", algorithm, "--json").data["secret"]):
        SessionManager(SessionConfig(algorithm=algorithm, secret=secret), environ={}).require_secret()


def test_the_backends_are_listed_with_their_distributions(shell: Shell) -> None:
    ran = shell("backends")
    assert ran.code == 0
    assert "sqlite://" in ran.out
    found = {one["scheme"]: one["distribution"] for one in shell("backends", "--json").data["backends"]}
    assert found["memory"] == "aiohttp-lionrock"
    assert found["mongodb+srv"] == "aiohttp-lionrock-mongodb"


def test_a_backend_that_does_not_load_is_named(shell: Shell, tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aiohttp_lionrock.backends]\nbroken = nowhere:Storage\n")
    ran = shell("backends", PYTHONPATH=str(tmp_path))
    assert ran.code == 1
    assert "does not load: ModuleNotFoundError" in ran.out


def test_good_settings_are_told_in_words(shell: Shell) -> None:
    ran = shell("check", SESSION_REFRESH_TOKEN="true", SESSION_STORAGE="sqlite:///x.db", SESSION_EXPIRES="900")
    assert ran.code == 0
    assert "access token: cookie lionrock-session, HS256, 15 min" in ran.out
    assert "refresh token: cookie lionrock-session-refresh, 30 d" in ran.out
    assert "storage: sqlite" in ran.out
    assert shell("check", "--json").data == {"source": "the environment", "faults": []}


def test_every_fault_of_the_environment_comes_at_once(shell: Shell, tmp_path: Path) -> None:
    wrong = {"SESSION_EXPIRS": "1", "SESSION_COOKIE_SECURE": "maybe", "SESSION_STORAGE": "sqlit:///x.db"}
    for secret, fault in (("", "no secret"), ("short", "at least 32 bytes")):
        ran = shell("check", SESSION_SECRET=secret, **wrong)
        assert ran.code == 1
        for part in ("did you mean SESSION_EXPIRES?", "SESSION_COOKIE_SECURE must be", "no storage backend", fault):
            assert part in ran.out, part
        assert ran.out.startswith("the environment: 4 faults\n")
    assert len(shell("check", "--json", SESSION_SECRET="", **wrong).data["faults"]) == 4
    assert list(tmp_path.iterdir()) == []


def test_every_fault_of_a_toml_file_comes_at_once(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(
        '[session]\nexpires = "2h"\nalgoritm = "HS256"\nsecret = "hush"\nstorage = "x"\n'
    )
    ran = shell("check", "--file", "app.toml", "--table", "session", SESSION_SECRET="")
    assert ran.code == 1
    assert ran.out.startswith("app.toml: 4 faults\n")
    assert "hush" not in ran.out
    (tmp_path / "app.toml").write_text('refreshToken = true\nsecret = "this one is long enough for HS256"\n')
    assert shell("check", "--file", "app.toml", SESSION_SECRET="").code == 0


def test_a_file_that_is_not_toml_shows_nothing_of_itself(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text("x = 1\nsecret = hush\n")
    ran = shell("check", "--file", "app.toml")
    assert ran.code == 1
    assert "app.toml is not TOML (at line 2" in ran.out
    assert "hush" not in ran.out + ran.err
    assert shell("check", "--file", "absent.toml").code == 2
    (tmp_path / "app.toml").write_text("x = 1\n")
    assert "has no table a.b" in shell("check", "--file", "app.toml", "--table", "a.b").out


def test_a_storage_that_is_at_odds_with_the_settings_is_a_fault(shell: Shell) -> None:
    ran = shell("check", SESSION_STORAGE="sqlite:///x.db?busy_timeout=5")
    assert ran.code == 1
    assert "busy_timeout of 5 s must be shorter than storage_timeout" in ran.out
    assert shell("check", SESSION_STORAGE="sqlite:///x.db?busy_timeout=5", SESSION_STORAGE_TIMEOUT="6").code == 0
