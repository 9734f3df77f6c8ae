"""The life of each session as a history tells it: when it began, what may have ended it, what surely did."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .history import REFRESH, History, Kind, Operation, Outcome

__all__ = ["Life", "lives_in"]


@dataclass(slots=True)
class Life:
    """One session. Times are monotonic seconds; infinite where it did not happen."""

    sid: str
    birth: Operation
    seen: list[Operation] = field(default_factory=list)  # whatever presented its cookies, in the order of its starts
    ended_at: float = math.inf  # when an end was first acknowledged
    maybe_ended_from: float = math.inf  # from when an end was under way, acknowledged or not
    end: Operation | None = None
    moved_from: float = math.inf  # from when another session was to take over, whatever came of it
    heirs: "list[Heir]" = field(default_factory=list)

    def end_with_heirs(self, operation: Operation, *, surely: bool) -> None:
        """Ends it, and what it goes on as."""
        self.end_with(operation, surely=surely)
        for heir, took_over in self.heirs:
            heir.end_with_heirs(operation, surely=surely and took_over)

    def end_with(self, operation: Operation, *, surely: bool) -> None:
        self.maybe_ended_from = min(self.maybe_ended_from, operation.started)
        if surely and operation.ended < self.ended_at:
            self.ended_at, self.end = operation.ended, operation

    @property
    def is_over(self) -> bool:
        """Whether somebody was told that it has ended."""
        return self.end is not None

    @property
    def must_live(self) -> bool:
        """Whether nobody ever tried to end it."""
        return self.maybe_ended_from == math.inf

    def successors(self) -> Iterator[tuple[str, str, Operation]]:
        """Each refresh jti that was sent, the other one that came back for it, and the operation."""
        for operation in self.seen:
            if operation.successor:
                yield operation.sent[REFRESH].jti, operation.successor, operation


class Heir(NamedTuple):
    """A session that was begun out of another one. ``took_over``: a login may also be let in beside another heir."""

    life: Life
    took_over: bool


def lives_in(history: History) -> dict[str, Life]:
    """The sessions that clients got cookies of, by sid."""
    lives: dict[str, Life] = {}
    for operation in sorted(history.requests(), key=lambda operation: operation.ended):
        for ticket in operation.received.values():
            if ticket is not None:
                lives.setdefault(ticket.sid, Life(ticket.sid, operation))
    for operation in sorted(history.requests(), key=lambda operation: operation.started):
        if operation.sid in lives:
            lives[operation.sid].seen.append(operation)
            _note_heir(operation, lives)
    for operation in history.operations:
        _note_end(operation, lives)
    return lives


def _note_heir(operation: Operation, lives: dict[str, Life]) -> None:
    if operation.kind not in (Kind.LOGIN, Kind.RENEW) or operation.sid is None:
        return
    life = lives[operation.sid]
    life.moved_from = min(life.moved_from, operation.started)
    if operation.heir is not None:
        life.heirs.append(Heir(lives[operation.heir], operation.kind is Kind.RENEW))


def _note_end(operation: Operation, lives: dict[str, Life]) -> None:
    if operation.kind is Kind.REVOKE_ALL:
        for life in lives.values():
            if life.birth.client == operation.target:
                _note_revoke_all(operation, life)
        return
    sid = operation.target if operation.kind is Kind.REVOKE else operation.sid
    if sid not in lives:
        return
    answered = operation.outcome in (Outcome.DONE, Outcome.REFUSED)
    if operation.kind is Kind.REVOKE:
        lives[sid].end_with_heirs(operation, surely=answered)
    elif operation.kind is Kind.REPLAY:
        lives[sid].end_with(operation, surely=operation.outcome is Outcome.REFUSED)
    elif operation.kind is Kind.LOGOUT and (operation.is_alive or operation.is_superseded or not answered):
        lives[sid].end_with_heirs(operation, surely=operation.outcome is Outcome.DONE)
    elif operation.kind is Kind.LOGIN and (operation.is_alive or not answered):
        lives[sid].end_with(operation, surely=operation.outcome is Outcome.DONE)
    elif operation.kind is Kind.RENEW and (operation.is_alive or operation.outcome in (Outcome.LOST, Outcome.ODD)):
        lives[sid].end_with(operation, surely=operation.outcome is Outcome.DONE)  # after a 503 it is given back


def _note_revoke_all(operation: Operation, life: Life) -> None:
    """It covers what was there when it began, may cover what began beside it, and, unanswered, what came later."""
    surely = operation.outcome is Outcome.DONE
    if not surely or life.birth.started < operation.ended:
        life.end_with(operation, surely=surely and life.birth.ended < operation.started)
