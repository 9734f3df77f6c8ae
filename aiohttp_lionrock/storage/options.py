"""Options of a storage URL, for backends: ``?name=value&...`` with types, bounds, and every fault at once."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ..faults import Faults

__all__ = ["Option", "UrlOptions", "flag", "number", "one_of", "text"]

_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")

Reader = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Option:
    """How one option is read: ``read`` makes the value of its text, and raises ValueError saying what it must be."""

    read: Reader
    default: Any = None


class UrlOptions:
    """Reads the options of a URL. No message shows a value, which may be a misplaced password.

    ``options`` are those of the backend; each is taken whatever the case of its name. With ``others``, names that are
    not among them are left for somebody else (a driver, say) and come back from `others`, as they were written.
    """

    def __init__(self, backend: str, options: Mapping[str, Option], *, others: bool = False) -> None:
        self._backend = backend
        self._options = options
        self._takes_others = others

    def read(self, query: str, faults: Faults) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """The value of every option, and the pairs that are not ours; faults go into ``faults``."""
        values: dict[str, Any] = {}
        others: list[tuple[str, str]] = []
        for pair in filter(None, query.split("&")):
            name, equals, written = pair.partition("=")
            known = name.lower() in self._options
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name) or not equals:
                faults.add(f"the options of a {self._backend} URL are name=value, joined by &")
            elif known and name.lower() in values:
                faults.add(f"the {self._backend} option {name} is given twice")
            elif known:
                values[name.lower()] = self._value(name, written, faults)
            elif self._takes_others:
                others.append((name, written))
            else:
                faults.add(self.unknown(name))
        return {name: values.get(name, option.default) for name, option in self._options.items()}, others

    def unknown(self, name: str, also: Iterable[str] = ()) -> str:
        """The fault of an option that nobody knows; ``also`` are the names that others know."""
        known = {option.lower(): option for option in (*self._options, *also)}
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
        hint = f"did you mean {known[near[0]]}?" if near else f"known are {', '.join(sorted(self._options))}"
        return f"unknown {self._backend} option {name}; {hint}"

    def _value(self, name: str, written: str, faults: Faults) -> Any:
        option = self._options[name.lower()]
        try:
            if _STRAY_PERCENT.search(written):
                raise ValueError("be percent-encoded: a percent sign is written %25")
            return option.read(unquote(written, errors="strict"))
        except UnicodeDecodeError:
            faults.add(f"the {self._backend} option {name} must be percent-encoded UTF-8")
        except ValueError as exc:
            faults.add(f"the {self._backend} option {name} must {exc}")
        return option.default


def number(least: float, most: float, unit: str = "", *, above: bool = False) -> Reader:
    """Reads a decimal number between two bounds; ``above`` leaves the lower bound itself out."""
    bounds = f"{'above' if above else 'of at least'} {least:g} and at most {most:g}"
    fault = f"be a number {f'of {unit} ' if unit else ''}{bounds}"

    def read(written: str) -> float:
        value = float(written) if _NUMBER.fullmatch(written) else math.nan
        if not least <= value <= most or (above and value == least):
            raise ValueError(fault)
        return value

    return read


def flag(written: str) -> bool:
    """Reads ``true`` or ``false``."""
    if written.lower() not in ("true", "false"):
        raise ValueError("be true or false")
    return written.lower() == "true"


def one_of(*names: str) -> Reader:
    """Reads one of these words, whatever its case, as it is given here."""
    known = {name.lower(): name for name in names}

    def read(written: str) -> str:
        if written.lower() not in known:
            raise ValueError(f"be {', '.join(names[:-1])} or {names[-1]}")
        return known[written.lower()]

    return read


def text(pattern: str, what: str) -> Reader:
    """Reads text that a regular expression matches whole; ``what`` is what the error says that it must be."""

    def read(written: str) -> str:
        if not re.fullmatch(pattern, written):
            raise ValueError(f"be {what}")
        return written

    return read
