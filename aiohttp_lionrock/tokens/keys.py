"""KeyRing: the prepared keys of the secrets in use, for the process and for each tenant."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NoReturn, Self

from ..errors import ConfigError
from ..log import logger
from ..settings.config import SessionConfig
from ..settings.secrets import CURRENT, PREVIOUS

if TYPE_CHECKING:
    from jwt.algorithms import HMACAlgorithm

__all__ = ["KeyRing", "KeyRings", "hmac_algorithm"]

MAX_TENANTS = 1000
NAME_BYTES = 9  # of a secret's name: too many for two tenants to share one by chance

Environment = Mapping[str, str]


@cache
def hmac_algorithm(name: str) -> "HMACAlgorithm":
    """PyJWT's HMAC for HS256, HS384 or HS512; imported late, because it brings in cryptography where that is there."""
    from jwt.algorithms import HMACAlgorithm

    return HMACAlgorithm({"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[name])


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Prepared keys: ``signing`` makes every new token, ``verifying`` are tried in order, that one first.

    ``signer`` and ``signers`` are names for them, the same in every process, that tell nothing of the secrets.
    """

    signing: bytes = field(repr=False)
    verifying: tuple[bytes, ...] = field(repr=False)
    signer: str = field(init=False, compare=False)
    signers: tuple[str, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signer", _name_of(self.signing))
        object.__setattr__(self, "signers", tuple(_name_of(key) for key in self.verifying))

    @classmethod
    def find(cls, config: SessionConfig, process_env: Environment, request_env: Environment) -> Self | None:
        """The ring for one environment, or None where there is no current secret at all.

        Raises ConfigError where secrets in use are too weak or not secrets; it names where each came from.
        """
        secrets = config.secrets_given()
        in_use = secrets.in_use(process_env, request_env)
        if not in_use:
            return None
        if faults := secrets.faults(in_use):
            raise ConfigError(faults)
        for doubt in secrets.doubts(in_use):
            logger.warning("%s", doubt)
        keys = tuple(dict.fromkeys(secret.encode() for _, secret in in_use))
        return cls(signing=keys[0], verifying=keys)


def _name_of(key: bytes) -> str:
    mac = hmac.digest(key, b"aiohttp-lionrock: the name of this secret", "sha256")
    return urlsafe_b64encode(mac[:NAME_BYTES]).decode()


class KeyRings:
    """The ring of the process, and of each tenant whose requests bring an environment of their own."""

    def __init__(self, config: SessionConfig, process_env: Environment) -> None:
        self._config = config
        self._process_env = process_env
        self._own = KeyRing.find(config, process_env, {})
        self._tenants: dict[tuple[str | None, str | None], KeyRing] = {}

    def own(self) -> KeyRing:
        """The ring of the process. Raises ConfigError where neither its environment nor the settings hold a secret."""
        return self._own or self._none({})

    @property
    def own_signers(self) -> tuple[str, ...]:
        """The names of the secrets of the process, if it has any."""
        return () if self._own is None else self._own.signers

    def of(self, request_env: Environment | None) -> KeyRing:
        """The ring for a request. Raises ConfigError where it has no good secret."""
        if not request_env:
            return self._own or self.own()
        key = (request_env.get(CURRENT), request_env.get(PREVIOUS))
        return self._tenants.get(key) or self._find(key, request_env)

    def _find(self, key: tuple[str | None, str | None], request_env: Environment) -> KeyRing:
        ring = KeyRing.find(self._config, self._process_env, request_env) or self._none(request_env)
        if len(self._tenants) >= MAX_TENANTS:
            del self._tenants[next(iter(self._tenants))]
        self._tenants[key] = ring
        return ring

    def _none(self, request_env: Environment) -> NoReturn:
        raise ConfigError(self._config.secrets_given().missing(self._process_env, request_env))
