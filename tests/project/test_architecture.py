"""How the house is built: what may import what, read from the syntax trees and from a fresh interpreter."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support import house
from support.house import Source

import aiohttp_lionrock

ROOT = Path(__file__).parents[2]
CORE = ROOT / "aiohttp_lionrock"
BACKENDS = sorted(path for path in ROOT.glob("backends/*/aiohttp_lionrock_*") if path.is_dir())
SOURCES = house.read(CORE)
BACKEND_SOURCES = [source for backend in BACKENDS for source in house.read(backend)]
LAYER_FILES = [source for source in SOURCES if source.path.name == "__init__.py" and source.path.parent != CORE]

WEB = {"aiohttp", "yarl", "multidict", "aiosignal", "frozenlist"}
# Files of the testing layer that may import aiohttp as `web` does: helpers for tests of applications.
WEB_HELPERS = {"aiohttp_lionrock.testing.clients"}
# What an extra or the user's own tests bring along, by where it may be imported.
GUESTS = {
    "aiohttp_lionrock.cli": {"click"},
    "aiohttp_lionrock.__main__": {"click"},
    "aiohttp_lionrock.testing.pytest_plugin": {"pytest"},
    "aiohttp_lionrock.web.templates": {"aiohttp_jinja2", "jinja2"},
    "aiohttp_lionrock.web.useragent": {"ua_parser"},
}
MAX_LINES, MAX_TEST_LINES = 250, 600
# What a plain install must not load: drivers, backends, and what only tests and the command line need.
NEVER_LOADED = {
    *(
        "aiosqlite",
        "sqlite3",
        "aiohttp_jinja2",
        "jinja2",
        "ua_parser",
        "motor",
        "pymongo",
        "bson",
        "aiohttp_lionrock_sqlite",
        "aiohttp_lionrock_mongodb",
    ),
    *(
        "aiohttp_lionrock.testing",
        "aiohttp_lionrock.cli",
        "aiohttp_lionrock.__main__",
        "unittest",
        "pytest",
        "argparse",
        "click",
    ),
}

each_file = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.module)
each_file_of_all = pytest.mark.parametrize("source", SOURCES + BACKEND_SOURCES, ids=lambda source: source.module)


def public_modules() -> list[ModuleType]:
    """All but what is run; a layer's own file may be a docstring alone."""
    modules = [importlib.import_module(source.module) for source in SOURCES if not source.module.endswith("__main__")]
    return [module for module in modules if hasattr(module, "__all__") or not hasattr(module, "__path__")]


def in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return 0 if name.isupper() else 1 if name[0].isupper() else 2, name


# --- layers ------------------------------------------------------------------------------------------------------


@each_file
def test_every_file_stands_in_a_layer(source: Source) -> None:
    assert house.layer_of(source.module) is not None


def test_imports_run_downward_only() -> None:
    assert house.upward_imports(SOURCES) == []


@pytest.mark.parametrize("package", [CORE, *BACKENDS], ids=lambda path: path.name)
def test_no_imports_run_in_a_circle(package: Path) -> None:
    assert house.cycles(house.read(package)) == []


@pytest.mark.parametrize("source", LAYER_FILES, ids=lambda source: source.module)
def test_a_layer_says_in_two_lines_what_it_is_for_and_what_it_may_not_know(source: Source) -> None:
    assert house.docstring_faults(source) == []


@each_file
def test_only_the_adapter_imports_aiohttp(source: Source) -> None:
    if house.layer_of(source.module) not in ("web", "package") and source.module not in WEB_HELPERS:
        assert house.foreign_imports(source, WEB) == []


def test_the_adapter_does_import_aiohttp() -> None:
    importing = {source.module for source in SOURCES if "aiohttp" in house.import_roots(source)}
    assert any(house.layer_of(module) == "web" for module in importing)
    assert importing >= WEB_HELPERS


@each_file
def test_the_core_imports_the_standard_library_pyjwt_and_aiohttp_alone(source: Source) -> None:
    foreign = house.import_roots(source) - sys.stdlib_module_names - {"aiohttp", "aiohttp_lionrock", "jwt"}
    foreign -= {
        guest for place, guests in GUESTS.items() for guest in guests if f"{source.module}.".startswith(f"{place}.")
    }
    assert house.foreign_imports(source, foreign) == []


def test_no_file_of_the_core_imports_a_driver() -> None:
    drivers = NEVER_LOADED & {"aiosqlite", "sqlite3", "motor", "pymongo", "bson"}
    assert [fault for source in SOURCES for fault in house.foreign_imports(source, drivers)] == []


def test_pyjwt_is_asked_for_the_mac_alone() -> None:
    found = {each.module for source in SOURCES for each in house.imports_of(source)}
    assert {name for name in found if name.split(".")[0] == "jwt"} <= {"jwt.algorithms", "jwt.exceptions"}


def test_there_are_two_backends() -> None:
    assert [path.name for path in BACKENDS] == ["aiohttp_lionrock_mongodb", "aiohttp_lionrock_sqlite"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda path: path.name)
def test_a_backend_imports_storage_and_errors_of_the_core_alone(backend: Path) -> None:
    found = {each.module for source in house.read(backend) for each in house.imports_of(source)}
    ours = {name for name in found if name.split(".")[0].startswith("aiohttp")}
    assert {name for name in ours if name.split(".")[0] != backend.name} <= {
        "aiohttp_lionrock.errors",
        "aiohttp_lionrock.storage",
    }
    assert ours


# --- underscore names --------------------------------------------------------------------------------------------


@each_file_of_all
def test_no_file_imports_an_underscore_name(source: Source) -> None:
    assert house.private_imports(source) == []


@each_file_of_all
def test_no_file_touches_an_underscore_name_of_a_class_or_module_elsewhere(source: Source) -> None:
    assert house.private_access(source) == []


# --- files -------------------------------------------------------------------------------------------------------


@each_file_of_all
def test_no_file_has_two_hundred_and_fifty_lines(source: Source) -> None:
    length = len(source.path.read_text().splitlines())
    assert length < MAX_LINES


def test_no_file_of_tests_has_six_hundred_lines() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length >= MAX_TEST_LINES} == {}


@pytest.mark.parametrize("package", [CORE, *BACKENDS], ids=lambda path: path.name)
def test_every_package_is_marked_as_typed(package: Path) -> None:
    assert (package / "py.typed").is_file()
    assert (package / "py.typed").read_text() == ""


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_all_is_sorted_and_every_name_in_it_exists(module: ModuleType) -> None:
    assert module.__all__ == sorted(set(module.__all__), key=in_order)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert [name for name in module.__all__ if name.startswith("_")] == []


def test_the_package_shows_what_the_design_promises() -> None:
    promised = {"setup", "get_session", "new_session", "Session", "SessionConfig", "SessionManager", "CookieChange"}
    promised |= {"open_storage", "JtiEvent", "JtiRecord", "JtiStorage", "JtiConfig", "MemoryStorage"}
    assert promised <= set(aiohttp_lionrock.__all__)
    assert set(importlib.import_module("aiohttp_lionrock.errors").__all__) <= set(aiohttp_lionrock.__all__)


@each_file
def test_every_file_and_every_public_name_in_it_has_a_docstring(source: Source) -> None:
    assert ast.get_docstring(source.tree)
    if source.module.endswith("__main__"):
        return
    public = set(getattr(importlib.import_module(source.module), "__all__", ()))
    definitions = [
        node for node in source.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [node.name for node in definitions if node.name in public and not ast.get_docstring(node)] == []


@pytest.mark.parametrize("name", aiohttp_lionrock.__all__)
def test_every_public_method_is_described_where_it_is_defined_or_overridden(name: str) -> None:
    cls = getattr(aiohttp_lionrock, name)
    if not inspect.isclass(cls):
        return
    own = {member: value for member, value in vars(cls).items() if not member.startswith("_")}
    callables = [member for member, value in own.items() if inspect.isroutine(value) or isinstance(value, property)]
    assert [member for member in callables if not inspect.getdoc(getattr(cls, member))] == []


@each_file
def test_nothing_is_done_when_a_file_is_imported(source: Source) -> None:
    """No I/O, no thread, no loop: at the top of a file stand definitions, constants and conditions on types."""
    allowed = (
        *(ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign),
        *(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef),
    )
    for node in source.tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_type_check = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        is_start = source.module.endswith("__main__")
        assert isinstance(node, allowed) or is_docstring or is_type_check or is_start, source.at(node, "does something")


# --- a fresh interpreter -----------------------------------------------------------------------------------------


def test_importing_the_package_loads_no_driver_and_nothing_of_the_tests() -> None:
    script = (
        "import sys, importlib.metadata; import aiohttp.web; known = set(sys.modules);"
        "import aiohttp_lionrock; print(*sorted(set(sys.modules) - known))"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(ran.stdout.split())
    assert "aiohttp_lionrock.web" in loaded
    assert loaded & NEVER_LOADED == set()


def test_the_layers_below_the_adapter_load_without_aiohttp() -> None:
    """In an interpreter in which aiohttp cannot be imported, and in which the package itself is not run."""
    script = (
        "import sys, types; sys.modules['aiohttp'] = None; package = types.ModuleType('aiohttp_lionrock');"
        f"package.__path__ = [{str(CORE)!r}]; sys.modules['aiohttp_lionrock'] = package;"
        "import aiohttp_lionrock.sessions.manager, aiohttp_lionrock.storage.memory, aiohttp_lionrock.testing;"
        "print('loaded')"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout.strip() == "loaded", ran.stderr
