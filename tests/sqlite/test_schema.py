"""The table of a SQLite storage: its version, its neighbours in the file, and its indexes."""

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp_lionrock_sqlite import SqliteStorage, schema

from aiohttp_lionrock.errors import ConfigError
from aiohttp_lionrock.storage import JtiRecord


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def record(sid: str = "sid", subject: str | None = None) -> JtiRecord:
    return JtiRecord(sid, version=1, expires_at=2**40, created_at=0, subject=subject)


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def set_version(path: Path, version: int) -> None:
    run(path, f"UPDATE lionrock_schema SET version = {version}")


async def make(path: Path) -> None:
    async with SqliteStorage(path) as storage:
        await storage.insert(record())


async def refusal(storage: SqliteStorage) -> str:
    with pytest.raises(ConfigError) as caught:
        await storage.open()
    return str(caught.value)


async def test_a_table_from_a_newer_package_is_refused_and_left_alone(path: Path) -> None:
    await make(path)
    set_version(path, schema.VERSION + 1)
    message = await refusal(SqliteStorage(path))
    assert f"'lionrock_sessions' has schema version {schema.VERSION + 1}" in message
    assert "upgrade aiohttp-lionrock-sqlite" in message
    set_version(path, schema.VERSION)
    async with SqliteStorage(path) as storage:
        assert await storage.get("sid") == record()


async def test_a_newer_version_is_refused_even_where_its_table_is_missing(path: Path) -> None:
    await make(path)
    set_version(path, schema.VERSION + 1)
    run(path, "DROP TABLE lionrock_sessions")
    assert "upgrade" in await refusal(SqliteStorage(path))


@pytest.mark.parametrize("version", [1, 2])
async def test_a_table_of_an_older_version_is_refused_with_two_ways_out(path: Path, version: int) -> None:
    await make(path)
    run(path, "ALTER TABLE lionrock_sessions ADD COLUMN metadata TEXT")
    set_version(path, version)
    message = await refusal(SqliteStorage(path))
    assert f"'lionrock_sessions' has schema version {version}, older than {schema.VERSION}" in message
    assert "table=" in message
    assert "drop this one, which ends its sessions" in message
    async with SqliteStorage(path, table="another") as another:
        assert await another.get("sid") is None
    run(path, "DROP TABLE lionrock_sessions")
    async with SqliteStorage(path) as storage:
        assert await storage.get("sid") is None
        await storage.insert(record())
    async with SqliteStorage(path) as storage:
        assert await storage.get("sid") == record()


@pytest.mark.parametrize("sql", ["CREATE TABLE users (name TEXT)", "CREATE VIEW users AS SELECT 1 AS name"])
async def test_a_table_of_the_application_is_refused_and_left_alone(path: Path, sql: str) -> None:
    run(path, sql)
    message = await refusal(SqliteStorage(path, table="Users"))
    assert "'Users'" in message
    assert "table=" in message
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]


async def test_a_table_whose_columns_were_changed_is_refused(path: Path) -> None:
    await make(path)
    run(path, "ALTER TABLE lionrock_sessions ADD COLUMN more TEXT")
    assert "'lionrock_sessions' has other columns" in await refusal(SqliteStorage(path))


async def test_a_table_that_was_dropped_is_made_again(path: Path) -> None:
    await make(path)
    run(path, "DROP TABLE lionrock_sessions")
    await make(path)


async def test_two_tables_and_the_applications_own_share_a_file(path: Path) -> None:
    run(path, "PRAGMA user_version = 7", "PRAGMA application_id = 8", "CREATE TABLE users (name TEXT)")
    async with SqliteStorage(path, table="one") as one, SqliteStorage(path, table="select") as two:
        await one.insert(record())
        assert await two.get("sid") is None
        await two.insert(record())
        assert await one.delete("sid") == record()
        assert await two.get("sid") == record()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
        assert connection.execute("PRAGMA application_id").fetchone() == (8,)
        versions = connection.execute("SELECT * FROM lionrock_schema ORDER BY 1").fetchall()
        assert versions == [("one", schema.VERSION), ("select", schema.VERSION)]


async def test_opening_an_up_to_date_file_writes_nothing(path: Path) -> None:
    await make(path)
    before = path.read_bytes()
    async with SqliteStorage(path):
        assert Path(f"{path}-wal").stat().st_size == 0
    assert path.read_bytes() == before


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    for storage in (SqliteStorage(path), SqliteStorage(":memory:")):
        assert "SQLite 3.37.0 or newer" in await refusal(storage)


@pytest.mark.parametrize(
    ("statement", "plan"),
    [
        ("get", "SEARCH TABLE USING INTEGER PRIMARY KEY (rowid=?)"),
        ("insert", None),
        ("replace", "SEARCH TABLE USING INTEGER PRIMARY KEY (rowid=?)"),
        ("delete", "SEARCH TABLE USING INTEGER PRIMARY KEY (rowid=?)"),
        ("delete_subject", "SEARCH TABLE USING INDEX TABLE__subject (subject=?)"),
        ("list_subject", "SEARCH TABLE USING INDEX TABLE__subject (subject=?)"),
        ("scan", "SEARCH TABLE USING INTEGER PRIMARY KEY (rowid>?)"),
        ("purge", "SEARCH TABLE USING COVERING INDEX TABLE__due_at (due_at<?)"),
        ("defer", "SEARCH TABLE USING COVERING INDEX TABLE__due_at (due_at<?)"),
        ("can_write", "SEARCH lionrock_schema USING PRIMARY KEY (table_name=?)"),
    ],
)
@pytest.mark.parametrize("analyzed", [False, True], ids=["never analyzed", "analyzed"])
async def test_every_statement_goes_through_an_index(
    path: Path, statement: str, plan: str | None, analyzed: bool
) -> None:
    async with SqliteStorage(path) as storage:
        await asyncio.gather(*(storage.insert(record(str(n), subject="u")) for n in range(100)))
        if analyzed:
            run(path, "ANALYZE")
        found = getattr(storage._sql, statement)
        # A json_each is asked with an empty list: the plan does not depend on it.
        planned = [
            await storage._database.write(f"EXPLAIN QUERY PLAN {sql}", ["[]"] * sql.count("?"))
            for sql in ([found] if isinstance(found, str) else [each.sql for each in found])
        ]
    steps = [re.sub("lionrock_sessions", "TABLE", step) for rows in planned for *_, step in rows]
    # Sids are compared where sessions of a subject began in the same second, and only there.
    bad = r"SCAN (TABLE|wanted_table)|TEMP B-TREE(?! FOR RIGHT PART OF ORDER BY)"
    assert [step for step in steps if re.search(bad, step)] == []
    assert plan is None or steps.count(plan) == len(planned), steps
