"""URLs: from_url judges without I/O, says all that is wrong, and shows no value."""

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from ...errors import ConfigError, StorageUnavailable
from ...storage.contract import JtiStorage
from .case import Case
from .hooks import needs

__all__ = ["Urls"]

TOUCHES = ("open", "os.", "socket.", "sqlite3.", "subprocess.", "shutil.", "tempfile.")
HARMLESS = ("os.putenv", "os.unsetenv", "os.add_dll_directory")


class Urls(Case):
    """Promises of from_url; there where a backend gives `bad_urls`, `good_url`, `bare_url` or `absent_url`."""

    @needs("bad_urls")
    async def test_before_open_a_bad_url_is_refused_with_what_is_wrong(self) -> None:
        for url, text in self.bad_urls:
            self.assertIn(text, str(await self.refusal(url)), "the error must mention what is wrong with the URL")

    @needs("bad_urls")
    async def test_before_open_no_error_shows_a_value_of_the_url(self) -> None:
        urls = [url for url, _ in self.bad_urls if self.password in url]
        self.assertNotEqual(
            urls, [], "put StorageConformance.password into some of bad_urls, where it may be misplaced"
        )
        for url in urls:
            shown = "".join(traceback.format_exception(await self.refusal(url)))
            self.assertNotIn(self.password, shown, "a password that stands in the URL must not be shown")

    @needs("good_url")
    async def test_before_open_a_good_url_makes_a_storage_each_time(self) -> None:
        one, two = await self.from_url(self.good_url), await self.from_url(self.good_url)
        for storage in (one, two):
            self.assertIsInstance(storage, type(self.storage), "from_url makes a storage of its class")
            await storage.aclose()
        self.assertIsNot(one, two, "each call makes a storage of its own")

    @needs("bare_url")
    async def test_a_url_without_options_opens_and_serves(self) -> None:
        self.storage: JtiStorage = await self.from_url(self.bare_url())
        self.addAsyncCleanup(self.storage.aclose)
        await self.storage.open()
        await self.assert_works()

    @needs("bare_url")
    async def test_a_closed_storage_opens_again_in_another_event_loop(self) -> None:
        self.storage = await self.from_url(self.bare_url())

        async def work() -> None:
            await self.storage.open()
            await self.assert_works()
            await self.storage.aclose()

        for _ in range(2):
            await asyncio.to_thread(lambda: asyncio.run(work()))

    @needs("absent_url")
    async def test_before_open_a_database_is_made_only_where_it_may_be(self) -> None:
        self.storage = await self.from_url(self.absent_url())
        self.addAsyncCleanup(self.storage.aclose)
        self.storage.may_create = False
        for _ in range(2):  # were it made by the first one, the second would find it
            with self.assertRaises(StorageUnavailable, msg="open makes nothing where may_create is False"):
                await self.storage.open()
        self.storage.may_create = True
        await self.storage.open()
        record = await self.stored()
        await self.storage.aclose()
        self.storage.may_create = False
        await self.storage.open()
        self.assertEqual(await self.storage.get("sid"), record, "what is there opens although may_create is False")

    async def refusal(self, url: str) -> ConfigError:
        """The error with which from_url refuses a URL."""
        with self.assertRaises(ConfigError, msg="a bad URL must be refused, with a ConfigError") as caught:
            await self.from_url(url)
        return caught.exception

    async def from_url(self, url: str) -> JtiStorage:
        """Builds a storage where no event loop runs; the second of two calls shows whether there is I/O in it.

        The first one may import a driver.
        """

        def build() -> JtiStorage:
            with suppress(ConfigError):
                type(self.storage).from_url(url)
            with _touches() as touched:
                try:
                    return type(self.storage).from_url(url)
                finally:
                    self.assertEqual(touched, [], "from_url must do no I/O")

        return await asyncio.to_thread(build)


_touched: dict[int, list[str]] = {}  # by thread


@contextmanager
def _touches() -> Iterator[list[str]]:
    """Collects what this thread does to files, sockets and processes."""
    _watch()
    touched = _touched[threading.get_ident()] = []
    try:
        yield touched
    finally:
        del _touched[threading.get_ident()]


@cache
def _watch() -> None:
    sys.addaudithook(_on_event)  # which cannot be taken away: once in a process


def _on_event(event: str, args: tuple[object, ...]) -> None:
    touched = _touched.get(threading.get_ident())
    if touched is not None and event.startswith(TOUCHES) and event not in HARMLESS:
        touched.append(event)
