"""What happens in one transaction, run in the driver's thread in one go."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from .statements import Statement, Statements

__all__ = ["PurgeStep", "Transaction", "Writes"]

Verdict = bool | sqlite3.Error


class Transaction(ABC):
    """Runs in a transaction that has begun, and ends it; ``fetchall`` gives the results once all is committed."""

    BEGIN = "BEGIN IMMEDIATE"

    def run(self, connection: sqlite3.Connection) -> Self:
        try:
            self._results = self._work(connection.cursor())
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return self

    def fetchall(self) -> list[Any]:
        return self._results

    @abstractmethod
    def _work(self, cursor: sqlite3.Cursor) -> list[Any]: ...


class Writes(Transaction):
    """Writes of one moment, each with its own verdict: whether one of the statements changed a row.

    For every row of parameters the statements are tried in turn. An error that a row met alone, and that its neighbours
    did not, is a verdict too.
    """

    def __init__(self, statements: Sequence[Statement], rows: Sequence[Sequence[object]]) -> None:
        self._statements = statements
        self._rows = rows

    def _work(self, cursor: sqlite3.Cursor) -> list[Verdict]:
        return [self._judge(cursor, row) for row in self._rows]

    def _judge(self, cursor: sqlite3.Cursor, row: Sequence[object]) -> Verdict:
        try:
            for sql, parameters in self._statements:
                if cursor.execute(sql, parameters(row)).rowcount == 1:
                    return True
        except sqlite3.IntegrityError as exc:
            if not cursor.connection.in_transaction:  # a trigger can take back all that was done before
                raise
            return exc
        return False


class PurgeStep(Transaction):
    """Removes the expired among the first ``limit`` records that are due; then puts off those that live on.

    Its results: how many it removed, and how many it put off, which are at most ``batch``. Where both are 0, nothing
    is due any more.
    """

    def __init__(self, sql: Statements, now: float, limit: int, batch: int) -> None:
        self._sql = sql
        self._now = now
        self._limit = limit
        self._batch = batch

    def _work(self, cursor: sqlite3.Cursor) -> list[int]:
        removed = cursor.execute(self._sql.purge, (self._now, self._limit, self._now)).rowcount
        if removed == self._limit:
            return [removed, 0]
        return [removed, cursor.execute(self._sql.put_off, (self._now, self._batch, self._now)).rowcount]
