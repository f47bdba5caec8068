"""The Quart example: the club with its own login, and with demur's sessions."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "quart"
NAMES = ("app", "club", "sessions", "views")
PASSWORDS = {"anna": "anna plants 40 beans", "bo": "bo borrows the rake"}


@pytest.fixture(params=["app", "sessions"])
def app(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Each of the two apps."""
    monkeypatch.syspath_prepend(EXAMPLE)
    own = request.param == "app"
    options = {} if own else {"origin": "http://localhost", "store": "memory:", "keys": MemoryKeys()}
    try:
        yield import_module(request.param).create_app(**options)
    finally:
        for name in NAMES:
            sys.modules.pop(name, None)


def own_login(app: Any) -> bool:
    """Whether the app has a login of its own."""
    return "/login" in {rule.rule for rule in app.url_map.iter_rules()}


def browser(app: Any) -> httpx.AsyncClient:
    """A browser on this machine, which sends cookies of a page that is safe there."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def sign_in(app: Any, name: str, password: str = "") -> tuple[httpx.AsyncClient, httpx.Response]:
    """A browser of somebody, and what the sign-in answered."""
    client = browser(app)
    address, field = ("/login", "name") if own_login(app) else ("/.demur/sign-in", "username")
    form = {field: name, "password": password or PASSWORDS[name]}
    return client, await client.post(address, data=form, headers={"sec-fetch-site": "same-origin"})


def said(answer: httpx.Response) -> tuple[int, str]:
    """The status, and the reason for it."""
    refused = answer.headers.get("content-type") == "application/problem+json"
    return answer.status_code, answer.json()["reason"] if refused else ""


async def test_who_may_do_what(app: Any) -> None:
    """The same in both: anybody looks, members plant, and the board takes away and keeps the books."""
    asked = [
        ("GET", "/plots/", None), ("PUT", "/plots/2", {"beans": 7}), ("PUT", "/plots/2", {"beans": 7000}),
        ("GET", "/board/books", None), ("DELETE", "/plots/1", None),
    ]  # fmt: skip
    clients = {"": browser(app), **{name: (await sign_in(app, name))[0] for name in PASSWORDS}}
    found = {
        name: [said(await client.request(method, path, json=sent)) for method, path, sent in asked]
        for name, client in clients.items()
    }
    fine, anonymous, forbidden = (200, ""), (401, "sign-in-required"), (403, "not-permitted")
    assert found == {
        "": [fine, anonymous, anonymous, anonymous, anonymous],
        "anna": [fine, fine, forbidden, fine, (204, "")],
        "bo": [fine, fine, forbidden, forbidden, forbidden],
    }
    assert (await clients["bo"].get("/plots/")).json() == {"reader": "bo", "plots": {"2": 7}}


async def test_a_wrong_password(app: Any) -> None:
    """It is the login's own affair, in words of its own."""
    client, answer = await sign_in(app, "bo", "wrong")
    assert answer.status_code == 401
    assert said(await client.get("/board/books")) == (401, "sign-in-required")


async def test_signing_out(app: Any) -> None:
    """It arrives."""
    client, _ = await sign_in(app, "bo")
    assert said(await client.get("/board/books")) == (403, "not-permitted")
    address = "/logout" if own_login(app) else "/.demur/sign-out"
    assert (await client.post(address, headers={"sec-fetch-site": "same-origin"})).status_code < 400
    assert said(await client.get("/board/books"))[0] == 401


async def test_the_app_starts(app: Any) -> None:
    """Somebody said of every route who may open it."""
    await app.startup()
    await app.shutdown()


def test_the_routes_are_as_the_page_says(app: Any) -> None:
    """The list in the README is what the command prints."""
    told = app.test_cli_runner().invoke(args=["demur", "routes"])
    assert told.exit_code == 0, told.output
    listed = re.search(r"demur routes\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    assert listed is not None
    wanted = [line for line in listed[1].splitlines() if own_login(app) or "/log" not in line]
    assert told.output.splitlines() == wanted
