"""Exit codes, and the errors that lead to them."""

from ..errors import ConfigError, LionRockError, StorageUnavailable

__all__ = ["DONE", "INTERRUPTED", "NO", "UNAVAILABLE", "WRONG", "exit_code_of"]

DONE = 0
NO = 1  # it was looked at, and the answer is no: a refused token, faults, no such session
WRONG = 2  # the call or the configuration is wrong
UNAVAILABLE = 3  # the storage cannot answer, or is not there
INTERRUPTED = 130  # as shells count SIGINT


def exit_code_of(error: LionRockError) -> int:
    """The exit code of a command that ends with this error."""
    if isinstance(error, StorageUnavailable):
        return UNAVAILABLE
    return WRONG if isinstance(error, ConfigError) else NO
