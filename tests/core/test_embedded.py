"""What the sign-in page for a dialog was asked for, and its own address."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.support import SITE, make_request

from demur.core.embedded import LONGEST_NAME, Embedded, asked, parameters


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/.demur/sign-in?embed", Embedded()),
        ("/.demur/sign-in?embed=", Embedded()),
        ("/.demur/sign-in?next=/&embed=0", Embedded()),  # there, with any value or none
        ("/.demur/sign-in?embed&lang=de-CH", Embedded("de")),
        ("/.demur/sign-in?embed&lang=&lang=fr", Embedded()),  # the first counts
        ("/.demur/sign-in?embed&username=J%C3%B6rg+B", Embedded(username="Jörg B")),
        ("/.demur/sign-in?embed&username=a%00b", Embedded()),
        ("/.demur/sign-in?embed&username=a%0D%0Ab", Embedded()),
        ("/.demur/sign-in?embed&username=a%E2%80%AEb", Embedded()),  # turns round what follows
        (f"/.demur/sign-in?embed&username={'x' * LONGEST_NAME}", Embedded(username="x" * LONGEST_NAME)),
        (f"/.demur/sign-in?embed&username={'x' * (LONGEST_NAME + 1)}", Embedded()),
        ("/.demur/sign-in?embed&popup&done&other", Embedded(popup=True, done=True, other=True)),
        ("/.demur/sign-in", None),
        ("/.demur/sign-in?embedded", None),
        ("/.demur/sign-in?a=embed", None),
        ("/.demur/sign-in/?embed", None),
        ("/.demur/sign-out?embed", None),
        ("/sign-in?embed", None),
        ("/other/.demur/sign-in?embed", None),
        ("/.demur/sign-in?embed&" + "&".join("a" * 40), None),
    ],
)
def test_what_is_asked_for(target: str, expected: Embedded | None) -> None:
    """One address has this page, whatever else stands in its query."""
    assert asked(SITE, make_request("GET", target)) == expected


def test_the_prefix_is_the_sites() -> None:
    """A site may have its pages elsewhere."""
    elsewhere = replace(SITE, prefix="/-/access")
    assert asked(elsewhere, make_request("GET", "/-/access/sign-in?embed")) == Embedded()
    assert asked(elsewhere, make_request("GET", "/.demur/sign-in?embed")) is None


@pytest.mark.parametrize(
    "inside",
    [
        Embedded(),
        Embedded("ar", "Jörg & Söhne + 1=2#?/%", popup=True, done=True, other=True),
        Embedded("zh", "x" * LONGEST_NAME),
    ],
)
def test_its_address_leads_to_it(inside: Embedded) -> None:
    """The address of a page asks for that page."""
    address = inside.address("/.demur")
    assert address.isascii()
    assert asked(SITE, make_request("GET", address)) == inside


def test_parameters_of_nonsense() -> None:
    """What is no query has no parameters, and nothing raises."""
    assert parameters(b"") == {}
    assert parameters(b"&&=&%&%zz=%ff") == {"": "", "%": "", "%zz": "\ufffd"}
    assert parameters(b"\xff=1") == {"\ufffd": "1"}
