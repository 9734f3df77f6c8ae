"""The way to what keeps the ids: one deadline around the whole of a load or of a save, and an open storage."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ..errors import ConfigError, StorageUnavailable
from ..storage.contract import JtiStorage
from ..storage.patience import Patience
from .living import LivingRecords

__all__ = ["Deadline", "StorageLink"]

P = ParamSpec("P")
T = TypeVar("T")

# One storage object may serve several managers: it closes with the last of them.
_USES: WeakKeyDictionary[JtiStorage, int] = WeakKeyDictionary()


class Deadline:
    """Holds what it runs to so many seconds. Raises StorageUnavailable, which names ``what``, where it takes longer."""

    def __init__(self, seconds: float, what: str = "the storage") -> None:
        self.seconds = seconds
        self._what = what

    async def __call__(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with Patience(self.seconds):
                return await work(*args, **kwargs)
        except TimeoutError as exc:
            raise StorageUnavailable(f"{self._what} did not answer within {self.seconds:g} s") from exc


class StorageLink(Deadline):
    """The same for work on a storage, which it opens first where that has not succeeded yet.

    ``records`` are the storage without the sessions that `revoke_all` ended. Raises ConfigError where the storage may
    wait for longer by itself.
    """

    def __init__(self, storage: JtiStorage, records: LivingRecords, seconds: float) -> None:
        super().__init__(seconds)
        faults = [
            f"the storage's {name} of {wait:g} s must be shorter than storage_timeout, {seconds:g} s: a call that is "
            f"ended from outside cannot say whether it was done; lower {name} or raise storage_timeout"
            for name, wait in storage.waits.items()
            if wait >= seconds
        ]
        if faults:
            raise ConfigError(faults)
        self.storage = storage
        self.records = records
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that it is open in
        self._opening = 0  # calls that are about to open it
        self._is_closed = False

    async def __call__(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._loop is asyncio.get_running_loop():
            return await super().__call__(work, *args, **kwargs)

        async def open_first() -> T:
            await self.ready()
            return await work(*args, **kwargs)

        return await super().__call__(open_first)

    async def ready(self) -> JtiStorage:
        """The storage, open; for work that may do without it until then, under a deadline of its own."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return self.storage
        if self._is_closed:
            raise StorageUnavailable(
                "the session manager is closed: nothing can be loaded, saved or revoked until it is opened again",
                maybe_done=False,
            )
        self._opening += 1
        self._use(1)  # from now on: nobody else may close what is being opened
        try:
            await self.storage.open()
            if not self._is_closed:
                if self._loop is None:
                    self._use(1)
                self._loop = loop
        finally:
            self._opening -= 1
            self._use(-1)
        if self._is_closed and not _USES[self.storage]:  # it was closed before it had been opened
            await self.storage.aclose()
        return self.storage

    async def open(self) -> None:
        """Opens the storage, and asks whether it serves. Raises StorageUnavailable; the next work tries again."""
        self._is_closed = False
        await self(self._serve)

    async def _serve(self) -> None:
        await self.storage.ping()
        await self.records.look()

    async def aclose(self) -> None:
        """Closes the storage, unless another manager uses it. Raises StorageUnavailable where that takes too long."""
        if self._loop is not None:
            self._use(-1)
        self._loop, self._is_closed = None, True
        if _USES.get(self.storage, 0) > self._opening:
            return
        try:
            async with asyncio.timeout(self.seconds):
                await self.storage.aclose()
        except TimeoutError as exc:
            raise StorageUnavailable(f"the storage did not close within {self.seconds:g} s") from exc

    def _use(self, change: int) -> None:
        _USES[self.storage] = _USES.get(self.storage, 0) + change
