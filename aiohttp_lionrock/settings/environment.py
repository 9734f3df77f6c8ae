"""Settings from environment variables: SESSION_EXPIRES, SESSION_REFRESH_TOKEN_ROTATE, SESSION_COOKIE_SAME_SITE, ..."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_type_hints

from ..errors import ConfigError
from ..faults import Faults, nearest, shown
from .rules import ELSEWHERE
from .secrets import CURRENT, PREVIOUS

__all__ = ["read_environment"]

# SESSION_MANAGER is the X11 desktop's; the secrets are read by the key ring, for each request if need be.
NOT_OURS = {CURRENT, PREVIOUS, "SESSION_MANAGER"}
# What people call them, without underscores.
RENAMED = {
    "cookiename": "NAME",
    "maxage": "COOKIE_MAX_AGE",
    "secretkey": "SECRET",
    "secretprevious": "PREVIOUS_SECRET",
    "storageurl": "STORAGE",
}
SECRETS = {"secrets", "previous_secret", "previous_secrets"}
FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

_NUMBER = re.compile(r"[-+]?[0-9]{1,20}(\.[0-9]{1,20})?")

Path = tuple[str, ...]
Kinds = tuple[Any, ...]


def read_environment(prefix: str, environ: Mapping[str, str], cls: type[Any], faults: Faults) -> dict[str, Any]:
    """The settings of a dataclass, tables and all, from the variables with this prefix. No message shows a secret."""
    if not isinstance(prefix, str) or not prefix:
        raise ConfigError(f"the prefix must be non-empty text, not {shown(prefix)}")
    variables = _variables(prefix, cls)
    values: dict[str, Any] = {}
    for name, written in environ.items():
        if not name.startswith(prefix) or name in NOT_OURS:
            continue
        if name not in variables:
            faults.add(f"unknown setting {name:.80}; {_way_out(name.removeprefix(prefix).upper(), prefix, variables)}")
        elif not written:
            faults.add(f"{name} is empty: give it a value, or remove it")
        else:
            path, kinds = variables[name]
            try:
                _put(values, path, _read(path, written, kinds))
            except ValueError as exc:
                faults.add(f"{name} {exc}")
    return values


def _variables(prefix: str, cls: type[Any]) -> dict[str, tuple[Path, Kinds]]:
    variables: dict[str, tuple[Path, Kinds]] = {}
    for path, kinds in _settings(cls):
        variables.setdefault(prefix + "_".join(path).upper(), (path, kinds))
        if path[-1] == "enabled":
            variables[prefix + "_".join(path[:-1]).upper()] = path, kinds
    return variables


def _settings(cls: type[Any], above: Path = ()) -> Iterator[tuple[Path, Kinds]]:
    """Every setting with the types that it may have, those of tables among them."""
    hints = get_type_hints(cls)
    for field in fields(cls):
        kinds = get_args(hints[field.name]) or (hints[field.name],)
        path = (*above, field.name)
        table = next((kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)), None)
        if field.init and table is not None:
            yield from _settings(table, path)
        elif field.init:
            yield path, kinds


def _read(path: Path, written: str, kinds: Kinds) -> Any:
    """The value that a text stands for. Raises ValueError saying what it must be."""
    if all(kind is type(None) or getattr(kind, "__origin__", None) is Callable for kind in kinds):
        raise ValueError("cannot be set: it is a function, which only code can give")
    if path[-1] in SECRETS:
        return _secrets(written)
    if Sequence[str] in kinds:
        is_off = Literal[False] in kinds and FLAGS.get(written.lower()) is False
        return False if is_off else [part.strip() for part in written.split(",")]
    if bool in kinds:
        return _flag(written)
    if int in kinds or float in kinds:
        return None if type(None) in kinds and written.lower() == "none" else _number(written)
    return written


def _secrets(written: str) -> str | list[str]:
    """One secret, or a JSON list of them: no other sign is sure to be in none."""
    if not written.startswith("["):
        return written
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(secret, str) for secret in found):
        raise ValueError("must be one secret, or a JSON list of secrets")
    return found


def _flag(written: str) -> bool:
    if written.lower() not in FLAGS:
        raise ValueError(f"must be true or false, not {shown(written)}")
    return FLAGS[written.lower()]


def _number(written: str) -> float:
    if not _NUMBER.fullmatch(written):
        raise ValueError(f"must be a plain number (times are in seconds), not {shown(written)}")
    return float(written) if "." in written else int(written)


def _put(values: dict[str, Any], path: Path, value: Any) -> None:
    *tables, setting = path
    for table in tables:
        values = values.setdefault(table, {})
    if setting in values:
        raise ValueError(f"sets {'.'.join(path)} a second time: remove one of the two variables")
    values[setting] = value


def _way_out(rest: str, prefix: str, variables: Mapping[str, tuple[Path, Kinds]]) -> str:
    """The variable that was probably meant: one of a table whose name was left out, or the nearest."""
    bare = rest.lower().replace("_", "")
    if bare in RENAMED:
        return f"did you mean {prefix}{RENAMED[bare]}?"
    in_tables = [name for name, (path, _) in variables.items() if "".join(path[1:]).replace("_", "") == bare]
    near = nearest(rest, [name.removeprefix(prefix) for name in (*variables, CURRENT, PREVIOUS)])
    if in_tables or near:
        return f"did you mean {in_tables[0] if in_tables else f'{prefix}{near}'}?"
    if bare in ELSEWHERE:
        return ELSEWHERE[bare]
    longer = [name for name in variables if name.startswith(f"{prefix}{rest}_")]
    return f"known are {', '.join((longer or list(variables))[:3])} and so on"
