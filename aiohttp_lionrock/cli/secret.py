"""``secret``: makes a secret to sign with."""

import secrets

import click

from ..settings.secrets import ALGORITHMS
from .options import json_option
from .output import show

__all__ = ["secret"]


@click.command()
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default="HS256",
    show_default=True,
    help="What signs the tokens; it decides the length.",
)
@json_option
def secret(algorithm: str, json_wanted: bool) -> None:
    """Prints a new secret: random text, as strong as the algorithm.

    \b
    export SESSION_SECRET="$(aiohttp-lionrock secret)"
    """
    made = secrets.token_urlsafe(ALGORITHMS[algorithm])
    show(json_wanted, {"secret": made, "algorithm": algorithm}, [made])
