"""JSON as the tokens carry it: written compactly, read strictly (RFC 8259 and I-JSON, RFC 7493).

Session data goes in and comes out unchanged or not at all; whatever two parsers could read differently is
refused: duplicate names, NaN, floats out of range, lone surrogates, depth beyond ``MAX_DEPTH``.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard

__all__ = [
    "MAX_DEPTH",
    "SCALARS",
    "decode_object",
    "decode_own",
    "encode",
    "explain_unstorable",
    "is_flat",
    "is_storable_text",
]

SCALARS = frozenset({str, int, float, bool, type(None)})  # of which none can change in place

MAX_DEPTH = 100
MAX_PLAIN_INT = 2**1024  # far below the digits that Python converts at most
MAX_NODES = 20_000  # far more than a cookie holds; bounds the walk over a structure that contains itself


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate name in a JSON object")
    return result


def _finite(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise ValueError("number out of range")
    return value


def _no_constant(literal: str) -> None:
    raise ValueError(f"{literal} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique_names, parse_float=_finite, parse_constant=_no_constant)
_ALL_BUT_NAMES = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)
_PLAIN = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


MakeParts = Callable[[object, int], Iterable[str]]


def _prepared(encoder: json.JSONEncoder) -> MakeParts:
    """What makes the parts of a text: CPython's C encoder, made once for all calls, where it is the one we know."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        parts: MakeParts = make(
            None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
        )
    except TypeError:
        return lambda value, _: (encoder.encode(value),)
    return parts


_parts = _prepared(_ENCODER)


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON. Raises TypeError, ValueError or RecursionError; `explain_unstorable` says which part."""
    return "".join(_parts(value, 0)).encode()


def decode_own(data: bytes) -> dict[str, Any]:
    """Reads what `encode` wrote of an object with text names, which needs no check."""
    value: dict[str, Any]
    value, _ = _PLAIN.raw_decode(data.decode())
    return value


def decode_object(data: bytes) -> dict[str, Any]:
    """Reads a JSON object strictly. Raises ValueError for everything else, never anything else."""
    try:
        text = data.decode()
        objects = text.count("{")
        value, end = _decode(text, objects)
        if end != len(text):
            raise ValueError("something follows the JSON value")
        if "\\u" in text:
            encode(value)  # an escaped lone surrogate has no UTF-8 form
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(value) is not dict:
        raise ValueError("not a JSON object")
    if objects + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    return value


def _decode(text: str, objects: int) -> tuple[Any, int]:
    if objects == 1:
        value, end = _ALL_BUT_NAMES.raw_decode(text)
        if type(value) is dict and len(value) == text.count(":"):  # as many names as there can be: none came twice
            return value, end
    return _STRICT.raw_decode(text)


def is_flat(data: Mapping[str, Any]) -> bool:
    """Whether all its values are plain scalars."""
    return SCALARS.issuperset(map(type, data.values()))


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [child for item in level for child in _children(item)]
    return deepest


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def explain_unstorable(value: object) -> str | None:
    """Why this value of a session would not come back from a token as it is, or None where it would."""
    if _is_plain(value):
        return None
    if not isinstance(value, (dict, list)):
        return _fault(value)
    for count, (item, depth) in enumerate(_walk(value)):
        if depth > MAX_DEPTH:
            return f"it is nested deeper than {MAX_DEPTH} levels or contains itself"
        if count > MAX_NODES:
            return "it has too many parts for a cookie"
        fault = _fault(item)
        if fault:
            return fault
    return None


def _is_plain(value: Any) -> bool:
    """Whether this is the usual value, small and of plain types, which a glance shows to be sound."""
    stack, left = [value], MAX_DEPTH - 2  # so few parts cannot be nested too deeply
    for item in stack:
        kind = type(item)
        if kind is str:
            if not item.isascii():
                return False
        elif kind is dict or kind is list:
            left -= len(item)
            if left < 0:
                return False
            stack += item
            if kind is dict:
                if set(map(type, item)) - {str}:
                    return False
                stack += item.values()
        elif kind is int:
            if not -MAX_PLAIN_INT < item < MAX_PLAIN_INT:
                return False
        elif kind is float:
            if item - item != 0:
                return False
        elif kind is not bool and item is not None:
            return False
    return True


def _walk(value: object) -> Iterator[tuple[object, int]]:
    stack = [(value, 2)]  # the session is the first level
    while stack:
        item, depth = stack.pop()
        yield item, depth
        if isinstance(item, dict):
            stack.extend((key, depth) for key in item if not isinstance(key, str) or not key.isascii())
        stack.extend((child, depth + 1) for child in _children(item))


def _fault(item: object) -> str | None:
    if item is None or isinstance(item, bool):
        return None
    if isinstance(item, str):
        return None if _is_unicode(item) else "its text has a lone surrogate, which has no UTF-8 form"
    if isinstance(item, int):
        return None if -MAX_PLAIN_INT < item < MAX_PLAIN_INT or _has_digits(item) else "its number has too many digits"
    if isinstance(item, float):
        return None if math.isfinite(item) else "NaN and Infinity are not JSON"
    if isinstance(item, dict):
        wrong = next((key for key in item if not isinstance(key, str)), None)
        return None if wrong is None and None not in item else f"JSON names are text, not {type(wrong).__name__}"
    if isinstance(item, list):
        return None
    kind = (
        type(item).__name__ if type(item).__module__ == "builtins" else f"{type(item).__module__}.{type(item).__name__}"
    )
    if isinstance(item, tuple | set | frozenset):
        return f"{kind} is not JSON; store a list of it"
    if isinstance(item, Mapping):
        return f"{kind} is not JSON; store a dict of it"
    return f"{kind} is not JSON (str, int, float, bool, None, list, dict); store a text form of it"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_digits(number: int) -> bool:
    try:
        int.__repr__(number)
    except ValueError:
        return False
    return True


def is_storable_text(value: object) -> TypeGuard[str]:
    """Whether every backend can keep this text unchanged: a ``str`` without NUL and lone surrogates."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
