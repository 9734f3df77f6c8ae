"""Failovers under load, in short: every fault once, on a real replica set. ``make test-faults`` is the long form."""

from uuid import uuid4

import pymongo
import pytest
from faults.disruptions import DISRUPTIONS, Disruptor
from faults.drill import Drill
from faults.report import Report
from support.mongod import ReplicaSet, database_url

SHORT = Drill(leeway=2, before=2, after=4)
FREEZING = ("freeze_primary", "freeze_secondaries")
FROZEN, DEAD = 7.0, 4.0  # seconds; a freeze is so much longer than the leeway that a retry comes late


@pytest.mark.parametrize("fault", DISRUPTIONS)
async def test_sessions_keep_their_promises_in_a_failover(replica_set: ReplicaSet, fault: str) -> None:
    database = f"faults_{uuid4().hex}"
    url = database_url(replica_set.url, database)
    disruptor = Disruptor(replica_set, FROZEN if fault in FREEZING else DEAD)
    try:
        history = await SHORT.run(lambda: url, lambda: DISRUPTIONS[fault](disruptor))
    finally:
        replica_set.wait_until_whole()
    report = Report.of(history)
    assert not report.violations, str(report)
    assert not report.lost, str(report)
    assert report.late_retries or fault not in FREEZING, f"nobody came back late\n{report}"
    with pymongo.MongoClient(replica_set.url) as client:
        client.drop_database(database)
