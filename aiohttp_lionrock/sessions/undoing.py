"""Undoing: how a move that was begun is taken back, where its outcome is unknown or nobody will hear of it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..storage.contract import JtiRecord, JtiStorage
from .mint import Draft
from .repairs import Repairs, Urgency

__all__ = ["UNDO_LOOKS", "Undoing"]

UNDO_LOOKS = 8  # over some ten seconds
MOST = 10_000  # sessions that are known to be undecided


class Undoing:
    """Takes moves back in the background, with as many tries as it needs, or when the old cookies come."""

    def __init__(self, storage: JtiStorage, repairs: Repairs) -> None:
        self._storage = storage
        self._repairs = repairs
        self._undecided: dict[str, Callable[[], Awaitable[bool]]] = {}  # by the old sid

    def take_back(self, draft: Draft, *, one_too_many: bool = False) -> None:
        """Undoes a start or a move that nobody will hear of: its answer is not to be sent.

        What took over may have been ended by then, and with it what it took over from; but not where a cap has ended
        it as ``one_too_many``.
        """
        if draft.handed_over is None:
            self.remove(draft.sid)
        else:
            self._take_back(draft.handed_over, draft.sid, one_too_many)

    async def undo_now(self, sid: str) -> bool:
        """Takes back at once what is undecided of a session, whose old cookies are good; False: nothing is."""
        undo = self._undecided.get(sid)
        if undo is not None:
            await undo()
        return undo is not None

    def remove(self, sid: str, looks: int = 1) -> None:
        """Deletes a record that nobody will hear of. One that may still be on its way takes more than one look."""
        left = looks

        async def undo() -> bool:
            nonlocal left
            left -= 1
            return await self._storage.delete(sid) is not None or left <= 0

        self._repairs.add(Urgency.UNTOLD, sid, undo)

    def _take_back(self, before: JtiRecord, successor: str, one_too_many: bool) -> None:
        """Gives the old record back and then deletes the new one: whoever watches the session finds one of them."""

        async def undo() -> bool:
            if not await self._give_back(before, successor, one_too_many):
                return False
            await self._storage.delete(successor)
            if self._undecided.get(before.sid) is undo:
                del self._undecided[before.sid]
            return True

        while len(self._undecided) >= MOST:
            del self._undecided[next(iter(self._undecided))]
        self._undecided[before.sid] = undo
        self._repairs.add(Urgency.HELD, f"{before.sid} {successor}", undo)

    async def _give_back(self, before: JtiRecord, successor: str, one_too_many: bool) -> bool:
        """Undoes a hand-over that may have been made: only where it is this one that the record names."""
        found = await self._storage.get(before.sid)
        if found is None:
            return True
        if found.successor == successor:
            if not one_too_many and await self._storage.get(successor) is None:
                before = replace(found, expires_at=0)
            return await self._storage.replace(before, found.version)
        if found.version > before.version:
            return True
        # Nothing was done yet. One more version keeps the lost write from being done late.
        return await self._storage.replace(found, found.version)
