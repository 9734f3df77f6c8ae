"""The writes of one moment in one transaction, run in the driver's thread."""

import sqlite3
from collections.abc import Sequence
from typing import Self

from .statements import Statement

__all__ = ["Transaction", "Verdict"]

Verdict = bool | sqlite3.Error


class Transaction:
    """Writes that are committed together, each with its own verdict: whether one of the statements changed a row.

    For every row of parameters the statements are tried in turn. ``fetchall`` gives the verdicts once all is committed;
    an error that a row met alone, and that its neighbours did not, is a verdict too.
    """

    BEGIN = "BEGIN IMMEDIATE"

    def __init__(self, statements: Sequence[Statement], rows: Sequence[Sequence[object]]) -> None:
        self._statements = statements
        self._rows = rows
        self._verdicts: list[Verdict] = []

    def run(self, connection: sqlite3.Connection) -> Self:
        """Runs in a transaction that has begun, and ends it."""
        cursor = connection.cursor()
        try:
            self._verdicts = [self._judge(cursor, row) for row in self._rows]
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return self

    def fetchall(self) -> list[Verdict]:
        return self._verdicts

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
