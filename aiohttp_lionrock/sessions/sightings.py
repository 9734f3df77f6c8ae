"""Sightings: about when a session was last used, as a list of a user's devices shows it."""

from dataclasses import replace

from ..storage.contract import JtiRecord
from .repairs import Repairs, Urgency
from .turns import Turns
from .verdicts import living

__all__ = ["Sightings"]


class Sightings:
    """Notes at most once in ``interval`` seconds that a session is used; None: never."""

    def __init__(self, interval: float | None, turns: Turns, repairs: Repairs) -> None:
        self._interval = interval
        self._turns = turns
        self._repairs = repairs

    def seen_at(self, record: JtiRecord, now: int) -> int | None:
        """What a record that is written anyway is to say."""
        return now if self._is_due(record, now) else record.seen_at

    def note(self, record: JtiRecord, now: int) -> None:
        """Has a record that was only read say so, after the answer, where it is time."""
        if self._is_due(record, now):
            self._repairs.add(Urgency.SEEN, record.sid, lambda: self._write(record, now))

    def _is_due(self, record: JtiRecord, now: int) -> bool:
        if self._interval is None:
            return False
        seen_at = record.created_at if record.seen_at is None else record.seen_at
        return seen_at + self._interval <= now

    async def _write(self, known: JtiRecord, now: int) -> bool:
        async def see(record: JtiRecord | None) -> tuple[JtiRecord, None]:
            record = living(record)
            return replace(record, seen_at=self.seen_at(record, now)), None

        await self._turns.change(known.sid, known, see)
        return True
