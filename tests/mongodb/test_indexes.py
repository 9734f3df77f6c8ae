"""The indexes of the MongoDB backend: made once by whoever comes first, and never silently of another shape."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from pymongo.collection import Collection
from support.mongod import Mongod, wait_for

from aiohttp_lionrock.errors import ConfigError
from aiohttp_lionrock.storage import JtiRecord

EXPECTED = {
    "_id_": {"v": 2, "key": [("_id", 1)]},
    "lionrock_expires": {"v": 2, "key": [("expires", 1)], "expireAfterSeconds": 3600},
    "lionrock_subject": {
        "v": 2,
        "key": [("subject", 1)],
        "partialFilterExpression": {"subject": {"$exists": True}},
    },
}

Sessions = Collection[dict[str, Any]]


@pytest.fixture
def sessions(standalone_database: str) -> Iterator[Sessions]:
    with pymongo.MongoClient[dict[str, Any]](standalone_database) as client:
        yield client.get_default_database().lionrock_sessions


async def open_and_close(url: str) -> None:
    async with MongoStorage.from_url(url):
        pass


async def test_open_makes_the_indexes_and_a_second_open_finds_them(
    standalone_database: str, sessions: Sessions
) -> None:
    for _ in range(2):
        await open_and_close(standalone_database)
        assert sessions.index_information() == EXPECTED


async def test_an_index_that_was_dropped_is_made_again(standalone_database: str, sessions: Sessions) -> None:
    await open_and_close(standalone_database)
    sessions.drop_index("lionrock_subject")
    await open_and_close(standalone_database)
    assert sessions.index_information() == EXPECTED


@pytest.mark.parametrize("database", ["standalone_database", "replica_set_database"])
async def test_twenty_storages_can_open_a_new_database_at_once(database: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(database)
    await asyncio.gather(*(open_and_close(url) for _ in range(20)))
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        assert client.get_default_database().lionrock_sessions.index_information() == EXPECTED


def test_several_processes_can_open_a_new_database_at_once(replica_set_database: str) -> None:
    code = (
        "import asyncio, sys; from aiohttp_lionrock_mongodb import MongoStorage\n"
        "async def main():\n"
        "    async with MongoStorage.from_url(sys.argv[1]) as storage: await storage.ping()\n"
        "sys.stdin.read(); asyncio.run(main())"
    )
    command = [sys.executable, "-c", code, replica_set_database]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # the starting shot
        process.stdin = None
    failures = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, failures


def _other_expiry(sessions: Sessions) -> None:
    sessions.create_index("expires", name="lionrock_expires", expireAfterSeconds=0)


def _no_expiry(sessions: Sessions) -> None:
    sessions.create_index("expires", name="lionrock_expires")


def _foreign_name(sessions: Sessions) -> None:
    sessions.create_index("expires", expireAfterSeconds=5)


def _whole_subject(sessions: Sessions) -> None:
    sessions.create_index("subject", name="lionrock_subject")


def _unique_subject(sessions: Sessions) -> None:
    sessions.create_index("subject", name="mine", unique=True)


def _other_key(sessions: Sessions) -> None:
    sessions.create_index("user", name="lionrock_subject")


def _hidden(sessions: Sessions) -> None:
    sessions.create_index("expires", name="lionrock_expires", expireAfterSeconds=3600, hidden=True)


def _collation(sessions: Sessions) -> None:
    sessions.database.create_collection(sessions.name, collation={"locale": "en", "strength": 1})


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (_other_expiry, "lionrock_expires"),
        (_no_expiry, "lionrock_expires"),
        (_foreign_name, "expires_1"),
        (_whole_subject, "lionrock_subject"),
        (_unique_subject, "mine"),
        (_other_key, "lionrock_subject"),
        (_hidden, "lionrock_expires"),
        (_collation, "_id_"),
    ],
)
async def test_an_index_of_another_shape_is_named_in_the_error(
    standalone_database: str, sessions: Sessions, spoil: Callable[[Sessions], None], name: str
) -> None:
    spoil(sessions)
    before = sessions.index_information()
    with pytest.raises(ConfigError, match=f"index {name} of the collection lionrock_sessions is not as this storage"):
        await open_and_close(standalone_database)
    assert sessions.index_information() == before


async def test_a_right_index_under_another_name_and_others_beside_it_are_welcome(
    standalone_database: str, sessions: Sessions
) -> None:
    sessions.create_index("expires", name="ours", expireAfterSeconds=3600)
    sessions.create_index([("subject", 1), ("created_at", -1)], name="reports")
    await open_and_close(standalone_database)
    assert sorted(sessions.index_information()) == ["_id_", "lionrock_subject", "ours", "reports"]


async def test_a_server_without_ttl_indexes_gets_a_warning_that_names_purge(
    standalone: Mongod, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = standalone.url.replace("/?", "/without_ttl?")
    with standalone.failing("createIndexes", times=1, errorCode=238):
        await open_and_close(url)
    [warning] = caplog.messages
    assert "no TTL indexes" in warning
    assert "purge()" in warning
    caplog.clear()
    async with MongoStorage.from_url(url) as storage:
        assert len(caplog.messages) == 1, "the next process is to warn again"
        now = int(time.time())
        await storage.insert(JtiRecord("old", version=1, expires_at=now + 1, created_at=now))
        storage.clock = lambda: now + 2
        assert await storage.purge(10) == 1
    with standalone.client() as client:
        client.drop_database("without_ttl")


async def test_a_refusal_that_has_nothing_to_do_with_ttl_is_no_reason_to_do_without(standalone: Mongod) -> None:
    url = standalone.url.replace("/?", "/refused?")
    with standalone.failing("createIndexes", times=1, errorCode=13), pytest.raises(Exception, match="MongoDB"):
        await open_and_close(url)
    with standalone.client() as client:
        assert "lionrock_sessions" not in client.refused.list_collection_names()


async def test_mongodb_itself_removes_what_has_been_expired_for_more_than_an_hour(standalone: Mongod) -> None:
    url = standalone.url.replace("/?", "/ttl?")
    now = int(time.time())
    async with MongoStorage.from_url(url) as storage:
        storage.clock = lambda: now - 9000
        await storage.insert(JtiRecord("long gone", version=1, expires_at=now - 4000, created_at=0))
        await storage.insert(JtiRecord("just gone", version=1, expires_at=now - 3000, created_at=0))
        await storage.insert(JtiRecord("for ever", version=1, expires_at=2**53 - 1, created_at=0))
    with standalone.client() as client:
        sessions = client.ttl.lionrock_sessions
        wait_for(lambda: sessions.count_documents({}) < 3, "the TTL monitor")
        assert {found["_id"]: found["expires"].year for found in sessions.find()} == {
            "just gone": datetime.fromtimestamp(now - 3000, UTC).year,
            "for ever": 9999,
        }
        client.drop_database("ttl")
