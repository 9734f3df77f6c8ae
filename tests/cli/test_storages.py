"""``sessions``, ``purge``, ``doctor`` and ``copy``, on SQLite files and on a MongoDB server."""

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from support.pages import rows, text
from support.sessions import NAME
from support.shell import Shell, everything, put

from aiohttp_lionrock import JtiRecord
from aiohttp_lionrock.cli import exits

NOW = int(time.time())
LATER = NOW + 3600


def records(count: int, **fields: object) -> list[JtiRecord]:
    given = {"version": 3, "expires_at": LATER, "created_at": NOW - 60, "access_jti": "a", "subject": "ann", **fields}
    return [JtiRecord(f"sid {number:04}", **given) for number in range(count)]


def test_the_sessions_of_a_subject_are_listed_newest_first(shell: Shell, log_in, url: str) -> None:
    log_in(labels={"device": "a phone\x1b"}, sub="ann")
    old = JtiRecord("old", 1, LATER, NOW - 7200, "an id", subject="ann", seen_at=NOW - 5000)
    put(url, old, JtiRecord("bob's", 1, LATER, NOW, "an id", subject="bob"))
    ran = shell("sessions", "list", "ann", "--storage", url)
    assert ran.code == 0
    head, first, second = ran.out.splitlines()
    assert head.split() == ["SID", "BEGAN", "LAST", "SEEN", "EXPIRES", "LABELS"]
    assert first.endswith(r"device=a phone\x1b")
    assert second.startswith("old  ")
    assert " UTC, 2 h " in second
    assert " UTC, 1 h " in second
    _, began, seen, *_ = re.split(" {2,}", first)
    assert began == seen
    data = shell("sessions", "list", "ann", "--json", SESSION_STORAGE=url).data
    assert [row["labels"] for row in data["sessions"]] == [{"device": "a phone\x1b"}, {}]
    assert [row["seen_at"] for row in data["sessions"]] == [None, old.seen_at]


def test_sessions_are_counted(shell: Shell, url: str) -> None:
    put(url, *records(25), JtiRecord("nobody's", 1, LATER, NOW), JtiRecord("past", 1, NOW - 1, 0))
    put(url, JtiRecord("renewed", 2, LATER, NOW, rotated_at=NOW, subject="ann", successor="sid 0001"))
    assert shell("sessions", "count", "--batch", "10", "--json", "--storage", url).data == {
        "sessions": 26,
        "logged_in": 25,
        "superseded": 1,
    }
    assert "26 sessions, 25 of them of a user; 1 superseded" in shell("sessions", "count", "--storage", url).out


def test_a_session_is_ended_by_its_sid_and_all_of_a_subject_by_its_name(shell: Shell, url: str) -> None:
    put(url, *records(3), JtiRecord("bob's", 1, LATER, NOW, subject="bob"))
    assert shell("sessions", "revoke", "sid 0001", "--storage", url).out == "ended sid 0001\n"
    again = shell("sessions", "revoke", "sid 0001", "--storage", url)
    assert (again.code, again.out) == (1, "no live session has the sid sid 0001\n")
    assert shell("sessions", "revoke-subject", "ann", "--json", "--storage", url).data == {"subject": "ann", "ended": 2}
    assert [record.sid for record in everything(url)] == ["bob's"]


def test_expired_records_are_purged_in_steps_with_progress(shell: Shell, url: str) -> None:
    put(url, *records(25, expires_at=NOW - 10), JtiRecord("alive", 1, LATER, NOW))
    ran = shell("purge", "--batch", "10", "--storage", url)
    assert (ran.code, ran.out) == (0, "removed 25 expired records\n")
    assert ran.err == "20 removed\n"
    assert shell("purge", "--json", "--storage", url).data == {"removed": 0}
    assert [record.sid for record in everything(url)] == ["alive"]


def test_the_doctor_tells_of_a_storage_that_serves(shell: Shell, url: str) -> None:
    put(url, *records(5), JtiRecord("ahead", 1, LATER, NOW + 1800))
    ran = shell("doctor", "--storage", url)
    assert ran.code == 0
    for part in (
        "reachable  yes",
        "ms (median)",
        "sessions   6, and 0 superseded",
        "wrote it is at least 2",
    ):
        assert part in ran.out, ran.out
    assert ran.err == ""
    report = shell("doctor", "--json", "--storage", url).data
    assert report["backend"] == "aiohttp_lionrock_sqlite.storage.SqliteStorage"
    assert report["counts"] == {"sessions": 6, "superseded": 0, "rotating": 0}
    assert 1200 < report["clock_ahead_s"] <= 1800
    assert 0 < report["get_ms"]["median"] <= report["get_ms"]["worst"]


def test_the_doctor_tells_of_a_damaged_record_and_not_of_an_outage(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "damaged.db"
    put(f"sqlite:///{file}", *records(2))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE lionrock_sessions SET packed = 'garbage' WHERE sid = 'sid 0001'")
    ran = shell("doctor", "--json", "--storage", f"sqlite:///{file}")
    assert (ran.code, ran.data["reachable"]) == (1, True)
    assert "broken record under the sid 'sid 0001'" in ran.data["fault"]


def test_the_doctor_tells_of_a_storage_that_does_not_answer(shell: Shell) -> None:
    ran = shell("doctor", "--timeout", "0.5", "--storage", "mongodb://127.0.0.1:1/x")
    assert ran.code == 3
    assert "reachable  no" in ran.out
    assert "fault  " in ran.out


def test_a_copy_has_every_field_and_is_idempotent(shell: Shell, url: str, tmp_path) -> None:
    put(url, *records(120, refresh_jti="r", previous_jti="p", rotated_at=NOW, metadata={"device": "ü"}))
    target = f"sqlite:///{tmp_path}/target.db"
    ran = shell("copy", "--from", url, "--to", target, "--batch", "50")
    assert (ran.code, ran.out) == (0, "copied 120 records; 0 were there already\n")
    assert ran.err == "100 copied, 0 there already\n"
    assert everything(target) == everything(url)
    again = shell("copy", "--json", COPY_FROM=url, COPY_TO=target)
    assert again.data == {"copied": 0, "there": 120, "different": 0}


def test_a_copy_goes_on_where_one_was_interrupted_and_touches_nothing_that_is_there(
    shell: Shell, url: str, tmp_path
) -> None:
    target = f"sqlite:///{tmp_path}/target.db"
    put(url, *records(20))
    put(target, *records(5), JtiRecord("sid 0007", 9, LATER, NOW, access_jti="newer"))
    ran = shell("copy", "--from", url, "--to", target)
    assert ran.code == 1
    assert ran.out.startswith("copied 14 records; 5 were there already\n1 records are there and differ")
    kept = {record.sid: record for record in everything(target)}
    assert len(kept) == 20
    assert (kept["sid 0007"].version, kept["sid 0007"].access_jti) == (9, "newer")


def test_sessions_move_to_mongodb_and_go_on_there(shell: Shell, log_in, url: str, standalone_database: str) -> None:
    cookies = log_in(sub="ann")
    ran = shell("copy", "--json", "--from", url, COPY_TO=standalone_database)
    assert ran.data == {"copied": 1, "there": 0, "different": 0}
    looked = shell("inspect", "--json", stdin=cookies[NAME], SESSION_STORAGE=standalone_database)
    assert looked.data["verdict"] == "honoured"
    assert "reachable  yes" in shell("doctor", SESSION_STORAGE=standalone_database).out


def test_the_same_storage_is_not_copied_onto_itself(shell: Shell, url: str) -> None:
    ran = shell("copy", "--from", url, "--to", url)
    assert ran.code == 2
    assert "are the same storage" in ran.err


def test_a_command_that_finds_nothing_exits_as_the_page_says(shell: Shell, url: str) -> None:
    put(url)
    found = {}
    for words in ("sessions list eve", "sessions revoke x", "sessions revoke-subject eve", "sessions count", "purge"):
        for options in ([], ["--json"]):
            ran = shell(*words.split(), *options, "--storage", url)
            found[" ".join(words.split()[:2])] = ran.code
        assert ran.data
    assert found == {
        "sessions list": 1,
        "sessions revoke": 1,
        "sessions revoke-subject": 1,
        "sessions count": 0,
        "purge": 0,
    }
    assert shell("sessions", "list", "eve", "--storage", url).out == "eve has no session\n"
    assert shell("sessions", "revoke-subject", "eve", "--storage", url).out == "eve has no session\n"
    told = {
        name.strip("`"): int(no != "")
        for names, _, no in rows("command-line", "Exit codes")
        for name in names.split(", ")
    }
    assert {name: told[name] for name in found} == found
    codes = [exits.WRONG, exits.UNAVAILABLE, exits.INTERRUPTED]
    assert re.findall(r"(\d+) where", text("command-line").split("Of each: ")[1]) == [str(code) for code in codes]
