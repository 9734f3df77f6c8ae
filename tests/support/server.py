"""One server process: sessions with refresh tokens on the storage that the environment names, until it is ended.

``SESSION_STORAGE`` is the storage's URL. The first line it prints is its port.
"""

import asyncio
import os

from aiohttp import web

from aiohttp_lionrock import SessionConfig, get_manager, get_session, setup

__all__ = ["server_config"]


def server_config(storage: str) -> SessionConfig:
    return SessionConfig(storage=storage, refresh_token=True, access_token={"expires": 600}, storage_timeout=5)


async def look(request: web.Request) -> web.Response:
    session = await get_session(request)
    return web.json_response({"sub": session.get("sub"), "visits": session.get("visits", 0)})


async def visit(request: web.Request) -> web.Response:
    session = await get_session(request)
    if not session.is_new:
        session["visits"] = session.get("visits", 0) + 1
    return await look(request)


async def log_in(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.renew()
    session["sub"] = request.match_info["sub"]
    return await look(request)


async def log_out(request: web.Request) -> web.Response:
    (await get_session(request)).invalidate()
    return await look(request)


async def log_out_everywhere(request: web.Request) -> web.Response:
    session = await get_session(request)
    return web.json_response({"ended": await get_manager(request).revoke_subject(session["sub"])})


async def everyone_out(request: web.Request) -> web.Response:
    return web.json_response({"over": await get_manager(request).revoke_all()})


async def serve() -> None:
    app = web.Application()
    setup(app, server_config(os.environ["SESSION_STORAGE"]))
    for path, handler in {
        "/look": look,
        "/visit": visit,
        "/log_in/{sub}": log_in,
        "/log_out": log_out,
        "/log_out_everywhere": log_out_everywhere,
        "/everyone_out": everyone_out,
    }.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
