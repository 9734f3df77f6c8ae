"""Requests a second over the loopback: each server in its own process, the load from another.

Runs at 64 connections tell how much a full server serves; one connection shows what a single request takes,
and the server's CPU time for each request what batches of many connections cannot flatter.
"""

import contextlib
import http.client
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .harness import Findings, Spread
from .lab import ROOT, Lab
from .load import Count, load
from .mongodb import database_url
from .requests import cookie_of
from .samples import DATA, OTHER_COOKIES

__all__ = ["measure_network"]

SESSIONS = 256
FULL, SINGLE = 64, 1  # connections
STATELESS = ("bare", "lionrock", "encrypted", "redis")


@dataclass(slots=True)
class Server:
    """A server process with sessions logged in; ``cookies`` is the file that the load reads."""

    name: str
    port: int
    cookies: Path
    checked: bool

    def ask(self, path: str, cookie: str = "") -> tuple[int, str, str]:
        """Status, headers and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Cookie": f"{OTHER_COOKIES}; {cookie}"})
            response = connection.getresponse()
            head = "\r\n".join(f"{name}: {value}" for name, value in response.getheaders())
            return response.status, head, response.read().decode()

    def cpu(self) -> float:
        return float(self.ask("/cpu")[2])

    def log_in(self, number: int) -> str:
        status, head, _ = self.ask(f"/login?sid=s{number}")
        assert status == 200, (self.name, status)
        return cookie_of(head) if self.name != "bare" else "none=0"

    def check(self) -> None:
        """Reads read, writes set the cookie, and a storage is asked: a session that has ended is refused."""
        cookie = self.log_in(SESSIONS)
        assert self.ask("/read", cookie)[0::2] == (200, DATA["user"]), self.name
        if self.name in STATELESS[1:3]:
            assert "set-cookie" in self.ask("/write", cookie)[1].lower(), self.name
        if self.checked:
            assert self.ask("/logout", cookie)[0] == 200, self.name
            assert self.ask("/read", cookie)[0] == 401, self.name


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one round: what the load counted, and the server's CPU seconds for each request."""

    count: Count
    cpu: float


Key = tuple[str, str, int]
Runs = dict[Key, list[Run]]


def measure_network(lab: Lab, rounds: int, seconds: int = 1, *, single: bool = True) -> Findings:
    """``single`` adds the runs with one connection."""
    findings = Findings()
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(_started(lab, *kind)) for kind in _kinds(lab)]
        plan = [  # what is compared runs one right after the other
            (server, path, count)
            for count in (FULL, SINGLE)[: 1 + single]
            for path in ("/read", "/write")
            for server in servers
            if path in _paths(server)
        ]
        runs: Runs = {(server.name, path, count): [] for server, path, count in plan}
        for turn in range(rounds):
            for server in servers:
                server.check()
            for server, path, count in plan[:: -1 if turn % 2 else 1]:
                runs[server.name, path, count].append(_run(lab, server, path, count, seconds))
    _judge(findings, runs)
    _state(findings, runs)
    findings.fact("load", "wrk" if lab.wrk else "benchmarks.load, not wrk", 1, "process of its own")
    return findings


def _kinds(lab: Lab) -> Iterator[tuple[str, str, str]]:
    """Name, kind and URL of each server."""
    for name in ("bare", "lionrock", "encrypted"):
        yield name, name, ""
    if lab.redis:
        yield "redis", "redis", lab.redis
    yield "lionrock, memory coalesced", "memory", ""
    yield "lionrock, sqlite", "storage", f"sqlite:///{lab.folder}/network.db"
    if lab.mongodb:
        url = database_url(lab.mongodb, "network")
        yield "lionrock, find_one each", "find_one session", url
        yield "lionrock, mongodb", "storage", url
        yield "no session, find_one each", "find_one handler", url


def _paths(server: Server) -> tuple[str, ...]:
    return ("/read", "/write") if server.name in STATELESS[1:] else ("/read",)


@contextlib.contextmanager
def _started(lab: Lab, name: str, kind: str, url: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "benchmarks.serve", kind, url]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the server {name!r} did not start")
        checked = kind in ("storage", "memory", "find_one session")
        server = Server(name, int(port), lab.folder / f"{name}.cookies", checked)
        lines = [f"{OTHER_COOKIES}; {server.log_in(number)}" for number in range(SESSIONS)]
        server.cookies.write_text("\n".join(lines) + "\n")
        yield server
    finally:
        process.stdin.close()
        process.wait(10)


def _run(lab: Lab, server: Server, path: str, connections: int, seconds: int) -> Run:
    before = server.cpu()
    count = load(lab.wrk, server.port, path, server.cookies, connections, seconds)
    return Run(count, (server.cpu() - before) / count.requests)


def _judge(findings: Findings, runs: Runs) -> None:
    for path in ("/read", "/write"):
        findings.ratio(f"network.{path[1:]}", _faster(runs, "lionrock", "encrypted", path))
    if ("lionrock, mongodb", "/read", FULL) in runs:
        findings.ratio("network.mongodb", _faster(runs, "lionrock, mongodb", "no session, find_one each", "/read"))


def _faster(runs: Runs, ours: str, peer: str, path: str) -> list[float]:
    pairs = zip(runs[ours, path, FULL], runs[peer, path, FULL], strict=True)
    return [our.count.per_second / theirs.count.per_second for our, theirs in pairs]


def _state(findings: Findings, runs: Runs) -> None:
    for (name, path, connections), each in runs.items():
        group = f"{connections} connections" if connections > 1 else "1 connection"
        label = f"{name}, {path[1:]}" if name in STATELESS[1:] else name
        rate = Spread.of([run.count.per_second for run in each])
        cpu = Spread.of([run.cpu for run in each])
        findings.fact(f"requests a second, {group}", label, rate.median, "/s")
        findings.fact(f"CPU of the server for a request, {group}", label, cpu.median * 1e6, "us")
    for name in ("lionrock, sqlite", "lionrock, mongodb"):
        if (name, "/read", FULL) in runs:
            share = Spread.of(_faster(runs, name, "lionrock, memory coalesced", "/read"))
            findings.fact("requests a second, 64 connections, over memory coalesced", name, share.median, "")
