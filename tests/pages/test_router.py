"""What demur's own pages refuse, and that it can be found again in the log."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import Parameters, Type
from tests.core.support import NOW, SITE, make_request

from demur import accounts
from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import page
from demur.core.model import Absent, Access, Details, StoreUnavailable, Subject
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
        self.store, self.held = store, held
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

    async def cookie(self, subject: Subject) -> str:
        before = Absent()
        issued = await self.held.begin(subject, make_request(), "", before=before, persistent=False, now=NOW)
        return f"__Host-demur={issued.token}"

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


BO = Subject("0192-bo", "bo", display_name="Bo Berg")
ANNA = Subject("0192-anna", "anna")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_a_script_is_told_of_the_session(desk, method) -> None:
    """Who, until when, by the clock and by the seconds that are left, and a key of the person's own."""
    path = "session" if method == "GET" else "session/extend"
    told = json.loads((await desk.ask(method, path, b"", cookie=await desk.cookie(BO))).body)
    key = told.pop("draft_key")
    assert told == {
        "subject": "0192-bo",
        "name": "bo",
        "display_name": "Bo Berg",
        "idle_ends_at": "2027-01-15T09:00:00Z",
        "expires_at": "2027-01-16T08:00:00Z",
        "idle_ends_in": 3600,
        "expires_in": 86400,
    }
    assert len(base64.urlsafe_b64decode(f"{key}=")) == 32


async def test_the_key_for_drafts_is_the_persons(desk) -> None:
    """It is the same at each sign-in, and nobody else's; pages of another origin have no use for it."""

    async def key(subject: Subject, **fields: str) -> Any:
        answer = await desk.ask("GET", "session", b"", cookie=await desk.cookie(subject), **fields)
        return json.loads(answer.body)["draft_key"]

    assert await key(BO) == await key(BO) == await key(BO, origin="https://app.example.com") != await key(ANNA)
    for origin in ("https://partner.example", "null", "http://app.example.com"):
        assert await key(BO, origin=origin) is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "session", 412),
        ("POST", "session/extend", 412),
        ("POST", "sign-out", 412),  # it is not the person of this page who would be signed out
        ("GET", "sessions", 412),
        ("GET", "client/reasons.js", 200),
    ],
)
async def test_what_is_meant_for_somebody_else(desk, method, path, status) -> None:
    """demur's own addresses do nothing as another person either."""
    cookie = await desk.cookie(BO)
    answer = await desk.ask(method, path, b"", cookie=cookie, demur_subject=ANNA.id)
    assert answer.status == status
    assert (await desk.ask("GET", "session", b"", cookie=cookie, demur_subject=BO.id)).status == 200


async def test_other_origins_may_say_whom_they_mean(desk) -> None:
    """A page of an origin that the site lists may send what the client sends."""
    asked = {"origin": "https://partner.example", "access_control_request_method": "GET"}
    allowed = dict((await desk.ask("OPTIONS", "session", b"", **asked)).fields)[b"access-control-allow-headers"]
    assert {b"demur-subject", b"demur-background"} <= set(allowed.split(b", "))


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
