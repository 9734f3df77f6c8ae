"""The benchmarks measure what they say and judge by their table. No time is looked at here."""

import copy
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from aiohttp_lionrock import SessionConfig, SessionManager
from benchmarks import chart, harness, report
from benchmarks.harness import Case, Fact, Findings, Spread
from benchmarks.samples import FLAT, NESTED, SECRET, Sample
from benchmarks.startup import unwanted
from benchmarks.targets import TARGETS, Target
from benchmarks.watching import measure_watching

SVG = "{http://www.w3.org/2000/svg}"

# Each number that was promised, by the name of what it is promised for.
PROMISED = {
    "tokens.verify": "<= 1.2",
    "tokens.sign": "<= 1",
    "tokens.previous": "<= 1.05",
    "tokens.forged": "<= 1",
    "requests.untouched": "<= 1",
    "requests.read": "<= 0.18",
    "requests.write": "<= 0.33",
    "requests.nested_read": "<= 0.22",
    "requests.nested_write": "<= 0.4",
    "requests.unseen_read": "<= 0.48",
    "requests.unseen_write": "<= 0.48",
    "network.read": ">= 1.6",
    "network.write": ">= 1.8",
    "sqlite.get": "<= 2",
    "sqlite.get_alone": "<= 2",
    "sqlite.replace_normal": "<= 1.5",
    "sqlite.replace_full": "<= 1.5",
    "mongodb.get": "<= 0.15",
    "mongodb.replace": "<= 1.15",
    "network.mongodb": ">= 3",
    "growth.sqlite_get": "<= 1.3",
    "growth.sqlite_replace": "<= 1.3",
    "growth.mongodb_get": "<= 1.4",
    "growth.mongodb_replace": "<= 1.4",
    "growth.memory": "<= 1.05",
    "growth.purge": "<= 3",
    "startup.time": "<= 1.15",
    "startup.modules": "<= 0",
}


def kept() -> Findings:
    """Every target met exactly."""
    findings = Findings()
    for name, target in TARGETS.items():
        findings.ratio(name, [target.bound])
    return findings


def test_the_table_holds_every_promised_number() -> None:
    assert {name: target.text for name, target in TARGETS.items()} == PROMISED


@pytest.mark.parametrize(("sample", "least", "most"), [(FLAT, 360, 450), (NESTED, 560, 680)], ids=["flat", "nested"])
async def test_a_sample_makes_a_token_of_the_size_that_people_have(sample: Sample, least: int, most: int) -> None:
    manager = SessionManager(SessionConfig(secret=SECRET), environ={})
    session = await manager.load({})
    session.update(copy.deepcopy(sample.data))
    [access] = await manager.save(session)
    assert access.value is not None
    assert least < len(access.value) < most
    sample.change(session)
    assert dict(session) != sample.data


def test_a_ratio_is_taken_within_each_round() -> None:
    timings = {"a": [2.0, 9.0], "b": [1.0, 3.0]}
    assert harness.ratios(timings, "a", "b") == [2.0, 3.0]
    assert harness.added(timings, "a", "b") == [1.0, 6.0]


def test_a_spread_has_the_median_the_least_and_the_most() -> None:
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0)


async def test_every_case_is_checked_in_every_round_and_timed_by_its_best_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, checks = 0.0, []
    cost = iter([*(10.0, 10.0, 10.0), *(4.0, 2.0, 3.0), *(8.0, 9.0, 6.0)])  # to see how long it takes, then two rounds

    def run(count: int) -> None:
        nonlocal now
        now += next(cost) * count

    async def run_slowly(count: int) -> None:
        nonlocal now
        now += 7 * count

    monkeypatch.setattr(harness.time, "perf_counter", lambda: now)
    cases = {"plain": Case(run, lambda: checks.append("plain"), unit=2), "async": Case(run_slowly, lambda: None)}
    timings = await harness.measure(cases, 2, slices=3, seconds=0.001)
    assert timings == {"plain": [1.0, 3.0], "async": [7.0, 7.0]}
    assert checks == ["plain", "plain"]


async def test_a_slice_is_not_shorter_where_the_first_run_was_held_up() -> None:
    now = 0.0
    held_up = iter([50.0])

    def run(count: int) -> None:
        nonlocal now
        now += count + next(held_up, 0.0)

    assert await harness.calibrated(Case(run, lambda: None), 20.0, lambda: now) == 20


async def test_a_case_that_does_not_do_its_work_ends_the_measuring() -> None:
    def check() -> None:
        raise AssertionError("it read nothing")

    with pytest.raises(AssertionError, match="it read nothing"):
        await harness.measure({"idle": Case(lambda count: None, check)}, 1, seconds=0)


@pytest.mark.parametrize(
    ("target", "met", "near", "far"),
    [(Target("less", 1.2, ""), 1.2, 1.79, 1.81), (Target("more", 3.0, "", at_least=True), 3.0, 2.01, 1.99)],
    ids=["at most", "at least"],
)
def test_a_target_is_met_or_missed_or_missed_by_more_than_half(
    target: Target, met: float, near: float, far: float
) -> None:
    assert [target.is_met(value) for value in (met, near, far)] == [True, False, False]
    assert [target.is_far_off(value) for value in (met, near, far)] == [False, False, True]


def test_a_quick_run_fails_for_one_target_that_is_far_off_and_for_none_that_is_near() -> None:
    findings = kept()
    assert report.missed(findings) == report.far_off(findings) == []
    findings.ratio("requests.read", [0.1, 0.36, 9.0])
    assert report.missed(findings) == ["requests.read"]
    assert report.far_off(findings) == []
    findings.ratio("network.write", [1.1, 1.1, 1.15])
    assert report.far_off(findings) == ["network.write"]


def test_one_round_that_the_machine_left_in_peace_keeps_a_quick_run_from_failing() -> None:
    findings = kept()
    findings.ratio("network.write", [0.5, 0.6, 1.7])
    findings.ratio("tokens.verify", [9.0, 8.0, 1.3])
    assert report.missed(findings) == ["tokens.verify", "network.write"]
    assert report.far_off(findings) == []


def test_one_unwanted_module_is_one_too_many() -> None:
    findings = kept()
    findings.ratio("startup.modules", [1])
    assert report.far_off(findings) == ["startup.modules"]


def test_unwanted_modules_are_drivers_and_testing_that_come_with_the_library_alone() -> None:
    ours = ["os", "unittest", "motor", "aiohttp_lionrock.testing", "aiohttp_lionrock.web"]
    assert unwanted(ours, ["os", "unittest"]) == ["aiohttp_lionrock.testing", "motor"]


def test_the_table_says_what_was_missed_not_measured_and_missing() -> None:
    findings = kept()
    findings.ratio("tokens.sign", [1.1, 1.2, 1.3])
    del findings.ratios["mongodb.get"]
    findings.missing.append("mongod: not found")
    findings.fact("a group", "a fact", 1234.5, "us")
    lines = list(report.table(findings))
    (sign,) = [line for line in lines if line.startswith("tokens.sign")]
    assert sign.split()[1:7] == ["<=", "1", "1.200", "1.100", "1.300", "MISSED:"]
    assert next(line for line in lines if "not measured" in line).startswith("mongodb.get ")
    assert any("1,234.50 us" in line for line in lines)
    assert lines[-1] == "\nmissing: mongod: not found"
    assert report.summary(findings).startswith(f"{len(TARGETS) - 2} of {len(TARGETS)} targets met on ")
    assert report.summary(findings).endswith("; missed: tokens.sign; 1 not measured")


def test_findings_of_several_groups_are_put_together() -> None:
    whole, part = Findings(missing=["wrk"]), Findings(missing=["wrk", "mongod"])
    part.ratio("tokens.sign", [0.5])
    part.micros("signing", {"ours": [1e-6, 3e-6, 2e-6]})
    whole.add(part)
    assert whole.ratios == {"tokens.sign": Spread(0.5, 0.5, 0.5)}
    assert whole.facts == [Fact("signing", "ours", pytest.approx(2.0), "us")]
    assert whole.missing == ["wrk", "mongod"]


def test_the_results_are_written_with_targets_and_verdicts(tmp_path: Path) -> None:
    findings = kept()
    findings.ratio("tokens.sign", [1.23456789])
    report.write_results(tmp_path / "results.json", findings)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["ratios"]["tokens.sign"]["median"] == 1.235
    assert results["ratios"]["tokens.sign"]["met"] is False
    assert results["ratios"]["network.read"]["at_least"] is True
    assert results["machine"].split(" cores, ")[1]


def test_the_chart_is_well_formed_and_shows_each_bar_in_proportion(tmp_path: Path) -> None:
    facts = [
        Fact(chart.COST, "lionrock read", 10.0, "us"),
        Fact(chart.COST, "encrypted read", 40.0, "us"),
        Fact(chart.RATE, "bare", 20_000.0, "/s"),
        Fact("something else", "bare", 1.0, "/s"),
    ]
    chart.write_chart(tmp_path / "chart.svg", Findings(facts=facts), "2 cores, <CPython> & more")
    root = ElementTree.parse(tmp_path / "chart.svg").getroot()
    assert root.tag == f"{SVG}svg"
    bars = root.findall(f"{SVG}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "peer", "peer"]
    assert float(bars[1].get("width", "")) == pytest.approx(4 * float(bars[0].get("width", "")), rel=0.01)
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert "20,000 " in texts
    assert any("<CPython> & more" in str(text) for text in texts)


def test_everything_that_the_chart_shows_lies_inside_it() -> None:
    names = [*((chart.COST, name) for name in chart.COSTS), *((chart.RATE, name) for name in chart.RATES)]
    facts = [Fact(group, name, 1000.0 + place, "") for place, (group, name) in enumerate(names)]
    root = ElementTree.fromstring(chart.draw(chart.panels(facts), "a machine"))
    height, width = float(root.get("height", "")), float(root.get("width", ""))
    for bar in root.findall(f"{SVG}rect"):
        assert float(bar.get("y", "")) + float(bar.get("height", "")) < height
        assert float(bar.get("x", "")) + float(bar.get("width", "")) < width


async def test_the_watched_sockets_that_are_measured_are_open_and_watched(tmp_path: Path) -> None:
    idle, watched, longest = await measure_watching(f"sqlite:///{tmp_path}/sessions.db", sockets=20, seconds=0.2)
    assert idle > 0
    assert watched > 0
    assert longest < 60
