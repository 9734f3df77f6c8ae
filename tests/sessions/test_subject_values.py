"""Which values name a user: text and numbers, nothing by mistake."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from support.browser import Browser

from aiohttp_lionrock import Session, SessionDataError, SessionManager, TokenClaimError

Build = Callable[..., SessionManager]

ANN = {"id": 1, "name": "Ann"}


def rename(session: Session) -> None:
    session["user"]["name"] = "Anna"


async def test_a_table_that_names_the_user_and_is_changed_inside_is_an_error_and_no_logout(build: Build) -> None:
    browser = Browser(build(subject_key="user"))
    await browser.visit(lambda session: session.update(user=ANN, cart=["tea"]))
    sid = browser.sid
    with pytest.raises(SessionDataError, match=r"session\['user'\].*was changed inside.*subject_key=lambda") as caught:
        await browser.visit(rename)
    assert caught.value.key == "user"
    session = await browser.visit(lambda session: session.get("user"), lambda session: session.update(cart=[]))
    assert (dict(session), browser.sid) == ({"user": ANN, "cart": []}, sid)


async def test_under_a_function_the_same_change_is_one(build: Build) -> None:
    browser = Browser(build(subject_key=lambda data: data.get("user", {}).get("id")))
    await browser.visit(lambda session: session.update(user=ANN, cart=["tea"]))
    await browser.visit(rename)
    assert dict(await browser.visit()) == {"user": {"id": 1, "name": "Anna"}, "cart": ["tea"]}


async def test_another_table_that_is_assigned_is_another_user(build: Build) -> None:
    browser = Browser(build(subject_key="user"))
    await browser.visit(lambda session: session.update(user=ANN, cart=["tea"]))
    await browser.visit(lambda session: session.update(user={"id": 2}))
    assert dict(await browser.visit()) == {"user": {"id": 2}}


@pytest.mark.parametrize("answer", [True, False, {"id": 1}, [1]])
async def test_a_function_that_returns_no_name_is_an_error_at_the_login(build: Build, answer: Any) -> None:
    browser = Browser(build(subject_key=lambda data: answer if data else None))
    with pytest.raises(TypeError, match="subject_key must return text, a number or None"):
        await browser.visit(lambda session: session.update(user=1))
    assert browser.cookies == {}


async def test_a_token_of_which_a_function_makes_no_name_is_refused(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(build())
    await browser.log_in()
    session = await browser.copy(build(subject_key=lambda data: "sub" in data)).visit()
    assert isinstance(session.rejected, TokenClaimError)
    assert "subject_key must return" in caplog.text


async def test_empty_text_names_nobody(build: Build) -> None:
    manager = build()
    browser = Browser(manager)
    await browser.visit(lambda session: session.update(sub="", cart=["tea"]))
    assert (await browser.visit()).subject is None
    await browser.log_in()
    await browser.visit(lambda session: session.update(sub=""))
    assert await manager.sessions("ann") == []
    assert dict(await browser.visit()) == {"sub": ""}
    with pytest.raises(ValueError, match="a subject is needed"):
        await manager.revoke_subject("")


@pytest.mark.parametrize("subject", [UUID(int=1), b"ann", Decimal(1), object()], ids=lambda value: type(value).__name__)
async def test_what_is_not_json_is_no_subject(build: Build, subject: Any) -> None:
    browser = Browser(build())
    await browser.log_in()
    manager = browser.manager
    for call in (manager.revoke_subject, manager.sessions, lambda given: manager.revoke(browser.sid, subject=given)):
        with pytest.raises(TypeError, match=r"a subject is text or a number, as session\.subject is, not .*str\("):
            await call(subject)


async def test_a_session_is_no_subject(build: Build, browser: Browser) -> None:
    session = await browser.log_in()
    for call in (browser.manager.revoke_subject, browser.manager.sessions):
        with pytest.raises(TypeError, match=r"pass session\.subject"):
            await call(session)
