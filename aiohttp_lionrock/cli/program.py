"""The program: its commands, and how it ends."""

import os
import sys

import click

from ..errors import ConfigError, LionRockError
from .backends import backends
from .checking import check
from .copying import copy
from .doctor import doctor
from .exits import DONE, INTERRUPTED, WRONG, exit_code_of
from .inspecting import inspect
from .output import as_json, printable
from .purging import purge
from .secret import secret
from .sessions import sessions

__all__ = ["NAME", "program", "run"]

NAME = "aiohttp-lionrock"

EPILOG = """Exit codes: 0 done; 1 the answer is no (a refused token, faults, no such session); 2 the call or the
configuration is wrong; 3 the storage cannot answer, or is not there; 130 interrupted."""


@click.group(
    commands=[backends, check, copy, doctor, inspect, purge, secret, sessions],
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name=NAME, prog_name=NAME)
@click.pass_context
def program(ctx: click.Context) -> None:
    """Secrets, settings, tokens and stored sessions of aiohttp-lionrock.

    Secrets and tokens are read from the environment and from standard input, never from arguments. NO_COLOR is
    honoured.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def run() -> int:
    """Runs what the arguments of this process ask for; returns the exit code. Errors are one line."""
    try:
        code = program.main(prog_name=NAME, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.format_message(), err=True)
        return WRONG
    except click.ClickException as exc:
        return _fail(f"{exc.format_message()} ({_help_of(exc)} shows how)", WRONG)
    except ConfigError as exc:
        return _fail(str(exc), WRONG)
    except LionRockError as exc:
        return _fail(str(exc), exit_code_of(exc))
    except click.Abort:
        return _fail("interrupted", INTERRUPTED)
    except OSError as exc:
        return _fail(f"input or output failed: {exc.strerror or exc}", WRONG)
    return code if isinstance(code, int) else DONE


def _help_of(exc: click.ClickException) -> str:
    ctx = exc.ctx if isinstance(exc, click.UsageError) else None
    return f"{ctx.command_path if ctx else NAME} --help"


def _fail(message: str, code: int) -> int:
    line = printable(" ".join(message.split()))
    click.echo(as_json({"error": line}) if "--json" in sys.argv else f"Error: {line}", err=True)
    return code
