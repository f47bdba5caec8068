"""Traefik's recipe: what its one long pattern takes away."""

from __future__ import annotations

import re

import pytest

from demur.gateway.recipes import traefik
from demur.gateway.recipes.plan import Endpoint, Plan, Site


def pattern(*, by_method: bool) -> re.Pattern[str]:
    """Of the fields of a client that never reach the app, as the recipe has it."""
    app, pages, check = (Endpoint("127.0.0.1", port) for port in (9000, 8000, 8001))
    site = Site(
        name="site1",
        origin="https://a.example",
        scheme="https",
        host="a.example",
        port=443,
        authority="a.example",
        bind="",
        upstream=app,
        prefix="/.demur",
        cookie="__Host-demur",
        preflights="demur",
        by_method=by_method,
    )
    text = traefik.render(Plan("demur.toml", (site,), pages, check))["demur.yaml"]
    return re.compile(re.findall(r'authResponseHeadersRegex: "(.*)"', text)[0])


# As Go writes the names of fields.
GONE = (
    "Remote-User",
    "Remote_user",
    "Remote.User",
    "Remote-Anything",
    "Demur-Background",
    "X-Original-Url",
    "Forwarded",
)
GONE_TOO = ("X_forwarded_for", "X-Forwarded-User", "X-Forwarded-Forx", "X-Forwarded-Fo", "X-Forwarded-", "Proxy")
KEPT = ("Accept", "Cookie", "Authorization", "Remote", "X-Remote-User", "Content-Type", "X-Forwarded", "X-Real-Ip")
ITS_OWN = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Server")


@pytest.mark.parametrize("name", [*GONE, *GONE_TOO])
def test_what_a_client_may_not_say(name: str) -> None:
    """Who it is, what only a proxy says, and names that could be read as another."""
    assert pattern(by_method=False).search(name)


@pytest.mark.parametrize("name", [*KEPT, *ITS_OWN])
def test_what_reaches_the_app(name: str) -> None:
    """The client's own fields, and Traefik's."""
    assert not pattern(by_method=False).search(name)


def test_another_method_is_taken_away_where_it_matters() -> None:
    """Only rules with methods care."""
    assert pattern(by_method=True).search("X-Http-Method-Override")
