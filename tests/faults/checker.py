"""The promises of a failover, each judged over a history. No I/O.

What nobody acknowledged has an unknown outcome: a logout answered with 503 may have ended the session or not.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .history import REFRESH, UNANSWERED, History, Kind, Operation, Outcome, Reuse
from .lives import Life, lives_in

__all__ = ["BACK_WITHIN", "STEADY", "Violation", "back_at", "check"]

BACK_WITHIN = 30.0  # seconds from the election of a primary to a service that answers
STEADY = 2.0  # seconds for which everything must be answered before the service counts as back
EVERYDAY = (Kind.LOGIN, Kind.RENEW, Kind.REFRESH, Kind.READ, Kind.WRITE, Kind.LOGOUT)


class Violation(NamedTuple):
    """A promise that was broken, and the operations that show it."""

    rule: str
    text: str
    evidence: tuple[Operation | Reuse, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.rule}: {self.text}", *map(str, self.evidence)])


def check(history: History) -> list[Violation]:
    """All violations. None means that every promise was kept, and that the history can tell."""
    lives = lives_in(history)
    found: list[Violation] = []
    for life in lives.values():
        found += [*_stays_ended(life), *_forms_a_chain(life), *_stays_valid(life, history)]
        found += _was_asked_again(life, history)
    return [*found, *_no_false_replays(history, lives), *_answers(history), *_is_back(history), *_is_rich(history)]


def _stays_ended(life: Life) -> Iterator[Violation]:
    """What was acknowledged as ended, or once was refused, is never honoured again."""
    gone_at, witness = life.ended_at, life.end
    for operation in life.seen:
        if operation.is_dead and operation.ended < gone_at:
            gone_at, witness = operation.ended, operation
    for operation in life.seen:
        if operation.is_alive and operation.started > gone_at and witness is not None:
            yield Violation("revoked stays revoked", f"session {life.sid} is alive again", (witness, operation))


def _forms_a_chain(life: Life) -> Iterator[Violation]:
    """From the first refresh jti on, each has at most one successor, and each successor one predecessor."""
    first = life.birth.received.get(REFRESH)
    after: dict[str, tuple[str, Operation]] = {}
    before: dict[str, tuple[str, Operation]] = {}
    for jti, successor, operation in life.successors():
        known, witness = after.setdefault(jti, (successor, operation))
        if known != successor:
            yield Violation("one chain", f"session {life.sid}: {jti} has two successors", (witness, operation))
        known, witness = before.setdefault(successor, (jti, operation))
        if known != jti:
            yield Violation("one chain", f"session {life.sid}: {successor} has two predecessors", (witness, operation))
    if first is not None and first.jti in before:
        yield Violation("one chain", f"session {life.sid} goes back to its beginning", (before[first.jti][1],))
    for operation in life.seen:
        ticket = operation.received.get(REFRESH)
        if ticket and first and ticket.sid == life.sid and ticket.jti != first.jti and ticket.jti not in before:
            yield Violation("one chain", f"session {life.sid}: {ticket.jti} follows from nothing", (operation,))


def _stays_valid(life: Life, history: History) -> Iterator[Violation]:
    """A session that nobody tried to end is honoured, however late its client comes back after a 503.

    One whose renewal was answered with 503 may be superseded for a while, until it is given back.
    """
    for operation in life.seen:
        is_excused = life.moved_from < operation.ended and operation.kind is not Kind.PROBE
        is_lost = operation.is_dead or (operation.is_superseded and not is_excused)
        if not is_lost or life.maybe_ended_from < operation.ended:
            continue
        if not _may_be_taken_for_a_thief(operation, life, history):
            earlier = [other for other in life.seen if other.ended <= operation.started][-4:]
            text = f"session {life.sid} was lost by client {operation.client}"
            yield Violation("valid stays valid", text, (*earlier, operation))
            return


def _no_false_replays(history: History, lives: dict[str, Life]) -> Iterator[Violation]:
    """A replay verdict is true where a superseded token was presented on purpose, and then it is passed, once."""
    heard = Counter(reuse.sid for reuse in history.reuses)
    for reuse in history.reuses:
        life = lives.get(reuse.sid)
        seen = life.seen if life else []
        shown = [op for op in seen if op.sent.get(REFRESH) and op.sent[REFRESH].jti == reuse.jti]
        asked = [op for op in shown if op.started <= reuse.at]
        if any(op.kind is Kind.REPLAY for op in asked):
            continue
        if life is None or not any(_may_be_taken_for_a_thief(op, life, history) for op in asked):
            yield Violation("no false replay", f"session {reuse.sid} was revoked for a replay", (*shown[-4:], reuse))
    for life in lives.values():
        replays = [op for op in life.seen if op.kind is Kind.REPLAY and op.outcome not in UNANSWERED]
        if replays and (replays[0].outcome is not Outcome.REFUSED or heard[life.sid] != 1):
            text = f"a true replay in session {life.sid} had {heard[life.sid]} verdicts, not one"
            yield Violation("no false replay", text, tuple(replays))


def _may_be_taken_for_a_thief(operation: Operation, life: Life, history: History) -> bool:
    """Whether an answer to this token was lost on its way to the client, longer than the leeway ago.

    The app cannot know that, unlike its own 503: a lost answer may have carried the successor.
    """
    sent = operation.sent.get(REFRESH)
    return sent is not None and any(
        other.outcome is Outcome.LOST
        and other.sent.get(REFRESH) == sent
        and operation.ended - other.started > history.leeway
        for other in life.seen
    )


def _answers(history: History) -> Iterator[Violation]:
    """The handler's own answers and 503 are all there is, and a 503 leaves the cookies alone."""
    for operation in history.operations:
        if operation.outcome is Outcome.ODD:
            yield Violation("200 or 503", f"another answer: {operation.note}", (operation,))
        if operation.outcome is Outcome.UNAVAILABLE and operation.received:
            yield Violation("200 or 503", "a 503 that changes cookies", (operation,))


def back_at(history: History) -> float | None:
    """When the service was back: the first answer after the election from which on, for a while, all are answered.

    None where that never was, or cannot be told.
    """
    if history.fault is None:
        return None
    elected = history.fault.primary_at
    since = sorted((op for op in history.requests() if op.ended >= elected), key=lambda op: op.ended)
    for begun in [elected, *(op.ended for op in since if op.outcome in UNANSWERED)]:
        later = [op for op in since if op.ended > begun]
        window = [op for op in later if op.ended <= begun + STEADY]
        if window and len(window) < len(later) and not any(op.outcome in UNANSWERED for op in window):
            return window[0].ended
    return None


def _is_back(history: History) -> Iterator[Violation]:
    fault, back = history.fault, back_at(history)
    if fault is None:
        return
    servers = {op.server for op in history.requests()}
    if back is None:
        yield Violation("back in 30 s", "the service did not come back")
        return
    if back - fault.primary_at > BACK_WITHIN:
        yield Violation("back in 30 s", f"it took {back - fault.primary_at:.1f} s from the election of a primary")
    deadline = max(fault.primary_at, fault.over) + BACK_WITHIN
    for operation in history.unavailable():
        if operation.started > deadline:
            yield Violation("back in 30 s", "unavailable long after the fault", (operation,))
    for server in servers - {op.server for op in history.answered() if op.started >= back}:
        yield Violation("back in 30 s", f"app {server} never answered again")


def _was_asked_again(life: Life, history: History) -> Iterator[Violation]:
    """No promise is kept by not looking: after the fault each session's cookies are presented once more."""
    over = history.fault.over if history.fault else 0.0
    if not any(op.started > over and op.outcome not in UNANSWERED and op.kind is Kind.PROBE for op in life.seen):
        yield Violation("enough was seen", f"session {life.sid} was not asked for after the fault")


def _is_rich(history: History) -> Iterator[Violation]:
    """Each kind of request succeeded before the fault and after it."""
    fault = history.fault
    if fault is None:
        return
    done = [op for op in history.requests() if op.outcome is Outcome.DONE]
    before = {op.kind for op in done if op.ended < fault.began}
    after = {op.kind for op in done if op.started > fault.primary_at}
    for kind in EVERYDAY:
        if kind not in before or kind not in after:
            yield Violation("enough was seen", f"no {kind} succeeded before the fault, or none after it")
