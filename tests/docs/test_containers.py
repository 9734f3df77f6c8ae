"""The image and the manifests of the page, without a cluster: parsed, and held against a real server."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port
from support.pages import ROOT, SECRET, Serve, ask, assert_unavailable, blocks_of, examples, program, running, shell

from aiohttp_lionrock import JtiConfig, SessionConfig

PAGE = "deploy/containers"

# The application of the page, and a page that takes its time.
SLOW = """
import asyncio
from pathlib import Path
import shop
from aiohttp_lionrock import get_session

async def slow(request):
    (await get_session(request))["slow"] = True
    Path("begun").touch()
    await asyncio.sleep(1)
    return shop.web.Response(text="done")

async def make_app():
    app = await shop.make_app()
    app.router.add_get("/slow", slow)
    return app
"""


class Image(NamedTuple):
    """What the Dockerfile says, by instruction."""

    told: dict[str, list[str]]

    @property
    def command(self) -> list[str]:
        command: list[str] = json.loads(self.told["CMD"][0])
        return command

    def option(self, name: str) -> str:
        return self.command[self.command.index(name) + 1]


@pytest.fixture
def image() -> Image:
    [lines] = examples(PAGE, "dockerfile")
    told: dict[str, list[str]] = {}
    for line in lines.replace("\\\n", "").splitlines():
        instruction, _, rest = line.partition(" ")
        told.setdefault(instruction, []).append(rest)
    return Image(told)


@pytest.fixture
def manifests() -> dict[str, Any]:
    [lines] = examples(PAGE, "yaml")
    return {one["kind"]: one for one in yaml.safe_load_all(lines)}


@pytest.fixture
def pod(manifests: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifests["Deployment"]["spec"]["template"]["spec"]
    return found


@pytest.fixture
def environment(pod: dict[str, Any]) -> dict[str, str]:
    """The variables of a container: those of the Secret that the line of shell makes, and those of the manifest."""
    line = examples(PAGE, "sh")[1]
    told = shell(f"kubectl() {{ printf '%s\\n' \"$@\"; }}\n{line}").splitlines()
    assert told[:4] == ["create", "secret", "generic", "shop-sessions"]
    secret = dict(one.removeprefix("--from-literal=").split("=", 1) for one in told[4:])
    [container] = pod["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": told[3]}}]
    return secret | {one["name"]: one["value"] for one in container["env"]}


async def test_the_environment_configures_the_application(
    serve: Serve, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in examples(PAGE, "sh")[0].splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    config = SessionConfig.from_env()
    assert config.refresh is not None
    assert (config.access.lifetime, config.refresh.lifetime, config.access.covered) == (900, 604_800, True)
    assert (config.audience, config.access.cookie.path) == (("shop", "api"), "/shop/")
    assert config.jti_policy == JtiConfig(reuse_leeway=10)

    client = await serve(await program("deploy/containers")["make_app"]())
    assert await ask(client, "/") == {"visits": 1}
    assert (await client.get("/ready")).status == 200
    away = (place / "sessions.db").rename(place / "away.db")
    assert_unavailable(await client.get("/ready"))
    assert (await client.get("/alive")).status == 200
    away.rename(place / "sessions.db")
    assert (await client.get("/ready")).status == 200


def test_the_image_installs_what_is_in_the_checkout(image: Image) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = image.told["FROM"][0].removeprefix("python:").removesuffix("-slim")
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    (checkout, inside), (program, _) = (line.split() for line in image.told["COPY"])
    assert checkout == project["name"]
    assert program == f"{image.command[1].partition(':')[0]}.py"
    [line] = image.told["RUN"]
    words = [word.replace(inside, str(ROOT)) for word in shlex.split(line)]
    assert words[:2] == ["pip", "install"]
    # Nothing is fetched and nothing installed: what these need, gunicorn too, is in this environment.
    tried = [sys.executable, "-m", *words, "--dry-run", "--no-index", "--no-build-isolation"]
    ran = subprocess.run(tried, capture_output=True, text=True, check=True, timeout=120)
    assert re.search(r"Would install aiohttp-lionrock-\S+ aiohttp-lionrock-mongodb-\S+\n", ran.stdout)
    assert image.command[0] in words


def test_the_manifests_fit_the_image_the_application_and_each_other(
    image: Image, manifests: dict[str, Any], pod: dict[str, Any]
) -> None:
    deployment, service = manifests["Deployment"]["spec"], manifests["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert service["selector"] == deployment["selector"]["matchLabels"] == labels
    [container] = pod["containers"]
    [port] = container["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert image.told["EXPOSE"] == [str(port["containerPort"])] == [image.option("--bind").partition(":")[2]]
    assert int(image.told["USER"][0]) > 0
    assert container["securityContext"]["runAsNonRoot"] is True
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
        assert container[probe]["timeoutSeconds"] > SessionConfig().storage_timeout
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + int(image.option("--graceful-timeout"))


async def test_the_command_of_the_image_answers_the_probes_and_stops_gracefully(
    image: Image,
    pod: dict[str, Any],
    environment: dict[str, str],
    place: Path,
    standalone_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert SessionConfig.from_env().storage == environment["SESSION_STORAGE"]
    port = unused_port()
    (place / "shop.py").write_text(blocks_of(PAGE)[0])
    (place / "slow.py").write_text(SLOW)
    command = [word.replace("shop:", "slow:").replace("0.0.0.0:8080", f"127.0.0.1:{port}") for word in image.command]
    [container] = pod["containers"]
    given = {**environment, "SESSION_SECRET": SECRET, "SESSION_STORAGE": standalone_database, "PYTHONPATH": str(place)}
    async with ClientSession(f"http://127.0.0.1:{port}") as client:

        async def get(path: str) -> tuple[int, bool]:
            async with client.get(path) as response:
                return response.status, "Set-Cookie" in response.headers

        async with running(place, port, sys.executable, "-m", *command, **given):
            for probe in ("livenessProbe", "readinessProbe"):
                assert await get(container[probe]["httpGet"]["path"]) == (200, False)
            under_way = asyncio.create_task(get("/slow"))
            async with asyncio.timeout(10):
                while not (place / "begun").exists():
                    await asyncio.sleep(0.01)
        assert await under_way == (200, True), "what was under way at the signal is answered, and recorded"
