"""What a token says, read without judging it: header, claims, and which secret signed it."""

import base64
import json
import os
from typing import Any, NamedTuple

from ..errors import TokenError
from ..settings.config import SessionConfig
from ..tokens.codec import TokenCodec
from ..tokens.keys import KeyRing

__all__ = ["NONE", "Reading", "read"]

NONE = "none of the secrets in use"


class Reading(NamedTuple):
    """Parts of a token, None where they cannot be read; ``signed_by`` is None where there is no secret to try."""

    header: Any
    claims: Any
    signed_by: str | None

    @property
    def is_verified(self) -> bool:
        """Whether a secret in use has signed what it says."""
        return self.signed_by not in (None, NONE)

    def claim(self, name: str) -> Any:
        """A claim, or None."""
        return self.claims.get(name) if isinstance(self.claims, dict) else None


def read(token: str, config: SessionConfig) -> Reading:
    """Reads a token of any kind. The signature is looked at and goes nowhere."""
    header, _, rest = token.partition(".")
    return Reading(_decoded(header), _decoded(rest.partition(".")[0]), _signer(token, config))


def _decoded(part: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None


def _signer(token: str, config: SessionConfig) -> str | None:
    ring = KeyRing.find(config, os.environ, {})
    if ring is None:
        return None
    codec = TokenCodec(config)
    for place, key in enumerate(ring.verifying):
        try:
            codec.authenticate(token, KeyRing(signing=key, verifying=(key,)))
        except TokenError:
            continue
        return f"previous secret {place}" if place else "the current secret"
    return NONE
