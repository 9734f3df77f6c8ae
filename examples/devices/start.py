"""How the demo starts: a secret for development, a port that is free, and what to open."""

import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from string import Template

from aiohttp import web

from aiohttp_lionrock import LionRockError

WELCOME = Template("""
Open $url in a browser, and log in with any name and any password.
Another browser, a private window or curl is another device of the same user:

  jar=$$(mktemp)
  curl -c $$jar -d name=ann -d password=secret $url/login  # it shows up in ann's browser
  curl -b $$jar -c $$jar $url/devices.json                  # where ann is logged in
  curl -b $$jar -X POST $url/log-out-others                # ann's browser says that it is logged out

Ctrl-C ends the server. The sessions stay, and so do the logins.
""")


def development_secret(path: Path) -> str:
    """A secret in a file that only this user may read: with a new one at each start, no session would last."""
    path.touch(mode=0o600)
    if not path.read_text():
        path.write_text(secrets.token_urlsafe(48))
    print(f"SESSION_SECRET is not set. For development, a secret was made and is kept in\n{path}")
    return path.read_text()


def run(make_app: Callable[[], web.Application]) -> None:
    """Serves on 127.0.0.1 until it is told to end."""
    listener = listen()
    host, port = listener.getsockname()
    welcome = WELCOME.substitute(url=f"http://{host}:{port}")
    try:
        web.run_app(make_app(), sock=listener, print=lambda _: print(welcome, flush=True), shutdown_timeout=2)
    except (LionRockError, OSError) as exc:
        raise SystemExit(f"the demo cannot start: {exc}") from None


def listen() -> socket.socket:
    """On PORT, or else on 8080, or else on a port that is free."""
    wanted = os.environ.get("PORT")
    for port in [wanted] if wanted else ["8080", "0"]:
        try:
            return socket.create_server(("127.0.0.1", int(port)))
        except (OSError, OverflowError, ValueError) as exc:
            fault = exc
    raise SystemExit(f"cannot listen on port {wanted} of 127.0.0.1: {fault}")
