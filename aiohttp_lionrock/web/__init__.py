"""The aiohttp adapter: the only layer that imports aiohttp.

May not judge tokens, decide what becomes of a session, or talk to a storage.
"""

from .crossorigin import cross_origin_exempt, cross_origin_middleware
from .flash import flash, flashes
from .setup import get_manager, setup
from .templates import setup_jinja2
from .visit import get_session, new_session
from .watch import watch

__all__ = [
    "cross_origin_exempt",
    "cross_origin_middleware",
    "flash",
    "flashes",
    "get_manager",
    "get_session",
    "new_session",
    "setup",
    "setup_jinja2",
    "watch",
]
