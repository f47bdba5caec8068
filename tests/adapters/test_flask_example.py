"""The Flask example: the club with its own login, and with demur's sessions over its own table."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "flask"
NAMES = ("app", "club", "sessions", "views")
PASSWORDS = {"anna": "anna plants 40 beans", "bo": "bo borrows the rake"}


@pytest.fixture(params=["app", "sessions"])
def app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Each of the two apps, in a folder of its own."""
    monkeypatch.syspath_prepend(EXAMPLE)
    options = {"origin": "http://localhost", "store": "memory:"} if request.param == "sessions" else {}
    try:
        yield import_module(request.param).create_app(tmp_path, **options)
    finally:
        for name in NAMES:
            sys.modules.pop(name, None)


def own_login(app: Any) -> bool:
    """Whether the app has a login of its own."""
    return "/login" in {rule.rule for rule in app.url_map.iter_rules()}


def sign_in(app: Any, name: str, password: str = "") -> tuple[Any, Any]:
    """A client of somebody, and what the sign-in answered."""
    client = app.test_client()
    address, field = ("/login", "name") if own_login(app) else ("/.demur/sign-in", "username")
    form = {field: name, "password": password or PASSWORDS[name]}
    return client, client.post(address, data=form, headers={"sec-fetch-site": "same-origin"})


def said(answer: Any) -> tuple[int, str]:
    """The status, and the reason for it."""
    refused = answer.content_type == "application/problem+json"
    return answer.status_code, answer.json["reason"] if refused else ""


def test_who_may_do_what(app: Any) -> None:
    """The same in both: anybody looks, members plant, and the board takes away and keeps the books."""
    asked = [
        ("GET", "/plots/", None), ("PUT", "/plots/2", {"beans": 7}), ("PUT", "/plots/2", {"beans": 7000}),
        ("GET", "/board/books", None), ("DELETE", "/plots/1", None),
    ]  # fmt: skip
    clients = {"": app.test_client(), **{name: sign_in(app, name)[0] for name in PASSWORDS}}
    found = {
        name: [said(client.open(path, method=method, json=sent)) for method, path, sent in asked]
        for name, client in clients.items()
    }
    fine, anonymous, forbidden = (200, ""), (401, "sign-in-required"), (403, "not-permitted")
    assert found == {
        "": [fine, anonymous, anonymous, anonymous, anonymous],
        "anna": [fine, fine, forbidden, fine, (204, "")],
        "bo": [fine, fine, forbidden, forbidden, forbidden],
    }
    assert clients["bo"].get("/plots/").json == {"reader": "bo", "plots": {"2": 7}}


def test_a_wrong_password(app: Any) -> None:
    """It is the login's own affair, in words of its own."""
    client, answer = sign_in(app, "bo", "wrong")
    assert answer.status_code == 401
    assert said(client.get("/board/books")) == (401, "sign-in-required")


def test_signing_out(app: Any) -> None:
    """It arrives."""
    client, answer = sign_in(app, "bo")
    assert answer.status_code == (302 if own_login(app) else 200)  # a page would be led on, and a script is told
    assert said(client.get("/board/books")) == (403, "not-permitted")
    address = "/logout" if own_login(app) else "/.demur/sign-out"
    assert client.post(address, headers={"sec-fetch-site": "same-origin"}).status_code < 400
    assert said(client.get("/board/books"))[0] == 401


def test_somebody_leaves(app: Any) -> None:
    """A member who is removed from the table is signed out, where the table is asked at every request."""
    client, _ = sign_in(app, "bo")
    app.extensions["club"].remove("bo")
    reason = "session-revoked" if own_login(app) else "not-permitted"
    assert said(client.get("/board/books"))[1] == reason


def test_the_routes_are_as_the_page_says(app: Any) -> None:
    """The list in the README is what the command prints."""
    told = app.test_cli_runner().invoke(args=["demur", "routes"])
    assert told.exit_code == 0, told.output
    listed = re.search(r"demur routes\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    assert listed is not None
    wanted = [line for line in listed[1].splitlines() if own_login(app) or "/log" not in line]
    assert told.output.splitlines() == wanted
