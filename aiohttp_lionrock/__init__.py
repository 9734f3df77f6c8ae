"""Sessions for aiohttp: a signed JWT in a cookie, access and refresh tokens, and revocation that holds."""

from .config import AccessTokenConfig, CookieConfig, JtiConfig, JtiEvent, RefreshTokenConfig, SessionConfig
from .cookies import CookieChange, CookieOptions
from .errors import (
    ConfigError,
    CorruptRecord,
    DuplicateRecord,
    LionRockError,
    ReservedName,
    SessionDataError,
    SessionSealed,
    SessionTooLarge,
    StorageError,
    StorageUnavailable,
    TokenClaimError,
    TokenError,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    TokenReused,
    TokenRevoked,
    TokenTooLarge,
    UnknownBackend,
)
from .keys import KeyRing
from .manager import SessionManager
from .memory import MemoryStorage
from .registry import open_storage
from .session import Session
from .storage import JtiRecord, JtiStorage
from .tokens import TokenCodec
from .web import get_session, new_session, response_signal, session_middleware, setup

__all__ = [
    "AccessTokenConfig",
    "ConfigError",
    "CookieChange",
    "CookieConfig",
    "CookieOptions",
    "CorruptRecord",
    "DuplicateRecord",
    "JtiConfig",
    "JtiEvent",
    "JtiRecord",
    "JtiStorage",
    "KeyRing",
    "LionRockError",
    "MemoryStorage",
    "RefreshTokenConfig",
    "ReservedName",
    "Session",
    "SessionConfig",
    "SessionDataError",
    "SessionManager",
    "SessionSealed",
    "SessionTooLarge",
    "StorageError",
    "StorageUnavailable",
    "TokenClaimError",
    "TokenCodec",
    "TokenError",
    "TokenExpired",
    "TokenForged",
    "TokenMalformed",
    "TokenReused",
    "TokenRevoked",
    "TokenTooLarge",
    "UnknownBackend",
    "get_session",
    "new_session",
    "open_storage",
    "response_signal",
    "session_middleware",
    "setup",
]
