"""Why MongoDB did not serve: one line that names the servers, and says so where waiting does not help."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure, ServerSelectionTimeoutError

from .driver import Database, topology_of

__all__ = ["Place", "was_never_sent"]

BY_HAND = "only a person can mend this: "
WRONG_LOGIN = f"the user name, the password or authSource is wrong; {BY_HAND}correct them, or create the user"
WRONG_SET = f"no server belongs to the replica set that replicaSet names; {BY_HAND}correct the name"
NOT_INITIATED = f"the replica set is not initiated; unless its servers are only just starting, {BY_HAND}rs.initiate()"
NOT_IN_DNS = f"the DNS names no servers for this host; {BY_HAND}correct it, unless the DNS is at fault"
NO_ROLE = f'the user lacks a role, or none is given; {BY_HAND}grant it "readWrite" on the database '

UNAUTHORIZED = (13, 8000)
UNAUTHENTICATED = (11, 18)


@dataclass(frozen=True, slots=True)
class Place:
    """A database and the servers it is on, as errors name them. ``hosts`` holds no password."""

    database: Database
    hosts: str

    def silence(self, seconds: float) -> str:
        """What a deadline that passed is called."""
        reason = "" if self._has_primary() else f": {self._no_server()}"
        return f"MongoDB at {self.hosts} did not answer within {seconds:g} s{reason}"

    def failure(self, exc: Exception) -> str:
        """What an error of the driver is called; its own text may hold anything, and stays in the cause."""
        return f"MongoDB at {self.hosts} did not serve: {self._reason(exc)}"

    def no_primary(self, hello: Mapping[str, Any]) -> str:
        """What a server is called that takes no writes, by what it says of itself."""
        reason = NOT_INITIATED if hello.get("isreplicaset") else "it is not the primary"
        return f"MongoDB at {self.hosts} takes no writes: {reason}"

    def _reason(self, exc: Exception) -> str:
        code = exc.code if isinstance(exc, OperationFailure) else None
        if code in UNAUTHENTICATED:
            return WRONG_LOGIN
        if code in UNAUTHORIZED:
            return NO_ROLE + self.database.name
        if isinstance(exc, ConnectionFailure | ConfigurationError) and not self._has_primary():
            return NOT_IN_DNS if isinstance(exc, ConfigurationError) else self._no_server()
        details = getattr(exc, "details", None)
        name = details.get("codeName") if isinstance(details, Mapping) else None
        return f"{type(exc).__name__} ({name})" if name else type(exc).__name__

    def _has_primary(self) -> bool:
        return bool(topology_of(self.database).has_writable_server())

    def _no_server(self) -> str:
        """Why no server can be written to, by what the driver knows of each of them."""
        topology = topology_of(self.database)
        servers = topology.server_descriptions().values()
        is_empty_set = not servers and topology.topology_type_name == "ReplicaSetNoPrimary"
        if is_empty_set or any(isinstance(server.error, ConfigurationError) for server in servers):
            return WRONG_SET
        kinds = {server.server_type_name for server in servers if server.error is None}
        if kinds == {"RSGhost"}:
            return NOT_INITIATED
        if not servers or kinds == {"Unknown"}:
            return "no server has answered"
        # These errors come from watching the servers, before anybody logs in: there is no password in them.
        faults = [str(server.error).partition(" (configured")[0] for server in servers if server.error is not None]
        return f"there is no primary ({', '.join(faults) or 'none is elected'})"


def was_never_sent(exc: Exception) -> bool:
    """Whether a write that failed in this way did certainly nothing.

    The driver reports a write that it has sent by its first error, even where it finds no server to repeat it on.
    """
    if isinstance(exc, OperationFailure):
        return exc.code in (*UNAUTHORIZED, *UNAUTHENTICATED)
    return isinstance(exc, ServerSelectionTimeoutError)
