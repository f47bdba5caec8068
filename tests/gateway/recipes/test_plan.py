"""The plan of a configuration: what a recipe needs to know, and what it cannot be written for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from demur.core.model import ConfigError
from demur.gateway.config import tables as configuration
from demur.gateway.recipes import RECIPES, Needs, Options
from demur.gateway.recipes.plan import CERTIFICATE, KEY, Endpoint, Plan, plan
from demur.gateway.recipes.text import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WORD = re.compile(r"[a-z]+|[0-9]+(?:\.[0-9]+)*")
ASKS = Needs("Some proxy")
PASSES = Needs("Some proxy", asks=False)
NO_SOCKETS = Needs("Some proxy", sockets=False)
BUNDLE = Needs("Some proxy", bundle=True)

GATEWAY = """\
version = 1
[gateway]
listen = "127.0.0.1:8000"
check_listen = "127.0.0.1:8001"
trusted_proxies = ["127.0.0.1"]
"""
SITE = """
[[site]]
origin = "https://app.example.com"
upstream = "http://127.0.0.1:9000"
[[site.rule]]
path = "/**"
allow = "signed-in"
"""


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """The plan of a text."""

    def of(text: str, needs: Needs = ASKS, **options: Any) -> Plan:
        path = tmp_path / "demur.toml"
        path.write_text(text)
        document = configuration.load(path)
        return plan(document, configuration.interpret(document), needs, Options(**options))

    return of


def test_a_plan_says_all(planned: Callable[..., Plan]) -> None:
    """Where everything is, as the proxy reaches it."""
    found = planned(GATEWAY + SITE)
    (site,) = found.sites
    assert (site.origin, site.scheme, site.host, site.port) == (
        "https://app.example.com",
        "https",
        "app.example.com",
        443,
    )
    assert (site.authority, site.port_suffix, site.bind) == ("app.example.com", "", "")
    assert (site.upstream, site.prefix, site.cookie) == (Endpoint("127.0.0.1", 9000), "/.demur", "__Host-demur")
    assert (site.preflights, site.by_method, site.well_known) == ("demur", False, ())
    assert (found.pages, found.check) == (Endpoint("127.0.0.1", 8000), Endpoint("127.0.0.1", 8001))
    assert (found.certificate, found.key, found.file) == (CERTIFICATE, KEY, "demur.toml")
    assert found.listeners == (("", 443, "https", (site,)),)


@pytest.mark.parametrize(
    ("origin", "bind", "suffix"),
    [
        ("http://localhost:8080", "127.0.0.1", ":8080"),
        ("http://app.localhost:8080", "127.0.0.1", ":8080"),
        ("http://127.0.0.2:8080", "127.0.0.2", ":8080"),
        ("http://[::1]:8080", "::1", ":8080"),
        ("https://app.example.com:8443", "", ":8443"),
        ("https://*.example.com", "", ""),
    ],
)
def test_where_the_proxy_listens(planned: Callable[..., Plan], origin: str, bind: str, suffix: str) -> None:
    """A site for browsers on this machine is served to nobody else."""
    (site,) = planned(GATEWAY + SITE.replace("https://app.example.com", origin)).sites
    assert (site.bind, site.port_suffix) == (bind, suffix)


def test_addresses_that_are_everywhere_are_reached_here(planned: Callable[..., Plan]) -> None:
    """Nobody connects to 0.0.0.0 or [::]."""
    text = GATEWAY.replace("127.0.0.1:8000", "0.0.0.0:8000").replace("127.0.0.1:8001", "[::]:8001")
    found = planned(text + SITE)
    assert (found.pages.url, found.check.url) == ("http://127.0.0.1:8000", "http://[::1]:8001")


def test_what_the_rules_ask_for(planned: Callable[..., Plan]) -> None:
    """A rule with methods, and preflights that are the site's."""
    text = GATEWAY + SITE.replace("[[site.rule]]", 'cors = "upstream"\n[[site.rule]]\nmethods = ["GET"]')
    (site,) = planned(text).sites
    assert (site.by_method, site.preflights) == (True, "upstream")


def test_preflights_for_the_site_are_no_other_method(planned: Callable[..., Plan]) -> None:
    """What is let through unasked as a preflight must not be a GET for the app."""
    (site,) = planned(GATEWAY + SITE.replace("[[site.rule]]", 'cors = "upstream"\n[[site.rule]]')).sites
    assert site.by_method


def test_upstreams_of_the_command_line(planned: Callable[..., Plan]) -> None:
    """The configuration's own stands; what is missing comes from its origin's option, or from the one for all."""
    bare = SITE.replace('upstream = "http://127.0.0.1:9000"\n', "")
    text = GATEWAY + SITE + bare.replace("app.", "b.") + bare.replace("app.", "c.")
    found = planned(text, upstreams={"": "http://all:1", "https://c.example.com": "https://c:2/"})
    assert [site.upstream.url for site in found.sites] == ["http://127.0.0.1:9000", "http://all:1", "https://c:2"]


PUBLIC = "https://app.example.com"
CHECK = 'check_listen = "127.0.0.1:8001"\n'
TRUSTED = 'trusted_proxies = ["127.0.0.1"]\n'
UPSTREAM = 'upstream = "http://127.0.0.1:9000"\n'
TLS = f'{TRUSTED}tls = {{ certificate = "c.pem", key = "k.pem" }}\n'
CONCEALING = SITE.replace("/**", "/vault/**") + 'conceal = true\n[[site.rule]]\npath = "/**"\nallow = "anyone"\n'


@pytest.mark.parametrize(
    ("old", "new", "needs", "said"),
    [
        (CHECK, "", ASKS, ":2: error: there is no check_listen, and Some proxy has to ask somewhere"),
        (TRUSTED, "", ASKS, ":2: error: demur does not believe what Some proxy says"),
        ('["127.0.0.1"]', '["10.0.0.0/8"]', ASKS, ":5: error: demur does not believe"),
        ("127.0.0.1:8000", "unix:d.sock", ASKS, 'Write trusted_proxies = ["unix"]'),
        (TRUSTED, TLS, ASKS, ":6: error: demur itself speaks TLS"),
        ("127.0.0.1:8001", "unix:c.sock", NO_SOCKETS, ":4: error: Some proxy cannot connect to a unix socket"),
        ("127.0.0.1:8001", "unix:c d.sock", ASKS, "could read as its own"),
        ("127.0.0.1:8001", "unix:c;}.sock", ASKS, "could read as its own"),
        ("127.0.0.1:8000", "127.0.0.1:0", ASKS, ":3: error: gateway.listen is any free port"),
        (UPSTREAM, "", ASKS, f":7: error: {PUBLIC} has no upstream, so nobody knows where the site is"),
        (UPSTREAM, "", PASSES, f":7: error: {PUBLIC} has no upstream: with Some proxy before it, demur passes"),
        (SITE, CONCEALING, ASKS, ":13: error: the rule for /vault/** conceals"),
        (PUBLIC, "http://localhost:8000", ASKS, ":8: error: http://localhost:8000 is where the proxy has to listen"),
        (PUBLIC, "http://localhost:8001", ASKS, "Give check_listen a port of its own, such as 8002."),
        (PUBLIC, "http://localhost:9000", ASKS, "http://127.0.0.1:9000 is where the proxy itself listens"),
        (SITE, SITE.replace(".com", ".com:80") + SITE.replace(PUBLIC, "http://localhost"), ASKS, "http and https"),
    ],
)
def test_what_no_recipe_is_written_for(
    planned: Callable[..., Plan], old: str, new: str, needs: Needs, said: str
) -> None:
    """Each with its line and what to do about it."""
    whole = GATEWAY + SITE
    assert old in whole
    with pytest.raises(ConfigError) as raised:
        planned(whole.replace(old, new), needs)
    assert said in str(raised.value)
    assert "\n    " in str(raised.value)


def test_concealment_is_for_a_demur_that_passes_on(planned: Callable[..., Plan]) -> None:
    """Where demur is between the proxy and the site, a rule may conceal, and nobody has to ask."""
    assert planned(GATEWAY.replace(CHECK, "") + CONCEALING, PASSES).check == Endpoint()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"upstreams": {"https://b.example": "http://a:1"}}, "--upstream: no site has the origin https://b.example"),
        ({"upstreams": {"": "a:1"}}, '--upstream: "a:1" is not the address of a site'),
        ({"certificate": "/a b.pem"}, '--certificate: "/a b.pem" has characters'),
        ({"certificate": "/a.pem;"}, "--certificate"),
        ({"key": "/a\n.pem"}, "--key"),
        ({"certificate": ""}, "--certificate"),
    ],
)
def test_options_that_cannot_be_used(planned: Callable[..., Plan], options: dict[str, Any], said: str) -> None:
    """Nothing of the command line breaks out of a recipe."""
    with pytest.raises(ConfigError) as raised:
        planned(GATEWAY + SITE, **options)
    assert said in str(raised.value)


def test_one_file_for_certificate_and_key(planned: Callable[..., Plan]) -> None:
    """Where a proxy reads both from one file, two are an error."""
    assert planned(GATEWAY + SITE, BUNDLE, certificate="/both.pem", key="/both.pem").key == "/both.pem"
    assert planned(GATEWAY + SITE, BUNDLE, certificate="/c.pem", key="/c.pem.key").certificate == "/c.pem"
    with pytest.raises(ConfigError, match="one file"):
        planned(GATEWAY + SITE, BUNDLE, certificate="/c.pem", key="/k.pem")


MANY = "".join(
    (
        GATEWAY.replace("127.0.0.1:8000", "[::1]:8000").replace('["127.0.0.1"]', '["::1"]'),
        SITE,
        SITE.replace(PUBLIC, "https://*.sites.example.com:8443").replace(
            "http://127.0.0.1:9000", "https://inside:9443"
        ),
        SITE.replace(PUBLIC, "http://localhost:8080")
        .replace("[[site.rule]]", 'prefix = "/_/d"\n[[site.rule]]\nmethods = ["PUT"]')
        .replace(":9000", ":9001"),
    )
)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_serves_every_site(planned: Callable[..., Plan], name: str) -> None:
    """Each text names each site and leaves no slot open."""
    recipe = RECIPES[name]
    both = "/etc/ssl/mine.pem"
    found = planned(MANY, recipe.needs, certificate=both, key=both)
    whole = "\n".join(recipe.render(found).values())
    assert "<<" not in whole
    for site in found.sites:
        assert site.origin in whole
        assert site.prefix in whole or not recipe.needs.asks
        assert not recipe.needs.asks or {site.upstream.host, str(site.upstream.port)} <= set(_WORD.findall(whole))
    assert both in whole
    assert CERTIFICATE not in whole
    assert not [line for line in whole.splitlines() if line != line.rstrip()]


def test_filling_in() -> None:
    """Every slot is filled, several lines keep the indentation, and what is missing is an error."""
    assert fill("a\n  <<b>>\nc <<d>>", b="1\n2", d="3") == "a\n  1\n  2\nc 3"
    with pytest.raises(KeyError):
        fill("<<a>>")
