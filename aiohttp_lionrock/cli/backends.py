"""``backends``: which storages are installed."""

from importlib.metadata import EntryPoint
from typing import Any

import click

from ..errors import ConfigError
from ..storage.registry import distribution_of, installed_backends, load_backend
from .exits import DONE, NO
from .options import json_option
from .output import printable, show, table

__all__ = ["backends"]


@click.command()
@json_option
def backends(json_wanted: bool) -> int:
    """Lists the installed storage backends; exit code 1 where one of them does not load."""
    found = [_described(point) for point in sorted(installed_backends(), key=lambda point: point.name)]
    rows = [
        (f"{one['scheme']}://", one["distribution"], one["version"] or "", one["fault"] or "loads") for one in found
    ]
    show(json_wanted, {"backends": found}, table(("URL", "DISTRIBUTION", "VERSION", "STATE"), rows))
    return NO if any(one["fault"] for one in found) else DONE


def _described(point: EntryPoint) -> dict[str, Any]:
    distribution, fault = distribution_of(point), None
    try:
        load_backend(point, distribution)
    except ConfigError as exc:
        fault = printable(str(exc))
    version = None if point.dist is None else point.dist.version
    return {"scheme": point.name, "distribution": distribution, "version": version, "fault": fault}
