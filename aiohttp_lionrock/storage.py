"""The storage seam: ids, records and expiry; never requests, cookies or tokens.

A backend implements `JtiStorage` over `JtiRecord`. Nothing above this file knows a query language,
nothing below it knows HTTP.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Generic, Self, TypeGuard, TypeVar

from .errors import StorageUnavailable

__all__ = ["Clock", "Coalescer", "JtiRecord", "JtiStorage", "is_storable_text"]

Clock = Callable[[], float]

MAX_TEXT = 1024
MAX_METADATA_BYTES = 1024
MAX_NUMBER = 2**53  # what every database and JavaScript keep exactly


def is_storable_text(value: object) -> TypeGuard[str]:
    """Whether every backend can keep this text unchanged: a ``str`` without NUL and lone surrogates."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


@dataclass(frozen=True, slots=True)
class JtiRecord:
    """The ids that one live session honours now. Times are whole epoch seconds.

    Raises ValueError where a field has a type or size that a backend could not keep unchanged.
    """

    sid: str
    version: int
    expires_at: int
    created_at: int
    access_jti: str | None = None
    refresh_jti: str | None = None
    previous_jti: str | None = None
    rotated_at: int | None = None
    subject: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self._is_plain():
            self._check_fields()
        if self.metadata or not isinstance(self.metadata, Mapping):
            self._check_metadata()
        object.__setattr__(self, "metadata", dict(self.metadata))  # a frozen record does not follow the caller's dict

    def _is_plain(self) -> bool:
        """Whether this is the usual record, with UUIDs and times, which a glance shows to be sound."""
        ids = (self.sid, self.access_jti, self.refresh_jti, self.previous_jti, self.subject)
        rotated_at = 0 if self.rotated_at is None else self.rotated_at
        try:
            text = "".join([text for text in ids if text is not None])
        except TypeError:
            return False
        if not type(self.version) is type(self.expires_at) is type(self.created_at) is type(rotated_at) is int:
            return False
        times = (self.version, self.expires_at, self.created_at, rotated_at)
        if not 0 <= min(times) <= max(times) < MAX_NUMBER:
            return False
        return bool(self.sid) and len(text) <= MAX_TEXT and text.isascii() and "\x00" not in text

    def _check_fields(self) -> None:
        if not self.sid:
            raise ValueError("JtiRecord.sid must not be empty")
        for name in ("sid", "access_jti", "refresh_jti", "previous_jti", "subject"):
            value = getattr(self, name)
            if value is None and name != "sid":
                continue
            if not is_storable_text(value) or len(value) > MAX_TEXT:
                raise ValueError(
                    f"JtiRecord.{name} must be text of at most {MAX_TEXT} characters without NUL and lone surrogates"
                )
        for name in ("version", "expires_at", "created_at", "rotated_at"):
            value = getattr(self, name)
            if value is None and name == "rotated_at":
                continue
            if type(value) is not int or not 0 <= value < MAX_NUMBER:
                raise ValueError(f"JtiRecord.{name} must be a whole number from 0 to 2**53 - 1")

    def _check_metadata(self) -> None:
        if not isinstance(self.metadata, Mapping):
            raise ValueError("JtiRecord.metadata must map text to text")
        size = 0
        for key, value in self.metadata.items():
            if not (is_storable_text(key) and is_storable_text(value)):
                raise ValueError("JtiRecord.metadata must map text to text, without NUL and lone surrogates")
            size += len(key.encode()) + len(value.encode())
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"JtiRecord.metadata must be at most {MAX_METADATA_BYTES} bytes, this is {size}")


class JtiStorage(ABC):
    """Keeps one `JtiRecord` for each live session.

    Every call is safe from many tasks at once and from many processes on one database. A record is live
    while ``expires_at`` is later than the clock's now; an expired one is absent to every call but `purge`.
    A driver's failure or time-out is always `StorageUnavailable`, raised ``from`` the driver's error.
    An acknowledged write is durable. A caller that is cancelled leaves nothing half-done. A call before `open`
    or after `aclose` works or raises StorageUnavailable.
    """

    def __init__(self, *, clock: Clock = time.time) -> None:
        self.clock = clock

    @classmethod
    @abstractmethod
    def from_url(cls, url: str) -> Self:
        """Builds a storage from a config string, without I/O. Raises ConfigError naming the faulty part."""

    async def open(self) -> None:
        """Connects and prepares the database. A second call does nothing; a closed storage opens again."""

    async def aclose(self) -> None:
        """Gives back what `open` took. A second call does nothing."""

    @abstractmethod
    async def insert(self, record: JtiRecord) -> None:
        """Creates a record. Raises DuplicateRecord where a live one has its sid; an expired one is replaced."""

    @abstractmethod
    async def get(self, sid: str) -> JtiRecord | None:
        """The live record, or None: absent and expired alike. Any ``str`` may be asked for."""

    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        """The live records among these, by sid. Backends override it with one round trip."""
        found = {sid: await self.get(sid) for sid in dict.fromkeys(sids)}
        return {sid: record for sid, record in found.items() if record is not None}

    @abstractmethod
    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        """One atomic compare-and-set: True for the one caller whose ``expected_version`` was stored.

        Stores every field as given, with the version ``expected_version + 1``. False where the version
        differs and where no live record is there: nothing is ever created, so what was deleted stays so.
        """

    @abstractmethod
    async def delete(self, sid: str) -> bool:
        """Ends a session. True for the one caller that removed a live record."""

    @abstractmethod
    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        """Ends every live session of a subject but the sid ``keep``; returns how many were live."""

    @abstractmethod
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        """The live records of a subject, newest ``created_at`` first, ties by sid in code-point order."""

    @abstractmethod
    async def purge(self, now: float, limit: int) -> int:
        """Removes at most ``limit`` records expired at ``now``; returns how many. The caller loops until 0."""

    @abstractmethod
    async def ping(self) -> None:
        """Raises StorageUnavailable where the storage cannot serve."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Coalescer(Generic[K, V]):
    """Turns concurrent calls of one event-loop moment into one batch, without a timer.

    ``run`` takes the gathered keys and answers a mapping; a key that it leaves out gets ``default``, a
    value that is an exception is raised to that key's callers alone. While a batch runs, the next one
    gathers. Callers with an equal key share one answer: right for reads; writes need keys that are equal to
    themselves alone. A cancelled caller does not hurt the others.
    """

    def __init__(
        self,
        run: Callable[[Sequence[K]], Awaitable[Mapping[K, V | Exception]]],
        *,
        default: V,
        limit: int = 500,
    ) -> None:
        self._run = run
        self._default = default
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: asyncio.Task[None] | None = None
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        self._running: dict[K, list[asyncio.Future[V]]] = {}

    def __call__(self, key: K) -> Awaitable[V]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # An event loop that has ended took its callers with it; nobody waits for their answers.
            self._loop, self._worker, self._waiting, self._running = loop, None, {}, {}
        future: asyncio.Future[V] = loop.create_future()
        if key in self._waiting:
            self._waiting[key].append(future)
        else:
            self._waiting[key] = [future]
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
            self._worker.add_done_callback(self._ended)
        return future

    async def _work(self) -> None:
        while self._waiting:
            self._running = self._gather()
            keys = list(self._running)
            try:
                answers = await self._run(keys) if keys else {}
            except Exception as exc:
                answers = dict.fromkeys(keys, exc)
            for key, futures in self._running.items():
                _answer(futures, answers.get(key, self._default))

    def _gather(self) -> dict[K, list[asyncio.Future[V]]]:
        """Takes the next batch from those that wait, without the calls that nobody waits for any more."""
        if len(self._waiting) <= self._limit:
            gathered, self._waiting = self._waiting, {}
        else:
            gathered = {key: self._waiting.pop(key) for key in list(islice(self._waiting, self._limit))}
        for key in [key for key, futures in gathered.items() if futures[0].done() and all(f.done() for f in futures)]:
            del gathered[key]
        return gathered

    def _ended(self, worker: asyncio.Task[None]) -> None:
        cause = asyncio.CancelledError() if worker.cancelled() else worker.exception()
        if cause is None:
            return
        failure = StorageUnavailable("the storage was interrupted")
        failure.__cause__ = cause
        for futures in (*self._running.values(), *self._waiting.values()):
            _answer(futures, failure)
        self._running, self._waiting = {}, {}


def _answer(futures: Iterable[asyncio.Future[V]], answer: V | Exception) -> None:
    for future in futures:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(_own_copy(answer))
        else:
            future.set_result(answer)


def _own_copy(exc: Exception) -> Exception:
    """One for each caller: an exception that is raised in many tasks would gather the tracebacks of all."""
    twin = copy(exc)
    twin.__cause__ = exc.__cause__
    return twin
