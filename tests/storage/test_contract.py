"""What the contract gives a backend that overrides no more than it must."""

import copy
import time
from typing import Self

import pytest

from aiohttp_lionrock.errors import CorruptRecord, StorageError, StorageUnavailable
from aiohttp_lionrock.storage import JtiRecord, JtiStorage
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import FakeClock


class Smallest(JtiStorage):
    """Only what is abstract, over a memory storage."""

    def __init__(self) -> None:
        super().__init__(clock=FakeClock())
        self.inner = MemoryStorage(clock=self.clock)
        self.calls: list[str] = []

    @classmethod
    def from_url(cls, url: str) -> Self:
        return cls()

    async def insert(self, record: JtiRecord) -> None:
        await self.inner.insert(record)

    async def get(self, sid: str) -> JtiRecord | None:
        self.calls.append(f"get {sid}")
        return await self.inner.get(sid)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return await self.inner.replace(record, expected_version)

    async def delete(self, sid: str) -> JtiRecord | None:
        self.calls.append(f"delete {sid}")
        return await self.inner.delete(sid)

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return await self.inner.list_subject(subject)

    async def purge(self, limit: int) -> int:
        return await self.inner.purge(limit)

    async def ping(self) -> None:
        await self.inner.ping()


async def with_records(*sids: str) -> Smallest:
    storage = Smallest()
    for sid in sids:
        await storage.insert(JtiRecord(sid, 1, 4_000_000_060, 4_000_000_000, subject="ann"))
    return storage


async def test_delete_subject_deletes_one_by_one_and_counts_what_it_removed() -> None:
    storage = await with_records("a", "b", "c")
    assert await storage.delete_subject("ann", keep="b") == 2
    assert storage.calls == ["delete a", "delete c"]
    assert [record.sid for record in await storage.list_subject("ann")] == ["b"]


async def test_delete_subject_does_not_count_what_another_caller_removed() -> None:
    storage = await with_records("a", "b")
    listed = await storage.list_subject("ann")
    await storage.delete("a")
    storage.list_subject = lambda subject: answer(listed)  # type: ignore[method-assign, assignment]
    assert await storage.delete_subject("ann") == 1


async def answer(records: list[JtiRecord]) -> list[JtiRecord]:
    return records


async def test_get_many_asks_for_each_sid_once() -> None:
    storage = await with_records("a", "b")
    assert list(await storage.get_many(["b", "absent", "a", "b"])) == ["b", "a"]
    assert storage.calls == ["get b", "get absent", "get a"]


async def test_scan_says_that_the_backend_cannot() -> None:
    with pytest.raises(StorageError, match="Smallest cannot list all of its records") as caught:
        await Smallest().scan()
    assert not isinstance(caught.value, StorageUnavailable)


async def test_open_and_aclose_need_not_do_anything() -> None:
    async with Smallest() as storage:
        await storage.open()
        await storage.ping()
    await storage.aclose()


def test_the_default_clock_is_looked_up_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    monkeypatch.setattr(time, "time", lambda: 7.5)
    assert storage.clock() == 7.5


def test_a_backend_that_does_not_say_its_contract_has_the_current_one() -> None:
    assert JtiStorage.CONTRACT == Smallest.CONTRACT == 1
    assert "CONTRACT" not in vars(Smallest)


@pytest.mark.parametrize("kind", [StorageUnavailable, CorruptRecord])
def test_a_failure_may_have_done_something_unless_it_says_that_it_did_not(kind: type[StorageUnavailable]) -> None:
    assert kind("a").maybe_done is True
    assert str(kind("a", maybe_done=False)) == "a"
    assert kind("a", maybe_done=False).maybe_done is False
    assert copy.copy(kind("a", maybe_done=False)).maybe_done is False
