"""Real shared caches in front of a real server: nginx with proxy_cache, Apache with mod_cache."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from support.programs import find_program

__all__ = ["Command", "apache", "nginx", "started"]

PATIENCE = 10  # seconds
MODULES = [Path("/usr/lib/apache2/modules"), Path("/usr/lib64/httpd/modules"), Path("/usr/libexec/apache2")]

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=pages:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_set_header Host shop.example;
      proxy_cache pages;
      proxy_cache_revalidate on;
      add_header X-Cache $upstream_cache_status always;
    }}
    location /eager/ {{
      proxy_pass http://127.0.0.1:{upstream}/;
      proxy_cache pages;
      proxy_cache_valid any 1m;
      proxy_ignore_headers Set-Cookie;
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""

APACHE = """
ServerName 127.0.0.1
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule cache_module {modules}/mod_cache.so
LoadModule cache_disk_module {modules}/mod_cache_disk.so
{user}
CacheEnable disk "/"
CacheRoot {folder}/cache
CacheHeader on
CacheQuickHandler on
ProxyPass "/eager/" "http://127.0.0.1:{upstream}/"
ProxyPass "/" "http://127.0.0.1:{upstream}/"
"""


Command = Callable[[Path, int, int], list[str]]


def write_settings(folder: Path, template: str, **values: object) -> Path:
    """Where the program, which may go on as another user than root, can read it and write beside it."""
    folder.chmod(0o755)
    cache = folder / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    settings = folder / "settings.conf"
    settings.write_text(template.format(folder=folder, **values))
    return settings


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    """The command that starts nginx on a port, with two ways to another one: as usual, and caching all it may."""
    program = find_program("nginx", "nginx")
    user = "user root;" if os.geteuid() == 0 else ""
    settings = write_settings(folder, NGINX, port=port, upstream=upstream, user=user)
    return [program, "-e", f"{folder}/error.log", "-p", str(folder), "-c", str(settings)]


def apache(folder: Path, port: int, upstream: int) -> list[str]:
    """The same for Apache."""
    program = find_program("apache2", "apache2", "httpd")
    modules = next(path for path in MODULES if path.is_dir())
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    settings = write_settings(folder, APACHE, port=port, upstream=upstream, modules=modules, user=user)
    return [program, "-f", str(settings), "-DFOREGROUND"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def started(command: Command, upstream: int) -> Iterator[str]:
    """The address of a cache in front of this port of 127.0.0.1."""
    with TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        process = subprocess.Popen(
            command(folder, port, upstream), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + PATIENCE
            while not listens(port):
                assert process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < until, "the cache did not start in time"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)
