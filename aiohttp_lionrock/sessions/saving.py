"""Saver: has done what was decided for a session, and says what the response has to carry."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from ..errors import StorageError, TokenRevoked
from ..log import logger
from ..settings.config import SessionConfig
from ..settings.cookies import CookieChange
from ..storage.contract import Clock
from ..tokens.keys import KeyRings
from .jti import JtiAuthority
from .life import Act, Arrival, Asked, Plan, Presented, Rules, plan
from .mint import Draft, Issued
from .state import Life

__all__ = ["Saver"]


class Saver:
    """Carries plans out: the authority records what is signed, and the session remembers what it has become."""

    def __init__(
        self, config: SessionConfig, rules: Rules, authority: JtiAuthority, keys: KeyRings, clock: Clock
    ) -> None:
        self._rules = rules
        self._authority = authority
        self._keys = keys
        self._clock = clock
        self._policies = tuple(policy for policy in (config.access, config.refresh) if policy)

    async def save(self, life: Life) -> list[CookieChange]:
        """The cookies that the response is to carry. Raises as `SessionManager.save`."""
        presented = life.presented or Presented(Arrival.FRESH, self._keys.own())
        planned = plan(presented, life.asked, life.data, self._rules)
        if planned.act is Act.NOTHING:
            if presented.arrival is Arrival.SUPERSEDED and life.data.is_changed():
                logger.info("what a request with superseded cookies stored was dropped: the browser has newer ones")
                life.data.written()
            return []
        if planned.act is Act.END:
            return await self._end(life, presented)
        if planned.leaves:
            life.data.keep_assigned()
        life.data.check()
        draft = self._draft(life, presented, planned)
        try:
            issued = await self._authority.issue(draft, planned)
        except TokenRevoked as fault:
            life.rejected = fault
            return []
        except (StorageError, asyncio.CancelledError):
            if draft.sid == life.sid and planned.act is not Act.WRITE:
                life.take_new_sid()  # whoever saves again must not meet what is being undone
            raise
        self._remember(life, draft, issued, presented.subject if planned.act is Act.WRITE else life.subject)
        return [CookieChange(token.policy.name, token.token, token.policy.cookie) for token in issued]

    def _draft(self, life: Life, presented: Presented, planned: Plan) -> Draft:
        policies = self._policies if planned.refreshes else self._policies[:1]
        draft = Draft(life, presented, policies, int(self._clock()))
        if planned.act is Act.MOVE and draft.sid == presented.sid:
            draft.sid = str(uuid4())
            draft.created_at = None
        return draft

    def _remember(self, life: Life, draft: Draft, issued: list[Issued], subject: str | None) -> None:
        """The session as the next request would find it: it may be changed and saved again."""
        life.id = draft.id
        life.sid = draft.sid
        life.expires_at = max([token.claims["exp"] for token in issued])
        life.created_at = issued[0].claims.get("orig_iat")
        life.is_new = False
        life.asked = Asked()
        life.data.written()
        life.presented = Presented(Arrival.LOADED, draft.presented.keys, draft.presented.env, draft.sid, subject)

    async def _end(self, life: Life, presented: Presented) -> list[CookieChange]:
        if presented.sid is not None:
            await self._authority.end(presented.sid, presented.record)
        if not life.is_new:  # the data says so: nobody has called invalidate
            life.start_over()
        life.presented = Presented(Arrival.FRESH, presented.keys, presented.env)
        life.asked = Asked()
        return [CookieChange(policy.name, None, replace(policy.cookie, max_age=0)) for policy in self._policies]
