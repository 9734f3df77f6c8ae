"""What can be configured, from a URL or from arguments; every fault is found at once and before any I/O."""

import os
import re
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import unquote

from aiohttp_lionrock.storage import MAX_NUMBER, Faults, Option, UrlOptions, flag, number, one_of, text

from .schema import VERSIONS_TABLE

__all__ = ["OPTIONS", "Settings"]

MEMORY = ":memory:"

_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DRIVE = re.compile(r"/?[A-Za-z]:[\\/]")


def _synchronous(written: str) -> Any:
    if written.upper() == "OFF":
        raise ValueError("be NORMAL, FULL or EXTRA: with OFF an acknowledged write could be lost")
    return one_of("NORMAL", "FULL", "EXTRA")(written)


OPTIONS = {
    "synchronous": Option(_synchronous, "FULL"),
    "busy_timeout": Option(number(0, 60, "seconds", above=True), 1.0),
    "table": Option(
        text(
            rf"(?!(?i:sqlite_|{VERSIONS_TABLE}$))[A-Za-z_][A-Za-z0-9_]{{0,62}}",
            "1 to 63 letters, digits and underscores, not begin with a digit or with sqlite_,"
            f" and not be {VERSIONS_TABLE}, where the schema versions are kept",
        ),
        "lionrock_sessions",
    ),
    "create_parents": Option(flag, False),
    "mode": Option(one_of("rw", "rwc"), "rwc"),
}
_URL_OPTIONS = UrlOptions("SQLite", OPTIONS)


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration; ``busy_timeout`` is in seconds. Raises ConfigError with every fault."""

    path: str
    synchronous: str = OPTIONS["synchronous"].default
    busy_timeout: float = OPTIONS["busy_timeout"].default
    table: str = OPTIONS["table"].default
    create_parents: bool = OPTIONS["create_parents"].default
    mode: str = OPTIONS["mode"].default

    def __post_init__(self) -> None:
        faults = Faults()
        _check_path(self.path, faults)
        for field in fields(self)[1:]:
            try:
                value = OPTIONS[field.name].read(_written(getattr(self, field.name), field.type))
                object.__setattr__(self, field.name, value)
            except ValueError as exc:
                faults.add(f"{field.name} must {exc}")
        faults.raise_if_any()
        if not self.in_memory:
            object.__setattr__(self, "path", os.path.abspath(self.path))

    @property
    def in_memory(self) -> bool:
        """Whether this is a private database in memory."""
        return self.path == MEMORY

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Reads ``sqlite:///relative.db?option=value`` and its other forms; messages never repeat a part of the URL."""
        faults = Faults()
        scheme, _, rest = url.partition(":")
        address, _, query = rest.partition("?")
        if scheme.lower() != "sqlite" or not address.startswith("//"):
            faults.add("a SQLite URL starts with sqlite:///")
        if "#" in url:
            faults.add("a # in a SQLite URL is written %23")
        path = _read_path(address[2:], faults)
        _check_path(path, faults)
        options, _ = _URL_OPTIONS.read(query, faults)
        faults.raise_if_any()
        return cls(path, **options)


def _written(value: object, kind: object) -> str:
    """An argument as a URL would say it, so that both are read by one rule; "" where it is of another type."""
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.16f}" if abs(value) < MAX_NUMBER else ""
    return str(value) if isinstance(kind, type) and isinstance(value, kind) else ""


def _check_path(path: object, faults: Faults) -> None:
    if not isinstance(path, str):
        faults.add("path must be text or a pathlib.Path")
    elif not path or "\x00" in path:
        faults.add("path must name a file, without a NUL character in it")
    elif path.endswith(("/", os.sep)):
        faults.add("path names a folder, not a file: it ends with a slash")
    elif os.name != "nt" and _DRIVE.match(path):
        faults.add(
            "path begins with a drive letter, and this system is not Windows: name the file as it is called here,"
            " as in sqlite:////var/lib/app/sessions.db"
        )


def _read_path(address: str, faults: Faults) -> str:
    host, slash, path = address.partition("/")
    if host:
        faults.add(
            "a SQLite URL has no host: write three slashes before a relative path (sqlite:///sessions.db)"
            " and four before an absolute one (sqlite:////var/lib/app/sessions.db)"
        )
    elif slash and not path:
        faults.add("the SQLite URL names no file; for a private database in memory write sqlite://")
    elif _STRAY_PERCENT.search(path):
        faults.add("a percent sign in the path of a SQLite URL is written %25")
    else:
        try:
            return unquote(path, errors="strict") or MEMORY
        except UnicodeDecodeError:
            faults.add("the percent-encoded path of the SQLite URL is not UTF-8")
    return MEMORY
