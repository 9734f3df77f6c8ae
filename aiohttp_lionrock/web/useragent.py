"""User-Agent: the browser and the system that it names, in words; by ua-parser where that is installed."""

import re
from typing import Any

__all__ = ["read_user_agent"]

# By ua-parser's names: what the owner of a device calls it.
WORDS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "HeadlessChrome": "Headless Chrome",
    "Mobile Safari": "Safari",
    "Opera Mobile": "Opera",
    "Chrome OS": "ChromeOS",
    "Mac OS X": "macOS",
}

# By all products of the line but "Mobile": one product more, and it is another browser.
BROWSERS = {
    frozenset(products.split()): browser
    for products, browser in {
        "Gecko Firefox": "Firefox",
        "AppleWebKit FxiOS Safari": "Firefox",
        "AppleWebKit Chrome Safari": "Chrome",
        "AppleWebKit CriOS Safari": "Chrome",
        "AppleWebKit HeadlessChrome Safari": "Headless Chrome",
        "AppleWebKit Chrome Safari Edg": "Edge",
        "AppleWebKit Chrome Safari EdgA": "Edge",
        "AppleWebKit Version EdgiOS Safari": "Edge",
        "AppleWebKit Chrome Safari OPR": "Opera",
        "AppleWebKit SamsungBrowser Chrome Safari": "Samsung Internet",
        "AppleWebKit Version Safari": "Safari",
    }.items()
}
TOOLS = {"curl": "curl", "Wget": "Wget"}
APPLE = {"macOS", "iOS", "iPadOS"}

_LINE = r"Mozilla/5\.0 \(([^()]*)\) ([^()]*)(?:\(KHTML, like Gecko\)([^()]*))?"


def read_user_agent(text: str) -> tuple[str | None, str | None]:
    """The browser and the system; None for what is not known. The text is printable and of bounded length."""
    try:
        import ua_parser
    except ImportError:
        return _read_well_known(text)
    browser, system = ua_parser.parse_user_agent(text), ua_parser.parse_os(text)
    return _in_words(browser), _in_words(system)


def _in_words(found: Any) -> str | None:
    return None if found is None else WORDS.get(found.family, found.family)


def _read_well_known(text: str) -> tuple[str | None, str | None]:
    """The same without ua-parser: for lines that are exactly as a browser of today sends them."""
    line = re.fullmatch(_LINE, text)
    if line is None:
        product, _, version = text.partition("/")
        return (TOOLS.get(product) if " " not in version else None), None
    where, *products = line.groups(default="")
    system = _read_system([part.strip() for part in where.split(";")])
    names = {product.partition("/")[0] for product in " ".join(products).split()}
    browser = BROWSERS.get(frozenset(names - {"Mobile"}))
    is_taken_for_safari = browser == "Safari" and system not in APPLE
    return (None if is_taken_for_safari else browser), system


def _read_system(parts: list[str]) -> str | None:
    first, second = [*parts, ""][:2]
    if first in ("iPhone", "iPod touch"):
        return "iOS"
    if first == "iPad":
        return "iPadOS"
    if first == "Macintosh":
        return "macOS"
    if first.startswith("Windows NT "):
        return "Windows"
    if first.startswith("Android") or (first == "Linux" and second.startswith("Android")):
        return "Android"
    if first == "X11" and second.startswith("CrOS "):
        return "ChromeOS"
    if first == "X11" and any(part.startswith("Linux ") for part in parts):
        return "Linux"
    return None
