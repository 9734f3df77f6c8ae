"""``sessions revoke-all``: everyone out by hand, and what the other commands say of it."""

import asyncio
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
from support.sessions import NAME, SECRET
from support.shell import COMMAND, Shell, environment, everything, put

from aiohttp_lionrock import JtiRecord, SessionConfig, SessionManager

NOW = int(time.time())
LATER = NOW + 3600


def honoured(url: str, cookies: dict[str, str]) -> bool:
    """What a server says of these cookies."""

    async def ask() -> bool:
        config = SessionConfig(secret=SECRET, storage=url, refresh_token=True)
        async with SessionManager(config, environ={}) as manager:
            return not (await manager.load(cookies)).is_new

    return asyncio.run(ask())


def old(sid: str, age: float) -> JtiRecord:
    return JtiRecord(sid, 1, LATER, int(time.time() - age), "an id", subject="ann")


def test_everyone_is_logged_out_and_logs_in_again(shell: Shell, log_in, url: str) -> None:
    cookies = log_in(sub="ann")
    assert honoured(url, cookies)
    ran = shell("sessions", "revoke-all", "--yes", "--storage", url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("ended every session that began up to 20")
    assert " UTC" in ran.out
    assert not honoured(url, cookies)
    assert honoured(url, log_in(sub="ann"))


@pytest.mark.parametrize("write", [str, lambda when: datetime.fromtimestamp(when, UTC).isoformat()], ids=["s", "ISO"])
def test_a_time_ends_those_that_began_up_to_it(shell: Shell, url: str, write) -> None:
    put(url, old("an hour", 3600), old("a minute", 60))
    before = NOW - 600
    data = shell("sessions", "revoke-all", "--before", write(before), "--yes", "--json", SESSION_STORAGE=url).data
    assert data == {"asked": before, "before": before}
    listed = shell("sessions", "list", "ann", "--json", "--storage", url).data["sessions"]
    assert [row["sid"] for row in listed] == ["a minute"]
    assert shell("sessions", "revoke", "an hour", "--storage", url).code == 1


def test_an_iso_time_may_have_any_zone(shell: Shell, url: str) -> None:
    put(url)
    when = datetime.fromtimestamp(NOW - 600, UTC).astimezone(UTC).replace(microsecond=0)
    local = (when + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00"
    for text in (local, when.replace(tzinfo=None).isoformat() + "Z"):
        ran = shell("sessions", "revoke-all", "--before", text, "--yes", "--json", "--storage", url)
        assert ran.data["before"] == NOW - 600


def test_an_earlier_time_changes_nothing_and_says_so(shell: Shell, url: str) -> None:
    put(url)
    shell("sessions", "revoke-all", "--before", str(NOW - 100), "--yes", "--storage", url)
    ran = shell("sessions", "revoke-all", "--before", str(NOW - 200), "--yes", "--storage", url)
    assert ran.code == 0
    assert "later than asked for" in ran.out
    again = shell("sessions", "revoke-all", "--before", str(NOW - 200), "--yes", "--json", "--storage", url)
    assert again.data == {"asked": NOW - 200, "before": NOW - 100}


@pytest.mark.parametrize(
    ("time_", "message"),
    [
        ("yesterday", "is no time"),
        ("2026-05-01", "with a time zone"),
        ("2026-05-01T12:00:00", "with a time zone"),
        ("nan", "seconds since 1970"),
        ("-1", "seconds since 1970"),
        (str(NOW * 1000), "ahead"),
    ],
)
def test_a_time_that_is_none_is_one_line(shell: Shell, log_in, url: str, time_: str, message: str) -> None:
    cookies = log_in(sub="ann")
    ran = shell("sessions", "revoke-all", f"--before={time_}", "--yes", "--storage", url)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    assert message in ran.err
    assert honoured(url, cookies)


def test_where_nobody_can_be_asked_nothing_is_done_without_yes(shell: Shell, log_in, url: str) -> None:
    cookies = log_in(sub="ann")
    ran = shell("sessions", "revoke-all", "--storage", url, stdin="y\n")
    assert (ran.code, ran.out) == (2, "")
    assert "--yes" in ran.err
    assert honoured(url, cookies)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_at_a_terminal_it_is_asked(log_in, url: str, tmp_path, answer: str) -> None:
    cookies = log_in(sub="ann")
    controller, terminal = os.openpty()
    try:
        os.write(controller, f"{answer}\n".encode())
        command = [*COMMAND, "sessions", "revoke-all", "--storage", url]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), stdin=terminal, capture_output=True, timeout=60, check=False
        )
    finally:
        os.close(controller)
        os.close(terminal)
    assert b"everyone out. Go on?" in done.stderr
    assert done.returncode == (0 if answer == "y" else 1)
    assert done.stdout.startswith(b"ended every" if answer == "y" else b"nobody was")
    assert honoured(url, cookies) is (answer == "n")


def test_a_storage_that_does_not_answer_is_exit_code_3(shell: Shell) -> None:
    ran = shell(
        "sessions", "revoke-all", "--yes", "--timeout", "0.5", "--json", SESSION_STORAGE="mongodb://127.0.0.1:1/x"
    )
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith('{"error": ')


def test_what_is_over_is_not_counted(shell: Shell, url: str) -> None:
    put(url, *(old(f"sid {number}", 1000) for number in range(30)), old("late", 10))
    put(url, JtiRecord("renewed", 2, LATER, NOW - 1000, rotated_at=NOW - 900, subject="ann", successor="sid 1"))
    shell("sessions", "revoke-all", "--before", str(NOW - 500), "--yes", "--storage", url)
    counted = shell("sessions", "count", "--batch", "7", "--json", "--storage", url)
    assert counted.data == {"sessions": 1, "logged_in": 1, "superseded": 1}
    report = shell("doctor", "--json", "--storage", url).data
    assert report["counts"] == {"sessions": 1, "superseded": 1, "rotating": 0}
    assert report["clock_ahead_s"] == 0
    assert shell("purge", "--json", "--storage", url).data == {"removed": 0}


def test_the_doctor_tells_a_storage_whose_sessions_are_all_ended_from_an_empty_one(shell: Shell, url: str) -> None:
    put(url, old("a", 10))
    shell("sessions", "revoke-all", "--yes", "--storage", url)
    told = shell("doctor", "--storage", url).out
    assert "sessions   0, and 0 superseded: revoke-all has ended all that are stored here\n" in told
    assert shell("doctor", "--json", "--storage", url).data["is_empty"] is False


def test_a_token_of_an_ended_session_is_explained(shell: Shell, log_in, url: str) -> None:
    cookies = log_in(sub="ann")
    shell("sessions", "revoke-all", "--yes", "--storage", url)
    ran = shell("inspect", "--json", stdin=cookies[NAME], SESSION_STORAGE=url)
    assert (ran.data["verdict"], ran.data["code"]) == ("refused", "JWT_JTI_REVOKED")
    assert "revoke-all has ended it" in ran.data["storage"]


@pytest.mark.parametrize("there", [None, 300, 900], ids=["nothing there", "further", "less far"])
def test_a_copy_revives_nobody(shell: Shell, url: str, tmp_path, there: int | None) -> None:
    target = f"sqlite:///{tmp_path}/target.db"
    put(url, old("a", 1000), old("b", 10))
    shell("sessions", "revoke-all", "--before", str(NOW - 600), "--yes", "--storage", url)
    if there is not None:
        put(target)
        shell("sessions", "revoke-all", "--before", str(NOW - there), "--yes", "--storage", target)
    first = shell("copy", "--json", "--from", url, "--to", target)
    assert first.code == 0
    assert first.data == {"copied": 2 if there == 300 else 3, "there": 1 if there == 300 else 0, "different": 0}
    assert shell("copy", "--json", "--from", url, "--to", target).data == {"copied": 0, "there": 3, "different": 0}
    listed = shell("sessions", "list", "ann", "--json", "--storage", target).data["sessions"]
    assert [row["sid"] for row in listed] == ["b"]
    [mark] = [record for record in everything(target) if record.subject is None]
    assert mark.created_at == NOW - (300 if there == 300 else 600)


def test_a_copy_revives_nobody_in_mongodb(shell: Shell, log_in, url: str, standalone_database: str) -> None:
    cookies = log_in(sub="ann")
    shell("sessions", "revoke-all", "--yes", "--storage", url)
    assert shell("copy", "--json", "--from", url, COPY_TO=standalone_database).data["copied"] == 2
    assert not honoured(standalone_database, cookies)
    assert shell("sessions", "count", "--json", SESSION_STORAGE=standalone_database).data["sessions"] == 0
