"""The cookie jar of these tests keeps RFC 6265; its examples are those of the sections named."""

import pytest
from support.jar import CookieJar
from yarl import URL

from aiohttp_lionrock.testing import FakeClock

HERE = URL("https://shop.example/a/b")


def jar_with(*lines: str, url: URL = HERE, clock: FakeClock | None = None) -> CookieJar:
    jar = CookieJar(clock or FakeClock())
    jar.receive(url, lines)
    return jar


@pytest.mark.parametrize(
    ("line", "sent_to", "kept_from"),
    [
        ("a=1", ["shop.example"], ["www.shop.example", "example", "other.example"]),
        ("a=1; Domain=shop.example", ["shop.example", "www.shop.example", "SHOP.example"], ["badshop.example"]),
        ("a=1; Domain=.Shop.Example", ["shop.example", "www.shop.example"], ["example"]),
        ("a=1; Domain=", ["shop.example"], ["www.shop.example"]),
    ],
)
def test_domains_match_at_the_boundaries_of_labels(line: str, sent_to: list[str], kept_from: list[str]) -> None:
    jar = jar_with(line)
    assert {host for host in sent_to + kept_from if jar.header(URL(f"https://{host}/a/x"))} == set(sent_to)


@pytest.mark.parametrize("domain", ["www.shop.example", "other.example", "hop.example"])
def test_a_domain_that_is_not_the_hosts_is_refused(domain: str) -> None:
    assert not len(jar_with(f"a=1; Domain={domain}"))


def test_the_domain_of_an_address_is_that_address_alone() -> None:
    assert not len(jar_with("a=1; Domain=0.0.1", url=URL("http://127.0.0.1/")))
    assert len(jar_with("a=1; Domain=127.0.0.1", url=URL("http://127.0.0.1/"))) == 1


@pytest.mark.parametrize(
    ("attribute", "sent_to", "kept_from"),
    [
        ("; Path=/", ["/", "/a", "/x/y"], []),
        ("; Path=/a", ["/a", "/a/", "/a/b/c"], ["/", "/ab", "/b"]),
        ("; Path=/a/", ["/a/", "/a/b"], ["/a", "/"]),
        ("", ["/a", "/a/b", "/a/x/y"], ["/", "/ab"]),
        ("; Path=a", ["/a/b"], ["/"]),
    ],
)
def test_paths_match_at_slashes(attribute: str, sent_to: list[str], kept_from: list[str]) -> None:
    jar = jar_with(f"a=1{attribute}")
    assert {path for path in sent_to + kept_from if jar.header(HERE.with_path(path))} == set(sent_to)


def test_longer_paths_are_sent_first_and_of_those_the_older_cookies() -> None:
    jar = jar_with("a=root; Path=/", "b=deep; Path=/a", "c=root; Path=/", "a=deeper; Path=/a/b")
    assert jar.header(HERE) == "a=deeper; b=deep; a=root; c=root"


def test_a_cookie_that_is_set_again_keeps_its_place() -> None:
    jar = jar_with("a=1; Path=/", "b=1; Path=/", "a=2; Path=/")
    assert jar.header(HERE) == "a=2; b=1"


def test_a_host_only_cookie_and_one_of_the_domain_are_two() -> None:
    jar = jar_with("a=host", "a=domain; Domain=shop.example")
    assert jar.header(HERE) == "a=host; a=domain"
    jar.receive(HERE, ["a=; Max-Age=0; Domain=shop.example"])
    assert jar.header(HERE) == "a=host"


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("https://shop.example/a/", True),
        ("http://shop.example/a/", False),
    ],
)
def test_a_secure_cookie_goes_out_by_tls_alone(url: str, is_sent: bool) -> None:
    assert bool(jar_with("a=1; Secure").header(URL(url))) == is_sent


def test_a_secure_cookie_is_taken_by_tls_or_from_this_machine() -> None:
    assert not len(jar_with("a=1; Secure", url=URL("http://shop.example/")))
    assert jar_with("a=1; Secure", url=URL("http://localhost/")).header(URL("http://localhost/")) == "a=1"


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("Max-Age=10", 10),
        ("Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 10),
        ("Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Max-Age=0", 0),
        ("Max-Age=-1", 0),
        ("Expires=Fri, 15 Jan 2027 08:00:10 GMT", 10),
    ],
)
def test_a_cookie_is_gone_after_its_time(attributes: str, seconds: int) -> None:
    clock = FakeClock(1_800_000_000)
    jar = jar_with(f"a=1; {attributes}", clock=clock)
    assert len(jar) == (seconds > 0)
    clock.advance(seconds - 1 if seconds else 0)
    assert len(jar) == (seconds > 0)
    clock.advance(1)
    assert not len(jar)


def test_a_cookie_without_a_time_ends_with_the_browser() -> None:
    jar = jar_with("a=1", "b=1; Max-Age=5")
    jar.end_browser()
    assert [cookie.name for cookie in jar] == ["b"]


@pytest.mark.parametrize("line", ["", "a", "=1", ";", " ; Path=/"])
def test_what_has_no_name_is_no_cookie(line: str) -> None:
    assert not len(jar_with(line))


def test_a_value_is_everything_behind_the_first_equals_sign() -> None:
    assert jar_with('a = "x=y" ; Path=/').header(HERE) == 'a="x=y"'
