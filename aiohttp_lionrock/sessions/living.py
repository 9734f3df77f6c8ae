"""LivingRecords: a storage in which the sessions that `revoke_all` ended are there no more."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from contextlib import suppress
from typing import Self

from ..errors import ConfigError, CorruptRecord, StorageUnavailable
from ..storage.contract import Clock, JtiRecord, JtiStorage
from .everyone import is_reserved, mark_of, raise_mark

__all__ = ["LivingRecords"]

MAX_FRESH = 10_000

_NEVER = float("-inf")

Scope = str | None  # the signer of a record; None: whichever


class LivingRecords(JtiStorage):
    """Passes every call on, and hides what is over: records that began no later than the mark of all, or of theirs.

    A mark is trusted for ``seconds`` since it was read, and never goes down. It is read with the record that is asked
    for, in one call. ``signers``: who signs most of the records. A superseded record is not a session, and is not
    hidden: its successor is.
    """

    def __init__(self, inner: JtiStorage, clock: Clock, seconds: float = 1.0, signers: Iterable[str] = ()) -> None:
        super().__init__(clock=lambda: inner.clock())
        self._inner = inner
        self._now = clock
        self._seconds = seconds
        self._usual = tuple(signers)
        self._marks: dict[Scope, int] = {}
        self._read_at: dict[Hashable, float] = {}  # by scope, and by the signers that were asked for with everyone
        self.epoch: int = 0
        """Goes up with every mark: whatever was found out before may hold no longer."""

    @classmethod
    def from_url(cls, url: str) -> Self:
        raise ConfigError(f"{cls.__name__} has no URL: it is given the storage that it looks into")

    async def look(self) -> None:
        """Reads the usual marks. Raises StorageUnavailable."""
        await self._read([], (None, *self._usual), self._usual)

    def knows(self, signers: tuple[str, ...]) -> bool:
        """Whether the marks for records of these signers were read a moment ago."""
        return self._is_fresh(signers or None, self._now())

    async def beginning(self, now: int, signer: str) -> int:
        """When a session begins that begins now: after everything that is over, whatever the clock says."""
        if due := self._due([None, signer]):
            await self._read([], due)
        return max(now, self._mark(signer) + 1)

    async def end_all(self, scopes: Iterable[Scope], before: int | None) -> int:
        """Ends what began up to ``before``, None: up to now; returns up to when it is over, which may be later."""
        now = int(self._now())

        def wanted(so_far: int | None) -> int:
            if before is not None:
                return before
            return now if so_far is None else max(now, so_far + 1)  # after an end too that this second has seen

        self._read_at.clear()  # should this fail, nobody knows
        marks = []
        for scope in scopes:
            marks.append(await raise_mark(self._inner, mark_of(scope), wanted))
            self._note(scope, marks[-1])
        return min(marks)

    async def get(self, sid: str, signers: tuple[str, ...] = ()) -> JtiRecord | None:
        """As in the contract; ``signers``: those that the record is likely to be of, so that one call does."""
        if is_reserved(sid):
            return None
        if self._is_fresh(signers or None, self._now()):
            record = await self._inner.get(sid)
        else:
            record = (await self._read([sid], (None, *signers), signers)).get(sid)
        if record is None or record.successor is not None:
            return record
        if record.signer not in signers and (due := self._due([record.signer])):
            await self._read([], due)
        return None if self._marks and self._began_too_early(record) else record

    async def get_many(self, sids: Sequence[str]) -> dict[str, JtiRecord]:
        """As in the contract; the usual marks are read in any case."""
        usual = (None, *self._usual)
        found = await self._read([sid for sid in sids if not is_reserved(sid)], usual, self._usual)
        living = await self._living(list(found.values()), known=usual)
        return {record.sid: record for record in living}

    async def list_subject(self, subject: str) -> list[JtiRecord]:
        return await self._living(await self._inner.list_subject(subject))

    async def insert(self, record: JtiRecord) -> None:
        if is_reserved(record.sid):
            raise ValueError(f"the sid {record.sid!r} is reserved for the record of revoke_all")
        await self._inner.insert(record)

    async def replace(self, record: JtiRecord, expected_version: int) -> bool:
        return not self._began_too_early(record) and await self._inner.replace(record, expected_version)

    async def delete(self, sid: str) -> JtiRecord | None:
        removed = None if is_reserved(sid) else await self._inner.delete(sid)
        return None if removed is None or self._is_over(removed) else removed

    async def delete_subject(self, subject: str, keep: str | None = None) -> int:
        over = 0
        if self._marks:
            with suppress(CorruptRecord):  # one that cannot be read keeps no other alive
                listed = await self._inner.list_subject(subject)
                over = sum(self._is_over(record) for record in listed if record.sid != keep)
        return max(0, await self._inner.delete_subject(subject, keep) - over)

    async def remove_hidden(self, subject: str) -> None:
        """Removes those of a subject that are over."""
        if self._marks:
            for record in await self._inner.list_subject(subject):
                if self._is_over(record):
                    await self._inner.delete(record.sid)

    async def purge(self, limit: int) -> int:
        return await self._inner.purge(limit)

    async def scan(self, cursor: str | None = None, limit: int = 1000) -> tuple[list[JtiRecord], str | None]:
        records, cursor = await self._inner.scan(cursor, limit)
        return await self._living([record for record in records if not is_reserved(record.sid)]), cursor

    async def ping(self) -> None:
        await self._inner.ping()

    async def _living(self, records: list[JtiRecord], known: Collection[Scope] | None = None) -> list[JtiRecord]:
        """Those that are not over. Marks that are not known are read; with ``known``, all but those."""
        scopes = {None, *(record.signer for record in records)} if records else set()
        if due := self._due(scopes) if known is None else [*scopes.difference(known)]:
            await self._read([], due)
        return [record for record in records if not self._is_over(record)]

    async def _read(
        self, sids: Sequence[str], scopes: Collection[Scope], signers: tuple[str, ...] = ()
    ) -> dict[str, JtiRecord]:
        """These records, and the marks with them; those of all ``signers`` are among the scopes."""
        now = self._now()
        try:
            found = await self._inner.get_many([*sids, *map(mark_of, scopes)])
        except CorruptRecord as exc:
            if sids:
                await self._inner.get_many(sids)  # raises the same where it is one of these
            raise StorageUnavailable(f"call revoke_all again, without a time: its record is damaged: {exc}") from exc
        for known in (*scopes, signers) if signers else scopes:
            self._read_at.pop(known, None)
            self._read_at[known] = now
        for scope in scopes:
            if (mark := found.pop(mark_of(scope), None)) is not None:
                self._note(scope, mark.created_at)
        while len(self._read_at) > MAX_FRESH:
            del self._read_at[next(iter(self._read_at))]
        return found

    def _note(self, scope: Scope, mark: int) -> None:
        if mark > self._marks.get(scope, -1):
            self._marks[scope] = mark
            self.epoch += 1

    def _due(self, scopes: Iterable[Scope]) -> list[Scope]:
        now = self._now()
        return [scope for scope in scopes if not self._is_fresh(scope, now)]

    def _is_fresh(self, known: Hashable, now: float) -> bool:
        return 0 <= now - self._read_at.get(known, _NEVER) < self._seconds  # not where the clock was set back

    def _mark(self, signer: Scope) -> int:
        return max(self._marks.get(None, -1), self._marks.get(signer, -1))

    def _is_over(self, record: JtiRecord) -> bool:
        return record.successor is None and self._began_too_early(record)

    def _began_too_early(self, record: JtiRecord) -> bool:
        return bool(self._marks) and record.created_at <= self._mark(record.signer)
