"""The programs of the page of events do what the page says."""

import re
from collections import Counter
from typing import Any

import pytest
from aiohttp import web
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from support.pages import Serve, ask, program, rows, text

from aiohttp_lionrock import SessionConfig, SessionEvent, SessionLimitReached, SessionManager, get_manager, setup
from aiohttp_lionrock.sessions.events import Why


async def log_in(client: Any, user: str) -> None:
    await ask(client, "/login", "POST", data={"user": user})


async def test_events_reach_their_listeners_and_are_counted(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    app = program("how-to/events")["make_app"]()
    app.add_routes([web.post("/login", program("how-to/login", 0)["login"])])
    client = await serve(app)
    with caplog.at_level("INFO"):
        await log_in(client, "ann")
    [record] = await get_manager(app).sessions("ann")
    assert [entry.getMessage() for entry in caplog.records if entry.name == "root"] == [
        f"started: session {record.sid} of ann (None)"
    ]
    assert get_manager(app).stats == {"started": 1}


def points(reader: InMemoryMetricReader, name: str) -> list[tuple[dict[str, Any], int]]:
    """What a metric stands at, by its attributes."""
    data = reader.get_metrics_data()
    assert data is not None
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    [metric] = [metric for metric in scope.metrics if metric.name == name]
    return [(dict(point.attributes), point.value) for point in metric.data.data_points]


async def test_the_recipe_for_opentelemetry_counts_events_by_what_and_why(serve: Serve) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    make_app = program("how-to/events", 1)["make_app"]
    app = make_app()
    app.add_routes([web.post(f"/{name}", program("how-to/login", 0)[name]) for name in ("login", "logout")])
    client = await serve(app)
    for _ in range(2):
        await log_in(client, "ann")
    await client.post("/logout", allow_redirects=False)
    manager = get_manager(app)
    manager.events.tell(SessionEvent("refused", code="JWT_EXPIRED"))
    for name in ("renewed", "refreshed", "reused", "storage_down", "storage_up", "storage_down"):
        manager.events.tell(SessionEvent(name))
    counted = points(reader, "session.events")
    assert {"session.event": "ended", "session.detail": "logout"} in [attributes for attributes, _ in counted]
    assert {"session.event": "refused", "session.detail": "JWT_EXPIRED"} in [attributes for attributes, _ in counted]
    names = Counter[str]()
    for attributes, value in counted:
        names[attributes["session.event"]] += value
    assert names == {name: count for name, count in manager.stats.items() if "." not in name}
    assert points(reader, "session.storage.outages") == [({}, 1)]
    provider.shutdown()


async def test_a_refusal_is_noted_with_its_address_and_path(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve(program("how-to/events", 2)["make_app"](), {"lionrock-session": "garbage"})
    with caplog.at_level("INFO"):
        await client.get("/there")
    assert [entry.getMessage() for entry in caplog.records if entry.name == "root"] == [
        "JWT_MALFORMED from 127.0.0.1 at /there"
    ]


async def test_events_do_not_tell_a_login_from_others() -> None:
    config = SessionConfig(storage="memory://", max_sessions=1, when_full="refuse")
    async with SessionManager(config) as manager:

        async def visit(cookies: dict[str, str], **data: Any) -> tuple[str, dict[str, str]]:
            told.clear()
            session = await manager.load(cookies)
            session.renew()
            session.update(data)
            changes = await manager.save(session)
            return ", ".join(told), {change.name: change.value or "" for change in changes}

        told: list[str] = []
        for listeners in (value for value in vars(manager.events).values() if isinstance(value, list)):
            listeners.append(lambda event: told.append(event.name))
        assert (await visit({}, cart=1))[0] == "started"
        event, cookies = await visit({}, sub="ann")
        assert event == "started"
        assert (await visit(cookies))[0] == "renewed"
        with pytest.raises(SessionLimitReached):
            await visit({}, sub="ann")
        assert told == []
        _, cookies = await visit({}, cart=1)
        assert (await visit(cookies, sub="bob"))[0] == "renewed"


def test_every_event_is_listed() -> None:
    manager = setup(web.Application())
    lists = {name for name, value in vars(manager.events).items() if isinstance(value, list)}
    assert {name for row in rows("how-to/events") for name in re.findall("`(.*?)`", row[0])} == lists
    told = text("how-to/events")
    assert [why for why in Why if f"`{why}`" not in told] == []
