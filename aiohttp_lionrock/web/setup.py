"""setup: gives an application sessions, in one call."""

import inspect
from typing import Any, Unpack

from aiohttp import web

from ..errors import ConfigError
from ..faults import shown
from ..sessions.manager import SessionManager
from ..settings.config import SessionConfig
from ..settings.keywords import SessionSettings
from ..storage.contract import Clock
from .installation import INSTALLATION, Installation, OnUnavailable, RequestEnv, find_installation
from .lifetime import Lifetime
from .middleware import make_middleware, on_response_prepare
from .outages import Outages
from .watch import leave_all

__all__ = ["get_manager", "setup"]


def setup(
    app: web.Application,
    config: SessionConfig | None = None,
    *,
    manager: SessionManager | None = None,
    request_env: RequestEnv | None = None,
    on_unavailable: OnUnavailable | None = None,
    require_storage: bool = False,
    clock: Clock | None = None,
    **settings: Unpack[SessionSettings],
) -> SessionManager:
    """Gives every handler of an app and its sub-apps a session; the storage opens and closes with the app.

    ``settings`` are SessionConfig fields. ``manager`` is one put together by hand, in the place of everything that
    would make one. ``request_env`` gives a request its own environment, for tenants with secrets of their own;
    ``on_unavailable(request, exc)``, a function or coroutine function, makes the response while the storage cannot
    answer, in the place of a plain 503; ``require_storage`` stops the start where the storage cannot serve; ``clock``
    is the time that expiry goes by. Raises ConfigError with everything that is wrong.
    """
    _check_app(app)
    _check_arguments(manager, request_env=request_env, on_unavailable=on_unavailable, clock=clock)
    if manager is None:
        manager = _make_manager(config, clock, dict(settings))
    elif config is not None or clock is not None or settings:
        raise ConfigError(
            "setup(app, manager=...) takes no config, storage, clock or settings: the manager has its own"
        )
    if request_env is None:
        manager.require_secret()
    if require_storage:
        _check_required(app, manager)
    outages = Outages(manager)
    app[INSTALLATION] = installation = Installation(manager, outages, request_env, on_unavailable)
    app.middlewares.insert(0, make_middleware(installation))
    app.on_response_prepare.append(on_response_prepare)
    if not app.on_startup.frozen:
        app.on_startup.append(_begin)
        app.on_shutdown.append(leave_all)
    Lifetime(manager, outages, require_storage=require_storage).bind(app)
    return manager


def get_manager(app_or_request: web.Application | web.Request) -> SessionManager:
    """The manager that `setup` made for an app, or the one that a request's sessions come from.

    For a request, that of the nearest application on its way. Raises ConfigError where there is none.
    """
    if isinstance(app_or_request, web.Request):
        return find_installation(app_or_request).manager
    installation = app_or_request.get(INSTALLATION)
    if installation is None:
        raise ConfigError("this app has no sessions: call setup(app) on it, or pass the request to get_manager")
    return installation.manager


def _check_app(app: web.Application) -> None:
    if INSTALLATION in app:
        raise ConfigError("setup was called on this app before: one session configuration for each app")
    if app.pre_frozen:
        raise ConfigError(
            "setup comes too late: call setup(app) before the app starts, and before add_subapp takes it in"
        )


def _check_arguments(manager: object, **callables: object) -> None:
    faults = [
        f"setup's {name} must be callable, not {shown(value)}"
        for name, value in callables.items()
        if value is not None and not callable(value)
    ]
    if manager is not None and not isinstance(manager, SessionManager):
        faults.append(f"setup's manager must be a SessionManager, not {shown(manager)}")
    if inspect.iscoroutinefunction(callables["request_env"]):
        faults.append("setup's request_env must be a plain function: it is asked in the middle of loading a session")
    if faults:
        raise ConfigError(faults)


def _make_manager(config: SessionConfig | None, clock: Clock | None, settings: dict[str, Any]) -> SessionManager:
    config = SessionConfig.coerce(config)
    return SessionManager(config.updated(settings) if settings else config, clock=clock)


def _check_required(app: web.Application, manager: SessionManager) -> None:
    if manager.storage is None:
        raise ConfigError(
            'require_storage is on and there is no storage: give one, as in storage="sqlite:///sessions.db"'
        )
    if app.on_startup.frozen:
        raise ConfigError(
            "require_storage cannot stop a start that is under way: call setup(app) before the app starts"
        )


async def _begin(app: web.Application) -> None:
    """Gives our signal the last word on the head of a response; in a sub-application aiohttp does not let it."""
    app[INSTALLATION].is_stopping = False
    if not app.on_response_prepare.frozen:
        app.on_response_prepare.remove(on_response_prepare)
        app.on_response_prepare.append(on_response_prepare)
