"""The aiohttp adapter: the only layer that imports aiohttp.

May not judge tokens, decide what becomes of a session, or talk to a storage.
"""

from .crossorigin import cross_origin_exempt, cross_origin_middleware
from .devices import describe_request
from .flash import Flash, flash, flashes
from .setup import get_manager, setup
from .stepup import check_fresh, fresh_login
from .templates import setup_jinja2
from .visit import get_session, new_session
from .watch import Watched, watch

__all__ = [
    "Flash",
    "Watched",
    "check_fresh",
    "cross_origin_exempt",
    "cross_origin_middleware",
    "describe_request",
    "flash",
    "flashes",
    "fresh_login",
    "get_manager",
    "get_session",
    "new_session",
    "setup",
    "setup_jinja2",
    "watch",
]
