"""A storage URL finds its backend by entry point: the installed ones here, and distributions put on the path."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from aiohttp_lionrock.errors import ConfigError, UnknownBackend
from aiohttp_lionrock.storage import JtiStorage
from aiohttp_lionrock.storage.memory import MemoryStorage
from aiohttp_lionrock.storage.registry import open_storage

BACKEND = """
from aiohttp_lionrock.storage.memory import MemoryStorage

class Storage(MemoryStorage):
    @classmethod
    def from_url(cls, url):
        storage = cls()
        storage.url = url
        return storage
"""


class Site:
    """A folder on the import path, into which distributions with storage backends are put."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def install(self, distribution: str, backends: dict[str, str], folder: str = "", **modules: str) -> None:
        info = self.folder / folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        points = "".join(f"{name} = {target}\n" for name, target in backends.items())
        (info / "entry_points.txt").write_text(f"[aiohttp_lionrock.backends]\n{points}")
        for name, source in modules.items():
            (self.folder / f"{name}.py").write_text(source)
            self.modules.append(name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    site = Site(tmp_path)
    yield site
    for name in site.modules:
        sys.modules.pop(name, None)


def refusal(url: Any) -> str:
    """What the ConfigError for this URL says."""
    with pytest.raises(ConfigError) as caught:
        open_storage(url)
    return str(caught.value)


def test_memory_is_an_entry_point_of_the_core() -> None:
    assert type(open_storage("memory://")) is MemoryStorage


def test_each_call_builds_a_storage_of_its_own() -> None:
    assert open_storage("memory://") is not open_storage("memory://")


def test_sqlite_is_an_entry_point_of_its_own_distribution(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/sessions.db")
    assert isinstance(storage, JtiStorage)
    assert type(storage).__name__ == "SqliteStorage"
    assert list(tmp_path.iterdir()) == [], "building a storage does no I/O"


def test_the_scheme_is_compared_without_case_and_the_backend_gets_it_in_lower_case(site: Site) -> None:
    site.install("shelf", {"Shelf": "shelf_backend:Storage"}, shelf_backend=BACKEND)
    for url in ("shelf://Host/Name?A=b", "SHELF://Host/Name?A=b", "ShElF://Host/Name?A=b"):
        assert vars(open_storage(url))["url"] == "shelf://Host/Name?A=b"


def test_only_the_backend_asked_for_is_loaded(site: Site) -> None:
    site.install("shelf", {"shelf": "shelf_backend:Storage"}, shelf_backend=BACKEND)
    site.install("broken", {"broken": "broken_backend:Storage"}, broken_backend="raise SystemExit('loaded')")
    open_storage("memory://")
    assert "shelf_backend" not in sys.modules
    open_storage("shelf://")
    assert "shelf_backend" in sys.modules
    assert "broken_backend" not in sys.modules


def test_opening_memory_loads_no_other_backend_no_driver_and_no_test_helpers() -> None:
    code = """
import sys
from aiohttp_lionrock.storage.registry import open_storage
open_storage("memory://")
unwanted = {"aiohttp_lionrock.testing", "aiohttp_lionrock_sqlite", "aiosqlite", "aiohttp_lionrock_mongodb", "motor"}
print(sorted(unwanted & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


EXAMPLE = 'a backend\'s name, "://" and an address, as in "sqlite:///sessions.db"'
EMPTY = f"the storage URL is empty; write {EXAMPLE}"
SPACED = f"the storage URL begins or ends with white space; write {EXAMPLE}, and nothing around it"
PATH = 'the storage URL is a path without a backend\'s name; for a SQLite file write "sqlite:///" before the path'
NAMELESS = f'the storage URL does not begin with a backend\'s name and "://"; write {EXAMPLE}'


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", EMPTY),
        (" \n", EMPTY),
        (" sqlite:///x.db", SPACED),
        ("\tmemory://", SPACED),
        ("memory://\n", SPACED),
        ("sqlite:///x.db ", SPACED),
        ("x.db", PATH),
        ("data/hunter2.sqlite3", PATH),
        ("/var/lib/hunter2", PATH),
        ("./hunter2", PATH),
        ("C:\\data\\x.db", PATH),
        ("C:/data/x.db", PATH),
        ("memory", 'after \'memory\' the storage URL lacks "://"; write "memory://"'),
        ("Memory:", 'after \'memory\' the storage URL lacks "://"; write "memory://"'),
        ("sqlite", 'after \'sqlite\' the storage URL lacks "://"; write "sqlite:///sessions.db"'),
        ("sqlite:/x.db", 'after \'sqlite\' the storage URL lacks "://"; write "sqlite:///sessions.db"'),
        ("sqlite:hunter2", 'after \'sqlite\' the storage URL lacks "://"; write "sqlite:///sessions.db"'),
        ("mongodb:hunter2", 'after \'mongodb\' the storage URL lacks "://"; write "mongodb://host/database"'),
        ("mongodb+srv:/h", 'after \'mongodb+srv\' the storage URL lacks "://"; write "mongodb+srv://host/database"'),
        ("sqllite:/hunter2", f"after 'sqllite' the storage URL lacks \"://\"; write {EXAMPLE}"),
        ("hunter2", NAMELESS),
        ("user:hunter2@host/x.db", NAMELESS),
        ("hunter2:secret@host", NAMELESS),
        ("://hunter2", NAMELESS),
        ("1x://hunter2", NAMELESS),
        ("a b://hunter2", NAMELESS),
    ],
)
def test_what_is_not_a_url_is_told_what_is_wrong_with_it_and_the_way_out(url: str, message: str) -> None:
    assert refusal(url) == message
    assert "hunter2" not in message


@pytest.mark.parametrize("url", [None, 7, b"memory://", Path("x.db"), ["memory://"]])
def test_what_is_not_text_is_refused_by_its_type(url: Any) -> None:
    assert refusal(url) == f"a storage URL is text, not {type(url).__name__}: {EXAMPLE}"


def test_an_unknown_scheme_is_named_beside_the_installed_ones(site: Site) -> None:
    site.install("shelf", {"shelf": "shelf_backend:Storage"})
    with pytest.raises(UnknownBackend) as caught:
        open_storage("Cassandra://user:hunter2@host/x")
    assert caught.value.scheme == "cassandra"
    assert {"memory", "shelf", "sqlite"} <= set(caught.value.installed)
    assert list(caught.value.installed) == sorted(set(caught.value.installed))
    assert "'cassandra'" in str(caught.value)
    assert "pip install" not in str(caught.value)
    assert str(caught.value).endswith("; docs/backends/write.md shows how to write one")


@pytest.mark.parametrize(
    ("scheme", "distribution"),
    [
        ("sqlite", "aiohttp-lionrock-sqlite"),
        ("mongodb", "aiohttp-lionrock-mongodb"),
        ("mongodb+srv", "aiohttp-lionrock-mongodb"),
    ],
)
def test_a_known_backend_that_is_not_installed_comes_with_its_pip_line(
    scheme: str, distribution: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("aiohttp_lionrock_sqlite", "aiohttp_lionrock_mongodb"):
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    site.install("shelf", {"shelf": "shelf_backend:Storage"})
    way = f"(from a checkout of aiohttp-lionrock: pip install ./backends/{scheme.partition('+')[0]})"
    message = refusal(f"{scheme}://user:hunter2@host/x")
    assert message.endswith(f"(installed: memory, shelf); install the distribution {distribution} {way}")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert refusal(f"{scheme}://h/x").endswith(f"with --hidden-import {distribution.replace('-', '_')}")


@pytest.mark.parametrize(
    ("scheme", "nearest"),
    [("sqlite3", "sqlite"), ("sqllite", "sqlite"), ("sqlite+aiosqlite", "sqlite"), ("mem", "memory")],
)
def test_a_misspelt_scheme_comes_with_the_nearest_installed_name(scheme: str, nearest: str) -> None:
    assert refusal(f"{scheme}:///x.db").endswith(f"; did you mean {nearest!r}?")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import a_driver_that_is_missing", ModuleNotFoundError),
        ("raise OSError('libdriver.so: cannot open')", OSError),
        ("this is no python", SyntaxError),
        ("", AttributeError),
    ],
    ids=["driver missing", "driver broken", "module broken", "class missing"],
)
def test_a_backend_that_does_not_load_is_named_with_its_distribution(
    source: str, cause: type[Exception], site: Site
) -> None:
    site.install("acme-shelf", {"shelf": "shelf_backend:Storage"}, shelf_backend=source)
    with pytest.raises(ConfigError, match=rf"'shelf' .* acme-shelf does not load: {cause.__name__}: ") as caught:
        open_storage("shelf://user:hunter2@host/x")
    assert type(caught.value.__cause__) is cause
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["class Storage: ...", "def Storage(url): ...", "Storage = None", "from aiohttp_lionrock import errors as Storage"],
)
def test_a_backend_that_is_not_a_storage_class_is_refused(source: str, site: Site) -> None:
    site.install("acme-shelf", {"shelf": "shelf_backend:Storage"}, shelf_backend=source)
    assert refusal("shelf://user:hunter2@host/x") == (
        "the storage backend 'shelf' of the distribution acme-shelf is not a JtiStorage: shelf_backend:Storage"
    )


def test_one_name_from_two_distributions_is_refused_naming_both(site: Site) -> None:
    site.install("zeta-shelf", {"shelf": "shelf_backend:Storage"}, shelf_backend=BACKEND)
    site.install("acme-shelf", {"SHELF": "acme_backend:Storage"}, acme_backend=BACKEND)
    assert "'shelf' is claimed by several distributions: acme-shelf, zeta-shelf" in refusal("shelf://u:hunter2@h")
    assert "shelf_backend" not in sys.modules
    assert "acme_backend" not in sys.modules


def test_an_entry_point_goes_before_a_package_that_is_found_by_its_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("aiohttp_lionrock_sqlite")
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    site.install("acme-sqlite", {"SQLite": "acme_backend:Storage"}, acme_backend=BACKEND)
    assert vars(open_storage("sqlite://x"))["url"] == "sqlite://x"


def test_one_distribution_that_is_found_twice_counts_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("Acme.Shelf", {"shelf": "shelf_backend:Storage"}, folder="editable", shelf_backend=BACKEND)
    site.install("acme-shelf", {"shelf": "shelf_backend:Storage"})
    monkeypatch.syspath_prepend(site.folder / "editable")
    assert vars(open_storage("shelf://x"))["url"] == "shelf://x"


def test_what_a_backend_says_about_its_url_reaches_the_caller() -> None:
    assert refusal("memory://host") == "a memory storage takes no address and no options: write memory://"


def written_for(contract: object) -> str:
    """A backend that says for which version of the contract it was written."""
    return f"{BACKEND}\n    CONTRACT = {contract!r}\n"


def test_a_backend_for_this_version_of_the_contract_is_loaded(site: Site) -> None:
    site.install("shelf", {"shelf": "shelf_backend:Storage"}, shelf_backend=written_for(JtiStorage.CONTRACT))
    assert vars(open_storage("shelf://x"))["url"] == "shelf://x"


@pytest.mark.parametrize(
    ("contract", "upgrade"),
    [(0, "acme-shelf"), (2, "aiohttp-lionrock"), (99, "aiohttp-lionrock"), ("1", "acme-shelf"), (None, "acme-shelf")],
)
def test_a_backend_for_another_version_of_the_contract_is_refused_naming_both(
    contract: object, upgrade: str, site: Site
) -> None:
    site.install("acme-shelf", {"shelf": "shelf_backend:Storage"}, shelf_backend=written_for(contract))
    assert refusal("shelf://user:hunter2@host/x") == (
        f"the storage backend 'shelf' of acme-shelf 1.0 is written for version {contract!r} of the storage contract, "
        f"and aiohttp-lionrock {version('aiohttp-lionrock')} has version 1; upgrade {upgrade}"
    )
