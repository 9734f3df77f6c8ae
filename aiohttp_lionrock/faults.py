"""Faults: collects everything that is wrong with settings, so that one start shows all of it."""

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from .errors import ConfigError
from .jsontext import is_storable_text

__all__ = ["LONGEST", "Faults", "is_number", "shown"]

LONGEST = 400 * 24 * 60 * 60 * 100  # seconds; a bound that no real setting meets, far inside every number format


class Faults:
    """A list of what was found wrong, and the checks that add to it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, fault: str) -> None:
        """Adds a fault, once."""
        if fault not in self.found:
            self.found.append(fault)

    def raise_if_any(self) -> None:
        if self.found:
            raise ConfigError(self.found)

    def table(self, where: str, cls: type[Any], value: object) -> Any:
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls(**self.names(where + ".", cls, value))
        self.add(f"{where} must be a table or {cls.__name__}, not {type(value).__name__}")
        return None

    def switch(self, where: str, cls: type[Any], value: object) -> Any:
        """A table that ``true`` turns on with its defaults and ``enabled: false`` turns off."""
        if value is None or value is False:
            return None
        found = cls() if value is True else self.table(where, cls, value)
        if found is None:
            return None
        self.flag(f"{where}.enabled", found.enabled)
        return found if found.enabled else None

    def names(self, where: str, cls: type[Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        known = [f.name for f in dataclasses.fields(cls) if f.init]
        values: dict[str, Any] = {}
        for written, value in settings.items():
            name = _snake_case(str(written))
            if name not in known:
                self.add(f"unknown setting {where}{written}{_nearest(str(written), name, known)}")
            elif name in values:
                self.add(f"{where}{name} is given twice, in both spellings")
            else:
                values[name] = value
        return values

    def flag(self, where: str, value: object) -> None:
        if not isinstance(value, bool):
            self.add(f"{where} must be true or false, not {shown(value)}")

    def seconds(self, where: str, value: object, *, zero: bool = False) -> int:
        """A finite number of seconds, floored; positive unless ``zero`` is allowed too."""
        if is_number(value) and (0 if zero else 1) <= value <= LONGEST:
            return math.floor(value)
        self.add(f"{where} must be a {'' if zero else 'positive '}finite number of seconds, not {shown(value)}")
        return 1

    def count(self, where: str, value: object) -> None:
        if type(value) is not int or value < 1:
            self.add(f"{where} must be a positive whole number, not {shown(value)}")

    def text(self, where: str, value: object) -> None:
        if not is_storable_text(value) or not value:
            self.add(f"{where} must be text that is not empty, in valid Unicode, not {shown(value)}")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether this is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: object) -> str:
    """A value as an error may show it: numbers as they are, of anything else only its type."""
    if isinstance(value, int) and not -LONGEST <= value <= LONGEST:
        return "a number so large"
    return repr(value) if isinstance(value, bool | int | float | None) else type(value).__name__


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _nearest(written: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not near:
        return f"; known here: {', '.join(known)}"
    spelled = near[0] if "_" in written or written.islower() else _camel_case(near[0])
    return f"; did you mean {spelled}?"
