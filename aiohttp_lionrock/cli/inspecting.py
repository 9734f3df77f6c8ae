"""``inspect``: what a token says, whether it would be honoured, and what the storage has of its session."""

import asyncio
import logging
import re
import sys
import time
from dataclasses import replace
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from ..errors import ConfigError, StorageUnavailable, TokenExpired
from ..jsontext import is_storable_text
from ..log import logger
from ..sessions.living import LivingRecords
from ..sessions.manager import SessionManager
from ..sessions.verdicts import state_of
from ..settings.config import SessionConfig
from ..storage.contract import JtiRecord
from .exits import DONE, NO, UNAVAILABLE, WRONG
from .options import json_option, optional_storage_options, settings_of, settings_options
from .output import moment, printable, show
from .reading import Reading, read
from .storages import LookOnly

__all__ = ["inspect"]

LONGEST = 1_000_000  # characters that are read
NO_REFRESH_TOKENS = "it is a refresh token, and these settings have none: set SESSION_REFRESH_TOKEN=true"
OVER = "it is over, or lives longer than these settings allow: the refresh token beside it decides"
HEADER = re.compile(r"^\W*(-H\W*)?(set-)?cookie:", re.IGNORECASE | re.MULTILINE)
TIMES = {"iat": "issued", "nbf": "valid from", "exp": "expires", "orig_iat": "began"}
COLOURS = {"honoured": "green", "refused": "red", "unknown": "yellow"}


class Verdict(NamedTuple):
    """``honoured``, ``refused`` or ``unknown``, and why; ``code`` is that of the refusal."""

    word: str
    reason: str
    code: str | None = None
    exit: int = DONE


@click.command()
@settings_options
@optional_storage_options
@json_option
def inspect(file: str | None, table: str | None, url: str | None, timeout: float, json_wanted: bool) -> int:
    """Explains a token that is read from standard input: the value of a session cookie, NAME=VALUE, or a header with
    one session cookie in it. Of an access and a refresh cookie give one and then the other.

    It is judged as an application with these settings (of the environment, or of a TOML file) and with the secrets of
    the environment judges it, and nothing is changed. The signature is never printed. Exit code 1 where it is refused.
    """
    config = settings_of(file, table)
    source = click.get_current_context().get_parameter_source("url")
    if url and (config.storage is None or source is ParameterSource.COMMANDLINE):
        config = replace(config, storage=url)
    token = _token(config)
    reading = read(token, config)
    logger.setLevel(logging.CRITICAL)  # a replay is told of below; nothing is revoked
    verdict, record = asyncio.run(_judge(token, reading, config, timeout))
    data = _data(_subject_name(config), reading, verdict, record)
    show(json_wanted, data, _lines(reading, verdict, record, config, time.time()))
    return verdict.exit


def _token(config: SessionConfig) -> str:
    """The token alone; a cookie of any name, and a header with one of ours in it, are welcome too."""
    if sys.stdin.isatty():
        click.echo("Paste the token, then press Enter and Ctrl-D:", err=True)
    text = sys.stdin.buffer.read(LONGEST).decode("utf-8", "replace").strip()
    pairs = [part.strip(" '\"").partition("=") for part in re.split(r"[;\r\n]", HEADER.sub("", text))]
    names = [policy.name for policy in (config.access, config.refresh) if policy]
    ours = dict.fromkeys((name, value) for name, _, value in pairs if name in names)
    if len(ours) > 1:
        given = " and ".join(name for name, _ in ours)
        raise click.UsageError(f"there are two cookies on standard input, {given}: give one, then the other")
    name, equals, value = text.partition("=")
    token = next((value for _, value in ours), value if equals and "." not in name else text)
    if not token:
        raise click.UsageError("there is no token on standard input: pipe the value of the session cookie in")
    return token.strip("'\"")


async def _judge(
    token: str, reading: Reading, config: SessionConfig, timeout: float
) -> tuple[Verdict, JtiRecord | str | None]:
    """The verdict, and the record of the token's sid: None where there is none, a text where that is not known."""
    storage = None if config.storage is None else LookOnly.from_url(str(config.storage))
    manager = SessionManager(replace(config, storage=storage, storage_timeout=timeout))
    try:
        verdict = await _verdict(token, reading, manager)
        return verdict, await _record(reading, manager)
    finally:
        await manager.aclose()


async def _verdict(token: str, reading: Reading, manager: SessionManager) -> Verdict:
    config = manager.config
    is_refresh = reading.claim("token_use") == "refresh"
    if is_refresh and reading.is_verified and config.refresh is None:
        return Verdict("unknown", NO_REFRESH_TOKENS, exit=WRONG)
    policy = config.refresh if is_refresh and config.refresh is not None else config.access
    try:
        session = await manager.load({policy.name: token})
    except StorageUnavailable as exc:
        return Verdict("unknown", str(exc), exit=UNAVAILABLE)
    except ConfigError as exc:
        return Verdict("unknown", str(exc), exit=WRONG)
    if session.rejected is not None:
        fault = session.rejected
        return Verdict("refused", f"{type(fault).__name__}: {fault}", fault.code, NO)
    if session.is_new:
        return Verdict("refused", f"{TokenExpired.__name__}: {OVER}", TokenExpired.code, NO)
    checked = "" if manager.storage is not None and policy.covered else ", without a look at a storage"
    return Verdict("honoured", f"as {policy.use} token in the cookie {policy.name}{checked}")


async def _record(reading: Reading, manager: SessionManager) -> JtiRecord | str | None:
    sid = reading.claim("sid")
    if manager.storage is None:
        return "no storage is named: give --storage or set SESSION_STORAGE"
    if not is_storable_text(sid) or not sid:
        return "the token has no sid to look for"
    try:
        await manager.open()
        record = await manager.storage.get(sid)
        is_ended = record is not None and await LivingRecords(manager.storage, manager.now).get(sid) is None
        return "revoke-all has ended it, with all others that began up to then" if is_ended else record
    except StorageUnavailable as exc:
        return str(exc)


def _data(subject_name: str, reading: Reading, verdict: Verdict, record: JtiRecord | str | None) -> dict[str, Any]:
    return {
        "verdict": verdict.word,
        "reason": verdict.reason,
        "code": verdict.code,
        "signed_by": reading.signed_by,
        "verified": reading.is_verified,
        "sid": reading.claim("sid"),
        "subject": reading.claim(subject_name),
        "header": reading.header,
        "claims": reading.claims,
        "record": _described(record) if isinstance(record, JtiRecord) else None,
        "storage": record if isinstance(record, str) else "found" if record else "no live record has this sid",
    }


def _described(record: JtiRecord) -> dict[str, Any]:
    return {
        "state": state_of(record).name.lower(),
        "version": record.version,
        "subject": record.subject,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "rotated_at": record.rotated_at,
        "successor": record.successor,
        "labels": dict(record.metadata),
    }


def _lines(
    reading: Reading, verdict: Verdict, record: JtiRecord | str | None, config: SessionConfig, now: float
) -> list[str]:
    mark = "" if reading.is_verified else click.style("  (unverified)", fg="yellow")
    code = f" [{verdict.code}]" if verdict.code else ""
    lines = [f"verdict     {click.style(verdict.word, fg=COLOURS[verdict.word])}: {printable(verdict.reason)}{code}"]
    lines.append(f"signed by   {reading.signed_by or 'not known: there is no secret to try'}")
    lines += [f"{name:<12}{printable(reading.claim(name))}{mark}" for name in ("sid", _subject_name(config))]
    for name, words in TIMES.items():
        value = reading.claim(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            lines.append(f"{words:<12}{moment(value, now)}{mark}")
    lines.append(f"header      {_shown(reading.header)}")
    lines.append(f"claims      {_shown(reading.claims)}")
    return [*lines, *_record_lines(record, now)]


def _subject_name(config: SessionConfig) -> str:
    return config.subject_key if isinstance(config.subject_key, str) else "sub"


def _shown(part: Any) -> str:
    return "cannot be read" if part is None else printable(part)


def _record_lines(record: JtiRecord | str | None, now: float) -> list[str]:
    if not isinstance(record, JtiRecord):
        return [f"storage     {printable(record or 'no live record has this sid: ended, expired, or never stored')}"]
    state = state_of(record)
    lines = [f"storage     {state.name.lower()}: {state.value}"]
    lines.append(f"            version {record.version}, subject {printable(record.subject)}")
    lines.append(f"            began {moment(record.created_at, now)}")
    lines.append(f"            expires {moment(record.expires_at, now)}")
    if record.rotated_at is not None:
        lines.append(f"            rotated {moment(record.rotated_at, now)}")
    if record.successor is not None:
        lines.append(f"            goes on as {printable(record.successor)}")
    return lines
