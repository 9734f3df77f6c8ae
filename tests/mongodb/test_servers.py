"""The test servers themselves: where they come from, what happens without any, and that none stays behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import mongod
from support.mongod import Mongod, ReplicaSet, database_url, wait_for

CONFTEST = "pytest_plugins = ['support.mongod']\n"
NO_SERVER = CONFTEST + "import support.mongod\nsupport.mongod.find_mongod = lambda: None\n"


def run_pytest(folder: Path, conftest: str, test: str, **environ: str) -> "subprocess.Popen[str]":
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(test)
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "MONGODB_URL")}
    environ = {**kept, "PYTHONPATH": str(Path(mongod.__file__).parents[1]), **environ}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(folder)]
    return subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True)


def test_a_mongod_on_the_path_comes_before_the_one_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert mongod.find_mongod() == program


def test_the_mongod_in_the_wheel_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    program = mongod.find_mongod()
    if program is None:
        pytest.skip("the wheel is for Linux on x86-64 only")
    assert os.access(program, os.X_OK)
    assert "fiftyone" not in sys.modules


def test_without_a_server_tests_are_skipped_and_say_why(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, NO_SERVER, "def test_it(standalone): pass").communicate()[0]
    assert "1 skipped" in output
    assert "no mongod on the PATH" in output


def test_without_a_server_tests_fail_under_ci(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, NO_SERVER, "def test_it(replica_set): pass", CI="true").communicate()[0]
    assert "1 error" in output
    assert "no mongod on the PATH" in output


def test_a_server_named_in_the_environment_is_used_for_what_it_is(tmp_path: Path, standalone: Mongod) -> None:
    test = (
        f"def test_one(standalone_url): assert standalone_url == {standalone.url!r}\n"
        "def test_set(replica_set_url): pass"
    )
    output = run_pytest(tmp_path, NO_SERVER, test, MONGODB_URL=standalone.url).communicate()[0]
    assert "1 passed, 1 skipped" in output


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_server_outlives_its_tests_however_they_end(tmp_path: Path, mongod_program: Path, end: int) -> None:
    test = (
        "import pathlib, signal, time\n"
        "def test_it(standalone):\n"
        "    standalone.stop()\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'pid').write_text(f'{{standalone.pid}}\\n')\n"
        "    time.sleep(60)"
    )
    tests = run_pytest(tmp_path, CONFTEST, test)
    note = tmp_path / "pid"
    pid = int(wait_for(lambda: note.read_text().strip() if note.exists() else None, "the server"))
    assert Path(f"/proc/{pid}").exists()
    tests.send_signal(end)
    tests.communicate(timeout=30)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the server to end", 10)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mongodb://h", "mongodb://h/shop?timeout=1"),
        ("mongodb://h/?directConnection=true", "mongodb://h/shop?directConnection=true&timeout=1"),
        ("mongodb://u:p@h1,h2/admin?a=b", "mongodb://u:p@h1,h2/shop?a=b&timeout=1"),
    ],
)
def test_a_database_and_options_are_added_to_a_servers_url(url: str, expected: str) -> None:
    assert database_url(url, "shop", timeout=1) == expected


def test_a_replica_set_recovers_from_what_is_done_to_it(replica_set: ReplicaSet) -> None:
    assert len(set(replica_set.pids)) == 3
    old = replica_set.primary()
    assert old not in replica_set.secondaries()
    old.kill()
    assert not old.is_running
    assert replica_set.primary() is not old
    replica_set.secondaries()[0].stop()
    replica_set.wait_until_whole()
    assert len(set(replica_set.pids)) == 3
