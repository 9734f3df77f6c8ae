"""Beginnings: how the record of a session is made, within what a user may have, and taken back where that fails.

Tokens are signed before anything is stored, so that data which does not fit costs nothing. A call of unknown outcome
leaves a repair behind.
"""

import asyncio
from dataclasses import replace

from ..errors import DuplicateRecord, SessionDataError, StorageError, StorageUnavailable, TokenRevoked
from ..jsontext import is_storable_text
from ..settings.config import SubjectKey
from ..storage.contract import MAX_TEXT, JtiRecord
from .caps import Caps
from .endings import Endings
from .events import Why
from .grants import Grants
from .labels import merged_labels
from .life import Arrival, Plan, Presented
from .living import LivingRecords
from .mint import Draft, Grant, Issued, latest_exp
from .sightings import Sightings
from .undoing import UNDO_LOOKS, Undoing
from .verdicts import State, state_of

__all__ = ["Beginnings", "may_be_done"]


class Beginnings:
    """Inserts sids that were made in this very request."""

    def __init__(
        self,
        records: LivingRecords,
        grants: Grants,
        caps: Caps,
        endings: Endings,
        undoing: Undoing,
        sightings: Sightings,
        subject_key: SubjectKey,
    ) -> None:
        self._records = records
        self._grants = grants
        self._caps = caps
        self._endings = endings
        self._undoing = undoing
        self._sightings = sightings
        self._subject_key = subject_key

    async def begin(self, draft: Draft, plan: Plan, old: JtiRecord | None = None) -> tuple[JtiRecord, list[Issued]]:
        """Inserts the record, which is let in where its user may be refused one more; the tokens under it too.

        ``old`` is what it goes on from, where it does.
        """
        presented, subject = draft.presented, draft.subject
        _check_subject(subject, self._subject_key)
        grant = await self._grants.fresh(draft)
        issued = self._grants.sign(draft, grant)
        signer, now = presented.keys.signer, draft.now
        before = None if plan.begins else old
        left = _left_by(presented)
        place = await self._caps.check(subject, left) if plan.begins else before.place if before else None
        record = JtiRecord(
            sid=draft.sid,
            version=1,
            expires_at=latest_exp(issued),
            created_at=await self._records.beginning(now, signer) if before is None else before.created_at,
            access_jti=grant.access_jti,
            refresh_jti=grant.refresh_jti,
            subject=subject,
            metadata=merged_labels(
                old.metadata if old is not None and draft.inherits and not plan.leaves else {}, draft.life.asked.labels
            ),
            seen_at=None if before is None else self._sightings.seen_at(before, now),
            signer=signer,
            until=draft.life.term.until,
            place=place,
            predecessor=None if old is None or old.subject != subject else old.sid,
        )
        await self._insert(self._caps.first(record) if plan.begins else record)
        try:
            if plan.begins:
                await self._caps.admit(record, left)
            if presented.arrival is Arrival.SUPERSEDED and presented.subject == subject:
                await self._end_disputed(draft)
        except BaseException:
            self._undoing.remove(draft.sid)
            raise
        return record, issued

    async def complete(
        self, record: JtiRecord, draft: Draft, plan: Plan, issued: list[Issued], old: JtiRecord | None = None
    ) -> list[Issued]:
        """What is left to do once the session is all that is left of the one before; the tokens as they are then.

        ``old`` is that one, as `begin` knew it.
        """
        try:
            if plan.begins:
                if record.predecessor is not None and draft.handed_over is None:
                    await self._stand_alone(record.sid)
                if not draft.reaches_nobody():  # else it is taken back, and ends nobody
                    await self._caps.make_room(draft.sid, draft.subject)
                return issued
            return await self._in_step(record, draft, issued, old)
        except TokenRevoked:
            if plan.leaves or draft.presented.subject == draft.subject:
                self._undoing.remove(draft.sid)  # a logout holds, and another session of the user would be too many
            else:
                self._undoing.take_back(draft, one_too_many=True)
            raise
        except BaseException:
            self._undoing.take_back(draft)
            raise

    async def _stand_alone(self, sid: str) -> None:
        """It has not taken over from the session that came: that lives or has ended by itself."""
        record = await self._records.get(sid)
        if record is not None:
            alone = replace(record, version=record.version + 1, predecessor=None)
            await self._records.replace(alone, record.version)

    async def _in_step(
        self, record: JtiRecord, draft: Draft, issued: list[Issued], old: JtiRecord | None
    ) -> list[Issued]:
        """The tokens, and the record, with the end and the labels that the session before was given meanwhile."""
        before, term = draft.handed_over, draft.life.term
        if before is None:
            return issued
        draft.keep_term(before)
        if draft.life.term != term:
            issued = self._grants.sign(draft, Grant(record.access_jti, record.refresh_jti))
        labels = record.metadata
        if old is not None and before.metadata != old.metadata:
            labels = merged_labels(before.metadata, draft.life.asked.labels)
        if draft.life.term != term or labels != record.metadata:
            now = replace(
                record, version=2, expires_at=latest_exp(issued), until=draft.life.term.until, metadata=labels
            )
            await self._records.replace(now, record.version)  # if it was ended meanwhile, its tokens are refused anyway
        return issued

    async def _insert(self, record: JtiRecord) -> None:
        try:
            await self._records.insert(record)
        except (StorageError, asyncio.CancelledError) as exc:
            if may_be_done(exc):
                self._undoing.remove(record.sid, looks=UNDO_LOOKS)
            raise

    async def _end_disputed(self, draft: Draft) -> None:
        """A new login of the same subject beside a refresh token that may have been stolen: its session ends."""
        disputed = draft.presented.record
        if disputed is not None and state_of(disputed) is not State.SUPERSEDED:
            await self._endings.end(disputed.sid, Why.REVOKED)


def _left_by(presented: Presented) -> tuple[str | None, ...]:
    """The sids that are no longer a session's own once another begins in its place."""
    record = presented.record
    return (presented.sid,) if record is None else (presented.sid, record.successor)


def may_be_done(cause: BaseException) -> bool:
    """Whether a storage call that failed so may have done its work."""
    if isinstance(cause, DuplicateRecord):
        return False  # what is stored there is another one's
    return not isinstance(cause, StorageUnavailable) or cause.maybe_done


def _check_subject(subject: str | None, subject_key: SubjectKey) -> None:
    if subject is not None and (not is_storable_text(subject) or len(subject) > MAX_TEXT):
        key = subject_key if isinstance(subject_key, str) else None
        named = f"session[{key!r}]" if key else "the subject of the session"
        raise SessionDataError(f"{named} must be text of at most {MAX_TEXT} characters without NUL", key)
