"""RecordJti: ids honoured by a `JtiRecord` in a storage.

Verdicts say whether a token may come in; moves and endings change the record; repairs settle what was left open.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ..errors import TokenSuperseded
from ..settings.config import JtiConfig, SessionConfig
from ..storage.contract import JtiRecord
from .beginnings import Beginnings
from .caps import Caps
from .endings import Endings
from .events import Events, Why
from .grants import Grants
from .jti import Candidate, JtiAuthority, Verdict, jti_maker
from .life import Act, Plan, logs_out
from .link import StorageLink
from .mint import Draft, Issued, TokenMint
from .moves import Moves
from .own_ends import has_ended, note_end
from .repairs import Repairs
from .sightings import Sightings
from .turns import Turns
from .undoing import Undoing
from .verdicts import Leeway, check_access, check_refresh, presented_jti
from .writes import Writes

__all__ = ["RecordJti"]

MAX_TRUSTED = 10_000
_NO_TRUST = (0.0, 0)

T = TypeVar("T")


class RecordJti(JtiAuthority):
    """Honours the ids of a session's record, and keeps the record in step with the tokens issued."""

    def __init__(
        self, config: SessionConfig, jti: JtiConfig, mint: TokenMint, link: StorageLink, events: Events
    ) -> None:
        self._jti = jti
        self._link = link
        self._records = records = link.records
        self._leeway = Leeway(jti.reuse_leeway, jti.max_clock_skew)
        self._repairs = Repairs(link)
        self._endings = Endings(records, self._repairs, events)
        self._undoing = Undoing(link.storage, self._repairs)
        turns = Turns(records, link)
        self._sightings = Sightings(config.seen_interval, turns, self._repairs)
        grants = Grants(config, mint, jti_maker(config, jti, mint))
        self._writes = Writes(records, grants, turns, self._repairs, self._sightings)
        caps = Caps(config, records, self._endings, link.seconds + jti.max_clock_skew)
        beginnings = Beginnings(
            records, grants, caps, self._endings, self._undoing, self._sightings, config.subject_key
        )
        counts_places = config.max_sessions is not None
        self._moves = Moves(records, beginnings, self._endings, self._undoing, turns, self._leeway, counts_places)
        self._trusted: dict[tuple[str, str], tuple[float, int]] = {}
        self._trust_epoch = 0
        self._begun_work: set[asyncio.Task[Any]] = set()

    async def judge(self, candidate: Candidate) -> Verdict:
        contents, policy, presented, now, came = candidate
        signers = presented.keys.signers
        jti = presented_jti(contents.claims, require=True) if policy.covered else None
        if policy.use == "access" and (jti is None or self._is_trusted(contents.sid, jti, signers, now)):
            return Verdict()
        epoch = self._trust_epoch
        await self._link.ready()  # not before: tokens that are bad in themselves need no storage
        record = await self._records.get(contents.sid, signers)
        self._repairs.wake()
        if record is not None and record.successor is not None and await self._undoing.undo_now(record.sid):
            record = await self._records.get(record.sid, signers)
        check = check_access if policy.use == "access" else check_refresh
        try:
            record = check(record, jti, contents.expires_at, now, self._leeway, came)
        except TokenSuperseded as fault:
            return Verdict(record, None, fault)
        if policy.use == "refresh":
            return Verdict(record, jti)
        self._sightings.note(record, now)
        if jti is not None and epoch == self._trust_epoch and record.signer in signers:
            self._trust(contents.sid, jti, now)
        return Verdict(record)

    async def issue(self, draft: Draft, plan: Plan) -> list[Issued]:
        if plan.act is Act.WRITE:
            return await self._link(self._writes.write, draft)
        if plan.act is Act.START:
            work = self._begun(self._link(self._moves.start, draft, plan))
        else:
            if plan.insists and await self._was_ended_by_this_request(draft):
                draft.inherit_nothing()
            work = self._begun(self._link(self._moves.move, draft, plan))
        if draft.presented.sid is not None:  # it is left for another one
            work.add_done_callback(self._distrust)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(lambda done: self._forget(draft, plan, done))
            raise

    async def _was_ended_by_this_request(self, draft: Draft) -> bool:
        """Whether the session that came is gone; one of the same user in another storage is not."""
        presented = draft.presented
        assert presented.sid is not None
        if not has_ended(presented.sid, presented.subject, presented.keys.signer, draft.life.since):
            return False
        return await self._link(self._records.get, presented.sid) is None

    def take_back(self, draft: Draft, *, ends: bool) -> None:
        if ends:
            self._undoing.remove(draft.sid)
        else:
            self._undoing.take_back(draft)

    async def end(self, sid: str, why: Why, known: JtiRecord | None = None) -> bool:
        ended = await self._revoking(self._link(self._endings.end, sid, why, known))
        if ended:
            note_end("sid", sid)
        return ended

    async def end_refused(self, sid: str, signers: Sequence[str]) -> None:
        await self._revoking(self._link(self._endings.end_signed, sid, signers))

    async def end_subject(self, subject: str, keep: str | None) -> int:
        ended = await self._revoking(self._link(self._endings.end_subject, subject, keep))
        if ended and keep is None:
            note_end("subject", subject)
        return ended

    async def end_all(self, signers: Sequence[str] | None, before: int | None) -> int:
        scopes = [None] if signers is None else signers
        over = await self._revoking(self._link(self._records.end_all, scopes, before))
        if over >= int(self._records.clock()):  # else some live on, this request's own maybe
            for scope in scopes:
                note_end("signer", scope)
        return over

    def open(self) -> None:
        self._repairs.open()

    async def aclose(self) -> None:
        if self._begun_work:  # of callers that went away too: it may have to be taken back
            await asyncio.wait(self._begun_work.copy())
        await self._repairs.aclose()

    def _begun(self, call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Work in a task of its own, which goes on where its caller goes away."""
        work = asyncio.get_running_loop().create_task(call)
        self._begun_work.add(work)
        work.add_done_callback(self._begun_work.discard)
        return work

    def _forget(self, draft: Draft, plan: Plan, work: "asyncio.Future[list[Issued]]") -> None:
        """Takes back what was done for a caller that went away, but no logout: the cookies will not be sent."""
        if not work.cancelled() and work.exception() is None:
            self.take_back(draft, ends=logs_out(plan, draft.life.asked, draft.subject))

    async def _revoking(self, call: Coroutine[Any, Any, T]) -> T:
        """What a revocation has begun is finished, and nothing is trusted that was read before it was done."""
        work = self._begun(call)
        work.add_done_callback(self._distrust)
        return await asyncio.shield(work)

    def _distrust(self, work: "asyncio.Future[T]") -> None:
        self._trusted.clear()
        self._trust_epoch += 1
        if not work.cancelled():
            work.exception()  # seen, also where its caller went away

    def _is_trusted(self, sid: str, jti: str, signers: tuple[str, ...], now: int) -> bool:
        until, epoch = self._trusted.get((sid, jti), _NO_TRUST)
        if not now < until <= now + self._jti.cache_ttl:  # also where the clock was set back meanwhile
            return False
        return self._records.knows(signers) and epoch == self._records.epoch

    def _trust(self, sid: str, jti: str, now: int) -> None:
        if self._jti.cache_ttl:
            if len(self._trusted) >= MAX_TRUSTED:
                del self._trusted[next(iter(self._trusted))]
            self._trusted[sid, jti] = (now + self._jti.cache_ttl, self._records.epoch)
