"""What the storage asks of a driver: the part of Motor's and of PyMongo's asynchronous database that it calls."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.operations import IndexModel
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.results import DeleteResult, UpdateResult
from pymongo.write_concern import WriteConcern

__all__ = ["Collection", "Cursor", "Database", "Reign", "collection_of", "hosts_of", "reign_of", "topology_of"]

Reign = tuple[Any, Any]

# Neither a date nor bytes that are no UTF-8 may keep a document, and the others read with it, from being judged.
CODEC: "CodecOptions[dict[str, Any]]" = CodecOptions(
    tz_aware=True,
    unicode_decode_error_handler="surrogateescape",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


class Cursor(Protocol):
    def to_list(self, length: int | None = None) -> Awaitable[list[dict[str, Any]]]: ...


class Collection(Protocol):
    name: str

    def find(
        self,
        filter: Mapping[str, Any],
        projection: Mapping[str, int] | None = None,
        *,
        limit: int = 0,
        sort: Sequence[tuple[str, int]] | None = None,
        batch_size: int,
    ) -> Cursor: ...
    def replace_one(
        self, filter: Mapping[str, Any], replacement: Mapping[str, Any], upsert: bool = False
    ) -> Awaitable[UpdateResult]: ...
    def delete_one(self, filter: Mapping[str, Any]) -> Awaitable[DeleteResult]: ...
    def delete_many(self, filter: Mapping[str, Any]) -> Awaitable[DeleteResult]: ...
    def index_information(self) -> Awaitable[Mapping[str, Mapping[str, Any]]]: ...
    def create_indexes(self, indexes: Sequence[IndexModel]) -> Awaitable[list[str]]: ...


class Database(Protocol):
    name: str
    read_concern: ReadConcern
    client: Any

    def command(self, command: str) -> Awaitable[Mapping[str, Any]]: ...
    def get_collection(
        self,
        name: str,
        codec_options: "CodecOptions[dict[str, Any]]",
        read_preference: Any,
        write_concern: WriteConcern,
        read_concern: ReadConcern,
    ) -> Collection: ...


def collection_of(database: Database, name: str, read_concern: str) -> Collection:
    """The collection with every promise of the storage set by us, whatever the client's own settings are."""
    return database.get_collection(
        name,
        codec_options=CODEC,
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority", j=True),
        read_concern=ReadConcern(read_concern),
    )


def reign_of(database: Database) -> Reign | None:
    """Which member of a replica set leads, and since which election; None where the driver knows of none."""
    for server in topology_of(database).server_descriptions().values():
        if server.server_type_name == "RSPrimary":
            return server.address, server.election_id
    return None


def hosts_of(database: Database) -> str:
    """The servers that the driver knows of, for errors to name."""
    addresses = sorted(topology_of(database).server_descriptions())
    return ",".join(host if port is None else f"{host}:{port}" for host, port in addresses) or "an unknown host"


def topology_of(database: Database) -> Any:
    """What the driver knows of each server."""
    client = database.client
    if type(client).__module__.startswith("motor"):
        client = client.delegate  # PyMongo's own client
    return client.topology_description
