"""What a server process is told, and its configuration."""

import json
from dataclasses import asdict, dataclass

from aiohttp_lionrock import SessionConfig

__all__ = ["SAVED", "SECRET", "SIGNALS", "Options", "config_of"]

SECRET = "known to nobody but these races: 0123456789"
SAVED = "X-Saved"  # when the save of an answer's session began and when it was done
SIGNALS = ("signal before", "signal after")  # bugs in prepare signals that run before the library's, or after it


@dataclass(frozen=True)
class Options:
    """What a server is told. ``offset``: by how many seconds its clock is ahead."""

    storage: str
    outer_storage: str = ""
    offset: float = 0
    reuse_leeway: float = 30
    max_clock_skew: float = 30
    storage_timeout: float = 5
    handler_cancellation: bool = False

    def json(self) -> str:
        return json.dumps(asdict(self))


def config_of(options: Options) -> SessionConfig:
    jti = {"reuse_leeway": options.reuse_leeway, "max_clock_skew": options.max_clock_skew}
    return SessionConfig.from_mapping(
        {
            "storage": options.storage,
            "secret": SECRET,
            "refresh_token": True,
            "jti": jti,
            "storage_timeout": options.storage_timeout,
            "purge_interval": None,
        }
    )
