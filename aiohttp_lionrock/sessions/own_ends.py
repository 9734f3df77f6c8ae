"""What one request has ended itself: a login of the same request comes after that, or it would be none."""

from contextvars import ContextVar
from itertools import count

from ..storage.contract import JtiStorage

__all__ = ["begin_request", "has_ended", "moment", "note_end"]

MOST = 1000  # notes of one request; the oldest go first

# What was ended last at which moment: the storage, and a sid or a subject. One table that all tasks of a request share,
# those that it begins too.
_Notes = dict[tuple[int, str | None, str | None], int]
_notes: ContextVar[_Notes | None] = ContextVar("aiohttp_lionrock_own_ends", default=None)
_moments = count(1)


def begin_request() -> None:
    """From now on what is ended in this context, and in those of tasks that it begins, is of one request."""
    _notes.set({})


def moment() -> int:
    """A number that goes up: what is noted later has a higher one."""
    return next(_moments)


def note_end(storage: JtiStorage, *, sid: str | None = None, subject: str | None = None) -> None:
    """Remembers that a session, all sessions of a subject or, with neither, all sessions have been ended."""
    if (notes := _notes.get()) is None:
        _notes.set(notes := {})
    ended = (id(storage), sid, subject)
    notes.pop(ended, None)
    notes[ended] = moment()
    if len(notes) > MOST:
        del notes[next(iter(notes))]


def has_ended(storage: JtiStorage, sid: str | None, subject: str | None, since: int) -> bool:
    """Whether this request has ended this session, which is of this subject, after that moment."""
    if not (notes := _notes.get()):
        return False
    return any(notes.get((id(storage), *ended), 0) > since for ended in ((sid, None), (None, subject), (None, None)))
