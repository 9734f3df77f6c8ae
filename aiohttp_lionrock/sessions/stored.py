"""StoredSessions: the sessions in the storage, listed and ended from outside of any request."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite

from ..errors import ConfigError
from ..log import logger
from ..storage.contract import Clock, JtiRecord
from ..tokens.keys import KeyRings
from .contents import subject_text
from .events import Why
from .jti import JtiAuthority
from .link import Deadline, StorageLink
from .session import Session, life_of
from .state import life_in_hand
from .verdicts import is_somebodys

__all__ = ["StoredSessions"]

PURGE_BATCH = 1000
PURGE_PATIENCE = 10  # times the storage's own, for a batch: no request waits for it, and much may stand before it
FURTHEST = 300  # seconds ahead of us that a clock may be; a time beyond that is a mistake that cannot be taken back


class StoredSessions:
    """Does what `SessionManager` says by the same names. Raises ConfigError where there is no storage."""

    def __init__(self, link: StorageLink | None, authority: JtiAuthority, keys: KeyRings, clock: Clock) -> None:
        self._link = link
        self._authority = authority
        self._keys = keys
        self._clock = clock

    async def revoke(self, sid: str, subject: object) -> bool:
        """Ends the session of a sid, where it is the subject's if one is given."""
        link = self._needed("revoke")
        if not isinstance(sid, str):
            raise TypeError(f"revoke takes the sid of a session, which is text, as in session.sid; not {_kind(sid)}")
        record = None if subject is None else await link(link.records.get, sid)
        if subject is not None and (record is None or record.subject != _subject(subject)):
            return False
        return await self._authority.end(sid, Why.REVOKED, record)

    async def revoke_subject(self, subject: object, keep: Session | str | None) -> int:
        """Ends every session of a subject but the one to keep."""
        link = self._needed("revoke_subject")
        named = _subject(subject)
        kept = None if keep is None else await link(self._sid_to_keep, keep, link)
        return await self._authority.end_subject(named, kept)

    async def revoke_all(self, before: float | None, env: Mapping[str, str] | None) -> int:
        """Ends every session, or each of a tenant, that began up to a time; returns up to when they are over."""
        self._needed("revoke_all")
        time = None if before is None else self._checked(before)
        signers = None if env is None else self._keys.of(env).signers
        over = await self._authority.end_all(signers, time)
        moment = datetime.fromtimestamp(over, UTC).isoformat()
        logger.warning("every session that began up to %s is ended%s", moment, "" if env is None else ", of one tenant")
        return over

    async def sessions(self, subject: object) -> list[JtiRecord]:
        """The live sessions of a subject, newest first."""
        link = self._needed("sessions")
        records = await link(link.records.list_subject, _subject(subject))
        return [record for record in records if is_somebodys(record)]

    async def purge(self) -> int:
        """Removes all expired records, in small steps; returns how many."""
        link = self._needed("purge")
        await link(link.ready)
        patient = Deadline(link.seconds * PURGE_PATIENCE)
        total = 0
        while removed := await patient(link.storage.purge, PURGE_BATCH):
            total += removed
        return total

    def _needed(self, call: str) -> StorageLink:
        if self._link is None:
            raise ConfigError(f'{call}() works only with a storage: give one, as in storage="sqlite:///sessions.db"')
        return self._link

    def _checked(self, before: float) -> int:
        """A time in whole seconds."""
        if isinstance(before, bool) or not isinstance(before, int | float) or not isfinite(before) or before < 0:
            raise ValueError(f"before must be a number of seconds since 1970, not {before!r}")
        if before > self._clock() + FURTHEST:
            raise ValueError(f"before is {before!r}, more than {FURTHEST} s ahead: it could not be taken back")
        return int(before)

    async def _sid_to_keep(self, keep: Session | str, link: StorageLink) -> str | None:
        """The stored sid of the session to keep, or of what it goes on as; None where it is not stored yet."""
        if not isinstance(keep, Session | str):
            raise TypeError(f"keep takes a session or its sid, not {_kind(keep)}")
        life = life_of(keep) if isinstance(keep, Session) else life_in_hand(keep)
        sid = keep if life is None else life.presented and life.presented.sid
        if sid is None:
            return None
        assert isinstance(sid, str)
        records = link.records
        record = await records.get(sid)
        while record is not None and record.successor is not None:
            record = await records.get(record.successor)
        if record is None and life is None:
            raise ValueError(f"no session has the sid to keep, {sid!r}: pass the session itself, as in keep=session")
        if record is None and life is not None and life.is_sealed:
            raise ValueError(
                "the session to keep has ended, or was renewed since its response was made and is not known any more: "
                "ask in a request of its own, whose session is the one of now"
            )
        return None if record is None else record.sid


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _subject(value: object) -> str:
    if isinstance(value, Session):
        raise TypeError("a subject is needed, not a session: pass session.subject")
    subject = subject_text(value)
    if subject is None:
        raise ValueError("a subject is needed: the value of session['sub']")
    return subject
