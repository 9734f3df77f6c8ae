"""What a backend tells the suite: how its storage is made, and, optionally, how it is broken and what its URLs are.

A test that needs an optional hook is there only where the backend gives the hook: nothing is skipped, and the list of
tests says what was tried.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ...storage.contract import Clock, JtiStorage

__all__ = ["Hooks", "needs"]


class Hooks:
    """The hooks of the suite; `make_storage` is the only one that every backend gives."""

    password = "Pa55word0fTheSuite"  # noqa: S105 - it is made to be found where it must not be
    """For `bad_urls`: a password that no message may show."""

    bad_urls: Iterable[tuple[str, str]] = ()
    """Optional: URLs that `from_url` refuses, each with a text that the error must mention; `password` in some."""

    good_url: str = ""
    """Optional: a URL that `from_url` takes. Nothing needs to be there: it is never opened."""

    def bare_url(self) -> str:
        """Optional: the URL of the database of `make_storage`, with as little in it as `from_url` can do with."""
        raise NotImplementedError

    def absent_url(self) -> str:
        """Optional: the URL of a database that is not there, and that `open` makes where it may."""
        raise NotImplementedError

    async def make_storage(self, clock: Clock) -> JtiStorage:
        """Gives an unopened storage with this clock, on an empty database that belongs to this test alone."""
        raise NotImplementedError("a conformance test must say how its storage is made")

    async def break_storage(self) -> Callable[[], Awaitable[object]] | None:
        """Optional: makes the database of ``self.storage`` unreachable, whether the storage is open or not.

        Gives an async function that makes it reachable again, with all of its records, and returns when it is; or None
        where it cannot be mended.
        """
        raise NotImplementedError

    async def corrupt(self, sid: str) -> None:
        """Optional: damages the stored record of a sid.

        It must still be found by its sid and its subject, live, and be something that is not a record.
        """
        raise NotImplementedError


class _TestWithHook:
    """A test method that is there only for classes that override a hook."""

    def __init__(self, hook: str, test: Callable[[Any], Awaitable[None]]) -> None:
        self._hook = hook
        self._test = test

    def __get__(self, case: object | None, cls: type) -> Any:
        # unittest and pytest take a test_ attribute for a test where it is callable.
        if getattr(cls, self._hook) is getattr(Hooks, self._hook):
            return None
        return self._test if case is None else self._test.__get__(case, cls)


def needs(hook: str) -> Callable[[Callable[[Any], Awaitable[None]]], Any]:
    """Marks a test that is there only where the backend overrides this hook."""
    return lambda test: _TestWithHook(hook, test)
