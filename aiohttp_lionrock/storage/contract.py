"""The storage seam: ids, records and expiry; never requests, cookies or tokens.

A backend implements `JtiStorage` over `JtiRecord`. Nothing above this file knows a query language,
nothing below it knows HTTP.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import ClassVar, Self

from ..errors import CorruptRecord, StorageError
from .record import MAX_METADATA_BYTES, MAX_NUMBER, MAX_TEXT, JtiRecord

__all__ = ["MAX_METADATA_BYTES", "MAX_NUMBER", "MAX_TEXT", "Clock", "JtiRecord", "JtiStorage", "system_time"]

Clock = Callable[[], float]


class JtiStorage(ABC):
    """Keeps one `JtiRecord` for each session.

    **Calls.** Each is safe from many tasks at once, and from many processes on one database where the backend says
    that several processes may share one. None blocks the event loop: a driver that blocks belongs in a thread. A
    driver's failure or time-out is always `StorageUnavailable`, raised ``from`` the driver's error and never showing a
    password; ``maybe_done=False`` where the call certainly changed nothing. A stored thing that is not a record is
    `CorruptRecord`, which names its sid; so does a call that meets it among others, and each of those can be had by
    itself. A call before `open` or after `aclose` works or raises StorageUnavailable. An acknowledged write is durable.

    **Expiry.** A record is live while ``expires_at`` is later than ``clock()``; an expired one is absent to every call
    but `purge`. Time comes from ``self.clock`` alone, looked up at each call.

    **Cancellation.** A cancelled caller leaves nothing half-done and the storage usable; the write that it had begun
    may be done or not, or may yet be done a moment later.
    """

    CONTRACT: ClassVar[int] = 1
    """The version of this contract. A backend says in its own class body for which one it was written: `open_storage`
    refuses another one, and names who must be upgraded. One that does not say so inherits the version of whatever core
    is installed, and is never refused."""

    may_create: bool = True
    """Whether `open` makes what is missing of the database: a file, a table, a collection. Who only looks, as the
    command line does, sets it to False before `open`, which then raises StorageUnavailable where nothing is there."""

    @property
    def waits(self) -> Mapping[str, float]:
        """The options by which somebody has set how many seconds a call may wait by itself; by default none.

        Each must be shorter than ``storage_timeout``: what is ended from outside cannot say whether it was done.
        """
        return {}

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = system_time if clock is None else clock

    @classmethod
    @abstractmethod
    def from_url(cls, url: str) -> Self:
        """Builds a storage from a config string, without I/O. Raises ConfigError with every fault.

        The scheme comes in lower case. A message names the part at fault and never a value of the URL, which may hold
        a password; `UrlOptions` reads the part after the question mark in that way.
        """

    async def open(self) -> None:
        """Connects and prepares the database: its tables and indexes, where they are missing.

        Raises ConfigError where only another configuration can help (a path that names a folder, say), and
        StorageUnavailable where waiting may: it is called again then. A second call does nothing; a closed storage
        opens again, in another event loop too.
        """

    async def aclose(self) -> None:
        """Gives back what `open` took. A second call, and one before `open`, does nothing."""

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
    async def delete(self, sid: str) -> JtiRecord | None:
        """Ends a session: the live record that this one call removed, or None.

        What is not a record is removed all the same, and then CorruptRecord is raised.
        """

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        """Deletes every live record of a subject but the one of the sid ``keep``; returns how many this call removed.

        A damaged record keeps no other alive. Backends override it with one statement.
        """
        damaged: set[str | None] = {None}
        while True:
            try:
                listed = await self.list_subject(subject)
                break
            except CorruptRecord as exc:
                if exc.sid in damaged:
                    raise
                damaged.add(exc.sid)
                await self._remove(str(exc.sid))
        return sum([await self._remove(record.sid) for record in listed if record.sid != keep])

    async def _remove(self, sid: str) -> bool:
        try:
            return await self.delete(sid) is not None
        except CorruptRecord:  # it is removed all the same
            return False

    @abstractmethod
    async def list_subject(self, subject: str) -> list[JtiRecord]:
        """The live records of a subject, newest ``created_at`` first, ties by sid in code-point order.

        Every insert that was acknowledged before the call, by whichever process, is in it.
        """

    @abstractmethod
    async def purge(self, limit: int) -> int:
        """Removes at most ``limit`` records that have expired by ``clock()``; returns how many.

        The caller loops until it is 0. No other call waits for it longer than a moment.
        """

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        """At most ``limit`` (one or more) live records, and the cursor for the next call: None at the end.

        From call to call it meets every record that is live throughout exactly once, whatever is inserted, replaced and
        deleted meanwhile. For copies and counts. Not each is a session that lives: `SessionManager.sessions` of its
        subject says which do. Raises StorageError where the backend cannot do it, as here.
        """
        raise StorageError(f"{type(self).__name__} cannot list all of its records")

    @abstractmethod
    async def ping(self) -> None:
        """Raises StorageUnavailable where the storage cannot serve: reads and writes both."""

    async def facts(self) -> Mapping[str, str]:
        """What an operator may want to know of the open database beside its records, by topic; by default nothing.

        For `doctor`: the server and its version, the schema, the indexes, how far its clock is from this machine's.
        """
        return {}

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


def system_time() -> float:
    """``time.time``, looked up when it is called: what replaces it in a test is seen."""
    return time.time()
