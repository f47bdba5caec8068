"""The sign-in page for a dialog: framable, in the person's language, with the form whatever went wrong."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.support import NOW, SITE, make_request
from tests.pages.test_look import CHEAP

from demur import accounts, stores
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher
from demur.authenticators.throttle import Throttle, network
from demur.core import embedded, page, sessions, words
from demur.core.model import Actor, End, Ending, Live, Session
from demur.core.sessions import Limits
from demur.guard import Guard
from demur.pages.router import Pages
from demur.pages.signin import SignInPages
from demur.signin.password import PasswordSignIn
from demur.signin.sessions import Sessions
from demur.stores.keys import MemoryKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from demur.core.model import Response
    from demur.core.site import Site

LIMITS = Limits(1800, 28800)
FORM = "application/x-www-form-urlencoded"
LOGIN, APP = "https://login.example.com", "https://app.example.com"


class House:
    """A site with its sign-in pages, and two people."""

    def __init__(self, folder: Path, *, down: bool = False, site: Site = SITE) -> None:
        self.now = NOW
        self.site, self.keys, self.hasher = site, MemoryKeys(), Argon2Hasher(CHEAP)
        self.people = accounts.open(f"sqlite:{folder / 'accounts.db'}")
        # A file is no folder, so that store can never be opened.
        self.store = stores.open(f"sqlite:{folder / 'accounts.db' / 'sessions.db'}" if down else "memory:")
        self.throttle = Throttle(self.store)
        guard = Guard(site, self.store, self.keys, clock=lambda: float(self.now))
        held = Sessions(self.store, self.keys, LIMITS)
        sign_in = PasswordSignIn(self.people, self.hasher, self.throttle, held)
        routes = SignInPages(sign_in, held, page.DEFAULT, idle=LIMITS.idle).routes()
        self.pages = Pages(guard, page.DEFAULT, routes, idle=LIMITS.idle)

    async def ask(self, target: str, form: dict[str, str] | bytes | None = None, **more: str) -> Response:
        """A page of the prefix, as a browser asks for it inside a frame of the site."""
        sent = form if isinstance(form, bytes) else urlencode(form or {}).encode()

        async def read(most: int) -> bytes | None:
            return sent if len(sent) <= most else None

        fields = {
            "sec_fetch_mode": "navigate",
            "sec_fetch_site": "same-origin",
            "sec_fetch_dest": "iframe",
            "content_type": FORM,
        }
        method = "GET" if form is None else "POST"
        origin = self.site.sign_in_origin or self.site.origin
        request = make_request(
            method, f"/.demur/{target}", host=urlsplit(self.site.origin).netloc, **{**fields, **more}
        )
        assert origin
        return await self.pages.answer(request, read)

    async def begin(self, person: str = "bo", **more: Any) -> str:
        """The cookie of a new session."""
        account = await self.people.by_name(person)
        assert account is not None
        token = sessions.mint(secrets.token_bytes(32), self.keys.ring().current)
        session = Session(
            sessions.identify(token),
            account.subject.id,
            NOW - 60,
            NOW - 60,
            NOW - 60,
            NOW - 60 + LIMITS.absolute,
            LIMITS.idle,
        )
        await self.store.issue(replace(session, **more), account.subject)
        return f"__Host-demur={token}"

    async def live(self, cookie: str) -> Live:
        """What the store knows of a cookie's session."""
        (found,) = await self.store.load([sessions.identify(cookie.partition("=")[2])])
        assert isinstance(found, Live)
        return found

    async def end(self, cookie: str, how: Ending) -> None:
        """End a cookie's session."""
        await self.store.apply([End((await self.live(cookie)).session.id, how, Actor.SYSTEM, NOW - 10)])

    async def exhaust(self, person: str) -> None:
        """Try somebody's name until no more tries are taken."""
        account = await self.people.by_name(person)
        assert account is not None
        place = network("192.0.2.7")
        while await self.throttle.admit(account.subject.id, person, place, NOW) is None:
            await self.throttle.failed(account.subject.id, person, place, NOW)

    async def aclose(self) -> None:
        """Let go of everything."""
        await self.store.aclose()
        await self.people.aclose()
        self.hasher.close()


async def furnish(folder: Path) -> None:
    """Two people."""
    hasher, people = Argon2Hasher(CHEAP), accounts.open(f"sqlite:{folder / 'accounts.db'}")
    for name, shown in (("bo", "Bo <Berg>"), ("anna", "")):
        hashed = await hasher.hash(f"{name}'s password")
        await people.add(New(name, frozenset(), shown, "", hashed), by="test")
    await people.aclose()
    hasher.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The site."""
    await furnish(tmp_path)
    made = House(tmp_path)
    yield made
    await made.aclose()


def fields(answer: Response) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in answer.fields}


def text(answer: Response) -> str:
    """What stands in the page, as it reads."""
    body = re.sub(r"<(style|script)\b.*?</\1>", "", answer.body.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def title(answer: Response) -> str:
    (found,) = re.findall(r"<h1>(.*?)</h1>", answer.body.decode())
    return unescape(str(found))


def inputs(answer: Response) -> dict[str, str]:
    """Each input's name and what is filled in."""
    tags = re.findall(r"<input [^>]*>", answer.body.decode())
    values = {}
    for tag in tags:
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        values[attributes["name"]] = unescape(attributes.get("value", ""))
    return values


def action(answer: Response) -> str:
    (found,) = re.findall(r'<form method="post" action="([^"]*)"', answer.body.decode())
    return unescape(str(found))


def framable(answer: Response) -> bool:
    policy = fields(answer)["content-security-policy"]
    assert ("frame-ancestors 'self'" in policy) is not ("frame-ancestors 'none'" in policy)
    return "frame-ancestors 'self'" in policy


# --- framing --------------------------------------------------------------------------------------


async def test_this_page_alone_may_be_framed(house: House) -> None:
    """The site's own pages may frame the sign-in page for a dialog, and no other page; other origins none at all."""
    cookie = await house.begin()
    for target in ("sign-in?embed", "sign-in?embed&done", "sign-in?embed&popup&other&lang=ar", "sign-in?next=/&embed="):
        for sent in ("", cookie):
            answer = await house.ask(target, cookie=sent)
            assert (answer.status, framable(answer)) == (200, True)
            assert fields(answer)["cache-control"] == "no-store"
            assert b'<header class="top"' not in answer.body
    pages = (
        "sign-in",
        "sign-in?next=/embed",
        "sign-in?embedded",
        "sign-out?embed",
        "signed-out?embed",
        "session?embed",
    )
    for target in (*pages, "reasons/not-permitted?embed", "nothing?embed"):
        answer = await house.ask(target, cookie=cookie, sec_fetch_dest="document")
        assert answer.status == 200 or not framable(answer)
        if b"<html" in answer.body:
            assert not framable(answer)


FAILURES: dict[str, tuple[Any, dict[str, str], int, str]] = {
    "wrong": ({"password": "no"}, {}, 401, "The name or the password is not right."),
    "throttled": ({"password": "no"}, {}, 429, "Please wait "),
    "malformed": (b"username=bo&password=%ff", {}, 400, "What was sent could not be read. Please try again."),
    "cross-site": ({"password": "no"}, {"sec_fetch_site": "cross-site"}, 403, "so nothing was done. Please try again."),
    "down": ({"password": "no"}, {}, 503, "We cannot check your sign-in right now."),
    "down before the body is read": (
        {"password": "no"},
        {"cookie": "?"},
        503,
        "We cannot check your sign-in right now.",
    ),
}


@pytest.mark.parametrize("case", list(FAILURES))
async def test_what_fails_stays_inside(tmp_path: Path, case: str) -> None:
    """Whatever the trouble is, the dialog shows the form with the name that was typed, and what is wrong."""
    await furnish(tmp_path)
    house = House(tmp_path, down="down" in case)
    form, came, status, said = FAILURES[case]
    if case == "throttled":
        await house.exhaust("bo")
    if came.get("cookie"):
        token = sessions.mint(secrets.token_bytes(32), house.keys.ring().current)
        came = {"cookie": f"__Host-demur={token}"}
    sent = form if isinstance(form, bytes) else {"username": "bo", **form}
    answer = await house.ask("sign-in?embed&username=bo", sent, **came)
    assert (answer.status, framable(answer)) == (status, True)
    assert said in text(answer)
    assert '<p class="alert" role="alert" id="error">' in answer.body.decode()
    assert inputs(answer) == {"next": "", "username": "bo", "password": "", "keep": ""}
    assert action(answer) == "/.demur/sign-in?embed&username=bo"
    assert (' aria-invalid="true"' in answer.body.decode()) == (case == "wrong")
    assert ("retry-after" in fields(answer)) == (status in {429, 503})
    await house.aclose()


@pytest.mark.parametrize("case", ["wrong", "throttled", "down", "down before the body is read"])
async def test_what_was_typed_wins_over_the_address(tmp_path: Path, case: str) -> None:
    """The name in the form is the one that was sent last."""
    await furnish(tmp_path)
    house = House(tmp_path, down="down" in case)
    if case == "throttled":
        await house.exhaust("anna")
    cookie = (
        f"__Host-demur={sessions.mint(secrets.token_bytes(32), house.keys.ring().current)}" if "before" in case else ""
    )
    answer = await house.ask("sign-in?embed&username=bo", {"username": "anna", "password": "no"}, cookie=cookie)
    assert answer.status == FAILURES[case][2]
    assert inputs(answer)["username"] == "anna"
    await house.aclose()


async def test_a_failure_is_the_first_thing_that_is_read_out(house: House) -> None:
    """The title of the document begins with what went wrong, in the page's language."""
    answer = await house.ask("sign-in?embed&lang=de", {"username": "bo", "password": "no"})
    assert f"<title>Nicht angemeldet: Der Benutzername oder das Passwort ist nicht richtig. &middot; {SITE.name}" in (
        answer.body.decode()
    )


async def test_programs_are_answered_as_ever(house: House) -> None:
    """For a script the query changes nothing."""
    answer = await house.ask("sign-in?embed&lang=de", {"username": "bo", "password": "no"}, sec_fetch_mode="cors")
    assert fields(answer)["content-type"] == "application/problem+json"
    assert fields(answer)["content-language"] == "en"


# --- why it is there ------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "de", "ar"])
@pytest.mark.parametrize(
    "why",
    ["sign-in-required", "session-idle", "session-expired", "session-ended", "session-revoked", "credentials-invalid"],
)
async def test_the_title_says_why(house: House, why: str, lang: str) -> None:
    """Whoever holds a session that ended is told how; anybody else is asked to sign in."""
    cookie = {"sign-in-required": "", "credentials-invalid": "__Host-demur=x"}.get(why)
    if cookie is None:
        ended: dict[str, dict[str, Any]] = {
            "session-idle": {"last_seen": NOW - 1801},
            "session-expired": {"expires_at": NOW - 1},
        }
        cookie = await house.begin(**ended.get(why, {}))
        if why in {"session-ended", "session-revoked"}:
            await house.end(cookie, Ending(why.removeprefix("session-")))
    answer = await house.ask(f"sign-in?embed&lang={lang}", cookie=cookie)
    said = words.of(lang)
    assert title(answer) == said[f"title.{why}"]
    assert said[f"text.{why}"] in text(answer)


@pytest.mark.parametrize("how", ["idle", "expired", "ended", "revoked", "swept"])
async def test_whose_session_it_was_does_not_type_the_name_again(house: House, how: str) -> None:
    """The name is filled in for the browser that had the session, and for no other (WCAG 2.2, 3.3.7)."""
    gone: dict[str, dict[str, Any]] = {"idle": {"last_seen": NOW - 1801}, "expired": {"expires_at": NOW - 1}}
    cookie = await house.begin(**gone.get(how, gone["idle"] if how == "swept" else {}))
    if how in {"ended", "revoked"}:
        await house.end(cookie, Ending(how))
    if how == "swept":
        await house.store.sweep(NOW)
    assert inputs(await house.ask("sign-in?embed", cookie=cookie))["username"] == "bo"
    assert inputs(await house.ask("sign-in?embed&other", cookie=cookie))["username"] == ""
    assert inputs(await house.ask("sign-in?embed&username=anna", cookie=cookie))["username"] == "anna"
    assert inputs(await house.ask("sign-in?embed", cookie="__Host-demur=x"))["username"] == ""


async def test_who_is_disabled_is_not_named(house: House) -> None:
    """An account that is closed is nobody any more."""
    cookie = await house.begin()
    await house.end(cookie, Ending.REVOKED)
    await house.people.disable("bo", by="test")
    assert inputs(await house.ask("sign-in?embed", cookie=cookie))["username"] == ""


async def test_the_limit_is_stated(house: House) -> None:
    """People are told how long they may be inactive before they are (WCAG 2.2, 2.2.6)."""
    assert "You will be signed out after 30 minutes without activity." in text(await house.ask("sign-in?embed"))
    confirming = text(await house.ask("sign-in?embed&lang=zh", cookie=await house.begin()))
    assert words.of("zh")["idle"].replace("{time}", " 30 分钟") in confirming


# --- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", list(words.LANGUAGES))
async def test_it_speaks_the_language_asked_for(house: House, lang: str) -> None:
    """The document says which language it is in and in which direction it runs, and nothing in it is English."""
    cookie = await house.begin()
    english = {text for key, text in words.of("en").items() if len(text) > 12 and "{" not in text}
    asked = [
        await house.ask(f"sign-in?embed&lang={lang}&{more}", cookie=sent)
        for more in ("", "done", "other")
        for sent in ("", cookie)
    ]
    failed = [
        await house.ask(f"sign-in?embed&lang={lang}", {"username": name, "password": "x"}, cookie=sent)
        for name, sent in (("bo", ""), ("bo", cookie))
    ]
    for answer in (*asked, *failed):
        assert fields(answer)["content-language"] == lang
        head = answer.body.decode().partition("<head>")[0]
        assert f'<html lang="{lang}"' in head
        assert ('dir="rtl"' in head) == (lang == "ar")
        if lang != "en":
            assert [one for one in english if one in text(answer)] == []
        assert "{" not in text(answer)


async def test_what_nobody_speaks_is_english(house: House) -> None:
    """An unknown language is English, and the page says so."""
    answer = await house.ask("sign-in?embed&lang=tlh")
    assert fields(answer)["content-language"] == "en"
    assert title(answer) == "Sign in to continue"


async def test_the_script_has_its_words_from_the_page(house: House) -> None:
    """What the script says of the password stands beside the field, in the page's language."""
    body = (await house.ask("sign-in?embed&lang=fr")).body.decode()
    assert 'data-show="Afficher" data-hide="Masquer"' in body
    assert 'data-hide-label="Masquer le mot de passe"' in body
    assert 'data-on="Le verrouillage des majuscules est activé"' in body


# --- who is signed in -----------------------------------------------------------------------------


async def test_who_is_signed_in_confirms(house: House) -> None:
    """Whoever is signed in is asked for the password alone, whatever name the address has."""
    answer = await house.ask("sign-in?embed&username=anna", cookie=await house.begin())
    assert title(answer) == "Confirm that it is you"
    assert "Signed in as Bo <Berg>" in text(answer)
    assert inputs(answer) == {"next": "", "username": "bo", "password": ""}
    wrong = await house.ask("sign-in?embed", {"username": "bo", "password": "x"}, cookie=await house.begin())
    assert (wrong.status, title(wrong)) == (401, "Confirm that it is you")
    assert "The password is not right." in text(wrong)
    assert inputs(wrong) == {"next": "", "username": "bo", "password": ""}


async def test_confirming_too_often_still_asks_for_the_password(house: House) -> None:
    """Who has to wait before confirming again is still known."""
    cookie = await house.begin()
    answer = await house.ask("sign-in?embed", {"username": "bo", "password": "x"}, cookie=cookie)
    while answer.status == 401:
        answer = await house.ask("sign-in?embed", {"username": "bo", "password": "x"}, cookie=cookie)
    assert (answer.status, title(answer)) == (429, "Too many attempts")
    assert inputs(answer) == {"next": "", "username": "bo", "password": ""}


async def test_another_account(house: House) -> None:
    """Another account is a link away, and so is the way back; looking at the form signs nobody out."""
    cookie = await house.begin()
    answer = await house.ask("sign-in?embed&lang=es", cookie=cookie)
    (there,) = re.findall(r'<a href="/\.demur/(sign-in\?[^"]*)">Usar otra cuenta', answer.body.decode())
    other = await house.ask(unescape(there), cookie=cookie)
    assert inputs(other) == {"next": "", "username": "", "password": "", "keep": ""}
    (back,) = re.findall(r'<a href="/\.demur/(sign-in\?[^"]*)">Seguir como Bo &lt;Berg&gt;', other.body.decode())
    assert inputs(await house.ask(unescape(back), cookie=cookie))["username"] == "bo"
    assert (await house.live(cookie)).subject.name == "bo"
    # a wrong password is about that other account, and the whole form stays
    wrong = await house.ask(unescape(there), {"username": "anna", "password": "x"}, cookie=cookie)
    assert inputs(wrong)["username"] == "anna"
    assert "The name or the password" not in text(wrong)
    done = await house.ask(unescape(there), {"username": "anna", "password": "anna's password"}, cookie=cookie)
    assert fields(done)["location"] == "/.demur/sign-in?embed&done&lang=es"
    assert fields(done)["clear-site-data"] == '"storage"'


async def test_confirming_begins_the_whole_session_anew(house: House) -> None:
    """A confirmed password is a sign-in like any other: both limits begin anew, under a new id."""
    cookie = await house.begin(expires_at=NOW + 60)
    answer = await house.ask("sign-in?embed", {"username": "bo", "password": "bo's password"}, cookie=cookie)
    assert answer.status == 303
    assert "clear-site-data" not in fields(answer)
    new = (await house.live(fields(answer)["set-cookie"].partition(";")[0])).session
    assert (new.expires_at, new.last_seen, new.authenticated_at) == (NOW + LIMITS.absolute, NOW, NOW)


async def test_whoever_loses_the_race_is_signed_in_too(house: House) -> None:
    """Where two windows confirm at once, the slower one is sent on: this browser has the new id already."""
    cookie = await house.begin()
    right = {"username": "bo", "password": "bo's password"}
    answers = await asyncio.gather(*(house.ask("sign-in?embed", right, cookie=cookie) for _ in range(2)))
    assert [(one.status, fields(one)["location"]) for one in answers] == [(303, "/.demur/sign-in?embed&done")] * 2
    assert ["set-cookie" in fields(one) for one in answers].count(True) == 1


# --- done -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "on"), [("embed", "embed&done"), ("embed&popup&lang=de-AT&username=bo", "embed&popup&done&lang=de")]
)
async def test_success(house: House, query: str, on: str) -> None:
    """A sign-in leads to a small page that says so, and tells the other tabs; a popup closes."""
    answer = await house.ask(f"sign-in?{query}", {"username": "bo", "password": "bo's password", "next": "/elsewhere"})
    assert (answer.status, fields(answer)["location"]) == (303, f"/.demur/sign-in?{on}")
    cookie = fields(answer)["set-cookie"].partition(";")[0]
    done = await house.ask(f"sign-in?{on}", cookie=cookie)
    said = words.of("de" if "de" in query else "en")
    assert text(done).endswith(f"{said['title.done']} {said['text.done']}")
    assert b' data-says="signed-in"' in done.body
    assert (b" data-closes" in done.body) == ("popup" in query)
    assert b"<form" not in done.body


async def test_nobody_is_told_that_they_are_signed_in_who_is_not(house: House) -> None:
    """The page after signing in shows the form to whoever is not; if it comes from the form, the cookie was lost."""
    for sent in ("__Host-demur=x", ""):
        answer = await house.ask("sign-in?embed&done", cookie=sent, sec_fetch_site="none")
        assert b"<form" in answer.body
        assert b"data-says" not in answer.body
        assert b'role="alert"' not in answer.body
    answer = await house.ask("sign-in?embed&done")
    assert b"data-says" not in answer.body
    assert "Your browser did not keep the sign-in. Allow cookies for this site, then sign in again." in text(answer)


# --- many sites -----------------------------------------------------------------------------------


async def test_where_people_sign_in_elsewhere(tmp_path: Path) -> None:
    """No page of another origin can be framed, so there is a link to it, in a window of its own, and a way back."""
    await furnish(tmp_path)
    app = House(tmp_path, site=replace(SITE, origin=APP, sign_in_origin=LOGIN))
    login = House(tmp_path, site=replace(SITE, origin=LOGIN, relatives=(APP,)))
    answer = await app.ask("sign-in?embed&lang=de&username=bo")
    assert (answer.status, framable(answer)) == (200, True)
    assert b"<form" not in answer.body
    assert "Sie melden sich bei login.example.com an, in einem eigenen Fenster." in text(answer)
    ((link, rest),) = re.findall(r'<a class="button" href="([^"]*)"([^>]*)>', answer.body.decode())
    assert rest == ' target="_blank" rel="opener" data-popup'
    there = urlsplit(unescape(link))
    assert f"{there.scheme}://{there.netloc}" == LOGIN
    form = await login.ask(f"{there.path.removeprefix('/.demur/')}?{there.query}")
    assert inputs(form)["username"] == "bo"
    back = f"{APP}/.demur/sign-in?embed&popup&done&lang=de&username=bo"
    assert inputs(form)["next"] == back
    policy = fields(form)["content-security-policy"]
    assert f"form-action 'self' {APP};" in policy
    wrong = await login.ask(action(form).removeprefix("/.demur/"), {**inputs(form), "password": "x"})
    assert (wrong.status, inputs(wrong)["next"], framable(wrong)) == (401, back, True)
    done = await login.ask(action(wrong).removeprefix("/.demur/"), {**inputs(wrong), "password": "bo's password"})
    assert (done.status, fields(done)["location"]) == (303, back)
    for house in (app, login):
        await house.aclose()


async def test_a_refusal_where_people_sign_in_elsewhere(tmp_path: Path) -> None:
    """What goes wrong there keeps the link."""
    await furnish(tmp_path)
    app = House(tmp_path, site=replace(SITE, origin=APP, sign_in_origin=LOGIN))
    answer = await app.ask("sign-in?embed", {"username": "bo"}, sec_fetch_site="cross-site")
    assert (answer.status, framable(answer)) == (403, True)
    assert "Sign in at login.example.com" in text(answer)
    assert "so nothing was done" in text(answer)
    await app.aclose()


# --- hostile --------------------------------------------------------------------------------------

HOSTILE = st.one_of(
    st.text(max_size=400),
    st.sampled_from(
        [
            '"><script>alert(1)</script>',
            "{{next}}",
            "{time}",
            "javascript:alert(1)",
            "\r\nset-cookie: a=b",
            "a\u202eb",
            "x" * 5000,
        ]
    ),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for a house that nobody signs in at."""
    return tmp_path_factory.mktemp("hostile")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=settings().max_examples * 3 // 2,
)
@given(
    lang=HOSTILE,
    username=HOSTILE,
    next_=HOSTILE,
    more=st.lists(st.sampled_from(["embed", "popup", "done", "other", "&&", "%", "%ff", "=", "embed=%00"]), max_size=8),
)
async def test_hostile_queries(shared: Path, lang: str, username: str, next_: str, more: list[str]) -> None:
    """Whatever stands in the address is text in the page, never a field, an element, or a way off the site."""
    query = f"embed&lang={quote(lang)}&username={quote(username)}&next={quote(next_)}&{'&'.join(more)}"
    asked = embedded.asked(SITE, make_request("GET", f"/.demur/sign-in?{query}"))
    house = House(shared)
    answer = await house.ask(f"sign-in?{query}")
    assert answer.status == 200
    assert asked is not None
    assert asked.lang in words.LANGUAGES
    assert asked.username in {username, ""}
    assert len(asked.username) <= embedded.LONGEST_NAME
    assert asked.username.isprintable()
    assert answer.body.decode().count("<script") == 1
    assert inputs(answer) == {"next": "", "username": asked.username, "password": "", "keep": ""}
    assert all(b"\r" not in value and b"\n" not in value for _, value in answer.fields)
    form = urlsplit(action(answer))
    assert (form.scheme, form.netloc, form.path) == ("", "", "/.demur/sign-in")
    again = embedded.asked(SITE, make_request("POST", action(answer)))
    assert again == replace(asked, done=False)
    assert set(parse_qs(form.query, keep_blank_values=True)) <= {"embed", "popup", "other", "lang", "username"}
    await house.aclose()


async def test_too_many_parameters_are_none(house: House) -> None:
    """An address with more parameters than anybody has is for the ordinary page, which nobody may frame."""
    answer = await house.ask("sign-in?embed&" + "&".join("a" * 100))
    assert (answer.status, framable(answer)) == (200, False)
