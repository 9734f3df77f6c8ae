"""Cookies: read raw and in order, tried by the rule of the wire contract, written and deleted to the letter."""

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from aiohttp_lionrock import (
    CookieChange,
    JtiRecord,
    MemoryStorage,
    Session,
    SessionConfig,
    SessionManager,
    SessionTooLarge,
    TokenError,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    TokenRevoked,
    get_session,
    setup,
)
from aiohttp_lionrock.settings.cookies import read_cookies

NOW = 1_800_000_000
SECRET = "correct horse battery staple, and then some"
NAME = "lionrock-session"
REFRESH = "lionrock-session-refresh"
DELETED = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user: str = "ada", secret: str = SECRET, **changes: Any) -> str:
    body = {"id": None, "sid": "sid-1", "creator": "x", "user": user, "iat": NOW, "nbf": NOW, "exp": NOW + 7200}
    parts = ({"alg": "HS256", "typ": "JWT"}, body | changes)
    signing_input = ".".join(b64(json.dumps(part).encode()) for part in parts)
    return f"{signing_input}.{b64(hmac.digest(secret.encode(), signing_input.encode(), 'sha256'))}"


GOOD = token()
FORGED = [token(f"eve-{n}", secret="x" * 40) for n in range(40)]
EXPIRED = token("old", exp=NOW - 1000)


class Counter(MemoryStorage):
    """A storage that counts how often it is asked for the record of a session."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW)
        self.asked: list[str] = []

    async def get(self, sid: str) -> JtiRecord | None:
        self.asked += [sid] if sid.startswith("sid-") else []
        return await super().get(sid)


def manager_with(**changes: Any) -> SessionManager:
    return SessionManager(SessionConfig(**({"secret": SECRET} | changes)), clock=lambda: NOW, environ={})


async def load(values: str | Sequence[str], manager: SessionManager | None = None, name: str = NAME) -> Session:
    return await (manager or manager_with()).load({name: values})


# ---- Reading headers


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("s=1", ["1"]),
        ("s=1; s=2", ["1", "2"]),
        ("s=1;s=2", ["1", "2"]),
        ("s=1 ;\ts=2\t", ["1", "2"]),
        (" s = 1 ", ["1"]),
        ("a=b; s=1; c=d", ["1"]),
        ("s=a=b==", ["a=b=="]),
        ('s="1"', ['"1"']),
        ('s="1', ['"1']),
        ('s="a;s=b"', ['"a', 'b"']),
        ("s=%31", ["%31"]),
        ('s="\\061"', ['"\\061"']),
        ("s=1,s=2", ["1,s=2"]),
        ("$Version=1; s=1; $Path=/", ["1"]),
        ("s=\udcff\udcfe", ["\udcff\udcfe"]),
        ("s=1\x00", ["1\x00"]),
        ("s=\x0b1\x0c", ["\x0b1\x0c"]),
        ("s=\u00a01", ["\u00a01"]),
        (";;s=1;;", ["1"]),
        ("s=1; =s=2; =; s=3", ["1", "3"]),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_values_are_read_raw_and_in_the_order_sent(header: str, values: list[str]) -> None:
    assert read_cookies([header], frozenset({"s"}))["s"] == values


@pytest.mark.parametrize(
    "header",
    [
        "",
        ";",
        "=",
        "S=1",
        "ss=1",
        "xs=1",
        "s-=1",
        "s x=1",
        "$s=1",
        '"s"=1',
        "%73=1",
        "\x0bs=1",
        "\u00a0s=1",
        "=s=1",
        "s\x00=1",
        "a=s=1",
    ],
    ids=ascii,
)
def test_a_name_that_is_not_exactly_the_same_is_another_cookie(header: str) -> None:
    found = read_cookies([header], frozenset({"s"}))
    assert set(found) <= {"s"}
    assert not any(found.get("s", []))


def test_an_empty_or_missing_value_is_no_token() -> None:
    for header in ("s", "s=", "s=;", "s; a=1", "s= "):
        assert not any(read_cookies([header], frozenset({"s"})).get("s", []))


def test_all_headers_are_read_in_their_order() -> None:
    headers = ["a=1; s=1; b=2", "s=2; r=x; s=3", "r=y"]
    assert read_cookies(headers, frozenset({"s", "r"})) == {"s": ["1", "2", "3"], "r": ["x", "y"]}
    assert read_cookies([], frozenset({"s"})) == {}


@settings(derandomize=True, database=None, deadline=None, max_examples=150)
@given(st.lists(st.text(st.characters(), max_size=60) | st.text(st.sampled_from('s=;" \t$,'), max_size=30), max_size=3))
async def test_any_header_is_read_without_an_error(headers: list[str]) -> None:
    cookies = read_cookies(headers, frozenset({"s"}))
    assert set(cookies) <= {"s"}
    session = await manager_with(name="s").load(cookies)
    assert session.is_new


# ---- Several cookies of one name


ORDERS = {
    "alone": ([GOOD], True),
    "first of twenty": ([GOOD, *FORGED[:19]], True),
    "last of twenty": ([*FORGED[:19], GOOD], True),
    "third from the end": ([*FORGED[:17], GOOD, *FORGED[17:19]], True),
    "fourth from the end": ([*FORGED[:16], GOOD, *FORGED[16:19]], False),
    "second of twenty": ([FORGED[0], GOOD, *FORGED[1:19]], False),
    "in the middle of twenty": ([*FORGED[:10], GOOD, *FORGED[10:19]], False),
    "second of four": ([FORGED[0], GOOD, *FORGED[1:3]], True),
    "second of five": ([FORGED[0], GOOD, *FORGED[1:4]], False),
    "last after one bad one sent many times": ([FORGED[0], GOOD, *FORGED[:1] * 18], True),
    "behind empty ones": (["", "", GOOD, "", ""], True),
    "not there": (FORGED[:20], False),
}


@pytest.mark.parametrize("order", ORDERS)
async def test_the_first_is_tried_then_the_others_from_the_last_and_four_at_most(order: str) -> None:
    values, found = ORDERS[order]
    session = await load(values)
    assert (session.rejected is None) == found
    assert dict(session) == ({"user": "ada"} if found else {})


async def test_the_first_good_one_in_that_order_wins() -> None:
    one, two, three = token("one"), token("two"), token("three")
    assert (await load([one, two, three]))["user"] == "one"
    assert (await load([FORGED[0], one, two, three]))["user"] == "three"
    assert (await load([FORGED[0], one, FORGED[1]]))["user"] == "one"
    assert (await load([EXPIRED, one, FORGED[1]]))["user"] == "one"


async def test_no_more_than_four_are_judged() -> None:
    storage = Counter()
    manager = manager_with(storage=storage)
    values = [token(f"user-{n}", sid=f"sid-{n}", jti="jti") for n in range(20)]
    session = await load(values, manager)
    assert isinstance(session.rejected, TokenRevoked)
    assert storage.asked == ["sid-0", "sid-19", "sid-18", "sid-17"]


async def test_forged_duplicates_do_not_reach_the_storage() -> None:
    storage = Counter()
    await storage.insert(JtiRecord("sid-1", 1, NOW + 7200, NOW, access_jti="jti"))
    session = await load([*FORGED[:3], token(jti="jti")], manager_with(storage=storage))
    assert session.rejected is None
    assert storage.asked == ["sid-1"]


async def test_the_same_value_sent_again_is_judged_once() -> None:
    storage = Counter()
    value = token(jti="jti")
    assert (await load([value] * 20, manager_with(storage=storage))).rejected is not None
    assert storage.asked == ["sid-1"]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([EXPIRED, FORGED[0]], TokenExpired),
        ([FORGED[0], EXPIRED], TokenExpired),
        ([FORGED[0], "junk"], TokenForged),
        (["", FORGED[0]], TokenForged),
    ],
)
async def test_the_gravest_fault_of_several_is_told(values: list[str], fault: type[Exception]) -> None:
    session = await load(values)
    assert type(session.rejected) is fault


async def test_several_refresh_cookies_are_tried_in_the_same_order() -> None:
    manager = manager_with(refresh_token=True)
    good = token(token_use="refresh")
    for values, found in (([*FORGED[:3], good], True), ([FORGED[0], good, *FORGED[1:4]], False), ([good], True)):
        session = await load(values, manager, REFRESH)
        assert (session.rejected is None) == found


@pytest.mark.parametrize("values", [(GOOD,), [GOOD], GOOD, (*FORGED[:2], GOOD)], ids=lambda value: type(value).__name__)
async def test_values_may_come_as_text_or_as_any_sequence(values: Any) -> None:
    assert (await load(values)).rejected is None


@pytest.mark.parametrize("values", ["", [], (), [""], ["", ""]], ids=repr)
async def test_no_value_at_all_is_no_session_and_no_fault(values: Any) -> None:
    manager = manager_with(refresh_token=True)
    for name in (NAME, REFRESH):
        session = await load(values, manager, name)
        assert (session.is_new, session.rejected) == (True, None)
        assert await manager.save(session) == []


@pytest.mark.parametrize("written", ['"{}"', "'{}'", "%22{}%22", '\\"{}\\"', '"{}', '{}"', "{}%20", "b'{}'"])
async def test_a_quoted_value_is_not_unquoted(written: str) -> None:
    session = await load(written.format(GOOD))
    assert session.rejected is not None


@pytest.mark.parametrize(
    "name", ["Lionrock-Session", "LIONROCK-SESSION", "lionrock-session ", "lionrock_session", "$lionrock-session"]
)
async def test_a_cookie_of_nearly_the_name_is_not_read(name: str) -> None:
    session = await load(GOOD, None, name)
    assert (session.is_new, session.rejected) == (True, None)


# ---- Set-Cookie


UNTIL = "Max-Age=60; Expires=Fri, 15 Jan 2027 08:01:00 GMT"
ATTRIBUTES: list[tuple[dict[str, Any], str]] = [
    ({}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
    ({"cookie_max_age": 60.9}, "Path=/; Secure; HttpOnly; SameSite=Lax; " + UNTIL),
    ({"cookie": {"max_age": 60}}, "Path=/; Secure; HttpOnly; SameSite=Lax; " + UNTIL),
    ({"cookie": {"same_site": "Strict"}}, "Path=/; Secure; HttpOnly; SameSite=Strict"),
    ({"cookie": {"same_site": "None"}}, "Path=/; Secure; HttpOnly; SameSite=None"),
    ({"cookie": {"secure": False}}, "Path=/; HttpOnly; SameSite=Lax"),
    ({"cookie": {"http_only": False}}, "Path=/; Secure; SameSite=Lax"),
    ({"cookie": {"path": "/app, ~v1"}}, "Path=/app, ~v1; Secure; HttpOnly; SameSite=Lax"),
    ({"cookie": {"domain": "example.org"}}, "Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax"),
    ({"cookie": {"partitioned": True}}, "Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned"),
    ({"name": "__Host-s"}, "Path=/; Secure; HttpOnly; SameSite=Lax"),
]


def attributes(header: str) -> list[str]:
    return sorted(header.split("; ")[1:])


@pytest.mark.parametrize(("config", "expected"), ATTRIBUTES, ids=str)
async def test_a_cookie_is_set_with_the_attributes_of_the_settings(config: dict[str, Any], expected: str) -> None:
    manager = manager_with(**config)
    session = await manager.load({})
    session["user"] = "ada"
    [change] = await manager.save(session)
    name = config.get("name", NAME)
    assert change.header(NOW).startswith(f"{name}={change.value}; ")
    assert attributes(change.header(NOW)) == attributes(f"x; {expected}")


@pytest.mark.parametrize("how", ["logged out", "logged out when refused", "nothing left"])
@pytest.mark.parametrize(("config", "expected"), ATTRIBUTES, ids=str)
async def test_a_deletion_repeats_every_attribute_but_the_age(config: dict[str, Any], expected: str, how: str) -> None:
    manager = manager_with(**config, storage=MemoryStorage(clock=lambda: NOW))
    name = config.get("name", NAME)
    session = await manager.load({name: FORGED[0]} if how == "logged out when refused" else {})
    if how != "logged out when refused":
        session["sub"] = "ada"
        await manager.save(session)
    if how == "nothing left":
        session.clear()
    else:
        session.invalidate()
    change = (await manager.save(session))[0]
    assert change.value is None
    kept = [attribute for attribute in attributes(f"x; {expected}") if not attribute.startswith(("Max-Age", "Expires"))]
    assert change.header().startswith(f"{name}=; ")
    assert attributes(change.header()) == sorted([*kept, *DELETED.split("; ")])


async def test_a_session_that_was_revoked_meanwhile_deletes_no_cookie() -> None:
    manager = manager_with(storage=MemoryStorage(clock=lambda: NOW))
    session = await manager.load({})
    session["user"] = "ada"
    await manager.save(session)
    await manager.revoke(session.sid)
    session["user"] = "eve"
    assert await manager.save(session) == []
    assert type(session.rejected) is TokenRevoked


async def test_both_cookies_are_deleted_with_the_attributes_of_each() -> None:
    manager = manager_with(
        cookie={"path": "/app"}, refresh_token={"cookie_options": {"path": "/app/refresh", "http_only": False}}
    )
    session = await manager.load({})
    session.invalidate()
    access, refresh = [change.header() for change in await manager.save(session)]
    assert access == f"{NAME}=; Path=/app; {DELETED}; Secure; HttpOnly; SameSite=Lax"
    assert refresh == f"{REFRESH}=; Path=/app/refresh; {DELETED}; Secure; SameSite=Lax"


@pytest.mark.parametrize(
    ("cookies", "reason"),
    [
        ({NAME: FORGED[0]}, TokenForged),
        ({REFRESH: FORGED[0]}, TokenForged),
        ({NAME: EXPIRED, REFRESH: FORGED[0]}, TokenForged),
        ({NAME: EXPIRED, REFRESH: EXPIRED}, TokenExpired),
        ({NAME: "", REFRESH: "junk"}, TokenMalformed),
        ({NAME: FORGED[0], REFRESH: token(token_use="refresh")}, TokenForged),
        ({NAME: [FORGED[0], FORGED[1]]}, TokenForged),
    ],
    ids=[
        "access",
        "refresh",
        "refresh behind an expired access",
        "both expired",
        "refresh behind an empty access",
        "access beside a good refresh",
        "access twice",
    ],
)
async def test_cookies_that_were_refused_are_left_alone_until_the_application_ends_the_session(
    cookies: dict[str, Any], reason: type[TokenError]
) -> None:
    manager = manager_with(refresh_token=True)
    session = await manager.load(cookies)
    assert await manager.save(session) == []
    assert session.is_new
    assert type(session.rejected) is reason
    session.invalidate()
    changes = await manager.save(session)
    assert [(change.name, change.value) for change in changes] == [(NAME, None), (REFRESH, None)]


async def test_a_deletion_is_not_sent_beside_a_new_cookie() -> None:
    manager = manager_with(refresh_token=True)
    session = await manager.load({NAME: FORGED[0], REFRESH: FORGED[1]})
    session["user"] = "ada"
    changes = await manager.save(session)
    assert [(change.name, change.value is None) for change in changes] == [(NAME, False), (REFRESH, False)]


def test_the_options_of_a_cookie_are_read_as_attributes_or_as_a_mapping() -> None:
    options = SessionConfig(cookie={"domain": "example.org"}, cookie_max_age=5).access.cookie
    names = ["max_age", "path", "domain", "secure", "http_only", "same_site", "partitioned"]
    assert list(options) == names
    assert len(options) == 7
    assert {name: getattr(options, name) for name in names} == dict(options)
    assert (options["domain"], options["max_age"]) == ("example.org", 5)
    for unknown in ("attributes", "_asdict", "httponly", "__class__"):
        assert unknown not in options
        with pytest.raises(KeyError):
            options[unknown]


# ---- Sizes


def data_of_size(size: int) -> dict[str, Any]:
    return {"cart": "x" * size, "note": "y" * 200, "tiny": 1}


async def written(data: dict[str, Any], **config: Any) -> list[CookieChange]:
    manager = manager_with(**config)
    session = await manager.load({})
    session.update(data)
    return await manager.save(session)


async def test_name_and_value_of_a_cookie_are_4096_bytes_at_most() -> None:
    [change] = await written(data_of_size(2500), name="s")
    assert change.value is not None
    longest = "s" * (4096 - len(change.value))
    [change] = await written(data_of_size(2500), name=longest)
    assert len(change.name) + len(str(change.value)) == 4096
    with pytest.raises(SessionTooLarge, match="4097 bytes"):
        await written(data_of_size(2500), name=longest + "s")


async def test_a_token_is_as_long_as_the_setting_allows_and_no_longer() -> None:
    [change] = await written(data_of_size(500))
    length = len(str(change.value))
    [change] = await written(data_of_size(500), max_token_length=length)
    with pytest.raises(SessionTooLarge, match=f"{length} characters, more than {length - 1}"):
        await written(data_of_size(500), max_token_length=length - 1)


@pytest.mark.parametrize(("limit", "most", "size"), [({}, 6000, 1700), ({"max_cookies_length": 8000}, 8000, 2400)])
async def test_access_and_refresh_together_are_6000_bytes_or_the_setting_at_most(
    limit: dict[str, int], most: int, size: int
) -> None:
    changes = await written(data_of_size(size), name="s", refresh_token={"name": "r"}, **limit)
    spare = most - sum(len(change.name) + len(str(change.value)) + 1 for change in changes)
    names = {"name": "s" * (1 + spare // 2), "refresh_token": {"name": "r" * (1 + spare - spare // 2)}}
    assert 0 < spare < 700
    changes = await written(data_of_size(size), **names, **limit)
    assert len("; ".join(f"{change.name}={change.value}" for change in changes)) == most + 2
    names["name"] += "s"
    with pytest.raises(SessionTooLarge, match=f"{most + 1} bytes"):
        await written(data_of_size(size), **names, **limit)


async def test_the_size_of_text_is_counted_in_bytes() -> None:
    await written({"text": "x" * 1000})
    with pytest.raises(SessionTooLarge):
        await written({"text": "\U0001f981" * 1000})


async def test_the_error_names_the_largest_keys_in_their_order() -> None:
    data = {"a": "x" * 100, "biggest": "x" * 4000, "b": 1, "third": ["x" * 300], "second": {"y": "z" * 900}}
    with pytest.raises(SessionTooLarge) as caught:
        await written(data)
    assert caught.value.key == "biggest"
    text = str(caught.value)
    assert -1 < text.index("biggest") < text.index("second") < text.index("third")
    assert "xxx" not in text


async def test_a_key_that_is_large_itself_is_the_one_named() -> None:
    with pytest.raises(SessionTooLarge) as caught:
        await written({"k" * 4000: 1, "small": "12345"})
    assert caught.value.key is not None
    assert set(caught.value.key) == {"k"}


async def test_a_session_too_large_is_written_nowhere() -> None:
    storage = Counter()
    with pytest.raises(SessionTooLarge):
        await written(data_of_size(5000), storage=storage, refresh_token=True)
    storage.clock = lambda: NOW * 2
    assert await storage.purge(10) == 0


async def test_what_is_written_is_never_too_long_to_be_read() -> None:
    manager = manager_with(refresh_token=True, issuer="me", audience=["app"], storage=MemoryStorage(clock=lambda: NOW))
    size = 1400
    while True:
        session = await manager.load({})
        session["cart"] = "x" * size
        try:
            changes = await manager.save(session)
        except SessionTooLarge:
            break
        for change in changes:
            assert (await manager.load({change.name: str(change.value)})).rejected is None
        size += 7
    assert size > 1500


# ---- Over the wire


@pytest.fixture
async def port(aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """A server that answers with the user of the session and whether a cookie was refused."""
    monkeypatch.delenv("SESSION_SECRET", raising=False)

    async def handler(request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.json_response([session.get("user"), session.rejected is not None])

    app = web.Application()
    setup(app, secret=SECRET, clock_tolerance=10**9)
    app.router.add_get("/", handler)
    return (await aiohttp_server(app)).port


async def ask(port: int, *cookies: bytes) -> tuple[int, list[bytes], Any]:
    """Status, Set-Cookie headers and body of a request with these Cookie headers, as raw as they are."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [b"GET / HTTP/1.1", b"Host: localhost", b"Connection: close", *(b"Cookie: " + value for value in cookies)]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    await writer.drain()
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *headers = head.split(b"\r\n")
    set_cookies = [line.partition(b": ")[2] for line in headers if line.lower().startswith(b"set-cookie:")]
    return int(status.split()[1]), set_cookies, json.loads(body) if status.endswith(b"200 OK") else None


def pair(value: str, name: str = NAME) -> bytes:
    return f"{name}={value}".encode()


WIRE: dict[str, tuple[list[bytes], bool]] = {
    "one cookie": ([pair(GOOD)], True),
    "two headers, the second good": ([pair(FORGED[0]), pair(GOOD)], True),
    "two headers, the first good": ([pair(GOOD), pair(FORGED[0])], True),
    "among others": ([b"a=1; " + pair(GOOD) + b"; b=2"], True),
    "after a broken neighbour": ([b'x="a; ' + pair(GOOD)], True),
    "after 8-bit neighbours": ([b"x=\xff\xfe\x80; " + pair(GOOD)], True),
    "after old-style attributes": ([b'$Version="1"; ' + pair(GOOD) + b'; $Path="/"'], True),
    "after a neighbour with brackets": ([b"a[b]=c; {x}=y; " + pair(GOOD)], True),
    "behind 800 others": ([b"; ".join(b"c%d=1" % n for n in range(800)), pair(GOOD)], True),
    "in quotes": ([b'%b="%b"' % (NAME.encode(), GOOD.encode())], False),
    "8-bit bytes": ([NAME.encode() + b"=\xff\xfe\x80"], False),
    "8-bit bytes in three parts": ([NAME.encode() + b"=\xff.\xff.\xff"], False),
    "UTF-8 text": ([NAME.encode() + "=Zo\u00eb.\U0001f981.x".encode()], False),
    "a good token and an 8-bit byte": ([pair(GOOD) + b"\xff"], False),
    "escaped octal": ([NAME.encode() + b'="\\145' + GOOD[1:].encode() + b'"'], False),
    "JSON": ([NAME.encode() + b'={"user":"ada"}'], False),
}


@pytest.mark.parametrize("case", WIRE)
async def test_raw_cookie_headers_give_the_session_or_a_refusal_and_never_an_error(case: str, port: int) -> None:
    cookies, good = WIRE[case]
    status, set_cookies, body = await ask(port, *cookies)
    assert status == 200
    assert body == (["ada", False] if good else [None, True])
    assert set_cookies == []


async def test_a_cookie_of_another_case_is_not_ours(port: int) -> None:
    assert await ask(port, pair(GOOD, NAME.upper())) == (200, [], [None, False])


async def test_a_cookie_of_eight_thousand_bytes_is_refused_and_left_alone(port: int) -> None:
    assert await ask(port, pair("x" * 8000)) == (200, [], [None, True])


async def test_a_header_too_long_for_the_server_harms_nobody_else(port: int) -> None:
    assert (await ask(port, pair("x" * 10_000)))[0] == 400
    with contextlib.suppress(ConnectionError):
        assert (await ask(port, pair("x" * 1_000_000)))[0] == 400
    assert (await ask(port, pair(GOOD)))[0] == 200


async def largest_data(**config: Any) -> dict[str, Any]:
    """The most that one session can hold under these settings, to the byte."""
    for size in range(4000, 0, -1):
        with contextlib.suppress(SessionTooLarge):
            await written({"cart": "x" * size}, **config)
            return {"cart": "x" * size}
    raise AssertionError("nothing fits")


@pytest.mark.parametrize("refresh", [True, False], ids=["two cookies", "one cookie"])
async def test_the_largest_session_makes_a_request_that_the_server_still_takes(
    refresh: bool, aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    data = await largest_data(refresh_token=refresh, storage=MemoryStorage(clock=lambda: NOW))

    async def handler(request: web.Request) -> web.Response:
        session = await get_session(request)
        known = not session.is_new and dict(session) == data
        session.update(data)
        return web.json_response(known)

    app = web.Application()
    setup(app, secret=SECRET, refresh_token=refresh, cookie={"secure": False}, storage="memory://")
    app.router.add_get("/", handler)
    client = await aiohttp_client(app)
    assert await (await client.get("/")).json() is False
    assert len(client.session.cookie_jar) == 1 + refresh
    assert await (await client.get("/")).json() is True
