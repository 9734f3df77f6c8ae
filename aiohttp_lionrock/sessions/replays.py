"""Replays: a refresh token came back after it was replaced. Whoever holds it, the session ends."""

from collections.abc import Awaitable, Callable, Sequence

from ..log import logger
from ..settings.config import JtiEvent, SessionConfig
from .data import copied
from .jti import Candidate, JtiAuthority

__all__ = ["Replays", "ReuseListener"]

ReuseListener = Callable[[JtiEvent], Awaitable[None]]


class Replays:
    """Stops them, and tells the listeners of each once."""

    def __init__(self, config: SessionConfig, authority: JtiAuthority, listeners: Sequence[ReuseListener]) -> None:
        self._config = config
        self._authority = authority
        self._listeners = listeners

    async def stop(self, candidate: Candidate) -> None:
        """Ends the session of a token that was used before."""
        contents, policy, presented, _ = candidate
        logger.warning("a refresh token of session %r was used again: the session is revoked", contents.sid)
        if not await self._authority.end(contents.sid):
            return
        payload = copied(contents.claims)
        event = JtiEvent(
            payload["jti"],
            candidate.session(),
            policy.use,
            contents.expires_at,
            payload,
            self._config,
            presented.env,
        )
        for listener in self._listeners:
            try:
                await listener(event)
            except Exception:
                logger.exception("an on_reuse listener failed")
