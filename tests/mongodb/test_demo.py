"""The devices demo on MongoDB: SESSION_STORAGE is all that it needs, in two processes too."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar
from support.demo import Demo
from support.example import PATIENCE

LOGIN = {"name": "ann", "password": "any"}


@pytest.fixture
def machines(tmp_path: Path, standalone_database: str) -> Iterator[list[Demo]]:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    demos = [Demo(folder, SESSION_STORAGE=standalone_database) for folder in folders]
    yield demos
    for demo in demos:
        demo.kill()


def device() -> ClientSession:
    return ClientSession(cookie_jar=CookieJar(unsafe=True))


async def listed(client: ClientSession, url: str) -> list[dict[str, Any]]:
    async with client.get(f"{url}/devices.json") as response:
        assert response.status == 200
        devices: list[dict[str, Any]] = await response.json()
        return devices


async def test_a_device_of_one_machine_is_logged_out_on_the_other_and_its_panel_ends(machines: list[Demo]) -> None:
    one, two = [await machine.url() for machine in machines]
    async with device() as phone, device() as laptop, asyncio.timeout(PATIENCE):
        for client, url in ((phone, one), (laptop, two)):
            async with client.post(f"{url}/login", data=LOGIN, allow_redirects=False) as response:
                assert response.status == 303
        assert len(await listed(phone, two)) == len(await listed(laptop, one)) == 2
        async with phone.ws_connect(f"{one}/live") as panel:
            assert await panel.receive_str() == "listening"
            [sid] = [each["sid"] for each in await listed(laptop, two) if not each["here"]]
            async with laptop.post(f"{two}/log-out-device", data={"sid": sid}, allow_redirects=False) as response:
                assert response.status == 303
            assert (await panel.receive()).data == 4401
        async with phone.get(f"{one}/devices.json") as response:
            assert (response.status, await response.text()) == (401, "This device was logged out from another one.\n")
