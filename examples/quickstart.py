"""A counter, a login and a logout, in sessions that outlive the server.

`make quickstart` runs it. It takes PORT, QUICKSTART_DB (the path of the database) and SESSION_SECRET from the
environment.
"""

import json
import os
import secrets
import socket
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from aiohttp import web

from aiohttp_lionrock import ConfigError, Session, get_manager, get_session, setup

WELCOME = Template("""
Open $url in a browser, or try with curl:

  jar=$$(mktemp)
  curl -b $$jar -c $$jar $url                     # twice: the counter goes up
  curl -b $$jar -c $$jar -d user=ann $url/login   # the session goes on, under a new id
  curl -b $$jar -c $$jar -j $url                  # -j is a browser closed and opened: refreshed
  curl -b $$jar -c $$jar $url/sessions            # where ann is logged in
  curl -b $$jar -X POST $url/logout              # over; but this jar keeps the old cookies:
  curl -b $$jar $url                             # they are refused

Ctrl-C ends the server. Start it again, and the sessions are still there: they are kept in
$database
""")

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>aiohttp-lionrock quickstart</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
  button, input { font: inherit; padding: .3rem .8rem } td, th { padding-right: 2rem; text-align: left }
</style>
<h1>Visits: $visits</h1>
<p>Reload the page, and it counts. Restart the server, and it goes on counting.</p>
<form method="post">$body</form>
</html>
""")

LOGIN = """
<input name="user" placeholder="any name" aria-label="Name" maxlength="50" required>
<button formaction="/login">Log in</button>"""

MEMBER = Template("""
<p>Logged in as <b>$user</b>.</p>
<button formaction="/logout">Log out</button> <button formaction="/logout-everywhere">Log out everywhere</button>
<table><tr><th>Device<th>Logged in<th>$rows</table>""")


async def visit(request: web.Request) -> web.Response:
    session = await get_session(request)
    session["visits"] = session.get("visits", 0) + 1
    if not is_browser(request):
        return answer(request, session)
    body = LOGIN
    if session.subject is not None:
        cells = [[escape(cell) for cell in row.values()] for row in await my_sessions(request)]
        rows = "".join(f"<tr><td>{'<td>'.join(row)}" for row in cells)
        body = MEMBER.substitute(user=escape(session.subject), rows=rows)
    page = PAGE.substitute(visits=session["visits"], body=body)
    return web.Response(text=page, content_type="text/html", headers={"Vary": "Accept"})


async def login(request: web.Request) -> web.Response:
    user = str((await request.post()).get("user", "")).strip()
    if not user.isprintable() or not 0 < len(user) <= 50:
        raise web.HTTPBadRequest(text="a name of 1 to 50 letters is needed, as in user=ann\n")
    session = await get_session(request)  # a real application has checked a password by now
    session.renew()  # a new id: whoever knew the old one gains nothing from this login
    session["sub"] = user  # whose session it is: listings and "log out everywhere" go by it
    session.describe(device=ascii(request.headers.get("User-Agent", ""))[1:-1][:60])
    return answer(request, session)


async def logout(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.invalidate()
    return answer(request, session)


async def logout_everywhere(request: web.Request) -> web.Response:
    session = await get_session(request)
    if session.subject is not None:
        await get_manager(request).revoke_subject(session.subject)
    session.invalidate()
    return answer(request, session)


async def sessions(request: web.Request) -> web.Response:
    return as_json(await my_sessions(request))


async def my_sessions(request: web.Request) -> list[dict[str, str]]:
    session = await get_session(request)
    records = await get_manager(request).sessions(session.subject) if session.subject is not None else []
    return [
        {
            "device": record.metadata.get("device", ""),
            "logged_in": str(datetime.fromtimestamp(record.created_at, UTC)),
            "where": "here" if record.sid == session.sid else "elsewhere",
        }
        for record in records
    ]


def is_browser(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def answer(request: web.Request, session: Session) -> web.Response:
    """The session as JSON; a browser is sent back to the page instead."""
    if is_browser(request):
        raise web.HTTPSeeOther("/")
    refused = session.rejected and session.rejected.code  # why the cookie that came was not taken
    state = {"visits": session.get("visits", 0), "user": session.subject, "session": session.sid, "refused": refused}
    return as_json(state)


def as_json(data: object) -> web.Response:
    return web.json_response(text=json.dumps(data) + "\n", headers={"Vary": "Accept"})


def make_app(database: Path) -> web.Application:
    app = web.Application()
    setup(
        app,
        storage=f"sqlite:///{quote(str(database))}",
        refresh_token=True,
        secret=None if os.environ.get("SESSION_SECRET") else development_secret(database.with_suffix(".secret")),
        # For development alone: over plain http some clients (Safari, an older curl) take no Secure cookie, not even
        # from their own machine. Leave the line out where https is spoken.
        cookie={"secure": False},
    )
    app.router.add_get("/", visit)
    app.router.add_get("/sessions", sessions)
    for handler in (login, logout, logout_everywhere):
        app.router.add_post("/" + handler.__name__.replace("_", "-"), handler)
    return app


def development_secret(path: Path) -> str:
    """A secret in a file that only this user may read: with a new one at each start, no session would last."""
    path.touch(mode=0o600)
    if not path.read_text():
        path.write_text(secrets.token_urlsafe(48))
    print(f"SESSION_SECRET is not set. For development, a secret was made and is kept in\n{path}")
    return path.read_text()


def listen() -> socket.socket:
    """On PORT, or else on 8080, or else on a port that is free."""
    wanted = os.environ.get("PORT")
    for port in [wanted] if wanted else ["8080", "0"]:
        try:
            return socket.create_server(("127.0.0.1", int(port)))
        except (OSError, OverflowError, ValueError) as exc:
            fault = exc
    raise SystemExit(f"cannot listen on port {wanted} of 127.0.0.1: {fault}")


def main() -> None:
    database = Path(os.environ.get("QUICKSTART_DB") or Path(__file__).with_name("quickstart.db")).absolute()
    if not database.parent.is_dir():
        raise SystemExit(f"the quickstart cannot start: there is no folder {database.parent}")
    listener = listen()
    host, port = listener.getsockname()
    welcome = WELCOME.substitute(url=f"http://{host}:{port}", database=database)
    try:
        web.run_app(make_app(database), sock=listener, print=lambda _: print(welcome, flush=True), shutdown_timeout=2)
    except (ConfigError, OSError) as exc:
        raise SystemExit(f"the quickstart cannot start: {exc}") from None


if __name__ == "__main__":
    main()
