"""Secrets: which are in use, in the order that the wire contract gives, and which of them are too weak to be used."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

__all__ = ["ALGORITHMS", "CURRENT", "PREVIOUS", "Secrets", "Sourced"]

ALGORITHMS = {"HS256": 32, "HS384": 48, "HS512": 64}  # bytes of the hash (RFC 7518, section 3.2)

CURRENT = "SESSION_SECRET"
PREVIOUS = "SESSION_SECRET_PREVIOUS"

Environment = Mapping[str, str]
Sourced = tuple[str, str]  # where a secret stands, and the secret


class Secrets:
    """The secrets of a configuration, and the least length (bytes) of every one in use."""

    def __init__(
        self,
        *,
        secret: str | None,
        secrets: str | Sequence[str] | None,
        previous_secret: str | Sequence[str] | None,
        previous_secrets: str | Sequence[str] | None,
        algorithm: str,
        minimum_length: int | None,
    ) -> None:
        self.secret = secret
        self.secrets = secrets
        self.previous_secret = previous_secret
        self.previous_secrets = previous_secrets
        self.hash_size: int = ALGORITHMS[algorithm]
        self.floor: int = minimum_length or self.hash_size

    def in_use(self, process_env: Environment, request_env: Environment) -> list[Sourced]:
        """The secret that signs, then those that only verify; none where there is none to sign with."""
        current = next(self._current(process_env, request_env), None)
        return [] if current is None else [current, *self._previous(process_env, request_env)]

    def faults(self, in_use: Sequence[Sourced]) -> list[str]:
        """What is wrong with these secrets, each named by where it stands."""
        return [f"{source} {fault}" for source, secret in in_use for fault in self._weaknesses(secret)]

    def doubts(self, in_use: Sequence[Sourced]) -> list[str]:
        """What is allowed and probably a mistake."""
        return [f"{source} {doubt}" for source, secret in in_use for doubt in self._oddities(secret)]

    def missing(self, process_env: Environment, request_env: Environment) -> str:
        """What to say where no secret is found: which places are empty, and what to do."""
        places = {
            f"{CURRENT} of the request's environment": request_env.get(CURRENT),
            CURRENT: process_env.get(CURRENT),
            "secret": self.secret,
        }
        empty = [place for place, value in places.items() if value == ""]
        found = f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty; " if empty else ""
        way_out = f"set {CURRENT} in the environment (`openssl rand -base64 48` makes one), or the setting secret"
        return f"no secret: {found}{way_out}"

    def _current(self, process_env: Environment, request_env: Environment) -> Iterator[Sourced]:
        yield from _named(f"{CURRENT} of the request's environment", request_env.get(CURRENT))
        yield from _named(CURRENT, process_env.get(CURRENT))
        yield from _named("secret", self.secret)
        yield from _named("secrets", self.secrets)

    def _previous(self, process_env: Environment, request_env: Environment) -> Iterator[Sourced]:
        yield from _named(f"{PREVIOUS} of the request's environment", request_env.get(PREVIOUS))
        yield from _named(PREVIOUS, process_env.get(PREVIOUS))
        yield from _named("previous_secret", self.previous_secret)
        yield from _named("previous_secrets", self.previous_secrets)
        yield from islice(_named("secrets", self.secrets), 1, None)

    def _weaknesses(self, secret: str) -> Iterator[str]:
        from jwt.algorithms import HMACAlgorithm  # late: it brings in cryptography where that is there
        from jwt.exceptions import InvalidKeyError

        try:
            raw = secret.encode()
            HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(raw)
        except UnicodeEncodeError:
            yield "is not valid text: it must encode as UTF-8"
            return
        except InvalidKeyError:
            yield "is a PEM, SSH or JWK key, not a secret: give random text, for example `openssl rand -base64 48`"
            return
        if len(raw) < self.floor:
            way_out = f"for example `openssl rand -base64 {self.floor}`"
            yield f"must be at least {self.floor} bytes, it has {len(raw)}: {way_out}"
        lowered = self.floor < self.hash_size
        if not lowered and (not secret.strip() or len(set(secret)) == 1):
            yield "is blank or one character repeated: give random text, for example `openssl rand -base64 48`"

    @staticmethod
    def _oddities(secret: str) -> Iterator[str]:
        bare = secret.strip()
        if secret != bare:
            yield "begins or ends with white space, which is a part of the secret"
        if bare.startswith("[") and bare.endswith("]"):
            yield "looks like a list and is one secret: the settings secrets and previous_secrets take several"


def _named(source: str, value: str | Sequence[str] | None) -> Iterator[Sourced]:
    """Each secret with the name of where it stands; an empty one is none."""
    if value is None or isinstance(value, str):
        return iter([(source, value)] if value else [])
    return ((f"{source}[{i}]", secret) for i, secret in enumerate(value) if secret)
