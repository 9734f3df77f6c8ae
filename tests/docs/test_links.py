"""Links of every Markdown file lead somewhere, headings included; what a message tells to install is there."""

import re
import tomllib
from pathlib import Path

import pytest
from support.pages import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "backends").glob("*/*.md")])
FILES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)|src=\"([^\"]+)\"")


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    return [there or picture for there, picture in LINK.findall(prose(page))]


def headings(page: Path) -> set[str]:
    """The anchors that Sphinx and the usual viewers of Markdown make of headings."""
    titles = re.findall(r"^#{1,3} (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=FILES)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.removeprefix("<").removesuffix(">").partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=FILES)
def test_links_to_other_sites_are_https_and_not_to_what_is_not_published(page: Path) -> None:
    for link in links(page):
        assert not link.startswith("http:"), link
        assert "pypi.org/project/aiohttp-lionrock" not in link


def test_there_are_links() -> None:
    assert sum(len(links(page)) for page in PAGES) > 100
    assert sum("#" in link for page in PAGES for link in links(page)) > 3


def test_what_a_message_tells_to_install_is_what_an_extra_asks_for_or_is_in_the_checkout() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = {}
    for path in (ROOT / "aiohttp_lionrock").rglob("*.py"):
        for wanted in re.findall(r"pip install '([^']+)'", path.read_text()):
            told[wanted] = path.name
    assert told == {extras["cli"][0]: "__main__.py", extras["jinja2"][0]: "templates.py"}
    for folder in ("sqlite", "mongodb"):
        project = tomllib.loads((ROOT / "backends" / folder / "pyproject.toml").read_text())["project"]
        assert project["name"] == f"aiohttp-lionrock-{folder}"
