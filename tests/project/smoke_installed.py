"""Uses the installed distributions, in an environment that has nothing else: `smoke_wheels.py` runs it there.

The arguments are the versions that must be found: of the core, or of the core, the SQLite and the MongoDB backend.
"""

import asyncio
import runpy
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distributions, entry_points, files, version
from pathlib import Path

from aiohttp import ClientSession, CookieJar, web

from aiohttp_lionrock import JtiStorage, UnknownBackend, open_storage

HOME = Path(__file__).resolve().parent
DISTRIBUTIONS = ("aiohttp-lionrock", "aiohttp-lionrock-sqlite", "aiohttp-lionrock-mongodb")
DRIVERS = {"aiosqlite", "motor", "pymongo"}


def check_distribution(name: str, expected: str) -> None:
    assert version(name) == expected, f"{name} is {version(name)}, not {expected}"
    module = import_module(name.replace("-", "_"))
    assert Path(str(module.__file__)).is_relative_to(sys.prefix), f"{module} is not the installed one"
    assert any(file.name == "py.typed" for file in files(name) or ()), f"{name} has no py.typed"


def check_core_alone() -> None:
    assert isinstance(open_storage("memory://"), JtiStorage)
    drivers = DRIVERS & {distribution.name.lower() for distribution in distributions()}
    assert not drivers, f"the core alone has pulled in {drivers}"
    for scheme in ("sqlite", "mongodb"):
        message = ""
        try:
            open_storage(f"{scheme}://")
        except UnknownBackend as exc:
            message = str(exc)
        for way in (f"install the distribution aiohttp-lionrock-{scheme}", f"pip install ./backends/{scheme}"):
            assert way in message, message


def check_command_line_asks_for_click() -> None:
    for command in ([sys.executable, "-m", "aiohttp_lionrock"], [Path(sys.executable).with_name("aiohttp-lionrock")]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 2, ran
        assert ran.stderr.endswith("pip install 'click>=8.2'\n"), ran.stderr


def check_backends() -> None:
    backends = {point.name: point.load() for point in entry_points(group="aiohttp_lionrock.backends")}
    assert {"memory", "sqlite", "mongodb"} <= backends.keys(), backends
    assert all(issubclass(backend, JtiStorage) for backend in backends.values()), backends


async def drive_quickstart() -> None:
    """A counter over a restart, a login, and a logout that a copy of the cookies does not survive."""
    quickstart = runpy.run_path(str(HOME / "quickstart.py"))
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser, ClientSession() as thief:
        for expected in (1, 2, 3):
            runner = web.AppRunner(quickstart["make_app"](HOME / "smoke.db"))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            assert (await answer(browser.get(url)))["visits"] == expected
            await answer(browser.post(f"{url}/login", data={"user": "ann"}))
            if expected == 3:
                stolen = {cookie.key: cookie.value for cookie in browser.cookie_jar}
                assert (await answer(thief.get(url, cookies=stolen)))["user"] == "ann"
                await answer(browser.post(f"{url}/logout"))
                assert (await answer(thief.get(url, cookies=stolen)))["refused"] == "JWT_JTI_REVOKED"
            await runner.cleanup()


async def answer(request):
    async with request as response:
        response.raise_for_status()
        return await response.json()


if __name__ == "__main__":
    versions = sys.argv[1:]
    for name, expected in zip(DISTRIBUTIONS, versions, strict=False):
        check_distribution(name, expected)
    if len(versions) == 1:
        check_core_alone()
        check_command_line_asks_for_click()
    else:
        check_backends()
        asyncio.run(drive_quickstart())
