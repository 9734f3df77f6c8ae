"""For tests: the conformance suite for storage backends, and a clock that moves only when told to.

May not be imported by the library itself.
"""

from .clock import FakeClock
from .conformance import SharedStorageConformance, StorageConformance

__all__ = ["FakeClock", "SharedStorageConformance", "StorageConformance"]
