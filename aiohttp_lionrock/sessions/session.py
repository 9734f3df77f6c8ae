"""Session: the mapping that a handler sees. No I/O: it only remembers what is to be done at the response."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ..errors import ReservedName, SessionDataError, TokenError
from ..faults import Faults, is_number
from ..tokens.codec import MAX_ID, is_id
from .contents import CREATOR, RESERVED
from .data import check_storable, copied
from .hints import instead_of_reading, instead_of_setting
from .labels import joined_labels
from .life import Level, needs_nothing
from .state import Life
from .term import Term

__all__ = ["Session", "is_at_rest", "life_of", "session_of"]


class Session(MutableMapping[str, Any]):
    """What the application keeps for one visitor: text keys to JSON values, carried in the token.

    Storing raises SessionDataError, naming the key, where a value would not come back unchanged, and
    SessionSealed once the response is on its way. A copy, and what was pickled, has the data alone.
    """

    __slots__ = ("__weakref__", "_life")
    _life: Life

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        sid: str | None = None,
        creator: str = CREATOR,
    ) -> None:
        life = Life()
        for name, given in (("id", id), ("sid", sid), ("creator", creator)):
            if given is not None and not is_id(given):
                raise ValueError(f"{name} must be text of 1 to {MAX_ID} characters without NUL")
        life.id = id
        life.sid = sid or life.sid
        life.creator = creator
        _set_life(self, life)
        if data:
            self.update(data)

    @property
    def id(self) -> str | None:
        """A UUID given at the first write, through every renewal and login; None before. `revoke` takes the `sid`."""
        return self._life.id

    @property
    def sid(self) -> str:
        """The id that revocation goes by; a new one after `renew`, and wherever the subject changes."""
        return self._life.sid_when_saved()

    @property
    def creator(self) -> str:
        """Which library made it; kept as it came."""
        return self._life.creator

    @property
    def is_new(self) -> bool:
        """True where no honoured token came with the request, and after `invalidate`."""
        return self._life.is_new

    @property
    def created_at(self) -> int | None:
        """Epoch seconds at which the session began; None for a new one.

        Known where ``max_lifetime``, ``anonymous_lifetime`` or ``idle_timeout`` is set, None otherwise.
        """
        return self._life.created_at

    @property
    def expires_at(self) -> int | None:
        """Epoch seconds at which the token last read or written expires; None for a new session."""
        return self._life.expires_at

    @property
    def authenticated_at(self) -> int | None:
        """Epoch seconds of the login, or of the last `authenticate` (``auth_time`` of OpenID Connect); None before."""
        return self._life.authenticated_at

    @property
    def subject(self) -> str | None:
        """Whose session this is, as text: the user that revoke-all and listings go by; None: nobody's."""
        return self._life.subject

    @property
    def rejected(self) -> TokenError | None:
        """Why the presented cookie was refused, or None."""
        return self._life.rejected

    def changed(self) -> None:
        """Has the cookies written with this response even where no value changed."""
        self._ask(Level.WRITE)

    def renew(self) -> None:
        """Same data under a new sid, the old one revoked: call it at login and at any change of privilege."""
        self._ask(Level.RENEW)
        self._life.take_new_sid()

    def invalidate(self) -> None:
        """Logout: data gone, the session revoked, cookies deleted. What is stored afterwards is a new session."""
        self._ask(Level.END, labels={})
        self._life.start_over()

    def expire_in(self, seconds: float | None) -> None:
        """Has this login last for so many seconds from now, whatever is configured; None: as long as is configured.

        The cookies get that Max-Age. It is kept through every refresh and write, and bounded by ``max_lifetime``.
        Raises ValueError for what is not a positive number of seconds.
        """
        faults = Faults()
        until = None if seconds is None else int(self._life.clock()) + faults.seconds("expire_in", seconds)
        if faults.found:
            ends = is_number(seconds) and seconds < 1
            way_out = "; expire_at_close() is for until the browser is closed, invalidate() ends the session"
            raise ValueError(faults.found[0] + (way_out if ends else ""))
        self._set_term(Term(until))

    def expire_at_close(self) -> None:
        """Has this login last until the browser is closed: the cookies get no Max-Age. The server's limits hold too."""
        self._set_term(Term(at_close=True))

    def authenticate(self) -> None:
        """Notes that the user, if any, has just proved who they are, as at a login: `authenticated_at` is now."""
        self._ask(Level.WRITE)
        self._life.authenticated_at = int(self._life.clock())

    def describe(self, labels: Mapping[str, str] | None = None, /, *, cut: bool = False, **more: str) -> None:
        """Puts labels (a device name, say) on the session's record; `SessionManager.sessions` lists them.

        Raises SessionDataError where they are not text, or more than 1,024 bytes of UTF-8 together; with ``cut`` the
        longest are shortened instead, and ``?`` stands for what cannot be kept. Older labels of the record give way.
        """
        labels = joined_labels(self._life.asked.labels, labels or {}, more, cut=cut)
        self._ask(Level.KEEP, labels=labels)

    def copy(self) -> Self:
        """A session of its own with the same data: no cookies, no id."""
        return type(self)(copied(dict(self._life.data.view())))

    def clear(self) -> None:
        """Removes every key. Where that leaves nothing of a user's session, it ends as by `invalidate`."""
        self._life.check_open()
        self._life.data.clear()

    def pop(self, key: str, *default: Any) -> Any:
        """Removes a key, and returns its value or else the default; KeyError where there is neither."""
        self._life.data.assigned.add(key)  # also where it is not there
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Removes the key that was stored last, and returns it with its value; KeyError where there is none."""
        if not self:
            raise KeyError("popitem: the session is empty")
        *_, key = self
        return key, self.pop(key)

    def __getitem__(self, key: str) -> Any:
        return self._life.data[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._life.data.get(key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        self._life.check_open()
        if not isinstance(key, str):
            raise SessionDataError(f"session keys are text, not {type(key).__name__}", repr(key))
        if key in RESERVED:
            raise ReservedName(
                f"session[{key!r}] cannot be stored: the token itself uses that name; use another, as in "
                f"session['user_{key}']",
                key,
            )
        check_storable(key, value)
        self._life.data[key if type(key) is str else str.__str__(key)] = value  # as it will come back from an Enum too

    def __delitem__(self, key: str) -> None:
        self._life.check_open()
        del self._life.data[key]

    def __contains__(self, key: object) -> bool:
        return key in self._life.data

    def __iter__(self) -> Iterator[str]:
        return iter(self._life.data)

    def __len__(self) -> int:
        return len(self._life.data)

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self.update(other)
        return self

    if not TYPE_CHECKING:  # a checker finds unknown names by itself

        def __setattr__(self, name: str, value: object) -> NoReturn:
            raise AttributeError(f"a session has no attribute {name!r} that could be set: {instead_of_setting(name)}")

        def __getattr__(self, name: str) -> NoReturn:
            if hasattr(type(self), name):  # a property that failed: its own error
                return object.__getattribute__(self, name)
            raise AttributeError(f"a session has no attribute {name!r}: {instead_of_reading(name)}")

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    __copy__ = copy

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (copied(dict(self._life.data.view())),)

    def __repr__(self) -> str:
        state = "new " if self.is_new else ""
        return f"<{state}Session sid={self.sid} keys={list(self)}>"

    def _set_term(self, term: Term) -> None:
        self._ask(Level.KEEP if self._life.is_new else Level.WRITE, sets_term=True)
        self._life.term = term

    def _ask(self, level: Level, **more: Any) -> None:
        self._life.check_open()
        self._life.asked = self._life.asked.at_least(level, **more)


_set_life = Session._life.__set__  # type: ignore[attr-defined]


def session_of(life: Life) -> Session:
    """The mapping for a handler over this life."""
    session = Session.__new__(Session)
    _set_life(session, life)
    return session


def life_of(session: Session) -> Life:
    """What the library remembers of a session."""
    return session._life


def is_at_rest(session: Session) -> bool:
    """Whether saving it would do nothing, as far as a glance can tell: most requests only read."""
    life = session._life
    return life.presented is not None and needs_nothing(life.presented, life.asked, life.data)
