"""Moves: how a session begins, and how it hands over to another one; each move with its way back.

What is begun here is finished or taken back, whoever still waits for it.
"""

from ..errors import TokenRevoked, TokenSuperseded
from ..storage.contract import JtiRecord
from .beginnings import Beginnings, may_be_done
from .endings import Endings
from .events import Why
from .life import Plan
from .living import LivingRecords
from .mint import Draft, Issued
from .turns import Turns
from .undoing import Undoing
from .verdicts import Leeway, living

__all__ = ["Moves"]

SUPERSEDED_FOR = 600  # seconds, at least, that a superseded record stays


class Moves:
    """Begins sessions, and moves those that there are to new sids."""

    def __init__(
        self,
        records: LivingRecords,
        beginnings: Beginnings,
        endings: Endings,
        undoing: Undoing,
        turns: Turns,
        leeway: Leeway,
    ) -> None:
        self._records = records
        self._beginnings = beginnings
        self._endings = endings
        self._undoing = undoing
        self._turns = turns
        self._stays = max(SUPERSEDED_FOR, int(leeway.reuse + leeway.skew) + 1)

    async def start(self, draft: Draft, plan: Plan) -> list[Issued]:
        """Inserts a new session."""
        record, issued = await self._beginnings.begin(draft, plan)
        return await self._beginnings.settle(record, draft, plan, issued)

    async def move(self, draft: Draft, plan: Plan) -> list[Issued]:
        """Inserts the new sid, then hands the old one over to it.

        Raises TokenRevoked or TokenSuperseded where the new one inherits and the old one is gone by now. Not for a
        login whose session goes on as another one, nor where its own request has ended the old one: it begins without
        what that held.
        """
        presented = draft.presented
        assert presented.sid is not None
        old = presented.record or await self._records.get(presented.sid)
        record, issued = await self._beginnings.begin(draft, plan, old)
        try:
            await self._hand_over(presented.sid, old, draft, plan)
        except BaseException as exc:
            if may_be_done(exc):
                self._undoing.take_back(draft)
            else:
                self._undoing.start(draft.sid)
            raise
        return await self._beginnings.settle(record, draft, plan, issued)

    async def _hand_over(self, sid: str, known: JtiRecord | None, draft: Draft, plan: Plan) -> None:
        async def supersede(record: JtiRecord | None) -> tuple[JtiRecord, None]:
            draft.handed_over = record = living(record)
            return self._superseded(record, draft), None

        try:
            await self._turns.change(sid, known, supersede)
        except TokenRevoked as gone:
            draft.handed_over = None
            is_superseded = isinstance(gone, TokenSuperseded)
            if plan.inherits and not (plan.insists and (is_superseded or not draft.inherits)):
                raise
            if plan.leaves and is_superseded:
                await self._endings.end(sid, Why.LOGOUT)

    def _superseded(self, record: JtiRecord, draft: Draft) -> JtiRecord:
        return JtiRecord(
            sid=record.sid,
            version=record.version,
            expires_at=draft.now + self._stays,
            created_at=record.created_at,
            rotated_at=draft.now,
            subject=record.subject,
            successor=draft.sid,
            signer=record.signer,
        )
