"""The page of proxies on a real nginx with TLS: sizes, a way out of large cookies, a prefix, gunicorn behind it."""

import re
import shlex
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar, TCPConnector
from aiohttp.test_utils import unused_port
from support.pages import blocks_of, examples, program, running
from support.programs import find_program


@pytest.fixture
def certificate(place: Path) -> Path:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=shop.example"
    files = ["-keyout", str(place / "shop.key"), "-out", str(place / "shop.pem")]
    subprocess.run([*make.split(), *files], check=True, capture_output=True)
    return place


def nginx_conf(folder: Path, port: int, upstream: int) -> str:
    """The server blocks of the page as one, on ports of this machine, with all files in the folder."""
    proxy, prefix, sizes = examples("deploy/proxies", "nginx")
    ours = "".join(re.findall(r"^    (?:ssl|proxy)_.*\n", proxy, re.MULTILINE))
    location = re.search(r"    location / \{.*?\n    \}\n", proxy, re.DOTALL)
    assert location is not None
    defaults = "proxy_buffer_size 4k; proxy_buffers 8 4k;"
    others = f"""
    location /stripped/ {{ proxy_pass http://127.0.0.1:8080/; }}
    location /errors/ {{ proxy_pass http://127.0.0.1:8080/; proxy_intercept_errors on; error_page 404 /none; }}
    location /none {{ return 404; }}
    location /small/ {{ proxy_pass http://127.0.0.1:8080/; {defaults} }}
"""
    server = sizes.rstrip().removesuffix("}") + ours + location[0] + prefix + others + "}"
    for old, new in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "127.0.0.1:8080": f"127.0.0.1:{upstream}",
        "/etc/ssl/": f"{folder}/",
    }.items():
        server = server.replace(old, new)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{server}\n}}\n"
    )


@asynccontextmanager
async def behind_nginx(folder: Path, upstream: int, *command: str) -> AsyncIterator[ClientSession]:
    """A browser of a site that nginx serves with TLS from the command's process."""
    port = unused_port()
    (folder / "nginx.conf").write_text(nginx_conf(folder, port, upstream))
    nginx = [find_program("nginx", "nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    context = ssl.create_default_context(cafile=str(folder / "shop.pem"))
    context.check_hostname = False
    async with running(folder, upstream, *command), running(folder, port, *nginx):
        async with ClientSession(
            f"https://127.0.0.1:{port}", cookie_jar=CookieJar(unsafe=True), connector=TCPConnector(ssl=context)
        ) as client:
            yield client


APP = """
from aiohttp import web
from aiohttp_lionrock import get_session, setup

async def store(request):
    session = await get_session(request)
    session["text"] = "x" * int(request.query.get("size", 0))
    return web.Response(status=int(request.query.get("status", 200)))

app = web.Application()
setup(app, refresh_token=True)
app.router.add_get("/", store)
web.run_app(app, host="127.0.0.1", port=PORT, max_field_size=32768)
"""


async def test_nginx_passes_sessions_on_and_has_a_way_out_of_large_cookies(certificate: Path) -> None:
    folder, upstream = certificate, unused_port()
    (folder / "app.py").write_text(APP.replace("PORT", str(upstream)))
    async with behind_nginx(folder, upstream, sys.executable, "app.py") as client:

        async def get(path: str, **headers: str) -> tuple[int, Any]:
            async with client.get(path, headers=headers) as response:
                return response.status, response.headers

        assert (await get("/?size=1500"))[0] == 200
        assert (await get("/stripped/"))[0] == 200
        assert (await get("/small/"))[0] == 200
        status, headers = await get("/?status=404&size=1")
        assert (status, "Set-Cookie" in headers) == (404, True)
        status, headers = await get("/errors/?status=404&size=2")
        assert (status, "Set-Cookie" in headers) == (404, False), "the error page of the proxy has no cookies"
        assert (await get("/small/?size=1500"))[0] == 502, "the head is larger than nginx's default"
        status, headers = await get("/", Cookie=f"other={'x' * 17_000}")
        assert status == 400
        deleted = [line.partition("=")[0] for line in headers.getall("Set-Cookie")]
        assert deleted == ["lionrock-session", "lionrock-session-refresh"]
        assert list(client.cookie_jar) == []


async def test_gunicorn_serves_an_application_below_a_prefix_behind_nginx_with_tls(certificate: Path) -> None:
    folder, upstream = certificate, unused_port()
    assert program("deploy/proxies", 0)["make_app"] is not None
    (folder / "shop.py").write_text(blocks_of("deploy/proxies")[0].replace("/var/lib/shop", str(folder)))
    [line] = examples("deploy/gunicorn", "sh")
    gunicorn = shlex.split(line.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}"))
    async with behind_nginx(folder, upstream, sys.executable, "-m", *gunicorn) as client:
        for visits in (1, 2):
            async with client.get("/shop/") as response:
                assert await response.json() == {"visits": visits, "user": None}
        async with client.post("/shop/login", data={"user": "ann"}) as response:
            assert response.url.path == "/shop/"
            assert await response.json() == {"visits": 3, "user": "ann"}
        cookies = list(client.cookie_jar)
        assert {cookie.key for cookie in cookies} == {"lionrock-session", "lionrock-session-refresh"}
        assert all(cookie["path"] == "/shop/" and cookie["secure"] for cookie in cookies)
