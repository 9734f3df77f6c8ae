"""Devices: labels for a login, by which a user knows a device in the list of all that are logged in."""

import re

from aiohttp import hdrs, web

from .useragent import read_user_agent

__all__ = ["describe_request"]

MOST_READ = 512  # characters of a header: no browser sends more, and patterns are slow on long ones
MOST_SAID = 64  # characters of a label
NOT_KNOWN = "unknown"

# By the names in Sec-CH-UA, those that say more first: most browsers call themselves Chromium as well.
BRANDS = {
    "Google Chrome": "Chrome",
    "HeadlessChrome": "Headless Chrome",
    "Microsoft Edge": "Edge",
    "YaBrowser": "Yandex Browser",
}
SYSTEMS = {"Chrome OS": "ChromeOS", "Chromium OS": "ChromeOS"}
CHROMIUM = "Chromium"
STAND_IN = "notabrand"  # a brand that browsers make up, as "Not(A:Brand", so that nobody relies on the list

_BRAND = r'"((?:[^"\\]|\\.)*)"\s*;\s*v='
_TEXT = r'\s*"([^"\\]*)"\s*'


def describe_request(request: web.Request, *, address: bool = False) -> dict[str, str]:
    """Labels for ``session.describe(...)``: ``browser`` and ``system`` in words, "unknown browser" among them.

    They go by User-Agent Client Hints, else by User-Agent, best with the extra ``[devices]``: its first use takes some
    tenths of a second. With ``address`` also ``request.remote``, which behind a proxy aiohttp-remotes sets. Short, and
    never a failure, whatever was sent; a client says of itself what it likes, and an iPad often that it is a Mac.
    """
    browser, system = _hinted_browser(request), _hinted_system(request)
    if browser is None or system is None:
        read_browser, read_system = read_user_agent(_header(request, hdrs.USER_AGENT))
        browser, system = browser or read_browser, system or read_system
    labels = {"browser": _label(browser, "browser"), "system": _label(system, "system")}
    if address:
        labels["address"] = _label(request.remote, "address")
    return labels


def _hinted_browser(request: web.Request) -> str | None:
    said = [brand.replace("\\", "") for brand in re.findall(_BRAND, _header(request, "Sec-CH-UA"))]
    brands = [brand for brand in said if brand.strip() and not _is_made_up(brand)]
    named = [brand for brand in brands if brand != CHROMIUM]
    known = [BRANDS[brand] for brand in named if brand in BRANDS]
    return next(iter(known + named + brands), None)


def _is_made_up(brand: str) -> bool:
    return "".join(filter(str.isalpha, brand)).lower() == STAND_IN


def _hinted_system(request: web.Request) -> str | None:
    quoted = re.fullmatch(_TEXT, _header(request, "Sec-CH-UA-Platform"))
    if quoted is None or quoted[1] == "Unknown":
        return None
    return SYSTEMS.get(quoted[1], quoted[1])


def _header(request: web.Request, name: str) -> str:
    return _printable(request.headers.get(name, "")[:MOST_READ])


def _label(text: str | None, what: str) -> str:
    kept = _printable(text or "")[:MOST_SAID].strip()
    return kept or f"{NOT_KNOWN} {what}"


def _printable(text: str) -> str:
    return "".join([letter if letter.isprintable() else "?" for letter in text])
