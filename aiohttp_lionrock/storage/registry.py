"""From a storage URL to a storage: ``sqlite:///x.db`` is built by the entry point named ``sqlite``.

Every backend registers in one group, the core's own memory backend too; only the one asked for is loaded. Where no
metadata is installed (a frozen application, a zip file, a copied folder) the project's own backends are found by name.
A URL may hold a password, so no error here shows more of it than its scheme.
"""

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError, UnknownBackend
from ..faults import nearest
from .contract import JtiStorage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["distribution_of", "installed_backends", "load_backend", "open_storage"]

GROUP = "aiohttp_lionrock.backends"
CORE = "aiohttp-lionrock"
EXAMPLE_URL = "sqlite:///sessions.db"
EXAMPLE = f'a backend\'s name, "://" and an address, as in "{EXAMPLE_URL}"'


class _Backend(NamedTuple):
    """One of this project's own backends, as it is found where no metadata is installed."""

    distribution: str
    package: str
    target: str
    example: str


_MONGODB = _Backend("aiohttp-lionrock-mongodb", "aiohttp_lionrock_mongodb", "aiohttp_lionrock_mongodb:MongoStorage", "")
FIRST_PARTY = {
    "memory": _Backend(CORE, "aiohttp_lionrock", "aiohttp_lionrock.storage.memory:MemoryStorage", "memory://"),
    "mongodb": _MONGODB._replace(example="mongodb://host/database"),
    "mongodb+srv": _MONGODB._replace(example="mongodb+srv://host/database"),
    "sqlite": _Backend(
        "aiohttp-lionrock-sqlite", "aiohttp_lionrock_sqlite", "aiohttp_lionrock_sqlite:SqliteStorage", EXAMPLE_URL
    ),
}
URL = r"(?is)([a-z][a-z0-9+.-]*)://(.*)"  # RFC 3986, section 3.1
ALMOST_A_URL = r"(?is)([a-z][a-z0-9+.-]+)(?:$|:)(?P<address>.*)"
PATH = r"(?is)[a-z]:[\\/].*|[.\\/].*|[^:@?]*\.(db|sqlite3?)"


def open_storage(url: str) -> JtiStorage:
    """Builds the storage that a URL names, unopened and without I/O; its backend gets the scheme in lower case.

    Raises UnknownBackend where none of the scheme is installed, and ConfigError where the URL has no scheme, where
    the backend does not load or is written for another `JtiStorage.CONTRACT`, and where it refuses the URL.
    """
    scheme, address = _parts(url)
    installed = installed_backends()
    claims = {distribution_of(point): point for point in installed if point.name.lower() == scheme}
    if not claims:
        raise _unknown(scheme, {point.name for point in installed})
    if len(claims) > 1:
        raise ConfigError(
            f"the storage backend {scheme!r} is claimed by several distributions: {', '.join(sorted(claims))}; "
            "uninstall all but one"
        )
    [(distribution, point)] = claims.items()
    return load_backend(point, distribution).from_url(f"{scheme}://{address}")


def _parts(url: object) -> tuple[str, str]:
    """The scheme in lower case, and what follows the slashes."""
    if not isinstance(url, str):
        raise ConfigError(f"a storage URL is text, not {type(url).__name__}: {EXAMPLE}")
    match = re.fullmatch(URL, url)
    if match is None or url != url.rstrip():
        raise ConfigError(_fault(url))
    return match[1].lower(), match[2]


def _fault(url: str) -> str:
    """What is wrong with a text that is not a URL, and the way out; nothing that may be a secret is shown."""
    if not url.strip():
        return f"the storage URL is empty; write {EXAMPLE}"
    if url != url.strip():
        return f"the storage URL begins or ends with white space; write {EXAMPLE}, and nothing around it"
    if re.fullmatch(PATH, url):
        return (
            'the storage URL is a path without a backend\'s name; for a SQLite file write "sqlite:///" before the path'
        )
    almost = re.fullmatch(ALMOST_A_URL, url)
    scheme = almost[1].lower() if almost else ""
    if scheme in FIRST_PARTY:
        return f'after {scheme!r} the storage URL lacks "://"; write "{FIRST_PARTY[scheme].example}"'
    if almost and almost["address"].startswith("/"):
        return f'after {scheme!r} the storage URL lacks "://"; write {EXAMPLE}'
    return f'the storage URL does not begin with a backend\'s name and "://"; write {EXAMPLE}'


def installed_backends() -> "list[EntryPoint]":
    """The entry points of the group, and this project's backends that have none and can be imported all the same."""
    from importlib.metadata import EntryPoint, entry_points  # late: without a storage URL nobody needs them
    from importlib.util import find_spec

    found = list(entry_points(group=GROUP))
    missing = FIRST_PARTY.keys() - {point.name.lower() for point in found}
    here = [scheme for scheme in sorted(missing) if find_spec(FIRST_PARTY[scheme].package) is not None]
    return found + [EntryPoint(scheme, FIRST_PARTY[scheme].target, GROUP) for scheme in here]


def load_backend(point: "EntryPoint", distribution: str) -> type[JtiStorage]:
    """The class of a backend. Raises ConfigError where it does not load, or is not one for this core."""
    where = f"the storage backend {point.name!r} of the distribution {distribution}"
    try:
        backend = point.load()
    except Exception as exc:
        raise ConfigError(f"{where} does not load: {type(exc).__name__}: {exc}") from exc
    if not (isinstance(backend, type) and issubclass(backend, JtiStorage)):
        raise ConfigError(f"{where} is not a JtiStorage: {point.value}")
    written_for: object = backend.CONTRACT
    if written_for != JtiStorage.CONTRACT:
        raise ConfigError(_contract_fault(point, distribution, written_for))
    return backend


def _contract_fault(point: "EntryPoint", distribution: str, written_for: object) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        core = f"{CORE} {version(CORE)}"
    except PackageNotFoundError:
        core = CORE
    theirs = f"{distribution} {point.dist.version}" if point.dist is not None else distribution
    core_is_older = type(written_for) is int and written_for > JtiStorage.CONTRACT
    return (
        f"the storage backend {point.name!r} of {theirs} is written for version {written_for!r} of the storage "
        f"contract, and {core} has version {JtiStorage.CONTRACT}; upgrade {CORE if core_is_older else distribution}"
    )


def _unknown(scheme: str, installed: Iterable[str]) -> UnknownBackend:
    names = sorted(installed)
    hint = ""
    if scheme in FIRST_PARTY and getattr(sys, "frozen", False):
        hint = f"; this application is frozen: build it with --hidden-import {FIRST_PARTY[scheme].package}"
    elif scheme in FIRST_PARTY:
        distribution = FIRST_PARTY[scheme].distribution
        folder = f"./backends/{distribution.removeprefix(f'{CORE}-')}"
        hint = f"; install the distribution {distribution} (from a checkout of {CORE}: pip install {folder})"
    elif near := nearest(scheme, names, likeness=0.5):
        hint = f"; did you mean {near!r}?"
    else:
        hint = "; docs/backends/write.md shows how to write one"
    return UnknownBackend(scheme, names, hint)


def distribution_of(point: "EntryPoint") -> str:
    """The name of the distribution that a backend comes from."""
    if point.dist is not None:
        return point.dist.name
    return FIRST_PARTY[point.name].distribution
