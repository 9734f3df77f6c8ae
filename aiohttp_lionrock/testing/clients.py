"""Helpers for tests of applications: log a client of aiohttp in, look at its session, let its access token expire."""

import base64
from collections.abc import Mapping, Sequence
from http.cookies import SimpleCookie
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from ..errors import ConfigError, TokenError
from ..jsontext import decode_object
from ..sessions.contents import RESERVED
from ..sessions.manager import SessionManager
from ..sessions.session import Session
from ..settings.cookies import CookieChange
from ..tokens.codec import TokenCodec
from ..tokens.keys import KeyRing
from ..web import get_manager

__all__ = ["expire_access", "log_in", "session_of"]

Client = TestClient[Any, Any]


async def log_in(
    client: Client, data: Mapping[str, Any], *, app: web.Application | None = None, env: Mapping[str, str] | None = None
) -> Session:
    """Gives the client the cookies of a new session with this data, ``{"sub": "ann"}`` for one, and returns it.

    ``app`` is the application that `setup` was called on, where it is not the client's own but mounted in it; ``env``
    the environment of a tenant, as ``request_env`` gives it. Raises RuntimeError where the client would not send the
    cookies to the server.
    """
    manager = _manager_of(client, app)
    session = await manager.load({}, env)
    session.update(data)
    _store(client, await manager.save(session))
    return session


def session_of(response: ClientResponse) -> Session | None:
    """The session that a response wrote into its cookies: data, ``id`` and ``sid``; None where it wrote or left none.

    The token is read and not judged.
    """
    found = [claims for cookie in response.cookies.values() if (claims := _claims(cookie.value)) is not None]
    for claims in sorted(found, key=lambda claims: claims.get("token_use") == "refresh"):
        data = {name: value for name, value in claims.items() if name not in RESERVED}
        return Session(data, id=claims.get("id"), sid=claims["sid"], creator=claims.get("creator", ""))
    return None


def expire_access(client: Client, *, app: web.Application | None = None, env: Mapping[str, str] | None = None) -> None:
    """Puts an expired token in the place of the client's access token, as after hours away; the refresh token stays.

    ``app`` and ``env`` as for `log_in`. Raises RuntimeError where the client has no access token that the application
    has signed.
    """
    manager = _manager_of(client, app)
    policy = manager.config.access
    keys, codec = KeyRing.find(manager.config, manager.environ, env or {}), TokenCodec(manager.config)
    token = next((cookie.value for cookie in client.session.cookie_jar if cookie.key == policy.name), None)
    if token is None or keys is None:
        raise RuntimeError(f"the client has no cookie {policy.name} to expire: log in first")
    try:
        claims = codec.read(codec.authenticate(token, keys))
    except TokenError as fault:
        raise RuntimeError(f"the cookie {policy.name} of the client cannot be expired: {fault}") from fault
    back = claims["exp"] - claims["iat"] + int(manager.config.clock_tolerance) + 1
    claims.update({name: claims[name] - back for name in ("iat", "nbf", "exp")})
    _store(client, [CookieChange(policy.name, codec.sign(claims, keys), policy.cookie)])


def _manager_of(client: Client, app: web.Application | None) -> SessionManager:
    if app is not None:
        return get_manager(app)
    if not isinstance(client.app, web.Application):
        raise RuntimeError("the client has no application: make it of the app, as in aiohttp_client(app)")
    try:
        return get_manager(client.app)
    except ConfigError:
        raise RuntimeError(
            "setup was not called on the client's own application: pass the one that it was called on, as in app=admin"
        ) from None


def _claims(token: str) -> dict[str, Any] | None:
    """What a session's token says; None for the value of any other cookie."""
    _, _, rest = token.partition(".")
    payload = rest.partition(".")[0]
    try:
        claims = decode_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims.get("sid"), str) else None


def _store(client: Client, changes: Sequence[CookieChange]) -> None:
    """Puts cookies into the client's jar with their attributes, as a response would."""
    jar = client.session.cookie_jar
    for name, value, options in changes:
        cookies: SimpleCookie = SimpleCookie()
        cookies[name] = value or ""
        cookies[name]["path"] = options.path
        cookies[name]["domain"] = options.domain or ""
        cookies[name]["secure"] = options.secure
        url = client.make_url(options.path)
        jar.update_cookies(cookies, url)
        if name not in jar.filter_cookies(url):
            raise RuntimeError(
                f"the client would not send the cookie {name}: over plain http pass cookie={{'secure': False}} to "
                "setup, and give the client a cookie jar that keeps cookies"
            )
