"""Config strings of the MongoDB backend: what is refused, and that no password ever shows."""

import logging
import socket
import subprocess
import sys
import traceback

import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_mongodb.motor import connect
from aiohttp_lionrock_mongodb.url import read_url
from pymongo.errors import ServerSelectionTimeoutError

from aiohttp_lionrock import open_storage
from aiohttp_lionrock.errors import ConfigError, StorageUnavailable

SECRET = "s3cr3t-Pa55"  # with a quote in it, it would be hard to find in a repr


def faults(url: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        MongoStorage.from_url(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value.faults


def test_a_url_gives_a_storage_that_is_not_open_and_shows_where_it_leads() -> None:
    storage = open_storage(f"mongodb://ann:{SECRET}@h1,h2:27018/shop?replicaSet=rs0&timeout=1.5&collection=visits")
    assert isinstance(storage, MongoStorage)
    assert repr(storage) == "<MongoStorage h1,h2:27018/shop.visits>"
    assert storage.timeout == 1.5


def test_a_url_without_options_has_defaults() -> None:
    storage = MongoStorage.from_url("mongodb://h/shop")
    assert repr(storage) == "<MongoStorage h/shop.lionrock_sessions>"
    assert storage.timeout == 2.0


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("dns.resolver.resolve", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "url",
    [
        "mongodb://h1.example,h2.example/shop?replicaSet=rs0",
        f"mongodb+srv://ann:{SECRET}@cluster.example.net/shop?retryWrites=true&srvMaxHosts=2&timeout=3",
    ],
)
def test_building_a_storage_asks_no_server_and_no_dns(url: str) -> None:
    MongoStorage.from_url(url)


@pytest.mark.parametrize("path", ["", "/", "/?replicaSet=rs0"])
def test_a_url_without_a_database_says_how_to_write_one(path: str) -> None:
    [fault] = faults(f"mongodb://ann:{SECRET}@h1,h2{path}")
    assert "names no database" in fault
    assert "/DATABASE" in fault


def test_all_faults_are_named_at_once() -> None:
    found = faults(
        f"mongodb://ann:{SECRET}@h?colour=red&w=1&journal=false&readPreference=secondary&readConcernLevel=local"
        "&maxPoolSize=many&timeout=soon&collection=$x"
    )
    assert len(found) == 9
    for name in ("colour", "w", "journal", "readPreference", "readConcernLevel", "maxPoolSize"):
        assert any(f"option {name}" in fault for fault in found), name
    for word in ("timeout", "collection", "database"):
        assert any(word in fault for fault in found), word


@pytest.mark.parametrize(
    "option",
    [
        "w=0",
        "w=1",
        "w=2",
        "W=1",
        "journal=false",
        "j=0",
        "fsync=true",
        "readPreference=secondaryPreferred",
        "readpreference=nearest",
        "readConcernLevel=available",
        "readConcernLevel=snapshot",
        "maxPoolSize=5;w=1",
        "w=majority&w=1",
        "w=%31",
    ],
)
def test_options_that_would_break_a_promise_are_refused(option: str) -> None:
    assert faults(f"mongodb://h/shop?{option}")


@pytest.mark.parametrize(
    "option",
    [
        "w=majority",
        "journal=true",
        "readPreference=primary",
        "readConcernLevel=majority",
        "readConcernLevel=linearizable",
        "retryWrites=false",
        "tls=true",
        "wtimeoutMS=500",
        "serverSelectionTimeoutMS=100&connectTimeoutMS=0",
        "readPreferenceTags=a:b&readPreferenceTags=",
    ],
)
def test_options_that_break_nothing_are_the_drivers(option: str) -> None:
    MongoStorage.from_url(f"mongodb://h/shop?{option}")


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("colection=visits", "unknown MongoDB option colection; did you mean collection?"),
        ("timeuot=1", "unknown MongoDB option timeuot; did you mean timeout?"),
        ("replicaSte=rs0", "unknown MongoDB option replicaSte; did you mean replicaSet?"),
        ("readpreferance=primary", "unknown MongoDB option readpreferance; did you mean readPreference?"),
        ("tls=yes", "the MongoDB option tls must be true or false"),
        ("retryWrites=1", "the MongoDB option retryWrites must be true or false"),
        ("connectTimeoutMS=2s", "the MongoDB option connectTimeoutMS must be a whole number of milliseconds"),
        ("maxPoolSize=many", "the MongoDB option maxPoolSize has a value that the driver does not take"),
        ("readConcernLevel=local", "the MongoDB option readConcernLevel contradicts the storage: reads must not see"),
        ("w=majority&W=majority", "the MongoDB option W is given twice"),
        ("timeout=1&timeout=2", "the MongoDB option timeout is given twice"),
        ("appName=a;w=1", "the MongoDB option appName has a value that the driver does not take"),
        ("tls", "the options of a MongoDB URL are name=value, joined by &"),
    ],
)
def test_a_faulty_option_says_whether_the_name_or_the_value_is_wrong(option: str, fault: str) -> None:
    [found] = faults(f"mongodb://ann:{SECRET}@h/shop?{option}")
    assert found.startswith(fault)


async def test_a_url_as_azure_writes_it_is_taken() -> None:
    options = "ssl=true&replicaSet=globaldb&retrywrites=false&maxIdleTimeMS=120000&appName=@shop@"
    client = connect(read_url(f"mongodb://shop:{SECRET}==@shop.example.net:10255/shop?{options}"))
    assert client.delegate.options.pool_options.appname == "@shop@"
    client.close()


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "1e9", "", "2s", "True"])
def test_a_timeout_is_a_number_of_seconds(timeout: str) -> None:
    [fault] = faults(f"mongodb://h/shop?timeout={timeout}")
    assert fault == "the MongoDB option timeout must be a number of seconds above 0 and at most 3600"


@pytest.mark.parametrize("name", ["", "$x", "a$b", "system.users", ".x", "a%00b", "x" * 121])
def test_a_collection_name_is_checked(name: str) -> None:
    [fault] = faults(f"mongodb://h/shop?collection={name}")
    assert fault.startswith("the MongoDB option collection must be a name of at most 120 characters")


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://ann:{SECRET}/x@h/shop",
        f"mongodb://ann:x?{SECRET}=1@h/shop",
        f"mongodb://ann:x/{SECRET}?y=1@h/shop",
        f"mongodb://ann:{SECRET}@x@h/shop",
        f"mongodb://ann:{SECRET}:x@h/shop",
        f"mongodb://ann:{SECRET}%@h/shop",
        f"mongodb://ann:{SECRET}@h:port/shop",
        f"mongodb://ann:{SECRET}@/shop",
        f"mongodb://ann:{SECRET}@h,/shop",
        f"mongodb://ann:{SECRET}@h/shop?{SECRET}",
        f"mongodb://ann:{SECRET}@h/shop?tlsCertificateKeyFilePassword={SECRET}&tlsCertificateKeyFile=/{SECRET}",
        f"mongodb://ann:{SECRET}@h/shop?authMechanismProperties=AWS_SESSION_TOKEN={SECRET}",
        f"mongodb://ann:{SECRET}@h/shop?authMechanism={SECRET}",
        f"mongodb://ann:{SECRET}@h/shop?tls=true&ssl=false",
        f"mongodb://ann:{SECRET}@h1,h2/shop?directConnection=true",
        f"mongodb+srv://ann:{SECRET}@h1,h2/shop",
        f"mongodb+srv://ann:{SECRET}@h1:27017/shop",
        f"mongodb://ann:{SECRET}@h/shop.visits",
        f"mongodb:ann:{SECRET}@h/shop",
        f"postgres://ann:{SECRET}@h/shop",
    ],
)
def test_a_faulty_url_is_refused_without_repeating_it(url: str) -> None:
    assert faults(url)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (f"mongodb://ann:{SECRET}/x@h/shop", "percent-encoded"),
        (f"mongodb+srv://ann:{SECRET}@h1:27017/shop", "without a port"),
        (f"mongodb://ann:{SECRET}@h/shop.visits", "?collection="),
        (f"mongodb://ann:{SECRET}@h/shop?tls=true&ssl=false", "contradict each other"),
    ],
)
def test_a_faulty_url_is_answered_with_what_to_do(url: str, hint: str) -> None:
    [fault] = faults(url)
    assert hint in fault


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("", (2000, 2000, 2000)),
        ("serverSelectionTimeoutMS=30000&connectTimeoutMS=0&socketTimeoutMS=60000", (2000, 2000, 2000)),
        ("serverSelectionTimeoutMS=100&connectTimeoutMS=200&socketTimeoutMS=300", (100, 200, 300)),
    ],
)
async def test_no_time_limit_of_the_driver_exceeds_the_deadline(option: str, expected: tuple[int, ...]) -> None:
    client = connect(read_url(f"mongodb://127.0.0.1:1/shop?{option}"))
    options = client.delegate.options
    pool = options.pool_options
    limits = (options.server_selection_timeout, pool.connect_timeout, pool.socket_timeout)
    assert tuple(round(1000 * (limit or 0)) for limit in limits) == expected
    client.close()


async def test_a_server_that_is_not_there_is_an_error_that_says_so_with_the_drivers_behind_it() -> None:
    with pytest.raises(StorageUnavailable) as caught:
        await MongoStorage.from_url("mongodb://127.0.0.1:1/shop").open()
    assert str(caught.value) == (
        "MongoDB at 127.0.0.1:1 did not serve: there is no primary (127.0.0.1:1: [Errno 111] Connection refused)"
    )
    assert isinstance(caught.value.__cause__, ServerSelectionTimeoutError)


@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
async def test_a_password_shows_nowhere_when_no_server_answers(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    host = "127.0.0.1:1" if scheme == "mongodb" else "no-such-host.invalid"
    storage = MongoStorage.from_url(f"{scheme}://ann:{SECRET}@{host}/shop?timeout=0.3")
    with pytest.raises(StorageUnavailable) as caught:
        await storage.open()
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown + caplog.text + repr(storage) + repr(vars(storage))


async def test_a_password_shows_nowhere_when_the_server_refuses_it(
    standalone_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    storage = MongoStorage.from_url(standalone_database.replace("://", f"://ann:{SECRET}@"))
    with pytest.raises(StorageUnavailable) as caught:
        await storage.open()
    shown = "".join(traceback.format_exception(caught.value))
    assert "the user name, the password or authSource is wrong" in str(caught.value)
    assert SECRET not in shown + caplog.text + repr(storage) + repr(vars(storage))


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import aiohttp_lionrock_mongodb", ("pymongo", "motor", "bson", "dns")),
        ("from aiohttp_lionrock_mongodb import MongoStorage; MongoStorage.from_url('mongodb://h/d')", ("motor",)),
        (
            "import asyncio, pymongo; from aiohttp_lionrock_mongodb import MongoStorage\n"
            "async def main():\n"
            "    async with pymongo.AsyncMongoClient('mongodb://127.0.0.1:1') as client:\n"
            "        storage = MongoStorage(client.shop, timeout=0.2)\n"
            "        try: await storage.open()\n"
            "        except Exception as exc: assert type(exc).__name__ == 'StorageUnavailable', exc\n"
            "asyncio.run(main())",
            ("motor",),
        ),
    ],
)
def test_a_driver_that_is_not_used_is_not_imported(code: str, absent: tuple[str, ...]) -> None:
    check = f"{code}\nimport sys\nprint([name for name in {absent!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]", result.stderr
