"""What holds for every command: exit codes, errors in one line, colours, interruption, a missing click."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.sessions import SECRET
from support.shell import COMMAND, Shell, environment, put

from aiohttp_lionrock import JtiRecord

COMMANDS = ["backends", "check", "copy", "doctor", "inspect", "purge", "secret", "sessions"]
STORED = [["purge"], ["doctor"], ["sessions", "count"], ["sessions", "list", "ann"], ["sessions", "revoke", "x"]]
STORED.append(["sessions", "revoke-subject", "ann"])


def test_the_help_names_every_command_and_exit_code(shell: Shell) -> None:
    ran = shell("--help")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.split("Commands:\n")[1].split("\n\n")[0].splitlines()] == COMMANDS
    assert "130 interrupted" in ran.out
    assert shell().code == 2
    assert shell("--version").out.startswith("aiohttp-lionrock, version 0.")


@pytest.mark.parametrize("command", STORED, ids=" ".join)
def test_a_storage_that_cannot_answer_is_one_line_and_exit_code_3(shell: Shell, command: list[str]) -> None:
    ran = shell(*command, "--timeout", "0.3", SESSION_STORAGE="mongodb://ann:hush@127.0.0.1:1/x")
    assert ran.code == 3
    assert "hush" not in ran.out + ran.err
    if command != ["doctor"]:
        assert ran.err.startswith("Error: ")
        assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("command", STORED, ids=" ".join)
def test_a_missing_storage_is_said_with_the_way_out(shell: Shell, command: list[str]) -> None:
    ran = shell(*command)
    assert ran.code == 2
    assert "give --storage URL, or set SESSION_STORAGE" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("url", ["mongodb://ann:hush@h/db", "mongodb://h/db?tlsCertificateKeyFilePassword=hush"])
def test_a_password_is_not_taken_from_an_argument(shell: Shell, url: str) -> None:
    ran = shell("doctor", "--storage", url)
    assert ran.code == 2
    assert "give the URL in the environment, as SESSION_STORAGE" in ran.err
    assert "hush" not in ran.err


@pytest.mark.parametrize("url", ["other://user:@host/db", "other://host/db?password="])
def test_an_empty_password_is_none(shell: Shell, url: str) -> None:
    assert "no storage backend named 'other'" in shell("doctor", "--storage", url).err


def test_errors_are_json_where_json_is_wanted(shell: Shell) -> None:
    ran = shell("doctor", "--json", "--storage", "nothing://x")
    assert ran.code == 2
    assert "no storage backend named 'nothing'" in json.loads(ran.err)["error"]
    assert ran.out == ""


def test_a_wrong_word_is_one_line(shell: Shell) -> None:
    for words in (["purrge"], ["purge", "--batch", "0"], ["sessions", "list"]):
        ran = shell(*words)
        assert ran.code == 2
        assert len(ran.err.splitlines()) == 1
        assert "--help shows how" in ran.err


def on_terminal(*arguments: str, folder: Path, **variables: str) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=environment(**variables), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 10_000):
                shown += piece
        except OSError:  # the other side has ended
            pass
        process.wait(60)
    os.close(ours)
    return shown.decode()


def test_colours_are_for_terminals_and_no_color_is_honoured(shell: Shell, tmp_path: Path) -> None:
    assert "\x1b[" in on_terminal("check", folder=tmp_path)
    assert "\x1b[" not in on_terminal("check", folder=tmp_path, NO_COLOR="1")
    assert "\x1b[" not in shell("check").out


def test_ctrl_c_ends_a_command_cleanly(tmp_path: Path, url: str) -> None:
    put(url, *(JtiRecord(f"sid {number}", 1, 1, 0) for number in range(3000)))
    command = [*COMMAND, "purge", "--batch", "1", "--storage", url]
    with subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline() == "2 removed\n"
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        assert process.wait(30) == 130
        assert time.monotonic() - begin < 5
        assert process.stderr.read().strip().splitlines()[-1] == "Error: interrupted"
        assert process.stdout.read() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device that is always full is Linux's")
@pytest.mark.parametrize("command", [["--help"], ["secret"], ["backends", "--json"]], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run([*COMMAND, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ran.returncode == 2
    assert "input or output failed: No space left on device" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_without_click_the_pip_line_is_said(tmp_path: Path) -> None:
    script = "import runpy, sys; sys.modules['click'] = None; runpy.run_module('aiohttp_lionrock', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr == "Error: the command line needs click: pip install 'click>=8.2'\n"


def test_the_script_is_installed() -> None:
    script = Path(sys.executable).with_name("aiohttp-lionrock")
    made = subprocess.run([script, "secret"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert len(made.strip()) >= 32
    assert made.strip() != SECRET
