"""Options of a storage URL, for backends: ``?name=value&...`` with types, bounds, and every fault at once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ..faults import Faults, nearest

__all__ = ["Option", "UrlOptions", "flag", "number", "one_of", "text", "whole"]

_NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,63}"
_STRAY_PERCENT = r"%(?![0-9A-Fa-f]{2})"
_NUMBER = r"[0-9]+(\.[0-9]+)?"

Reader = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """How one option is read: ``read`` makes the value of its decoded text, ``default`` stands where it is not given.

    ``read`` raises ValueError with what the text must be, in words that go on after "must": ``"be true or false"``.
    The message of any other ValueError (``int``'s, say) is not shown, because it may repeat the value.
    """

    read: Reader
    default: Any = None


class UrlOptions:
    """Reads the options of a URL. No message shows a value, which may be a misplaced password.

    ``backend`` is the name that messages use, ``options`` are those of the backend by name; a URL may write the names
    in any case. With ``others``, names that are not among them are left for somebody else (a driver, say).
    """

    def __init__(self, backend: str, options: Mapping[str, Option], *, others: bool = False) -> None:
        self._backend = backend
        self._options = dict(options)
        self._names = {name.lower(): name for name in options}
        self._takes_others = others

    def read(self, query: str, faults: Faults) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """The value of every option, and the pairs that are not ours, undecoded; faults go into ``faults``.

        ``query`` is what stands after the question mark. Values are percent-encoded UTF-8; a plus sign is itself.
        """
        values: dict[str, Any] = {}
        others: list[tuple[str, str]] = []
        for pair in filter(None, query.split("&")):
            written, equals, value = pair.partition("=")
            name = self._names.get(written.lower())
            if not equals or not re.fullmatch(_NAME, written):
                faults.add(self._malformed(name))
            elif name is None and self._takes_others:
                others.append((written, value))
            elif name is None:
                faults.add(self.unknown(written, hide="@" in query))
            elif name in values:
                faults.add(f"the {self._backend} option {name} is given twice")
            else:
                values[name] = self._value(name, value, faults)
        return {name: values.get(name, option.default) for name, option in self._options.items()}, others

    def unknown(self, name: str, also: Iterable[str] = (), *, hide: bool = False) -> str:
        """The fault of an option that nobody knows; ``also`` are the names that others know.

        ``hide`` leaves the name out: in a URL with a question mark in its password, it is a part of the password.
        """
        names = {option.lower(): option for option in (*self._options, *also)}
        near = nearest(name.lower(), names, likeness=0.6)
        known = f"known are {', '.join(sorted(self._options))}" if self._options else "it has no options"
        hint = known if near is None else f"did you mean {names[near]}?"
        return f"unknown {self._backend} option{'' if hide else f' {name}'}; {hint}"

    def _malformed(self, name: str | None) -> str:
        if name is not None:
            return f"the {self._backend} option {name} has no value: write {name}=value"
        return f"the options of a {self._backend} URL are name=value, joined by &"

    def _value(self, name: str, written: str, faults: Faults) -> Any:
        option = self._options[name]
        try:
            return option.read(_decoded(written))
        except ValueError as exc:
            wanted = str(exc) if str(exc).startswith("be ") else "have another value"
            faults.add(f"the {self._backend} option {name} must {wanted}")
        return option.default


def _decoded(written: str) -> str:
    if re.search(_STRAY_PERCENT, written):
        raise ValueError("be percent-encoded: a percent sign is written %25")
    try:
        return unquote(written, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("be percent-encoded UTF-8") from None


def number(least: float, most: float, unit: str = "", *, above: bool = False) -> Reader:
    """Reads a decimal number between two bounds; ``above`` leaves the lower bound itself out."""
    bounds = f"{'above' if above else 'of at least'} {least:g} and at most {most:g}"
    fault = f"be a number {f'of {unit} ' if unit else ''}{bounds}"

    def read(written: str) -> float:
        if not re.fullmatch(_NUMBER, written):
            raise ValueError(fault)
        value = float(written)
        if not least <= value <= most or (above and value == least):
            raise ValueError(fault)
        return value

    return read


def whole(least: int, most: int, unit: str = "") -> Reader:
    """Reads a whole number between two bounds, as an ``int``."""
    fault = f"be a whole number {f'of {unit} ' if unit else ''}from {least} to {most}"

    def read(written: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", written) or not least <= int(written) <= most:
            raise ValueError(fault)
        return int(written)

    return read


def flag(written: str) -> bool:
    """Reads ``true`` or ``false``."""
    if written.lower() not in ("true", "false"):
        raise ValueError("be true or false")
    return written.lower() == "true"


def one_of(*names: str) -> Reader:
    """Reads one of these words, whatever its case, as it is given here."""
    known = {name.lower(): name for name in names}
    fault = f"be {' or '.join(filter(None, (', '.join(names[:-1]), names[-1])))}"

    def read(written: str) -> str:
        if written.lower() not in known:
            raise ValueError(fault)
        return known[written.lower()]

    return read


def text(pattern: str, what: str) -> Reader:
    """Reads text that a regular expression matches whole; ``what`` is what the error says that it must be."""

    def read(written: str) -> str:
        if not re.fullmatch(pattern, written):
            raise ValueError(f"be {what}")
        return written

    return read
