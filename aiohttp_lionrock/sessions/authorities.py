"""Which authority a configuration asks for."""

from ..errors import ConfigError
from ..settings.config import SessionConfig
from .events import Events
from .jti import CallbackJti, JtiAuthority, Stateless
from .link import Deadline, StorageLink
from .mint import TokenMint
from .records import RecordJti

__all__ = ["authority_for"]


def authority_for(
    config: SessionConfig, mint: TokenMint, link: StorageLink | None, deadline: Deadline, events: Events
) -> JtiAuthority:
    """Who honours the ids of tokens under this configuration. Raises ConfigError where that is said to be somebody."""
    jti = config.jti_policy
    if link is None and config.max_sessions is not None:
        raise ConfigError("max_sessions needs a storage: nothing else knows how many sessions a user has")
    if jti is None:
        return Stateless(mint)
    if link is None and not (jti.generate or jti.persist or jti.verify):
        raise ConfigError("jti is on with nothing behind it: give a storage, or callbacks (persist and verify)")
    if link is None:
        return CallbackJti(config, jti, mint, deadline)
    return RecordJti(config, jti, mint, link, events)
