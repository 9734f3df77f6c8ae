"""Undoing: how a move that was begun is taken back, where its outcome is unknown or nobody will hear of it."""

from ..storage.contract import JtiRecord, JtiStorage
from .mint import Draft
from .repairs import Repairs, Urgency

__all__ = ["UNDO_LOOKS", "Undoing"]

UNDO_LOOKS = 8  # over some ten seconds


class Undoing:
    """Takes moves back in the background, with as many tries as it needs."""

    def __init__(self, storage: JtiStorage, repairs: Repairs) -> None:
        self._storage = storage
        self._repairs = repairs

    def take_back(self, draft: Draft) -> None:
        """Undoes a start or a move that nobody will hear of: its answer is not to be sent."""
        self.hand_over(draft)
        self.start(draft.sid)

    def start(self, sid: str, looks: int = 1) -> None:
        """Deletes a record that nobody will hear of. One that may still be on its way takes more than one look."""
        left = looks

        async def undo() -> bool:
            nonlocal left
            left -= 1
            return await self._storage.delete(sid) is not None or left <= 0

        self._repairs.add(Urgency.UNTOLD, sid, undo)

    def hand_over(self, draft: Draft) -> None:
        """Gives the old record back, where this draft has taken over from one."""
        if (before := draft.handed_over) is not None:
            self._repairs.add(Urgency.HELD, f"{before.sid} {draft.sid}", lambda: self._give_back(before, draft.sid))

    async def _give_back(self, before: JtiRecord, successor: str) -> bool:
        """Undoes a hand-over that may have been made: only where it is this one that the record names."""
        found = await self._storage.get(before.sid)
        if found is None:
            return True
        if found.successor == successor:
            return await self._storage.replace(before, found.version)
        if found.version > before.version:
            return True
        # Nothing was done yet. One more version keeps the lost write from being done late.
        return await self._storage.replace(found, found.version)
