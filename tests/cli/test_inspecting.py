"""``inspect``: what is said of tokens that are honoured, refused, forged, hostile, and of their sessions."""

import time
from pathlib import Path

import jwt
import pytest
from support.sessions import NAME, SECRET
from support.shell import Shell, everything, put

from aiohttp_lionrock import JtiRecord

REFRESH = f"{NAME}-refresh"
NOW = int(time.time())
SESSION = {"id": "an id", "sid": "a sid", "creator": "SessionJWT", "sub": "ann", "iat": NOW, "nbf": NOW}


def made(secret: str = SECRET, **claims: object) -> str:
    return jwt.encode({**SESSION, "exp": NOW + 3600, **claims}, secret, algorithm="HS256")


def test_an_honoured_token_is_told_with_its_record(shell: Shell, log_in, url: str) -> None:
    cookies = log_in(labels={"device": "a phone"}, sub="ann")
    for name, use in ((NAME, "access"), (REFRESH, "refresh")):
        ran = shell("inspect", stdin=cookies[name], SESSION_STORAGE=url, SESSION_REFRESH_TOKEN="true")
        assert ran.code == 0, ran
        assert f"honoured: as {use} token in the cookie {name}" in ran.out
        assert "the current secret" in ran.out
        assert "live: " in ran.out
        assert "unverified" not in ran.out
        assert "in 29 d" in ran.out or "in 30 d" in ran.out  # the second one within the second of the login
        data = shell("inspect", "--json", "--storage", url, stdin=cookies[name], SESSION_REFRESH_TOKEN="true").data
        assert (data["verdict"], data["verified"], data["subject"]) == ("honoured", True, "ann")
        assert data["record"]["labels"] == {"device": "a phone"}
        assert data["claims"]["token_use"] == use


def test_a_refresh_token_is_not_judged_by_settings_that_have_none(shell: Shell, log_in, url: str) -> None:
    ran = shell("inspect", "--storage", url, stdin=log_in(sub="ann")[REFRESH])
    assert ran.code == 2, ran
    assert "set SESSION_REFRESH_TOKEN=true" in ran.out
    assert "live: " in ran.out
    forged = made("another secret, of more than 32 bytes", token_use="refresh")
    assert "[JWT_FORGED]" in shell("inspect", stdin=forged).out


def test_an_access_token_that_is_over_is_refused_although_a_refresh_token_may_stand_beside_it(
    shell: Shell, url: str
) -> None:
    over = made(exp=NOW - 100, iat=NOW - 200, token_use="access")
    for options in (["--storage", url], []):
        ran = shell("inspect", *options, stdin=over, SESSION_REFRESH_TOKEN="true")
        assert ran.code == 1, ran
        assert "refused: TokenExpired: it is over" in ran.out
        assert "the refresh token beside it decides [JWT_EXPIRED]" in ran.out
    assert shell("inspect", stdin=made(token_use="access"), SESSION_REFRESH_TOKEN="true").code == 0
    shortened = {"SESSION_REFRESH_TOKEN": "true", "SESSION_EXPIRES": "60"}
    assert "[JWT_EXPIRED]" in shell("inspect", stdin=made(token_use="access"), **shortened).out


@pytest.mark.parametrize(
    "header",
    [
        "{name}={token}",
        "theme=dark; {name}={token}; _ga=GA1.2",
        "Cookie: theme=dark; {name}={token}",
        "Set-Cookie: {name}={token}; Path=/; Secure",
        "-H 'Cookie: theme=dark; {name}={token}'",
        "Cookie: theme=dark\r\nCookie: {name}={token}\r\n",
        "{name}={token}; {name}={token}",
        "other={token}",
        '"{token}"',
        '{name}="{token}"',
    ],
)
def test_a_cookie_and_a_header_with_one_of_ours_are_welcome(shell: Shell, header: str) -> None:
    ran = shell("inspect", stdin=header.format(name=NAME, token=made()))
    assert ran.code == 0, ran
    assert "honoured: as access token" in ran.out


def test_a_cookie_that_is_deleted_has_no_token(shell: Shell) -> None:
    ran = shell("inspect", stdin=f"Set-Cookie: {NAME}=; Path=/; Max-Age=0")
    assert ran.code == 2, ran
    assert "there is no token on standard input" in ran.err


def test_of_two_cookies_one_is_asked_for(shell: Shell) -> None:
    both = f"{NAME}={made()}; {REFRESH}={made(token_use='refresh')}"
    ran = shell("inspect", stdin=both, SESSION_REFRESH_TOKEN="true")
    assert ran.code == 2, ran
    assert f"two cookies on standard input, {NAME} and {REFRESH}: give one" in ran.err
    assert made().rpartition(".")[2] not in ran.out + ran.err


def test_the_signature_is_never_printed(shell: Shell, log_in, url: str) -> None:
    for token in (
        log_in(sub="ann")[NAME],
        made("another secret, of more than 32 bytes"),
        made() + "x",
        f"{NAME}={made()}",
    ):
        for options in ([], ["--json"]):
            ran = shell("inspect", *options, "--storage", url, stdin=token)
            assert token.rpartition(".")[2] not in ran.out + ran.err
            assert '"sid"' in ran.out


@pytest.mark.parametrize(
    ("token", "code", "verified"),
    [
        (made("another secret, of more than 32 bytes"), "JWT_FORGED", False),
        (made(exp=NOW - 100, iat=NOW - 200), "JWT_EXPIRED", True),
        (made(exp=NOW + 10**6), "JWT_CLAIM", True),
        (made(sid=7), "JWT_CLAIM", True),
        (made() + "=", "JWT_FORGED", False),
        ("a" * 5000, "JWT_TOO_LARGE", False),
        ("nothing that is a token", "JWT_MALFORMED", False),
        ("é.è.ü", "JWT_MALFORMED", False),
    ],
)
def test_a_refused_token_says_why_and_still_shows_its_session(
    shell: Shell, token: str, code: str, verified: bool
) -> None:
    ran = shell("inspect", stdin=token)
    assert ran.code == 1
    assert f"[{code}]" in ran.out
    data = shell("inspect", "--json", stdin=token).data
    assert (data["verdict"], data["code"], data["verified"]) == ("refused", code, verified)
    if token.count(".") == 2 and token.isascii():
        assert data["subject"] == "ann"
        assert ("ann  (unverified)" in ran.out) is not verified


def test_a_token_of_a_previous_secret_is_named_as_such(shell: Shell) -> None:
    old = "the secret of last month, of 32 bytes"
    ran = shell("inspect", "--json", stdin=made(old), SESSION_SECRET_PREVIOUS=old)
    assert ran.code == 0
    assert ran.data["signed_by"] == "previous secret 1"


def test_an_ended_session_is_told_from_one_that_was_renewed(shell: Shell, log_in, url: str) -> None:
    cookies = log_in(sub="ann")
    [record] = everything(url)
    assert shell("sessions", "revoke", record.sid, "--storage", url).code == 0
    ran = shell("inspect", "--storage", url, stdin=cookies[NAME])
    assert ran.code == 1
    assert "TokenRevoked: session was ended [JWT_JTI_REVOKED]" in ran.out
    assert "no live record has this sid" in ran.out
    renewed = JtiRecord(record.sid, 2, NOW + 600, NOW, subject="ann", rotated_at=NOW - 300, successor="the next")
    put(url, renewed)
    ran = shell("inspect", "--storage", url, stdin=cookies[NAME])
    assert "session was renewed" in ran.out
    assert "goes on as the next" in ran.out


def test_a_replay_is_told_and_nobody_is_revoked_by_looking(shell: Shell, log_in, url: str) -> None:
    cookies = log_in(sub="ann")
    before = everything(url)
    used = jwt.decode(cookies[REFRESH], SECRET, algorithms=["HS256"])
    token = jwt.encode({**used, "jti": "one that was rotated away"}, SECRET, algorithm="HS256")
    ran = shell("inspect", "--storage", url, stdin=token, SESSION_REFRESH_TOKEN="true")
    assert "[JWT_REUSED]" in ran.out
    assert ran.code == 1
    assert ran.err == ""
    assert everything(url) == before


def test_a_hostile_token_cannot_move_the_cursor(shell: Shell) -> None:
    ran = shell("inspect", stdin=made(sub="\x1b[2Jann\u202e", sid="\r\x9b31m"))
    assert not any(sign in ran.out for sign in "\x1b\u202e\r\x9b")
    assert r"\x1b[2Jann\u202e" in ran.out


def test_a_storage_that_is_down_leaves_the_verdict_open(shell: Shell, log_in) -> None:
    token = made(jti="an id")
    ran = shell("inspect", "--storage", "mongodb://127.0.0.1:1/x", "--timeout", "0.5", stdin=token)
    assert ran.code == 3
    assert "unknown: " in ran.out
    assert "ann" in ran.out


def test_settings_come_from_a_table_of_a_toml_file_too(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text('[tool.session]\nissuer = "shop"\n')
    arguments = ("inspect", "--file", "app.toml", "--table", "tool.session")
    assert shell(*arguments, stdin=made()).code == 1
    assert shell(*arguments, stdin=made(iss="shop")).code == 0


def test_the_storage_of_a_file_comes_before_that_of_the_environment(
    shell: Shell, log_in, url: str, tmp_path: Path
) -> None:
    token = log_in(sub="ann")[NAME]
    (tmp_path / "app.toml").write_text(f'storage = "{url}"\n')
    look = ("inspect", "--json", "--file", "app.toml")
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    put(elsewhere)
    assert shell(*look, stdin=token, SESSION_STORAGE=elsewhere).data["storage"] == "found"
    assert shell(*look, "--storage", elsewhere, stdin=token).data["code"] == "JWT_JTI_REVOKED"


def test_without_a_secret_the_claims_are_shown_and_the_verdict_is_open(shell: Shell) -> None:
    ran = shell("inspect", stdin=made(), SESSION_SECRET="")
    assert ran.code == 2
    assert "unknown: no secret" in ran.out
    assert "ann  (unverified)" in ran.out


def test_no_token_is_a_wrong_call(shell: Shell) -> None:
    ran = shell("inspect", stdin=" \n")
    assert ran.code == 2
    assert ran.out == ""
    assert "there is no token on standard input" in ran.err
