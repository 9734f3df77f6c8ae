"""The SQL, and how a record becomes a row and a row a record.

Each operation is one statement in autocommit, also for many calls at once: sids travel as one JSON array, rows
as the values of one table, and the sids that come back are those whose call took effect.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any

from aiohttp_lionrock.errors import CorruptRecord
from aiohttp_lionrock.storage import JtiRecord

from .schema import COLUMNS

# ruff: noqa: S608 - settings.py lets only a plain identifier be a table; everything else is a parameter

__all__ = ["Batch", "Row", "Statements", "record_of", "row_of"]

# Which of the columns with an index a replace leaves alone: usually all, nearly always all but the expiry, or none.
KEPT = (("expires_at", "subject", "created_at"), ("subject", "created_at"), ())

Row = tuple[Any, ...]
Batch = Callable[[Sequence[Any], float], tuple[str, Sequence[object]]]
"""From the calls of one moment and the clock's now to one statement and its parameters."""

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Statements:
    """The statements for one table."""

    def __init__(self, table: str) -> None:
        columns = ", ".join(COLUMNS)
        fields = [name for name in COLUMNS if name not in ("sid", "version")]
        # The bare json_each comes first, so that each of its keys is one look-up in the table.
        self.get = _of_sids(
            f"SELECT {columns} FROM json_each(?) AS wanted"
            f' CROSS JOIN "{table}" ON sid = wanted.value WHERE expires_at > ?'
        )
        self.insert = _of_rows(
            f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM wanted WHERE sid IS NOT NULL'
            f" ON CONFLICT (sid) DO UPDATE SET version = excluded.version, {_assign(fields, 'excluded')}"
            f' WHERE "{table}".expires_at <= ? RETURNING sid'
        )
        # An index is written again where a column of it is set, changed or not: the first statement, which does for
        # many calls, and the second, which does for nearly all the others, leave alone what stays as it was.
        self.replace = tuple(_of_rows(_replace(table, fields, kept)) for kept in KEPT)
        self.delete = _of_sids(
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


def _of_sids(sql: str) -> Batch:
    """A statement that takes its sids as one JSON array."""
    return lambda sids, now: (sql, (to_json(sids), now))


def _of_rows(sql: str) -> Batch:
    """A statement over ``wanted``, the rows that its calls bring.

    Values bound one by one cost half of what SQLite takes to find them in JSON. Their number is rounded up to a power
    of two, with rows of nothing, so that few statements are ever prepared.
    """
    columns, row = ", ".join(COLUMNS), f"({', '.join('?' * len(COLUMNS))})"

    @cache
    def for_rows(count: int) -> str:
        return f"WITH wanted ({columns}) AS (VALUES {', '.join(repeat(row, count))}) {sql}"

    def batch(rows: Sequence[Any], now: float) -> tuple[str, Sequence[object]]:
        count = 1 << (len(rows) - 1).bit_length()
        missing = repeat(None, (count - len(rows)) * len(COLUMNS))
        return for_rows(count), [*chain.from_iterable(rows), *missing, now]

    return batch


def _replace(table: str, fields: Sequence[str], kept: Sequence[str]) -> str:
    """The compare-and-set of those records of which these fields stay as they are."""
    changed = [name for name in fields if name not in kept]
    same = "".join(f' AND "{table}".{name} IS wanted.{name}' for name in kept)
    return (
        f'UPDATE "{table}" SET version = wanted.version + 1, {_assign(changed, "wanted")} FROM wanted'
        f' WHERE "{table}".sid = wanted.sid AND "{table}".version = wanted.version AND "{table}".expires_at > ?{same}'
        " RETURNING sid"
    )


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
