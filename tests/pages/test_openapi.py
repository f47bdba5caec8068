"""The document about demur's own addresses says what the table of routes says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.golden.club import SITE

from demur.core.model import Access
from demur.core.reasons import REASONS, Reason
from demur.core.site import Cookie
from demur.gateway.app import build
from demur.gateway.config.findings import load
from demur.pages.addresses import OPERATIONS
from demur.pages.openapi import described, document
from demur.pages.router import Route

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from demur.core.model import Response
    from demur.pages.visit import Visit

CONFIG = """
version = 1
[sessions]
store = "memory:"
[[site]]
origin = "http://localhost:8000"
upstream = "http://127.0.0.1:9"
[[site.rule]]
path = "/**"
allow = "anyone"
"""


async def nobody(visit: Visit) -> Response:
    """A handler."""
    raise AssertionError(visit)


@pytest.fixture
def routes(tmp_path: Path) -> Mapping[str, Route]:
    """The addresses of a real gateway."""
    (tmp_path / "demur.toml").write_text(CONFIG)
    return build(load(tmp_path / "demur.toml")).routes


@pytest.fixture
def said(routes: Mapping[str, Route]) -> dict[str, Any]:
    """The document about them."""
    read: dict[str, Any] = json.loads(json.dumps(document(routes, SITE)))
    return read


def test_it_describes_every_route_and_no_other(routes, said):
    """Each address and method of the gateway is described, and every description has its route."""
    there = {(name, method) for name, route in routes.items() for method in ("get", "post") if getattr(route, method)}
    assert there == set(OPERATIONS)
    paths = {"/" + name.replace("*", "{slug}") for name in routes}
    assert set(said["paths"]) == paths
    assert sum(map(len, said["paths"].values())) == len(there)


@pytest.mark.parametrize("route", [{"news": Route(nobody)}, {"session": Route(post=nobody)}])
def test_a_route_that_nobody_described_is_an_error(route):
    """It is found when the site is put together."""
    with pytest.raises(KeyError):
        described(route)


def test_what_needs_a_session_says_so(routes, said):
    """Security and 401, with its challenge, are there exactly where the route asks for somebody."""
    for name, route in routes.items():
        for method, operation in said["paths"]["/" + name.replace("*", "{slug}")].items():
            needs = route.access is Access.REQUIRED
            assert operation["security"] == ([{"session": []}] if needs else []), name
            assert ("401" in operation["responses"]) == (needs or (name, method) == ("sign-in", "post"))


def test_refusals_agree_with_the_table_of_reasons(said):
    """A reason stands only at its own status, a 401 has a challenge, and what is to be repeated later says when."""
    found = set()
    for operation in _operations(said):
        for status, response in operation["responses"].items():
            required = {name for name, header in response.get("headers", {}).items() if header["required"]}
            assert ("WWW-Authenticate" in required) == (status == "401")
            assert ("Retry-After" in required) == (status in {"429", "503"})
            for reason in _reasons(response):
                found.add(reason)
                assert REASONS[Reason(reason)].status == int(status)
    assert {"sign-in-required", "cross-site-refused", "unavailable", "too-many-attempts"} <= found


def _operations(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in said["paths"].values() for operation in methods.values()]


def _reasons(response: dict[str, Any]) -> list[str]:
    schema = response.get("content", {}).get("application/problem+json", {}).get("schema", {})
    each = schema.get("anyOf", [schema])
    return [reason for one in each if "allOf" in one for reason in one["allOf"][1]["properties"]["reason"]["enum"]]


def test_names_are_given_once(said):
    """No two operations have one name, and each has a summary and a description of every answer."""
    names = [operation["operationId"] for operation in _operations(said)]
    assert len(set(names)) == len(names)
    for operation in _operations(said):
        assert operation["summary"]
        assert all(response["description"] for response in operation["responses"].values())


def test_it_is_about_the_site_that_was_asked(routes):
    """The cookie and the prefix are the site's own."""
    site = replace(SITE, prefix="/-/access", cookie=Cookie("demur-dev", secure=False))
    made: dict[str, Any] = document(routes, site)
    assert made["servers"] == [{"url": "/-/access"}]
    assert made["components"]["securitySchemes"]["session"]["name"] == "demur-dev"
