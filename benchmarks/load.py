"""Load from a program of its own: wrk where it is installed, else this module's own connections.

``python -m benchmarks.load PORT PATH COOKIES CONNECTIONS SECONDS`` is the second; both print one line:
``counted``, requests, failures, microseconds, 99th percentile in microseconds.
"""

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

__all__ = ["Count", "load"]

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True)
class Count:
    """What one run of load counted; ``p99`` in seconds."""

    requests: int
    per_second: float
    p99: float


def load(wrk: str | None, port: int, path: str, cookies: Path, connections: int, seconds: int) -> Count:
    """Runs the load to its end. Raises RuntimeError where a response was no success."""
    if wrk is None:
        arguments = [str(port), path, str(cookies), str(connections), str(seconds)]
        command = [sys.executable, "-m", "benchmarks.load", *arguments]
    else:
        url = f"http://127.0.0.1:{port}{path}"
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT)]
        command = [wrk, *options, url, "--", str(cookies)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parent.parent)
    line = next((line for line in done.stdout.splitlines() if line.startswith("counted ")), None)
    if done.returncode or line is None:
        raise RuntimeError(f"the load failed: {done.stdout} {done.stderr}")
    requests, failed, micros, p99 = map(int, line.split()[1:])
    if failed or not requests:
        raise RuntimeError(f"{failed} of {requests} requests for {path} failed")
    return Count(requests, requests / micros * 1e6, p99 / 1e6)


class _Connection(asyncio.Protocol):
    """Sends the next request when a response is whole. Responses have a length and are small."""

    def __init__(self, requests: "cycle[bytes]", times: list[float]) -> None:
        self._requests, self._times = requests, times
        self._pending = b""
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._start = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._pending += data
        head, end, body = self._pending.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]):
            return
        self._times.append(time.perf_counter() - self._start)
        self.failed += not head.startswith(b"HTTP/1.1 200")
        self._pending = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed += exc is not None


async def _run(port: int, path: str, cookies: Path, connections: int, seconds: float) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nCookie: "
    requests = cycle([f"{head}{line}\r\n\r\n".encode() for line in cookies.read_text().splitlines()])
    times: list[float] = []
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    made = [
        await loop.create_connection(lambda: _Connection(requests, times), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    took, count = time.perf_counter() - start, len(times)
    for transport, _ in made:
        transport.abort()
    p99 = sorted(times)[count * 99 // 100]
    print("counted", count, sum(protocol.failed for _, protocol in made), int(took * 1e6), int(p99 * 1e6))


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
