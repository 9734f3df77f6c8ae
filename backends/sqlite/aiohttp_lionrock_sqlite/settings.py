"""What can be configured, from a URL or from arguments; every fault is found at once and before any I/O."""

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote

from aiohttp_lionrock.errors import ConfigError

from .schema import VERSIONS_TABLE

__all__ = ["Settings"]

MEMORY = ":memory:"
LONGEST_TIMEOUT = 60

_SYNCHRONOUS = ("NORMAL", "FULL", "EXTRA")
_TABLE = re.compile(r"(?!sqlite_)[a-z_][a-z0-9_]{0,62}", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration; ``busy_timeout`` is in seconds. Raises ConfigError with every fault."""

    path: str
    synchronous: str = "FULL"
    busy_timeout: float = 1.0
    table: str = "lionrock_sessions"
    create_parents: bool = False

    def __post_init__(self) -> None:
        if faults := [fault for fault in self._faults() if fault]:
            raise ConfigError(faults)
        if not self.in_memory:
            object.__setattr__(self, "path", os.path.abspath(self.path))

    @property
    def in_memory(self) -> bool:
        """Whether this is a private database in memory."""
        return self.path == MEMORY

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Reads ``sqlite:///relative.db?option=value`` and its other forms; messages never repeat the URL."""
        scheme, _, rest = url.partition(":")
        address, _, query = rest.partition("?")
        options, faults = _read_options(query)
        if scheme.lower() != "sqlite" or not address.startswith("//"):
            faults.append("a SQLite URL starts with sqlite:///")
        if "#" in url:
            faults.append("a # in a SQLite URL is written %23")
        path = _read_path(address[2:], faults)
        try:
            settings = cls(path, **options)
        except ConfigError as exc:
            faults.extend(exc.faults)
        if faults:
            raise ConfigError(faults)
        return settings

    def _faults(self) -> list[str | None]:
        return [
            _path_fault(self.path),
            _synchronous_fault(self.synchronous),
            _timeout_fault(self.busy_timeout),
            _table_fault(self.table),
            None if isinstance(self.create_parents, bool) else "create_parents must be true or false",
        ]


def _path_fault(path: object) -> str | None:
    if not isinstance(path, str):
        return "path must be text or a pathlib.Path"
    if not path or "\x00" in path:
        return "path must name a file, without a NUL character in it"
    if path.endswith(("/", os.sep)):
        return f"path names a folder, not a file: {path!r}"
    return None


def _synchronous_fault(value: object) -> str | None:
    if value in _SYNCHRONOUS:
        return None
    reason = "; with OFF an acknowledged write could be lost" if value == "OFF" else ""
    return f"synchronous must be NORMAL, FULL or EXTRA, not {value!r}{reason}"


def _timeout_fault(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_TIMEOUT:
        return None
    return f"busy_timeout must be a number of seconds above 0 and at most {LONGEST_TIMEOUT}, not {value!r}"


def _table_fault(value: object) -> str | None:
    if not isinstance(value, str) or not _TABLE.fullmatch(value):
        return (
            "table must be 1 to 63 letters, digits and underscores, not begin with a digit"
            f" and not begin with sqlite_; it is {value!r}"
        )
    if value.lower() == VERSIONS_TABLE:
        return f"table must not be {VERSIONS_TABLE!r}: the schema versions are kept there"
    return None


def _read_path(address: str, faults: list[str]) -> str:
    host, slash, path = address.partition("/")
    if host:
        faults.append(
            "a SQLite URL has no host: write three slashes before a relative path (sqlite:///sessions.db)"
            " and four before an absolute one (sqlite:////var/lib/app/sessions.db)"
        )
    elif slash and not path:
        faults.append("the SQLite URL names no file; for a private database in memory write sqlite://")
    elif _STRAY_PERCENT.search(path):
        faults.append("a percent sign in the path of a SQLite URL is written %25")
    else:
        try:
            return unquote(path, errors="strict") or MEMORY
        except UnicodeDecodeError:
            faults.append("the percent-encoded path of the SQLite URL is not UTF-8")
    return MEMORY


def _read_options(query: str) -> tuple[dict[str, Any], list[str]]:
    options: dict[str, Any] = {}
    faults: list[str] = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in _READERS:
            near = difflib.get_close_matches(name.lower(), _READERS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(_READERS))}"
            faults.append(f"unknown SQLite option {name!r}; {hint}")
        elif name in options:
            faults.append(f"the SQLite option {name} is given more than once")
        else:
            options[name] = _READERS[name](unquote(value))
    return options, faults


def _read_number(value: str) -> float | str:
    return float(value) if _NUMBER.fullmatch(value) else value


def _read_flag(value: str) -> bool | str:
    return {"true": True, "false": False}.get(value.lower(), value)


_READERS: dict[str, Callable[[str], object]] = {
    "synchronous": str.upper,
    "busy_timeout": _read_number,
    "table": str,
    "create_parents": _read_flag,
}
