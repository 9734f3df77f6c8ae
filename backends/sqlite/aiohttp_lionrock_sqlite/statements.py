"""The SQL, and how a record becomes a row and a row a record.

Each operation is one statement in autocommit, also for many calls at once: the calls travel as one JSON
array, and the sids that come back are those whose call took effect.
"""

import json
from collections.abc import Iterable
from typing import Any

from aiohttp_lionrock.errors import CorruptRecord
from aiohttp_lionrock.storage import JtiRecord

from .schema import COLUMNS

# ruff: noqa: S608 - settings.py lets only a plain identifier be a table; everything else is a parameter

__all__ = ["Row", "Statements", "record_of", "row_of", "to_json"]

Row = tuple[Any, ...]

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Statements:
    """The statements for one table. A batch takes its JSON array, then the clock's now."""

    def __init__(self, table: str) -> None:
        columns = ", ".join(COLUMNS)
        values = ", ".join(f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(COLUMNS))
        fields = [name for name in COLUMNS if name not in ("sid", "version")]
        rotating = [name for name in fields if name not in ("subject", "created_at")]
        # The bare json_each comes first, so that each of its keys is one look-up in the table.
        self.get = (
            f"SELECT {columns} FROM json_each(?) AS wanted"
            f' CROSS JOIN "{table}" ON sid = wanted.value WHERE expires_at > ?'
        )
        self.insert = (
            f'INSERT INTO "{table}" ({columns}) SELECT {values} FROM json_each(?) WHERE true'
            f" ON CONFLICT (sid) DO UPDATE SET version = excluded.version, {_assign(fields, 'excluded')}"
            f' WHERE "{table}".expires_at <= ? RETURNING sid'
        )
        matching = (
            f" FROM (SELECT {values} FROM json_each(?)) AS wanted"
            f' WHERE "{table}".sid = wanted.sid AND "{table}".version = wanted.version AND "{table}".expires_at > ?'
        )
        # The first does for nearly every call, and leaves the index over subject and created_at in peace.
        self.replace = (
            f'UPDATE "{table}" SET version = wanted.version + 1, {_assign(rotating, "wanted")}{matching}'
            f' AND "{table}".subject IS wanted.subject AND "{table}".created_at = wanted.created_at RETURNING sid',
            f'UPDATE "{table}" SET version = wanted.version + 1, {_assign(fields, "wanted")}{matching} RETURNING sid',
        )
        self.delete = (
            f'DELETE FROM "{table}" WHERE sid IN (SELECT value FROM json_each(?)) AND expires_at > ? RETURNING sid'
        )
        self.delete_subject = f'DELETE FROM "{table}" WHERE subject = ? AND sid IS NOT ? AND expires_at > ? RETURNING 1'
        self.list_subject = (
            f'SELECT {columns} FROM "{table}" WHERE subject = ? AND expires_at > ? ORDER BY created_at DESC, sid'
        )
        self.purge = (
            f'DELETE FROM "{table}" WHERE sid IN'
            f' (SELECT sid FROM "{table}" WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) RETURNING 1'
        )
        self.can_read = f'SELECT 1 FROM "{table}" LIMIT 1'
        self.can_write = f"DELETE FROM \"{table}\" WHERE sid = ''"


def _assign(fields: Iterable[str], source: str) -> str:
    return ", ".join(f"{name} = {source}.{name}" for name in fields)


def row_of(record: JtiRecord, version: int) -> list[str | int | None]:
    """The columns of a record, in the table's order, with this version."""
    return [
        record.sid,
        version,
        record.expires_at,
        record.created_at,
        record.access_jti,
        record.refresh_jti,
        record.previous_jti,
        record.rotated_at,
        record.subject,
        to_json(dict(record.metadata)) if record.metadata else None,
    ]


def record_of(row: Row) -> JtiRecord:
    """The record in a row; raises CorruptRecord, naming the sid, where it holds none."""
    sid, version, expires_at, created_at, access, refresh, previous, rotated_at, subject, metadata = row
    try:
        return JtiRecord(
            sid, version, expires_at, created_at, access, refresh, previous, rotated_at, subject, _metadata_of(metadata)
        )
    except (ValueError, TypeError, RecursionError) as exc:
        raise CorruptRecord(f"SQLite holds no whole record under the sid {sid!r}: {exc}") from exc


def _metadata_of(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    metadata = json.loads(text)
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is no JSON object")
    return metadata
