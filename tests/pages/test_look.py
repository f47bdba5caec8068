"""The account pages: what they show, what they change, and how they say no."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from argon2 import Parameters
from argon2.low_level import Type

from demur import accounts
from demur.accounts.people import New, NotInForce
from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle
from demur.core import markup, page, rules
from demur.core.model import Ended, Live, Request, Response, Session, StoreUnavailable, Subject
from demur.core.respond import refuse
from demur.core.sessions import Limits, identify
from demur.core.site import Site
from demur.pages.account import AccountPage
from demur.pages.look import ago
from demur.pages.sessions import SessionsPage
from demur.pages.visit import Visit
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW = 1_795_356_300
SITE = Site("https://app.example.com", "Harbour <Records>", rules.load([{"path": "/**", "allow": "signed-in"}]))
ALMA = Subject("", "alma", frozenset({"staff", "<admins>"}), display_name="Alma <Reyes>", email="a@example.com")
OLD, NEW = "correct horse battery", "a new one of four words"
# The cheapest that argon2 can do: what is tested here is not the hash.
CHEAP = Parameters(Type.ID, 19, 16, 16, 1, 8, 1)


class House:
    """A store with three sessions of Alma's (this one, a strange one, one that is over) and one of Ben's."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.hasher = Argon2Hasher(CHEAP)
        self.people = accounts.open(f"sqlite:{folder / 'accounts.db'}", self.store)

    async def open(self) -> House:
        new = New(ALMA.name, frozenset({"staff"}), "Alma", "", await self.hasher.hash(OLD))
        self.alma = replace(ALMA, id=(await self.people.add(new, by="test")).subject.id)
        sessions = Sessions(self.store, MemoryKeys(), Limits(3600, 86400))
        self.sign_in = PasswordSignIn(self.people, self.hasher, Throttle(self.store), sessions)
        self.account = AccountPage(self.people, self.hasher, self.sign_in)
        self.page = SessionsPage(self.store)
        alma = self.alma.id
        self.current = session(1, alma, device="Firefox on Linux", network="192.0.2.7", last_seen=NOW - 30)
        self.other = session(2, alma, device="<b>Phone</b>", network="2001:db8::/64", last_seen=NOW - 400)
        self.over = session(3, alma, device="Gone", last_seen=NOW - 3600)
        self.bens = session(4, "02-ben", device="Ben's")
        for one in (self.current, self.other, self.over):
            await self.store.issue(one, self.alma)
        await self.store.issue(self.bens, replace(ALMA, id="02-ben", name="ben"))
        return self

    async def knows(self, password: str) -> bool:
        """Whether that is Alma's password now."""
        account = await self.people.by_id(self.alma.id)
        return account is not None and (await self.hasher.verify(password, account.password)).right

    def visit(
        self,
        path: str,
        form: dict[str, str] | None = None,
        *,
        api: bool = False,
        body: bytes | None = None,
        came: tuple[tuple[bytes, bytes], ...] = ((b"sec-fetch-site", b"same-origin"),),
    ) -> Visit:
        kind = b"application/json" if api else b"application/x-www-form-urlencoded"
        mode = b"cors" if api else b"navigate"
        sent = (json.dumps(form) if api else urlencode(form or {})).encode() if body is None else body
        request = Request(
            "GET" if form is None and body is None else "POST",
            f"/.demur/{path}".encode(),
            "https",
            "app.example.com",
            "192.0.2.7",
            ((b"sec-fetch-mode", mode), (b"content-type", kind), *came),
        )
        live = Live(self.current, self.alma)
        received = sent if request.method == "POST" else b""
        return Visit(request, SITE, live, live, received, NOW, "0192-ref", lambda said: refuse(said, page.DEFAULT))

    async def states(self, *sessions: Session) -> list[str]:
        """What has become of sessions: "live", or how they ended."""
        found = await self.store.load([one.id for one in sessions])
        return [one.how.value if isinstance(one, Ended) else "live" for one in found]


def session(number: int, subject: str, **more: object) -> Session:
    known: dict[str, object] = {
        "id": identify(f"token {number}"),
        "subject": subject,
        "issued_at": NOW - 5000,
        "authenticated_at": NOW - 5000,
        "last_seen": NOW,
        "expires_at": NOW + 80000,
        "idle": 3600,
    }
    return Session(**{**known, **more})  # type: ignore[arg-type]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = await House(tmp_path).open()
    yield made
    made.hasher.close()
    await made.people.aclose()


def text(response: Response) -> str:
    return response.body.decode()


def value(response: Response, name: bytes) -> bytes | None:
    return next((value for key, value in response.fields if key == name), None)


@pytest.mark.parametrize("path", ["account", "sessions"])
@pytest.mark.parametrize("api", [False, True])
async def test_every_answer_is_guarded(house: House, path: str, api: bool) -> None:
    """No answer about a person is kept, framed, sniffed or told to other sites."""
    get = house.account.get if path == "account" else house.page.get
    response = await get(house.visit(path, api=api))
    assert response.status == 200
    assert value(response, b"cache-control") == b"no-store"
    assert value(response, b"x-content-type-options") == b"nosniff"
    assert value(response, b"referrer-policy") == b"same-origin"
    policy = value(response, b"content-security-policy") or b""
    assert b"default-src 'none'" in policy
    assert b"frame-ancestors 'none'" in policy
    assert value(response, b"content-length") == str(len(response.body)).encode()


@pytest.mark.parametrize("path", ["account", "sessions"])
async def test_pages_escape_what_people_are_called(house: House, path: str) -> None:
    """Names of people, groups, sites and devices stay text."""
    get = house.account.get if path == "account" else house.page.get
    shown = text(await get(house.visit(path)))
    assert "Harbour &lt;Records&gt;" in shown
    for spoken in ("<b>Phone", "<Reyes>", "<admins>", "<Records>"):
        assert spoken not in shown
    assert shown.count("<h1") == 1
    assert markup.SCRIPT in shown
    assert " style=" not in shown


async def test_the_account_says_who(house: House) -> None:
    """The page names the person and the groups; programs get the same as JSON."""
    shown = text(await house.account.get(house.visit("account")))
    for part in ("Alma &lt;Reyes&gt;", "alma", "a@example.com", "staff", "1 hour without activity"):
        assert part in shown
    told = json.loads((await house.account.get(house.visit("account", api=True))).body)
    assert told["name"] == "alma"
    assert told["groups"] == ["<admins>", "staff"]


async def test_the_list_shows_what_is_alive_and_own(house: House) -> None:
    """This session first and marked, then the others of the same person; what is over is not shown."""
    shown = text(await house.page.get(house.visit("sessions")))
    assert shown.index("Firefox on Linux") < shown.index("&lt;b&gt;Phone")
    assert shown.count("This session") == 1
    assert "6 minutes ago" in shown
    assert "192.0.2.7" in shown
    assert "Gone" not in shown
    assert "Ben&#39;s" not in shown
    told = json.loads((await house.page.get(house.visit("sessions", api=True))).body)["sessions"]
    assert [(one["handle"], one["current"]) for one in told] == [
        (house.current.handle, True),
        (house.other.handle, False),
    ]
    assert house.current.id.hex() not in json.dumps(told)


@pytest.mark.parametrize("api", [False, True])
async def test_ending_one(house: House, api: bool) -> None:
    """One session ends by its handle, at once, and the others stay."""
    response = await house.page.post(house.visit("sessions", {"end": house.other.handle}, api=api))
    assert await house.states(house.current, house.other, house.bens) == ["live", "ended", "live"]
    if api:
        assert (response.status, json.loads(response.body)) == (200, {"ended": 1})
    else:
        assert (response.status, value(response, b"location")) == (303, b"/.demur/sessions?ended=1")


async def test_ending_all_others(house: House) -> None:
    """All but the one that asks end, and nobody else's."""
    response = await house.page.post(house.visit("sessions", {"end": "others"}, api=True))
    assert json.loads(response.body)["ended"] >= 1
    assert await house.states(house.current, house.other, house.bens) == ["live", "ended", "live"]


async def test_a_handle_is_no_credential(house: House) -> None:
    """Somebody else's handle, and one that nobody has, end nothing."""
    for handle in (house.bens.handle, "00" * 8):
        response = await house.page.post(house.visit("sessions", {"end": handle}, api=True))
        assert json.loads(response.body) == {"ended": 0}
    assert await house.states(house.current, house.other, house.bens) == ["live", "live", "live"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?ended=0", "There was nothing left to end."),
        ("?ended=1", "One session was ended."),
        ("?ended=12", "12 sessions were ended."),
        ("?ended=<b>", None),
        ("?ended=99999", None),
        ("", None),
    ],
)
async def test_what_was_done_is_said(house: House, query: str, said: str | None) -> None:
    """After the redirect the page says what has happened, and only in our words."""
    shown = text(await house.page.get(house.visit("sessions" + query)))
    assert ('role="status">' + said in shown) if said else ('class="done"' not in shown)


@pytest.mark.parametrize(
    ("came", "believed"),
    [
        (((b"sec-fetch-site", b"same-origin"),), True),
        (((b"sec-fetch-site", b"cross-site"),), False),
        (((b"sec-fetch-site", b"same-site"),), False),
        (((b"sec-fetch-site", b"none"),), False),  # typed, or out of a mail
        (((b"sec-fetch-site", b"cross-site"), (b"referer", b"https://app.example.com/.demur/account")), False),
        (((b"referer", b"https://app.example.com/.demur/account"),), True),
        (((b"referer", b"https://evil.example/"),), False),
        ((), False),
    ],
)
@pytest.mark.parametrize("path", ["account?changed", "sessions?ended=3"])
async def test_a_crafted_link_says_nothing(
    house: House, path: str, came: tuple[tuple[bytes, bytes], ...], *, believed: bool
) -> None:
    """What was done is said after our own form only; whoever follows a link from elsewhere reads no false news."""
    get = house.account.get if path.startswith("account") else house.page.get
    shown = text(await get(house.visit(path, came=came)))
    assert ('class="done"' in shown) is believed


@pytest.mark.parametrize("path", ["account", "sessions"])
@pytest.mark.parametrize("body", [b"\xff=\xfe", b"a=1&a=2"])
async def test_what_cannot_be_read_changes_nothing(house: House, path: str, body: bytes) -> None:
    """A body that is no form is refused as such."""
    post = house.account.post if path == "account" else house.page.post
    response = await post(house.visit(path, body=body))
    assert response.status == 400
    assert await house.states(house.current, house.other) == ["live", "live"]


async def test_ending_without_saying_what(house: House) -> None:
    """The error names the field and what belongs into it."""
    response = await house.page.post(house.visit("sessions", {}, api=True))
    assert response.status == 400
    assert '"end"' in json.loads(response.body)["detail"]


@pytest.mark.parametrize("api", [False, True])
async def test_a_new_password(house: House, api: bool) -> None:
    """The password changes, this session goes on under a new id, and all others are revoked."""
    response = await house.account.post(house.visit("account", {"current": OLD, "new": NEW}, api=api))
    assert await house.knows(NEW)
    assert await house.states(house.current, house.other, house.bens) == ["replaced", "revoked", "live"]
    token = re.match(rb"__Host-demur=([^;]+);", value(response, b"set-cookie") or b"")
    assert token
    (renewed,) = await house.store.load([identify(token[1])])
    assert isinstance(renewed, Live)
    if api:
        assert (response.status, json.loads(response.body)["changed"]) == (200, True)
    else:
        assert (response.status, value(response, b"location")) == (303, b"/.demur/account?changed")


@pytest.mark.parametrize(
    ("current", "new", "status", "wrong"),
    [
        ("not mine", NEW, 403, {"current"}),
        ("not mine", "short", 403, {"current", "new"}),
        (OLD, "short", 422, {"new"}),
        (OLD, OLD, 422, {"new"}),
        (OLD, "password1234", 422, {"new"}),
        (OLD, "x" * 2000, 422, {"new"}),
        ("", NEW, 422, {"current"}),
        ("", "", 422, {"current", "new"}),
    ],
)
async def test_what_is_wrong_is_said_in_place(
    house: House, current: str, new: str, status: int, wrong: set[str]
) -> None:
    """Every error stands beside its field, all at once; nothing changes, and no password is sent back."""
    sent = {"current": current, "new": new}
    told = await house.account.post(house.visit("account", sent, api=True))
    assert told.status == status
    assert set(json.loads(told.body)["errors"]) == wrong
    assert await house.knows(OLD)
    assert (await house.states(house.other)) == ["live"]


async def test_errors_on_the_page(house: House) -> None:
    """The page announces the failure, ties each error to its field and gives no password back."""
    response = await house.account.post(house.visit("account", {"current": "not mine", "new": "short"}))
    shown = text(response)
    assert response.status == 403
    assert 'role="alert"' in shown
    for name in ("current", "new"):
        assert f'aria-describedby="{name}-error"' in shown
        assert f'id="{name}-error"' in shown
    assert "not mine" not in shown
    assert 'value="short"' not in shown
    assert "<title>Not changed" in shown


async def test_guessing_within_a_session_is_braked(house: House) -> None:
    """After some wrong tries the answer is to wait, and the session lives on."""
    statuses = []
    response = None
    for _ in range(12):
        response = await house.account.post(house.visit("account", {"current": "no", "new": NEW}))
        statuses.append(response.status)
    assert statuses[0] == 403
    assert statuses[-1] == 429
    assert response is not None
    assert int(value(response, b"retry-after") or b"0") > 0
    assert "tried too often" in text(response)
    assert await house.states(house.current) == ["live"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (StoreUnavailable("the disk is full", 7), "You are still signed in."),
        (NotInForce("nobody there", 7), "Your new password is saved."),
    ],
)
async def test_a_fault_of_ours_signs_nobody_out(
    house: House, fault: StoreUnavailable, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What we cannot store is our fault: the session goes on under its new id, and what became of it is told."""

    class Down:
        async def change_own_password(self, subject: str, encoded: str, keep: bytes) -> None:
            raise fault

    asked = AccountPage(Down(), house.hasher, house.sign_in)
    response = await asked.post(house.visit("account", {"current": OLD, "new": NEW}, api=True))
    assert response.status == 503
    assert value(response, b"retry-after") == b"7"
    assert told in json.loads(response.body)["detail"]
    assert "processed" not in json.loads(response.body)
    assert fault.cause in caplog.text
    token = (value(response, b"set-cookie") or b"").partition(b"=")[2].partition(b";")[0]
    assert isinstance((await house.store.load([identify(token)]))[0], Live)


async def test_a_session_that_was_renewed_meanwhile(house: House) -> None:
    """Of two changes at once the second one is told that its session has a new id, and changes nothing."""
    first = house.visit("account", {"current": OLD, "new": NEW}, api=True)
    second = house.visit("account", {"current": NEW, "new": "yet another four words"}, api=True)
    assert (await house.account.post(first)).status == 200
    response = await house.account.post(second)
    assert (response.status, json.loads(response.body)["reason"]) == (401, "session-replaced")
    assert await house.knows(NEW)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "a moment ago"),
        (119, "a moment ago"),
        (120, "2 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (86399, "23 hours ago"),
        (86400, "1 day ago"),
        (200000, "2 days ago"),
    ],
)
def test_ago(seconds: int, words: str) -> None:
    """Past times in words."""
    assert ago(seconds) == words
