"""``python -m benchmarks`` measures everything; ``--quick`` takes 150 seconds and fails where a target is far off."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .chart import write_chart
from .harness import Findings
from .lab import Lab, equipped
from .report import far_off, machine, others_at_work, summary, table, write_results

FOLDER = Path(__file__).parent
GROUPS = ("tokens", "requests", "startup", "sqlite", "mongodb", "network", "growth")
SERVED = {"mongodb", "network", "growth"}  # the groups that measure against servers


def main() -> int:
    options = _options()
    findings = Findings(missing=[warning] if (warning := others_at_work()) else [])
    started = time.monotonic()
    groups = options.only or GROUPS
    with equipped(servers=not SERVED.isdisjoint(groups)) as lab:
        for group in groups:
            print(f"{time.monotonic() - started:5.0f} s  {group} ...", file=sys.stderr, flush=True)
            for part in _measure(group, lab, options):
                findings.add(part)
        findings.missing += lab.missing
    print("\n".join(table(findings)))
    print(f"\n{summary(findings)}, in {time.monotonic() - started:.0f} s")
    if options.quick:
        broken = far_off(findings)
        print(f"missed by more than half in every round: {', '.join(broken) or 'none'}")
        return 1 if broken else 0
    if not options.only:
        write_results(FOLDER / "results.json", findings)
        write_chart(FOLDER / "chart.svg", findings, machine())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="in 150 seconds; the exit status tells of targets far off")
    parser.add_argument("--only", action="append", choices=GROUPS, help="this group alone; nothing is written")
    parser.add_argument("--records", type=int, help="records of the large tables (1000000; MongoDB takes no more)")
    return parser.parse_args()


def _measure(group: str, lab: Lab, options: argparse.Namespace) -> Iterator[Findings]:
    """Runs one group. Peers are imported here, so that a group runs without the peers of another."""
    rounds = 2 if options.quick else 9
    many = options.records or (20_000 if options.quick else 1_000_000)
    if group == "tokens":
        from .tokens import measure_tokens

        yield asyncio.run(measure_tokens(rounds))
    elif group == "requests":
        from .requests import measure_requests

        yield asyncio.run(measure_requests(rounds))
    elif group == "startup":
        from .startup import measure_startup

        yield measure_startup(lab.folder, rounds)
    elif group == "sqlite":
        from .sqlite import measure_sqlite

        yield asyncio.run(measure_sqlite(lab.folder, rounds))
    elif group == "network":
        from .network import measure_network

        yield measure_network(lab, rounds=2 if options.quick else 5, single=not options.quick)
    else:
        yield from _measure_databases(group, lab, options.quick, many, rounds)


def _measure_databases(group: str, lab: Lab, quick: bool, many: int, rounds: int) -> Iterator[Findings]:
    if group == "growth":
        from .growth import measure_mongodb_growth, measure_sqlite_growth

        purged = 200_000 if quick else min(many, 1_000_000)  # fewer are gone before a percentile can be told
        yield asyncio.run(measure_sqlite_growth(lab.folder, many, purged, rounds))
        if lab.mongodb:
            records = 10_000 if quick else min(many, 1_000_000)
            yield asyncio.run(measure_mongodb_growth(lab.mongodb, records, rounds))
    elif lab.mongodb:
        from .mongodb import measure_mongodb

        yield asyncio.run(measure_mongodb(lab.mongodb, rounds))


if __name__ == "__main__":
    sys.exit(main())
