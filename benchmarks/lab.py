"""What the machine has to offer: servers to measure against, and wrk. What is not found is said to be missing."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Lab", "equipped"]

ROOT = Path(__file__).parent.parent
CACHE = "cache_size=1G"  # what mongod may keep in memory, whatever the tests give it


@dataclass(slots=True)
class Lab:
    """URLs of the servers, the path of wrk, a folder for files; None where there is none."""

    folder: Path
    redis: str | None = None
    mongodb: str | None = None
    wrk: str | None = None
    missing: list[str] = field(default_factory=list)


@contextlib.contextmanager
def equipped(*, servers: bool) -> Iterator[Lab]:
    """Starts what can be started, and ends it; without ``servers`` there is the folder alone."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lionrock-bench-"))
        lab = Lab(Path(folder), wrk=shutil.which("wrk"))
        if servers:
            lab.redis = stack.enter_context(_redis(lab))
            lab.mongodb = stack.enter_context(_mongodb(lab))
            if lab.wrk is None:
                lab.missing.append("wrk: the load comes from benchmarks.load, which is slower than wrk")
        yield lab


@contextlib.contextmanager
def _redis(lab: Lab) -> Iterator[str | None]:
    """REDIS_URL, or a redis-server of our own that keeps everything in memory."""
    program = shutil.which("redis-server")
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    if program is None:
        lab.missing.append("redis-server: aiohttp-session with Redis is not measured (REDIS_URL names a server)")
        yield None
        return
    port = _free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=lab.folder)
    try:
        _wait_for_port(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def _mongodb(lab: Lab) -> Iterator[str | None]:
    """MONGODB_URL, or a standalone mongod of our own, found and started as the tests do it."""
    if url := os.environ.get("MONGODB_URL"):
        yield url
        return
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        from support.mongod import Mongod, find_mongod
    except ImportError as exc:
        lab.missing.append(f"mongod: no MongoDB is measured, because of a package that is not there ({exc})")
        yield None
        return
    program = find_mongod()
    if program is None:
        lab.missing.append("mongod: no MongoDB is measured (MONGODB_URL names a server)")
        yield None
        return
    server = Mongod(program, lab.folder / "mongod")
    try:
        server.start()
        with server.client() as client:
            client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig=CACHE)
        yield server.url
    finally:
        server.terminate()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_port(port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
