"""From a storage URL to a storage: ``sqlite:///x.db`` is built by the entry point named ``sqlite``.

Every backend registers in one group, the core's own memory backend too; only the one asked for is loaded.
A URL may hold a password, so no error here shows more of it than its scheme.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ..errors import ConfigError, UnknownBackend
from .contract import JtiStorage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["open_storage"]

GROUP = "aiohttp_lionrock.backends"
URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)  # RFC 3986, section 3.1
DISTRIBUTIONS = {
    "mongodb": "aiohttp-lionrock-mongodb",
    "mongodb+srv": "aiohttp-lionrock-mongodb",
    "sqlite": "aiohttp-lionrock-sqlite",
}


def open_storage(url: str) -> JtiStorage:
    """Builds the storage that a URL names, unopened and without I/O; its backend gets the scheme in lower case.

    Raises UnknownBackend where none of the scheme is installed, and ConfigError where the URL has no scheme,
    where the backend does not load and where the backend refuses the URL.
    """
    from importlib.metadata import entry_points  # late: an application without a storage URL does not need it

    match = URL.fullmatch(url)
    if match is None:
        raise ConfigError('a storage URL is a backend\'s name, "://" and an address, as in "sqlite:///sessions.db"')
    scheme, address = match[1].lower(), match[2]
    installed = entry_points(group=GROUP)
    claims = {_distribution(point): point for point in installed if point.name.lower() == scheme}
    if not claims:
        raise _unknown(scheme, {point.name for point in installed})
    if len(claims) > 1:
        raise ConfigError(
            f"the storage backend {scheme!r} is claimed by several distributions: {', '.join(sorted(claims))}; "
            "uninstall all but one"
        )
    [(distribution, point)] = claims.items()
    return _load(point, distribution).from_url(f"{scheme}://{address}")


def _load(point: "EntryPoint", distribution: str) -> type[JtiStorage]:
    try:
        backend = point.load()
    except Exception as exc:
        raise ConfigError(
            f"the storage backend {point.name!r} of the distribution {distribution} does not load: "
            f"{type(exc).__name__}: {exc}"
        ) from exc
    if not (isinstance(backend, type) and issubclass(backend, JtiStorage)):
        raise ConfigError(
            f"the storage backend {point.name!r} of the distribution {distribution} is no JtiStorage: {point.value}"
        )
    return backend


def _unknown(scheme: str, installed: Iterable[str]) -> UnknownBackend:
    names = sorted(installed)
    hint = ""
    if scheme in DISTRIBUTIONS:
        hint = f"; pip install {DISTRIBUTIONS[scheme]}"
    elif nearest := get_close_matches(scheme, names, n=1, cutoff=0.5):
        hint = f"; did you mean {nearest[0]!r}?"
    return UnknownBackend(scheme, names, hint)


def _distribution(point: "EntryPoint") -> str:
    return point.dist.name if point.dist is not None else point.module
