"""Where the database lies: its folder and its three files, and what keeps this process from using them."""

import os
from pathlib import Path

from aiohttp_lionrock.errors import ConfigError, StorageUnavailable

__all__ = [
    "WAY_OUT",
    "Identities",
    "check_access",
    "check_there",
    "files_of",
    "identities",
    "prepare_folder",
    "unusable",
]

Identities = tuple[tuple[int, int], ...]

WAY_OUT = "correct the URL, or start an application, which creates what is missing unless its mode is rw"


def files_of(path: str) -> tuple[str, str, str]:
    """The file, its WAL and its shared memory; SQLite puts those two beside the file that a link leads to."""
    real = os.path.realpath(path)
    return path, f"{real}-wal", f"{real}-shm"


def identities(files: tuple[str, ...]) -> Identities:
    """What tells these files from others that may come in their place. Raises FileNotFoundError."""
    return tuple([(file.st_dev, file.st_ino) for file in map(os.stat, files)])


def check_there(path: str) -> None:
    """Raises StorageUnavailable where there is no file."""
    if not os.path.exists(path):
        raise unusable(path, f"there is no such file; {WAY_OUT}")


def prepare_folder(path: str, create_parents: bool) -> None:
    """Makes sure that a file can lie there. Raises ConfigError, StorageUnavailable and OSError."""
    folder = Path(path).parent
    if not folder.is_dir():
        if any(os.path.isfile(parent) for parent in Path(path).parents):
            raise ConfigError(f"SQLite database {path}: a part of the path is a file, not a folder")
        if not create_parents:
            raise unusable(path, f"there is no folder {folder}: create it, or let create_parents=true do so")
        folder.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(path):
        raise ConfigError(f"SQLite database {path}: this is a folder, not a file")


def check_access(path: str) -> None:
    """Raises StorageUnavailable, naming what is in the way, where this process may not read and write the files.

    SQLite would open a read-only file all the same, and leave read-only files beside it that stand in the way later.
    """
    for file in (os.path.realpath(path), *files_of(path)[1:]):
        folder = os.path.dirname(file)
        if not os.path.exists(file):
            if not _may(folder, os.W_OK | os.X_OK):
                raise unusable(path, f"the folder {folder} is read-only: let this process create files in it")
        elif not _may(file, os.R_OK):
            raise unusable(path, f"{file} may not be read: let this process read and write it")
        elif not _may(file, os.W_OK):
            raise unusable(path, f"{file} is read-only: let this process write it")


def unusable(path: str, reason: str) -> StorageUnavailable:
    """The error of a database that cannot be used for this reason."""
    return StorageUnavailable(f"SQLite database {path}: {reason}", maybe_done=False)


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
