"""A site whose origin has a star, as the gateway and the check for other proxies find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demur.core.model import Request
from demur.gateway import app
from demur.gateway.config import tables as config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIG = """
version = 1
[gateway]
check_listen = "127.0.0.1:0"
log = "json"
[sessions]
store = "memory:"
[[site]]
origin = "https://app.example.com"
[[site.rule]]
path = "/**"
allow = "anyone"
[[site]]
origin = "https://*.example.com"
[[site.rule]]
path = "/**"
allow = "signed-in"
[[site.rule]]
host = "open.example.com"
path = "/**"
allow = "anyone"
"""
HOSTS = [
    ("app.example.com", 200),
    ("open.example.com", 200),
    ("other.example.com", 401),
    ("a.b.example.com", 421),
    ("example.com", 421),
    ("app.example.com.evil.org", 421),
]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[app.Gateway]:
    """The gateway of that configuration."""
    path = tmp_path / "demur.toml"
    path.write_text(CONFIG)
    made = app.build(config.read(path))
    yield made
    await made.aclose()


async def ask(asgi: Any, path: str, fields: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Status and fields of an answer."""
    status, answered, _ = await ask_whole(asgi, path, fields)
    return status, answered


async def ask_whole(asgi: Any, path: str, fields: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Status, fields and body of an answer."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": lines,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "http_version": "1.1",
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await asgi(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:]).decode()
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, body


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_the_check_finds_the_site(gateway: app.Gateway, host: str, status: int) -> None:
    """Another proxy's question is about the exact site, else the one with a star, else about none."""
    fields = {
        "x_forwarded_method": "GET",
        "x_forwarded_proto": "https",
        "x_forwarded_host": host,
        "x_forwarded_uri": "/",
        "x_forwarded_for": "192.0.2.7",
    }
    sent = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in fields.items())
    answered = await gateway.check.answer(Request("GET", b"/check", "http", "", "", sent))
    assert answered.status == status


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_the_public_listener_finds_the_site(gateway: app.Gateway, host: str, status: int) -> None:
    """The same for browsers; a page that anyone may open is the proxy's to give, so here it is a plain 404."""
    answered, fields = await ask(gateway.public, "/", {"host": host, "accept": "application/json"})
    assert answered == {200: 404}.get(status, status)
    if status == 401:
        assert 'realm="example.com"' in fields["www-authenticate"]


async def test_nobody_is_sent_to_a_pattern(gateway: app.Gateway) -> None:
    """Who asks for a name that is not served is offered addresses that can be opened."""
    _, _, body = await ask_whole(gateway.public, "/", {"host": "example.com", "accept": "text/html"})
    assert 'href="https://app.example.com"' in body
    assert "*." not in body


async def test_made_up_hosts_leave_nothing_behind(gateway: app.Gateway) -> None:
    """However many labels somebody sends, what is counted is counted under the one origin with a star."""
    for number in range(50):
        await ask(gateway.public, "/", {"host": f"h{number}.example.com", "accept": "application/json"})
    _, body = gateway.metrics.exposition()
    assert b"sign-in-required" in body
    assert b"h49" not in body
