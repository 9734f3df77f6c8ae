"""Writes of the MongoDB backend whose answer was lost: every verdict is true, or there is none.

A proxy between the driver and the server cuts the connection before a command reaches the server, or after the
server made it and before its answer reaches the driver.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from aiohttp_lionrock_mongodb import MongoStorage
from aiohttp_lionrock_mongodb.calls import Calls
from aiohttp_lionrock_mongodb.reasons import Place
from pymongo.errors import ConnectionFailure, PyMongoError
from support.mongod import Mongod, ReplicaSet, database_url
from support.mongod_proxy import Proxy

from aiohttp_lionrock.errors import DuplicateRecord, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord

NOW = int(time.time())
RECORD = JtiRecord("sid", version=1, expires_at=NOW + 3600, created_at=NOW, refresh_jti="first", subject="ann")


@dataclass
class Scene:
    """A storage behind a proxy with a session in it, and another storage that reaches the server undisturbed."""

    server: Mongod
    proxy: Proxy
    storage: MongoStorage
    other: MongoStorage


@asynccontextmanager
async def scene_on(server: Mongod) -> AsyncIterator[Scene]:
    database = f"outcomes_{uuid4().hex}"
    proxy = Proxy(server.port)
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    storage = MongoStorage.from_url(f"mongodb://127.0.0.1:{port}/{database}?directConnection=true")
    async with MongoStorage.from_url(database_url(server.url, database)) as other, storage:
        await other.insert(RECORD)
        yield Scene(server, proxy, storage, other)
    listener.close()
    await proxy.aclose()
    with server.client() as client:
        client.drop_database(database)


@pytest.fixture
async def single(standalone: Mongod) -> AsyncIterator[Scene]:
    """On a server where the driver itself repeats no write."""
    async with scene_on(standalone) as scene:
        yield scene


@pytest.fixture
async def primary(replica_set: ReplicaSet) -> AsyncIterator[Scene]:
    """On a primary, where the driver repeats writes, and the server knows a repeated one."""
    async with scene_on(replica_set.primary()) as scene:
        yield scene


SECOND = replace(RECORD, version=2, refresh_jti="second")
OTHER = replace(RECORD, version=2, refresh_jti="other")
NEW = replace(RECORD, sid="new")


@pytest.mark.parametrize("after", [False, True])
async def test_a_replace_whose_answer_is_lost_is_still_true(single: Scene, after: bool) -> None:
    single.proxy.cut("update", after=after)
    assert await single.storage.replace(SECOND, 1) is True
    assert await single.other.get("sid") == SECOND


@pytest.mark.parametrize("after", [False, True])
async def test_a_replace_on_a_primary_is_true_through_several_cuts(primary: Scene, after: bool) -> None:
    primary.proxy.cut("update", after=after, times=2)
    assert await primary.storage.replace(SECOND, 1) is True
    assert await primary.other.get("sid") == SECOND
    assert primary.proxy.seen.count("update") == 3


async def test_a_replace_that_another_overtook_is_false_and_changes_nothing(single: Scene) -> None:
    single.proxy.cut("update", after=False, meanwhile=lambda: single.other.replace(OTHER, 1))
    assert await single.storage.replace(SECOND, 1) is False
    assert await single.other.get("sid") == OTHER


async def test_a_replace_followed_by_another_before_it_was_known_has_no_verdict(single: Scene) -> None:
    third = replace(OTHER, version=3)
    single.proxy.cut("update", after=True, meanwhile=lambda: single.other.replace(third, 2))
    with pytest.raises(StorageUnavailable, match="not known") as caught:
        await single.storage.replace(SECOND, 1)
    assert isinstance(caught.value.__cause__, ConnectionFailure)
    assert await single.other.get("sid") == third


@pytest.mark.parametrize("after", [False, True])
async def test_a_replace_of_a_session_that_ended_meanwhile_is_false_and_revives_nothing(
    single: Scene, after: bool
) -> None:
    single.proxy.cut("update", after=after, meanwhile=lambda: single.other.delete("sid"))
    assert await single.storage.replace(SECOND, 1) is False
    assert await single.other.get("sid") is None


async def test_a_replace_that_arrives_after_it_was_looked_for_is_still_true(single: Scene) -> None:
    single.proxy.delay("update")
    assert await single.storage.replace(SECOND, 1) is True
    assert await single.other.get("sid") == SECOND


async def test_a_plain_lost_compare_and_set_is_false_at_once(single: Scene) -> None:
    await single.other.replace(OTHER, 1)
    single.proxy.seen.clear()
    assert await single.storage.replace(SECOND, 1) is False
    assert single.proxy.seen.count("update") == 1
    assert "find" not in single.proxy.seen


async def test_an_insert_whose_answer_is_lost_is_done(single: Scene) -> None:
    single.proxy.cut("update", after=True)
    await single.storage.insert(NEW)
    assert await single.other.get("new") == NEW


async def test_an_insert_that_never_arrived_has_no_verdict_and_is_not_made_later(single: Scene) -> None:
    single.proxy.cut("update", after=False)
    with pytest.raises(StorageUnavailable, match="not known"):
        await single.storage.insert(NEW)
    assert await single.other.get("new") is None


async def test_an_insert_whose_session_was_ended_meanwhile_is_not_made_again(single: Scene) -> None:
    single.proxy.cut("update", after=True, meanwhile=lambda: single.other.delete_subject("ann"))
    with pytest.raises(StorageUnavailable, match="not known"):
        await single.storage.insert(NEW)
    assert await single.other.get("new") is None


@pytest.mark.parametrize("after", [False, True])
async def test_an_insert_on_a_primary_is_done_through_a_cut(primary: Scene, after: bool) -> None:
    primary.proxy.cut("update", after=after)
    await primary.storage.insert(NEW)
    assert await primary.other.get("new") == NEW
    with pytest.raises(DuplicateRecord):
        await primary.storage.insert(NEW)


@pytest.mark.parametrize("after", [False, True])
async def test_a_delete_gives_what_it_removed_through_a_cut(single: Scene, after: bool) -> None:
    single.proxy.cut("delete", after=after)
    assert await single.storage.delete("sid") == RECORD
    assert await single.other.get("sid") is None


@pytest.mark.parametrize("after", [False, True])
async def test_a_delete_on_a_primary_gives_what_it_removed_through_a_cut(primary: Scene, after: bool) -> None:
    primary.proxy.seen.clear()
    primary.proxy.cut("delete", after=after)
    assert await primary.storage.delete("sid") == RECORD
    assert await primary.other.get("sid") is None
    assert primary.proxy.seen.count("delete") == 2


async def test_a_delete_that_arrives_after_it_was_looked_for_gives_what_it_removed(single: Scene) -> None:
    single.proxy.delay("delete")
    assert await single.storage.delete("sid") == RECORD
    assert await single.other.get("sid") is None


async def test_a_delete_beside_a_renewal_gives_the_record_with_its_successor(single: Scene) -> None:
    """Else a logout would not know of the session that took over."""
    for cut in (False, True):
        sid = f"renewed {cut}"
        record, superseded = replace(RECORD, sid=sid), replace(RECORD, sid=sid, version=2, successor="next")
        await single.other.insert(record)
        renewal = partial(single.other.replace, superseded, 1)
        if cut:
            single.proxy.cut("delete", after=False, meanwhile=renewal)
        else:
            single.proxy.hold("delete", renewal)
        assert await single.storage.delete(sid) == superseded
        assert await single.other.get(sid) is None


async def test_a_delete_that_another_overtook_gives_the_record_all_the_same_where_its_answer_was_lost(
    single: Scene,
) -> None:
    single.proxy.cut("delete", after=False, meanwhile=lambda: single.other.delete("sid"))
    assert await single.storage.delete("sid") == RECORD


async def test_of_two_undisturbed_deletes_one_gets_the_record(primary: Scene) -> None:
    outcomes = await asyncio.gather(primary.storage.delete("sid"), primary.other.delete("sid"))
    assert sorted(outcomes, key=bool) == [None, RECORD]


async def test_a_delete_that_cannot_be_settled_is_an_error_and_not_none(single: Scene) -> None:
    single.proxy.cut("delete", times=10**9, after=False)
    with pytest.raises(StorageUnavailable) as caught:
        await single.storage.delete("sid")
    assert caught.value.maybe_done


@pytest.mark.parametrize("after", [False, True])
async def test_a_delete_subject_whose_answer_is_lost_does_not_say_how_many(single: Scene, after: bool) -> None:
    single.proxy.cut("delete", after=after)
    with pytest.raises(StorageUnavailable):
        await single.storage.delete_subject("ann")
    assert (await single.other.get("sid") is None) is after
    await single.storage.delete_subject("ann")
    assert await single.other.get("sid") is None


async def test_a_read_that_breaks_is_repeated(primary: Scene) -> None:
    primary.proxy.cut("find", after=True)
    assert await primary.storage.get("sid") == RECORD


async def test_connections_that_always_break_are_an_error_within_the_deadline(single: Scene) -> None:
    single.proxy.cut("update", after=False, times=10**9)
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable, match="did not"):
        await single.storage.replace(SECOND, 1)
    assert 1 < time.monotonic() - begun < 2.5
    assert single.proxy.seen.count("update") < 60, "it must not spin"
    assert await single.other.get("sid") == RECORD


@pytest.mark.parametrize("code", [10107, 11602, 189])
async def test_a_primary_that_steps_down_in_the_middle_makes_no_verdict_false(primary: Scene, code: int) -> None:
    spoiled = {"errorCode": code, "errorLabels": ["RetryableWriteError"]}
    with primary.server.failing("update", times=1, **spoiled):
        assert await primary.storage.replace(SECOND, 1) is True
    with primary.server.failing("delete", times=1, **spoiled):
        assert await primary.storage.delete("sid") == SECOND


@pytest.mark.parametrize("code", [64, 100])
async def test_a_majority_that_was_not_heard_of_in_time_makes_no_verdict_false(primary: Scene, code: int) -> None:
    late = {"writeConcernError": {"code": code, "errmsg": "waiting for replication timed out"}}
    with primary.server.failing("update", times=1, **late):
        assert await primary.storage.replace(SECOND, 1) is True
    with primary.server.failing("update", times=1, **late):
        await primary.storage.insert(NEW)
    with primary.server.failing("delete", times=1, **late):
        assert await primary.storage.delete("sid") == SECOND
    assert await primary.other.get("sid") is None
    assert await primary.other.get("new") == NEW


async def test_a_refusal_after_a_lost_write_does_not_say_that_nothing_was_done(single: Scene) -> None:
    for command, call in (
        ("update", lambda: single.storage.replace(SECOND, 1)),
        ("delete", lambda: single.storage.delete("sid")),
    ):
        single.proxy.cut(command, after=False)
        with single.server.failing(command, errorCode=13):
            with pytest.raises(StorageUnavailable) as caught:
                await call()
        assert caught.value.maybe_done


async def test_a_deadline_that_passes_says_that_a_write_may_be_done_and_that_a_read_changed_nothing() -> None:
    async with pymongo.AsyncMongoClient[dict[str, Any]]("mongodb://127.0.0.1:1", connect=False) as client:
        calls = Calls(Place(client.get_database("shop"), "h"), 0.05)  # type: ignore[arg-type]
        for call, maybe_done in ((calls.write, True), (calls.read, False)):
            with pytest.raises(StorageUnavailable, match=r"MongoDB at h did not answer within 0\.05 s") as caught:
                await call(asyncio.sleep(1))
            assert caught.value.maybe_done is maybe_done


@pytest.mark.parametrize("code", [13, 2, 112, 14031])
async def test_a_write_that_the_server_refuses_is_an_error_with_the_drivers_behind_it(single: Scene, code: int) -> None:
    with single.server.failing("update", errorCode=code):
        with pytest.raises(StorageUnavailable) as caught:
            await single.storage.replace(SECOND, 1)
    assert isinstance(caught.value.__cause__, PyMongoError)
    assert await single.storage.get("sid") == RECORD


async def test_a_cancelled_write_is_finished_before_its_caller_goes_on(single: Scene) -> None:
    with single.server.failing("update", times=1, blockConnection=True, blockTimeMS=300):
        task = asyncio.ensure_future(single.storage.replace(SECOND, 1))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await single.other.get("sid") == SECOND
