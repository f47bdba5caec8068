"""An app that says to further services who asks, signed; and such a service, which asks nobody."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import demur
from demur.adapters import asgi, wsgi
from demur.core.model import Session, Subject
from demur.core.sessions import identify, mint
from demur.stores.agreement import AgreedKeys
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from demur.core.model import Evidence

SITE, SERVICE = "https://app.example.com", "https://api.example.com"
BO = Subject("0192-bo", "bo", frozenset({"staff"}))
RULES = [{"path": "/public/**", "allow": "anyone"}, {"path": "/**", "allow": "signed-in"}]


class App:
    """An ASGI app behind demur, which keeps the last assertion."""

    def __init__(self, assertion: bool | Mapping[str, Any] = True) -> None:
        self.keys, self.store = MemoryKeys(), MemoryStore()
        self.said: str | None = None
        self.demur = demur.Demur(
            self.answer, origin=SITE, store=self.store, keys=self.keys, rules=RULES, assertion=assertion
        )

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.said = scope["demur"].assertion
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"mine"})

    async def cookie(self) -> str:
        now, token = int(time.time()), mint(b"r" * 32, self.keys.ring().current)
        await self.store.issue(Session(identify(token), BO.id, now, now, now, now + 86400, 3600), BO)
        return f"__Host-demur={token}"


async def ask(app: Any, path: str, host: str = "app.example.com", **fields: str) -> tuple[int, dict[str, str], bytes]:
    """An answer of an ASGI app."""
    sent: list[Any] = []
    headers = [(name.encode(), value.encode()) for name, value in {"host": host, **fields}.items()]
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "scheme": "https", "headers": headers, "client": ("192.0.2.1", 5), "extensions": {},
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    lines = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], lines, b"".join(message.get("body", b"") for message in sent[1:])


async def keys_of(app: App) -> Any:
    status, fields, body = await ask(app.demur, "/.well-known/jwks.json")
    assert (status, fields["content-type"]) == (200, "application/jwk-set+json")
    return json.loads(body)


async def test_an_app_finds_signed_who_asks() -> None:
    """On the long way and on the short one; and nothing of nobody."""
    app = App({"audience": SERVICE, "lifetime": 120})
    checks = demur.Verifier(SITE, SERVICE, keys=await keys_of(app))
    cookie = await app.cookie()
    for _ in range(4):
        await ask(app.demur, "/members", cookie=cookie)
        assert app.said
        found = checks.verify(app.said)
        assert (found.id, found.groups, found.expires_at - found.issued_at) == (BO.id, BO.groups, 120)
    await ask(app.demur, "/public/x")
    assert app.said == ""


async def test_an_app_that_did_not_ask_has_its_own_file() -> None:
    """Nothing is signed, and the address of the keys is the app's."""
    app = App(assertion=False)
    assert (await ask(app.demur, "/.well-known/jwks.json", cookie=await app.cookie()))[2] == b"mine"
    assert app.said == ""


async def test_a_further_service_asks_nobody() -> None:
    """It takes the assertion as a bearer token, by a bridge of its own, and answers by demur's rules."""
    app = App({"audience": SERVICE})
    verifier = demur.Verifier(SITE, SERVICE, keys=await keys_of(app))

    def bridge(scope: Any) -> Evidence:
        said = dict(scope["headers"]).get(b"authorization", b"").decode()
        if not said:
            return demur.nobody
        try:
            return verifier.verify(said.removeprefix("Bearer ")).person()
        except demur.BadAssertion as bad:
            return demur.ended("expired", 0) if bad.reason == "expired" else demur.unknown

    async def service(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["demur"].subject.name.encode()})

    rules = [{"path": "/staff", "allow": {"groups": ["staff"]}}, {"path": "/admin", "allow": {"groups": ["admins"]}}]
    behind = demur.Demur(service, origin=SERVICE, bridge=bridge, rules=rules, accepts=["bearer"])
    await ask(app.demur, "/members", cookie=await app.cookie())
    bearer = {"authorization": f"Bearer {app.said}"}
    assert (await ask(behind, "/staff", "api.example.com", **bearer))[2] == b"bo"
    assert (await ask(behind, "/admin", "api.example.com", **bearer))[0] == 403
    status, fields, _ = await ask(behind, "/staff", "api.example.com")
    assert (status, fields["www-authenticate"].startswith("Bearer ")) == (401, True)
    status, fields, _ = await ask(behind, "/staff", "api.example.com", authorization="Bearer x.y.z")
    assert (status, 'error="invalid_token"' in fields["www-authenticate"]) == (401, True)


def test_a_wsgi_app_too() -> None:
    """It finds it beside what else was decided."""
    keys, store, said = MemoryKeys(), MemoryStore(), []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        said.append(environ["demur.passed"].assertion)
        start_response("200 OK", [])
        return [b""]

    def start(*_: Any) -> Any:
        """Nobody listens."""

    outer = wsgi.Demur(app, origin=SITE, store=store, keys=keys, rules=RULES, assertion=True)
    now, token = int(time.time()), mint(b"r" * 32, keys.ring().current)
    session = Session(identify(token), BO.id, now, now, now, now + 86400, 3600)
    outer.surface.guard.portal.run(store.issue(session, BO))
    environ = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/members", "QUERY_STRING": "",
        "wsgi.url_scheme": "https", "wsgi.input": io.BytesIO(),
        "HTTP_HOST": "app.example.com", "HTTP_COOKIE": f"__Host-demur={token}",
    }  # fmt: skip
    for _ in range(3):
        list(outer({**environ}, start))
    assert outer.surface.site.assertions is not None
    checks = demur.Verifier(SITE, keys=json.loads(outer.surface.site.assertions.published()))
    assert {checks.verify(value).id for value in said} == {BO.id}


async def test_two_apps_with_keys_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    """Are told, and refuse nobody of the other's for it: the store is asked."""
    store, first, second = MemoryStore(), MemoryKeys(), MemoryKeys()
    await AgreedKeys(first, store).agree(int(time.time()))
    surface = asgi.Demur(App().answer, origin=SITE, store=store, keys=second, rules=RULES).surface
    house = surface.guard._house
    assert house is not None
    await house()
    assert "the keys here are not those of the other nodes" in caplog.text
    now, token = int(time.time()), mint(b"r" * 32, first.ring().current)
    await store.issue(Session(identify(token), BO.id, now, now, now, now + 86400, 3600), BO)
    status, _, _ = await ask(
        asgi.Demur(App().answer, surface), "/members", cookie=f"__Host-demur={token}", accept="application/json"
    )
    assert status == 200
