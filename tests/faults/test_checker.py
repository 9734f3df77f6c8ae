"""The judge of the failover drills finds what was planted in a history, and nothing in a good one."""

import pytest

from .checker import back_at, check
from .history import ACCESS, REFRESH, Fault, History, Kind, Operation, Outcome, Reuse, Ticket
from .report import Report

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


@pytest.fixture
def story() -> Story:
    return Story()


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


def test_a_good_history_has_no_violation(story: Story) -> None:
    ann = story.somebody().log_in()
    ann.refresh()
    with_fault(story)
    ann.refresh(UNAVAILABLE)
    ann.refresh()
    ann.use(Kind.WRITE)
    ann.probe()
    assert violated(story) == []


def test_a_session_that_lives_after_its_logout_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    ann.use(Kind.LOGOUT)
    with_fault(story)
    ann.probe()
    assert violated(story) == [REVOKED]


def test_a_session_that_lives_after_it_was_revoked_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    ann.revoke()
    with_fault(story)
    ann.probe()
    assert violated(story) == [REVOKED]


def test_a_session_that_lives_after_its_subject_was_revoked_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    story.tell("operator", Kind.REVOKE_ALL, target="ann")
    with_fault(story)
    ann.probe()
    assert violated(story) == [REVOKED]


def test_a_session_that_lives_after_its_renewal_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    renewed = ann.renew()
    with_fault(story)
    ann.probe()
    renewed.probe()
    assert violated(story) == [REVOKED]


def test_a_renewed_session_that_lives_under_its_old_cookies_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    renewed = ann.move()
    with_fault(story)
    ann.probe()
    renewed.probe()
    assert violated(story) == [REVOKED]


@pytest.mark.parametrize("length", [1, 3])
def test_a_renewed_session_that_outlives_a_logout_in_an_old_tab_is_found(story: Story, length: int) -> None:
    ann = story.somebody().log_in()
    chain = [ann]
    for _ in range(length):
        chain.append(chain[-1].move())
    ann.log_out_in_an_old_tab()
    with_fault(story)
    for one in chain[:-1]:
        one.is_refused()
    chain[-1].probe()
    assert violated(story) == [REVOKED]


def test_a_renewed_session_that_outlives_the_revocation_of_its_old_sid_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    renewed = ann.move()
    ann.revoke()
    with_fault(story)
    ann.is_refused()
    renewed.probe()
    assert violated(story) == [REVOKED]


def test_a_renewed_session_that_ended_with_the_logout_in_an_old_tab_is_good(story: Story) -> None:
    ann = story.somebody().log_in()
    renewed = ann.move()
    with_fault(story)
    ann.is_superseded()
    ann.log_out_in_an_old_tab()
    ann.is_refused()
    renewed.is_refused()
    assert violated(story) == []


def test_a_logout_in_an_old_tab_of_unknown_outcome_may_have_ended_the_renewed_session_or_not(story: Story) -> None:
    ann, eve = story.somebody().log_in(), story.somebody("eve").log_in()
    with_fault(story)
    renewed = [ann.move(), eve.move()]
    for one in (ann, eve):
        one.use(Kind.LOGOUT, UNAVAILABLE)
        one.is_refused()
    renewed[0].probe()
    renewed[1].is_refused()
    assert violated(story) == []


def test_a_logout_in_an_old_tab_may_leave_a_session_that_a_login_began_beside_its_heir(story: Story) -> None:
    ann = story.somebody().log_in()
    again = ann.renew()
    with_fault(story)
    ann.log_out_in_an_old_tab()
    ann.is_refused()
    again.probe()
    assert violated(story) == []


def test_a_renewed_session_that_was_acknowledged_and_is_lost_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    renewed = ann.move()
    ann.is_refused()
    renewed.is_refused()
    assert violated(story) == [VALID]


def test_a_session_whose_renewal_was_not_answered_may_be_superseded_until_it_is_given_back(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.move(UNAVAILABLE)
    ann.is_superseded(Kind.RENEW)
    story.wait(2)
    ann.use()
    ann.probe()
    assert violated(story) == []


@pytest.mark.parametrize("superseded", [True, False])
def test_a_session_whose_renewal_was_not_answered_and_that_is_never_given_back_is_found(
    story: Story, superseded: bool
) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.move(UNAVAILABLE)
    story.wait(3 * LEEWAY)
    ann.is_superseded(Kind.PROBE) if superseded else ann.is_refused()
    assert violated(story) == [VALID]


def test_a_session_that_is_superseded_and_that_nobody_renewed_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.is_superseded()
    ann.probe()
    assert violated(story) == [VALID]


def test_a_session_that_was_given_back_and_then_renewed_may_not_come_back(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.move(UNAVAILABLE)
    renewed = ann.move()
    renewed.probe()
    ann.probe()
    assert violated(story) == [REVOKED]


def test_a_renewal_whose_answer_was_lost_leaves_its_session_unknown(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.move(LOST)
    ann.is_refused()
    assert violated(story) == []


def test_a_logout_of_unknown_outcome_may_have_happened(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use(Kind.LOGOUT, UNAVAILABLE)
    ann.is_refused()
    assert violated(story) == []


def test_a_logout_of_unknown_outcome_may_not_have_happened(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use(Kind.LOGOUT, LOST)
    ann.refresh()
    ann.probe()
    assert violated(story) == []


def test_a_logout_of_unknown_outcome_does_not_excuse_a_session_that_comes_back(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use(Kind.LOGOUT, UNAVAILABLE)
    ann.is_refused(Kind.READ)
    ann.probe()
    assert violated(story) == [REVOKED]


def test_a_renewal_of_unknown_outcome_may_have_ended_the_old_session(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.renew(UNAVAILABLE)
    ann.is_refused()
    assert violated(story) == []


def test_a_revocation_of_unknown_outcome_may_have_happened_or_not(story: Story) -> None:
    ann, eve = story.somebody().log_in(), story.somebody("eve").log_in()
    with_fault(story)
    ann.revoke(UNAVAILABLE)
    story.wait(1)
    eve.revoke(UNAVAILABLE)
    ann.is_refused()
    eve.probe()
    assert violated(story) == []


def test_an_unanswered_revocation_of_a_subject_leaves_its_later_sessions_unknown(story: Story) -> None:
    with_fault(story)
    story.tell("operator", Kind.REVOKE_ALL, UNAVAILABLE, target="ann")
    ann = story.somebody().log_in()
    ann.is_refused()
    assert violated(story) == []


def test_an_answered_revocation_of_a_subject_leaves_its_later_sessions_alone(story: Story) -> None:
    with_fault(story)
    story.tell("operator", Kind.REVOKE_ALL, target="ann")
    ann = story.somebody().log_in()
    ann.is_refused()
    assert violated(story) == [VALID]


def test_a_login_beside_the_revocation_of_its_subject_may_live_or_not(story: Story) -> None:
    with_fault(story)
    story.tell("operator", Kind.REVOKE_ALL, target="ann", ended=story.now + 4)
    one, other = story.somebody().log_in(), story.somebody().log_in()
    story.wait(3)
    one.probe()
    other.is_refused()
    assert violated(story) == []


def test_the_revocation_of_another_subject_excuses_nothing(story: Story) -> None:
    ann = story.somebody().log_in()
    story.tell("operator", Kind.REVOKE_ALL, target="bob")
    with_fault(story)
    ann.is_refused()
    assert violated(story) == [VALID]


def test_a_request_beside_the_logout_may_see_either(story: Story) -> None:
    ann, eve = story.somebody().log_in(), story.somebody("eve").log_in()
    with_fault(story)
    for who in (ann, eve):
        logout = who.use(Kind.LOGOUT, ended=story.now + 2)
        who.use(Kind.READ, *([] if who is ann else [REFUSED]), at=logout.started + 0.5)
        story.now += 3
        who.is_refused()
    assert violated(story) == []


def test_a_refresh_token_with_two_successors_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(to="r1")
    ann.jti = "r0"
    ann.refresh(to="r2")
    ann.probe()
    assert violated(story) == [CHAIN]


def test_two_refresh_tokens_with_one_successor_are_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(to="r1")
    ann.jti = "r9"
    ann.refresh(to="r1")
    ann.probe()
    assert violated(story) == [CHAIN]


def test_a_chain_that_goes_back_to_its_beginning_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(to="r1")
    ann.refresh(to="r0")
    ann.probe()
    assert violated(story) == [CHAIN]


def test_a_refresh_token_out_of_nowhere_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use(Kind.WRITE, sent={ACCESS: Ticket(ann.sid, "a")}, received={REFRESH: Ticket(ann.sid, "r7")})
    ann.probe()
    assert violated(story) == [CHAIN]


def test_many_answers_with_the_same_successor_are_one_chain(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    for _ in range(3):
        ann.jti = "r0"
        ann.refresh(to="r1")
    ann.probe()
    assert violated(story) == []


def test_a_renewal_beside_a_refresh_begins_a_chain_of_its_own(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(to="r1")
    ann.jti = "r0"
    renewed = ann.renew()
    renewed.refresh()
    renewed.probe()
    ann.is_refused()
    assert violated(story) == []


def test_a_replay_verdict_on_an_honest_client_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(UNAVAILABLE)
    story.wait(LEEWAY)
    story.replay_verdict(ann.sid, ann.jti, at=story.now + 0.05)
    ann.refresh(REFUSED)
    ann.is_refused()
    assert sorted(violated(story)) == [REPLAY, VALID]


def test_a_replay_verdict_on_a_session_that_nobody_knows_is_found(story: Story) -> None:
    story.replay_verdict("unheard-of", "r0")
    assert violated(story) == [REPLAY]


def test_a_replay_on_purpose_has_one_verdict(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh()
    ann.refresh()
    ann.probe()
    ann.jti = "r0"
    story.replay_verdict(ann.sid, "r0", at=story.now + 0.05)
    ann.is_refused(Kind.REPLAY)
    ann.is_refused()
    assert violated(story) == []


@pytest.mark.parametrize("verdicts", [0, 2])
def test_a_replay_on_purpose_without_one_verdict_is_found(story: Story, verdicts: int) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh()
    ann.refresh()
    ann.probe()
    ann.jti = "r0"
    for _ in range(verdicts):
        story.replay_verdict(ann.sid, "r0", at=story.now + 0.05)
    ann.is_refused(Kind.REPLAY)
    assert violated(story) == [REPLAY]


def test_a_replay_on_purpose_of_unknown_outcome_may_have_ended_the_session_or_not(story: Story) -> None:
    ann, eve = story.somebody().log_in(), story.somebody("eve").log_in()
    with_fault(story)
    for who in (ann, eve):
        who.refresh()
        who.jti = "r0"
        who.use(Kind.REPLAY, UNAVAILABLE)
        story.wait(1)
        who.jti = "r1"
    ann.probe()
    eve.is_refused()
    assert violated(story) == []


def test_a_replay_on_purpose_that_is_honoured_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh()
    ann.refresh()
    ann.probe()
    latest, ann.jti = ann.jti, "r0"
    ann.use(Kind.REPLAY, received={REFRESH: Ticket(ann.sid, latest)})
    assert REPLAY in violated(story)


def test_an_answer_that_was_lost_longer_ago_than_the_leeway_excuses_a_verdict(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(LOST)
    story.wait(LEEWAY)
    story.replay_verdict(ann.sid, ann.jti, at=story.now + 0.05)
    ann.refresh(REFUSED)
    ann.is_refused()
    assert violated(story) == []


def test_an_answer_that_was_lost_just_now_does_not(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(LOST)
    story.replay_verdict(ann.sid, ann.jti, at=story.now + 0.05)
    ann.refresh(REFUSED)
    ann.is_refused()
    assert sorted(violated(story)) == [REPLAY, VALID]


def test_a_valid_session_that_is_refused_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.is_refused(Kind.READ)
    ann.is_refused()
    assert violated(story) == [VALID]


def test_a_valid_session_that_is_refused_long_after_a_503_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.refresh(UNAVAILABLE)
    story.wait(3 * LEEWAY)
    ann.refresh(REFUSED)
    ann.is_refused()
    assert violated(story) == [VALID]


def test_a_valid_session_whose_cookies_are_deleted_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use(Kind.WRITE, received={ACCESS: None, REFRESH: None})
    ann.probe()
    assert VALID in violated(story)


def test_a_session_lost_before_the_logout_began_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.is_refused(Kind.READ)
    ann.use(Kind.LOGOUT, UNAVAILABLE)
    ann.is_refused()
    assert violated(story) == [VALID]


def test_a_valid_session_whose_logout_is_refused_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.is_refused(Kind.LOGOUT)
    ann.is_refused()
    assert violated(story) == [VALID]


def test_an_answer_other_than_200_and_503_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use(Kind.WRITE, ODD, note="500")
    ann.probe()
    assert violated(story) == [ANSWERS]


@pytest.mark.parametrize("lives_on", [True, False])
def test_an_error_leaves_open_whether_the_session_has_ended(story: Story, lives_on: bool) -> None:
    ann, eve = story.somebody().log_in(), story.somebody("eve").log_in()
    with_fault(story)
    ann.use(Kind.LOGOUT, ODD, note="500")
    eve.revoke(ODD)
    for who in (ann, eve):
        who.probe() if lives_on else who.is_refused()
    assert violated(story) == [ANSWERS, ANSWERS]


@pytest.mark.parametrize("cookie", [None, Ticket("sid1", "r9")])
def test_a_503_that_changes_a_cookie_is_found(story: Story, cookie: Ticket | None) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use(Kind.WRITE, UNAVAILABLE, received={ACCESS: cookie})
    ann.probe()
    assert violated(story) == [ANSWERS]


def test_a_service_that_stays_away_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    for _ in range(60):
        ann.use(outcome=UNAVAILABLE)
    assert BACK in [violation.rule for violation in check(story.history)]


def test_a_service_that_is_back_too_late_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    while story.now < story.history.fault.primary_at + 31:
        ann.use(outcome=UNAVAILABLE)
    ann.probe()
    assert set(violated(story)) == {BACK}


def test_a_service_whose_last_unanswered_request_ends_too_late_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    primary_at = story.history.fault.primary_at
    while story.now < primary_at + 29:
        ann.use(outcome=UNAVAILABLE)
    ann.use(outcome=UNAVAILABLE, ended=primary_at + 31)
    story.now = primary_at + 31.5
    ann.probe()
    assert violated(story) == [BACK]


def test_whether_a_service_is_back_cannot_be_told_at_once(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use()
    assert back_at(story.history) is None
    story.wait(2)
    assert back_at(story.history) == pytest.approx(story.history.fault.primary_at + 0.6)


def test_a_service_that_is_back_just_in_time_is_good(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    while story.now < story.history.fault.primary_at + 27:
        ann.use(outcome=UNAVAILABLE)
    ann.probe()
    assert violated(story) == []
    assert 26 < back_at(story.history) - story.history.fault.primary_at < 30


def test_a_service_that_goes_away_again_long_after_the_fault_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    ann.probe()
    everyday(story)
    story.wait(40)
    ann.use(outcome=UNAVAILABLE)
    assert violated(story) == [BACK]


def test_a_server_that_stays_away_while_the_other_answers_is_found(story: Story) -> None:
    ann = story.somebody().log_in()
    story.history.add(Operation("ann", 1, Kind.READ, 900, 900.1, DONE, sent=ann.both, honoured=ann.sid))
    with_fault(story)
    ann.probe()
    assert violated(story) == [BACK]


def test_a_session_that_was_not_asked_for_again_proves_nothing(story: Story) -> None:
    story.somebody().log_in().use(Kind.LOGOUT)
    ann = story.somebody().log_in()
    with_fault(story)
    ann.use()
    everyday(story)
    unproven = [violation for violation in check(story.history) if violation.rule == ENOUGH]
    assert {violation.text.split()[1] for violation in unproven} >= {"sid1", "sid2"}


def test_a_load_that_did_too_little_proves_nothing(story: Story) -> None:
    ann = story.somebody().log_in()
    story.break_down()
    ann.probe()
    assert ENOUGH in violated(story)


def test_the_report_counts_what_the_history_tells(story: Story) -> None:
    ann = story.somebody().log_in()
    with_fault(story)
    story.history.minted["kept"] = story.now + 0.05
    ann.refresh(UNAVAILABLE)
    story.wait(LEEWAY)
    ann.refresh(to="kept")
    ann.use(outcome=LOST)
    ann.probe()
    assert violated(story) == []
    report = Report.of(story.history)
    assert (report.unavailable, report.lost, report.late_retries, report.kept_in_doubt) == (1, 1, 1, 1)
    assert report.operations == len(story.history.operations)
    assert 5 < report.silence < 6
