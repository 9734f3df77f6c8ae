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
    set_version(path, 3)
    message = await refusal(SqliteStorage(path))
    assert "'lionrock_sessions' has schema version 3" in message
    assert "upgrade aiohttp-lionrock-sqlite" in message
    set_version(path, 2)
    async with SqliteStorage(path) as storage:
        assert await storage.get("sid") == record()


async def test_a_newer_version_is_refused_even_where_its_table_is_missing(path: Path) -> None:
    await make(path)
    set_version(path, 3)
    run(path, "DROP TABLE lionrock_sessions")
    assert "upgrade" in await refusal(SqliteStorage(path))


async def test_an_older_version_without_a_way_is_refused_with_a_way_out(path: Path) -> None:
    await make(path)
    set_version(path, 0)
    message = await refusal(SqliteStorage(path))
    assert "no way" in message
    assert "table=" in message


async def test_an_older_version_is_migrated_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(path)
    run(path, "ALTER TABLE lionrock_sessions RENAME due_at TO due")
    set_version(path, 0)
    steps = {0: ['ALTER TABLE "{table}" RENAME due TO wrong'], 1: ['ALTER TABLE "{table}" RENAME wrong TO due_at']}
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    async with SqliteStorage(path) as storage:
        assert await storage.get("sid") == record()
    await make_again(path)


async def make_again(path: Path) -> None:
    async with SqliteStorage(path) as storage:
        assert await storage.delete("sid")


async def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(path)
    set_version(path, 1)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: ['ALTER TABLE "{table}" ADD COLUMN more TEXT']})
    assert "other columns" in await refusal(SqliteStorage(path))
    set_version(path, 2)
    await make_again(path)


VERSION_1 = (
    "CREATE TABLE lionrock_schema"
    " (table_name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO lionrock_schema VALUES ('my_sessions', 1)",
    """
    CREATE TABLE my_sessions (
        sid TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, expires_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL, access_jti TEXT, refresh_jti TEXT, previous_jti TEXT, rotated_at INTEGER,
        subject TEXT, metadata TEXT
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX my_sessions__subject ON my_sessions (subject, created_at DESC) WHERE subject IS NOT NULL",
    "CREATE INDEX my_sessions__expires_at ON my_sessions (expires_at)",
)


async def test_the_table_of_version_1_keeps_its_records(path: Path) -> None:
    run(path, *VERSION_1)
    whole = JtiRecord("é", 7, 2**40, 3, "access", "refresh", "previous", 5, "ann", {"device": "phone"})
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [
            ("é", 7, 2**40, 3, "access", "refresh", "previous", 5, "ann", '{"device":"phone"}'),
            ("gone", 1, 10, 0, None, None, None, None, None, None),
            *((f"sid-{number}", 1, 2**40, 0, None, None, None, None, None, None) for number in range(1000)),
        ]
        connection.executemany(f"INSERT INTO my_sessions VALUES ({', '.join('?' * 10)})", rows)
    async with SqliteStorage(path, table="my_sessions") as storage:
        assert await storage.get("é") == whole
        assert await storage.list_subject("ann") == [whole]
        assert await storage.get("gone") is None
        assert len(await storage.get_many([f"sid-{number}" for number in range(1000)])) == 1000
        assert await storage.replace(whole, 7)
        assert await storage.purge(10, 100) == 1
    assert layout(path, "my_sessions") == layout_of_a_new_one(path.with_name("new.db"))
    async with SqliteStorage(path, table="my_sessions") as storage:
        assert await storage.get("sid-999") is not None


async def test_what_an_application_keeps_beside_the_table_of_version_1_goes_on_working(path: Path) -> None:
    run(
        path,
        *VERSION_1,
        "CREATE VIEW stale AS SELECT * FROM gone",
        "CREATE TABLE my_sessions__1 (note TEXT)",
        "INSERT INTO my_sessions__1 VALUES ('kept')",
        "CREATE VIEW active AS SELECT sid FROM my_sessions",
        "CREATE TABLE users (name TEXT)",
        "INSERT INTO users VALUES ('ann')",
        "CREATE TRIGGER farewell AFTER DELETE ON users BEGIN DELETE FROM my_sessions WHERE subject = OLD.name; END",
        "INSERT INTO my_sessions VALUES ('sid', 1, 2000000000000, 0, NULL, NULL, NULL, NULL, 'ann', NULL)",
        "DROP INDEX my_sessions__expires_at",
    )
    async with SqliteStorage(path, table="my_sessions") as storage:
        assert await storage.get("sid") is not None
        with closing(sqlite3.connect(path)) as connection, connection:
            assert connection.execute("SELECT sid FROM active").fetchall() == [("sid",)]
            assert connection.execute("SELECT note FROM my_sessions__1").fetchall() == [("kept",)]
            connection.execute("DELETE FROM users")
        assert await storage.get("sid") is None


def layout(path: Path, table: str) -> set[tuple[str, ...]]:
    """What the file holds, in the words that made it."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {tuple("".join(text.split()).replace('"', "").replace(table, "TABLE") for text in row) for row in found}


def layout_of_a_new_one(path: Path) -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.prepare(connection, "new_sessions")
    return layout(path, "new_sessions")


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
        assert await one.delete("sid")
        assert await two.get("sid") == record()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
        assert connection.execute("PRAGMA application_id").fetchone() == (8,)
        versions = connection.execute("SELECT * FROM lionrock_schema ORDER BY 1").fetchall()
        assert versions == [("one", 2), ("select", 2)]


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
        ("purge", "SEARCH TABLE USING COVERING INDEX TABLE__due_at (due_at<?)"),
        ("put_off", "SEARCH TABLE USING COVERING INDEX TABLE__due_at (due_at<?)"),
        ("can_write", "SEARCH TABLE USING INTEGER PRIMARY KEY (rowid=?)"),
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
