"""Writes: how the record of a session goes on, with new tokens under its ids and a rotation where that is due.

Tokens are signed before a record is changed, so that data which does not fit costs nothing.
"""

from dataclasses import replace

from ..storage.contract import JtiRecord
from .grants import Grants
from .labels import merged_labels
from .life import Arrival
from .living import LivingRecords
from .mint import Draft, Grant, Issued, latest_exp
from .repairs import Repairs, Urgency
from .sightings import Sightings
from .turns import Turns
from .verdicts import State, living, state_of

__all__ = ["Writes"]


class Writes:
    """Changes the record of a session that goes on, in step with the tokens that are issued."""

    def __init__(
        self, records: LivingRecords, grants: Grants, turns: Turns, repairs: Repairs, sightings: Sightings
    ) -> None:
        self._records = records
        self._grants = grants
        self._turns = turns
        self._repairs = repairs
        self._sightings = sightings

    async def write(self, draft: Draft) -> list[Issued]:
        """New tokens under the record; with a rotation, where it is due."""

        async def change(record: JtiRecord | None) -> tuple[JtiRecord, list[Issued]]:
            return await self._continued(living(record), draft)

        stored, issued = await self._turns.change(draft.sid, draft.presented.record, change)
        has_rotated = state_of(stored) is State.ROTATING and stored.previous_jti == draft.presented.jti
        if has_rotated and not draft.reaches_nobody():
            self._start_leeway(stored, draft.now)
        return issued

    async def _continued(self, record: JtiRecord, draft: Draft) -> tuple[JtiRecord, list[Issued]]:
        """The record as it is to be, and the tokens of this response under it."""
        presented, successor, refresh_iat = draft.presented, record, None
        if presented.arrival is Arrival.REFRESHED and self._grants.rotates(draft):
            if record.refresh_jti == presented.jti:
                fresh = await self._grants.refresh_jti(draft)
                successor = replace(record, refresh_jti=fresh, previous_jti=record.refresh_jti, rotated_at=None)
            elif not draft.life.data.is_changed():
                refresh_iat = record.rotated_at
        grant = Grant(
            access_jti=record.access_jti or await self._grants.access_jti(draft),
            refresh_jti=successor.refresh_jti or await self._grants.refresh_jti(draft),
            refresh_iat=refresh_iat,
        )
        draft.keep_term(record)
        issued = self._grants.sign(draft, grant)
        end, sets_term = latest_exp(issued), draft.life.asked.sets_term
        successor = replace(
            successor,
            access_jti=grant.access_jti,
            refresh_jti=grant.refresh_jti,
            expires_at=end if sets_term else max(end, record.expires_at),
            until=draft.life.term.until if sets_term else record.until,
            subject=draft.subject,
            metadata=merged_labels(record.metadata, draft.life.asked.labels),
            seen_at=self._sightings.seen_at(record, draft.now),
            signer=presented.keys.signer,
            predecessor=None,
        )
        return successor, issued

    def _start_leeway(self, stored: JtiRecord, rotated: int) -> None:
        """Lets the leeway of the token before run, once its successor is stored and on its way.

        Until then, and for ever where the client has gone or this process ends here, that token gets the successor at
        any time: a client that never got it is not taken for a thief, whichever process it asks. The answer need not
        wait for it.
        """

        async def begin(record: JtiRecord | None) -> tuple[JtiRecord, None]:
            record = living(record)
            if state_of(record) is not State.ROTATING or record.previous_jti != stored.previous_jti:
                return record, None
            now = int(self._records.clock())
            return replace(record, rotated_at=rotated if 0 <= now - rotated <= 1 else now), None

        async def settle() -> bool:
            await self._turns.change(stored.sid, stored, begin)
            return True

        self._repairs.add(Urgency.LEEWAY, f"{stored.sid} {stored.previous_jti}", settle)
