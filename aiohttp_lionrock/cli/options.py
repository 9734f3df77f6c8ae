"""Options that several commands have."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ..errors import ConfigError
from ..settings.config import SessionConfig

__all__ = [
    "batch_option",
    "json_option",
    "optional_storage_options",
    "read_table",
    "settings_of",
    "settings_options",
    "storage_options",
    "time_option",
    "timeout_option",
    "url_option",
]

F = TypeVar("F", bound=Callable[..., Any])

# user:password@ before the host, or an option that is called a password
_PASSWORD = re.compile(r"://[^/?#]*:[^/?#]+@|[?&][^=&]*(?:password|passwd|pwd|secret|token)[^=&]*=[^&]", re.IGNORECASE)

STORAGE_HELP = "The storage, for example sqlite:///sessions.db."


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")(command)


def batch_option(command: F) -> F:
    """``--batch``: how many records a step has."""
    size = click.IntRange(1, 10_000)
    return click.option("--batch", type=size, default=1000, show_default=True, help="Records in one step.")(command)


def timeout_option(command: F) -> F:
    """``--timeout``, of one call of the storage."""
    seconds = click.FloatRange(0, 3600, min_open=True)
    help = "Seconds that one call of the storage may take."
    return click.option("--timeout", type=seconds, default=10.0, show_default=True, help=help)(command)


def _checked_url(ctx: click.Context, option: click.Parameter, url: str | None) -> str | None:
    given = ctx.get_parameter_source(str(option.name))
    if url and given is ParameterSource.COMMANDLINE and _PASSWORD.search(url):
        raise click.UsageError(
            f"{option.opts[0]} has a password in it, which other users of this machine can see: "
            f"give the URL in the environment, as {option.envvar}"
        )
    return url


def _needed_url(ctx: click.Context, option: click.Parameter, url: str | None) -> str | None:
    if not url:
        raise click.UsageError(f"no storage is named: give {option.opts[0]} URL, or set {option.envvar}")
    return _checked_url(ctx, option, url)


def _read_time(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise click.BadParameter(
            f"{text!r} is no time: give seconds since 1970, or as in 2024-05-01T12:00:00Z with a time zone"
        )
    return when.timestamp()


def time_option(name: str, help: str) -> Callable[[F], F]:
    """A time: epoch seconds, or ISO 8601 with a time zone."""
    return click.option(name, metavar="TIME", callback=_read_time, help=help)


def url_option(name: str, parameter: str, variable: str, help: str, *, needed: bool = True) -> Callable[[F], F]:
    """A storage URL, as an option or from the environment; one with a password is taken from the environment alone."""
    return click.option(
        name,
        parameter,
        envvar=variable,
        metavar="URL",
        callback=_needed_url if needed else _checked_url,
        show_envvar=True,
        help=help,
    )


def storage_options(command: F) -> F:
    """``--storage`` and ``--timeout``."""
    return url_option("--storage", "url", "SESSION_STORAGE", STORAGE_HELP)(timeout_option(command))


def optional_storage_options(command: F) -> F:
    """The same, where the storage may also be a setting, or none."""
    storage = url_option("--storage", "url", "SESSION_STORAGE", STORAGE_HELP, needed=False)
    return storage(timeout_option(command))


def settings_options(command: F) -> F:
    """``--file`` and ``--table``: where the settings stand, if not in the environment."""
    file = click.option(
        "--file", type=click.Path(exists=True, dir_okay=False), help="A TOML file; without it the environment is read."
    )
    table = click.option(
        "--table", metavar="NAME", help="The table of the file that has the settings, as in tool.session."
    )
    return file(table(command))


def settings_of(file: str | None, table: str | None) -> SessionConfig:
    """The settings in a file or in the environment. Raises ConfigError with every fault."""
    if file is None:
        if table is not None:
            raise click.UsageError("--table goes with --file: the environment has no tables")
        return SessionConfig.from_env(environ=os.environ)
    return SessionConfig.from_mapping(read_table(file, table))


def read_table(file: str, table: str | None) -> Mapping[str, Any]:
    """A table of a TOML file. Raises ConfigError; no message shows what the file holds."""
    try:
        with open(file, "rb") as opened:
            found: Any = tomllib.load(opened)
    except OSError as exc:
        raise ConfigError(f"{file} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:  # of TOML or of UTF-8
        place = re.search(r"\(at [a-z0-9, ]+\)$", str(exc))
        raise ConfigError(f"{file} is not TOML {place[0] if place else ''}".rstrip()) from exc
    for name in table.split(".") if table else ():
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ConfigError(f"{file} has no table {table}")
    return found
