"""Storages that each break one promise, for the test that the conformance suite catches them."""

from . import hooked, lives, pages, reads, shared, writes
from .catching import FAULTS, SharedMemory, failures, names_of, suite_of

__all__ = [
    "FAULTS",
    "SharedMemory",
    "failures",
    "hooked",
    "lives",
    "names_of",
    "pages",
    "reads",
    "shared",
    "suite_of",
    "writes",
]
