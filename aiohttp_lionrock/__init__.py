"""Sessions for aiohttp: a signed JWT in a cookie, access and refresh tokens, and revocation that holds."""

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
    TokenSuperseded,
    TokenTooLarge,
    UnknownBackend,
)
from .sessions.events import SessionEvent
from .sessions.manager import SessionManager
from .sessions.session import Session
from .settings.config import AccessTokenConfig, CookieConfig, JtiConfig, JtiEvent, RefreshTokenConfig, SessionConfig
from .settings.cookies import CookieChange, CookieOptions
from .storage.contract import JtiRecord, JtiStorage
from .storage.memory import MemoryStorage
from .storage.registry import open_storage
from .tokens.codec import TokenCodec
from .tokens.keys import KeyRing
from .web import (
    cross_origin_exempt,
    cross_origin_middleware,
    flash,
    flashes,
    get_manager,
    get_session,
    new_session,
    setup,
    setup_jinja2,
    watch,
)

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
    "SessionEvent",
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
    "TokenSuperseded",
    "TokenTooLarge",
    "UnknownBackend",
    "cross_origin_exempt",
    "cross_origin_middleware",
    "flash",
    "flashes",
    "get_manager",
    "get_session",
    "new_session",
    "open_storage",
    "setup",
    "setup_jinja2",
    "watch",
]
