"""What happens in one transaction, run in the driver's thread in one go."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from .statements import Row, Statement, Statements

__all__ = ["Deletes", "PurgeStep", "Single", "Transaction", "Writes"]


class Transaction(ABC):
    """Runs in a transaction that has begun, and ends it; ``fetchall`` gives the results once all is committed.

    ``maybe_done`` tells after a failure whether the commit had been asked for: before that, nothing has changed.
    """

    BEGIN = "BEGIN IMMEDIATE"
    maybe_done: bool = False

    def run(self, connection: sqlite3.Connection) -> Self:
        try:
            self._results = self._work(connection.cursor())
            self.maybe_done = True
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return self

    def fetchall(self) -> list[Any]:
        return self._results

    @abstractmethod
    def _work(self, cursor: sqlite3.Cursor) -> list[Any]: ...


class Single(Transaction):
    """One statement; its results are the rows that it returns."""

    def __init__(self, sql: str, parameters: Sequence[object]) -> None:
        self._sql = sql
        self._parameters = parameters

    def _work(self, cursor: sqlite3.Cursor) -> list[Row]:
        return cursor.execute(self._sql, self._parameters).fetchall()


class _Batch(Transaction):
    """Writes of one moment, one for each row of parameters, each with its own verdict.

    An error that a row met alone, and that its neighbours did not, is a verdict too.
    """

    def __init__(self, rows: Sequence[Sequence[object]]) -> None:
        self._rows = rows

    def _work(self, cursor: sqlite3.Cursor) -> list[Any]:
        verdicts: list[Any] = []
        for row in self._rows:
            try:
                verdicts.append(self._write(cursor, row))
            except sqlite3.IntegrityError as exc:
                if not cursor.connection.in_transaction:  # a trigger can take back all that was done before
                    raise
                verdicts.append(exc)
        return verdicts

    @abstractmethod
    def _write(self, cursor: sqlite3.Cursor, row: Sequence[object]) -> Any: ...


class Writes(_Batch):
    """For every row the statements are tried in turn; the verdict is whether one of them changed something."""

    def __init__(self, statements: Sequence[Statement], rows: Sequence[Sequence[object]]) -> None:
        super().__init__(rows)
        self._statements = statements

    def _write(self, cursor: sqlite3.Cursor, row: Sequence[object]) -> bool:
        for sql, parameters in self._statements:  # noqa: SIM110 - any() and its generator cost more
            if cursor.execute(sql, parameters(row)).rowcount == 1:
                return True
        return False


class Deletes(_Batch):
    """The verdict is the row that was removed, or None."""

    def __init__(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        super().__init__(rows)
        self._sql = sql

    def _write(self, cursor: sqlite3.Cursor, row: Sequence[object]) -> Row | None:
        removed: list[Row] = cursor.execute(self._sql, row).fetchall()
        return removed[0] if removed else None


class PurgeStep(Transaction):
    """Removes the expired among the first ``limit`` records that are due; then defers those that live on.

    Its results: how many it removed, and how many it deferred, which are at most ``batch``. Where both are 0, nothing
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
        return [removed, cursor.execute(self._sql.defer, (self._now, self._batch, self._now)).rowcount]
