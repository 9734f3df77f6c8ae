"""A storage that is not there: commands that read say so and create nothing; ``doctor`` tells an empty one."""

from pathlib import Path

import pymongo
import pytest
from support.mongod import database_url
from support.sessions import NAME
from support.shell import Shell, put

READING = ["purge", "doctor", "sessions count", "sessions list ann", "sessions revoke x", "sessions revoke-subject ann"]
READING.append("sessions revoke-all --yes")


@pytest.mark.parametrize("command", READING)
def test_a_mistyped_path_is_refused_in_one_line_and_no_file_is_made(shell: Shell, tmp_path: Path, command: str) -> None:
    ran = shell(*command.split(), "--storage", f"sqlite:///{tmp_path}/typo.db")
    assert ran.code == 3
    [line] = [line for line in (ran.out + ran.err).splitlines() if "typo.db" in line]
    assert "typo.db: there is no such file; correct the URL, or start an application" in line
    assert list(tmp_path.iterdir()) == []


def test_a_copy_creates_its_target_alone(shell: Shell, url: str, tmp_path: Path) -> None:
    ran = shell("copy", "--from", f"sqlite:///{tmp_path}/typo.db", "--to", url)
    assert (ran.code, ran.out) == (3, "")
    assert list(tmp_path.iterdir()) == []
    put(url)
    assert shell("copy", "--from", url, "--to", f"sqlite:///{tmp_path}/copy.db").code == 0
    assert (tmp_path / "copy.db").exists()


def test_a_token_is_looked_at_without_making_a_file(shell: Shell, log_in, tmp_path: Path) -> None:
    token = log_in(sub="ann")[NAME]
    ran = shell("inspect", "--storage", f"sqlite:///{tmp_path}/typo.db", stdin=token)
    assert ran.code == 3
    assert "verdict     unknown: " in ran.out
    assert "there is no such file" in ran.out
    assert not (tmp_path / "typo.db").exists()


@pytest.mark.parametrize("storage", ["memory://", "sqlite://"])
def test_what_is_in_the_memory_of_another_process_is_not_told_to_be_empty(shell: Shell, storage: str) -> None:
    ran = shell("sessions", "list", "ann", "--storage", storage)
    assert ran.code == 3
    assert "is seen by the process of its application alone" in ran.err


def test_another_application_s_file_gets_no_table(shell: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.touch()
    ran = shell("sessions", "count", "--storage", f"sqlite:///{other}")
    assert ran.code == 3
    assert "there is no table lionrock_sessions; correct the URL" in ran.err
    assert other.read_bytes() == b""


@pytest.mark.parametrize("command", READING)
def test_a_mistyped_database_or_collection_is_refused_and_not_made(
    shell: Shell, standalone_url: str, standalone_database: str, command: str
) -> None:
    ran = shell(*command.split(), "--storage", standalone_database)
    assert ran.code == 3
    assert "lionrock_sessions is not there: nothing is stored yet; correct the database or the collection" in (
        ran.out + ran.err
    )
    name = standalone_database.rpartition("/")[2].partition("?")[0]
    with pymongo.MongoClient(standalone_url) as client:
        assert client[name].list_collection_names() == []
        client[name].visits.insert_one({})
        ran = shell(*command.split(), "--storage", database_url(standalone_url, name, collection="visits"))
        assert ran.code == 3
        assert "visits is not one of this storage: its indexes are missing" in ran.out + ran.err
        assert list(client[name].visits.index_information()) == ["_id_"]


def test_the_doctor_tells_schema_and_indexes_and_that_nothing_is_stored_yet(
    shell: Shell, url: str, standalone_database: str
) -> None:
    for storage, facts in (
        (url, ("table lionrock_sessions, version 3", "lionrock_sessions__due_at", "KiB, by SQLite 3")),
        (standalone_database, ("collection lionrock_sessions", "lionrock_expires, lionrock_subject", "MongoDB 6.0")),
    ):
        put(storage)
        ran = shell("doctor", "--storage", storage)
        assert ran.code == 0
        assert "sessions   0, and 0 superseded: nothing is stored here yet" in ran.out
        for fact in facts:
            assert fact in ran.out, ran.out
        assert {"schema", "indexes"} < shell("doctor", "--json", "--storage", storage).data["facts"].keys()
    assert "clock      the server's is 0." in ran.out
