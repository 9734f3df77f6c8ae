"""Moves: how the record of a session begins, changes, and hands over to another; each move with its way back.

Tokens are signed before a record is changed, so that data which does not fit costs nothing. What is begun here is
finished or taken back, whoever still waits for it: a call of unknown outcome leaves a repair behind.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..errors import DuplicateRecord, SessionDataError, StorageError, StorageUnavailable, TokenRevoked, TokenSuperseded
from ..jsontext import is_storable_text
from ..settings.config import SessionConfig, TokenPolicy
from ..storage.contract import MAX_TEXT, JtiRecord
from .caps import Caps
from .endings import Endings
from .events import Why
from .labels import merged_labels
from .life import Arrival, Plan
from .living import LivingRecords
from .mint import Draft, Grant, Issued, TokenMint, latest_exp
from .repairs import Repairs, Urgency
from .sightings import Sightings
from .turns import Turns
from .undoing import UNDO_LOOKS, Undoing
from .verdicts import Leeway, State, state_of

__all__ = ["Moves"]

SUPERSEDED_FOR = 600  # seconds, at least, that a superseded record stays

NewJti = Callable[[Draft, TokenPolicy], Awaitable[str]]


class Moves:
    """Changes the records of a storage in step with the tokens that are issued."""

    def __init__(
        self,
        config: SessionConfig,
        leeway: Leeway,
        records: LivingRecords,
        mint: TokenMint,
        new_jti: NewJti,
        repairs: Repairs,
        undoing: Undoing,
        endings: Endings,
        turns: Turns,
        caps: Caps,
        sightings: Sightings,
    ) -> None:
        self._caps = caps
        self._sightings = sightings
        self._config = config
        self._leeway = leeway
        self._records = records
        self._mint = mint
        self._new_jti = new_jti
        self._repairs = repairs
        self._undoing = undoing
        self._endings = endings
        self._turns = turns

    async def start(self, draft: Draft, plan: Plan, old: JtiRecord | None = None) -> list[Issued]:
        """Inserts a sid that was made in this very request; ``old`` is what it goes on from, where it does."""
        presented = draft.presented
        grant = Grant(await self._fresh_jti("access", draft), await self._fresh_jti("refresh", draft))
        issued = self._mint.sign(draft, grant)
        subject = draft.subject
        _check_subject(subject, self._config)
        signer, now = presented.keys.signer, draft.now
        record = JtiRecord(
            sid=draft.sid,
            version=1,
            expires_at=latest_exp(issued),
            created_at=self._records.beginning(now, signer) if plan.begins or old is None else old.created_at,
            access_jti=grant.access_jti,
            refresh_jti=grant.refresh_jti,
            subject=subject,
            metadata=merged_labels({} if plan.leaves or old is None else old.metadata, draft.life.asked.labels),
            seen_at=None if plan.begins or old is None else self._sightings.seen_at(old, now),
            signer=signer,
        )
        if plan.begins:
            await self._caps.check(subject, presented.sid)
        try:
            await self._records.insert(self._caps.first(record) if plan.begins else record)
        except (StorageError, asyncio.CancelledError) as exc:
            if _may_be_done(exc):
                self._undoing.start(draft.sid, looks=UNDO_LOOKS)
            raise
        try:
            if plan.begins:
                await self._caps.keep_to(record, presented.sid)
            if presented.arrival is Arrival.SUPERSEDED and presented.subject == subject:
                await self._end_disputed(draft)
        except BaseException:
            self._undoing.start(draft.sid)
            raise
        return issued

    async def move(self, draft: Draft, plan: Plan) -> list[Issued]:
        """Inserts the new sid, then hands the old one over to it.

        Raises TokenRevoked or TokenSuperseded where the new one inherits and the old one is gone by now, but for a
        login whose session goes on as another one.
        """
        presented = draft.presented
        assert presented.sid is not None
        old = presented.record or await self._records.get(presented.sid)
        issued = await self.start(draft, plan, old)
        try:
            await self._hand_over(presented.sid, old, draft, plan)
        except BaseException:
            self._undoing.start(draft.sid)
            raise
        return issued

    async def write(self, draft: Draft) -> list[Issued]:
        """New tokens under the record of a session that goes on; with a rotation, where it is due."""

        async def change(record: JtiRecord | None) -> tuple[JtiRecord, list[Issued]]:
            return await self._continued(_alive(record), draft)

        stored, issued = await self._turns.change(draft.sid, draft.presented.record, change)
        if state_of(stored) is State.ROTATING and stored.previous_jti == draft.presented.jti:
            self._start_leeway(stored, draft.now)
        return issued

    async def _continued(self, record: JtiRecord, draft: Draft) -> tuple[JtiRecord, list[Issued]]:
        """The record as it is to be, and the tokens of this response under it."""
        presented, successor, refresh_iat = draft.presented, record, None
        if presented.arrival is Arrival.REFRESHED and self._rotates(draft):
            if record.refresh_jti == presented.jti:
                fresh = await self._fresh_jti("refresh", draft)
                successor = replace(record, refresh_jti=fresh, previous_jti=record.refresh_jti, rotated_at=None)
            elif not draft.life.data.is_changed():
                refresh_iat = record.rotated_at
        grant = Grant(
            access_jti=record.access_jti or await self._fresh_jti("access", draft),
            refresh_jti=successor.refresh_jti or await self._fresh_jti("refresh", draft),
            refresh_iat=refresh_iat,
        )
        issued = self._mint.sign(draft, grant)
        successor = replace(
            successor,
            access_jti=grant.access_jti,
            refresh_jti=grant.refresh_jti,
            expires_at=max(record.expires_at, latest_exp(issued)),
            subject=draft.subject,
            metadata=merged_labels(record.metadata, draft.life.asked.labels),
            seen_at=self._sightings.seen_at(record, draft.now),
            signer=presented.keys.signer,
        )
        return successor, issued

    async def _hand_over(self, sid: str, known: JtiRecord | None, draft: Draft, plan: Plan) -> None:
        async def supersede(record: JtiRecord | None) -> tuple[JtiRecord, None]:
            draft.handed_over = record = _alive(record)
            return self._superseded(record, draft), None

        try:
            await self._turns.change(sid, known, supersede)
        except (StorageUnavailable, asyncio.CancelledError) as exc:
            if _may_be_done(exc):
                self._undoing.hand_over(draft)
            raise
        except TokenRevoked as gone:
            is_superseded = isinstance(gone, TokenSuperseded)
            if plan.inherits and not (plan.insists and is_superseded):
                raise
            if plan.leaves and is_superseded:
                await self._endings.end(sid, Why.LOGOUT)

    def _superseded(self, record: JtiRecord, draft: Draft) -> JtiRecord:
        stays = max(SUPERSEDED_FOR, int(self._leeway.reuse + self._leeway.skew) + 1)
        return JtiRecord(
            sid=record.sid,
            version=record.version,
            expires_at=draft.now + stays,
            created_at=record.created_at,
            rotated_at=draft.now,
            subject=record.subject,
            successor=draft.sid,
            signer=record.signer,
        )

    async def _end_disputed(self, draft: Draft) -> None:
        """A new login of the same subject beside a refresh token that may have been stolen: its session ends."""
        disputed = draft.presented.record
        if disputed is not None and state_of(disputed) is not State.SUPERSEDED:
            await self._endings.end(disputed.sid, Why.REVOKED)

    def _start_leeway(self, stored: JtiRecord, rotated: int) -> None:
        """Lets the leeway of the token before run, once its successor is stored and on its way.

        Until then, and for ever where this process ends here, that token gets the successor at any time: a client
        that never got it is not taken for a thief, whichever process it asks. The answer need not wait for it.
        """

        async def begin(record: JtiRecord | None) -> tuple[JtiRecord, None]:
            record = _alive(record)
            if state_of(record) is not State.ROTATING or record.previous_jti != stored.previous_jti:
                return record, None
            now = int(self._records.clock())
            return replace(record, rotated_at=rotated if 0 <= now - rotated <= 1 else now), None

        async def settle() -> bool:
            await self._turns.change(stored.sid, stored, begin)
            return True

        self._repairs.add(Urgency.LEEWAY, f"{stored.sid} {stored.previous_jti}", settle)

    def _rotates(self, draft: Draft) -> bool:
        """Whether the response carries a refresh token in the place of the one that came."""
        refresh = self._config.refresh
        return self._config.rotate and refresh is not None and refresh.covered and refresh in draft.policies

    async def _fresh_jti(self, use: str, draft: Draft) -> str | None:
        policy = self._config.access if use == "access" else self._config.refresh
        return await self._new_jti(draft, policy) if policy is not None and policy.covered else None


def _alive(record: JtiRecord | None) -> JtiRecord:
    if record is None:
        raise TokenRevoked("session was ended while the request was handled")
    if state_of(record) is State.SUPERSEDED:
        raise TokenSuperseded("session was renewed while the request was handled")
    return record


def _may_be_done(cause: BaseException) -> bool:
    if isinstance(cause, DuplicateRecord):
        return False  # what is stored there is another one's
    return not isinstance(cause, StorageUnavailable) or cause.maybe_done


def _check_subject(subject: str | None, config: SessionConfig) -> None:
    if subject is not None and (not is_storable_text(subject) or len(subject) > MAX_TEXT):
        key = config.subject_key if isinstance(config.subject_key, str) else None
        named = f"session[{key!r}]" if key else "the subject of the session"
        raise SessionDataError(f"{named} must be text of at most {MAX_TEXT} characters without NUL", key)
