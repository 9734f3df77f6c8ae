"""Stories: histories that are told step by step, for the tests of the judge."""

from .checker import check
from .history import ACCESS, REFRESH, Fault, History, Kind, Operation, Outcome, Reuse, Ticket

__all__ = [
    "ANSWERS",
    "BACK",
    "CHAIN",
    "ENOUGH",
    "LEEWAY",
    "REPLAY",
    "REVOKED",
    "VALID",
    "Somebody",
    "Story",
    "everyday",
    "violated",
    "with_fault",
]

REVOKED, CHAIN, VALID = "revoked stays revoked", "one chain", "valid stays valid"
REPLAY, ANSWERS, BACK, ENOUGH = "no false replay", "200 or 503", "back in 30 s", "enough was seen"

LEEWAY = 10.0
DONE, REFUSED, UNAVAILABLE, LOST, ODD = Outcome


class Story:
    """A history told step by step: each operation takes 0.1 s, one follows the other after a second."""

    def __init__(self) -> None:
        self.history = History(LEEWAY)
        self.now = 1000.0
        self.passers_by: list[Somebody] = []
        self.bystander: Somebody | None = None
        self._sessions = 0

    def tell(self, client: str, kind: Kind, outcome: Outcome = DONE, at: float | None = None, **more) -> Operation:
        started = self.now if at is None else at
        self.now = max(self.now, started) + 1
        ended = more.pop("ended", started + 0.1)
        return self.history.add(Operation(client, 0, kind, started, ended, outcome, **more))

    def somebody(self, name: str = "ann") -> "Somebody":
        self._sessions += 1
        return Somebody(self, name, f"sid{self._sessions}")

    def break_down(self) -> None:
        """The fault: a new primary after 3 s, and then all is well."""
        self.history.fault = Fault("planted", self.now, self.now + 3, self.now + 3.4)
        self.now += 3.5

    def wait(self, seconds: float) -> None:
        """Time passes, in which somebody else is served."""
        self.bystander = self.bystander or self.somebody("eve").log_in()
        until = self.now + seconds
        while self.now < until:
            self.bystander.use(Kind.READ)

    def replay_verdict(self, sid: str, jti: str, at: float | None = None) -> None:
        self.history.reuses.append(Reuse(self.now if at is None else at, 0, sid, jti))


class Somebody:
    """A client with a session. ``jti`` is the refresh jti that it holds."""

    def __init__(self, story: Story, name: str, sid: str) -> None:
        self.story, self.name, self.sid, self.jti = story, name, sid, "r0"

    @property
    def both(self) -> dict[str, Ticket]:
        return {ACCESS: Ticket(self.sid, "a"), REFRESH: Ticket(self.sid, self.jti)}

    def log_in(self) -> "Somebody":
        self.story.tell(self.name, Kind.LOGIN, received=self.both)
        return self

    def renew(self, outcome: Outcome = DONE) -> "Somebody":
        """Logs in again: a new session takes over."""
        other = self.story.somebody(self.name)
        other.jti = "r100"
        got = {"received": other.both, "honoured": self.sid} if outcome is DONE else {}
        self.story.tell(self.name, Kind.LOGIN, outcome, sent=self.both, **got)
        return other

    def move(self, outcome: Outcome = DONE, **more) -> "Somebody":
        """Renews the session: another one takes over where it is answered."""
        other = self.story.somebody(self.name)
        other.jti = "r100"
        got = {"received": other.both, "honoured": self.sid} if outcome is DONE else {}
        self.story.tell(self.name, Kind.RENEW, outcome, sent=self.both, **{**got, **more})
        return other

    def is_superseded(self, kind: Kind = Kind.READ, **more) -> Operation:
        """The session is refused for now, and the cookies stay."""
        return self.story.tell(self.name, kind, REFUSED, sent=self.both, note="401 TokenSuperseded", **more)

    def log_out_in_an_old_tab(self, **more) -> Operation:
        gone = {ACCESS: None, REFRESH: None}
        return self.story.tell(
            self.name, Kind.LOGOUT, sent=self.both, received=gone, note="200 TokenSuperseded", **more
        )

    def refresh(self, outcome: Outcome = DONE, to: str | None = None, **more) -> Operation:
        """Presents the refresh cookie; a new one comes back where it is answered."""
        sent = {REFRESH: Ticket(self.sid, self.jti)}
        if outcome is not DONE:
            return self.story.tell(self.name, Kind.REFRESH, outcome, sent=sent, **more)
        self.jti = to or f"r{int(self.jti[1:]) + 1}"
        return self.story.tell(
            self.name, Kind.REFRESH, sent=sent, received=self.both, honoured=self.sid, **{"note": "200", **more}
        )

    def use(self, kind: Kind = Kind.READ, outcome: Outcome = DONE, **more) -> Operation:
        got = {"honoured": self.sid} if outcome is DONE else {}
        got["sent"] = self.both
        if kind is Kind.LOGOUT and outcome is DONE:
            got["received"] = {ACCESS: None, REFRESH: None}
        return self.story.tell(self.name, kind, outcome, **{**got, **more})

    def is_refused(self, kind: Kind = Kind.PROBE) -> Operation:
        gone = {ACCESS: None, REFRESH: None}
        return self.story.tell(self.name, kind, REFUSED, sent=self.both, received=gone, note="401")

    def revoke(self, outcome: Outcome = DONE, **more) -> Operation:
        return self.story.tell("operator", Kind.REVOKE, outcome, target=self.sid, **more)

    def probe(self) -> None:
        self.use(Kind.PROBE)


def everyday(story: Story) -> None:
    """Somebody comes, does everything that people do, and goes."""
    bob = story.somebody("bob").log_in()
    bob.refresh()
    bob.use(Kind.READ)
    bob.use(Kind.WRITE)
    renewed = bob.move()
    renewed.use(Kind.LOGOUT)
    story.passers_by += [bob, renewed]


def with_fault(story: Story) -> None:
    everyday(story)
    story.break_down()


def violated(story: Story) -> list[str]:
    """The rules that the judge finds violated, once the story has ended in an orderly way."""
    if story.history.fault is None:
        with_fault(story)
    everyday(story)
    for bob in story.passers_by:
        bob.is_refused()
    if story.bystander:
        story.bystander.probe()
    return [violation.rule for violation in check(story.history)]
