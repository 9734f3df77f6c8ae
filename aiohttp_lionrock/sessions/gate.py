"""StorageGate: the one way from the library to a storage, with a deadline on every call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

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
        try:
            async with asyncio.timeout(self._timeout):
                if not self._opened:
                    await self.storage.open()
                    self._opened = True
                return await method(*args, **kwargs)
        except TimeoutError as exc:
            raise StorageUnavailable(f"the storage did not answer within {self._timeout} s") from exc

    async def aclose(self) -> None:
        """Closes the storage. Raises StorageUnavailable where it does not close in time."""
        self._opened = False
        try:
            async with asyncio.timeout(self._timeout):
                await self.storage.aclose()
        except TimeoutError as exc:
            raise StorageUnavailable(f"the storage did not close within {self._timeout} s") from exc
