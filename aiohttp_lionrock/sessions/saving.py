"""Saver: has done what was decided for a session, and says what the response has to carry."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from ..errors import SessionLimitReached, SessionTooLarge, StorageError, TokenExpired, TokenRevoked
from ..log import logger
from ..settings.config import SessionConfig, TokenPolicy
from ..settings.cookies import CookieChange, CookieOptions
from ..storage.contract import Clock
from ..tokens.keys import KeyRings
from .data import SessionData
from .events import Events, SessionEvent, Why
from .jti import JtiAuthority
from .life import ASKED_NOTHING, Act, Arrival, Asked, Level, Plan, Presented, Rules, logs_out, plan
from .mint import Draft, Issued, latest_exp
from .own_ends import moment
from .state import Life
from .term import Limits, Term

__all__ = ["Saver"]

IsAwaited = Callable[[], bool] | None  # whether somebody waits for the cookies; None: yes


# Members of an enumeration, looked up once: Python 3.11 takes its time over it.
_NOTHING, _WRITE, _START, _MOVE, _END = Act
_FRESH, _LOADED, _REFRESHED, _SUPERSEDED = Arrival
_ASKED_TO_END = Level.END


class Saver:
    """Carries plans out: the authority records what is signed, and the session remembers what it has become."""

    def __init__(
        self,
        config: SessionConfig,
        rules: Rules,
        limits: Limits,
        check_subject: Callable[[SessionData], None],
        authority: JtiAuthority,
        keys: KeyRings,
        clock: Clock,
        events: Events,
    ) -> None:
        self._limits = limits
        self._rules = rules
        self._check_subject = check_subject
        self._authority = authority
        self._keys = keys
        self._clock = clock
        self._events = events
        self._told_of_size = False
        self._policies = tuple(policy for policy in (config.access, config.refresh) if policy)
        self._replaces = any(policy.replaces for policy in self._policies)

    async def save(self, life: Life, is_awaited: IsAwaited) -> list[CookieChange]:
        """The cookies that the response is to carry. Raises as `SessionManager.save`."""
        if life.presented is None:  # made by hand, which knows no manager
            life.subject_of, life.clock = self._rules.subject_of, self._clock
        self._check_subject(life.data)
        presented = life.presented or Presented(_FRESH, self._keys.own())
        planned = plan(presented, life.asked, life.data, self._rules)
        if planned.act is _NOTHING:
            if presented.arrival is _SUPERSEDED:
                _drop_changes(life, "the browser has newer cookies")
            return []
        if life.asked.level is _ASKED_TO_END and presented.refused_sid is not None:
            await self._authority.end_refused(presented.refused_sid, presented.keys.signers)
        if planned.act is _END:
            return await self._end(life, presented)
        if is_awaited is not None and not is_awaited():
            if logs_out(planned, life.asked, life.subject):
                return await self._end(life, presented)  # what would begin in its place reaches nobody
            if _is_for_the_cookies(planned, life.asked):
                return []
        if planned.leaves:
            life.data.keep_assigned()
        if planned.begins and not life.asked.sets_term:
            life.term = Term()
        life.data.check()
        draft = self._draft(life, presented, planned, is_awaited)
        issued = await self._issue(draft, planned)
        if not issued:
            return []
        has_ended = life.asked.level is _ASKED_TO_END
        life.data.written(draft.data)
        self._remember(life, draft, issued)
        self._tell(life, presented, planned, draft)
        cookies = self._cookies(draft, issued)
        if planned.begins:
            cookies += self._left_over(draft)
        # Deletions come first: to a client that knows no partitions, say, both are one cookie.
        if has_ended:
            return _former(self._policies) + cookies
        if self._replaces:  # a refresh token that stays behind would be a replay
            written = self._policies if planned.leaves else draft.policies
            return _former(policy for policy in written if policy.replaces) + cookies
        return cookies

    async def _issue(self, draft: Draft, planned: Plan) -> list[Issued]:
        """The tokens of the response; none where the session has ended meanwhile, or a new one is taken back."""
        life = draft.life
        try:
            issued = await self._authority.issue(draft, planned)
        except SessionTooLarge as fault:
            if life.asked is not ASKED_NOTHING or life.data.is_changed():
                raise
            self._leave_as_it_is(fault)
            return []
        except (TokenExpired, TokenRevoked) as fault:
            life.rejected = fault
            if planned.begins:
                logger.warning("a login was not delivered: %s", fault)
            _drop_changes(life, str(fault))
            _leave_behind(draft, planned)
            return []
        except (StorageError, SessionLimitReached, asyncio.CancelledError):
            _leave_behind(draft, planned)
            raise
        if planned.act is not _WRITE and draft.reaches_nobody():
            self._authority.take_back(draft, ends=logs_out(planned, life.asked, draft.subject))
            life.give_up_sid(draft.sid)
            return []
        return issued

    def _leave_as_it_is(self, fault: SessionTooLarge) -> None:
        """A session that was let in under other settings, and that the request only reads, is no fault of it."""
        if not self._told_of_size:
            self._told_of_size = True
            logger.error("sessions are too large to be refreshed under these settings, and will end: %s", fault)

    def _draft(self, life: Life, presented: Presented, planned: Plan, is_awaited: IsAwaited) -> Draft:
        draft = Draft(life, presented, self._policies, int(self._clock()), is_awaited)
        if not planned.refreshes or not self._limits.gives_refresh(draft.subject):
            draft.policies = self._policies[:1]
        if planned.act is _MOVE and draft.sid == presented.sid:
            draft.sid = life.next_sid()
        if planned.begins:
            draft.created_at = None
            draft.authenticated_at = draft.now
        if draft.subject is None:
            draft.authenticated_at = None
        return draft

    def _cookies(self, draft: Draft, issued: list[Issued]) -> list[CookieChange]:
        term = draft.life.term
        if term.until is not None:
            return _with_age(issued, latest_exp(issued) - draft.now)
        if term.at_close:
            return _with_age(issued, None)
        if len(issued) < len(self._policies):
            policy, age = issued[0].policy, latest_exp(issued) - draft.now
            if policy.cookie.max_age is not None and policy.cookie.max_age >= policy.lifetime < age:
                return _with_age(issued, age)  # it has no refresh token beside it, and lives longer than those that do
        return [CookieChange(token.policy.name, token.token, token.policy.cookie) for token in issued]

    def _left_over(self, draft: Draft) -> list[CookieChange]:
        """Deletes the refresh cookie of a user whom the browser may have had, where the new session has none."""
        return [_deletion(policy.name, policy.cookie) for policy in self._policies if policy not in draft.policies]

    def _remember(self, life: Life, draft: Draft, issued: list[Issued]) -> None:
        """The session as the next request would find it: it may be changed and saved again."""
        life.id = draft.id
        life.go_on_as(draft.sid)
        life.expires_at = latest_exp(issued)
        life.created_at = issued[0].claims.get("orig_iat")
        life.authenticated_at = draft.authenticated_at
        life.is_new = False
        life.since = moment()
        life.asked = ASKED_NOTHING
        _, keys, env, *_ = draft.presented
        life.presented = Presented(_LOADED, keys, env, draft.sid, draft.subject, is_due=self._rules.resave)

    def _tell(self, life: Life, presented: Presented, planned: Plan, draft: Draft) -> None:
        """Tells what the session has become; of a record that ended, who removed it has told."""
        if planned.act is _WRITE:
            if presented.arrival is _REFRESHED:
                self._events.tell(SessionEvent("refreshed", life.sid, life.subject))
        elif _goes_on(presented, planned, draft):
            self._events.tell(SessionEvent("renewed", life.sid, life.subject, (draft.presented.sid or "",)))
        else:
            if planned.leaves and (draft.handed_over is not None or not self._rules.has_records):
                self._tell_logout(presented)
            self._events.tell(SessionEvent("started", life.sid, life.subject))

    def _tell_logout(self, presented: Presented) -> None:
        self._events.tell(SessionEvent("ended", presented.sid, presented.subject, why=Why.LOGOUT))

    async def _end(self, life: Life, presented: Presented) -> list[CookieChange]:
        if presented.sid is not None:
            await self._authority.end(presented.sid, Why.LOGOUT, presented.record)
            if not self._rules.has_records:
                self._tell_logout(presented)
        if not life.is_new:  # the data says so: nobody has called invalidate
            life.start_over()
        life.presented = Presented(_FRESH, presented.keys, presented.env)
        life.asked = ASKED_NOTHING
        return [*(_deletion(policy.name, policy.cookie) for policy in self._policies), *_former(self._policies)]


def _leave_behind(draft: Draft, planned: Plan) -> None:
    """Whoever saves the session again must not meet the new sid that is being undone."""
    if planned.act is not _WRITE:
        draft.life.give_up_sid(draft.sid)


def _drop_changes(life: Life, why: str) -> None:
    """Says that what a request has stored is lost, which its client is not told."""
    if life.data.is_changed():
        logger.warning("what a request stored in its session was dropped: %s", why)
        life.data.written(life.data.snapshot())


def _is_for_the_cookies(planned: Plan, asked: Asked) -> bool:
    """Whether a plan is of no use where its cookies reach nobody: it labels no record."""
    return planned.act is not _WRITE or not asked.labels


def _goes_on(presented: Presented, planned: Plan, draft: Draft) -> bool:
    """Whether a new sid is that of a session which was there before."""
    if draft.presented is not presented:
        return True
    return planned.act is _MOVE and not planned.leaves and draft.inherits


def _with_age(issued: list[Issued], max_age: int | None) -> list[CookieChange]:
    return [
        CookieChange(token.policy.name, token.token, replace(token.policy.cookie, max_age=max_age)) for token in issued
    ]


def _deletion(name: str, cookie: CookieOptions) -> CookieChange:
    return CookieChange(name, None, replace(cookie, max_age=0))


def _former(policies: Iterable[TokenPolicy]) -> list[CookieChange]:
    """Deletes cookies from before a change of domain or path: without a storage nothing else ends what they say."""
    return [_deletion(policy.name, former) for policy in policies for former in policy.former]
