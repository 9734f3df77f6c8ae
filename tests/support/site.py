"""A small site on a storage that fails as it is told, its visitor, and what its handlers saw."""

from pathlib import Path
from typing import Any

from aiohttp import web
from support.visitor import Visitor, install, start

from aiohttp_lionrock import get_session

__all__ = ["TIMEOUT", "Site"]

TIMEOUT = 0.05  # seconds that a server of these tests waits for its storage


class Site:
    """A small site, its visitor, and what its handlers saw."""

    def __init__(self, storage: Any, **settings: Any) -> None:
        self.app = web.Application()
        self.storage = storage
        self.manager = install(self.app, storage=storage, storage_timeout=TIMEOUT, **settings)
        self.seen: list[Any] = []
        for name in ("log_in", "log_out", "look", "write", "teapot", "renew"):
            self.app.router.add_get(f"/{name}", getattr(self, name))
        self.app.router.add_get("/file", self.file)
        self.app.router.add_get("/redirect", self.redirect)
        self.app.router.add_get("/stream", self.stream)
        self.app.router.add_get("/zipped", self.zipped)
        self.app.router.add_get("/socket", self.socket)
        self.app.router.add_get("/plain", self.plain)

    async def start(self, aiohttp_client: Any) -> Visitor:
        self.visitor = await start(aiohttp_client, self.app)
        return self.visitor

    async def record(self) -> Any:
        return await self.storage.inner.get(self.visitor.refreshing["sid"])

    async def log_in(self, request: web.Request) -> web.Response:
        session = await get_session(request)
        session.renew()
        session["sub"] = "ann"
        return web.Response()

    async def log_out(self, request: web.Request) -> web.Response:
        (await get_session(request)).invalidate()
        return web.Response()

    async def renew(self, request: web.Request) -> web.Response:
        (await get_session(request)).renew()
        return web.Response()

    async def look(self, request: web.Request) -> web.Response:
        self.seen.append(await get_session(request))
        return web.Response()

    async def teapot(self, request: web.Request) -> web.Response:
        self.seen.append(await get_session(request))
        return web.Response(status=418)

    async def plain(self, request: web.Request) -> web.Response:
        return web.Response()

    async def change(self, request: web.Request) -> None:
        session = await get_session(request)
        session["visits"] = session.get("visits", 0) + 1
        session.describe(place="here")  # something that the storage must be told

    async def write(self, request: web.Request) -> web.Response:
        await self.change(request)
        return web.Response(text="secret page")

    async def file(self, request: web.Request) -> web.FileResponse:
        await self.change(request)
        return web.FileResponse(Path(__file__))

    async def redirect(self, request: web.Request) -> web.Response:
        await self.change(request)
        raise web.HTTPSeeOther("/look")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        await self.change(request)
        response = web.StreamResponse(headers={"X-Secret": "storage"})
        await response.prepare(request)
        await response.write(b"secret page")
        return response

    async def zipped(self, request: web.Request) -> web.StreamResponse:
        await self.change(request)
        response = web.StreamResponse()
        response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        await response.write(b"secret page")
        return response

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        await self.change(request)
        response = web.WebSocketResponse()
        await response.prepare(request)
        return response
