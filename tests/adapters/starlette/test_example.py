"""The example: one shed with its own login, and with demur's sessions. What its pages answer is the same."""

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

EXAMPLE = Path(__file__).parents[3] / "examples" / "starlette"
PASSWORDS = {"wanda": "wanda wields the wrench", "bert": "bert borrows the blade"}
HERE = {"host": "localhost:8000", "origin": "http://localhost:8000"}


@dataclass
class Running:
    """One of the two apps, started."""

    app: Any
    state: dict[str, Any]
    own_login: bool

    async def ask(self, target: str, fields: dict[str, str] | None = None, **more: Any) -> Answer:
        scheme = more.pop("scheme", "http")
        return await ask(self.app, target, {**HERE, **(fields or {})}, state=self.state, scheme=scheme, **more)

    async def sign_in(self, name: str, password: str = "") -> Answer:
        address, field = ("/login", "name") if self.own_login else ("/.demur/sign-in", "username")
        body = urlencode({field: name, "password": password or PASSWORDS[name]}).encode()
        return await self.ask(address, {"content-type": "application/x-www-form-urlencoded"}, method="POST", body=body)

    async def cookie(self, name: str) -> dict[str, str]:
        answer = await self.sign_in(name)
        assert answer.status in {200, 303}, answer
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
        async with running(app) as state:
            yield Running(app, state, request.param == "app")
    finally:
        for name in ("app", "pages", "sessions", "shed"):
            sys.modules.pop(name, None)


async def test_everybody_sees_what_there_is(shed: Running) -> None:
    """And members are called by their name."""
    assert json.loads((await shed.ask("/")).text)["reader"] is None
    seen = json.loads((await shed.ask("/", await shed.cookie("bert"))).text)
    assert (seen["reader"], [each["name"] for each in seen["tools"]]) == ("bert", ["saw", "ladder"])


async def test_members_borrow(shed: Running) -> None:
    """Nobody else does, and one after the other."""
    refused = await shed.ask("/tools/1", method="POST")
    assert (refused.status, refused.reason) == (401, "sign-in-required")
    assert json.loads((await shed.ask("/tools/1", await shed.cookie("bert"), method="POST")).text)["borrower"] == "bert"
    late = await shed.ask("/tools/1", await shed.cookie("wanda"), method="POST")
    assert (late.status, late.problem["detail"]) == (403, "Somebody else has it.")


async def test_wardens_take_away(shed: Running) -> None:
    """Who holds the permission, and has signed in a moment ago."""
    assert (await shed.ask("/tools/1", method="DELETE")).status == 401
    assert (await shed.ask("/tools/1", await shed.cookie("bert"), method="DELETE")).reason == "not-permitted"
    assert (await shed.ask("/tools/1", await shed.cookie("wanda"), method="DELETE")).status == 204


async def test_the_mounted_app_is_for_wardens(shed: Running) -> None:
    """All of it."""
    assert (await shed.ask("/wardens/members")).status == 401
    assert (await shed.ask("/wardens/members", await shed.cookie("bert"))).status == 403
    assert (await shed.ask("/wardens/members", await shed.cookie("wanda"))).text == '["bert","wanda"]'


async def test_members_watch(shed: Running) -> None:
    """By a WebSocket, which nobody else can open."""
    assert (await shed.ask("/watch", scheme="ws")).status == 401
    seen = await shed.ask("/watch", await shed.cookie("bert"), scheme="ws", body=b"?")
    assert (seen.status, json.loads(seen.messages[1]["text"])[0]["name"]) == (101, "saw")


async def test_a_wrong_password(shed: Running) -> None:
    """Nobody gets in with it."""
    assert (await shed.sign_in("bert", "wrong")).status == 401
    assert (await shed.sign_in("nobody", "wrong")).status == 401


@pytest.mark.parametrize("shed", ["app"], indirect=True)
async def test_who_has_left_is_known_no_more(shed: Running) -> None:
    """The app asks its own table for each request; demur's sessions end when somebody ends them."""
    cookie = await shed.cookie("bert")
    shed.state["shed"].write("DELETE FROM member WHERE name = 'bert'")
    assert (await shed.ask("/tools/1", cookie, method="POST")).reason == "credentials-invalid"
