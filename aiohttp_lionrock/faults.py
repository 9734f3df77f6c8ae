"""Faults: collects everything that is wrong with settings, so that one start shows all of it."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeGuard, TypeVar

from .errors import ConfigError
from .jsontext import is_storable_text

__all__ = ["LONGEST", "Faults", "is_number", "nearest", "shown", "with_article"]

LONGEST = 400 * 24 * 60 * 60 * 100  # seconds; a bound that no real setting meets, far inside every number format

T = TypeVar("T")

# Patterns are compiled where a fault was found, and not at every start.
_NUMBER = r"[-+]?[0-9]{1,10}(\.[0-9]{1,6})?"
_WORD = rf"(?i:true|false|yes|no|on|off|none|null|{_NUMBER} ?(s|min|[mhdw]|seconds?|hours?|days?)?)"


class Faults:
    """A list of what was found wrong, and the checks that add to it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, fault: str) -> None:
        """Adds a fault, once."""
        if fault not in self.found:
            self.found.append(fault)

    def raise_if_any(self) -> None:
        """Raises ConfigError with everything found."""
        if self.found:
            raise ConfigError(self.found)

    def table(self, where: str, cls: type[T], value: object, *, also: str = "") -> T | None:
        """An object of this dataclass, also from a mapping of its fields; None where it is none or faulty."""
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls(**self.names(where + ".", cls, value))
        remedy = _remedy(value, bool) if also else ""
        self.add(
            f"{where} must be {also}{with_article(cls.__name__)} or a mapping of its fields, not {shown(value)}{remedy}"
        )
        return None

    def switch(self, where: str, cls: type[Any], value: object) -> Any:
        """A table that ``true`` turns on with its defaults and ``enabled: false`` turns off."""
        if value is None or value is False:
            return None
        found = cls() if value is True else self.table(where, cls, value, also="true, false, ")
        if found is None:
            return None
        self.flag(f"{where}.enabled", found.enabled)
        return found if found.enabled else None

    def names(
        self, where: str, cls: type[Any], settings: Mapping[str, Any], elsewhere: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Settings by the names of their fields. ``elsewhere`` says of other names where that is set instead."""
        known = [f.name for f in dataclasses.fields(cls) if f.init]
        values: dict[str, Any] = {}
        for written, value in settings.items():
            name = _snake_case(str(written))
            if name not in known:
                way_out = (elsewhere or {}).get(name.replace("_", "")) or _nearest_setting(str(written), name, known)
                self.add(f"unknown setting {where}{written!s:.60}; {way_out}")
            elif name in values:
                self.add(f"{where}{name} is given twice, in both spellings")
            else:
                values[name] = value
        return values

    def flag(self, where: str, value: object) -> None:
        """A bool and nothing that only counts as one."""
        if not isinstance(value, bool):
            self.add(f"{where} must be true or false, not {shown(value)}{_remedy(value, bool)}")

    def seconds(self, where: str, value: object, *, zero: bool = False, most: float = LONGEST) -> int:
        """A finite number of seconds, floored; 1 or more unless ``zero`` is allowed too."""
        if is_number(value) and (0 if zero else 1) <= value <= most:
            return math.floor(value)
        if is_number(value) and not zero and 0 < value < 1:
            self.add(f"{where} must be 1 second or more, not {value}")
            return 1
        bound = f" of at most {most:g}" if most < LONGEST else ""
        kind = "" if zero else "positive "
        self.add(f"{where} must be a {kind}finite number of seconds{bound}, not {shown(value)}{_remedy(value, float)}")
        return 1

    def count(self, where: str, value: object) -> None:
        """A positive ``int``."""
        if type(value) is not int or value < 1:
            self.add(f"{where} must be a positive whole number, not {shown(value)}{_remedy(value, int)}")

    def text(self, where: str, value: object) -> None:
        """Text that is not empty and that every storage can keep."""
        if not is_storable_text(value) or not value:
            self.add(f"{where} must be non-empty text in valid Unicode, not {shown(value)}")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether this is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_article(name: str) -> str:
    """A name with its article."""
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def shown(value: object) -> str:
    """A value as an error may show it: numbers, and words that are no secret; of anything else only what it is."""
    if isinstance(value, str):
        return f"the text {value!r}" if re.fullmatch(_WORD, value) else "text" if value else "empty text"
    if isinstance(value, int) and not -LONGEST <= value <= LONGEST:
        return "a number so large"
    if isinstance(value, bool | int | float | None):
        return repr(value)
    kind = value if isinstance(value, type) else type(value)
    module = kind.__module__
    is_plain = module.partition(".")[0] in ("builtins", "aiohttp_lionrock")
    name = kind.__qualname__ if is_plain else f"{module}.{kind.__qualname__}"
    return f"the class {name}" if kind is value else with_article(name)


def nearest(written: str, known: Iterable[str], likeness: float = 0.8) -> str | None:
    """The one of these names that was probably meant: the likest, where it is this like (1 is the same)."""
    from difflib import get_close_matches  # late: only a fault needs it

    return next(iter(get_close_matches(written, list(known), n=1, cutoff=likeness)), None)


def _remedy(value: object, wanted: type[bool] | type[int] | type[float]) -> str:
    """How this value becomes one of the type wanted, where that is certain."""
    if isinstance(value, str):
        quoted = value.lower() in ("true", "false") if wanted is bool else re.fullmatch(_NUMBER, value) is not None
        return f" (write {value.capitalize()} without quotes)" if quoted else ""
    if isinstance(value, timedelta):
        return "" if wanted is bool else " (give its total_seconds())"
    convertible = "bool" in type(value).__name__ if wanted is bool else hasattr(type(value), "__float__")
    if convertible and not isinstance(value, bool | int | float):
        return f" (convert it with {wanted.__name__}())"
    return ""


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _nearest_setting(written: str, name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    if near is None:
        return f"known here: {', '.join(known)}"
    return f"did you mean {near if '_' in written or written.islower() else _camel_case(near)}?"
