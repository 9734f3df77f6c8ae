"""StorageGate: the one way from the library to a storage, with a deadline on every call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ..errors import StorageUnavailable
from ..storage.contract import JtiStorage

__all__ = ["StorageGate"]

P = ParamSpec("P")
T = TypeVar("T")


class StorageGate:
    """The way to a storage: opens it at the first call, and holds every call to the deadline (seconds)."""

    def __init__(self, storage: JtiStorage, timeout: float) -> None:
        self.storage = storage
        self._timeout = timeout
        self._opened = False

    async def __call__(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.within(self._timeout, method, *args, **kwargs)

    async def within(self, timeout: float, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call with a deadline of its own (seconds)."""
        try:
            async with asyncio.timeout(timeout):
                if not self._opened:
                    await self.storage.open()
                    self._opened = True
                    _OPENINGS[self.storage] = _OPENINGS.get(self.storage, 0) + 1
                return await method(*args, **kwargs)
        except TimeoutError as exc:
            raise StorageUnavailable(f"the storage did not answer within {timeout} s") from exc

    async def aclose(self) -> None:
        """Closes the storage unless another gate has it open. Raises StorageUnavailable where that takes too long."""
        if self._opened:
            self._opened = False
            _OPENINGS[self.storage] -= 1
        if _OPENINGS.get(self.storage):
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self.storage.aclose()
        except TimeoutError as exc:
            raise StorageUnavailable(f"the storage did not close within {self._timeout} s") from exc


# A storage object may serve several managers: it closes with the last of them.
_OPENINGS: WeakKeyDictionary[JtiStorage, int] = WeakKeyDictionary()
