"""JtiRecord: what a storage keeps for one session, checked when it is made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..jsontext import encode, is_storable_text

__all__ = ["MAX_METADATA_BYTES", "MAX_NUMBER", "MAX_TEXT", "JtiRecord"]

MAX_TEXT = 1024  # characters of an id or a subject
MAX_SIGNER = 64
MAX_METADATA_BYTES = 1024  # of UTF-8, names and values together
MAX_NUMBER = 2**53  # what every database and JavaScript keep exactly

_OPTIONAL_TEXTS = ("access_jti", "refresh_jti", "previous_jti", "subject", "successor", "signer", "predecessor")

_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class JtiRecord:
    """The ids that one session honours now. Times are whole epoch seconds from 0 to 2**53 - 1.

    Ids and the subject are text of at most 1,024 characters, without NUL and lone surrogates; ``metadata`` maps such
    text to such text, 1,024 bytes of UTF-8 together. Raises ValueError where a field is anything else.

    ``access_jti`` and ``refresh_jti`` are the ids honoured now. ``previous_jti`` is the refresh id before the current
    one, and ``rotated_at`` the time from which it is honoured for a leeway only; None: its successor is not known to
    have been delivered. A record with a ``successor`` honours no id: the session goes on under that sid, and
    ``rotated_at`` says since when. ``seen_at`` is about when the session was last used, None: not since it began.
    ``signer`` is a name of the secret that its tokens were last signed with, of at most 64 characters. ``until`` is the
    end that the application has set to this one session, None: none. ``place`` is higher than that of every session
    which the same subject had when this one began, where their number is limited. ``predecessor`` is the sid that a
    renewed session had before, until it is written again: the two are one session, also while both are stored.
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
    seen_at: int | None = None
    signer: str | None = None
    until: int | None = None
    place: int | None = None
    predecessor: str | None = None

    def __post_init__(self) -> None:
        if not self._is_plain():
            self._check_fields()
        if self.metadata or not isinstance(self.metadata, Mapping):
            self._check_metadata()
        object.__setattr__(self, "metadata", dict(self.metadata))  # a frozen record does not follow the caller's dict

    def pack(self) -> str:
        """What is neither key, version, time of life nor subject, as one text that an engine keeps without reading it.

        An engine needs six columns: ``sid``, ``version``, ``expires_at``, ``created_at``, ``subject`` and this text,
        which has at most 40 KiB in UTF-8 and no NUL.
        """
        kept: list[Any] = [self.access_jti, self.refresh_jti, self.previous_jti, self.rotated_at, self.successor]
        kept += (self.metadata or None, self.seen_at, self.signer, self.until, self.place, self.predecessor)
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
        access, refresh, previous, rotated_at, successor, metadata, *rest = [*kept, *_NOTHING_KEPT][:11]
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
            *rest,
        )

    def _is_plain(self) -> bool:
        """Whether this is the usual record, with UUIDs and times, which a glance shows to be sound."""
        ids = (self.sid, self.access_jti, self.refresh_jti, self.previous_jti)
        texts = (*ids, self.subject, self.successor, self.signer, self.predecessor)
        optional = (self.rotated_at, self.seen_at, self.until, self.place)
        try:
            text = "".join([text for text in texts if text is not None])
        except TypeError:
            return False
        numbers = (self.version, self.expires_at, self.created_at, *[n for n in optional if n is not None])
        if set(map(type, numbers)) != {int}:
            return False
        if not 0 <= min(numbers) <= max(numbers) < MAX_NUMBER:
            return False
        if self.signer is not None and len(self.signer) > MAX_SIGNER:
            return False
        return bool(self.sid) and len(text) <= MAX_TEXT and text.isascii() and "\x00" not in text

    def _check_fields(self) -> None:
        if not self.sid:
            raise ValueError("JtiRecord.sid must not be empty")
        for name in ("sid", *_OPTIONAL_TEXTS):
            value = getattr(self, name)
            if value is None and name != "sid":
                continue
            most = MAX_SIGNER if name == "signer" else MAX_TEXT
            if not is_storable_text(value) or len(value) > most:
                raise ValueError(
                    f"JtiRecord.{name} must be text of at most {most} characters without NUL and lone surrogates"
                )
        for name in ("version", "expires_at", "created_at", "rotated_at", "seen_at", "until", "place"):
            value = getattr(self, name)
            if value is None and name not in ("version", "expires_at", "created_at"):
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


_NOTHING_KEPT = (None,) * 11
