"""Signing and judging one token, against the floor of the standard library and against other JWT libraries."""

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.fernet import Fernet
from joserfc import jwt as jose
from joserfc.jwk import OctKey

from aiohttp_lionrock import SessionConfig, TokenError
from aiohttp_lionrock.tokens.codec import TokenCodec
from aiohttp_lionrock.tokens.keys import KeyRing

from .harness import Case, Findings, Timings, measure, per_call, ratios
from .samples import SECRET, token_claims

__all__ = ["measure_tokens"]

LARGE = 8192
HEADER = {"alg": "HS256", "typ": "JWT"}
KEY = SECRET.encode()


class Ours:
    """A codec with its keys, as the manager holds them."""

    def __init__(self, **settings: Any) -> None:
        config = SessionConfig(secret=SECRET, **settings)
        ring = KeyRing.find(config, {}, {})
        assert ring is not None
        self.codec, self.keys, self.policy = TokenCodec(config), ring, config.access

    def verify(self, token: str) -> dict[str, Any]:
        return self.codec.verify(token, self.keys, self.policy, int(time.time()))

    def sign(self, claims: dict[str, Any]) -> str:
        return self.codec.sign(claims, self.keys)


async def measure_tokens(rounds: int) -> Findings:
    findings = Findings()
    judged = await measure(_judging(), rounds)
    signed = await measure(_signing(), rounds)
    forged = await measure(_forgeries(), rounds, seconds=0.005)
    findings.ratio("tokens.verify", ratios(judged, "ours", "floor"))
    findings.ratio("tokens.sign", ratios(signed, "ours", "floor"))
    findings.ratio("tokens.previous", ratios(judged, "ours, 4 previous secrets", "ours"))
    findings.ratio("tokens.forged", _dearest(forged))
    findings.micros("verify a token of 390 bytes", judged)
    findings.micros("sign a token of 390 bytes", signed)
    findings.micros("refuse a forged token", forged)
    return findings


def _dearest(timings: Timings) -> list[float]:
    """Round by round, the forgery that cost ours the most over the honest token."""
    ours = [name for name in timings if name.endswith(" bytes")]
    return [max(each) for each in zip(*(ratios(timings, name, "honest") for name in ours), strict=True)]


def _judging() -> dict[str, Case]:
    claims = token_claims()
    plain, rotated = Ours(), Ours(previous_secrets=[secrets.token_urlsafe(32) for _ in range(4)])
    token = plain.sign(claims)
    assert 385 <= len(token) <= 400, len(token)
    fernet = Fernet(base64.urlsafe_b64encode(KEY))
    sealed = fernet.encrypt(json.dumps(claims).encode())
    key = OctKey.import_key(SECRET)
    return {
        "floor": _reading(lambda: floor_verify(token), claims),
        "ours": _reading(lambda: plain.verify(token), claims),
        "ours, 4 previous secrets": _reading(lambda: rotated.verify(token), claims),
        "PyJWT": _reading(lambda: jwt.decode(token, SECRET, algorithms=["HS256"]), claims),
        "joserfc": _reading(lambda: jose.decode(token, key, algorithms=["HS256"]).claims, claims),
        "Fernet": _reading(lambda: json.loads(fernet.decrypt(sealed)), claims),
    }


def _signing() -> dict[str, Case]:
    claims, ours, key = token_claims(), Ours(), OctKey.import_key(SECRET)
    return {
        "floor": _writing(lambda: floor_sign(claims), claims),
        "ours": _writing(lambda: ours.sign(claims), claims),
        "PyJWT": _writing(lambda: jwt.encode(claims, SECRET, algorithm="HS256"), claims),
        "joserfc": _writing(lambda: jose.encode(HEADER, claims, key), claims),
    }


def _forgeries() -> dict[str, Case]:
    """Forgeries beside an honest small token: as large as the limit lets in, of 8 KB, and with the limit at 8 KB."""
    usual, wide, claims = Ours(), Ours(max_token_length=LARGE), token_claims()
    honest = usual.sign(claims)
    cases = {"honest": _reading(lambda: usual.verify(honest), claims)}
    for size in (4096, LARGE):
        for shape, token in _shapes(honest, size).items():
            cases[f"{shape}, {size} bytes"] = _refusing(usual.verify, token)
    large = _shapes(honest, LARGE)["payload"]
    cases["limit of 8 KB: payload"] = _refusing(wide.verify, large)
    cases["PyJWT: payload"] = _refusing(lambda token: jwt.decode(token, SECRET, algorithms=["HS256"]), large)
    return cases


def _shapes(honest: str, size: int) -> dict[str, str]:
    """Forgeries of so many characters, each made to be dear to somebody who decodes before judging."""
    header, payload, signature = honest.split(".")
    room = size - len(honest)
    nested = b'{"a":' * (room // 8) + b"1" + b"}" * (room // 8)
    shapes = {
        "payload": f"{header}.{_filler(room + len(payload))}.{signature}",
        "nested payload": f"{header}.{_b64(nested).decode()}.{signature}",
        "header": f"{_filler(room + len(header))}.{payload}.{signature}",
        "signature": f"{header}.{payload}.{'A' * (room + len(signature))}",
        "dots": "." * size,
        "letters": "a" * size,
        "no ASCII": f"{header}.{'é' * (room + len(payload))}.{signature}",
    }
    assert all(size * 0.9 < len(token) <= size for token in shapes.values()), size
    return shapes


def _filler(length: int) -> str:
    """A segment that decodes to a JSON object of one long text."""
    text = "x" * (length * 3 // 4 - 8)
    return _b64(json.dumps({"a": text}, separators=(",", ":")).encode()).decode()


def floor_verify(token: str) -> Any:
    """What judging a token cannot do without: the MAC compared, the three segments decoded, two of them parsed."""
    header, payload, signature = token.encode().split(b".")
    mac = hmac.digest(KEY, header + b"." + payload, "sha256")
    if not hmac.compare_digest(mac, _unb64(signature)):
        raise ValueError("forged")
    json.loads(_unb64(header))
    return json.loads(_unb64(payload))


def floor_sign(claims: dict[str, Any]) -> str:
    """What making a token cannot do without: header and payload as JSON, encoded, and their MAC."""
    signing_input = _b64(json.dumps(HEADER).encode()) + b"." + _b64(json.dumps(claims).encode())
    return (signing_input + b"." + _b64(hmac.digest(KEY, signing_input, "sha256"))).decode()


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _unb64(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def _reading(read: Callable[[], Any], claims: dict[str, Any]) -> Case:
    def check() -> None:
        assert read() == claims

    return Case(per_call(read), check)


def _writing(write: Callable[[], str], claims: dict[str, Any]) -> Case:
    def check() -> None:
        assert floor_verify(write()) == claims

    return Case(per_call(write), check)


def _refusing(verify: Callable[[str], object], token: str) -> Case:
    def refuse() -> bool:
        try:
            verify(token)
        except (TokenError, jwt.InvalidTokenError):
            return True
        return False

    def check() -> None:
        assert refuse()

    return Case(per_call(refuse), check)
