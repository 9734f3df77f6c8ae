"""Everyone out on a replica set: what one server was told holds at every other one, whichever member is the primary."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pymongo
import pytest
from support.browser import SECRET, Browser
from support.mongod import ReplicaSet, database_url

from aiohttp_lionrock import SessionConfig, SessionManager, StorageUnavailable

PATIENCE = 60.0  # seconds, for an election
BOUND = 1.0


@pytest.fixture
async def servers(replica_set: ReplicaSet) -> AsyncIterator[list[SessionManager]]:
    """Two servers on a database of their own."""
    database = f"everyone_{uuid4().hex}"
    url = database_url(replica_set.url, database)
    config = SessionConfig(secret=SECRET, refresh_token=True, storage_timeout=10)
    servers = [SessionManager(config, url, environ={}) for _ in range(2)]
    for server in servers:
        await server.open()
    yield servers
    for server in servers:
        await server.aclose()
    with pymongo.MongoClient(replica_set.url) as client:
        client.drop_database(database)


async def is_logged_in(browser: Browser) -> bool:
    """As soon as a server can tell."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return not (await browser.visit()).is_new
            except StorageUnavailable:
                await asyncio.sleep(0.1)


async def test_everyone_stays_out_when_the_primary_steps_down_once_it_was_said(
    replica_set: ReplicaSet, servers: list[SessionManager]
) -> None:
    browsers = [Browser(server) for server in servers for _ in range(3)]
    for browser in browsers:
        await browser.log_in()
        assert await is_logged_in(browser)
    await servers[0].revoke_all()
    await asyncio.to_thread(replica_set.step_down)
    try:
        await asyncio.sleep(BOUND)
        for browser in browsers:
            for server in servers:
                assert not await is_logged_in(browser.copy(server))
    finally:
        await asyncio.to_thread(replica_set.wait_until_whole)
    again = Browser(servers[1])
    await again.log_in()
    assert await is_logged_in(again.copy(servers[0]))


async def test_everyone_stays_out_when_the_primary_is_killed_once_it_was_said(
    replica_set: ReplicaSet, servers: list[SessionManager]
) -> None:
    browser = Browser(servers[1])
    await browser.log_in()
    assert await is_logged_in(browser)
    await servers[0].revoke_all()
    primary = await asyncio.to_thread(replica_set.primary)
    primary.kill()
    try:
        await asyncio.sleep(BOUND)
        for server in servers:
            assert not await is_logged_in(browser.copy(server))
    finally:
        await asyncio.to_thread(replica_set.wait_until_whole)
