"""RecordJti: ids honoured by a `JtiRecord` in a storage. Refresh, write, logout and revoke-all meet here.

Every change of a record is one compare-and-set, judged by its own result. Tokens are signed before the
record is changed, so that data which does not fit costs nothing.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import DuplicateRecord, SessionDataError, StorageUnavailable, TokenExpired, TokenReused, TokenRevoked
from ..jsontext import is_storable_text
from ..settings.config import JtiConfig, SessionConfig, TokenPolicy
from ..storage.contract import MAX_METADATA_BYTES, MAX_TEXT, JtiRecord
from .gate import StorageGate
from .jti import JtiAuthority, new_jti, presented_jti
from .mint import Grant, Issued, Origin, Write
from .repairs import Repairs
from .session import Session

__all__ = ["RecordJti"]

MAX_ATTEMPTS = 100
MAX_TRUSTED = 10_000
UNDO_ATTEMPTS = 8

T = TypeVar("T")


class RecordJti(JtiAuthority):
    """Honours the ids of a session's record, and keeps the record in step with the tokens issued."""

    def __init__(self, config: SessionConfig, jti: JtiConfig, gate: StorageGate) -> None:
        super().__init__(config)
        self._jti = jti
        self._gate = gate
        self._storage = gate.storage
        self._repairs = Repairs()
        self._trusted: dict[tuple[str, str], float] = {}
        self._trust_epoch = 0

    async def judge(
        self, session: Session, claims: Mapping[str, Any], policy: TokenPolicy, origin: Origin, now: int
    ) -> None:
        jti = presented_jti(claims, require=self._jti.require) if policy.covered else None
        origin.unrecorded = jti is None and not self._jti.require
        origin.subject = session.subject
        if policy.use == "access" and (jti is None or self._is_trusted(session.sid, jti, now)):
            return
        epoch = self._trust_epoch
        record = await self._gate(self._storage.get, session.sid)
        if record is None or _is_emptied(record):
            self._refuse_absent(claims, origin, now)
        elif jti is not None:
            self._check_jti(record, jti, policy, now)
            if policy.use == "access" and epoch == self._trust_epoch:
                self._trust(session.sid, jti, now)
        origin.record = record
        origin.refresh_jti = jti if policy.use == "refresh" else None

    async def issue(self, write: Write) -> list[Issued]:
        session, origin = write.session, write.origin
        if session.is_new or session._ended_sid is not None:
            return await self._start(write)
        if origin.unrecorded and origin.record is None:
            try:
                return await self._start(write)
            except DuplicateRecord:
                pass  # another request recorded it first
        return await self._continue(write, origin.record)

    def open(self) -> None:
        self._repairs.open()

    async def end(self, sid: str) -> bool:
        return await self._revoking(self._gate(self._storage.delete, sid)) is not None

    async def end_subject(self, subject: str, keep: str | None) -> int:
        return await self._revoking(self._gate(self._storage.delete_subject, subject, keep))

    async def _revoking(self, call: Awaitable[T]) -> T:
        """Trusts nothing that was read before the revocation was done."""
        try:
            return await call
        finally:
            self._trusted.clear()
            self._trust_epoch += 1

    async def aclose(self) -> None:
        await self._repairs.aclose()

    def _is_trusted(self, sid: str, jti: str, now: int) -> bool:
        return self._trusted.get((sid, jti), 0) > now

    def _refuse_absent(self, claims: Mapping[str, Any], origin: Origin, now: int) -> None:
        if origin.unrecorded:
            return
        if claims["exp"] <= now:  # inside the clock tolerance, where the record has expired as well
            raise TokenExpired("token has expired")
        raise TokenRevoked("session was ended")

    def _check_jti(self, record: JtiRecord, jti: str, policy: TokenPolicy, now: int) -> None:
        if policy.use == "access":
            if jti != record.access_jti:
                raise TokenRevoked("jti is not the session's")
        elif jti != record.refresh_jti and not (jti == record.previous_jti and self._answers_previous(record, now)):
            raise TokenReused("refresh token was used before")

    def _trust(self, sid: str, jti: str, now: int) -> None:
        if self._jti.cache_ttl:
            if len(self._trusted) >= MAX_TRUSTED:
                del self._trusted[next(iter(self._trusted))]
            self._trusted[sid, jti] = now + self._jti.cache_ttl

    def _answers_previous(self, record: JtiRecord, now: int) -> bool:
        """Whether the refresh token before the current one still gets its successor."""
        if record.rotated_at is None:  # the successor may never have reached the client, see `_start_leeway`
            return True
        return self._jti.reuse_leeway > 0 and now - record.rotated_at <= self._jti.reuse_leeway

    async def _start(self, write: Write) -> list[Issued]:
        """Records a sid that was made in this request, then ends the one it takes over from."""
        session, known = write.session, write.origin.record
        if session._carried and known is None and session._ended_sid is not None:
            known = await self._gate(self._storage.get, session._ended_sid)
        grant = Grant(
            access_jti=await self._jti_for("access", write), refresh_jti=await self._jti_for("refresh", write)
        )
        issued = write.sign(grant)
        record = JtiRecord(
            sid=session.sid,
            version=1,
            expires_at=_latest_exp(issued),
            created_at=write.now,
            access_jti=grant.access_jti,
            refresh_jti=grant.refresh_jti,
            subject=_subject(session),
            metadata=_metadata(known.metadata if known and session._carried else {}, session),
        )
        try:
            await self._gate(self._storage.insert, record)
            await self._leave_old(write)
        except (StorageUnavailable, TokenRevoked, asyncio.CancelledError):
            if not write.origin.unrecorded:
                self._repairs.add(record.sid, lambda attempt: self._undo_start(record.sid, attempt))
                session._take_new_sid()  # whoever saves again must not meet the undoing
            raise
        return issued

    async def _leave_old(self, write: Write) -> None:
        """Ends the session that this one takes over from."""
        origin, session = write.origin, write.session
        if session._ended_sid is None:
            return
        # Somebody may end the session while the handler runs. Data that it carries over must not outlive that, unless
        # nobody was logged in before and somebody is now: two logins from one page end each other's old session.
        is_login = origin.subject is None and session.subject is not None
        if session._carried and not origin.unrecorded and not is_login:
            await self._take_over(session._ended_sid)
        elif not await self._is_ended(session._ended_sid):
            raise StorageUnavailable("the session before this one could not be ended")

    async def _is_ended(self, sid: str) -> bool:
        try:
            await self.end(sid)
        except StorageUnavailable:
            return await self._gate(self._storage.get, sid) is None
        return True

    async def _take_over(self, sid: str) -> None:
        """Empties the record of a session and then removes it; whatever fails in between can be told or taken back."""
        for _ in range(MAX_ATTEMPTS):
            record = await self._gate(self._storage.get, sid)
            if record is None or _is_emptied(record):
                raise TokenRevoked("session was ended while it was renewed")
            emptied = replace(record, access_jti=None, refresh_jti=None, previous_jti=None, rotated_at=None)
            if await self._empty(emptied, record):
                break
        else:
            raise StorageUnavailable("the session's record changes faster than it can be renewed")
        try:
            await self.end(sid)
        except StorageUnavailable:
            self._repairs.add(sid, lambda attempt: self._undo_start(sid, attempt))

    async def _empty(self, emptied: JtiRecord, record: JtiRecord) -> bool:
        try:
            return await self._put(emptied, record) is not None
        except (StorageUnavailable, asyncio.CancelledError):
            self._repairs.add(record.sid, lambda _: self._give_back(record))
            raise

    async def _give_back(self, record: JtiRecord) -> bool:
        """Undoes an `_empty` of unknown outcome: the client was told that nothing was done."""
        found = await self._gate(self._storage.get, record.sid)
        if found is None or (found.version > record.version and not _is_emptied(found)):
            return True
        # Where nothing was done yet, one more version keeps the lost write from being done late.
        return await self._put(record if _is_emptied(found) else found, found) is not None

    async def _undo_start(self, sid: str, attempt: int) -> bool:
        # A record that is not there may still be on its way, so one look is not enough.
        return await self._gate(self._storage.delete, sid) is not None or attempt >= UNDO_ATTEMPTS

    async def _continue(self, write: Write, record: JtiRecord | None) -> list[Issued]:
        """Issues under the record of a session that goes on."""
        is_fresh = False
        for _ in range(MAX_ATTEMPTS):
            if record is None:
                record, is_fresh = await self._gate(self._storage.get, write.session.sid), True
            if record is None or _is_emptied(record):
                raise TokenRevoked("session was ended while the request was handled")
            issued, successor = await self._propose(record, write)
            if successor != record:
                stored = await self._put(successor, record)
            else:
                stored = record if is_fresh or self._owes_successor(record, write.origin) else None
            if stored is not None:
                owes = self._owes_successor(stored, write.origin)
                return await self._start_leeway(write, stored, issued) if owes else issued
            record = None
        raise StorageUnavailable("the session's record changes faster than it can be written")

    async def _propose(self, record: JtiRecord, write: Write) -> tuple[list[Issued], JtiRecord]:
        """The tokens for this response, and the record as it is to be once they are out."""
        origin, session = write.origin, write.session
        successor, refresh_iat = record, None
        if origin.refreshed and self._config.rotate and self._covers_refresh():
            if record.refresh_jti == origin.refresh_jti:
                fresh = await self._jti_for("refresh", write)
                successor = replace(record, refresh_jti=fresh, previous_jti=record.refresh_jti, rotated_at=None)
            elif not write.modified:
                refresh_iat = record.rotated_at
        grant = Grant(
            access_jti=record.access_jti or await self._jti_for("access", write),
            refresh_jti=successor.refresh_jti or await self._jti_for("refresh", write),
            refresh_iat=refresh_iat,
        )
        issued = write.sign(grant)
        successor = replace(
            successor,
            access_jti=grant.access_jti,
            refresh_jti=grant.refresh_jti,
            expires_at=max(record.expires_at, _latest_exp(issued)),
            subject=record.subject if session.subject == origin.subject else _subject(session),
            metadata=_metadata(record.metadata, session),
        )
        return issued, successor

    def _owes_successor(self, record: JtiRecord, origin: Origin) -> bool:
        """Whether the client holds the token before the current one, and may never have been sent that one."""
        return (
            record.rotated_at is None and origin.refresh_jti is not None and record.previous_jti == origin.refresh_jti
        )

    async def _start_leeway(self, write: Write, record: JtiRecord, issued: list[Issued]) -> list[Issued]:
        """Lets the leeway of the token before run, now that its successor is known to be stored and is on its way.

        Until then, and for ever where this process ends here, that token gets the successor at any time: a client
        that never got it is not taken for a thief, whichever process it asks.
        """
        try:
            if await self._put(replace(record, rotated_at=write.now), record) is not None:
                return issued
            return await self._continue(write, None)
        except StorageUnavailable:
            return issued

    async def _put(self, successor: JtiRecord, record: JtiRecord) -> JtiRecord | None:
        """Stores the successor of a record; None where another one was faster."""
        stored = replace(successor, version=record.version + 1)
        return stored if await self._gate(self._storage.replace, stored, record.version) else None

    def _covers_refresh(self) -> bool:
        return self._config.refresh is not None and self._config.refresh.covered

    async def _jti_for(self, use: str, write: Write) -> str | None:
        policy = self._config.access if use == "access" else self._config.refresh
        if policy is None or not policy.covered:
            return None
        return await new_jti(self._config, self._jti, policy, write)


def _is_emptied(record: JtiRecord) -> bool:
    """Whether the session is being renewed: nothing honours its tokens any more."""
    return record.access_jti is None and record.refresh_jti is None


def _latest_exp(issued: list[Issued]) -> int:
    return max(int(token.claims["exp"]) for token in issued)


def _subject(session: Session) -> str | None:
    subject = session.subject
    if subject is not None and (not is_storable_text(subject) or len(subject) > MAX_TEXT):
        raise SessionDataError(f"session['sub'] must be text of at most {MAX_TEXT} characters without NUL", "sub")
    return subject


def _metadata(known: Mapping[str, str], session: Session) -> Mapping[str, str]:
    if not session._labels:
        return known
    metadata = {**known, **session._labels}
    sizes = {name: len(name.encode()) + len(text.encode()) for name, text in metadata.items()}
    if sum(sizes.values()) > MAX_METADATA_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise SessionDataError(f"labels are at most {MAX_METADATA_BYTES} bytes; the largest is {largest!r}", largest)
    return metadata
