"""The ratios that are promised, in one table: how much, of what to what."""

from dataclasses import dataclass

__all__ = ["LENIENCY", "TARGETS", "Target"]

LENIENCY = 1.5  # a quick run fails where a target is missed by more than half, whatever else the machine was doing


@dataclass(frozen=True, slots=True)
class Target:
    """One promise. ``bound`` is the most that ``compared`` may come to, or the least where ``at_least``."""

    name: str
    bound: float
    compared: str
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def is_far_off(self, value: float) -> bool:
        """Whether the value misses the bound by more than half of it."""
        return not self.is_met(value * LENIENCY if self.at_least else value / LENIENCY)

    @property
    def text(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


_ALL = (
    Target("tokens.verify", 1.2, "TokenCodec.verify / hmac.digest, base64, compare_digest, json.loads"),
    Target("tokens.sign", 1.0, "TokenCodec.sign / json.dumps, base64, hmac.digest"),
    Target("tokens.previous", 1.05, "verify with four previous secrets / with none, the current one fitting"),
    Target("tokens.forged", 1.0, "verify of the dearest forgery up to 8 KB / of an honest token of 390 bytes"),
    Target("requests.untouched", 1.0, "added for a handler that asks for no session / 6 us or 0.1 bare, the larger"),
    Target("requests.read", 0.18, "added for a read, 64 visitors in turn / added by aiohttp-session, encrypted"),
    Target("requests.write", 0.33, "added for a write, 64 visitors in turn / added by aiohttp-session, encrypted"),
    Target("requests.nested_read", 0.22, "the same, of a session that holds lists and dictionaries"),
    Target("requests.nested_write", 0.4, "the same, changed in place: a number in a dictionary in a list"),
    Target("requests.unseen_read", 0.48, "added for a read, tokens not seen before / as for requests.read"),
    Target("requests.unseen_write", 0.48, "added for a write, tokens not seen before / as for requests.write"),
    Target("network.read", 1.6, "reads a second, 64 connections / aiohttp-session, encrypted", at_least=True),
    Target("network.write", 1.8, "writes a second, 64 connections / aiohttp-session, encrypted", at_least=True),
    Target("sqlite.get", 2.0, "get, 50 tasks / a point read from a table by hand, in the thread that asks"),
    Target("sqlite.get_alone", 2.0, "get, 1 task / a point read through one thread hop: a second hop would make it 2"),
    Target(
        "sqlite.replace_normal",
        1.5,
        "replace, 50 tasks, synchronous=NORMAL / 50 a transaction in a table by hand, in the thread that asks",
    ),
    Target(
        "sqlite.replace_full",
        1.5,
        "replace, 50 tasks, synchronous=FULL / 50 a transaction in a table by hand, in the thread that asks",
    ),
    Target("mongodb.get", 0.15, "get, 50 tasks / Motor find_one each"),
    Target("mongodb.replace", 1.15, "replace, 50 tasks / Motor replace_one with the same write concern"),
    Target(
        "network.mongodb",
        3.0,
        "checked reads a second, 64 connections / one Motor find_one in a plain handler",
        at_least=True,
    ),
    Target("growth.sqlite_get", 1.3, "SQLite get with many records / with 1 thousand"),
    Target("growth.sqlite_replace", 1.3, "SQLite replace with many records / with 1 thousand"),
    Target("growth.mongodb_get", 1.4, "MongoDB get with many records / with 1 thousand"),
    Target("growth.mongodb_replace", 1.4, "MongoDB replace with many records / with 1 thousand"),
    Target("growth.memory", 1.05, "memory of a process that works on many records / on 1 thousand"),
    Target("growth.purge", 3.0, "99th percentile of get while a purge runs / idle"),
    Target("startup.time", 1.15, "import aiohttp_lionrock / import aiohttp.web"),
    Target("startup.modules", 0, "database drivers and testing modules among what it imports"),
)

TARGETS = {target.name: target for target in _ALL}
