"""What demur's own pages refuse, and that it can be found again in the log."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from argon2 import Parameters, Type
from tests.core.support import NOW, SITE, make_request

from demur import accounts
from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import page
from demur.core.model import Access, Details, StoreUnavailable
from demur.core.reasons import Reason
from demur.core.sessions import NIST_AAL2
from demur.guard import Guard
from demur.pages import look
from demur.pages.router import Pages, Route
from demur.pages.sessions import SessionsPage
from demur.pages.signin import SignInPages
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from demur.core.model import Response
    from demur.core.ports import Decided
    from demur.pages.visit import Visit

CHEAP = Parameters(Type.ID, 19, 16, 16, 1, 8, 1)
FORM = {"content_type": "application/x-www-form-urlencoded"}


class Desk:
    """The pages of a site where nobody has an account yet, and what was noted of them."""

    def __init__(self, folder: Path) -> None:
        self.noted: list[Decided] = []
        store, keys = MemoryStore(), MemoryKeys()
        self.hasher, self.people = Argon2Hasher(CHEAP), accounts.open(f"sqlite:{folder / 'accounts.db'}", store)
        guard = Guard(SITE, store, keys, observer=self, clock=lambda: float(NOW))
        held = Sessions(store, keys, NIST_AAL2)
        sign_in = PasswordSignIn(self.people, self.hasher, Throttle(store), held, self)
        mine = SessionsPage(store)

        async def failing(visit: Visit) -> Response:
            raise StoreUnavailable("the disk is full")

        async def refusing(visit: Visit) -> Response:
            return look.refused(visit, Reason.REQUEST_MALFORMED, Details())

        routes = {
            **SignInPages(sign_in, held, page.DEFAULT, idle=3600).routes(),
            "sessions": Route(mine.get, mine.post, Access.REQUIRED),
            "refusing": Route(refusing),
            "failing": Route(failing, failing),
        }
        self.pages = Pages(guard, page.DEFAULT, routes)

    def decided(self, decided: Decided) -> None:
        self.noted.append(decided)

    def signed_in(self, method: str, outcome: str) -> None:
        pass

    async def ask(self, method: str, path: str, body: bytes | None, **fields: str) -> Response:
        async def read(most: int) -> bytes | None:
            return body

        return await self.pages.answer(make_request(method, f"/.demur/{path}", **fields), read)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """The pages."""
    made = Desk(tmp_path)
    yield made
    made.hasher.close()
    await made.people.aclose()


@pytest.mark.parametrize(
    ("method", "path", "body", "fields", "reason"),
    [
        ("POST", "sign-in", b"username=bo&password=no", FORM, "credentials-invalid"),
        ("POST", "sign-in", b"\xff", FORM, "request-malformed"),
        ("POST", "sign-in", None, FORM, "request-malformed"),
        ("POST", "sign-in", b"", {**FORM, "sec_fetch_site": "cross-site"}, "cross-site-refused"),
        ("GET", "refusing", b"", {}, "request-malformed"),
        ("GET", "sessions", b"", {}, "sign-in-required"),
        ("GET", "nothing", b"", {}, "not-found"),
        ("GET", "reasons/nothing", b"", {}, "not-found"),
    ],
)
async def test_a_refusal_is_noted_under_the_reference_that_it_shows(desk, method, path, body, fields, reason) -> None:
    """Whoever reads a reference to an administrator has it found in the log, whichever page refused."""
    for form in ({}, {"sec_fetch_mode": "navigate", "sec_fetch_site": "same-origin"}):
        answer = await desk.ask(method, path, body, **{**form, **fields})
        found = re.search(rb'<script type="application/problem\+json">(.*?)</script>', answer.body, re.DOTALL)
        problem = json.loads(found[1] if found else answer.body)
        assert problem["reason"] == reason
        noted = desk.noted.pop()
        assert (noted.reason, noted.status) == (reason, answer.status)
        assert problem["instance"] == f"urn:uuid:{noted.reference}"
        assert desk.noted == []


@pytest.mark.parametrize("mode", ["cors", "navigate"])
@pytest.mark.parametrize(("cookie", "kept"), [("__Host-demur=x", True), ("other=x", False)])
async def test_nobody_is_told_that_they_are_signed_in_who_is_not(desk, mode, cookie, kept) -> None:
    """When we fail, a session is kept; somebody who comes without one is not told of it."""
    answer = await desk.ask("GET", "failing", b"", cookie=cookie, sec_fetch_mode=mode)
    assert answer.status == 503
    assert (b"You are still signed in." in answer.body) is kept
    assert (b"Your session is kept." in answer.body) is (kept and mode == "navigate")


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("failing", False),  # a handler had begun: it may have changed something
        ("nowhere", True),
        ("session/extend", True),  # nobody is signed in, so nothing was begun
    ],
)
async def test_unprocessed_is_claimed_only_before_a_page_has_begun(desk, path, before) -> None:
    """A client repeats what was not processed, so a page that failed half way must not say so."""
    answer = await desk.ask("POST", path, b"", **FORM)
    assert (b"demur-processed" in dict(answer.fields)) is before
    assert ("processed" in json.loads(answer.body)) is before
