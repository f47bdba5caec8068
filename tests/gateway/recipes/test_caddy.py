"""Caddy's recipe: what Caddy does by itself, and what it shall not."""

from __future__ import annotations

import re

import pytest

from demur.gateway.recipes import caddy
from demur.gateway.recipes.plan import CERTIFICATE, KEY, Endpoint, Plan, Site


def recipe(scheme: str, port: int, *, own: bool) -> str:
    """For one site, with a certificate of one's own or without."""
    app, pages, check = (Endpoint("127.0.0.1", each) for each in (9000, 8000, 8001))
    site = Site(
        name="site1",
        origin=f"{scheme}://a.example:{port}",
        scheme="https" if scheme == "https" else "http",
        host="a.example",
        port=port,
        authority=f"a.example:{port}",
        bind="",
        upstream=app,
        prefix="/.demur",
        cookie="__Host-demur",
        preflights="demur",
        by_method=False,
    )
    files = ("/own/certificate.pem", "/own/key.pem") if own else (CERTIFICATE, KEY)
    return caddy.render(Plan("demur.toml", (site,), pages, check, *files))["Caddyfile"]


@pytest.mark.parametrize(
    ("scheme", "port", "own", "said"),
    [
        ("https", 443, False, []),  # certificates, and port 80 leads here
        ("https", 443, True, ["disable_certs"]),
        ("https", 8443, False, ["disable_redirects"]),
        ("https", 8443, True, ["off"]),
        ("http", 8080, False, ["disable_redirects"]),
    ],
)
def test_what_caddy_does_by_itself(scheme: str, port: int, own: bool, said: list[str]) -> None:
    """It gets no certificate where it is given one, and opens port 80 only for the usual port of https."""
    text = recipe(scheme, port, own=own)
    assert re.findall(r"auto_https (\w+)", text) == said
    assert ("tls /own/certificate.pem /own/key.pem" in text) == (own and scheme == "https")
