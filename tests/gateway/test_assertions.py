"""Assertions, as a gateway makes them: what the app is sent, and where the keys are."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from demur.authenticators.assertions.verifying import Verifier
from demur.core import sessions
from demur.core.model import ConfigError, Request, Session, StoreUnavailable, Subject
from demur.gateway import app
from demur.gateway.config import tables as config
from demur.stores.agreement import AgreedKeys
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIG = """
version = 1
[gateway]
check_listen = "127.0.0.1:0"
log = "json"
[sessions]
store = "sqlite:sessions.db"
[[site]]
origin = "https://app.example.com"
upstream = "{upstream}"
assertion = true
[[site.rule]]
path = "/public/**"
allow = "anyone"
[[site.rule]]
path = "/**"
allow = "signed-in"
[[site]]
origin = "https://api.example.com"
upstream = "{upstream}"
[[site.rule]]
path = "/**"
allow = "signed-in"
[site.assertion]
audience = "urn:api"
lifetime = "2m"
[[site]]
origin = "https://plain.example.com"
upstream = "{upstream}"
[[site.rule]]
path = "/**"
allow = "anyone"
identify = true
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ADA = Subject("0190", "ada", frozenset({"staff"}), display_name="Ada")


@pytest.fixture
async def site(site: Any) -> Any:
    """An app that answers everything alike."""
    return await site(ANSWER)


@pytest.fixture
async def gateway(tmp_path: Path, site: Any) -> AsyncIterator[app.Gateway]:
    """The gateway of that configuration."""
    path = tmp_path / "demur.toml"
    path.write_text(CONFIG.replace("{upstream}", site.url))
    made = app.build(config.read(path))
    await made.begin()
    yield made
    await made.aclose()


async def signed_in(gateway: app.Gateway, subject: Subject = ADA) -> str:
    """A token of somebody."""
    parts, now = gateway._parts, int(time.time())
    token = sessions.mint(secrets.token_bytes(32), parts.keys.ring().current)
    session = Session(sessions.identify(token), subject.id, now, now, now, now + 9000, 3600)
    await parts.store.issue(session, subject)
    return token


async def ask(
    gateway: app.Gateway, host: str, path: str = "/", token: str = "", method: str = "GET", **fields: str
) -> tuple[int, dict[str, str], bytes]:
    """An answer on the public listener."""
    said = {"host": host, "accept": "application/json", **fields}
    said |= {"cookie": f"__Host-demur={token}"} if token else {}
    scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.replace("~", "_").encode(), value.encode()) for name, value in said.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "http_version": "1.1",
        "extensions": {"demur.target": {"raw": path.encode()}},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await gateway.public(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, body


def told(site: Any) -> dict[str, str]:
    """What the app was sent last."""
    lines = site.heads[-1].decode().split("\r\n")[1:-2]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def verifier(gateway: app.Gateway, host: str, audience: str | None = None) -> Verifier:
    """Somebody who knows no more than what is published."""
    status, _, body = await ask(gateway, host, "/.well-known/jwks.json")
    assert status == 200
    return Verifier(f"https://{host}", audience, keys=json.loads(body))


async def test_the_app_is_told_signed(gateway: app.Gateway, site: Any) -> None:
    """With every request of somebody, and the same one for a while."""
    token = await signed_in(gateway)
    checks = await verifier(gateway, "app.example.com")
    for _ in range(3):
        assert (await ask(gateway, "app.example.com", token=token))[0] == 200
        said = checks.verify(told(site)["remote-assertion"])
        assert (said.id, said.name, said.groups) == ("0190", "ada", ADA.groups)
        assert said.audience == ("https://app.example.com",)
        assert told(site)["remote-subject"] == "0190"
    values = {line for head in site.heads for line in head.split(b"\r\n") if line.startswith(b"remote-assertion")}
    assert len(values) == 1


async def test_a_group_that_is_gone_is_gone(gateway: app.Gateway, site: Any) -> None:
    """What is said again is never older than the evidence."""
    token = await signed_in(gateway)
    checks = await verifier(gateway, "app.example.com")
    await ask(gateway, "app.example.com", token=token)
    await gateway._parts.store.publish(Subject("0190", "ada", version=2))
    await ask(gateway, "app.example.com", token=token)
    assert checks.verify(told(site)["remote-assertion"]).groups == frozenset()


async def test_for_whom_and_for_how_long(gateway: app.Gateway, site: Any) -> None:
    """As the site's table says; and one site's keys verify nothing of another's."""
    token = await signed_in(gateway)
    checks = await verifier(gateway, "api.example.com", "urn:api")
    await ask(gateway, "api.example.com", token=token)
    value = told(site)["remote-assertion"]
    said = checks.verify(value)
    assert (said.audience, said.expires_at - said.issued_at) == (("urn:api",), 120)
    other = await verifier(gateway, "app.example.com")
    with pytest.raises(Exception, match="not published"):
        other.verify(value)


async def test_nobody_has_none_and_nobody_brings_one(gateway: app.Gateway, site: Any) -> None:
    """In whatever spelling a client sends it, on every path and at every site."""
    token = await signed_in(gateway)
    names = ("remote-assertion", "Remote-Assertion", "remote~assertion", "remote.assertion", "REMOTE~ASSERTION")
    lies = dict.fromkeys((name.lower() for name in names), "mallory")
    for host, path, who in (
        ("app.example.com", "/public/a", ""),
        ("app.example.com", "/", token),
        ("plain.example.com", "/", ""),
        ("plain.example.com", "/", token),
    ):
        assert (await ask(gateway, host, path, who, **lies))[0] == 200
        assert b"mallory" not in site.heads[-1]
        assert ("remote-assertion" in told(site)) == (host == "app.example.com" and bool(who))


async def test_the_keys_are_for_everybody(gateway: app.Gateway, site: Any) -> None:
    """Whatever the rules say, to GET and HEAD, to be kept for five minutes, and with nothing private in them."""
    status, fields, body = await ask(gateway, "app.example.com", "/.well-known/jwks.json")
    assert status == 200
    assert fields["content-type"] == "application/jwk-set+json"
    assert fields["cache-control"] == "public, max-age=300"
    assert {tuple(sorted(key)) for key in json.loads(body)["keys"]} == {("alg", "crv", "kid", "kty", "use", "x")}
    status, fields, body = await ask(gateway, "app.example.com", "/.well-known/jwks.json", method="HEAD")
    assert (status, body) == (200, b"")
    status, fields, _ = await ask(gateway, "app.example.com", "/.well-known/jwks.json", method="POST")
    assert (status, fields["allow"]) == (405, "GET, HEAD")
    assert site.heads == []


async def test_a_site_without_assertions_has_its_own_file(gateway: app.Gateway, site: Any) -> None:
    """The address is the site's, by its rules."""
    status, _, body = await ask(gateway, "plain.example.com", "/.well-known/jwks.json")
    assert (status, body) == (200, b"ok")
    assert site.heads[-1].startswith(b"GET /.well-known/jwks.json ")


async def test_every_worker_publishes_the_same(gateway: app.Gateway, tmp_path: Path) -> None:
    """And so does every node with the same folder."""
    other = app.build(config.read(tmp_path / "demur.toml"))
    found = [await ask(each, "app.example.com", "/.well-known/jwks.json") for each in (gateway, other)]
    await other.aclose()
    assert found[0] == found[1]


# --- what another proxy is told -------------------------------------------------------------------


async def check(
    gateway: app.Gateway, host: str, token: str = "", query: str = "", uri: str = "/"
) -> tuple[int, dict[str, str]]:
    """The answer to a proxy's question."""
    about = {"x-forwarded-method": "GET", "x-forwarded-proto": "https", "x-forwarded-host": host}
    about |= {"x-forwarded-uri": uri, "x-forwarded-for": "192.0.2.7", "remote-assertion": "mallory"}
    about |= {"cookie": f"__Host-demur={token}"} if token else {}
    lines = tuple((name.encode(), value.encode()) for name, value in about.items())
    answer = await gateway.check.answer(Request("GET", b"/check" + query.encode(), "http", "check", "", lines))
    return answer.status, {name.decode(): value.decode() for name, value in answer.fields}


@pytest.mark.parametrize("query", ["", "?answer=fields", "?for=envoy", "?for=traefik"])
async def test_other_proxies_are_told_too(gateway: app.Gateway, query: str) -> None:
    """In the answer of the check; and where there is none to tell, that the client's own has to go."""
    token = await signed_in(gateway)
    checks = await verifier(gateway, "app.example.com")
    status, fields = await check(gateway, "app.example.com", token, query)
    assert (status, checks.verify(fields["remote-assertion"]).id) == (200, "0190")
    for host, who in (("app.example.com", ""), ("plain.example.com", token)):
        status, fields = await check(gateway, host, who, query, "/public/x")
        assert status == 200
        assert fields.get("remote-assertion", "") == ""
        if query == "?for=envoy":
            assert "remote-assertion" in fields["x-envoy-auth-headers-to-remove"].split(",")
        elif query != "?for=traefik":
            assert "remote-assertion" in fields


async def test_what_cannot_be_signed_is_our_failure(
    gateway: app.Gateway, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 and not a request without its assertion, which an app would take for nobody's."""
    token = await signed_in(gateway)
    assert (await ask(gateway, "api.example.com", token=token))[0] == 200  # whoever is asked for is known from now on

    def broken(*_: Any) -> bytes:
        raise StoreUnavailable("no keys")

    for guard in gateway._guards:
        if guard.site.assertions is not None:
            monkeypatch.setattr(guard.site.assertions, "of", broken)
    site.heads.clear()
    status, fields, body = await ask(gateway, "app.example.com", token=token)
    assert (status, json.loads(body)["reason"]) == (503, "unavailable")
    assert "retry-after" in fields
    assert site.heads == []
    assert (await check(gateway, "app.example.com", token))[0] == 503
    assert (await check(gateway, "app.example.com", token, "?answer=fields"))[0] == 403


# --- nodes with keys of their own -----------------------------------------------------------------


async def test_other_keys_do_not_start(gateway: app.Gateway, tmp_path: Path) -> None:
    """A node whose keys are not those of the others says so, with what to do, and does not serve."""
    text = (tmp_path / "demur.toml").read_text().replace("[sessions]", '[sessions]\nkeys = "mine"')
    (tmp_path / "second.toml").write_text(text)
    second = app.build(config.read(tmp_path / "second.toml"))
    with pytest.raises(ConfigError, match="key 0 differs") as raised:
        await second.begin()
    ready = Request("GET", b"/ready", "http", "check", "", ())
    answer = await second.check.answer(ready)
    assert answer.status == 503
    assert answer.body.startswith(b"Not ready: the keys here are not those of the other nodes")
    assert (await gateway.check.answer(ready)).status == 200
    await second.aclose()
    assert "Copy the folder" in str(raised.value)
    assert "demur keys replace" in str(raised.value)


async def test_without_the_store_it_starts(tmp_path: Path, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the keys agree is seen as soon as it is back; until then a tag says nothing."""
    (tmp_path / "demur.toml").write_text(CONFIG.replace("{upstream}", site.url))
    made = app.build(config.read(tmp_path / "demur.toml"))
    real = AgreedKeys.agree

    async def down(*_: Any) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(AgreedKeys, "agree", down)
        await made.begin()
    forged = sessions.mint(b"x" * 32, MemoryKeys().ring().current)
    _, _, body = await ask(made, "app.example.com", token=forged)
    assert json.loads(body)["reason"] == "credentials-invalid"
    assert [key.agreed for key in made._parts.keys.ring().keys] == [False]
    await real(made._parts.keys, int(time.time()))
    assert [key.agreed for key in made._parts.keys.ring().keys] == [True]
    await made.aclose()
