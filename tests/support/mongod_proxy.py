"""What stands between a driver and a MongoDB server: a proxy that loses a command or its answer, a wire to be cut."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

__all__ = ["Proxy", "Wire"]

Meanwhile = Callable[[], Awaitable[object]]


class Proxy:
    """Passes messages between a driver and a server, until it is told to cut at a command."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._command = ""
        self._cuts = 0
        self._after = self._late = self._held = False
        self._meanwhile: Meanwhile | None = None
        self._connections: list[asyncio.Future[None]] = []
        self.seen: list[str] = []

    def cut(self, command: str, *, times: int = 1, after: bool, meanwhile: Meanwhile | None = None) -> None:
        """Cuts the connection before or after the server makes this command; ``meanwhile`` happens before the cut."""
        self._command, self._cuts, self._after, self._meanwhile = command, times, after, meanwhile

    def hold(self, command: str, meanwhile: Meanwhile) -> None:
        """Lets ``meanwhile`` happen before the next such command goes to the server."""
        self._command, self._held, self._meanwhile = command, True, meanwhile

    def delay(self, command: str) -> None:
        """Cuts the connection, and lets the command arrive at the server once the driver has looked for its effect."""
        self.cut(command, after=False)
        self._late = True

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """For `asyncio.start_server`."""
        self._connections.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def aclose(self) -> None:
        """Waits for the connections to end, once the driver has closed its side."""
        await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*self._connections), 10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        doomed = asyncio.Event()
        ways = [
            asyncio.ensure_future(self._requests(reader, writer, up_writer, doomed)),
            asyncio.ensure_future(self._answers(up_reader, writer, doomed)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        driver: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
        doomed: asyncio.Event,
    ) -> None:
        while True:
            request = await _message(reader)
            name = _command_of(request)
            self.seen.append(name)
            if self._held and name == self._command:
                self._held = False
                await self._let_happen()
            if self._cuts > 0 and name == self._command:
                self._cuts -= 1
                doomed.set()
                if self._late:
                    await self._deliver_late(request, driver, server)
                    return
                if not self._after:
                    await self._let_happen()
                    return
            server.write(request)

    async def _deliver_late(self, request: bytes, driver: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.seen.clear()
        driver.close()
        while "find" not in self.seen:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        server.write(request)
        await asyncio.sleep(0.2)

    async def _answers(self, server: asyncio.StreamReader, driver: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        while True:
            answer = await _message(server)
            if doomed.is_set():
                await self._let_happen()
                return
            driver.write(answer)

    async def _let_happen(self) -> None:
        if self._meanwhile is not None:
            await self._meanwhile()


class Wire:
    """The only way to a server. While it is cut, connections to ``port`` are refused."""

    def __init__(self, host: str, server_port: int) -> None:
        self._server = host, server_port
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def mend(self) -> None:
        """Lets connections through, as at first."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Ends all connections and refuses new ones."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(self._connect(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection(*self._server)
            ways = [asyncio.ensure_future(_carry(reader, up_writer)), asyncio.ensure_future(_carry(up_reader, writer))]
            with contextlib.closing(up_writer):
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "little") - 4)


def _command_of(message: bytes) -> str:
    """The command in an OP_MSG is the name of the first element of its document."""
    return message[26 : message.index(b"\x00", 26)].decode(errors="replace")
