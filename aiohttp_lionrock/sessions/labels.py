"""Labels that `Session.describe` puts on a record: they fit, and no login fails because of them."""

from collections.abc import Mapping

from ..errors import SessionDataError
from ..jsontext import is_storable_text
from ..log import logger
from ..storage.contract import MAX_METADATA_BYTES

__all__ = ["joined_labels", "merged_labels"]


def joined_labels(*parts: Mapping[str, str], cut: bool) -> Mapping[str, str]:
    """All labels together, cut where that is wished. Raises SessionDataError where they do not fit."""
    if not isinstance(cut, bool):
        raise SessionDataError("cut is a switch; a label of that name is given as describe({'cut': ...})", "cut")
    together = {name: text for part in parts for name, text in part.items()}
    if cut:
        together = _cut(together)
    _check(together)
    return together


def _check(labels: Mapping[str, str]) -> None:
    """Raises SessionDataError, naming the label, where one is not storable text or all are more than a record keeps."""
    for name, text in labels.items():
        if not is_storable_text(text) or not is_storable_text(name):
            raise SessionDataError(f"label {name!r} must be text without NUL and lone surrogates", name)
    if (size := _size(labels)) > MAX_METADATA_BYTES:
        largest = max(labels, key=lambda name: _size({name: labels[name]}))
        raise SessionDataError(
            f"labels must be at most {MAX_METADATA_BYTES} bytes together, these are {size}; the largest is {largest!r}",
            largest,
        )


def _cut(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels with their longest values shortened until all fit, and ``?`` for what no storage can keep.

    What is not text stays as it is.
    """
    texts = {name: _cleaned(text) for name, text in labels.items() if isinstance(text, str) and isinstance(name, str)}
    left = MAX_METADATA_BYTES - sum(map(len, map(_cleaned, texts)))
    cut: dict[str, str] = {}
    for place, (name, text) in enumerate(sorted(texts.items(), key=lambda item: len(item[1]))):
        kept = text[: max(left // (len(texts) - place), 0)].decode(errors="ignore")
        left -= len(kept.encode())
        cut[name] = kept
    return {name: cut.get(name, text) for name, text in labels.items()}


def merged_labels(known: Mapping[str, str], new: Mapping[str, str]) -> Mapping[str, str]:
    """The labels of a record with new ones beside them, which fit by themselves.

    Where all together do not fit, the oldest of those that the record had give way.
    """
    if not new:
        return known
    kept = {name: text for name, text in known.items() if name not in new}
    displaced = []
    while _size(kept) + _size(new) > MAX_METADATA_BYTES:
        oldest = next(iter(kept))
        del kept[oldest]
        displaced.append(oldest)
    if displaced:
        logger.warning(
            "labels of a session gave way to new ones, all of which have %d bytes together: %s",
            MAX_METADATA_BYTES,
            ", ".join(map(repr, displaced)),
        )
    return {**kept, **new}


def _cleaned(text: str) -> bytes:
    return text.replace("\x00", "?").encode(errors="replace")


def _size(labels: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len(text.encode()) for name, text in labels.items())
