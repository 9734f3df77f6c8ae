"""The judge on renewed sessions: what takes over, what ends with it, what is given back."""

import pytest

from .history import Kind, Outcome
from .story import LEEWAY, REVOKED, VALID, Story, violated, with_fault

DONE, REFUSED, UNAVAILABLE, LOST, ODD = Outcome


@pytest.fixture
def story() -> Story:
    return Story()


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
