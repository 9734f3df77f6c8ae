"""The devices demo as a process of its own, and settings under which times are short."""

from pathlib import Path

from .browser import SECRET
from .example import EXAMPLES, Example

__all__ = ["REFUSED_AFTER", "SHORT", "Demo"]

REFUSED_AFTER = 1  # seconds of leeway for a rotated refresh token
SHORT = {
    "SESSION_ACCESS_TOKEN_EXPIRES": "1",
    "SESSION_CLOCK_TOLERANCE": "0",
    "SESSION_JTI_REUSE_LEEWAY": str(REFUSED_AFTER),
    "SESSION_JTI_MAX_CLOCK_SKEW": "0",
}


class Demo(Example):
    """A running demo with its database in a folder of the test's."""

    def __init__(self, folder: Path, **environ: str) -> None:
        settings = {"SESSION_STORAGE": f"sqlite:///{folder}/demo.db", "SESSION_SECRET": SECRET, **environ}
        super().__init__(EXAMPLES / "devices" / "app.py", folder / "demo.log", **settings)
