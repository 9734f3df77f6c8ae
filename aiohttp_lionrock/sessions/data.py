"""SessionData: what the application keeps. Parts of a token that nobody touches are neither copied nor compared.

What came in a token is shared by every request that brings it, so nothing of it that could change inside is ever
handed out: whoever asks for a list or a dictionary gets a copy, which takes its place in this request alone.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ..errors import SessionDataError
from ..jsontext import SCALARS, encode, explain_unstorable

__all__ = ["SessionData", "check_storable", "copied"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ABSENT = object()
_PLAIN = SCALARS | {dict, list}


class SessionData:
    """The data as it was presented, and as it is now. ``assigned``: the keys that this request has set or removed.

    ``is_touched``: something was set, removed, or taken out so that it may be changed. ``has_own_parts``: somebody
    outside may hold a list or a dictionary of it.
    """

    __slots__ = ("_before", "_now", "assigned", "has_own_parts", "is_cleared", "is_touched")

    def __init__(self, before: Mapping[str, Any] = _NOTHING) -> None:
        self._before = before
        self._now: Mapping[str, Any] = before  # the same object until the first change
        self.is_touched: bool = False
        self.has_own_parts: bool = False
        self.is_cleared: bool = False
        self.assigned: set[str] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._now

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def __getitem__(self, key: str) -> Any:
        value = self._now[key]
        if type(value) in SCALARS or value is not self._before.get(key):
            return value
        own = self._own()[key] = copied(value)
        self.has_own_parts = True
        return own

    def get(self, key: str, default: Any) -> Any:
        """The value of a key; the default where there is none."""
        value = self._now.get(key, _ABSENT)
        if type(value) in SCALARS:
            return value
        return default if value is _ABSENT else self[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._own()[key] = value
        self.assigned.add(key)
        if type(value) not in SCALARS:
            self.has_own_parts = True

    def __delitem__(self, key: str) -> None:
        self.assigned.add(key)
        del self._own()[key]

    def clear(self) -> None:
        """Removes every key."""
        self._now = {}
        self.is_touched = self.is_cleared = True

    def keep_assigned(self) -> None:
        """Removes what this request has not set itself."""
        self._now = self.assigned_view()
        self.is_touched = True

    def add(self, more: Mapping[str, Any]) -> None:
        """Adds what this request has neither set nor removed, were it only to make sure that it is not there."""
        if self.is_cleared:
            return
        for key, value in more.items():
            if key not in self.assigned:
                self._own()[key] = copied(value)
                self.has_own_parts = True

    def assigned_view(self) -> dict[str, Any]:
        """What this request has set itself, to be read and not to be changed."""
        return {key: value for key, value in self._now.items() if key in self.assigned}

    def view(self) -> Mapping[str, Any]:
        """The data as it is, to be read and not to be changed."""
        return self._now

    def is_changed(self) -> bool:
        """Whether it differs, at any depth, from what was presented or last written."""
        if not self.is_touched:
            return False
        before, now = self._before, self._now
        if len(now) != len(before):
            return True
        for key, value in now.items():
            was = before.get(key, _ABSENT)
            if value is not was and not _is_same(value, was):
                return True
        return False

    def changes(self) -> list[str]:
        """The keys whose values differ from what was presented or last written, without those that are gone."""
        if not self.is_touched:
            return []
        before, now = self._before, self._now
        compared = [(key, value, before.get(key, _ABSENT)) for key, value in now.items()]
        return [key for key, value, was in compared if value is not was and not _is_same(value, was)]

    def changed_parts(self) -> list[str]:
        """The keys of lists and dictionaries that are not equal to what was presented or last written."""
        return [key for key, value in self._own_parts() if not _is_equal(value, self._before.get(key))]

    def check(self) -> None:
        """Raises SessionDataError, naming the key, where a value was changed in place into what cannot be stored."""
        if self.has_own_parts:
            for key, value in self._own_parts():
                check_storable(key, value)

    def snapshot(self) -> Mapping[str, Any]:
        """The data as it is, whatever is changed inside of its values later."""
        if not self.has_own_parts:
            return self._now
        return {**self._now, **{key: copied(value) for key, value in self._own_parts()}}

    def written(self, snapshot: Mapping[str, Any]) -> None:
        """Takes the data as it was for what it is compared with from now on."""
        self._before = snapshot
        self.is_touched = snapshot is not self._now
        self.assigned = set()

    def _own_parts(self) -> list[tuple[str, Any]]:
        before = self._before
        return [
            (key, value)
            for key, value in self._now.items()
            if type(value) not in SCALARS and value is not before.get(key)
        ]

    def _own(self) -> dict[str, Any]:
        if self._now is self._before or type(self._now) is not dict:
            self._now = dict(self._now)
        self.is_touched = True
        return self._now


def copied(value: Any) -> Any:
    """A copy of a JSON value that shares no part that could change inside."""
    if isinstance(value, dict):
        return {key: item if type(item) in SCALARS else copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [item if type(item) in SCALARS else copied(item) for item in value]
    return value


def check_storable(key: str, value: object) -> None:
    """Raises SessionDataError where this value would not come back from a token as it is."""
    reason = explain_unstorable(value) or (None if key.isascii() else explain_unstorable(key))
    if reason:
        raise SessionDataError(f"session[{key!r}] cannot be stored: {reason}", key)


def _is_same(value: Any, was: Any) -> bool:
    """Whether a token would say the same of both: 1 is neither True nor 1.0, and 0.0 is not -0.0."""
    return _is_equal(value, was) and _is_alike(value, was)


def _is_equal(value: Any, was: Any) -> bool:
    try:
        return bool(value == was)
    except Exception:  # it contains itself, or an array whose == is no bool: the write that follows names the key
        return False


def _is_alike(value: Any, was: Any) -> bool:
    """Whether equal values are alike in type, too, at every depth, and their names in the same order."""
    kind = type(value)
    if kind is not type(was):
        return not _PLAIN.issuperset((kind, type(was))) and _is_written_alike(value, was)
    if kind is dict:
        for (name, item), (other, old) in zip(value.items(), was.items(), strict=True):
            if name != other or not _is_alike(item, old):
                return False
    elif kind is list:
        for item, old in zip(value, was, strict=True):
            if not _is_alike(item, old):
                return False
    elif kind is float:
        return repr(value) == repr(was)
    return True


def _is_written_alike(value: object, was: object) -> bool:
    try:
        return encode(value) == encode(was)
    except (TypeError, ValueError):
        return False
