"""How the house is built: what may import what, read from the syntax trees and from a fresh interpreter."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import aiohttp_lionrock

ROOT = Path(__file__).parent.parent
CORE = ROOT / "aiohttp_lionrock"
BACKENDS = sorted(path for path in ROOT.glob("backends/*/aiohttp_lionrock_*") if path.is_dir())

# Lowest first: a file imports only files that stand before it. To open them in this order is to read the library
# without meeting a name before its file.
ORDER = [
    *["errors", "jsontext", "log", "storage", "session", "faults", "cookies", "config", "keys", "tokens"],
    *["memory", "registry", "testing", "tokencache", "mint", "gate", "jti", "repairs", "records", "manager", "web"],
    *["__init__", "__main__"],
]
MODULES = sorted(path.stem for path in CORE.glob("*.py"))
# What a plain install must not load: drivers, backends, and what only tests need.
NEVER_LOADED = [
    "aiosqlite",
    "sqlite3",
    "motor",
    "pymongo",
    "bson",
    "aiohttp_lionrock_sqlite",
    "aiohttp_lionrock_mongodb",
]
NEVER_LOADED += ["aiohttp_lionrock.testing", "aiohttp_lionrock.__main__", "unittest", "pytest", "argparse"]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), path.name)


def imports_of(path: Path, package: str) -> Iterator[str]:
    """The full names of all modules that a file imports, anywhere in it, relative ones resolved."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, f"{path.name} imports from outside its package"
            yield from (f"{package}.{node.module or alias.name}" for alias in node.names)


def internal_imports(module: str) -> set[str]:
    package = "aiohttp_lionrock"
    names = {name for name in imports_of(CORE / f"{module}.py", package) if name.split(".")[0] == package}
    return {name.partition(".")[2] or "__init__" for name in names}


def public_modules() -> list[ModuleType]:
    names = [name for name in MODULES if name not in ("__init__", "__main__")]
    return [aiohttp_lionrock, *(importlib.import_module(f"aiohttp_lionrock.{name}") for name in names)]


def in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return 0 if name.isupper() else 1 if name[0].isupper() else 2, name


def test_every_file_has_its_place_in_the_order() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert set(MODULES) <= set(ORDER)
    assert set(ORDER) - set(MODULES) <= {"__main__"}
    assert {path.name for path in CORE.iterdir() if path.is_dir()} <= {"__pycache__"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    below = set(ORDER[: ORDER.index(module)])
    assert internal_imports(module) - below == set()


@pytest.mark.parametrize("module", [name for name in MODULES if name != "web"])
def test_only_the_adapter_imports_aiohttp(module: str) -> None:
    roots = {name.split(".")[0] for name in imports_of(CORE / f"{module}.py", "aiohttp_lionrock")}
    assert roots & {"aiohttp", "yarl", "multidict", "aiosignal", "frozenlist"} == set()


def test_the_adapter_does_import_aiohttp() -> None:
    assert "aiohttp" in set(imports_of(CORE / "web.py", "aiohttp_lionrock"))


@pytest.mark.parametrize("module", MODULES)
def test_the_core_imports_the_standard_library_pyjwt_and_aiohttp_alone(module: str) -> None:
    roots = {name.split(".")[0] for name in imports_of(CORE / f"{module}.py", "aiohttp_lionrock")}
    assert roots - sys.stdlib_module_names <= {"aiohttp", "aiohttp_lionrock", "jwt"}


def test_pyjwt_is_asked_for_the_mac_alone() -> None:
    found = {
        name for module in MODULES for name in imports_of(CORE / f"{module}.py", "") if name.split(".")[0] == "jwt"
    }
    assert found <= {"jwt.algorithms", "jwt.exceptions"}


def test_there_are_two_backends() -> None:
    assert [path.name for path in BACKENDS] == ["aiohttp_lionrock_mongodb", "aiohttp_lionrock_sqlite"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda path: path.name)
def test_a_backend_imports_storage_and_errors_of_the_core_alone(backend: Path) -> None:
    found = {
        name
        for path in backend.rglob("*.py")
        for name in imports_of(path, backend.name)
        if name.split(".")[0].startswith("aiohttp")
    }
    found -= {name for name in found if name.split(".")[0] == backend.name}
    assert found <= {"aiohttp_lionrock.errors", "aiohttp_lionrock.storage"}
    assert found


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
    promised = {
        "setup",
        "get_manager",
        "get_session",
        "new_session",
        "Session",
        "SessionConfig",
        "SessionManager",
    }
    promised |= {"CookieChange", "open_storage", "JtiEvent", "JtiRecord", "JtiStorage", "JtiConfig", "MemoryStorage"}
    assert promised <= set(aiohttp_lionrock.__all__)
    assert set(importlib.import_module("aiohttp_lionrock.errors").__all__) <= set(aiohttp_lionrock.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_file_and_every_public_name_in_it_has_a_docstring(module: str) -> None:
    tree = tree_of(CORE / f"{module}.py")
    assert ast.get_docstring(tree)
    if module == "__init__":
        return
    public = set(getattr(importlib.import_module(f"aiohttp_lionrock.{module}"), "__all__", ()))
    definitions = [
        node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
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
    assert loaded & set(NEVER_LOADED) == set()


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


def test_nothing_is_done_when_a_file_is_imported() -> None:
    """No I/O, no thread, no loop: at the top of a file stand definitions, constants and conditions on types."""
    allowed = (
        ast.Import,
        ast.ImportFrom,
        ast.ClassDef,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.Assign,
        ast.AnnAssign,
    )
    for module in MODULES:
        if module == "__main__":
            continue
        for node in tree_of(CORE / f"{module}.py").body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_type_check = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            assert isinstance(node, allowed) or is_docstring or is_type_check, f"{module}: {ast.unparse(node)[:60]}"
