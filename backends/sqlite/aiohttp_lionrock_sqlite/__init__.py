"""SQLite storage for aiohttp-lionrock: ``sqlite:///sessions.db``."""

from .storage import SqliteStorage

__all__ = ["SqliteStorage"]
