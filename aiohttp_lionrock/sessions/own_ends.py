"""What one request has ended itself: a login of the same request comes after that, or it would be none."""

import asyncio
from contextvars import ContextVar
from itertools import count
from weakref import ReferenceType, ref

__all__ = ["begin_request", "has_ended", "moment", "note_end", "share_notes"]

MOST = 1000  # notes of one request; the oldest go first


class _Notes(dict[tuple[str, str | None], int]):
    """When it was that a sid, a subject or a signer was ended, by the name of which it is; None: everyone.

    All tasks of a request share one table, those that it begins too, and all managers: what one has ended another one
    may meet in the same database. ``task`` is whose it is where no request was begun.
    """

    task: "ReferenceType[asyncio.Task[object]] | None" = None


_notes: ContextVar[_Notes | None] = ContextVar("aiohttp_lionrock_own_ends", default=None)
_moments = count(1)


def begin_request() -> None:
    """From now on what is ended in this context, and in those of tasks that it begins, is of one request."""
    _notes.set(_Notes())


def share_notes() -> None:
    """The same for whoever begins no request: what this task does from now on, and tasks that it begins, is of one."""
    notes = _notes.get()
    if notes is None or (notes.task is not None and notes.task() is not asyncio.current_task()):
        _notes.set(_owned())


def _owned() -> _Notes:
    notes, task = _Notes(), asyncio.current_task()
    notes.task = None if task is None else ref(task)
    return notes


def moment() -> int:
    """A number that goes up: what is noted later has a higher one."""
    return next(_moments)


def note_end(what: str, which: str | None) -> None:
    """Remembers that a "sid", all sessions of a "subject" or of a "signer" have been ended; of signer None, all."""
    if (notes := _notes.get()) is None:
        _notes.set(notes := _owned())
    notes.pop((what, which), None)
    notes[what, which] = moment()
    if len(notes) > MOST:
        del notes[next(iter(notes))]


def has_ended(sid: str | None, subject: str | None, signer: str, since: int) -> bool:
    """Whether this request has ended this session, which is of this subject and signer, after that moment."""
    if not (notes := _notes.get()):
        return False
    ends = (("sid", sid), ("subject", subject), ("signer", signer), ("signer", None))
    return any(notes.get(end, 0) > since for end in ends)
