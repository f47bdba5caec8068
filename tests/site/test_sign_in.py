"""Signing in and out on the running sites: by form and by script, rightly and wrongly, from here and from elsewhere."""

from __future__ import annotations

import json
import re
import secrets

import pytest
from tests.site.wire import CROSS_SITE, NAVIGATION, SCRIPT

JSON = ("Content-Type", "application/json")


def test_right_password(house):
    """303 to the page that was asked for, a new cookie with its attributes, and the page opens."""
    answer = house.sign_in(house.example.member, next_=f"{house.example.page}?tab=2")
    assert (answer.status, answer.value("location")) == (303, f"{house.example.page}?tab=2")
    assert answer.value("cache-control") == "no-store"
    attributes = {part.strip() for part in answer.cookies[house.cookie].split(";")[1:]}
    assert attributes == {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert house.page(house.example.page, house.token(answer)).status == 200


def test_a_new_id_at_every_sign_in(house):
    """A planted cookie is not the one that is signed in (no session fixation), and nor is the one of last time."""
    planted = house.mint()
    first = house.sign_in(house.example.member, token=planted)
    second = house.sign_in(house.example.member, token=house.token(first))
    assert len({planted, house.token(first), house.token(second)}) == 3
    assert house.script(house.example.api, planted).problem["reason"] == "credentials-invalid"
    assert house.script(house.example.api, house.token(first)).status == 401


def test_script(house):
    """A script signs in with JSON and is told who and until when."""
    body = {"username": house.example.member, "password": house.example.people[house.example.member]}
    answer = house.ask("POST", "/.demur/sign-in", [*SCRIPT, ("Origin", house.origin), JSON], json.dumps(body).encode())
    assert answer.status == 200
    told = json.loads(answer.body)
    assert told["name"] == house.example.member
    assert house.script(house.example.api, house.token(answer)).status == 200


def test_wrong_password(house):
    """401, the form again with the typed name and what was asked for, and no cookie."""
    answer = house.sign_in(house.example.member, "wrong", next_="/members/?tab=2")
    assert (answer.status, answer.problem["reason"]) == (401, "credentials-invalid")
    assert answer.challenge["error"] == "credentials-invalid"
    assert re.search(rf'<input[^>]* value="{house.example.member}"', answer.text)
    assert 'value="/members/?tab=2"' in answer.text
    assert "wrong" not in answer.text.partition("<form")[2].partition("</form>")[0]
    assert answer.values("set-cookie") == []


def test_unknown_disabled_and_wrong_are_one_answer(house):
    """The same status, fields and text, but for the reference and the name that was typed."""
    disabled = f"gone{secrets.token_hex(4)}"
    house.demur("user", "add", disabled, "--password-stdin", stdin="the right password")
    house.demur("user", "disable", disabled)
    known = f"here{secrets.token_hex(4)}"
    house.demur("user", "add", known, "--password-stdin", stdin="the right password")
    unknown = f"nope{secrets.token_hex(4)}"

    def said(name, password):
        answer = house.sign_in(name, password)
        text = answer.text.replace(name, "NAME").replace(answer.problem["instance"].removeprefix("urn:uuid:"), "REF")
        return answer.status, answer.without("content-length"), text

    assert said(unknown, "the wrong password") == said(known, "the wrong password")
    assert said(disabled, "the right password") == said(known, "the wrong password")
    assert house.sign_in(known, "the right password").status == 303


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/\t/evil.example",
        "/\r\nSet-Cookie: a=b",
        "\x00/",
        " //evil.example",
        "",
    ],
)
def test_next_is_a_path_on_this_site(house, target):
    """Anything else than a plain path of this site leads to the start page."""
    answer = house.sign_in(house.example.member, next_=target)
    assert (answer.status, answer.value("location")) == (303, "/")
    assert list(answer.cookies) == [house.cookie]


def test_next_of_the_form_page(house):
    """The same holds for `?next=` of the form's own page."""
    for target, leads in (("%2Fmembers%2F", "/members/"), ("%2F%2Fevil.example", "/"), ("%2F%5Cevil.example", "/")):
        answer = house.page(f"/.demur/sign-in?next={target}")
        assert re.search(rf'<input[^>]*name="next"[^>]*value="{re.escape(leads)}"', answer.text)
        assert "evil" not in answer.text


def test_sign_in_from_another_site(house):
    """Another site cannot sign anybody in here, neither with Sec-Fetch-Site nor, in an older browser, by Origin."""
    body = f"username={house.example.member}&password={house.example.people[house.example.member]}".encode()
    form = ("Content-Type", "application/x-www-form-urlencoded")
    older = [("Accept", "text/html"), ("Origin", "https://evil.example")]
    opaque = [("Accept", "text/html"), ("Origin", "null")]
    same_site = [*NAVIGATION[:1], ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "navigate")]
    for fields in (CROSS_SITE, older, opaque, same_site):
        answer = house.ask("POST", "/.demur/sign-in", [*fields, form], body)
        assert (answer.status, answer.problem["reason"]) == (403, "cross-site-refused")
        assert answer.values("set-cookie") == []


def test_sign_out_from_another_site(house):
    """Another site cannot sign anybody out."""
    token = house.signed_in(house.example.member)
    answer = house.ask("POST", "/.demur/sign-out", CROSS_SITE, token=token)
    assert (answer.status, answer.problem["reason"]) == (403, "cross-site-refused")
    assert house.script(house.example.api, token).status == 200


def test_a_link_signs_nobody_out(house):
    """GET asks first."""
    token = house.signed_in(house.example.member)
    assert house.page("/.demur/sign-out", token).status == 200
    assert house.script(house.example.api, token).status == 200


def test_sign_out(house):
    """Over on the server, the cookie taken away with the attributes it was set with, and a page that says so."""
    token = house.signed_in(house.example.member)
    answer = house.send("/.demur/sign-out", {}, token)
    assert answer.status == 303
    gone = {part.strip() for part in answer.cookies[house.cookie].split(";")}
    assert {"", "Path=/", "Max-Age=0"} <= gone
    assert house.page(answer.value("location")).status == 200
    again = house.script(house.example.api, token)
    assert (again.status, again.problem["reason"]) == (401, "session-ended")


def test_sign_out_with_a_dead_session(house):
    """Signing out when the session is over already works, and takes the cookie away."""
    token = house.signed_in(house.example.member)
    house.send("/.demur/sign-out", {}, token)
    answer = house.send("/.demur/sign-out", {}, token)
    assert answer.status == 303
    assert "Max-Age=0" in answer.cookies[house.cookie]


def test_throttled(house):
    """Too many wrong passwords for a name: 429 with Retry-After, and whoever is signed in stays so."""
    name = f"busy{secrets.token_hex(4)}"
    house.demur("user", "add", name, "--password-stdin", stdin="the right password")
    token = house.token(house.sign_in(name, "the right password"))
    answers = [house.sign_in(name, f"wrong {number}") for number in range(40)]
    limited = next(answer for answer in answers if answer.status != 401)
    assert (limited.status, limited.problem["reason"]) == (429, "too-many-attempts")
    assert int(limited.value("retry-after")) > 0
    assert house.script("/.demur/session", token).status == 200


def test_the_form_works_without_a_script(house):
    """Read the form as a browser without JavaScript would, send it as it stands, and follow it."""
    page = house.page(house.example.page).text
    found = re.search(r'<form[^>]*action="([^"]*)"[^>]*>.*?</form>', page, re.DOTALL)
    assert found
    form, action = found[0], found[1]
    values = dict(re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', form))
    values |= {"username": house.example.member, "password": house.example.people[house.example.member]}
    answer = house.send(action, values)
    assert (answer.status, answer.value("location")) == (303, house.example.page)


def test_keep_me_signed_in(house):
    """The cookie gets a Max-Age that outlives the session by the 30 days in which its end can still be told."""
    who = house.example.member
    values = {"username": who, "password": house.example.people[who], "keep": "on"}
    cookie = house.send("/.demur/sign-in", values).cookies[house.cookie]
    assert "Max-Age=2678400" in cookie


@pytest.mark.parametrize(
    "body", [b"\xff\xfe=1", b"username=a&username=b", b"{", b"[]", b'{"username": 1}', b"a" * 70000]
)
def test_bad_bodies(house, body):
    """What is not a form is refused as malformed; nothing breaks."""
    kind = "application/json" if body[:1] in (b"{", b"[") else "application/x-www-form-urlencoded"
    fields = [*SCRIPT, ("Origin", house.origin), ("Content-Type", kind)]
    answer = house.ask("POST", "/.demur/sign-in", fields, body)
    assert answer.status in {400, 401}
    assert answer.problem["reason"] in {"request-malformed", "credentials-invalid"}
