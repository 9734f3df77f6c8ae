"""``check``: every fault of the settings at once, before an application starts with them."""

import os
from collections.abc import Mapping
from typing import Any

import click

from ..errors import ConfigError
from ..sessions.manager import SessionManager
from ..settings.config import SessionConfig
from ..storage.registry import open_storage
from .exits import DONE, NO
from .options import json_option, read_table, settings_options
from .output import duration, printable, show

__all__ = ["check"]


@click.command()
@settings_options
@json_option
def check(file: str | None, table: str | None, json_wanted: bool) -> int:
    """Checks the settings in the environment (SessionConfig.from_env) or in a TOML file (from_mapping).

    Secrets and the storage's URL are checked too; the storage is not opened. Exit code 1 where there are faults.
    """
    if file is None and table is not None:
        raise click.UsageError("--table goes with --file: the environment has no tables")
    source = file or "the environment"
    config, faults = _judged(file, table)
    data = {"source": source, "faults": faults}
    if config is not None and not faults:
        show(json_wanted, data, [click.style(f"{source}: good", fg="green"), *_summary(config)])
        return DONE
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    show(
        json_wanted, data, [click.style(f"{source}: {count}", fg="red"), *(f"- {printable(fault)}" for fault in faults)]
    )
    return NO


def _judged(file: str | None, table: str | None) -> tuple[SessionConfig | None, list[str]]:
    """The configuration where it can be made, and every fault."""
    config = None
    given: Mapping[str, Any] = {}
    faults: list[str] = []
    try:
        given = _written(file, table)
        config = SessionConfig.from_env() if file is None else SessionConfig.from_mapping(given)
    except ConfigError as exc:
        faults += exc.faults
    faults += _secret_faults(config, given)
    try:
        if config is not None and not faults:
            SessionManager(config)  # as an application makes it: what its storage says may be at odds with the settings
        elif isinstance(storage := given.get("storage") if config is None else config.storage, str):
            open_storage(storage)
    except ConfigError as exc:
        faults += exc.faults
    return config, list(dict.fromkeys(faults))


def _written(file: str | None, table: str | None) -> Mapping[str, Any]:
    """The settings as they are written, before any is judged."""
    if file is not None:
        return read_table(file, table)
    prefix = "SESSION_"
    return {name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)}


def _secret_faults(config: SessionConfig | None, given: Mapping[str, Any]) -> list[str]:
    if config is None:  # whose message has those of secrets that are there
        has_secret = given.get("secret") or given.get("secrets") or os.environ.get("SESSION_SECRET")
        return [] if has_secret else [SessionConfig().secrets_given().missing(os.environ, {})]
    secrets = config.secrets_given()
    in_use = secrets.in_use(os.environ, {})
    return secrets.faults(in_use) if in_use else [secrets.missing(os.environ, {})]


def _summary(config: SessionConfig) -> list[str]:
    """The settings that decide how long a session lives, in words."""
    lines = [f"access token: cookie {config.access.name}, {config.algorithm}, {duration(config.access.lifetime)}"]
    if config.refresh is not None:
        lines.append(f"refresh token: cookie {config.refresh.name}, {duration(config.refresh.lifetime)}")
    if config.max_lifetime is not None:
        lines.append(f"a session ends {duration(config.max_lifetime)} after its beginning, whatever is refreshed")
    scheme = str(config.storage).partition("://")[0]
    lines.append(f"storage: {scheme}" if config.storage else "storage: none, so that nothing can be revoked")
    return lines
