"""The conformance suite for storage backends: every promise of the contract is a test, a file for each kind of promise.

May not know any backend, nor need pytest or a plugin.
"""

from .cancellation import Cancellation
from .corruption import Corruption
from .deleting import Deleting
from .expiry import Expiry
from .failures import Failures
from .inserting import Inserting
from .lifecycle import Lifecycle
from .purging import Purging
from .races import Races
from .replacing import Replacing
from .scanning import Scanning
from .sharing import Sharing
from .subjects import Subjects
from .urls import Urls

__all__ = ["SharedStorageConformance", "StorageConformance"]


class StorageConformance(
    Inserting,
    Replacing,
    Races,
    Expiry,
    Purging,
    Subjects,
    Deleting,
    Scanning,
    Lifecycle,
    Cancellation,
    Failures,
    Corruption,
    Urls,
):
    """Every promise of the storage contract as a test of its own; a backend's tests subclass it.

    Give `make_storage`; it is called once for each test, and the suite opens and closes what it gives. `break_storage`,
    `corrupt`, `bad_urls`, `good_url` and `bare_url` are optional; each that is given adds its tests.
    """


class SharedStorageConformance(Sharing, StorageConformance):
    """The suite for backends where several processes use one database: give `make_sibling` too."""
