"""The storage seam: ids, records and expiry; never requests, cookies or tokens.

A backend implements `JtiStorage` over `JtiRecord`. Nothing above this file knows a query language,
nothing below it knows HTTP.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

from ..errors import StorageError
from ..jsontext import encode, is_storable_text

__all__ = ["MAX_METADATA_BYTES", "MAX_NUMBER", "MAX_TEXT", "Clock", "JtiRecord", "JtiStorage"]

Clock = Callable[[], float]

MAX_TEXT = 1024  # characters of an id or a subject
MAX_METADATA_BYTES = 1024  # of UTF-8, names and values together
MAX_NUMBER = 2**53  # what every database and JavaScript keep exactly

_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class JtiRecord:
    """The ids that one session honours now. Times are whole epoch seconds from 0 to 2**53 - 1.

    Ids and the subject are text of at most 1,024 characters, without NUL and lone surrogates; ``metadata`` maps such
    text to such text, 1,024 bytes of UTF-8 together. Raises ValueError where a field is anything else.

    ``access_jti`` and ``refresh_jti`` are the ids honoured now. ``previous_jti`` is the refresh id before the current
    one, and ``rotated_at`` the time from which it is honoured for a leeway only; None: its successor is not known to
    have been delivered. A record with a ``successor`` honours no id: the session goes on under that sid, and
    ``rotated_at`` says since when.
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
    successor: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self._is_plain():
            self._check_fields()
        if self.metadata or not isinstance(self.metadata, Mapping):
            self._check_metadata()
        object.__setattr__(self, "metadata", dict(self.metadata))  # a frozen record does not follow the caller's dict

    def pack(self) -> str:
        """What is neither key, version, time of life nor subject, as one text that an engine keeps without reading it.

        An engine needs six columns: ``sid``, ``version``, ``expires_at``, ``created_at``, ``subject`` and this text,
        which has at most 32 KiB in UTF-8.
        """
        kept: list[Any] = [self.access_jti, self.refresh_jti, self.previous_jti, self.rotated_at, self.successor]
        if self.metadata:
            kept.append(self.metadata)
        while kept and kept[-1] is None:
            kept.pop()
        return encode(kept).decode()

    @classmethod
    def unpack(cls, sid: str, version: int, expires_at: int, created_at: int, subject: str | None, packed: str) -> Self:
        """The record of which `pack` made this text. Raises ValueError where it did not, or where a field is not sound.

        Entries after the ones known here, which a later version may have written, are passed over.
        """
        try:
            kept, end = _decode(packed)
        except (TypeError, RecursionError) as exc:
            raise ValueError(f"what was packed cannot be read: {exc}") from exc
        if type(kept) is not list or end != len(packed):
            raise ValueError("what was packed is not a JSON array")
        access, refresh, previous, rotated_at, successor, metadata = [*kept, *_NOTHING_KEPT][:6]
        return cls(
            sid,
            version,
            expires_at,
            created_at,
            access,
            refresh,
            previous,
            rotated_at,
            subject,
            successor,
            {} if metadata is None else metadata,
        )

    def _is_plain(self) -> bool:
        """Whether this is the usual record, with UUIDs and times, which a glance shows to be sound."""
        ids = (self.sid, self.access_jti, self.refresh_jti, self.previous_jti, self.subject, self.successor)
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
        for name in ("sid", "access_jti", "refresh_jti", "previous_jti", "subject", "successor"):
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


_NOTHING_KEPT = (None,) * 6


class JtiStorage(ABC):
    """Keeps one `JtiRecord` for each session.

    **Calls.** Each is safe from many tasks at once, and from many processes on one database where the backend says
    that several processes may share one. None blocks the event loop: a driver that blocks belongs in a thread. A
    driver's failure or time-out is always `StorageUnavailable`, raised ``from`` the driver's error and never showing a
    password; ``maybe_done=False`` where the call certainly changed nothing. A stored thing that is not a record is
    `CorruptRecord`. A call before `open` or after `aclose` works or raises StorageUnavailable. An acknowledged write is
    durable.

    **Expiry.** A record is live while ``expires_at`` is later than ``clock()``; an expired one is absent to every call
    but `purge`. Time comes from ``self.clock`` alone, looked up at each call.

    **Cancellation.** A cancelled caller leaves nothing half-done and the storage usable; the write that it had begun
    may be done or not, or may yet be done a moment later.
    """

    CONTRACT: ClassVar[int] = 1
    """The version of this contract that a backend was written for; the registry refuses another one."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = _system_time if clock is None else clock

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
        """Ends a session: the live record that this one call removed, or None."""

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        """Deletes every live record of a subject but the one of the sid ``keep``; returns how many this call removed.

        Backends override it with one statement.
        """
        removed = [await self.delete(record.sid) for record in await self.list_subject(subject) if record.sid != keep]
        return sum(record is not None for record in removed)

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
        """At most ``limit`` live records, and where to go on: the cursor for the next call, None at the end.

        From call to call it meets every record that is live throughout exactly once. For copies and counts. Raises
        StorageError where the backend cannot do it, as here.
        """
        raise StorageError(f"{type(self).__name__} cannot list all of its records")

    @abstractmethod
    async def ping(self) -> None:
        """Raises StorageUnavailable where the storage cannot serve: reads and writes both."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


def _system_time() -> float:
    """``time.time``, looked up when it is called: what replaces it in a test is seen."""
    return time.time()
