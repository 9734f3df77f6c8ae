"""The rules of the house, read from syntax trees. Each gives the places that break it, as ``module:line: what``."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

__all__ = [
    "GROUND",
    "LAYERS",
    "Source",
    "cycles",
    "docstring_faults",
    "foreign_imports",
    "import_roots",
    "imports_of",
    "layer_of",
    "private_access",
    "private_imports",
    "read",
    "upward_imports",
]

# Lowest first. ``package`` is the file that re-exports what an application needs.
LAYERS = ("ground", "storage", "settings", "tokens", "sessions", "web", "package", "testing", "cli")
GROUND = ("errors", "faults", "jsontext", "log")
NAMED_TUPLE = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}  # public, whatever they look like


@dataclass(frozen=True)
class Source:
    """One file and its full module name; a package's own name stands for its ``__init__.py``."""

    module: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))

    @property
    def package(self) -> str:
        """What one dot in a relative import means."""
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]

    def at(self, node: ast.stmt | ast.expr, what: str) -> str:
        return f"{self.module}:{node.lineno}: {what}"


@dataclass(frozen=True)
class Import:
    """``from module import name``, or ``import module`` with an empty name."""

    node: ast.stmt
    module: str
    name: str = ""


def read(package: Path) -> list[Source]:
    """Every file of a package, in the order of their paths."""
    files = sorted(package.rglob("*.py"))
    names = [".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files]
    return [Source(name.removesuffix(".__init__"), file) for name, file in zip(names, files, strict=True)]


def imports_of(source: Source) -> Iterator[Import]:
    """All imports, anywhere in the file, relative ones resolved."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (Import(node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = source.package.split(".")
            base = parts[: len(parts) + 1 - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (Import(node, module, alias.name) for alias in node.names)


def import_roots(source: Source) -> set[str]:
    return {each.module.partition(".")[0] for each in imports_of(source)}


def layer_of(module: str) -> str | None:
    """The layer in which a module of the core stands; None for a file that has no place."""
    parts = module.split(".")
    if len(parts) == 1:
        return "package"
    if parts[1] in GROUND and len(parts) == 2:
        return "ground"
    if parts[1] == "__main__":
        return "cli"
    return parts[1] if parts[1] in LAYERS else None


def upward_imports(sources: Sequence[Source]) -> list[str]:
    """Imports of a higher layer."""
    return [
        source.at(each.node, f"{layer_of(source.module)} imports {target}")
        for source in sources
        for each, target in _inside(source, sources)
        if _height(target) > _height(source.module)
    ]


def cycles(sources: Sequence[Source]) -> list[str]:
    """The first circle of imports, if there is one."""
    graph = {source.module: {target for _, target in _inside(source, sources)} for source in sources}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return [" <- ".join(exc.args[1])]
    return []


def _inside(source: Source, sources: Sequence[Source]) -> Iterator[tuple[Import, str]]:
    """The imports of files among these, and which file each means."""
    known = {each.module for each in sources}
    for each in imports_of(source):
        target = f"{each.module}.{each.name}" if f"{each.module}.{each.name}" in known else each.module
        if target in known and target != source.module:
            yield each, target


def _height(module: str) -> int:
    layer = layer_of(module)
    return LAYERS.index(layer) if layer else -1


def foreign_imports(source: Source, roots: Iterable[str]) -> list[str]:
    """Imports of distributions that this file may not know."""
    forbidden = set(roots)
    return [
        source.at(each.node, f"imports {each.module}")
        for each in imports_of(source)
        if each.module.partition(".")[0] in forbidden
    ]


def private_imports(source: Source) -> list[str]:
    """Imports of underscore names; a module with such a name is its own folder's."""
    return [
        source.at(each.node, f"imports {each.name or each.module} from {each.module}")
        for each in imports_of(source)
        if _is_private(each.name)
        or (each.module.rpartition(".")[0] != source.package and _has_private_part(each.module))
    ]


def private_access(source: Source) -> list[str]:
    """Underscore attributes of what this file does not define: another class's, another module's.

    ``x._name`` is fine where ``x`` is ``self``, ``cls``, ``super()`` or an instance of a class of this file, by its
    annotation or by how it was made, and where a class of this file defines ``_name``.
    """
    classes = [node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    defined = {name for cls in classes for name in _members(cls)}
    own = {"self", "cls", *(cls.name for cls in classes)}
    found = list(_by_name(source, defined))
    for scope in _scopes(source.tree):
        bases = own | set(_own_instances(scope, own))
        for node in ast.walk(scope):
            if not isinstance(node, ast.Attribute) or not _is_private(node.attr):
                continue
            if node.attr not in defined or not _is_own(node.value, bases):
                found.append(source.at(node, ast.unparse(node)))
    return sorted(set(found))


def _scopes(tree: ast.Module) -> Iterator[ast.stmt]:
    """Functions of the module, methods, and what stands outside of both, one by one."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.ClassDef) else [node]


def _members(cls: ast.ClassDef) -> Iterator[str]:
    """The names that a class gives to itself and its instances."""
    for node in cls.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (ast.unparse(target) for target in targets)
            if ast.unparse(targets[0]) == "__slots__" and node.value is not None:
                slots = ast.literal_eval(node.value)
                yield from [slots] if isinstance(slots, str) else slots
    for inner in ast.walk(cls):
        if (
            isinstance(inner, ast.Attribute)
            and isinstance(inner.ctx, ast.Store)
            and _is_own(inner.value, {"self", "cls"})
        ):
            yield inner.attr
        elif isinstance(inner, ast.Call) and ast.unparse(inner.func) == "object.__setattr__":
            yield str(getattr(inner.args[1], "value", ""))


def _own_instances(scope: ast.stmt, own: set[str]) -> Iterator[str]:
    """Names that an annotation, ``isinstance`` or the call that made them shows to be of a class of this file."""
    for node in ast.walk(scope):
        if isinstance(node, ast.arg) and node.annotation is not None and _names(node.annotation) & {*own, "Self"}:
            yield node.arg
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _makes_own(node.value, own):
            yield from (ast.unparse(target) for target in node.targets)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance" and _names(node.args[1]) & own:
            yield ast.unparse(node.args[0])


def _makes_own(call: ast.Call, own: set[str]) -> bool:
    """``cls(...)``, ``Own(...)``, ``cls.from_url(...)``, ``super().from_url(...)``, ``copy(self)`` and so on."""
    maker = call.func.value if isinstance(call.func, ast.Attribute) else call.func
    copies = ast.unparse(call.func) in ("object.__new__", "copy", "copy.copy", "replace")
    return _is_own(maker, own) or (copies and _is_own(call.args[0], own))


def _names(annotation: ast.expr) -> set[str]:
    """The names in an annotation, and in what is quoted in it."""
    text = ast.unparse(annotation).replace("'", "")
    return {each.id for each in ast.walk(ast.parse(text, mode="eval")) if isinstance(each, ast.Name)}


def _is_own(node: ast.expr, bases: set[str]) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "super"
    return isinstance(node, ast.Name) and node.id in bases


def _by_name(source: Source, defined: set[str]) -> Iterator[str]:
    """``getattr`` and the like with the text of an underscore name that no class of this file defines."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
            if _is_private(str(name)) and name not in defined:
                yield source.at(node, ast.unparse(node))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in NAMED_TUPLE


def _has_private_part(module: str) -> bool:
    return any(_is_private(part) for part in module.split("."))


def docstring_faults(source: Source) -> list[str]:
    """A layer says in two lines what it is for and, beginning with "May not", what it may not know."""
    lines = [line for line in (ast.get_docstring(source.tree) or "").splitlines() if line.strip()]
    if len(lines) == 2 and lines[1].startswith("May not "):
        return []
    return [f"{source.module}: two lines, what the layer is for and what it may not know"]
