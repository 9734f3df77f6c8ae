"""Flash messages: kept through redirects, gone once shown, bounded; in handlers and in templates of aiohttp-jinja2."""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp_jinja2
import jinja2
import pytest
from aiohttp import web
from markupsafe import Markup
from support.storages import FaultyStorage
from support.visitor import Visitor, install, start
from support.webapp import log_in, log_out, plain

from aiohttp_lionrock import (
    ConfigError,
    MemoryStorage,
    SessionDataError,
    SessionSealed,
    flash,
    flashes,
    get_session,
    new_session,
    setup_jinja2,
)

# aiohttp-jinja2 1.6 keeps its context under a key of text, which aiohttp 3.14 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:It is recommended to use web.RequestKey")

TEMPLATES = {
    "page": "{% for one in flashes %}[{{ one.category }}: {{ one.text }}]{% endfor %}",
    "twice": "{% if flashes %}{{ flashes | length }}{% endif %}{% include 'page' %}{% include 'page' %}",
    "user": "{{ session.sub }}, {{ session.get('visits', 0) }}",
    "silent": "nothing is shown",
}


async def post(request: web.Request) -> web.Response:
    await flash(request, **{"text": "Saved.", **request.query})
    raise web.HTTPSeeOther("/forward")


async def forward(request: web.Request) -> web.Response:
    raise web.HTTPFound("/shown")


async def shown(request: web.Request) -> web.Response:
    return web.json_response(await flashes(request))


async def both(request: web.Request) -> web.Response:
    await flash(request, "at once")
    return await shown(request)


async def left(request: web.Request) -> web.Response:
    await new_session(request)
    await flash(request, "You are logged out.")
    return web.Response()


async def entered(request: web.Request) -> web.Response:
    await flash(request, "Welcome.")
    return await log_in(request)


async def raw(request: web.Request) -> web.Response:
    return web.json_response(dict(await get_session(request)))


async def rendered(request: web.Request) -> web.Response:
    return aiohttp_jinja2.render_template(request.match_info["name"], request, {})


def make_app(storage: Any = "memory://") -> web.Application:
    app = web.Application()
    install(app, storage=storage, storage_timeout=0.05)
    for handler in (post, forward, shown, both, left, entered, raw, log_in, log_out, plain):
        app.router.add_route("*", f"/{handler.__name__}", handler)
    app.router.add_get("/rendered/{name}", rendered)
    app.router.add_static("/static", Path(__file__).parent)
    setup_jinja2(app, loader=jinja2.DictLoader(TEMPLATES))
    return app


@pytest.fixture
async def visitor(aiohttp_client: Any) -> Visitor:
    return await start(aiohttp_client, make_app())


async def follow(visitor: Visitor, path: str) -> str:
    answer = await visitor.get(path)
    while answer.status in (302, 303):
        answer = await visitor.get(answer.headers["Location"])
    assert answer.status == 200, answer.text
    return answer.text


async def test_a_message_is_kept_through_redirects_and_gone_once_shown(visitor):
    assert await follow(visitor, "/post") == '[["Saved.", "message"]]'
    assert await follow(visitor, "/shown") == "[]"
    assert await follow(visitor, "/raw") == "{}"


async def test_messages_come_in_their_order_with_their_categories(visitor):
    await visitor.get("/post?text=one&category=error")
    await visitor.get("/post?text=two")
    assert await follow(visitor, "/shown") == '[["one", "error"], ["two", "message"]]'


async def test_the_request_that_keeps_a_message_can_show_it(visitor):
    assert await follow(visitor, "/both") == '[["at once", "message"]]'
    assert await follow(visitor, "/shown") == "[]"


async def test_two_tabs_show_every_message_once(visitor):
    await visitor.get("/post?text=one")
    await visitor.get("/post?text=two")  # neither tab has followed its redirect yet
    assert await follow(visitor, "/shown") == '[["one", "message"], ["two", "message"]]'
    assert await follow(visitor, "/shown") == "[]"


@pytest.mark.parametrize("path", ["/shown", "/rendered/page", "/rendered/twice"])
async def test_a_head_request_leaves_the_messages_for_the_page_that_is_seen(visitor, path):
    await visitor.get("/post")
    unseen = [await visitor.get(path, method="HEAD") for _ in range(2)]
    seen = await visitor.get(path)
    assert "Saved." in seen.text
    assert [answer.headers["Content-Length"] for answer in unseen] == [str(len(seen.text))] * 2
    assert [answer.set_cookies for answer in unseen] == [{}, {}]
    assert await follow(visitor, "/raw") == "{}"


async def test_a_message_after_a_logout_and_one_before_a_login_are_shown(visitor):
    await visitor.get("/log_in")
    await visitor.get("/left")
    assert await follow(visitor, "/shown") == '[["You are logged out.", "message"]]'
    await visitor.get("/entered")
    assert await follow(visitor, "/shown") == '[["Welcome.", "message"]]'
    assert "ann" in await follow(visitor, "/raw")


async def test_a_message_of_one_user_is_not_shown_to_the_next(visitor):
    await visitor.get("/log_in")
    await visitor.get("/post?text=for+ann")
    await visitor.get("/log_out")
    assert await follow(visitor, "/shown") == "[]"


async def test_too_many_messages_cost_the_oldest_and_never_the_response(visitor):
    for number in range(200):
        await visitor.get(f"/post?text={number}%20{'ü' * 30}")
    shown = await follow(visitor, "/shown")
    assert 10 < shown.count("message") < 20
    assert shown.count('"199 ') == 1


async def test_a_message_that_is_too_long_is_shortened_between_two_characters(visitor):
    for length in (400, 401, 402, 403):
        [[text, _]] = await _json(visitor, f"/post?text={'a' * (length % 4)}{'€' * length}&category={'c' * 500}")
        assert text.endswith("€…")
        assert len(text.encode()) <= 1024
    await visitor.get("/post?text=short")
    [[first, _], [text, _]] = await _json(visitor, f"/post?text={'x' * 5000}")
    assert (first, text) == ("short", "x" * 949 + "…")


@pytest.mark.parametrize("character", ["\n", "\x01", '"', "€", "🦁"])
async def test_a_message_is_measured_as_it_travels(visitor, character):
    answer = await visitor.get(f"/post?text={quote(character * 600)}")
    assert answer.status == 303
    [[text, _]] = await _json(visitor, "/shown")
    assert text == character * (len(text) - 1) + "…"
    assert 940 < len(json.dumps(text, ensure_ascii=False).encode()) < 960


async def _json(visitor: Visitor, path: str) -> Any:
    return json.loads(await follow(visitor, path))


async def call(aiohttp_client: Any, handler: Any) -> list[Any]:
    """What the handler appends to the list that it is given."""
    seen: list[Any] = []

    async def wrapped(request: web.Request) -> web.StreamResponse:
        await handler(request, seen)
        return web.Response()

    app = make_app()
    app.router.add_get("/call", wrapped)
    assert (await (await start(aiohttp_client, app)).get("/call")).status == 200
    return seen


@pytest.mark.parametrize("text", [5, None, ["a"], b"bytes", "\ud800"])
async def test_what_is_not_text_is_refused_where_it_is_kept(aiohttp_client, text):
    async def handler(request: web.Request, seen: list[Any]) -> None:
        with pytest.raises(SessionDataError) as caught:
            await flash(request, text)
        with pytest.raises(SessionDataError):
            await flash(request, "text", category=text)
        seen += [caught.value.key, await flashes(request)]

    assert await call(aiohttp_client, handler) == ["_flashes", []]


async def test_a_category_that_is_no_text_is_said_to_be_one(aiohttp_client):
    async def handler(request: web.Request, seen: list[Any]) -> None:
        with pytest.raises(SessionDataError, match="a category is text, not int"):
            await flash(request, "text", 3)
        seen.append("asked")

    assert await call(aiohttp_client, handler) == ["asked"]


async def test_markup_is_kept_as_plain_text(aiohttp_client):
    async def handler(request: web.Request, seen: list[Any]) -> None:
        await flash(request, Markup("<b>bold</b>"))
        seen += await flashes(request)

    [(text, _)] = await call(aiohttp_client, handler)
    assert (type(text), text) == (str, "<b>bold</b>")


async def test_what_else_stands_under_the_name_harms_nothing(aiohttp_client):
    async def handler(request: web.Request, seen: list[Any]) -> None:
        session = await get_session(request)
        for strange in ("text", 5, {"a": 1}, [1, ["a"], ["a", 1], None]):
            session["_flashes"] = strange
            seen.append(await flashes(request))
        await flash(request, "good")
        seen += await flashes(request)

    assert await call(aiohttp_client, handler) == [[], [], [], [], ("good", "message")]


async def test_a_message_that_comes_too_late_raises(aiohttp_client):
    async def late(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with pytest.raises(SessionSealed):
            await flash(request, "late")
        seen.append(True)
        return response

    seen: list[bool] = []
    app = make_app()
    app.router.add_get("/late", late)
    await (await start(aiohttp_client, app)).get("/late")
    assert seen == [True]


# --- templates ---------------------------------------------------------------------------------------------------


async def test_a_template_shows_each_message_once_and_escapes_it(visitor):
    await visitor.get("/post?text=%3Cb%3E&category=error")
    assert await follow(visitor, "/rendered/page") == "[error: &lt;b&gt;]"
    assert await follow(visitor, "/rendered/page") == ""


async def test_a_template_that_shows_no_messages_keeps_them(visitor):
    await visitor.get("/post")
    answer = await visitor.get("/rendered/silent")
    assert answer.set_cookies == {}
    assert await follow(visitor, "/rendered/page") == "[message: Saved.]"


async def test_a_template_may_count_messages_and_loop_twice(visitor):
    await visitor.get("/post")
    assert await follow(visitor, "/rendered/twice") == "1[message: Saved.][message: Saved.]"
    assert await follow(visitor, "/rendered/twice") == ""


async def test_a_template_sees_the_session_as_the_handler_left_it(aiohttp_client):
    async def page(request: web.Request) -> web.Response:
        await log_in(request)
        (await get_session(request))["visits"] = 3
        return aiohttp_jinja2.render_template("user", request, {})

    app = make_app()
    app.router.add_get("/page", page)
    assert await follow(await start(aiohttp_client, app), "/page") == "ann, 3"


async def test_a_static_file_does_not_ask_for_the_session(visitor):
    await visitor.get("/log_in")
    answer = await visitor.get("/static/test_flash.py")
    assert (answer.status, "Vary" in answer.headers, "Cache-Control" in answer.headers) == (200, False, False)


async def test_while_the_storage_is_away_only_templates_that_need_the_session_get_503(aiohttp_client):
    storage = FaultyStorage(MemoryStorage())
    visitor = await start(aiohttp_client, make_app(storage))
    await visitor.get("/log_in")
    with storage.away():
        assert await follow(visitor, "/rendered/silent") == "nothing is shown"
        assert await follow(visitor, "/plain") == "plain"
        for name in ("user", "page", "twice"):
            answer = await visitor.get(f"/rendered/{name}")
            assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    assert await follow(visitor, "/rendered/user") == "ann, 0"


def test_without_the_package_the_pip_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp_jinja2", None)
    with pytest.raises(ConfigError, match=r"pip install 'aiohttp-jinja2>=[0-9.]+'"):
        setup_jinja2(web.Application())


async def test_other_context_processors_and_options_go_along(aiohttp_client):
    async def colour(request: web.Request) -> dict[str, str]:
        return {"colour": "green"}

    app = make_app()
    sub = web.Application()
    loader = jinja2.DictLoader({"page": "<<colour>> <<flashes | length>> <<app is defined>>"})
    setup_jinja2(sub, loader=loader, context_processors=[colour], variable_start_string="<<", variable_end_string=">>")
    sub.router.add_get("/{name}", rendered)
    app.add_subapp("/sub", sub)
    assert await follow(await start(aiohttp_client, app), "/sub/page") == "green 0 True"
