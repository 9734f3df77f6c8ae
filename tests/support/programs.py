"""Programs that make cannot install everywhere: tests that need one are skipped without it, but in CI they fail."""

import os
import shutil

import pytest

__all__ = ["find_program"]


def find_program(package: str, *names: str) -> str:
    """The path of the first of these programs; skips or fails where there is none. ``package``: of Debian."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])  # a user's PATH may lack these
    for name in names:
        if (found := shutil.which(name, path=path)) is not None:
            return found
    reason = f"{' or '.join(names)} is not on the PATH: apt-get install {package}, or make browser, as root"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
