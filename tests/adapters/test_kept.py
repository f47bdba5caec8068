"""What somebody sends when their session is over, message by message: kept, offered, sent once."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from tests.core.support import NOW, make_site

from demur.adapters.asgi import Demur, Surface, keeping
from demur.core import kept, page
from demur.core.model import (
    Actor,
    End,
    Ending,
    Session,
    StoreUnavailable,
    Subject,
    UpstreamFailure,
)
from demur.core.reasons import Reason
from demur.core.sessions import identify, mint
from demur.guard import Guard
from demur.pages.kept import KeptPage
from demur.pages.router import Pages
from demur.signin import kept as signin_kept
from demur.signin.kept import KeptForms
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demur.core.site import Site

BO = Subject("0192-bo", "bo", frozenset(("staff",)), display_name="Bo")
EVA = Subject("0192-eva", "eva")
PAIRS = (b"content-type", b"application/x-www-form-urlencoded")
FORM = b"csrf_token=abcdef0123456789&note=Line+one%0D%0Aand+%C3%A4&empty="
BROWSER = (
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"navigate"),
    (b"origin", b"https://app.example.com"),
    (b"referer", b"https://app.example.com/members/form?draft=1"),
)
SAID = "What you entered is kept for 15 minutes"


class Store(MemoryStore):
    """A store that can go away for what is kept, and comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False

    async def put(self, key: bytes, value: bytes, until: int) -> None:
        """See `Store.put`."""
        self._ask()
        await super().put(key, value, until)

    async def peek(self, key: bytes, now: int) -> bytes | None:
        """See `Store.peek`."""
        self._ask()
        return await super().peek(key, now)

    def _ask(self) -> None:
        if self.down:
            raise StoreUnavailable("away")


class Answer:
    """An answer as it was sent."""

    def __init__(self, sent: Sequence[dict[str, Any]]) -> None:
        self.status: int = sent[0]["status"]
        self.fields: dict[bytes, bytes] = dict(sent[0]["headers"])
        self.body = b"".join(message.get("body", b"") for message in sent[1:])
        self.text = self.body.decode()

    @property
    def location(self) -> str:
        return self.fields[b"location"].decode()


class House:
    """A site with its people in front of it."""

    def __init__(self, site: Site | None = None) -> None:
        self.site = site or make_site()
        self.store, self.keys = Store(), MemoryKeys()
        self.now = NOW
        self.guard = Guard(self.site, self.store, self.keys, clock=lambda: float(self.now))
        self.forms = KeptForms(self.store)
        pages = Pages(self.guard, page.DEFAULT, KeptPage(self.forms).routes())
        self.demur = Demur(self.app, Surface(self.guard, pages, page.DEFAULT), kept=self.forms)
        self.passed: list[tuple[dict[bytes, bytes], str, bytes]] = []
        self.fault: Exception | None = None
        self.random = 0
        self.left: list[bytes | None] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.passed.append((dict(scope["headers"]), scope["path"], body))
        if self.fault is not None:
            raise self.fault
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]})
        await send({"type": "http.response.body", "body": b"done"})

    async def session(self, subject: Subject = BO, *, age: int = 60) -> bytes:
        """The cookie of a new session."""
        self.random += 1
        token = mint(bytes([self.random]) * 32, self.keys.ring().current)
        began = self.now - age
        await self.store.issue(
            Session(identify(token), subject.id, began, began, self.now - 60, began + 86400, idle=3600), subject
        )
        return b"__Host-demur=" + token.encode()

    async def ended(self, how: Ending = Ending.IDLE) -> bytes:
        """The cookie of a session that was."""
        cookie = await self.session()
        key = identify(cookie.partition(b"=")[2])
        await self.store.apply([End(key, how, Actor.SYSTEM, self.now)])
        return cookie

    async def ask(
        self,
        method: str,
        target: str,
        *lines: tuple[bytes, bytes],
        cookie: bytes = b"",
        body: bytes | Iterable[bytes | None] = b"",
    ) -> Answer:
        """Send a request."""
        path, _, query = target.partition("?")
        parts: list[bytes | None] = [body] if isinstance(body, bytes) else list(body)
        about = ((b"content-length", str(len(body)).encode()),) if isinstance(body, bytes) and body else ()
        more = ((b"cookie", cookie),) if cookie else ()
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "scheme": "https", "headers": [(b"host", b"app.example.com"), *lines, *about, *more],
            "client": ("192.0.2.1", 5), "extensions": {},
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            part = parts.pop(0) if parts else None
            if part is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.demur(scope, receive, send)
        self.left = parts
        return Answer(sent)

    async def post(self, body: bytes = FORM, *, cookie: bytes, kind: tuple[bytes, bytes] = PAIRS) -> Answer:
        """Send a form of the site."""
        return await self.ask("POST", "/members/new?a=1", *BROWSER, kind, cookie=cookie, body=body)

    async def get(self, target: str, *, cookie: bytes) -> Answer:
        """Open a page by following a link of the site."""
        return await self.ask("GET", target, *BROWSER[:2], cookie=cookie)

    async def press(self, offer: Answer, *typed: str, cookie: bytes, came: str = "/.demur/kept?next=/x") -> Answer:
        """Press the button that sends, as a browser does."""
        name, value = sending(offer)
        lines = [f"{name}={value}", *(f"demur-typed={each}" for each in typed), ""]
        fields = [*BROWSER[:3], (b"referer", f"https://app.example.com{came}".encode())]
        form = r'<form data-kept method="post" action="https://app\.example\.com([^"]+)" enctype="text/plain">'
        action = found(form, offer)
        content = "\r\n".join(lines).encode()
        return await self.ask("POST", action, *fields, (b"content-type", b"text/plain"), cookie=cookie, body=content)


def found(pattern: str, answer: Answer) -> str:
    match = re.search(pattern, answer.text)
    assert match is not None, answer.text
    return unescape(match[1])


def sending(offer: Answer) -> tuple[str, str]:
    return kept.SENDING.decode(), found(r'name="demur-kept" value="([^"]+)"', offer)


def where(refused: Answer) -> str:
    """Where the sign-in form of a refusal leads."""
    return found(r'name="next" value="([^"]+)"', refused)


@pytest.fixture
def house() -> House:
    """A site of today."""
    return House()


async def test_kept_offered_and_sent_once(house: House) -> None:
    """From the refusal to the site: the same bytes, the same type, the page that it came from, once."""
    refused = await house.post(cookie=await house.ended())
    assert refused.status == 401
    assert SAID in refused.text
    assert refused.fields[b"demur-processed"] == b"?0"
    assert '"kept":"/.demur/kept?of=' in refused.text
    assert house.passed == []

    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    assert offer.status == 200
    assert "Send what you entered?" in offer.text
    for shown in (
        "/members/form?draft=1",
        "/members/new?a=1",
        "csrf_token",
        "note",
        "Line one",
        "ä",
        "Send",
        "Discard",
    ):
        assert shown in offer.text
    assert b"form-action" not in offer.fields[b"content-security-policy"]
    assert house.passed == []  # never by itself

    assert (await house.press(offer, cookie=fresh)).body == b"done"
    ((fields, path, body),) = house.passed
    assert (path, body) == ("/members/new", FORM)
    assert fields[b"content-type"] == PAIRS[1]
    assert fields[b"content-length"] == str(len(FORM)).encode()
    assert fields[b"referer"] == b"https://app.example.com/members/form?draft=1"

    again = await house.press(offer, cookie=fresh)  # a reload, a second click
    assert (again.status, len(house.passed)) == (303, 1)
    told = await house.get(again.location, cookie=fresh)
    assert "This was sent" in told.text
    assert sending_is_gone(told)


def sending_is_gone(answer: Answer) -> bool:
    return "demur-kept" not in answer.text


async def test_files_are_sent_again(house: House) -> None:
    """Byte for byte, and the offer names them."""
    kind = (b"content-type", b"multipart/form-data; boundary=b")
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n'
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="<i>.png"\r\nContent-Type: image/png\r\n\r\n'
        + bytes(range(256)) * 8
        + b"\r\n--b--\r\n"
    )
    refused = await house.post(body, cookie=await house.ended(), kind=kind)
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    assert "&lt;i&gt;.png" in offer.text
    assert "a file of 2.0 kB" in offer.text
    await house.press(offer, cookie=fresh)
    assert [(fields[b"content-type"], content) for fields, _, content in house.passed] == [(kind[1], body)]


async def test_passwords_are_typed_again(house: House) -> None:
    """They are nowhere in the store, and go to the site as they are typed."""
    refused = await house.post(b"name=Bo&password=hush-hush&x=1", cookie=await house.ended())
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    assert "hush" not in offer.text
    assert 'type="password"' in offer.text
    await house.press(offer, "n=w & ä", cookie=fresh)
    assert [content for _, _, content in house.passed] == [b"name=Bo&password=n%3Dw+%26+%C3%A4&x=1"]


async def test_what_is_stored_tells_nothing(house: House) -> None:
    """Nobody who reads the store reads what was entered, whose it is, or where it went."""
    await house.post(b"note=something+private", cookie=await house.ended())
    values = b"".join(key + value for key, (value, _) in house.store._values.items())
    for told in (b"private", b"note", b"0192-bo", b"members", b"app.example.com"):
        assert told not in values


async def test_nobody_else_is_offered_it(house: House) -> None:
    """Somebody else who signs in here goes on to the page, sees nothing and can do nothing; it waits for its person."""
    refused = await house.post(cookie=await house.ended())
    eva, bo = await house.session(EVA), await house.session()
    nothing = await house.get(where(refused), cookie=eva)
    assert (nothing.status, nothing.location, nothing.body) == (303, "/members/form?draft=1", b"")
    offer = await house.get(where(refused), cookie=bo)
    assert (await house.press(offer, cookie=eva)).status == 303
    name, value = sending(offer)
    of, _, seal = value.partition(".")
    discard = f"of={of}&seal={seal}".encode()
    await house.ask("POST", "/.demur/kept", *BROWSER, PAIRS, cookie=eva, body=discard)
    assert name
    assert house.passed == []
    assert (await house.press(offer, cookie=bo)).body == b"done"


async def test_nobody_in_particular_is_asked_to_sign_in(house: House) -> None:
    """The page of the offer is somebody's; after the sign-in it comes back."""
    refused = await house.post(cookie=await house.ended())
    asked = await house.get(where(refused), cookie=b"")
    assert asked.status == 401
    assert where(asked) == where(refused)


async def test_impatience_sends_it_once(house: House) -> None:
    """However many presses arrive at once."""
    refused = await house.post(cookie=await house.ended())
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    answers = await asyncio.gather(*(house.press(offer, cookie=fresh) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [303] * 19
    assert len(house.passed) == 1


async def test_it_can_be_discarded(house: House) -> None:
    """Then it is gone, and its person goes on to the page."""
    refused = await house.post(cookie=await house.ended())
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    of, _, seal = sending(offer)[1].partition(".")
    said = f"of={of}&seal={seal}&next=%2Fmembers%2F".encode()
    gone = await house.ask("POST", "/.demur/kept", *BROWSER, PAIRS, cookie=fresh, body=said)
    assert (gone.status, gone.location) == (303, "/members/")
    assert (await house.get(where(refused), cookie=fresh)).status == 303
    assert (await house.press(offer, cookie=fresh)).status == 303
    assert house.passed == []


async def test_it_is_gone_after_a_quarter_of_an_hour(house: House) -> None:
    """To the second."""
    refused = await house.post(cookie=await house.ended())
    fresh = await house.session()
    house.now += kept.LASTS - 1
    offer = await house.get(where(refused), cookie=fresh)
    assert offer.status == 200
    house.now += 1
    assert (await house.get(where(refused), cookie=fresh)).status == 303
    assert (await house.press(offer, cookie=fresh)).status == 303
    assert house.passed == []


async def test_a_newer_form_takes_the_place_of_an_older_one(house: House) -> None:
    """One for a session; and what was not shown is not sent."""
    cookie, fresh = await house.ended(), await house.session()
    refused = await house.post(b"note=one", cookie=cookie)
    offer = await house.get(where(refused), cookie=fresh)
    assert where(await house.post(b"note=two", cookie=cookie)) == where(refused)
    shown = await house.press(offer, cookie=fresh, came=where(refused))
    assert (shown.status, shown.location) == (303, where(refused))
    newer = await house.get(shown.location, cookie=fresh)
    assert "two" in newer.text
    await house.press(newer, cookie=fresh)
    assert [content for _, _, content in house.passed] == [b"note=two"]


@pytest.mark.parametrize("how", [Ending.IDLE, Ending.EXPIRED, Ending.ENDED, Ending.REVOKED, Ending.REPLACED])
async def test_however_the_session_ended(house: House, how: Ending) -> None:
    """Each tombstone names its person; after a confirmation in another tab there is only a link."""
    refused = await house.post(cookie=await house.ended(how))
    assert SAID in refused.text
    if how is Ending.REPLACED:
        assert "open the page, and you can send it" in refused.text
        assert re.search(r'<a class="button" href="/\.demur/kept\?of=', refused.text)


async def test_before_a_step_up(house: House) -> None:
    """Whoever has to confirm who they are sends the form afterwards; sending it asks for no less."""
    refused = await house.ask("POST", "/admin/new", *BROWSER, PAIRS, cookie=await old(house), body=FORM)
    assert "confirm that it is you, and you can send it" in refused.text
    offer = await house.get(where(refused), cookie=await old(house))
    again = await house.press(offer, cookie=await old(house), came=where(refused))
    assert again.status == 401
    assert SAID not in again.text
    assert where(again) == where(refused)  # the page that it was sent from
    await house.press(offer, cookie=await admin(house))
    assert [path for _, path, _ in house.passed] == ["/admin/new"]


async def old(house: House) -> bytes:
    return await house.session(replace(BO, groups=frozenset(("admins",)), version=2), age=7200)


async def admin(house: House) -> bytes:
    return await house.session(replace(BO, groups=frozenset(("admins",)), version=2))


async def test_sending_is_judged_anew(house: House) -> None:
    """Who may not do it any more is refused, and it is still there."""
    refused = await house.ask("POST", "/staff/new", *BROWSER, PAIRS, cookie=await house.ended(), body=FORM)
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    await house.store.publish(replace(BO, groups=frozenset(), version=2))
    assert (await house.press(offer, cookie=fresh)).status == 403
    await house.store.publish(replace(BO, version=3))
    assert (await house.press(offer, cookie=fresh)).status == 200
    assert len(house.passed) == 1


@pytest.mark.parametrize(
    "lines",
    [
        ((b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate"), (b"origin", b"https://evil.example")),
        ((b"sec-fetch-site", b"same-site"), (b"sec-fetch-mode", b"navigate")),
        ((b"accept", b"text/html"),),
        ((b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"cors")),
    ],
)
async def test_nothing_is_kept_of_another_site(house: House, lines: tuple[tuple[bytes, bytes], ...]) -> None:
    """Nor of a program or a script."""
    refused = await house.ask("POST", "/members/new", *lines, PAIRS, cookie=await house.ended(), body=FORM)
    assert refused.status == 401
    assert SAID not in refused.text
    assert house.store._values == {}


@pytest.mark.parametrize("cookie", [b"", b"__Host-demur=made-up", b"__Host-demur=" + b"A" * 56])
async def test_nothing_is_kept_of_strangers(house: House, cookie: bytes) -> None:
    """Whoever holds no token that was good once."""
    refused = await house.post(cookie=cookie)
    assert (refused.status, house.store._values) == (401, {})
    assert SAID not in refused.text


@pytest.mark.parametrize("body", [b"{}", b"a=1;b=2", b"note=", b"%zz=1"])
async def test_nothing_is_kept_of_what_cannot_be_read(house: House, body: bytes) -> None:
    """Or of a form in which nothing was entered."""
    refused = await house.post(body, cookie=await house.ended())
    assert (refused.status, house.store._values) == (401, {})
    assert SAID not in refused.text


async def test_nothing_is_kept_where_the_site_does_not_want_it() -> None:
    """`keep_forms = false`."""
    house = House(make_site(keep_forms=False))
    refused = await house.post(cookie=await house.ended())
    assert (refused.status, house.store._values) == (401, {})


async def test_a_site_names_its_secrets() -> None:
    """`never_keep`."""
    house = House(make_site(never_keep=("note",)))
    refused = await house.post(cookie=await house.ended())
    offer = await house.get(where(refused), cookie=await house.session())
    assert "Line one" not in offer.text
    assert 'type="password"' in offer.text


@pytest.mark.parametrize("size", [kept.LONGEST, kept.LONGEST + 1])
async def test_what_is_too_long_is_not_kept(house: House, size: int) -> None:
    """256 kB, announced or not; the rest is dropped, and the answer is the same otherwise."""
    pieces = [b"note=" + b"x" * (size - 5 - 1000), b"x" * 1000, b""]
    chunked = (b"transfer-encoding", b"chunked")
    refused = await house.ask("POST", "/members/new", *BROWSER, PAIRS, chunked, cookie=await house.ended(), body=pieces)
    assert refused.status == 401
    assert (SAID in refused.text) is (size == kept.LONGEST)
    assert house.left == []


async def test_a_form_that_says_how_long_it_is_is_not_even_read(house: House) -> None:
    """The refusal comes first, as it does for anything else; the content is dropped afterwards."""
    body = b"note=" + b"x" * kept.LONGEST
    reading = []
    house.forms.keep = lambda *_: reading.append(1)  # type: ignore[method-assign,assignment]
    assert (await house.post(body, cookie=await house.ended())).status == 401
    assert reading == []


async def test_a_form_that_breaks_off_is_not_kept(house: House) -> None:
    """Its client is gone; nothing is stored, and nothing waits."""
    refused = await house.ask(
        "POST", "/members/new", *BROWSER, PAIRS, cookie=await house.ended(), body=[b"note=half", None]
    )
    assert (refused.status, house.store._values, house.forms.reading) == (401, {}, 0)


async def test_a_slow_form_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal comes when the time is up, and says nothing that is not so."""
    monkeypatch.setattr(keeping, "LONGEST_KEEP", 0.01)
    monkeypatch.setattr("demur.adapters.asgi.wire.LONGEST_DROP", 0.01)
    cookie = await house.ended()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"app.example.com"), *BROWSER, PAIRS, (b"content-length", b"99"), (b"cookie", cookie)]
    scope = {
        "type": "http", "method": "POST", "path": "/members/new", "raw_path": b"/members/new", "query_string": b"",
        "scheme": "https", "headers": headers, "client": ("192.0.2.1", 5), "extensions": {},
    }  # fmt: skip
    await house.demur(scope, receive, send)
    assert Answer(sent).status == 401
    assert SAID not in Answer(sent).text
    assert house.forms.reading == 0


async def test_only_so_many_are_read_at_once(house: House) -> None:
    """Beyond that a refusal is as it was."""
    house.forms.reading = signin_kept.MOST_AT_ONCE
    assert SAID not in (await house.post(cookie=await house.ended())).text


async def test_only_so_many_are_kept_of_one_person(house: House) -> None:
    """Whoever holds many tokens of sessions that were does not fill the store."""
    said = [SAID in (await house.post(cookie=await house.ended())).text for _ in range(signin_kept.MOST_OF_ONE + 1)]
    assert said == [True] * signin_kept.MOST_OF_ONE + [False]
    house.now += kept.LASTS
    assert SAID in (await house.post(cookie=await house.ended())).text


async def test_a_store_that_is_away_promises_nothing(house: House) -> None:
    """The refusal is the same, without the sentence."""
    cookie = await house.ended()
    house.store.down = True
    refused = await house.post(cookie=cookie)
    assert refused.status == 401
    assert SAID not in refused.text


async def test_a_store_that_is_away_when_it_is_to_be_sent(house: House) -> None:
    """It is our own failure, nothing is passed on, and it is still there afterwards."""
    refused = await house.post(cookie=await house.ended())
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    house.store.down = True
    away = await house.press(offer, cookie=fresh)
    assert (away.status, away.fields[b"demur-processed"]) == (503, b"?0")
    house.store.down = False
    assert (await house.press(offer, cookie=fresh)).body == b"done"
    assert len(house.passed) == 1


async def test_a_site_that_does_not_answer_loses_nothing(house: House) -> None:
    """Nobody knows whether it arrived, so its person decides, and is told."""
    refused = await house.post(cookie=await house.ended())
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    house.fault = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "refused")
    assert (await house.press(offer, cookie=fresh)).status == 502
    house.fault = None
    assert (await house.press(offer, cookie=fresh)).status == 303  # an old page knows nothing of this
    told = await house.get(where(refused), cookie=fresh)
    assert "Send it again?" in told.text
    assert "may have arrived" in told.text
    assert (await house.press(told, cookie=fresh)).body == b"done"
    assert [content for _, _, content in house.passed] == [FORM, FORM]


async def test_a_text_of_the_sites_own_passes(house: House) -> None:
    """A page of the site may send its forms as text; what is in them is not for us."""
    text = (b"content-type", b"text/plain")
    for body in (b"note=hello\r\n", b"x\r\ndemur-kept=y\r\n", b""):
        await house.ask("POST", "/members/text", *BROWSER, text, cookie=await house.session(), body=body)
    assert [content for _, _, content in house.passed] == [b"note=hello\r\n", b"x\r\ndemur-kept=y\r\n", b""]


async def test_a_word_to_send_never_reaches_the_site(house: House) -> None:
    """Whatever is in it: at another address, made up, or of another origin."""
    refused = await house.post(cookie=await house.ended())
    fresh = await house.session()
    offer = await house.get(where(refused), cookie=fresh)
    value = sending(offer)[1]
    text = (b"content-type", b"text/plain")
    for target, body in (
        ("/members/other", f"demur-kept={value}\r\n"),
        ("/public/x", f"demur-kept={value}\r\n"),
        ("/members/new?a=1", "demur-kept=x\r\n"),
        ("/members/new?a=1", f"demur-kept={value}\r\ndemur-typed=more\r\n"),
    ):
        answer = await house.ask("POST", target, *BROWSER, text, cookie=fresh, body=body.encode())
        assert answer.status == 303
    assert house.passed == []
    foreign = ((b"sec-fetch-site", b"cross-site"), *BROWSER[1:])
    refused = await house.ask("POST", "/members/new?a=1", *foreign, text, cookie=fresh, body=b"demur-kept=x\r\n")
    assert refused.status == 403


async def test_programs_are_told_too(house: House) -> None:
    """The same as JSON."""
    refused = await house.post(b"note=hi&password=hush", cookie=await house.ended())
    fresh = await house.session()
    script = ((b"sec-fetch-mode", b"cors"), (b"sec-fetch-site", b"same-origin"))
    told = await house.ask("GET", where(refused), *script, cookie=fresh)
    assert told.fields[b"content-type"] == b"application/json"
    assert '"fields":[{"name":"note","value":"hi"},{"name":"password","value":null}]' in told.text
    nothing = await house.ask("GET", "/.demur/kept?of=x", *script, cookie=fresh)
    assert (nothing.status, b'"not-found"' in nothing.body) == (404, True)
