"""The one logger of the library. No token, secret or session data is ever logged."""

import logging

__all__ = ["logger"]

logger: logging.Logger = logging.getLogger("aiohttp_lionrock")
