"""jti by callbacks: what `generate`, `persist` and `verify` are given, in which order, and what their faults mean."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from jwt.api_jws import PyJWS
from support.browser import (
    ACCESS,
    ACCESS_LIFETIME,
    REFRESH,
    REFRESH_LIFETIME,
    SECRET,
    Browser,
    assert_untouched,
    claims,
    make_manager,
)

from aiohttp_lionrock import (
    ConfigError,
    JtiEvent,
    MemoryStorage,
    Session,
    SessionManager,
    SessionTooLarge,
    StorageUnavailable,
    TokenClaimError,
    TokenExpired,
    TokenRevoked,
)
from aiohttp_lionrock.sessions.session import life_of
from aiohttp_lionrock.testing import FakeClock


class Ledger:
    """An application's own store of ids behind the three callbacks; it remembers each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, JtiEvent]] = []
        self.known: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.count = 0

    def generate(self, event: JtiEvent) -> Any:
        self.calls.append(("generate", event))
        self.count += 1
        return self._answer("generate", f"id-{self.count}")

    def persist(self, event: JtiEvent) -> Any:
        self.calls.append(("persist", event))
        assert event.jti is not None
        self.known.add(event.jti)
        return self._answer("persist", None)

    def verify(self, event: JtiEvent) -> Any:
        self.calls.append(("verify", event))
        return self._answer("verify", event.jti in self.known)

    def _answer(self, name: str, usual: Any) -> Any:
        answer = self.answers.get(name, usual)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def names(self) -> list[tuple[str, str]]:
        return [(name, event.token_use) for name, event in self.calls]

    def events(self, name: str) -> list[JtiEvent]:
        return [event for called, event in self.calls if called == name]


class AsyncLedger(Ledger):
    """The same with coroutine functions, which give way to others before they answer."""

    async def generate(self, event: JtiEvent) -> Any:
        await asyncio.sleep(0)
        return super().generate(event)

    async def persist(self, event: JtiEvent) -> Any:
        await asyncio.sleep(0)
        return super().persist(event)

    async def verify(self, event: JtiEvent) -> Any:
        await asyncio.sleep(0)
        return super().verify(event)


def signed(payload: dict[str, Any]) -> str:
    """A token as another program may make it, of claims that this library would not write."""
    return PyJWS().encode(json.dumps(payload).encode(), SECRET, "HS256")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[Ledger, AsyncLedger], ids=["plain", "async"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    made: Ledger = request.param()
    return made


@pytest.fixture
def build(ledger: Ledger, clock: FakeClock) -> Callable[..., SessionManager]:
    def make(jti: dict[str, Any] | None = None, **settings: Any) -> SessionManager:
        callbacks = {name: getattr(ledger, name) for name in ("generate", "persist", "verify")}
        return make_manager(None, clock, jti={"token_use": "both", **callbacks, **(jti or {})}, **settings)

    return make


@pytest.fixture
def browser(build: Callable[..., SessionManager]) -> Browser:
    return Browser(build())


# --- what is called, when ----------------------------------------------------------------------------------------


async def test_each_token_gets_an_id_of_its_own_which_is_persisted_once(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in()
    assert ledger.names() == [
        ("generate", "access"),
        ("generate", "refresh"),
        ("persist", "access"),
        ("persist", "refresh"),
    ]
    assert (browser.access["jti"], browser.refreshing["jti"]) == ("id-1", "id-2")
    assert [event.jti for event in ledger.events("persist")] == ["id-1", "id-2"]


async def test_every_write_makes_fresh_ids(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in()
    await browser.write(theme="dark")
    assert (browser.access["jti"], browser.refreshing["jti"]) == ("id-3", "id-4")
    assert ledger.known == {"id-1", "id-2", "id-3", "id-4"}


async def test_reading_verifies_the_access_token_alone_and_persists_nothing(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in()
    ledger.calls.clear()
    await browser.visit()
    assert ledger.names() == [("verify", "access")]


async def test_a_refresh_verifies_then_generates_then_persists(
    browser: Browser, ledger: Ledger, clock: FakeClock
) -> None:
    await browser.log_in()
    ledger.calls.clear()
    clock.advance(ACCESS_LIFETIME)
    await browser.visit()
    assert ledger.names() == [
        ("verify", "refresh"),
        ("generate", "access"),
        ("generate", "refresh"),
        ("persist", "access"),
        ("persist", "refresh"),
    ]


async def test_without_rotation_a_refresh_persists_the_access_token_alone(
    build: Callable[..., SessionManager], ledger: Ledger, clock: FakeClock
) -> None:
    browser = Browser(build(refresh_token={"rotate": False}))
    await browser.log_in()
    ledger.calls.clear()
    await browser.refresh()
    assert ledger.names() == [("verify", "refresh"), ("generate", "access"), ("persist", "access")]


@pytest.mark.parametrize(
    ("settings", "covered"),
    [
        ({}, {"refresh"}),
        ({"refresh_token": False}, {"access"}),
        ({"jti": {"token_use": "access"}}, {"access"}),
        ({"jti": {"token_use": "refresh"}}, {"refresh"}),
        ({"jti": {"token_use": "both"}}, {"access", "refresh"}),
    ],
)
async def test_only_covered_tokens_carry_an_id_and_meet_the_callbacks(
    build: Callable[..., SessionManager], ledger: Ledger, settings: dict[str, Any], covered: set[str]
) -> None:
    jti = {"token_use": None, **settings.get("jti", {})}
    browser = Browser(build(jti, refresh_token=settings.get("refresh_token", True)))
    await browser.log_in()
    assert {event.token_use for _, event in ledger.calls} == covered
    tokens = [claims(token) for token in browser.cookies.values()]
    assert {token.get("token_use", "access") for token in tokens if "jti" in token} == covered
    ledger.calls.clear()
    await browser.visit()
    if REFRESH in browser.cookies:
        await browser.copy().refresh()
    assert {event.token_use for name, event in ledger.calls if name == "verify"} == covered


async def test_a_uuid_stands_in_where_nothing_generates(build: Callable[..., SessionManager], ledger: Ledger) -> None:
    browser = Browser(build({"generate": None}))
    await browser.log_in()
    ids = [browser.access["jti"], browser.refreshing["jti"]]
    assert [len(jti) for jti in ids] == [36, 36]
    assert set(ids) == ledger.known


async def test_persist_alone_and_verify_alone_are_enough(build: Callable[..., SessionManager], ledger: Ledger) -> None:
    browser = Browser(build({"generate": None, "verify": None}))
    await browser.log_in()
    assert not (await browser.visit()).is_new
    assert {name for name, _ in ledger.calls} == {"persist"}
    checking = browser.copy(build({"generate": None, "persist": None}))
    assert not (await checking.visit()).is_new


async def test_a_logout_is_no_callback_and_deletes_the_cookies(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in()
    ledger.calls.clear()
    await browser.log_out()
    assert ledger.names() == [("verify", "access")]
    assert browser.sent == {ACCESS: None, REFRESH: None}


async def test_a_token_that_fails_any_other_check_never_reaches_verify(
    browser: Browser, ledger: Ledger, clock: FakeClock
) -> None:
    await browser.log_in()
    ledger.calls.clear()
    header, payload, signature = browser.cookies[ACCESS].split(".")
    await browser.manager.load({ACCESS: f"{header}.{payload}.{signature[::-1]}"})
    await browser.manager.load({ACCESS: browser.cookies[REFRESH]})
    clock.advance(ACCESS_LIFETIME)
    await browser.manager.load({ACCESS: browser.cookies[ACCESS]})
    assert ledger.calls == []


# --- what they are given -----------------------------------------------------------------------------------------


async def test_persist_is_given_the_token_as_it_was_signed(browser: Browser, ledger: Ledger, clock: FakeClock) -> None:
    session = await browser.log_in(theme="dark")
    now = int(clock())
    for event, cookie, lifetime in zip(
        ledger.events("persist"), (ACCESS, REFRESH), (ACCESS_LIFETIME, REFRESH_LIFETIME), strict=True
    ):
        assert dict(event.payload) == claims(browser.cookies[cookie])
        assert event.jti == event.payload["jti"]
        assert event.exp == event.payload["exp"] == now + lifetime
        assert life_of(event.session) is life_of(session)
        assert event.config is browser.manager.config
        assert event.env is None


async def test_generate_is_given_the_token_to_be_without_an_id(browser: Browser, ledger: Ledger) -> None:
    session = await browser.log_in(theme="dark")
    for event, cookie in zip(ledger.events("generate"), (ACCESS, REFRESH), strict=True):
        assert event.jti is None
        expected = claims(browser.cookies[cookie])
        del expected["jti"]
        assert dict(event.payload) == expected
        assert event.exp == expected["exp"]
        assert life_of(event.session) is life_of(session)


async def test_verify_is_given_the_session_of_the_token_that_came(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in(theme="dark")
    presented = browser.access
    await browser.visit()
    [event] = ledger.events("verify")
    assert (event.jti, event.token_use, event.exp) == (presented["jti"], "access", presented["exp"])
    assert dict(event.session) == {"sub": "ann", "theme": "dark"}
    assert event.session.sid == presented["sid"]
    assert dict(event.payload) == presented


async def test_every_callback_is_given_the_requests_own_environment(browser: Browser, ledger: Ledger) -> None:
    env = {"SESSION_SECRET": "the secret of one tenant: 0123456789", "TENANT": "one"}
    session = await browser.manager.load({}, env)
    session["sub"] = "ann"
    changes = await browser.manager.save(session)
    await browser.manager.load({change.name: change.value or "" for change in changes}, env)
    assert {name for name, _ in ledger.calls} == {"generate", "persist", "verify"}
    assert all(event.env is env for _, event in ledger.calls)


# --- what verify says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cookie", [ACCESS, REFRESH])
async def test_an_id_that_verify_denies_is_revoked_and_no_cookie_is_touched(
    browser: Browser, ledger: Ledger, cookie: str
) -> None:
    await browser.log_in()
    ledger.known.discard(claims(browser.cookies[cookie])["jti"])
    session = await browser.visit(only=cookie)
    assert session.is_new
    assert_untouched(browser, session, TokenRevoked)
    assert session.rejected.code == "JWT_JTI_REVOKED"  # type: ignore[union-attr]


async def test_a_denied_access_token_is_not_refreshed(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in()
    ledger.known.discard(browser.access["jti"])
    ledger.calls.clear()
    assert (await browser.visit()).is_new
    assert ledger.names() == [("verify", "access")]


@pytest.mark.parametrize("answer", [None, 1, 0, "yes", "", [True], {}, object()], ids=repr)
async def test_an_answer_that_is_no_bool_rejects_and_is_logged_as_a_programming_error(
    browser: Browser, ledger: Ledger, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    await browser.log_in()
    ledger.answers["verify"] = answer
    token = browser.cookies[ACCESS]
    assert type((await browser.visit()).rejected) is TokenRevoked
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert type(answer).__name__ in record.getMessage()
    assert token not in caplog.text
    assert claims(token)["jti"] not in caplog.text


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", ["", None, 7, b"id", "x" * 513, "a\x00b", "\ud800", ["id"]], ids=ascii)
async def test_an_id_that_is_no_usable_text_is_an_error_and_nothing_is_persisted(
    browser: Browser, ledger: Ledger, made: Any
) -> None:
    ledger.answers["generate"] = made
    with pytest.raises(ConfigError, match=r"jti\.generate"):
        await browser.log_in()
    assert not browser.cookies
    assert ledger.events("persist") == []


async def test_the_longest_id_that_can_be_made_can_be_read_again(browser: Browser, ledger: Ledger) -> None:
    ledger.answers["generate"] = "ü" * 512
    await browser.log_in()
    assert not (await browser.visit()).is_new


async def test_an_id_in_another_type_of_text_is_sent_as_plain_text(browser: Browser, ledger: Ledger) -> None:
    class Id(str):
        __slots__ = ()

    ledger.answers["generate"] = Id("id")
    await browser.log_in()
    assert browser.access["jti"] == "id"
    assert type(ledger.events("persist")[0].jti) is str


@pytest.mark.parametrize("name", ["generate", "persist", "verify"])
@pytest.mark.parametrize("fault", [OSError("no route to host"), KeyError("x"), TimeoutError()], ids=repr)
async def test_a_callback_that_fails_means_that_nobody_can_tell(
    browser: Browser, ledger: Ledger, name: str, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await browser.log_in()
    cookies = dict(browser.cookies)
    ledger.answers[name] = fault
    with pytest.raises(StorageUnavailable, match=rf"jti\.{name}") as caught:
        await browser.write(theme="dark")
    assert caught.value.__cause__ is fault
    assert browser.cookies == cookies
    assert any(record.exc_info and record.exc_info[1] is fault for record in caplog.records)
    ledger.answers.clear()
    assert not (await browser.visit()).is_new


@pytest.mark.parametrize("name", ["generate", "persist", "verify"])
async def test_an_outage_that_a_callback_reports_itself_is_passed_on(
    browser: Browser, ledger: Ledger, name: str
) -> None:
    await browser.log_in()
    ledger.answers[name] = outage = StorageUnavailable("redis is away")
    with pytest.raises(StorageUnavailable) as caught:
        await browser.write(theme="dark")
    assert caught.value is outage


async def test_verify_may_refuse_with_a_token_error_of_its_own(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in()
    ledger.answers["verify"] = refusal = TokenRevoked("the user was blocked")
    assert (await browser.visit()).rejected is refusal


async def test_a_cancelled_callback_cancels_the_request(clock: FakeClock) -> None:
    entered = asyncio.Event()

    async def hang(event: JtiEvent) -> None:
        entered.set()
        await asyncio.Event().wait()

    browser = Browser(make_manager(None, clock, jti={"persist": hang}))
    task = asyncio.create_task(browser.log_in())
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not browser.cookies


async def test_nothing_is_persisted_for_a_token_that_does_not_fit_its_cookie(browser: Browser, ledger: Ledger) -> None:
    await browser.log_in()
    ledger.calls.clear()
    with pytest.raises(SessionTooLarge) as caught:
        await browser.write(novel="x" * 5000)
    assert caught.value.key == "novel"
    assert ledger.events("persist") == []


async def test_nothing_is_persisted_where_only_both_cookies_together_are_too_large(
    browser: Browser, ledger: Ledger
) -> None:
    with pytest.raises(SessionTooLarge, match="together"):
        await browser.write(novel="x" * 2300)
    assert ledger.events("persist") == []


@pytest.mark.parametrize("jti", [None, "", 7, {"$gt": ""}, ["id"], "x" * 513, True], ids=ascii)
async def test_a_covered_token_without_a_usable_id_is_refused_before_verify(
    browser: Browser, ledger: Ledger, jti: Any, clock: FakeClock
) -> None:
    payload = {"sid": "s", "iat": int(clock()), "exp": int(clock()) + 60, "token_use": "access", "jti": jti}
    session = await browser.manager.load({ACCESS: signed(payload)})
    assert type(session.rejected) is TokenClaimError
    assert ledger.calls == []


@pytest.mark.parametrize("jti", [None, ""])
async def test_during_a_migration_a_token_without_an_id_passes_unverified(
    build: Callable[..., SessionManager], ledger: Ledger, jti: Any, clock: FakeClock
) -> None:
    manager = build({"require": False})
    payload = {"sid": "s", "iat": int(clock()), "exp": int(clock()) + 60, "token_use": "access", "jti": jti}
    browser = Browser(manager, {ACCESS: signed(payload)})
    session = await browser.visit()
    assert not session.is_new
    assert ledger.calls == []
    await browser.write(theme="dark")
    assert browser.access["jti"] == "id-1"
    ledger.known.clear()
    assert type((await browser.visit()).rejected) is TokenRevoked


# --- beside a storage --------------------------------------------------------------------------------------------


async def test_beside_a_storage_generate_makes_its_ids(ledger: Ledger, clock: FakeClock) -> None:
    storage = MemoryStorage(clock=clock)
    browser = Browser(make_manager(storage, clock, jti={"generate": ledger.generate}))
    await browser.log_in()
    record = await storage.get(browser.sid)
    assert record is not None
    assert (record.access_jti, record.refresh_jti) == ("id-1", "id-2")
    assert (browser.access["jti"], browser.refreshing["jti"]) == ("id-1", "id-2")
    await browser.write(theme="dark")
    await browser.refresh()
    assert ledger.names() == [("generate", "access"), ("generate", "refresh"), ("generate", "refresh")]
    assert ledger.calls[-1][1].payload["token_use"] == "refresh"


@pytest.mark.parametrize("name", ["persist", "verify"])
async def test_beside_a_storage_the_other_callbacks_are_a_configuration_error(
    ledger: Ledger, clock: FakeClock, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"jti\.persist and jti\.verify"):
        make_manager(MemoryStorage(clock=clock), clock, jti={name: getattr(ledger, name)})


async def test_a_callback_that_cannot_be_called_is_a_configuration_error(clock: FakeClock) -> None:
    with pytest.raises(ConfigError, match=r"jti\.verify must be callable"):
        make_manager(None, clock, jti={"verify": "app.verify"})


async def test_any_callable_will_do_a_partial_a_method_an_object_or_one_that_returns_a_future(clock: FakeClock) -> None:
    class Verifier:
        def __call__(self, event: JtiEvent) -> "asyncio.Future[bool]":
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            future.set_result(True)
            return future

    browser = Browser(make_manager(None, clock, jti={"verify": Verifier()}))
    await browser.log_in()
    assert not (await browser.refresh()).is_new


async def test_an_expired_access_token_beside_a_denied_refresh_token_is_revoked(
    browser: Browser, ledger: Ledger, clock: FakeClock
) -> None:
    await browser.log_in()
    ledger.known.clear()
    clock.advance(ACCESS_LIFETIME)
    session = await browser.visit()
    assert type(session.rejected) is TokenRevoked
    assert not isinstance(session.rejected, TokenExpired)


async def test_a_new_session_of_a_handler_that_stores_nothing_calls_nothing(browser: Browser, ledger: Ledger) -> None:
    await browser.visit(Session.renew)
    assert ledger.calls == []
