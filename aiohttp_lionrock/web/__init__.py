"""The aiohttp adapter: the only layer that imports aiohttp.

May not judge tokens, decide what becomes of a session, or talk to a storage.
"""

from .app import get_session, new_session, response_signal, session_middleware, setup

__all__ = ["get_session", "new_session", "response_signal", "session_middleware", "setup"]
