"""Moves: how a session begins, and how it hands over to another one; each move with its way back.

What is begun here is finished or taken back, whoever still waits for it.
"""

from ..errors import TokenRevoked, TokenSuperseded
from ..storage.contract import JtiRecord
from .beginnings import Beginnings, may_be_done
from .endings import Endings
from .events import Why
from .life import Arrival, Plan
from .living import LivingRecords
from .mint import Draft, Issued
from .turns import Turns
from .undoing import Undoing
from .verdicts import Leeway, is_somebodys, living

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
        counts_places: bool,
    ) -> None:
        self._records = records
        self._beginnings = beginnings
        self._endings = endings
        self._undoing = undoing
        self._turns = turns
        self._counts_places = counts_places
        self._stays = max(SUPERSEDED_FOR, int(leeway.reuse + leeway.skew) + 1)

    async def start(self, draft: Draft, plan: Plan) -> list[Issued]:
        """Inserts a new session.

        A login that a browser has sent twice is done twice: nobody knows which of the answers it keeps. Both have what
        a visitor brought, and where places are counted the second takes that of the first.
        """
        if (twin := await self._twin_of(draft)) is not None:
            draft.take_along()
            if self._counts_places:
                draft.go_on_from(twin)
                return await self.move(draft, plan)
        record, issued = await self._beginnings.begin(draft, plan)
        return await self._beginnings.complete(record, draft, plan, issued)

    async def move(self, draft: Draft, plan: Plan) -> list[Issued]:
        """Inserts the new sid, then hands the old one over to it.

        Raises TokenRevoked or TokenSuperseded where the new one inherits and the old one is gone by now. Not for a
        login whose session has expired meanwhile or goes on as another one, nor where its own request has ended the
        old one: it begins without what that held.
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
                self._undoing.remove(draft.sid)
            raise
        return await self._beginnings.complete(record, draft, plan, issued, old)

    async def _twin_of(self, draft: Draft) -> JtiRecord | None:
        """What the session that came has gone on as, where that was a login of this user a moment ago."""
        record = draft.presented.record
        if draft.presented.arrival is not Arrival.SUPERSEDED or record is None or record.successor is None:
            return None
        while record is not None and record.successor is not None:
            record = await self._records.get(record.successor)
        return record if record is not None and is_somebodys(record) and record.subject == draft.subject else None

    async def _hand_over(self, sid: str, known: JtiRecord | None, draft: Draft, plan: Plan) -> None:
        async def supersede(record: JtiRecord | None) -> tuple[JtiRecord, None]:
            draft.handed_over = record = living(record)
            return self._superseded(record, draft), None

        try:
            await self._turns.change(sid, known, supersede)
        except TokenRevoked as gone:
            draft.handed_over = None
            is_superseded = isinstance(gone, TokenSuperseded)
            has_expired = known is not None and known.expires_at <= self._records.clock()
            if plan.inherits and not (plan.insists and (is_superseded or has_expired or not draft.inherits)):
                raise
            if plan.leaves and is_superseded:
                await self._endings.end(sid, Why.LOGOUT)
            if self._counts_places and (twin := await self._twin_of(draft)) is not None:
                await self._endings.end(twin.sid, Why.CAP, twin)

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
