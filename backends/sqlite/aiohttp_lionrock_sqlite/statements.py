"""The SQL, and how a record becomes a row and a row a record.

Look-ups of one moment are one statement, with their keys as one JSON array. A write is a statement of its own that
changes one row or none, and writes of one moment share a transaction.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from aiohttp_lionrock.errors import CorruptRecord
from aiohttp_lionrock.storage import JtiRecord

from .schema import COLUMNS, VERSIONS_TABLE, hash_of

# ruff: noqa: S608 - settings.py lets only a plain identifier be a table; everything else is a parameter

__all__ = ["Row", "Statement", "Statements", "judge", "record_of", "row_of", "sound", "to_json"]

Row = tuple[Any, ...]

RECORD = tuple(name for name in COLUMNS if name not in ("sid_hash", "due_at"))

to_json: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode


class Statement(NamedTuple):
    """A statement that takes from a row the parameters it needs, in the order in which they stand in it."""

    sql: str
    parameters: Callable[[Sequence[object]], tuple[object, ...]]

    @classmethod
    def numbered(cls, sql: str) -> "Statement":
        """From SQL that names its parameters ?1, ?2 and so on, by their places in the row."""
        places = [int(number) - 1 for number in re.findall(r"\?(\d+)", sql)]
        return cls(re.sub(r"\?\d+", "?", sql), itemgetter(*places))


class Statements:
    """The statements for one table.

    Those of ``insert`` and ``replace`` are tried in turn until one has changed a row. Their rows are those of
    `row_of`, then the clock's now.
    """

    def __init__(self, table: str) -> None:
        columns = ", ".join(RECORD)
        places = {name: f"?{number}" for number, name in enumerate(("sid_hash", *RECORD, "now"), 1)}
        now = places.pop("now")
        places["due_at"] = places["expires_at"]
        fields = {name: place for name, place in places.items() if name not in ("sid_hash", "sid", "version")}
        # The bare json_each comes first, so that each of its keys is one look-up in the table.
        self.get: str = (
            f"SELECT {columns} FROM json_each(?) AS wanted"
            f' CROSS JOIN "{table}" ON sid_hash = wanted.value WHERE expires_at > ?'
        )
        insert = (
            f'INSERT INTO "{table}" ({", ".join(places)}) VALUES ({", ".join(places.values())})'
            f" ON CONFLICT (sid_hash) DO UPDATE SET sid = {places['sid']}, version = {places['version']},"
            f" {_assign(fields)} WHERE expires_at <= {now}"
        )
        self.insert: tuple[Statement] = (Statement.numbered(insert),)
        expected = (
            f"sid_hash = {places['sid_hash']} AND sid = {places['sid']}"
            f" AND version = {places['version']} AND expires_at > {now}"
        )
        # SQLite writes an index again where a column of it is set, changed or not. The first statement does for nearly
        # every call, and leaves the indexes in peace. The second also gives a record whose due date has passed the next
        # one, which spares the purge from doing it.
        steady = ("subject", "created_at", "due_at")
        same = (
            f"subject IS {places['subject']} AND created_at IS {places['created_at']}"
            f" AND due_at > {now} AND due_at <= {places['due_at']}"
        )
        moving = {name: place for name, place in fields.items() if name not in steady}
        self.replace: tuple[Statement, Statement] = (
            Statement.numbered(
                f'UPDATE "{table}" SET version = version + 1, {_assign(moving)} WHERE {expected} AND {same}'
            ),
            Statement.numbered(f'UPDATE "{table}" SET version = version + 1, {_assign(fields)} WHERE {expected}'),
        )
        self.delete: str = (
            f'DELETE FROM "{table}" WHERE sid_hash = ? AND sid = ? AND expires_at > ? RETURNING {columns}'
        )
        self.delete_subject: str = (
            f'DELETE FROM "{table}" WHERE subject = ? AND sid IS NOT ? AND expires_at > ? RETURNING 1'
        )
        self.list_subject: str = (
            f'SELECT {columns} FROM "{table}" WHERE subject = ? AND expires_at > ? ORDER BY created_at DESC, sid'
        )
        self.scan: str = (
            f'SELECT sid_hash, {columns} FROM "{table}"'
            " WHERE sid_hash >= ? AND expires_at > ? ORDER BY sid_hash LIMIT ?"
        )
        due = f'sid_hash IN (SELECT sid_hash FROM "{table}" WHERE due_at <= ? ORDER BY due_at LIMIT ?)'
        self.purge: str = f'DELETE FROM "{table}" WHERE {due} AND expires_at <= ?'
        self.defer: str = f'UPDATE "{table}" SET due_at = expires_at WHERE {due} AND expires_at > ?'
        self.can_read: str = f'SELECT 1 FROM "{table}" LIMIT 1'
        self.facts: str = (
            "SELECT sqlite_version(), page_count * page_size,"
            f" (SELECT group_concat(name, ', ') FROM pragma_index_list('{table}'))"
            " FROM pragma_page_count(), pragma_page_size()"
        )
        # What changes nothing is not written, and would go well on a disk that is full; this is written.
        self.can_write: str = (
            f"INSERT OR REPLACE INTO {VERSIONS_TABLE}"
            f" SELECT table_name, version FROM {VERSIONS_TABLE} WHERE table_name = '{table}'"
        )


def _assign(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def row_of(record: JtiRecord, version: int) -> tuple[str | int | None, ...]:
    """The key and the columns of a record, in the table's order, with this version."""
    return (
        hash_of(record.sid),
        record.sid,
        version,
        record.expires_at,
        record.created_at,
        record.subject,
        record.pack(),
    )


def judge(row: Row) -> JtiRecord | CorruptRecord:
    """The record in a row, or the error to raise, naming the sid, where the row does not hold one."""
    try:
        return JtiRecord.unpack(*row)
    except ValueError as exc:
        reason = f"SQLite holds a broken record under the sid {row[0]!r}: {exc}"
        failure = CorruptRecord(reason, sid=row[0], maybe_done=False)
        failure.__cause__ = exc
        return failure


def sound(judged: JtiRecord | CorruptRecord) -> JtiRecord:
    """The record that was found; raises the error that was found in its place."""
    if isinstance(judged, CorruptRecord):
        raise judged
    return judged


def record_of(row: Row) -> JtiRecord:
    """The record in a row; raises CorruptRecord."""
    return sound(judge(row))
