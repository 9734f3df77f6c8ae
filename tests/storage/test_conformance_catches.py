"""The conformance suite catches what a backend can get wrong: each fault makes named tests fail."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support.faulty import FAULTS, SharedMemory, failures, hooked, names_of, shared, suite_of

from aiohttp_lionrock.storage import JtiRecord, JtiStorage
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import SharedStorageConformance, StorageConformance
from aiohttp_lionrock.testing.conformance import failures as unreachable
from aiohttp_lionrock.testing.conformance.case import EVERY_FIELD

HOOKS = (hooked.Breaks, hooked.Damages, hooked.HasUrls)


class WithoutWhatHasADefault(MemoryStorage):
    """Overrides nothing that the contract has a default for."""

    get_many = JtiStorage.get_many
    delete_subject = JtiStorage.delete_subject
    scan = JtiStorage.scan


HONEST = (
    SharedMemory,
    WithoutWhatHasADefault,
    hooked.Remote,
    hooked.RemoteForGood,
    hooked.Damageable,
    hooked.Addressed,
    shared.AtAUrl,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_suite_catches(fault: type[MemoryStorage]) -> None:
    assert failures(fault) >= FAULTS[fault]
    assert failures(fault) < names_of(suite_of(fault)), "a fault that fails every test shows nothing"


def test_every_test_of_the_suite_catches_some_fault() -> None:
    caught = [failures(fault) for fault in FAULTS]
    assert set().union(*caught) == names_of(suite_of(SharedMemory, *HOOKS))


def test_a_call_that_never_ends_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreachable, "PATIENCE", 0.05)
    assert failures(hooked.WaitsForEver) == {hooked.EVERY_CALL, hooked.MANY_CALLS}


@pytest.mark.parametrize("backend", HONEST, ids=lambda backend: backend.__name__)
def test_an_honest_backend_passes_the_whole_suite(backend: type[MemoryStorage]) -> None:
    assert failures(backend) == set()


def test_the_suite_tries_every_field_of_a_record() -> None:
    assert EVERY_FIELD.keys() == {field.name for field in fields(JtiRecord)} - {"sid", "version", "expires_at"}
    assert len({str(value) for value in EVERY_FIELD.values()}) == len(EVERY_FIELD)


@pytest.mark.parametrize(
    ("hook", "word"), [(hooked.Breaks, "unreachable"), (hooked.Damages, "damaged"), (hooked.HasUrls, "bad_url")]
)
def test_tests_that_need_a_hook_are_there_where_it_is_given_and_nowhere_else(hook: type, word: str) -> None:
    plain, given = names_of(suite_of(MemoryStorage)), names_of(suite_of(MemoryStorage, hook))
    assert not any(word in name for name in plain)
    assert any(word in name for name in given)
    assert given > plain
    assert names_of(suite_of(MemoryStorage)) == plain, "a suite with a hook leaves the others as they were"


def test_a_hook_that_a_subclass_adds_brings_its_tests() -> None:
    class Plain(StorageConformance):
        pass

    class Further(Plain):
        async def corrupt(self, sid: str) -> None:
            pass

    assert {name for name in names_of(Further) - names_of(Plain) if "damaged" not in name} == set()
    assert len(names_of(Further)) > len(names_of(Plain)) == len(names_of(StorageConformance))


def test_urls_may_be_a_property() -> None:
    class Urls(StorageConformance):
        @property
        def bad_urls(self) -> Any:
            return []

    assert "before_open_a_bad_url_is_refused_with_what_is_wrong" in names_of(Urls)


BACKEND_TESTS = """
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.testing import SharedStorageConformance, StorageConformance

class MemoryTests(StorageConformance):
    bad_urls = [("memory://" + StorageConformance.password, "no address")]
    good_url = "memory://"

    def bare_url(self):
        return "memory://"

    absent_url = bare_url

    async def make_storage(self, clock):
        return MemoryStorage(clock=clock)
"""


@pytest.mark.parametrize(
    "runner", [["pytest", "-q", "-p", "no:cacheprovider"], ["unittest"]], ids=["pytest", "unittest"]
)
def test_importing_the_suite_into_a_test_module_does_not_run_it(runner: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_backend.py").write_text(BACKEND_TESTS)
    count = len(names_of(suite_of(MemoryStorage, hooked.HasUrls)))
    done = subprocess.run(
        [sys.executable, "-m", *runner, "test_backend.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert f"{count} passed" in output or f"Ran {count} tests" in output, output
    assert "skipped" not in output


def test_the_suite_does_not_need_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_backend.py").write_text(BACKEND_TESTS)
    code = "import sys, unittest; sys.modules['pytest'] = None; unittest.main('test_backend')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_shared_suite_has_every_test_of_the_plain_one() -> None:
    assert names_of(SharedStorageConformance) > names_of(StorageConformance)
