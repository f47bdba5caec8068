"""The answers that are judged: those to the golden files, and pages of a running gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.golden.files import FILES, read
from tests.judges.answers import Answers, Seen
from tests.site.houses import SAMPLE, running
from tests.site.wire import NAVIGATION, SCRIPT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.site.houses import House
    from tests.site.wire import Pairs

CASES = [read(path) for path in FILES]

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")

# Who asks (nobody, somebody, or a session that is over), for what, and what is sent along.
ASKED: list[tuple[str, str, str, tuple[str, str] | None, bytes]] = [
    ("", "GET", "/.demur/sign-in", None, b""),
    ("", "HEAD", "/.demur/sign-in", None, b""),
    ("", "GET", "/.demur/sign-in?next=%2Fmembers%2F", None, b""),
    ("", "POST", "/.demur/sign-in", FORM, b"username=bob&password=no"),
    ("", "POST", "/.demur/sign-in", JSON, b'{"username": "bob", "password": "no"}'),
    ("", "POST", "/.demur/sign-in", JSON, b"[1]"),
    ("", "POST", "/.demur/sign-in", ("Content-Type", "text/plain"), b"username"),
    ("", "DELETE", "/.demur/sign-in", None, b""),
    ("", "GET", "/.demur/session/extend", None, b""),
    ("", "GET", "/.demur/", None, b""),
    ("", "GET", "/.demur/cleared.css", None, b""),
    ("", "GET", "/.demur/nothing", None, b""),
    ("", "GET", "/.demur/reasons/session-idle", None, b""),
    ("", "GET", "/.demur/reasons/nothing", None, b""),
    ("", "GET", "/.demur/sign-out", None, b""),
    ("", "GET", "/.demur/signed-out", None, b""),
    ("", "GET", "/.demur/openapi.json", None, b""),
    ("", "GET", "/members/", None, b""),
    ("", "GET", "/members/%00", None, b""),
    ("over", "GET", "/members/", None, b""),
    ("over", "GET", "/.demur/session", None, b""),
    ("old", "GET", "/admin/", None, b""),
    ("bob", "GET", "/admin/", None, b""),
    ("bob", "GET", "/.demur/account", None, b""),
    ("bob", "HEAD", "/.demur/account", None, b""),
    ("bob", "GET", "/.demur/account?changed", None, b""),
    ("bob", "POST", "/.demur/account", FORM, b"new=short"),
    ("bob", "POST", "/.demur/account", FORM, b"current=wrong&new=something+long+and+new"),
    ("bob", "GET", "/.demur/sessions", None, b""),
    ("bob", "POST", "/.demur/sessions", FORM, b"end=nothing"),
    ("bob", "POST", "/.demur/sessions", FORM, b""),
    ("bob", "GET", "/.demur/session", None, b""),
    ("bob", "POST", "/.demur/session/extend", None, b""),
    ("bob", "GET", "/.demur/sign-out", None, b""),
    ("bob", "POST", "/.demur/sign-out", None, b""),
]


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The answers to all golden files."""
    return Answers(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The sample site behind a gateway."""
    with running(SAMPLE, tmp_path_factory.mktemp("house")) as here:
        yield here


@pytest.fixture(scope="session")
def pages(house: House) -> list[Seen]:
    """Pages of a running gateway, asked for by people and by scripts."""
    tokens = {
        "": None,
        "bob": house.session("bob")[0],
        "old": house.session("alice", authenticated_at=1_700_000_000)[0],
        "over": house.session("bob", expires_at=1_700_000_000, issued_at=1_600_000_000)[0],
    }
    return [
        _seen(house, who, method, target, [*style, *([kind] if kind else [])], body, tokens[who])
        for who, method, target, kind, body in ASKED
        for style in (NAVIGATION, SCRIPT)
    ]


def _seen(house: House, who: str, method: str, target: str, fields: Pairs, body: bytes, token: str | None) -> Seen:
    sent = [("Host", house.host), ("Origin", house.origin), *fields]
    answer = house.ask(method, target, sent, body, token=token)
    return Seen(
        name=f"{who or 'nobody'} {method} {target}",
        method=method,
        target=target,
        request=[(name.lower().encode(), value.encode()) for name, value in sent],
        start=f"HTTP/1.1 {answer.status}".encode(),
        fields=[(name.encode(), value.encode("latin-1")) for name, value in answer.fields],
        body=answer.body,
        at=time.time(),
    )
