"""A cap over several processes: as many logins are let in as there is room for, and none of them is ended."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from support import logins

from aiohttp_lionrock import open_storage

PATIENCE = 60.0  # seconds
PROCESSES, LOGINS, MOST, ROUNDS = 3, 17, 5, 8


async def answer_of(process: Process, line: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(f"{line}\n".encode())
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode().strip()


async def start(url: str) -> Process:
    arguments = (logins.__file__, url, str(MOST), str(LOGINS))
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=PIPE, stdout=PIPE)


@pytest.mark.parametrize("kind", ["sqlite", "mongodb"])
async def test_fifty_one_logins_of_three_processes_at_once(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    is_file = kind == "sqlite"
    url = f"sqlite:///{tmp_path}/sessions.db" if is_file else request.getfixturevalue("standalone_database")
    processes = [await start(url) for _ in range(PROCESSES)]
    try:
        assert [await answer_of(process) for process in processes] == ["ready"] * PROCESSES
        async with open_storage(url) as storage:
            for number in range(ROUNDS):
                answers = await asyncio.gather(*(answer_of(process, f"ann {number}") for process in processes))
                let_in = [sid for answer in answers for sid in json.loads(answer)]
                assert len(let_in) == MOST
                assert set(let_in) <= {record.sid for record in await storage.list_subject(f"ann {number}")}
    finally:
        for process in processes:
            await asyncio.wait_for(process.communicate(b"\n"), PATIENCE)
