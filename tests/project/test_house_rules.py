"""The rules that hold the house catch what breaks them, and nothing else: each is shown a small house of both kinds."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import house
from support.house import Source

Build = Callable[..., list[Source]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Writes a package named ``core`` of these files."""

    def build(**files: str) -> list[Source]:
        package = tmp_path / "core"
        for name, text in {"__init__": "", **files}.items():
            path = package / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return house.read(package)

    return build


def in_one_file(build: Build, rule: Callable[[Source], Sequence[str]], text: str) -> Sequence[str]:
    [found] = [rule(source) for source in build(web__in__app=text) if source.module == "core.web.app"]
    return found


UPWARD = [
    "from ..web import app",
    "from ..web.app import setup",
    "import core.web.app",
    "from core.web import app",
    "def late():\n    from ..web.app import setup",
    "if TYPE_CHECKING:\n    from ..web.app import setup",
    "from .. import setup",
    "from core import setup",
]


@pytest.mark.parametrize("text", UPWARD)
def test_an_import_of_a_higher_layer_is_seen(build: Build, text: str) -> None:
    found = house.upward_imports(build(tokens__in__codec=text, web__in__app="", **{"web__in____init__": ""}))
    assert [line.split(":")[0] for line in found] == ["core.tokens.codec"]


@pytest.mark.parametrize(
    "text", ["from ..errors import E", "from .. import errors", "from . import keys", "import json"]
)
def test_an_import_of_a_lower_layer_or_of_a_neighbour_is_fine(build: Build, text: str) -> None:
    sources = build(tokens__in__codec=text, tokens__in__keys="", errors="", **{"tokens__in____init__": ""})
    assert house.upward_imports(sources) == []
    assert house.cycles(sources) == []


def test_the_package_stands_above_the_adapter_and_below_testing_and_the_command_line(build: Build) -> None:
    build(__init__="from .web.app import setup", web__in__app="", testing__in__clock="from .. import setup")
    assert (
        house.upward_imports(build(cli__in__copy="from ..testing.clock import C", __main__="from .cli.copy import m"))
        == []
    )
    assert len(house.upward_imports(build(__init__="from .testing.clock import C"))) == 1
    assert len(house.upward_imports(build(__init__="", testing__in__clock="from ..cli import copy"))) == 1


def test_a_circle_of_imports_is_seen(build: Build) -> None:
    sources = build(tokens__in__a="from .b import x", tokens__in__b="from . import c", tokens__in__c="from .a import y")
    [found] = house.cycles(sources)
    assert {"core.tokens.a", "core.tokens.b", "core.tokens.c"} <= set(found.split(" <- "))
    assert house.cycles(build(tokens__in__c="")) == []


def test_a_file_outside_of_the_layers_has_no_place(build: Build) -> None:
    sources = build(errors="", helpers="", util__in__text="", web__in__app="", __main__="")
    assert [source.module for source in sources if house.layer_of(source.module) is None] == [
        "core.helpers",
        "core.util.text",
    ]


@pytest.mark.parametrize(
    "text", ["import aiohttp", "from aiohttp.web import Request", "def f():\n    import aiohttp.web"]
)
def test_an_import_of_aiohttp_is_seen(build: Build, text: str) -> None:
    assert len(in_one_file(build, lambda source: house.foreign_imports(source, {"aiohttp"}), text)) == 1
    assert in_one_file(build, lambda source: house.foreign_imports(source, {"yarl"}), text) == []


@pytest.mark.parametrize(
    "text",
    ["from ..errors import _x", "from asyncio import _x", "import asyncio._x", "from ..tokens._codec import sign"],
)
def test_an_import_of_an_underscore_name_is_seen(build: Build, text: str) -> None:
    assert len(in_one_file(build, house.private_imports, text)) == 1


@pytest.mark.parametrize("text", ["from __future__ import annotations", "from ._own import x", "from . import app"])
def test_a_dunder_name_and_an_underscore_file_of_the_same_folder_are_fine(build: Build, text: str) -> None:
    assert in_one_file(build, house.private_imports, text) == []


FOREIGN = {
    "another object": "def f(session):\n    return session._id",
    "a foreign annotation": "class A:\n    _id = 1\n\ndef f(session: Session):\n    return session._id",
    "an attribute of self": "class A:\n    _id = 1\n    def f(self):\n        return self.session._id",
    "a module": "import json\njson._x()",
    "a name that only another class has": "class A:\n    def f(self):\n        return self._id",
    "a store on another object": "class A:\n    _id = 1\n    def f(self, other):\n        other._id = 2",
    "a parent from elsewhere": "class A(Parent):\n    def f(self):\n        return super()._find()",
    "a call's result": "class A:\n    _id = 1\n    def f(self):\n        return find()._id",
    "by name": "def f(session):\n    return getattr(session, '_id')",
    "what was handed to a call": "class A:\n    _id = 1\n    def f(self):\n        x = find(self)\n        x._id",
    "in a lambda": "write = lambda session: session._id",
    "in a class body": "class A:\n    find = Other._find",
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_an_underscore_attribute_of_somebody_else_is_seen(build: Build, text: str) -> None:
    assert len(in_one_file(build, house.private_access, text)) == 1


OWN = {
    "made in a method": "class A:\n    def f(self):\n        self._id = 1\n    def g(self):\n        return self._id",
    "a slot": "class A:\n    __slots__ = ('_id',)\n    def f(self):\n        return self._id",
    "a method": "class A:\n    def _f(self): ...\n    def g(self):\n        return self._f()",
    "a field": "class A:\n    _id: int\n    def g(self):\n        return self._id",
    "frozen": "class A:\n    def f(self):\n        object.__setattr__(self, '_id', 1)\n        return self._id",
    "an annotated parameter": "class A:\n    _id = 1\n\ndef f(a: 'A | None'):\n    return a._id",
    "another Self": "class A:\n    _id = 1\n    def f(self, other: Self):\n        return other._id",
    "made by the class": "class A:\n    _id = 1\n    def f(cls):\n        a = cls.__new__(cls)\n        a._id = 2",
    "a copy": "class A:\n    _id = 1\n    def f(self):\n        a = copy(self)\n        a._id = 2",
    "after isinstance": "class A:\n    _id = 1\n    def f(self, o):\n        return isinstance(o, A) and o._id",
    "of a parent in the file": "class P:\n    def _f(self): ...\nclass A(P):\n    def g(self):\n        super()._f()",
    "by its own name": "class A:\n    _id = 1\n    def f(self):\n        return getattr(self, '_id', None)",
    "a named tuple": "def f(x):\n    return x._replace(a=1)",
    "a dunder": "def f(x):\n    return x.__class__.__name__",
}


@pytest.mark.parametrize("text", OWN.values(), ids=OWN)
def test_an_underscore_attribute_of_ones_own_is_fine(build: Build, text: str) -> None:
    assert in_one_file(build, house.private_access, text) == []


@pytest.mark.parametrize(
    "text", ["", '"""One line."""', '"""For.\n\nKnows all.\n"""', '"""For.\n\nMay not a.\n\nMore.\n"""']
)
def test_a_layer_that_does_not_say_what_it_may_not_know_is_seen(build: Build, text: str) -> None:
    assert len(in_one_file(build, house.docstring_faults, text)) == 1
    assert in_one_file(build, house.docstring_faults, '"""For.\n\nMay not know.\n"""') == []
