"""KeyRing: which secret signs and which verify, in the order that the wire contract gives."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Self

from ..errors import ConfigError
from ..settings.config import ALGORITHMS, SessionConfig

if TYPE_CHECKING:
    from jwt.algorithms import HMACAlgorithm

__all__ = ["CURRENT", "PREVIOUS", "KeyRing", "KeyRings", "hmac_algorithm"]

CURRENT = "SESSION_SECRET"
PREVIOUS = "SESSION_SECRET_PREVIOUS"

MAX_TENANTS = 1000

Environment = Mapping[str, str]


@cache
def hmac_algorithm(name: str) -> "HMACAlgorithm":
    """PyJWT's HMAC for HS256, HS384 or HS512; imported late, because it brings in cryptography where that is there."""
    from jwt.algorithms import HMACAlgorithm

    return HMACAlgorithm({"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[name])


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Prepared keys: ``signing`` makes every new token, ``verifying`` are tried in order, that one first."""

    signing: bytes = field(repr=False)
    verifying: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def find(cls, config: SessionConfig, process_env: Environment, request_env: Environment) -> Self | None:
        """The ring for one environment, or None where there is no current secret at all.

        Raises ConfigError where a secret in use is too weak or no secret; it names where that one came from.
        """
        current = next(_current(config, process_env, request_env), None)
        if current is None:
            return None
        in_use = [current, *_previous(config, process_env, request_env)]
        faults = [f"{source} {fault}" for source, secret in in_use for fault in _weaknesses(secret, config)]
        if faults:
            raise ConfigError(faults)
        keys = tuple(dict.fromkeys(secret.encode() for _, secret in in_use))
        return cls(signing=keys[0], verifying=keys)


class KeyRings:
    """The ring of the process, and of each tenant whose requests bring an environment of their own."""

    def __init__(self, config: SessionConfig, process_env: Environment) -> None:
        self._config = config
        self._process_env = process_env
        self._own = KeyRing.find(config, process_env, {})
        self._tenants: dict[tuple[str | None, str | None], KeyRing] = {}

    def own(self) -> KeyRing:
        """The ring of the process. Raises ConfigError where neither its environment nor the settings hold a secret."""
        if self._own is None:
            raise ConfigError(
                f"no secret: set {CURRENT} in the environment (`openssl rand -base64 48` makes one), or secret"
            )
        return self._own

    def of(self, request_env: Environment | None) -> KeyRing:
        """The ring for a request. Raises ConfigError where it has no good secret."""
        if not request_env:
            return self._own or self.own()
        key = (request_env.get(CURRENT), request_env.get(PREVIOUS))
        return self._tenants.get(key) or self._find(key, request_env)

    def _find(self, key: tuple[str | None, str | None], request_env: Environment) -> KeyRing:
        ring = KeyRing.find(self._config, self._process_env, request_env) or self.own()
        if len(self._tenants) >= MAX_TENANTS:
            del self._tenants[next(iter(self._tenants))]
        self._tenants[key] = ring
        return ring


Sourced = tuple[str, str]


def _current(config: SessionConfig, process_env: Environment, request_env: Environment) -> Iterator[Sourced]:
    yield from _named(f"{CURRENT} of the request's environment", request_env.get(CURRENT))
    yield from _named(CURRENT, process_env.get(CURRENT))
    yield from _named("secret", config.secret)
    yield from _named("secrets", config.secrets)


def _previous(config: SessionConfig, process_env: Environment, request_env: Environment) -> Iterator[Sourced]:
    yield from _named(f"{PREVIOUS} of the request's environment", request_env.get(PREVIOUS))
    yield from _named(PREVIOUS, process_env.get(PREVIOUS))
    yield from _named("previous_secret", config.previous_secret)
    yield from _named("previous_secrets", config.previous_secrets)
    yield from islice(_named("secrets", config.secrets), 1, None)


def _named(source: str, value: str | Sequence[str] | None) -> Iterator[Sourced]:
    """Each secret with the name of where it stands; an empty one is none."""
    if value is None or isinstance(value, str):
        return iter([(source, value)] if value else [])
    return ((f"{source}[{i}]", secret) for i, secret in enumerate(value) if secret)


def _weaknesses(secret: str, config: SessionConfig) -> Iterator[str]:
    from jwt.exceptions import InvalidKeyError

    try:
        raw = secret.encode()
        hmac_algorithm(config.algorithm).prepare_key(raw)
    except UnicodeEncodeError:
        yield "is not valid text: it must encode as UTF-8"
        return
    except InvalidKeyError:
        yield "is a PEM, SSH or JWK key, not a secret: give random text, for example `openssl rand -base64 48`"
        return
    floor = config.secret_floor
    if len(raw) < floor:
        yield f"must be at least {floor} bytes, it has {len(raw)}: for example `openssl rand -base64 {floor}`"
    lowered = floor < ALGORITHMS[config.algorithm]
    if not lowered and (not secret.strip() or len(set(secret)) == 1):
        yield "is blank or one character repeated: give random text, for example `openssl rand -base64 48`"
