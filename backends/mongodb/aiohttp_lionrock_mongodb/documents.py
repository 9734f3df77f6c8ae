"""Records as documents, and the few filters that every query is made of. No driver is imported here."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp_lionrock.errors import CorruptRecord
from aiohttp_lionrock.storage import JtiRecord

__all__ = ["Document", "expired", "expired_by_date", "live", "this_write", "to_document", "to_record"]

Document = Mapping[str, Any]

LAST_DATE = 253_402_300_799


def live(now: float) -> dict[str, Any]:
    """Every document but the expired ones: what has no usable ``expires_at`` is for `to_record` to refuse."""
    return {"expires_at": {"$not": {"$lte": now}}}


def expired(now: float) -> dict[str, Any]:
    """The documents that `live` leaves out."""
    return {"expires_at": {"$lte": now}}


def expired_by_date(now: float) -> dict[str, Any]:
    """The same documents by way of the index over ``expires``."""
    return {"expires": {"$lte": _date(now)}, **expired(now)}


def this_write(document: Document) -> dict[str, Any]:
    """This document for as long as nobody has written it since; one without a stamp of ours, whatever became of it."""
    stamp = document.get("stamp")
    return {"_id": document["_id"], "stamp": stamp} if isinstance(stamp, bytes) else {"_id": document["_id"]}


def to_document(record: JtiRecord, version: int, stamp: bytes) -> dict[str, Any]:
    """The document of a record. ``stamp`` tells this one write from every other."""
    document: dict[str, Any] = {
        "_id": record.sid,
        "version": version,
        "expires_at": record.expires_at,
        "expires": _date(record.expires_at),
        "created_at": record.created_at,
        "packed": record.pack(),
        "stamp": stamp,
    }
    if record.subject is not None:
        document["subject"] = record.subject
    return document


def to_record(document: Document) -> JtiRecord:
    """The record in a document. Raises CorruptRecord naming the ``_id`` where there is none."""
    try:
        return JtiRecord.unpack(
            document["_id"],
            _whole(document["version"]),
            _whole(document["expires_at"]),
            _whole(document["created_at"]),
            document.get("subject"),
            document["packed"],
        )
    except KeyError as exc:
        raise _corrupt(document, f"{exc} is missing") from exc
    except ValueError as exc:
        raise _corrupt(document, str(exc)) from exc


def _whole(value: Any) -> Any:
    """The driver's 64-bit integers as plain ones; whatever else is there is left to JtiRecord's own checks."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _corrupt(document: Document, reason: str) -> CorruptRecord:
    sid = str(document.get("_id"))
    return CorruptRecord(f"the MongoDB document with _id {sid[:100]!r} is not a session record: {reason}", sid=sid)


def _date(seconds: float) -> datetime:
    """The BSON date of a time; what no date can hold becomes the last one."""
    return datetime.fromtimestamp(int(min(max(seconds, 0), LAST_DATE)), UTC)
