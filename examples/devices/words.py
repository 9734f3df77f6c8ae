"""What the pages say in words."""

from collections import deque
from collections.abc import Mapping

from aiohttp_lionrock import TokenError, TokenExpired, TokenReused, TokenRevoked, TokenSuperseded

MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds


def device_name(labels: Mapping[str, str]) -> str:
    """The labels of `describe_request` in a line: "Chrome on Windows"."""
    browser, system = labels.get("browser", "unknown browser"), labels.get("system", "unknown system")
    return browser if system == "unknown system" else f"{browser} on {system}"


def ago(seconds: float) -> str:
    """How long ago something was, as people say it."""
    if seconds < 90:
        return "just now"
    if seconds < 90 * MINUTE:
        return f"{round(seconds / MINUTE)} minutes ago"
    if seconds < 36 * HOUR:
        return f"{round(seconds / HOUR)} hours ago"
    return f"{round(seconds / DAY)} days ago"


def notice(refused: TokenError | None, replayed: deque[str | None]) -> str | None:
    """Why somebody who had a login has none any more; None where there is nothing to tell.

    ``replayed``: sids of which an old copy has turned up, for who held the good one.
    """
    if refused is None or isinstance(refused, TokenSuperseded):
        return None
    if isinstance(refused, TokenReused) or (refused.sid is not None and refused.sid in replayed):
        return (
            "An old copy of this login was used again: somebody may have copied your cookies. "
            "To be safe, everybody who holds this login was logged out."
        )
    if isinstance(refused, TokenRevoked):
        return "This device was logged out from another one."
    if isinstance(refused, TokenExpired):
        return "Your login has come to its end."
    return "The login in your browser cannot be read here."
