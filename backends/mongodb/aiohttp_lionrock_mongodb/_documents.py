"""Records as documents, and the few filters that every query is made of. No driver is imported here."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp_lionrock.errors import CorruptRecord
from aiohttp_lionrock.storage import JtiRecord

__all__ = ["Document", "expired", "expired_by_date", "live", "to_document", "to_record"]

Document = Mapping[str, Any]

LAST_DATE = 253_402_300_799
OPTIONAL = ("access_jti", "refresh_jti", "previous_jti", "rotated_at", "subject")


def live(now: float) -> dict[str, Any]:
    """Every document but the expired ones: what has no usable ``expires_at`` is for `to_record` to refuse."""
    return {"expires_at": {"$not": {"$lte": now}}}


def expired(now: float) -> dict[str, Any]:
    """The documents that `live` leaves out."""
    return {"expires_at": {"$lte": now}}


def expired_by_date(now: float) -> dict[str, Any]:
    """The same documents by way of the index over ``expires``."""
    return {"expires": {"$lte": _date(now)}, **expired(now)}


def to_document(record: JtiRecord, version: int, stamp: bytes) -> dict[str, Any]:
    """The document of a record. ``stamp`` tells this one write from every other."""
    document: dict[str, Any] = {
        "_id": record.sid,
        "version": version,
        "expires_at": record.expires_at,
        "expires": _date(record.expires_at),
        "created_at": record.created_at,
        "stamp": stamp,
    }
    for name in OPTIONAL:
        if (value := getattr(record, name)) is not None:
            document[name] = value
    if record.metadata:
        # A list, because older servers refuse field names with "$" and ".", and drivers read some as references.
        document["metadata"] = [{"k": key, "v": value} for key, value in record.metadata.items()]
    return document


def to_record(document: Document) -> JtiRecord:
    """The record in a document. Raises CorruptRecord naming the ``_id`` where there is none."""
    try:
        return JtiRecord(
            sid=document["_id"],
            version=_whole(document["version"]),
            expires_at=_whole(document["expires_at"]),
            created_at=_whole(document["created_at"]),
            access_jti=document.get("access_jti"),
            refresh_jti=document.get("refresh_jti"),
            previous_jti=document.get("previous_jti"),
            rotated_at=_whole(document.get("rotated_at")),
            subject=document.get("subject"),
            metadata={item["k"]: item["v"] for item in document.get("metadata", ())},
        )
    except KeyError as exc:
        raise _corrupt(document, f"{exc} is missing") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise _corrupt(document, str(exc)) from exc


def _whole(value: Any) -> Any:
    """The driver's 64-bit integers as plain ones; whatever else is there is left to JtiRecord's own checks."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _corrupt(document: Document, reason: str) -> CorruptRecord:
    return CorruptRecord(f"the MongoDB document with _id {str(document.get('_id'))[:100]!r} is no session: {reason}")


def _date(seconds: float) -> datetime:
    """The BSON date of a time; what no date can hold becomes the last one."""
    return datetime.fromtimestamp(int(min(max(seconds, 0), LAST_DATE)), UTC)
