"""Which conformance tests must catch which faulty storage, and the suite run against a storage."""

import asyncio
import functools
import unittest
from collections.abc import Callable
from typing import Any, Self, TypeVar

from aiohttp_lionrock.storage import Clock, JtiStorage
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import SharedStorageConformance, StorageConformance

__all__ = ["FAULTS", "SharedMemory", "caught_by", "failures", "names_of", "suite_of"]

Backend = TypeVar("Backend", bound=type[MemoryStorage])

FAULTS: dict[type[MemoryStorage], set[str]] = {}


def caught_by(*tests: str) -> Callable[[Backend], Backend]:
    """Says which tests of the suite must fail for a storage."""

    def register(backend: Backend) -> Backend:
        FAULTS[backend] = set(tests)
        return backend

    return register


class SharedMemory(MemoryStorage):
    """Two of these on one dictionary stand for two processes on one database."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._opening: list[MemoryStorage] = []

    def beside(self) -> Self:
        sibling = type(self)(clock=self.clock)
        sibling._records, sibling._opening = self._records, self._opening
        return sibling


def suite_of(backend: type[MemoryStorage], *hooks: type) -> type[StorageConformance]:
    """The suite for a storage, with the optional hooks of these classes and of its own attribute ``hooks``."""

    async def make_storage(self: Any, clock: Clock) -> JtiStorage:
        # In debug mode, which unittest sets, the loop keeps a stack trace for each callback: most of a run's time.
        asyncio.get_running_loop().set_debug(False)
        return backend(clock=clock)

    async def make_sibling(self: Any, clock: Clock) -> JtiStorage:
        return self.storage.beside()

    shared = issubclass(backend, SharedMemory)
    bases = (*hooks, *getattr(backend, "hooks", ()), SharedStorageConformance if shared else StorageConformance)
    return type("Suite", bases, {"__module__": __name__, "make_storage": make_storage, "make_sibling": make_sibling})


@functools.cache
def failures(backend: type[MemoryStorage]) -> set[str]:
    """The names of the conformance tests that fail for a backend."""
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(suite_of(backend))
    result = unittest.TestResult()
    tests.run(result)
    assert result.testsRun == tests.countTestCases()
    assert result.skipped == []
    return {test.id().rpartition(".test_")[2] for test, _ in result.failures + result.errors}


def names_of(suite: type[unittest.TestCase]) -> set[str]:
    """The tests of a suite, without ``test_``."""
    return {name.removeprefix("test_") for name in unittest.defaultTestLoader.getTestCaseNames(suite)}
