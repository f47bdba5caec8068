"""A decision in the words of HTTP, where the golden files do not say it already."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import NOW, SITE, make_request, make_site

from demur.core import fields, page, respond
from demur.core.model import Allow, AskSite, Details, Ends, Form, Refuse, Response, Subject
from demur.core.reasons import BASE, REASONS, Reason
from demur.core.site import Cors

UUID = "01920000-0000-7000-8000-000000000000"
BO = Subject("0192-bo", "bo", display_name="Bo <script>")


def said(reason: Reason, *, before: bool = True, **more: object) -> Response:
    """The answer for a reason."""
    request = make_request(target="/members/?a=1", **dict(more.pop("fields", {})))  # type: ignore[call-overload]
    details = more.pop("details", Details())
    assert isinstance(details, Details)
    refusal = respond.Refusal(SITE, request, Refuse(reason, details), UUID, before=before, **more)  # type: ignore[arg-type]
    return respond.refuse(refusal, page.DEFAULT)


@pytest.mark.parametrize("form", [Form.PAGE, Form.API])
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_in_both_forms(reason: Reason, form: Form) -> None:
    """Every reason of the table makes a whole answer: status, challenge where one is due, problem, no-store."""
    answer = said(reason, form=form, details=Details(subject=BO, retry_after=7))
    sent = dict(answer.fields)
    row = REASONS[reason]
    assert answer.status == row.status
    assert (b"www-authenticate" in sent) is (row.status == 401)
    assert sent[b"cache-control"] == b"no-store"
    assert sent[b"demur-processed"] == b"?0"
    assert int(sent[b"content-length"]) == len(answer.body)
    text = answer.body.decode()
    if form is Form.PAGE:
        assert "Bo <script>" not in text
        text = text.partition('<script type="application/problem+json">')[2].partition("</script>")[0]
    problem = json.loads(text)
    assert problem["type"] == BASE + reason
    assert (problem["status"], problem["title"], problem["reason"]) == (row.status, row.title, reason)
    assert problem["processed"] is False


def test_processed_is_only_for_what_came_before() -> None:
    """A refusal out of the app says nothing about whether it was processed."""
    answer = said(Reason.NOT_PERMITTED, before=False)
    assert b"demur-processed" not in dict(answer.fields)
    assert "processed" not in json.loads(answer.body)


def test_the_challenge_can_be_read_again() -> None:
    """The challenge is one, of our scheme, with a name that needs quoting."""
    site = make_site(name='Bo\'s "Club" \\ Größe')
    refusal = respond.Refusal(site, make_request(target="/x"), Refuse(Reason.SESSION_IDLE), UUID)
    value = dict(respond.refuse(refusal, page.DEFAULT).fields)[b"www-authenticate"]
    (challenge,) = fields.parse_challenges(value)
    assert challenge.scheme.lower() == "cookie"
    assert dict(challenge.params)["error"] == "session-idle"
    assert dict(challenge.params)["realm"].startswith('Bo\'s "Club" \\ Gr')


@pytest.mark.parametrize(
    ("next_", "kept"),
    [
        ("/", True),
        ("/a/b?c=d&e=f#g", True),
        ("/a%20b/%C3%B6", True),
        ("", False),
        ("a", False),
        ("//evil.example", False),
        ("///evil.example", False),
        ("/\\evil.example", False),
        ("\\\\evil.example", False),
        ("https://evil.example", False),
        ("javascript:alert(1)", False),
        ("/\t/evil.example", False),
        ("/\n/evil.example", False),
        ("/a\r\nSet-Cookie: x=y", False),
        (" /a", False),
        ("/größe", False),
        ('/"><script>', False),
    ],
)
def test_next_stays_on_this_site(next_: str, kept: bool) -> None:
    """After a sign-in nobody is led to another site, however that is spelt."""
    assert respond.local(next_) == (next_ if kept else "/")


@given(st.text(max_size=40))
def test_whatever_next_is_it_is_a_path(next_: str) -> None:
    """Every text becomes a path of visible ASCII that does not begin with two slashes."""
    path = respond.local(next_)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    path.encode("ascii")


@pytest.mark.parametrize(
    ("method", "referer", "leads"),
    [
        ("GET", None, "/members/?a=1"),
        ("HEAD", None, "/members/?a=1"),
        ("POST", None, "/"),
        ("POST", "https://app.example.com/form?x=1", "/form?x=1"),
        ("POST", "https://app.example.com.evil.example/form", "/"),
        ("POST", "https://evil.example/https://app.example.com/", "/"),
        ("POST", "https://app.example.com//evil.example/", "/"),
        ("DELETE", "http://app.example.com/form", "/"),
    ],
)
def test_where_a_sign_in_leads(method: str, referer: str | None, leads: str) -> None:
    """From a page back to it; from anything else to the page that asked, if it is of this site."""
    request = make_request(method, "/members/?a=1", **({"referer": referer} if referer else {}))
    refusal = respond.Refusal(SITE, request, Refuse(Reason.SIGN_IN_REQUIRED), UUID)
    assert respond.goes_on_to(refusal) == leads


@pytest.mark.parametrize("target", ["//evil.example/x?a://b", "/x?a=https://evil.example/", "https://evil.example/"])
@pytest.mark.parametrize("reason", [Reason.NOT_PERMITTED, Reason.REQUEST_MALFORMED, Reason.CROSS_SITE_REFUSED])
def test_no_address_makes_a_refusal_lead_away(target: str, reason: Reason) -> None:
    """The links of a page lead to pages of this site, whatever was asked for."""
    refusal = respond.Refusal(SITE, make_request(target=target), Refuse(reason), UUID, form=Form.PAGE)
    text = respond.refuse(refusal, page.DEFAULT).body.decode()
    links = re.findall(r'<a [^>]*href="([^"]*)"', text)
    assert "/" in links
    assert all(link.startswith("/") and not link.startswith("//") for link in links)


@pytest.mark.parametrize("target", ["/x", "/x?back=https://other.example/"])
def test_a_form_for_another_origin_leads_back_here(target: str) -> None:
    """Where people sign in elsewhere, the form says from which site they come, whatever the query says."""
    site = make_site(sign_in_origin="https://login.example.com", relatives=("https://login.example.com",))
    refusal = respond.Refusal(site, make_request(target=target), Refuse(Reason.SIGN_IN_REQUIRED), UUID, form=Form.PAGE)
    assert f'name="next" value="https://app.example.com{target}"' in respond.refuse(refusal, page.DEFAULT).body.decode()


SIGNED_IN = Allow(BO, ends=Ends(NOW + 600, NOW + 7200))


@pytest.mark.parametrize(
    ("control", "becomes"),
    [
        (None, b"private, no-cache"),
        (b"", b"private, no-cache"),
        (b"no-store", b"no-store"),
        (b"private, max-age=60", b"private, max-age=60"),
        (b"public, max-age=60", b"private, max-age=60"),
        (b"max-age=60, s-maxage=600", b"private, max-age=60"),
        (b"PUBLIC", b"private"),
        (b"no-cache", b"private, no-cache"),
        # "private" with names is about those fields only, and lets a shared cache keep the rest (RFC 9111, 5.2.2.7)
        (b'private="x-theirs", max-age=60', b"private, no-cache"),
        (b'no-cache="a, public", s-maxage=60', b"private, no-cache"),
        (b'no-store, private="a, b"', b"no-store"),
    ],
)
def test_no_shared_cache_keeps_what_needed_a_person(control: bytes | None, becomes: bytes) -> None:
    """An answer that needed a person is private, and says for whom it is and when the session ends."""
    answer = ((b"content-type", b"text/plain"), *(((b"cache-control", control),) if control is not None else ()))
    dressed = respond.dress(answer, SIGNED_IN, NOW)
    assert [value for name, value in dressed if name == b"cache-control"] == [becomes]
    assert dict(dressed)[b"server-timing"] == b'session;dur=600;desc="7200", subject;desc="%b"' % BO.id.encode()


@pytest.mark.parametrize(
    "name", [b"cdn-cache-control", b"cloudflare-cdn-cache-control", b"surrogate-control", b"x-accel-expires"]
)
def test_what_overrules_cache_control_goes(name: bytes) -> None:
    """A shared cache that obeys a field of its own would keep the page of one person for the next one."""
    answer = ((name, b"max-age=60"), (b"cache-control", b"private"))
    assert name not in dict(respond.dress(answer, SIGNED_IN, NOW))
    assert name in dict(respond.dress(answer, Allow(), NOW))


def test_what_needed_nobody_is_left_alone() -> None:
    """An open answer is the site's own, but for a claim that only we can make."""
    answer = ((b"cache-control", b"public"), (b"demur-processed", b"?0"))
    assert respond.dress(answer, Allow(), NOW) == ((b"cache-control", b"public"),)


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("https://partner.example", True),
        ("https://partner.example.evil.example", False),
        ("https://PARTNER.example", False),
        ("null", False),
        (None, False),
    ],
)
def test_only_listed_origins_are_named(origin: str | None, named: bool) -> None:
    """No origin is reflected that the site does not list."""
    request = make_request(target="/members/", **({"origin": origin} if origin else {}))
    lines = dict(respond.readable(SITE.cors, request))
    assert (b"access-control-allow-origin" in lines) is named
    answer = respond.preflight(SITE, replace(request, method="OPTIONS"))
    assert answer.status == 204
    assert (b"access-control-allow-methods" in dict(answer.fields)) is named


def test_cors_without_credentials() -> None:
    """A site that lets others read only what is public says so."""
    cors = Cors(frozenset(("https://partner.example",)), credentials=False)
    request = make_request(target="/members/", origin="https://partner.example")
    assert b"access-control-allow-credentials" not in dict(respond.readable(cors, request))


def test_a_framed_page_may_stand_in_a_frame_of_the_site() -> None:
    """Only the short text for a frame may be framed, and only by the site itself."""
    framed = dict(said(Reason.SIGN_IN_REQUIRED, form=Form.PAGE, fields={"sec_fetch_dest": "iframe"}).fields)
    whole = dict(said(Reason.SIGN_IN_REQUIRED, form=Form.PAGE).fields)
    assert b"frame-ancestors 'self'" in framed[b"content-security-policy"]
    assert b"frame-ancestors 'none'" in whole[b"content-security-policy"]


@pytest.mark.parametrize(
    ("origins", "told"),
    [
        (("http://localhost:8000",), "on the machine itself"),
        (("http://localhost:8000", "http://[::1]:8000", "http://127.0.0.1"), "on the machine itself"),
        (("https://app.example.com",), "Check the address."),
        (("http://localhost:8000", "https://app.example.com"), "Check the address."),
        (("http://localhost.example.com",), "Check the address."),
        ((), "Check the address."),
    ],
)
def test_somebody_at_another_address_is_told_what_to_do(origins: tuple[str, ...], told: str) -> None:
    """A site that is served to its own machine only says so; a link to localhost is no use elsewhere."""
    assert told in json.loads(said(Reason.HOST_UNKNOWN, origins=origins).body)["detail"]


def test_what_the_site_is_asked_for_in_place_of_what_is_concealed() -> None:
    """It is a page beside it with a name that is not used, and with the same query."""
    conceal = SITE.rules.match("GET", b"/inner/vault/7").requirement.conceal
    assert conceal is not None
    ask = respond.ask_site(SITE.rules, make_request(target="/inner/vault/7?a=1"), conceal, Allow(), "zz")
    assert ask == AskSite(b"/inner/zz/7?a=1", Allow())


@pytest.mark.parametrize(("asked", "form"), [(("pwd", "mfa"), b'name="password"'), (("mfa", "phr"), b"is not enough")])
def test_a_page_asks_for_what_would_do(asked: tuple[str, ...], form: bytes) -> None:
    """Where a password is strong enough there is its form; where it is not, the page says so."""
    answer = said(Reason.STEP_UP_REQUIRED, details=Details(subject=BO, acr_values=asked), form=Form.PAGE)
    assert form in answer.body
    assert (b'name="password"' in answer.body) is ("pwd" in asked)
