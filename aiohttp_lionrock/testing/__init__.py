"""For tests: of applications (a clock, a client's login, a storage that fails), and of storage backends (the suite).

May not be imported by the library itself.
"""

from typing import TYPE_CHECKING, Any

from .clock import FakeClock
from .conformance import SharedStorageConformance, StorageConformance
from .storages import FaultyStorage

if TYPE_CHECKING:
    from .clients import expire_access, log_in, session_of

__all__ = [
    "FakeClock",
    "FaultyStorage",
    "SharedStorageConformance",
    "StorageConformance",
    "expire_access",
    "log_in",
    "session_of",
]


def __getattr__(name: str) -> Any:
    """The helpers that need aiohttp, imported when they are asked for: tests of backends do without it."""
    if name in ("expire_access", "log_in", "session_of"):
        from . import clients

        return getattr(clients, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
