"""MongoDB storage for aiohttp-lionrock sessions."""

from .storage import MongoStorage

__all__ = ["MongoStorage"]
