"""The example: one shed with its own tokens, and with demur's sessions. What it answers is the same."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from tests.adapters.starlette.asking import Answer, ask, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[3] / "examples" / "fastapi"
PASSWORDS = {"wanda": "wanda wields the wrench", "bert": "bert borrows the blade"}
HERE = {"host": "localhost:8000", "origin": "http://localhost:8000"}
LOAN = {"method": "POST", "body": b'{"days": 3}'}
JSON = {"content-type": "application/json"}


@dataclass
class Running:
    """One of the two apps, started."""

    app: Any
    own_login: bool

    async def ask(self, target: str, fields: dict[str, str] | None = None, **more: Any) -> Answer:
        return await ask(self.app, target, {**HERE, **(fields or {})}, **{"scheme": "http", **more})

    async def signed_in(self, name: str) -> dict[str, str]:
        """What somebody sends who has signed in."""
        address = "/token" if self.own_login else "/.demur/sign-in"
        body = urlencode({"username": name, "password": PASSWORDS[name]}).encode()
        form = {"content-type": "application/x-www-form-urlencoded"}
        answer = await self.ask(address, form, method="POST", body=body)
        assert answer.status == 200, answer
        if self.own_login:
            return {"authorization": f"Bearer {json.loads(answer.text)['access_token']}"}
        return {"cookie": answer.fields["set-cookie"].partition(";")[0]}


@pytest.fixture(params=["app", "sessions"])
async def shed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    """Each of the two, in a folder of its own."""
    monkeypatch.syspath_prepend(EXAMPLE)
    options = {"store": "memory:"} if request.param == "sessions" else {}
    try:
        app = import_module(request.param).create_app(tmp_path, **options)
        async with running(app):
            yield Running(app, request.param == "app")
    finally:
        for name in ("api", "app", "sessions", "shed"):
            sys.modules.pop(name, None)


async def test_everybody_sees_what_there_is(shed: Running) -> None:
    """And members are called by their name."""
    assert json.loads((await shed.ask("/")).text)["reader"] is None
    seen = json.loads((await shed.ask("/", await shed.signed_in("bert"))).text)
    assert (seen["reader"], [each["name"] for each in seen["tools"]]) == ("bert", ["saw", "ladder"])


@pytest.mark.parametrize("body", [b'{"days": 3}', b"{", b'{"days": 99}'])
async def test_nobody_else_borrows(shed: Running, body: bytes) -> None:
    """Whatever they send."""
    refused = await shed.ask("/tools/1", JSON, method="POST", body=body)
    assert (refused.status, refused.reason) == (401, "sign-in-required")


async def test_members_borrow(shed: Running) -> None:
    """One after the other, and for as long as may be."""
    bert, wanda = await shed.signed_in("bert"), await shed.signed_in("wanda")
    assert (await shed.ask("/tools/1", {**JSON, **bert}, method="POST", body=b'{"days": 99}')).status == 422
    assert json.loads((await shed.ask("/tools/1", {**JSON, **bert}, **LOAN)).text)["borrower"] == "bert"
    late = await shed.ask("/tools/1", {**JSON, **wanda}, **LOAN)
    assert (late.status, late.problem["detail"]) == (403, "Somebody else has it.")


async def test_wardens_take_away(shed: Running) -> None:
    """Who holds the permission, and has signed in a moment ago."""
    assert (await shed.ask("/tools/1", method="DELETE")).status == 401
    assert (await shed.ask("/tools/1", await shed.signed_in("bert"), method="DELETE")).reason == "not-permitted"
    assert (await shed.ask("/tools/1", await shed.signed_in("wanda"), method="DELETE")).status == 204


async def test_the_router_is_for_wardens(shed: Running) -> None:
    """All of it."""
    assert (await shed.ask("/wardens/members")).status == 401
    assert (await shed.ask("/wardens/members", await shed.signed_in("bert"))).status == 403
    assert (await shed.ask("/wardens/members", await shed.signed_in("wanda"))).text == '["bert","wanda"]'


async def test_members_watch(shed: Running) -> None:
    """By a WebSocket, which nobody else can open."""
    assert (await shed.ask("/watch", scheme="ws")).status == 401
    seen = await shed.ask("/watch", await shed.signed_in("bert"), scheme="ws", body=b"?")
    assert (seen.status, json.loads(seen.messages[1]["text"])[0]["name"]) == (101, "saw")


async def test_the_document_says_what_is_refused(shed: Running) -> None:
    """And how to say who one is."""
    document = json.loads((await shed.ask("/openapi.json")).text)
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    cookie = {} if shed.own_login else {"session": {"type": "apiKey", "in": "cookie", "name": "demur-dev"}}
    assert document["components"]["securitySchemes"] == {**schemes, **cookie}
    assert {"401", "403", "429", "503"} <= set(document["paths"]["/wardens/members"]["get"]["responses"])


@pytest.mark.parametrize("shed", ["app"], indirect=True)
async def test_who_has_left_is_known_no_more(shed: Running) -> None:
    """The app asks its own table for each request."""
    sent = await shed.signed_in("bert")
    shed.app.state.shed.write("DELETE FROM member WHERE name = 'bert'")
    assert (await shed.ask("/tools/1", {**JSON, **sent}, **LOAN)).reason == "credentials-invalid"
