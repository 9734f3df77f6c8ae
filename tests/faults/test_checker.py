"""The judge of the failover drills finds what was planted in a history, and nothing in a good one."""

import pytest

from .checker import back_at, check
from .history import ACCESS, REFRESH, Kind, Operation, Outcome, Ticket
from .report import Report
from .story import ANSWERS, BACK, CHAIN, ENOUGH, LEEWAY, REPLAY, REVOKED, VALID, Story, everyday, violated, with_fault

DONE, REFUSED, UNAVAILABLE, LOST, ODD = Outcome


@pytest.fixture
def story() -> Story:
    return Story()


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
