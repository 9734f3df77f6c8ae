"""What was seen: every operation with its times, its outcome and its cookies. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["ACCESS", "REFRESH", "Fault", "History", "Kind", "Operation", "Outcome", "Reuse", "Ticket"]

ACCESS, REFRESH = "access", "refresh"


class Kind(StrEnum):
    """What was asked for. All but the two revocations are requests that carry the client's cookies."""

    LOGIN = "login"  # with cookies: a new session takes over and the old one ends
    RENEW = "renew"  # the same, without a login
    REFRESH = "refresh"  # the refresh cookie alone, as after the access token's expiry
    READ = "read"
    WRITE = "write"
    LOGOUT = "logout"
    REVOKE = "revoke"  # one session, by its sid
    REVOKE_ALL = "revoke all"  # every session of a subject
    PROBE = "probe"  # a cookie is presented again when the fault is over
    REPLAY = "replay"  # a refresh cookie that was superseded long ago, presented on purpose


REVOCATIONS = (Kind.REVOKE, Kind.REVOKE_ALL)


class Outcome(StrEnum):
    """How it ended for the one who asked."""

    DONE = "done"  # 200
    REFUSED = "refused"  # the handler's 401: nobody is logged in
    UNAVAILABLE = "unavailable"  # 503, or StorageUnavailable
    LOST = "lost"  # no answer arrived
    ODD = "odd"  # any other status


UNANSWERED = (Outcome.UNAVAILABLE, Outcome.LOST)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a cookie stands for."""

    sid: str
    jti: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, or one revocation behind the clients' backs. Times are monotonic seconds.

    ``honoured`` is the session that the handler saw, None where it saw a new one; ``received`` holds None for
    a cookie that was deleted; ``target`` is the sid or the subject of a revocation.
    """

    client: str
    server: int
    kind: Kind
    started: float
    ended: float
    outcome: Outcome
    sent: Mapping[str, Ticket] = field(default_factory=dict)
    received: Mapping[str, Ticket | None] = field(default_factory=dict)
    honoured: str | None = None
    target: str | None = None
    note: str = ""

    @property
    def sid(self) -> str | None:
        """The session whose cookies were sent."""
        ticket = self.sent.get(ACCESS) or self.sent.get(REFRESH)
        return ticket.sid if ticket else None

    @property
    def is_alive(self) -> bool:
        """Whether the session sent was honoured."""
        return self.sid is not None and self.honoured == self.sid

    @property
    def is_dead(self) -> bool:
        """Whether the client learned that the session sent has ended, be it by its own wish."""
        if self.sid is None or self.outcome not in (Outcome.DONE, Outcome.REFUSED):
            return False
        if self.is_superseded:
            return None in self.received.values()
        return self.honoured != self.sid or None in self.received.values()

    @property
    def is_superseded(self) -> bool:
        """Whether the session sent was refused because it goes on in newer cookies: it may yet be given back."""
        return self.honoured is None and self.note.endswith(" TokenSuperseded")

    @property
    def heir(self) -> str | None:
        """The session that came back in the place of the one sent."""
        if self.kind not in (Kind.LOGIN, Kind.RENEW):
            return None
        return next((ticket.sid for ticket in self.received.values() if ticket and ticket.sid != self.sid), None)

    @property
    def successor(self) -> str | None:
        """The refresh jti that came back in the place of the one sent."""
        sent, received = self.sent.get(REFRESH), self.received.get(REFRESH)
        if sent is None or received is None or received.sid != sent.sid or received.jti == sent.jti:
            return None
        return received.jti

    def __str__(self) -> str:
        sent = " ".join(f"{use}={_short(ticket)}" for use, ticket in self.sent.items())
        received = " ".join(f"{use}={_short(ticket)}" for use, ticket in self.received.items())
        words = [f"{self.started:9.3f}-{self.ended:9.3f}", self.client, f"app{self.server}", self.kind, self.outcome]
        words += [f"target {self.target}"] if self.target else []
        return " ".join([*words, f"sent [{sent}] received [{received}]", self.note]).rstrip()


@dataclass(frozen=True, slots=True)
class Reuse:
    """A replay verdict: ``on_reuse`` fired for this refresh jti."""

    at: float
    server: int
    sid: str
    jti: str

    def __str__(self) -> str:
        return f"{self.at:9.3f} app{self.server} replay verdict sid={self.sid[:8]} jti={self.jti[:8]}"


@dataclass(frozen=True, slots=True)
class Fault:
    """When a disruption began, when the new primary was elected, and when nothing was disturbed any more."""

    name: str
    began: float
    primary_at: float
    over: float


@dataclass(slots=True)
class History:
    """All that was seen in one round. ``leeway`` is the reuse leeway of the apps, in seconds."""

    leeway: float
    operations: list[Operation] = field(default_factory=list)
    reuses: list[Reuse] = field(default_factory=list)
    minted: dict[str, float] = field(default_factory=dict)  # jti: when an app made it up
    fault: Fault | None = None

    def add(self, operation: Operation) -> Operation:
        self.operations.append(operation)
        return operation

    def requests(self) -> Iterator[Operation]:
        """What clients asked for over HTTP."""
        return (operation for operation in self.operations if operation.kind not in REVOCATIONS)

    def answered(self) -> Iterator[Operation]:
        """What was acknowledged."""
        return (operation for operation in self.operations if operation.outcome not in UNANSWERED)

    def unavailable(self) -> list[Operation]:
        """What was not."""
        return [operation for operation in self.operations if operation.outcome in UNANSWERED]

    def about(self, sid: str) -> list[Operation]:
        """Everything that has to do with a session, in the order of its ends."""
        found = [operation for operation in self.operations if sid in _sids(operation)]
        return sorted(found, key=lambda operation: operation.ended)


def _sids(operation: Operation) -> set[str | None]:
    tickets = [*operation.sent.values(), *operation.received.values()]
    return {operation.target, *(ticket.sid for ticket in tickets if ticket)}


def _short(ticket: Ticket | None) -> str:
    return f"{ticket.sid[:8]}/{ticket.jti[:8]}" if ticket else "deleted"
