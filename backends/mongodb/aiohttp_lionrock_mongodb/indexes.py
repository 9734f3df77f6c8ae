"""The two indexes beside ``_id``: one by which MongoDB removes expired sessions, one for a user's sessions."""

import logging
from typing import Any

from pymongo.errors import OperationFailure
from pymongo.operations import IndexModel

from aiohttp_lionrock.errors import ConfigError, StorageUnavailable

from .driver import Collection

__all__ = ["prepare_indexes"]

logger: logging.Logger = logging.getLogger("aiohttp_lionrock")

# MongoDB removes by its own clock. The hour keeps live sessions safe from a server clock that runs ahead.
TTL_SLACK = 3600

EXPIRES = "lionrock_expires"
EXPIRES_WITHOUT_TTL = "lionrock_expires_without_ttl"
SUBJECT = "lionrock_subject"
SHAPES: dict[str, dict[str, Any]] = {
    EXPIRES: {"key": [("expires", 1)], "expireAfterSeconds": TTL_SLACK},
    EXPIRES_WITHOUT_TTL: {"key": [("expires", 1)]},
    SUBJECT: {"key": [("subject", 1)], "partialFilterExpression": {"subject": {"$exists": True}}},
}
UNSHAPED = ("v", "ns", "background")

# BadValue, FailedToParse, CannotCreateIndex, InvalidOptions, CommandNotSupported,
# InvalidIndexSpecificationOption, NotImplemented: what servers without TTL indexes answer.
UNSUPPORTED = (2, 9, 67, 72, 115, 197, 238)

NO_TTL = (
    "the MongoDB server has no TTL indexes: expired sessions in %s stay until purge() is called; "
    "leave purge_interval on, or call it yourself"
)


async def prepare_indexes(collection: Collection, may_create: bool) -> None:
    """Creates the indexes that are missing, or raises StorageUnavailable where that is not allowed.

    Raises ConfigError where one has another shape than ours.
    """
    there = await _shapes(collection)
    if missing := _missing(there, collection.name):
        if not may_create:
            raise StorageUnavailable(_absence(there, collection.name), maybe_done=False)
        await _create(collection, missing)
        there = await _shapes(collection)
        _missing(there, collection.name)
    if EXPIRES_WITHOUT_TTL in there:
        logger.warning(NO_TTL, collection.name)


def _absence(there: dict[str, dict[str, Any]], collection: str) -> str:
    state = "is not one of this storage: its indexes are missing" if there else "is not there: nothing is stored yet"
    return (
        f"the MongoDB collection {collection} {state}; correct the database or the collection of the URL, "
        "or start an application, which creates what is missing"
    )


async def _shapes(collection: Collection) -> dict[str, dict[str, Any]]:
    indexes = await collection.index_information()
    return {
        name: {option: value for option, value in index.items() if option not in UNSHAPED}
        for name, index in indexes.items()
    }


def _missing(there: dict[str, dict[str, Any]], collection: str) -> list[str]:
    """The names of ours that are to be created."""
    faults = [
        f"the MongoDB index {name} of the collection {collection} is not as this storage makes it: {_text(shape)}; "
        f"drop the index, or name another collection"
        for name, shape in there.items()
        if not _is_usable(name, shape)
    ]
    if faults:
        raise ConfigError(faults)
    keys = [shape["key"] for shape in there.values()]
    return [name for name in (EXPIRES, SUBJECT) if SHAPES[name]["key"] not in keys]


def _is_usable(name: str, shape: dict[str, Any]) -> bool:
    """Whether an index is one of ours in the right shape, or none of our business."""
    if shape["key"] == [("_id", 1)]:
        return "collation" not in shape  # sids are compared byte for byte
    if name in SHAPES:
        return shape == SHAPES[name]
    return shape["key"] not in [ours["key"] for ours in SHAPES.values()] or shape in (SHAPES[EXPIRES], SHAPES[SUBJECT])


def _text(shape: dict[str, Any]) -> str:
    return ", ".join(f"{option} {value}" for option, value in shape.items())


async def _create(collection: Collection, names: list[str]) -> None:
    try:
        await collection.create_indexes([_model(name) for name in names])
    except OperationFailure as exc:
        if EXPIRES not in names or exc.code not in UNSUPPORTED:
            raise
        await collection.create_indexes([_model(EXPIRES_WITHOUT_TTL if name == EXPIRES else name) for name in names])


def _model(name: str) -> IndexModel:
    options = {option: value for option, value in SHAPES[name].items() if option != "key"}
    return IndexModel(SHAPES[name]["key"], name=name, **options)
