"""Visit: the sessions of one request, of all applications on its way, until the head of its response has left.

A visit begins at the outermost of our middlewares and is closed once: when that middleware has the response or the
handler sends one itself. What was saved stays on record until the request ends, and enters each response
that is prepared: whichever one leaves carries the cookies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from aiohttp import hdrs, web

from ..errors import ConfigError, SessionLimitReached, StorageUnavailable
from ..log import logger
from ..sessions.own_ends import begin_request
from ..sessions.sealing import give_up, seal, warn_if_changed
from ..sessions.session import Session, is_at_rest
from ..settings.cookies import CookieChange, read_cookies
from .crossorigin import what_may_reach
from .headers import clear_site_data, head_size, keep_from_caches, mark_read, put_cookies
from .installation import Installation, find_installation

__all__ = ["Visit", "begin_visit", "find_visit", "get_session", "new_session"]

LARGE_HEAD = 3500  # bytes of a head; nginx takes 4,096 of them by default


@dataclass(slots=True, eq=False)
class Slot:
    """One manager's session in one request. ``changes`` are on record from the moment they are saved."""

    installation: Installation
    session: Session | None = None
    has_cookies: bool = False  # whether the request brought any of this manager's
    is_saved: bool = False
    changes: Sequence[CookieChange] = ()


class Visit:
    """The slots of one request; none is ever taken out."""

    __slots__ = ("began", "closed", "outage", "response", "slots", "writer")

    def __init__(self) -> None:
        self.began: float = monotonic()
        self.slots: tuple[Slot, ...] = ()
        self.closed: bool = False  # saved, or too late for it
        self.response: web.StreamResponse | None = None  # the one whose head is being made
        self.outage: tuple[Installation, StorageUnavailable] | None = None
        self.writer: object = None  # whose lines in a response are ours; not this visit, which would be a cycle

    def is_at_rest(self) -> bool:
        """Whether there is nothing to be saved and no outage to tell of, as far as a glance can tell."""
        for slot in self.slots:
            if slot.session is not None and not is_at_rest(slot.session):
                return False
        return self.outage is None

    async def save(self, request: web.Request) -> None:
        """Saves every session that was loaded, and closes. What was saved before one fails stays on record.

        For a client that has closed its connection no session begins, moves or is refreshed; one that ends does so.
        """

        def is_awaited() -> bool:
            return request.transport is not None

        try:
            for slot, session in self._unsaved():
                seal(session)  # a task of the handler's own comes too late from now on
                changes = await slot.installation.manager.save(session, is_awaited=is_awaited)
                slot.changes = changes if slot.has_cookies else what_may_reach(request, changes)
                slot.is_saved = True
                if slot.changes and slot.installation.outages.is_on:
                    slot.installation.outages.answered()
        except StorageUnavailable as exc:
            self.outage = (slot.installation, exc)
            raise
        except SessionLimitReached as exc:
            raise web.HTTPForbidden(text="You are logged in on as many devices as you may be.\n") from exc
        finally:
            self.close()

    def _unsaved(self) -> Iterator[tuple[Slot, Session]]:
        """Those to be saved, one after the other; a task of the handler's may load one more meanwhile."""
        while pending := [slot for slot in self.slots if slot.session is not None and not slot.is_saved]:
            slot = pending[0]
            assert slot.session is not None
            yield slot, slot.session

    def close(self) -> None:
        """From now on a change of a session raises SessionSealed."""
        if self.closed:
            return
        self.closed = True
        for slot in self.slots:
            if slot.session is not None and not slot.is_saved:
                give_up(slot.session)

    def warn_of_lost_changes(self) -> None:
        """Logs what was changed inside a value after the visit was closed, which no error can tell of."""
        for slot in self.slots:
            if slot.session is not None:
                warn_if_changed(slot.session)

    def mark(self, response: web.StreamResponse) -> None:
        """Puts in everything that a response which is being prepared needs."""
        changes: Sequence[CookieChange] = ()
        is_read = False
        for slot in self.slots:
            changes = (*changes, *slot.changes) if slot.changes else changes
            is_read = is_read or slot.session is not None
        if changes:
            self._write(response, changes)
        if is_read:
            mark_read(response)
        if changes and (size := head_size(response)) > LARGE_HEAD:
            self._warn_of_size(size)

    def slot_of(self, installation: Installation) -> Slot:
        """The slot of a manager, made where it has none yet."""
        for slot in self.slots:
            if slot.installation.manager is installation.manager:
                return slot
        slot = Slot(installation)
        self.slots = (*self.slots, slot)
        return slot

    async def load(self, slot: Slot, request: web.Request) -> Session:
        """Loads the session of a slot. Of two tasks that ask at once, both get the one that is loaded first."""
        installation = slot.installation
        cookies = read_cookies(request.headers.getall(hdrs.COOKIE, ()), installation.manager.cookie_names)
        env = None if installation.request_env is None else installation.request_env(request)
        try:
            if (waited := monotonic() - self.began) < 1:  # judged in whole seconds; who wraps load is called as ever
                session = await installation.manager.load(cookies, env)
            else:
                session = await installation.manager.load(cookies, env, waited=waited)
        except StorageUnavailable as exc:
            self.outage = (installation, exc)
            raise
        if self.outage is not None and self.outage[0] is installation:
            self.outage = None
        if installation.outages.is_on and not session.is_new:
            installation.outages.answered()
        if slot.session is not None:
            return slot.session
        slot.session, slot.has_cookies = session, bool(cookies)
        if self.closed:
            seal(session)
        if self.response is not None:
            mark_read(self.response)
        return session

    def _write(self, response: web.StreamResponse, changes: Sequence[CookieChange]) -> None:
        """Writes the cookies, all at once: applications inside one another may give theirs one name and other paths."""
        self.writer = self.writer or object()
        self._warn_of_clash()
        put_cookies(response, changes, self.writer)
        for slot in self.slots:
            if slot.changes:
                self._keep_from_caches(slot.installation, response)
                directives = slot.installation.manager.config.clear_site_data_header
                if directives and all(change.value is None for change in slot.changes):
                    clear_site_data(response, directives)

    def _keep_from_caches(self, installation: Installation, response: web.StreamResponse) -> None:
        replaced = keep_from_caches(response)
        if replaced and not installation.told_of_caches:
            installation.told_of_caches = True
            logger.debug("Cache-Control %r of a response with session cookies was replaced by 'no-store'", replaced)

    def _warn_of_clash(self) -> None:
        """Of two applications that write one cookie only the last one's is kept."""
        if len(self.slots) == 1:
            return
        writers: dict[tuple[str, str, str | None], Installation] = {}
        for slot in self.slots:
            for name, _, options in slot.changes:
                other = writers.setdefault((name, options.path, options.domain), slot.installation)
                if other is not slot.installation and not other.told_of_clash:
                    other.told_of_clash = True
                    logger.warning(
                        "two applications, one inside the other, write the cookie %s with path %s, and the browser "
                        "keeps one of them: give one of the two another name, or leave out its setup to share the "
                        "session of the application around it",
                        name,
                        options.path,
                    )

    def _warn_of_size(self, size: int) -> None:
        [writer, *_] = [slot.installation for slot in self.slots if slot.changes]
        if writer.told_of_size:
            return
        writer.told_of_size = True
        logger.warning(
            "the head of a response with session cookies has %d bytes: nginx answers 502 in its place where that is "
            "more than its proxy_buffer_size, 4k by default; raise it and proxy_buffers, or store less in the session",
            size,
        )


# A request's visit is kept with its writer, which its clones share and no other request has.
_VISIT = "aiohttp_lionrock_visit"


def begin_visit(request: web.Request) -> Visit:
    """The visit of a request that has none yet."""
    begin_request()
    visit = Visit()
    setattr(request.writer, _VISIT, visit)
    return visit


def find_visit(request: web.Request) -> Visit | None:
    """The visit of a request; None where no middleware of ours has begun one."""
    visit = getattr(request.writer, _VISIT, None)
    return visit if isinstance(visit, Visit) else None  # the mock of a writer has every attribute


async def get_session(request: web.Request) -> Session:
    """The request's session, loaded on the first call. Raises StorageUnavailable; the client then gets 503."""
    installation = find_installation(request)
    visit = find_visit(request)
    if visit is None:
        raise ConfigError(
            "this request has no session yet: a middleware that runs before the one of setup(app) has none, and "
            "neither has one of an application above it, nor the request of a test that no client has sent"
        )
    slot = visit.slot_of(installation)
    return await visit.load(slot, request) if slot.session is None else slot.session


async def new_session(request: web.Request) -> Session:
    """An empty session under a new sid; the one that came with the request is revoked."""
    session = await get_session(request)
    session.invalidate()
    return session
