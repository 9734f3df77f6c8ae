"""Templates: aiohttp-jinja2 with the session and its messages in every template."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from aiohttp import web

from ..errors import ConfigError, StorageUnavailable
from .flash import Flashes
from .visit import get_session

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["session_context", "setup_jinja2"]


def setup_jinja2(
    app: web.Application, *args: Any, context_processors: Sequence[Any] = (), **options: Any
) -> "Environment":
    """``aiohttp_jinja2.setup``, with ``session`` and ``flashes`` in every template of the app.

    The session is then loaded for every request but those for static files. Raises ConfigError where aiohttp-jinja2
    is not installed.
    """
    try:
        import aiohttp_jinja2
    except ImportError as exc:
        raise ConfigError("aiohttp-jinja2 is not installed: pip install 'aiohttp-jinja2>=1.6'") from exc
    return aiohttp_jinja2.setup(app, *args, context_processors=[session_context, *context_processors], **options)


async def session_context(request: web.Request) -> dict[str, Any]:
    """A context processor of aiohttp-jinja2: the session, and the messages that `flash` has kept.

    While the storage cannot answer, only a template that asks for one of them gets 503.
    """
    if isinstance(request.match_info.route.resource, web.StaticResource):
        return {}
    try:
        session = await get_session(request)
    except StorageUnavailable as exc:
        return dict.fromkeys(("session", "flashes"), _Unavailable(exc))
    return {"session": session, "flashes": Flashes(request, session)}


class _Unavailable:
    """Raises StorageUnavailable, however it is used."""

    def __init__(self, exc: StorageUnavailable) -> None:
        self.__exc = exc

    def __getattr__(self, name: str) -> NoReturn:
        raise self.__exc

    def __getitem__(self, key: object) -> NoReturn:
        raise self.__exc

    def __iter__(self) -> Iterator[NoReturn]:
        raise self.__exc

    def __len__(self) -> NoReturn:
        raise self.__exc

    def __str__(self) -> NoReturn:
        raise self.__exc

    def __contains__(self, key: object) -> NoReturn:
        raise self.__exc
