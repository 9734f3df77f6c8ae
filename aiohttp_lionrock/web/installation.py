"""Installation: what `setup` has put into one application, and the one that a request's sessions come from."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from ..errors import ConfigError, StorageUnavailable
from ..faults import shown
from ..sessions.manager import SessionManager
from .outages import Outages

__all__ = ["INSTALLATION", "Installation", "OnUnavailable", "RequestEnv", "find_installation"]

RequestEnv = Callable[[web.Request], Mapping[str, str] | None]
OnUnavailable = Callable[[web.Request, StorageUnavailable], Awaitable[web.StreamResponse] | web.StreamResponse]


@dataclass(slots=True, eq=False)
class Installation:
    """One application's sessions. ``leaving``: what ends each block that watches one, when the application stops."""

    manager: SessionManager
    outages: Outages
    request_env: RequestEnv | None
    on_unavailable: OnUnavailable | None
    told_of_caches: bool = False
    told_of_size: bool = False
    told_of_clash: bool = False
    is_stopping: bool = False
    leaving: set[Callable[[], None]] = field(default_factory=set)


INSTALLATION = web.AppKey("aiohttp_lionrock_installation", Installation)


def find_installation(request: web.Request) -> Installation:
    """That of the nearest application, seen outwards from the one that runs now; of the innermost where none has it.

    Raises ConfigError where no application on the request's way has one.
    """
    try:
        match = request.match_info
    except AttributeError:
        raise TypeError(f"a request is needed, not {shown(request)}: in a view that is self.request") from None
    current = match.current_app
    found = current.get(INSTALLATION)
    if found is not None:
        return found
    apps = match.apps
    place = apps.index(current)
    for app in (*reversed(apps[:place]), *reversed(apps[place + 1 :])):
        if (found := app.get(INSTALLATION)) is not None:
            return found
    raise ConfigError("this request has no session: call setup(app) on the app or on one above it")
