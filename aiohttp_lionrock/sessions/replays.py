"""Replays: what is done about a refresh token that was used before, and that only a thief explains."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ..log import logger
from ..settings.config import JtiEvent, SessionConfig
from .data import copied
from .events import Events, SessionEvent, Why
from .jti import Candidate, JtiAuthority

__all__ = ["Replays", "ReuseListener"]

ReuseListener = Callable[[JtiEvent], Awaitable[object] | None]


class Replays:
    """Ends the session of a replayed token, and tells the listeners once."""

    def __init__(
        self,
        config: SessionConfig,
        authority: JtiAuthority,
        events: Events,
        listeners: Callable[[], Sequence[ReuseListener]],
    ) -> None:
        self._config = config
        self._authority = authority
        self._events = events
        self._listeners = listeners
        self._running: set[asyncio.Task[None]] = set()

    async def stop(self, candidate: Candidate) -> None:
        """Revokes; who asks is refused in any case. Raises StorageUnavailable."""
        logger.warning("a refresh token of session %r was used again: the session is revoked", candidate.contents.sid)
        work = asyncio.get_running_loop().create_task(self._end(candidate))
        self._running.add(work)
        work.add_done_callback(self._done)
        await asyncio.shield(work)  # who replays may go away: it is told all the same

    async def _end(self, candidate: Candidate) -> None:
        contents, policy, presented, *_ = candidate
        if not await self._authority.end(contents.sid, Why.REUSE):
            return
        self._events.tell(SessionEvent("reused", contents.sid, contents.subject))
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
        self._events.call("on_reuse", self._listeners(), event)
        await asyncio.sleep(0)  # one that need not wait is done before the answer; the others hold up no request

    def _done(self, work: "asyncio.Task[None]") -> None:
        self._running.discard(work)
        if not work.cancelled():
            work.exception()  # seen, also where its caller went away
