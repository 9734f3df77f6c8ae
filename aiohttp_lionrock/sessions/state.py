"""Life: what the library remembers of a session in hand, beside what the handler sees of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from ..errors import SessionSealed, TokenError
from ..storage.contract import Clock, system_time
from .contents import CREATOR, Contents, ContentsReader
from .data import SessionData
from .life import ASKED_NOTHING, Asked, Presented
from .own_ends import moment
from .term import Term

__all__ = ["Life", "life_in_hand"]

_by_sub = ContentsReader("sub").subject_of

# Sids that no token and no record has yet, by the session in hand that is to get them.
_in_hand: WeakValueDictionary[str, "Life"] = WeakValueDictionary()


class Life:
    """What the library remembers of a session in hand.

    | field | written by | read by |
    |---|---|---|
    | ``presented`` | load, and save once the tokens are signed | plan, save |
    | ``asked`` | the session's methods; save starts it anew | plan, save |
    | ``data`` | the mapping's methods | plan, save |
    | ``id sid creator created_at expires_at`` | load, renew, invalidate, save | the handler, mint |
    | ``authenticated_at term`` | load, login, authenticate, expire_in, invalidate, save | the handler, mint |
    | ``rejected`` | load; save, where the session was ended meanwhile | the handler |
    | ``is_new`` | load, invalidate, save | the handler |
    | ``is_sealed`` | `seal` | whatever would change the session |
    | ``unsaved`` | `give_up`: keys whose changes were not saved, and are known to be lost | `warn_if_changed` |
    | ``subject_of clock`` | the manager | ``Session`` |
    | ``since`` | load, save: when it was, as `own_ends.moment` counts | records |
    """

    __slots__ = (
        "__weakref__",
        "_next_sid",
        "asked",
        "authenticated_at",
        "clock",
        "created_at",
        "creator",
        "data",
        "expires_at",
        "id",
        "is_new",
        "is_sealed",
        "presented",
        "rejected",
        "sid",
        "since",
        "subject_of",
        "term",
        "unsaved",
    )

    def __init__(
        self,
        presented: Presented | None = None,
        contents: Contents | None = None,
        subject_of: Callable[[Mapping[str, Any]], str | None] = _by_sub,
        created_at: int | None = None,
        clock: Clock = system_time,
    ) -> None:
        self.presented: Presented | None = presented
        self.clock: Clock = clock
        self.since: int = moment()
        self.subject_of: Callable[[Mapping[str, Any]], str | None] = subject_of
        self.asked: Asked = ASKED_NOTHING
        self.created_at = created_at
        self.is_sealed: bool = False
        self.unsaved: Sequence[str] = ()
        self._next_sid: str | None = None
        if contents is None:
            self.rejected: TokenError | None = None if presented is None else presented.fault
            self.start_over()
            return
        self.rejected = None
        self.is_new: bool = False
        self.id = contents.id
        self.sid: str = contents.sid
        self.creator: str = contents.creator
        self.expires_at: int | None = contents.expires_at
        self.authenticated_at: int | None = contents.authenticated_at
        self.term: Term = contents.term
        self.data: SessionData = SessionData(contents.data)

    @property
    def subject(self) -> str | None:
        """Whose session the data makes it; None: nobody's."""
        return self.subject_of(self.data.view())

    def start_over(self) -> None:
        """A session of which nothing is known yet."""
        self.is_new = True
        self.id = self.created_at = self.expires_at = self.authenticated_at = None
        self.term = Term()
        self.creator = CREATOR
        self.data = SessionData()
        self.take_new_sid()

    def take_new_sid(self) -> None:
        """A sid that nobody has yet."""
        self.go_on_as(self.next_sid())

    def go_on_as(self, sid: str) -> None:
        """From now on the session is the one of this sid."""
        self.sid, self._next_sid = sid, None

    def give_up_sid(self, sid: str) -> None:
        """Has no use for a sid that it took in vain: what was stored under it is undone."""
        if sid == self._next_sid:
            self._next_sid = None
        if sid == self.sid:
            self.take_new_sid()

    def next_sid(self) -> str:
        """The sid that it moves to, should it move."""
        if self._next_sid is None:
            self._next_sid = str(uuid4())
            _in_hand[self._next_sid] = self
        return self._next_sid

    def is_to_get(self, sid: str) -> bool:
        """Whether it has this sid, or is to get it."""
        return sid in (self.sid, self._next_sid)

    def sid_when_saved(self) -> str:
        """The sid under which it goes on as the data is now: a new one where that makes it somebody else's."""
        came = self.presented
        if came is None or came.sid != self.sid:
            return self.sid
        try:
            return self.sid if came.subject == self.subject else self.next_sid()
        except Exception:  # a function of the application that cannot read the data as it is now
            return self.sid

    def check_open(self) -> None:
        """Raises SessionSealed where a change could not be kept any more."""
        if self.is_sealed:
            raise SessionSealed(
                "the response has left with its cookies: change the session before it is prepared; "
                "to end a session later, use SessionManager.revoke"
            )


def life_in_hand(sid: str) -> Life | None:
    """The session in some request's hand that is to get this sid when it is saved."""
    life = _in_hand.get(sid)
    return life if life is not None and life.is_to_get(sid) else None
