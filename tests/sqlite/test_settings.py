"""What a SQLite storage can be told, by URL and by argument, and how it refuses the rest."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage
from aiohttp_lionrock_sqlite.settings import OPTIONS, Settings

from aiohttp_lionrock.errors import ConfigError
from aiohttp_lionrock.storage import JtiRecord

RECORD = JtiRecord("sid", version=1, expires_at=2**40, created_at=0)


def faults_of(url: str) -> str:
    with pytest.raises(ConfigError) as caught:
        SqliteStorage.from_url(url)
    return "\n".join(caught.value.faults)


async def write_one(storage: SqliteStorage) -> None:
    async with storage:
        await storage.insert(RECORD)


async def test_three_slashes_are_relative_to_the_working_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    await write_one(SqliteStorage.from_url("sqlite:///relative.db"))
    assert (tmp_path / "relative.db").is_file()


async def test_a_relative_path_stays_where_it_was_when_the_storage_was_made(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    storage = SqliteStorage("relative.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    await write_one(storage)
    assert (tmp_path / "relative.db").is_file()


async def test_four_slashes_are_an_absolute_path(tmp_path: Path) -> None:
    await write_one(SqliteStorage.from_url(f"SQLite:///{tmp_path}/absolute.db"))
    assert (tmp_path / "absolute.db").is_file()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("with%20space.db", "with space.db"),
        ("a%3Fb%23c%25d.db", "a?b#c%d.db"),
        ("caf%C3%A9.db", "café.db"),
        ("café+.db", "café+.db"),
        ("%3Amemory%3A.db", ":memory:.db"),
        ("file%3Ax.db", "file:x.db"),
    ],
)
async def test_the_path_of_a_url_is_percent_decoded(tmp_path: Path, written: str, name: str) -> None:
    await write_one(SqliteStorage.from_url(f"sqlite:///{tmp_path}/{written}"))
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite://?table=mine"])
async def test_a_database_in_memory_makes_no_file_and_is_private(tmp_path: Path, monkeypatch: Any, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    async with SqliteStorage.from_url(url) as one, SqliteStorage.from_url(url) as two:
        await one.insert(RECORD)
        assert await one.get("sid") == RECORD
        assert await two.get("sid") is None
    assert os.listdir(tmp_path) == []


async def test_a_url_carries_every_option(tmp_path: Path) -> None:
    options = "synchronous=normal&busy_timeout=0.25&table=my_sessions&create_parents=true"
    path = tmp_path / "new" / "folder" / "x.db"
    async with SqliteStorage.from_url(f"sqlite:///{path}?{options}") as storage:
        assert await storage._database.write("PRAGMA synchronous") == [(1,)]
        assert storage._database._writer._conn.patience == 0.25  # type: ignore[attr-defined]
    tables = sqlite_query(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    assert tables == [("lionrock_schema",), ("my_sessions",)]


async def test_synchronous_is_full_and_the_journal_wal_unless_set(tmp_path: Path) -> None:
    async with SqliteStorage(tmp_path / "x.db") as storage:
        assert await storage._database.write("PRAGMA synchronous") == [(2,)]
        assert await storage._database.write("PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite://host/x.db", "three slashes"),
        ("sqlite://user:hunter2@host/x.db", "three slashes"),
        ("sqlite://x.db", "three slashes"),
        ("sqlite:x.db", "starts with sqlite:///"),
        ("sqlite:/x.db", "starts with sqlite:///"),
        ("postgres:///x.db", "starts with sqlite:///"),
        ("sqlite:///", "names no file"),
        ("sqlite:///folder/", "names a folder"),
        ("sqlite:////", "names a folder"),
        ("sqlite:///x.db#part", "%23"),
        ("sqlite:///100%.db", "%25"),
        ("sqlite:///%ff.db", "not UTF-8"),
        ("sqlite:///x%00.db", "NUL"),
        ("sqlite:///C:\\data\\x.db", "this system is not Windows"),
        ("sqlite:///c:/data/x.db", "sqlite:////var/lib/app/sessions.db"),
        ("sqlite:////C:/data/x.db", "this system is not Windows"),
        ("sqlite:///C%3A%5Cdata%5Cx.db", "this system is not Windows"),
        ("sqlite:///x.db?synchronos=FULL", "did you mean synchronous?"),
        ("sqlite:///x.db?tabel=t", "did you mean table?"),
        ("sqlite:///x.db?zzz=1", "known are busy_timeout, create_parents, mode, synchronous, table"),
        ("sqlite:///x.db?table=a&table=a", "table is given twice"),
        ("sqlite:///x.db?synchronous=OFF", "acknowledged write could be lost"),
        ("sqlite:///x.db?synchronous=", "NORMAL, FULL or EXTRA"),
        ("sqlite:///x.db?synchronous", "=value"),
        ("sqlite:///x.db?synchronous=2", "NORMAL, FULL or EXTRA"),
        *(
            (f"sqlite:///x.db?busy_timeout={bad}", "busy_timeout must be")
            for bad in ["0", "-1", "nan", "inf", "1e1", "1_0", "61", "x"]
        ),
        *(
            (f"sqlite:///x.db?table={bad}", "table must")
            for bad in ("", "1st", "a-b", "a b", "a%22b", "é", "sqlite_x", "a;b", "x" * 64, "lionrock_schema")
        ),
        ("sqlite:///x.db?create_parents=1", "create_parents must be true or false"),
    ],
)
def test_a_faulty_url_is_refused_with_a_hint(url: str, hint: str) -> None:
    faults = faults_of(url)
    assert hint in faults
    assert "hunter2" not in faults


def test_every_fault_of_a_url_is_told_at_once() -> None:
    faults = faults_of("sqlite://host/x.db?synchronous=OFF&busy_timeout=no&table=1&create_parents=2&password=hunter2")
    for name in ("three slashes", "synchronous", "busy_timeout", "table", "create_parents", "password"):
        assert name in faults
    assert len(faults.splitlines()) == 6


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://hunter2@host/x.db",
        "sqlite:///hunter2/",
        "sqlite:///C:\\hunter2",
        "sqlite:///hunter2%ff",
        "sqlite:///hunter2%",
        "sqlite:///hunter2%00",
        "sqlite:///x.db#hunter2",
        "sqlite:///x.db?hunter2",
        *(f"sqlite:///x.db?{name}=hunter2%20" for name in (*OPTIONS, "password")),
    ],
)
def test_no_value_of_a_url_is_shown(url: str) -> None:
    assert "hunter2" not in faults_of(url)


@pytest.mark.parametrize("value", [0, -1, 60.001, 10**400, float("inf"), float("nan"), "1", True, None])
def test_a_busy_timeout_is_above_0_and_at_most_60_seconds(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"busy_timeout must be a number of seconds above 0 and at most 60$"):
        SqliteStorage("x.db", busy_timeout=value)


def test_the_storage_says_for_which_contract_it_was_written() -> None:
    assert vars(SqliteStorage)["CONTRACT"] == 1


@pytest.mark.parametrize("value", [60, 0.2, 1e-5])
def test_a_busy_timeout_is_kept_as_given(value: float) -> None:
    assert Settings("x.db", busy_timeout=value).busy_timeout == value


@pytest.mark.parametrize(
    "options",
    [
        {"synchronous": "off"},
        {"synchronous": "hunter2"},
        {"synchronous": 2},
        {"synchronous": None},
        {"busy_timeout": True},
        {"busy_timeout": "1"},
        {"busy_timeout": float("nan")},
        {"table": 'x"; DROP TABLE y; --'},
        {"table": None},
        {"create_parents": "true"},
    ],
)
def test_a_faulty_argument_is_refused_by_its_name(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=f"^{name} must ") as caught:
        SqliteStorage("x.db", **options)
    assert "hunter2" not in str(caught.value)


def test_arguments_are_read_as_a_url_is() -> None:
    assert Settings("x.db", synchronous="normal") == Settings.from_url("sqlite:///x.db?synchronous=normal")
    faults = "synchronous must.*busy_timeout must.*table must.*create_parents must"
    with pytest.raises(ConfigError, match=faults):
        Settings("x.db", "no", -1, "", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "folder/", "x\x00.db", b"x.db", "C:\\data\\x.db", "d:/x.db"])
def test_a_faulty_path_argument_is_refused(path: Any) -> None:
    with pytest.raises(ConfigError, match="path"):
        SqliteStorage(path)


def sqlite_query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
