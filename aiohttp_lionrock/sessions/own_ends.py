"""What one request has ended itself: a login of the same request comes after that, or it would be none."""

from contextvars import ContextVar

from ..storage.contract import JtiStorage

__all__ = ["begin_request", "has_ended", "note_end"]

MOST = 1000  # notes of one request

# Each is the storage, and a sid or a subject. A set that all tasks of a request share, those that it begins too.
_Notes = set[tuple[int, str | None, str | None]]
_notes: ContextVar[_Notes | None] = ContextVar("aiohttp_lionrock_own_ends", default=None)


def begin_request() -> None:
    """From now on what is ended in this context, and in those of tasks that it begins, is of one request."""
    _notes.set(set())


def note_end(storage: JtiStorage, *, sid: str | None = None, subject: str | None = None) -> None:
    """Remembers that a session, all sessions of a subject or, with neither, all sessions have been ended."""
    if (notes := _notes.get()) is None:
        _notes.set(notes := set())
    if len(notes) < MOST:
        notes.add((id(storage), sid, subject))


def has_ended(storage: JtiStorage, sid: str | None, subject: str | None) -> bool:
    """Whether this request has ended this session, which is of this subject."""
    if not (notes := _notes.get()):
        return False
    return not notes.isdisjoint((id(storage), *ended) for ended in ((sid, None), (None, subject), (None, None)))
