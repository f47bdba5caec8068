"""Which origin a request of a site is for, and which origins belong together."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import SITE, make_site

from demur.core import respond
from demur.core.model import Request
from demur.core.site import covers, find

STAR = "https://*.example.com:8443"
SERVED = {"https://app.example.com:8443": "exact", STAR: "star", "https://example.com:8443": "top"}


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ("https://app.example.com:8443", "exact"),
        ("https://b.example.com:8443", "star"),
        ("https://xn--bcher-kva.example.com:8443", "star"),
        ("https://a_b.example.com:8443", "star"),
        ("https://example.com:8443", "top"),
        ("https://a.b.example.com:8443", None),
        ("https://b.example.com", None),
        ("http://b.example.com:8443", None),
        ("https://.example.com:8443", None),
        ("https://-.example.com:8443", None),
        ("https://*.example.com:8443", None),
        ("https://B.example.com:8443", None),
        ("https://evil/.example.com:8443", None),
        ("https://a@b.example.com:8443", None),
        ("https://b.example.com:8443.evil.org", None),
        ("https://bexample.com:8443", None),
        ("", None),
        ("null", None),
    ],
)
def test_an_exact_origin_counts_before_a_star(origin: str, found: str | None) -> None:
    """A star is one label as browsers write it; what is neither exact nor covered is nobody's."""
    assert find(SERVED, origin) == found
    if found != "exact" and found != "top":
        assert covers(STAR, origin) is (found == "star")


def test_the_origin_of_a_request_is_the_host_that_was_asked_for() -> None:
    """For a star the request says which; the scheme is the site's, since TLS may end before us."""
    request = Request("GET", b"/", "http", "b.example.com:8443", "", ())
    assert make_site(origin=STAR).origin_of(request) == "https://b.example.com:8443"
    assert SITE.origin_of(request) == "https://app.example.com"


LOGIN = make_site(
    origin="https://login.example.com", relatives=("https://app.example.com", "https://*.team.example.com")
)
REQUEST = Request("GET", b"/", "https", "login.example.com", "", ())
PIECES = [
    *("https://", "http://", "//", "/", "\\", "@", ":", "?", "#", ".", "%2f", "\t", "\u3002", "*", " ", "\u00e9"),
    *("app.example.com", ".team.example.com", "login.example.com", "evil.org", "app", "a", ":443"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_whatever_next_is_it_leads_to_this_site_or_a_relative(next_: str) -> None:
    """However an address is put together, a strict reader and a lenient one both find one of our origins in it."""
    where = respond.onward(LOGIN, REQUEST, next_)
    where.encode("ascii")
    if where.startswith("/"):
        assert not where.startswith(("//", "/\\"))
        return
    parts = urlsplit(where)
    assert LOGIN.is_related(f"{parts.scheme}://{parts.netloc}")
    assert "\\" not in where
    assert "@" not in parts.netloc
    assert not parts.path.startswith("//")
