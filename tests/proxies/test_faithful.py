"""What people get through each real proxy with the recipe as it is printed, and what the app behind it gets.

One row a proxy and behaviour. What a proxy cannot do stands in cannot.toml with its reason, and has to fail here.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import sqlite3
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from tests.proxies.real import CORS, FRONT, PROXIES, UNTESTED, Stand, behind
from tests.proxies.recorder import ID, Reply
from tests.proxies.websocket import opened, say
from tests.site.wire import CROSS_SITE, NAVIGATION, SCRIPT, Answer

from demur.authenticators.assertions.verifying import Verifier
from demur.core.model import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.proxies.recorder import Seen

pytestmark = [pytest.mark.proxies, pytest.mark.slow]

Behaviour: TypeAlias = "Callable[[Stand], None]"
BEHAVIOURS: dict[str, Behaviour] = {}
CANNOT: Mapping[tuple[str, str], str] = {
    (entry["proxy"], entry["behaviour"]): entry["reason"]
    for entry in tomllib.loads((Path(__file__).parent / "cannot.toml").read_text()).get("cannot", [])
}
MEGABYTE = 1 << 20
TOKEN = "demur_" + "x" * 48


def behaviour(check: Behaviour) -> Behaviour:
    """Put a check into the table, under its name."""
    BEHAVIOURS[check.__name__] = check
    return check


def test_the_exceptions_are_about_something() -> None:
    """Every entry of cannot.toml names a proxy and a behaviour that there are, and says why."""
    for (proxy, name), reason in CANNOT.items():
        assert proxy in PROXIES
        assert name in BEHAVIOURS
        assert len(reason) > 20


# --- refusals ---------------------------------------------------------------------------------------


def is_whole(answer: Answer, status: int, reason: str) -> None:
    """A refusal that lost nothing on its way: status, problem, one challenge or none, and that it is not kept."""
    assert answer.status == status, answer.text[:300]
    assert answer.problem["reason"] == reason
    assert answer.problem["processed"] is False
    assert answer.value("demur-processed") == "?0"
    assert answer.value("cache-control") == "no-store"
    challenges = answer.values("www-authenticate")
    assert len(challenges) == (1 if status == 401 else 0), challenges
    assert answer.value("content-security-policy")
    vary = (answer.value("vary") or "").replace(" ", "").split(",")
    assert {"Cookie", "Accept", "Sec-Fetch-Mode"} <= set(vary)


@behaviour
def nobody_gets_401(stand: Stand) -> None:
    """Status, problem, the challenge once; and the app hears nothing."""
    answer, seen = stand.try_("GET", "/members/x?y=1")
    is_whole(answer, 401, "sign-in-required")
    assert answer.challenge["form-action"] == "/.demur/sign-in"
    assert 'rel="help"' in (answer.value("link") or "")
    assert seen == []


@behaviour
def two_challenges_are_two_lines(stand: Stand) -> None:
    """A field line for each, as RFC 9110, 11.6.1 asks for where readers see only the first."""
    answer, seen = stand.try_("GET", "/api/x")
    assert (answer.status, seen) == (401, [])
    cookie, bearer = sorted(answer.values("www-authenticate"), reverse=True)
    assert cookie.startswith("Cookie realm=")
    assert bearer.startswith("Bearer realm=")


@behaviour
def a_token_stays_here(stand: Stand) -> None:
    """What looks like one of demur's tokens never reaches the app; a wrong one gets RFC 6750's words."""
    said = ("Authorization", f"Bearer {TOKEN}")
    answer, seen = stand.try_("GET", "/api/x", said)
    assert (answer.status, seen) == (401, [])
    assert 'error="invalid_token"' in " ".join(answer.values("www-authenticate"))
    _, seen_ = passed(stand.try_("GET", "/public/x", said))
    assert not seen_.value("authorization")


@behaviour
def the_wrong_person_gets_403(stand: Stand) -> None:
    """Status and problem, and no challenge."""
    answer, seen = stand.try_("GET", "/staff/", token=stand.session("bob")[0])
    is_whole(answer, 403, "not-permitted")
    assert seen == []


@behaviour
def what_is_meant_for_somebody_else_gets_412(stand: Stand) -> None:
    """`Demur-Subject` reaches the decision as the client sent it, and never the app."""
    token, ann = stand.session("ann")
    mine, others = ("Demur-Subject", ann.subject), ("Demur-Subject", stand.session("bob")[1].subject)
    for target in ("/members/x", "/hello/x"):
        _, seen = passed(stand.try_("POST", target, mine, token=token, body=b"a=1"))
        assert not seen.value("demur-subject")
        assert not seen.value("demur_subject")
        for said in ([others], [mine, others], [mine, mine], [("Demur-Subject", "")]):
            answer, seen_ = stand.try_("POST", target, *said, token=token, body=b"a=1")
            is_whole(answer, 412, "subject-changed")
            assert seen_ == []
    answer, seen_ = stand.try_("POST", "/.demur/session/extend", others, token=token)
    assert (answer.status, answer.problem["reason"]) == (412, "subject-changed")
    _, seen = passed(stand.try_("GET", "/public/x", others, token=token))
    assert not seen.value("demur-subject")


@behaviour
def an_ended_session_says_whose_it_was(stand: Stand) -> None:
    """To whoever holds its id."""
    token, session = stand.session("ann")
    stand.end(session, Ending.ENDED)
    answer, _ = stand.try_("GET", "/members/x", token=token)
    assert (answer.problem["reason"], answer.problem["subject"]) == ("session-ended", session.subject)


@behaviour
def the_files_of_the_client_are_there(stand: Stand) -> None:
    """As they are and packed, and not again if they are still the same; with no cookie or any."""
    plain = stand.ask("GET", "/.demur/client/reasons.js", [*SCRIPT, ("Cookie", f"{stand.cookie}=x")])
    assert (plain.status, plain.value("content-type")) == (200, "text/javascript; charset=utf-8")
    assert plain.value("cache-control") == "no-cache"
    packed = stand.ask("GET", "/.demur/client/reasons.js", [*SCRIPT, ("Accept-Encoding", "gzip")])
    assert (packed.value("content-encoding"), gzip.decompress(packed.body)) == ("gzip", plain.body)
    for answer, coding in ((plain, ()), (packed, (("Accept-Encoding", "gzip"),))):
        tag = ("If-None-Match", answer.value("etag") or "")
        again = stand.ask("GET", "/.demur/client/reasons.js", [*SCRIPT, *coding, tag])
        assert (again.status, again.body) == (304, b"")
    assert stand.ask("GET", "/.demur/client/nothing.js").status == 404


@behaviour
def a_stale_sign_in_gets_401_step_up(stand: Stand) -> None:
    """RFC 9470's words arrive."""
    token, _ = stand.session("ann", authenticated_at=int(time.time()) - 3600)
    answer, seen = stand.try_("GET", "/fresh/", token=token)
    is_whole(answer, 401, "step-up-required")
    assert answer.challenge["error"] == "insufficient_user_authentication"
    assert answer.challenge["max_age"] == "900"
    assert seen == []


@behaviour
def a_page_gets_the_form(stand: Stand) -> None:
    """A navigation gets the sign-in form in place, which leads back to what was asked for."""
    answer, seen = stand.try_("GET", "/members/x?y=1", fields=NAVIGATION)
    is_whole(answer, 401, "sign-in-required")
    assert answer.value("content-type") == "text/html; charset=utf-8"
    assert 'action="/.demur/sign-in"' in answer.text
    assert 'value="/members/x?y=1"' in answer.text
    assert seen == []


@behaviour
def head_is_refused_without_content(stand: Stand) -> None:
    """HEAD gets the fields of GET, the length included, and no content."""
    head, seen = stand.try_("HEAD", "/members/x")
    get, _ = stand.try_("GET", "/members/x")
    assert (head.status, head.body, seen) == (401, b"", [])
    changes = ("date", "connection", "keep-alive", "server")
    assert head.without(*changes) == get.without(*changes)


@behaviour
def post_is_refused_as_post(stand: Stand) -> None:
    """The method is kept, and the content goes nowhere."""
    answer, seen = stand.try_("POST", "/members/x", body=b"typed for an hour")
    is_whole(answer, 401, "sign-in-required")
    assert seen == []


@behaviour
def a_large_upload_reads_its_401(stand: Stand) -> None:
    """A client that sends all of it first, and only then listens, hears the 401 and not a broken pipe."""
    answer, seen = stand.try_("POST", "/members/x", body=bytes(16 * MEGABYTE))
    is_whole(answer, 401, "sign-in-required")
    assert seen == []


@behaviour
def a_foreign_page_reads_the_refusal(stand: Stand) -> None:
    """Pages of a listed origin may read a refusal, others may not."""
    fields = [*SCRIPT[:1], ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")]
    answer, _ = stand.try_("GET", "/members/x", ("Origin", FRONT), fields=fields)
    assert answer.status == 401
    assert answer.value("access-control-allow-origin") == FRONT
    assert "WWW-Authenticate" in (answer.value("access-control-expose-headers") or "")
    answer, _ = stand.try_("GET", "/members/x", ("Origin", "https://evil.example"), fields=fields)
    assert answer.status == 401
    assert answer.value("access-control-allow-origin") is None


@behaviour
def a_preflight_is_answered(stand: Stand) -> None:
    """From the site's table, without asking who it is; the app hears nothing."""
    asked = (("Origin", FRONT), ("Access-Control-Request-Method", "PUT"))
    answer, seen = stand.try_("OPTIONS", "/members/x", *asked, fields=[("Accept", "*/*")])
    assert answer.status in {200, 204}
    assert answer.value("access-control-allow-origin") == FRONT
    assert "PUT" in (answer.value("access-control-allow-methods") or "")
    assert seen == []
    evil = (("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PUT"))
    answer, seen = stand.try_("OPTIONS", "/members/x", *evil, fields=[("Accept", "*/*")])
    assert answer.value("access-control-allow-origin") is None
    assert seen == []


@behaviour
def options_alone_is_an_ordinary_request(stand: Stand) -> None:
    """Only a preflight is one."""
    answer, seen = stand.try_("OPTIONS", "/members/x", ("Origin", FRONT), fields=[("Accept", "*/*")])
    assert (answer.status, seen) == (401, [])


@behaviour
def each_end_of_a_session_has_its_reason(stand: Stand) -> None:
    """Idle, too old, revoked, signed out elsewhere: each says so."""
    now = int(time.time())
    idle, _ = stand.session("ann", last_seen=now - 7200, issued_at=now - 7300, authenticated_at=now - 7300)
    old, _ = stand.session("ann", expires_at=now - 10, issued_at=now - 86400, authenticated_at=now - 86400)
    revoked, session = stand.session("ann")
    stand.end(session, Ending.REVOKED)
    for token, reason in ((idle, "session-idle"), (old, "session-expired"), (revoked, "session-revoked")):
        answer, seen = stand.try_("GET", "/members/x", token=token)
        is_whole(answer, 401, reason)
        assert answer.challenge["error"] == reason
        assert seen == []


@behaviour
def a_made_up_session_gets_401(stand: Stand) -> None:
    """And what the refusal does with the cookie arrives as demur sent it."""
    answer, seen = stand.try_("GET", "/members/x", token=stand.mint())
    is_whole(answer, 401, "credentials-invalid")
    assert seen == []


@behaviour
def an_unknown_host_is_421(stand: Stand) -> None:
    """The proxy serves nobody under a name that is not the site's."""
    answer = stand.raw(b"GET /members/x HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in {b"421", b"404"}, answer[:300]
    assert stand.upstream.seen() == []


@behaviour
def a_host_of_another_port_is_not_served(stand: Stand) -> None:
    """What a browser would call another origin is not this site."""
    answer = stand.raw(b"GET /public/x HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in {b"421", b"404"}, answer[:300]
    assert stand.upstream.seen() == []


# --- demur's own pages ------------------------------------------------------------------------------


@behaviour
def people_sign_in_and_out(stand: Stand) -> None:
    """The form works, its cookies arrive as they were set, and signing out is real."""
    answer = stand.sign_in("ann", next_="/members/x")
    assert (answer.status, answer.value("location")) == (303, "/members/x")
    attributes = answer.cookies[stand.cookie].lower()
    assert "httponly" in attributes
    assert ("secure" in attributes) == (stand.context is not None)
    token = stand.token(answer)
    assert stand.try_("GET", "/members/x", token=token)[0].status == 200
    left = stand.send("/.demur/sign-out", {}, token)
    assert left.status == 303
    answer, seen = stand.try_("GET", "/members/x", token=token)
    is_whole(answer, 401, "session-ended")
    assert seen == []


@behaviour
def a_wrong_password_is_401_with_the_form(stand: Stand) -> None:
    """And what was typed as a name is kept."""
    answer = stand.sign_in("ann", "wrong")
    assert answer.status == 401
    assert len(answer.values("www-authenticate")) == 1
    assert 'value="ann"' in answer.text


@behaviour
def another_site_cannot_post_the_form(stand: Stand) -> None:
    """The check for other sites sees what the browser said."""
    answer = stand.ask("POST", "/.demur/sign-out", CROSS_SITE, b"", token=stand.session("ann")[0])
    assert answer.status == 403
    assert answer.problem["reason"] == "cross-site-refused"


@behaviour
def the_check_is_not_there_for_others(stand: Stand) -> None:
    """Neither question nor second step can be reached from outside, under whatever name."""
    forged = (("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/public/"), ("X-Forwarded-Host", stand.host))
    own = ("/.demur/check", "/.demur/refusal", "/.demur/check?answer=fields", "/.demur/ready", "/.demur/health")
    for target in ("/check", "/check?answer=fields", "/refusal", "/health", "/ready", "/demur-check", *own):
        answer, seen = stand.try_("GET", target, *forged, ("X-Forwarded-Proto", "http"))
        assert answer.status in {401, 404}, target
        assert not answer.values("remote-user"), target
        assert not answer.values("remote-subject"), target
        assert not answer.values("demur-refusal"), target
        assert seen == [], target


# --- what is allowed --------------------------------------------------------------------------------


def passed(result: tuple[Answer, list[Seen]], status: int = 200) -> tuple[Answer, Seen]:
    """The answer and the one request that the app got."""
    answer, seen = result
    assert answer.status == status, answer.text[:300]
    assert len(seen) == 1
    return answer, seen[0]


@behaviour
def the_answer_arrives_whole(stand: Stand) -> None:
    """Status, fields, several cookies and the content, as the app sent them."""
    fields = [
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2"),
        ("Retry-After", "7"),
        ("X-Own", "it"),
        ("ETag", '"z"'),
    ]
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        reply = Reply(203, fields, b"whole")
        answer, seen = passed(
            stand.try_(method, "/public/x", body=b"sent" if method != "GET" else b"", reply=reply), 203
        )
        assert answer.body == b"whole"
        assert answer.values("set-cookie") == ["a=1; Path=/", "b=2"]
        assert (answer.value("retry-after"), answer.value("x-own"), answer.value("etag")) == ("7", "it", '"z"')
        assert (seen.method, seen.body) == (method, b"sent" if method != "GET" else b"")


@behaviour
def head_is_passed_on(stand: Stand) -> None:
    """As HEAD, and answered without content."""
    answer, seen = passed(stand.try_("HEAD", "/public/x", reply=Reply(200, [("X-Own", "it")])))
    assert (answer.body, answer.value("x-own"), seen.method) == (b"", "it", "HEAD")


@behaviour
def the_apps_own_errors_stay(stand: Stand) -> None:
    """Nobody mistakes the app's no for demur's, or for a broken check."""
    for status in (404, 409, 429, 500, 503):
        answer, _ = passed(stand.try_("GET", "/public/x", reply=Reply(status, [("X-Own", "it")], b"mine")), status)
        assert (answer.body, answer.value("x-own")) == (b"mine", "it")


@behaviour
def the_apps_own_refusals_stay(stand: Stand) -> None:
    """A 401 or 403 of the app is its own, with its challenge."""
    for status in (401, 403):
        reply = Reply(status, [("WWW-Authenticate", 'Own realm="app"')], b"mine")
        answer, _ = passed(stand.try_("GET", "/public/x", reply=reply), status)
        assert (answer.body, answer.value("www-authenticate")) == (b"mine", 'Own realm="app"')


@behaviour
def a_redirect_of_the_app_stays(stand: Stand) -> None:
    """Location is passed on as it is."""
    where = f"http://127.0.0.1:{stand.upstream.address[1]}/else"
    answer, _ = passed(stand.try_("GET", "/public/x", reply=Reply(302, [("Location", where)])), 302)
    assert answer.value("location") == where


@behaviour
def the_app_gets_the_bytes_that_were_judged(stand: Stand) -> None:
    """No decoding, no merging, no sorting."""
    for target in (
        "/public/a%20b?c=d%2Fe&f=g+h&i=%zz",
        "/public/%C3%A9t%c3%a9",
        "/public/%7Euser/~user",
        "/public/a!$&'()*,=:@-._~",
        "/public/x?",
        "/public/x?a=b?c=/../d//e",
        "/public/%61bc",
    ):
        _, seen = passed(stand.try_("GET", target))
        assert seen.target == target.encode(), target


@behaviour
def no_path_is_read_in_two_ways(stand: Stand) -> None:
    """What a proxy would turn into another path is judged as that path, too."""
    for target in (
        "/public/../members/x",
        "/public/%2e%2e/members/x",
        "/public/..%2fmembers/x",
        "/public/..%5cmembers/x",
        "/public//../members/x",
        "/.demur/../members/x",
        "/.demur/%2e%2e/members/x",
        "/.demur/..%2fmembers/x",
        "//members/x",
        "/members/x#/public/",
        "/members/x;/../../public/",
    ):
        answer, seen = stand.try_("GET", target)
        assert answer.status in {400, 401, 403, 404}, target
        assert seen == [], target


@behaviour
def an_absolute_target_is_its_path(stand: Stand) -> None:
    """`GET http://host/path` is judged as that path, for that host."""

    def asked(target: str, host: str) -> bytes:
        lines = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{ID}: absolute\r\nConnection: close\r\n\r\n"
        return stand.raw(lines.encode()).split(b" ")[1]

    assert asked(f"{stand.origin}/members/x", stand.host) in {b"400", b"401"}
    assert asked(f"{stand.origin}/members/x", "other.example") in {b"400", b"401", b"404", b"421"}
    assert stand.upstream.seen("absolute") == []
    if asked(f"{stand.origin}/public/x", stand.host) == b"200":
        assert stand.upstream.one("absolute").target in {b"/public/x", f"{stand.origin}/public/x".encode()}


@behaviour
def the_app_is_told_who_it_is(stand: Stand) -> None:
    """By six fields, or fewer where there is nothing to say; never by the client's."""
    token, session = stand.session("ann")
    forged = [
        (name, "root") for name in ("Remote-User", "Remote-Groups", "remote-name", "REMOTE-EMAIL", "Remote-Subject")
    ]
    forged += [(name, "root") for name in ("Remote_User", "Remote.User", "remote_groups", "REMOTE_USER")]
    forged += [(name, "root") for name in ("Remote-Assertion", "Remote_Assertion", "remote.assertion")]
    _, seen = passed(stand.try_("GET", "/members/x", *forged, token=token))
    assert seen.value("remote-subject") == session.subject
    assert (seen.value("remote-user"), seen.value("remote-groups")) == ("ann", "staff")
    assert "root" not in [value for _, value in seen.lines]
    for target in ("/public/x", "/hello/x"):
        _, seen = passed(stand.try_("GET", target, *forged))
        assert "root" not in [value for _, value in seen.lines], target
        assert [value for name, value in seen.lines if name.lower().startswith("remote")] in ([], [""] * 6), target


@behaviour
def a_connection_is_not_a_person(stand: Stand) -> None:
    """On one connection, one request says nothing about the next."""
    token, _ = stand.session("ann")

    def head(target: str, cookie: str) -> bytes:
        return f"GET {target} HTTP/1.1\r\nHost: {stand.host}\r\nAccept: a/b\r\n{cookie}{ID}: chain\r\n".encode()

    signed_in = f"Cookie: {stand.cookie}={token}\r\n"
    chain = (
        head("/members/1", signed_in)
        + b"\r\n"
        + head("/public/2", "")
        + b"\r\n"
        + head("/members/3", "")
        + b"Connection: close\r\n\r\n"
    )
    answers = stand.raw(chain)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.count(b"HTTP/1.1 401") == 1
    first, second = stand.upstream.seen("chain")
    assert (first.target, first.value("remote-user")) == (b"/members/1", "ann")
    assert (second.target, second.value("remote-user") or "") == (b"/public/2", "")


@behaviour
def the_app_is_told_where_from(stand: Stand) -> None:
    """Address, scheme and host are said by the proxy, once each; what the client said is gone."""
    forged = [
        (name, "6.6.6.6")
        for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "X-Forwarded-User")
    ]
    forged += [("Forwarded", "for=6.6.6.6;host=6.6.6.6"), ("X-Original-URL", "/6.6.6.6"), ("X-Rewrite-URL", "/6.6.6.6")]
    forged += [("X_Forwarded_For", "6.6.6.6"), ("Proxy", "6.6.6.6"), ("X-Forwarded-Prefix", "/6.6.6.6")]
    _, seen = passed(stand.try_("GET", "/public/x", *forged))
    assert not [line for line in seen.lines if "6.6.6.6" in line[1]]
    assert seen.value("x-forwarded-for") == "127.0.0.1"
    assert seen.value("x-forwarded-proto") == stand.origin.partition(":")[0]
    assert seen.value("x-forwarded-host") == stand.host
    assert seen.value("host") == stand.host


@behaviour
def nobody_chooses_the_address_that_is_counted(stand: Stand) -> None:
    """A forged scheme, host or method changes nothing of the decision."""
    forged = (
        ("X-Forwarded-Uri", "/public/x"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Host", "other.example"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-For", "nonsense"),
        ("Demur-Refusal", "1.2.3"),
        ("X-Original-URL", "/public/x"),
    )
    answer, seen = stand.try_("GET", "/members/x", *forged)
    is_whole(answer, 401, "sign-in-required")
    assert seen == []


@behaviour
def methods_are_not_overridden(stand: Stand) -> None:
    """Where a rule has methods, the app cannot be talked into another one by a field."""
    forged = [(name, "DELETE") for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")]
    _, seen = passed(stand.try_("GET", "/notes/1", *forged, token=stand.session("bob")[0]))
    assert "DELETE" not in [value for _, value in seen.lines]


@behaviour
def our_cookie_stays_here(stand: Stand) -> None:
    """The app gets all other cookies, byte for byte, and not ours."""
    token, _ = stand.session("ann")
    others = 'a=1; b="two, three"; c=; d=%20=e'
    for target in ("/members/x", "/public/x"):
        _, seen = passed(stand.try_("GET", target, token=token, cookies=others))
        assert seen.value("cookie") == others, target
    twice = f"{others}; {stand.cookie}=one; {stand.cookie}=two"
    _, seen = passed(stand.try_("GET", "/public/x", cookies=twice))
    assert seen.value("cookie") == others
    _, seen = passed(stand.try_("GET", "/public/x", cookies=f"{stand.cookie}=alone"))
    assert not seen.value("cookie")


@behaviour
def trace_repeats_no_session(stand: Stand) -> None:
    """An answer to TRACE leaves out what is likely to be sensitive (RFC 9110, 9.3.8): no proxy gives a session back."""
    token, _ = stand.session("ann")
    lines = f"Host: {stand.host}\r\nCookie: {stand.cookie}={token}\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n"
    assert token.encode() not in stand.raw(f"TRACE /members/x HTTP/1.1\r\n{lines}".encode())


@behaviour
def a_foreign_authorization_is_the_apps(stand: Stand) -> None:
    """What is not meant for demur passes untouched."""
    said = ("Authorization", 'Signature keyId="k", signature="a/b+c=="')
    for target, token in (("/public/x", None), ("/members/x", stand.session("ann")[0])):
        _, seen = passed(stand.try_("GET", target, said, token=token))
        assert seen.value("authorization") == said[1], target


@behaviour
def the_app_cannot_set_our_cookie(stand: Stand) -> None:
    """Nor say that nothing was processed."""
    fields = [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", f"{stand.cookie}=planted; Path=/"),
        ("Set-Cookie", "b=2"),
        ("Set-Cookie", f"  {stand.cookie.upper()} = planted"),
    ]
    answer, _ = passed(stand.try_("GET", "/members/x", token=stand.session("ann")[0], reply=Reply(200, fields)))
    # A browser ignores a cookie without name and value (rfc6265bis, 5.7), and one is all that Caddy can make of a line.
    assert [value for value in answer.values("set-cookie") if value] == ["a=1", "b=2"]


@behaviour
def the_app_cannot_claim_that_nothing_happened(stand: Stand) -> None:
    """`Demur-Processed` is demur's to say."""
    reply = Reply(409, [("Demur-Processed", "?0")])
    for target, token in (("/public/x", None), ("/members/x", stand.session("ann")[0])):
        answer, _ = passed(stand.try_("GET", target, token=token, reply=reply), 409)
        assert answer.values("demur-processed") == [], target


@behaviour
def the_end_of_the_session_is_told(stand: Stand) -> None:
    """`Server-Timing` says it, and whom the answer was made for, beside what the app says there."""
    reply = Reply(200, [("Server-Timing", "db;dur=5")])
    answer, _ = passed(stand.try_("GET", "/members/x", token=stand.session("ann")[0], reply=reply))
    assert 3300 < answer.seconds_left <= 3600
    assert f'subject;desc="{stand.subject("ann").id}"' in ", ".join(answer.values("server-timing"))
    assert "db;dur=5" in ", ".join(answer.values("server-timing"))
    answer, _ = passed(stand.try_("GET", "/public/x", reply=reply))
    assert answer.values("server-timing") == ["db;dur=5"]


@behaviour
def no_shared_cache_keeps_what_is_personal(stand: Stand) -> None:
    """What needed a person is private, whatever the app says; what did not is the app's to decide."""
    token, _ = stand.session("ann")
    for said in (None, "public, max-age=60", "s-maxage=60", "max-age=60", "no-store", 'private="x", max-age=60'):
        fields = [] if said is None else [("Cache-Control", said)]
        answer, _ = passed(stand.try_("GET", "/members/x", token=token, reply=Reply(200, fields)))
        kept = answer.value("cache-control") or ""
        assert "private" in kept or "no-store" in kept, said
        assert "public" not in kept, said
        assert "s-maxage" not in kept, said
        assert "no-store" in kept or said != "no-store"
        assert 'private="x"' not in kept
        answer, _ = passed(stand.try_("GET", "/public/x", reply=Reply(200, fields)))
        assert answer.value("cache-control") == said


# --- what takes its time ----------------------------------------------------------------------------


@behaviour
def an_upload_streams(stand: Stand) -> None:
    """The app hears of an upload before all of it was sent, and gets all of it."""
    size = 4 * MEGABYTE
    head = f"POST /public/x HTTP/1.1\r\nHost: {stand.host}\r\n{ID}: slow\r\nContent-Length: {size}\r\n"
    with stand.connected() as connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + bytes(size // 2))
        assert stand.upstream.begun("slow")
        connection.sendall(bytes(size // 2))
        assert connection.recv(65536).split(b" ")[1] == b"200"
    assert stand.upstream.one("slow").length == size


@behaviour
def a_large_upload_arrives(stand: Stand) -> None:
    """With its length or in chunks, as somebody who may."""
    token, _ = stand.session("ann")
    _, seen = passed(stand.try_("POST", "/members/x", token=token, body=bytes(24 * MEGABYTE)))
    assert seen.length == 24 * MEGABYTE
    chunks = b"".join(b"10000\r\n" + bytes(0x10000) + b"\r\n" for _ in range(64)) + b"0\r\n\r\n"
    _, seen = passed(stand.try_("POST", "/members/x", ("Transfer-Encoding", "chunked"), token=token, body=chunks))
    assert seen.length == 4 * MEGABYTE


@behaviour
def a_client_that_asks_first_is_answered(stand: Stand) -> None:
    """With `Expect: 100-continue` the refusal comes without the content."""
    head = (
        f"POST /members/x HTTP/1.1\r\nHost: {stand.host}\r\nAccept: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {MEGABYTE}\r\nConnection: close\r\n\r\n"
    )
    with stand.connected() as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
    assert stand.upstream.seen() == []


@behaviour
def events_come_one_by_one(stand: Stand) -> None:
    """A server-sent event arrives when it is sent, and not when the next one is."""
    token, _ = stand.session("ann")
    arrived: list[bytes] = []

    def go(number: int) -> None:
        deadline = time.monotonic() + 60
        while len(arrived) < number and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(arrived) >= number

    events = tuple(b"data: %d\n\n" % number for number in range(3))
    stand.upstream.reply("events", Reply(200, [("Content-Type", "text/event-stream")], pieces=events, go=go))
    head = f"GET /members/x HTTP/1.1\r\nHost: {stand.host}\r\nAccept: text/event-stream\r\n{ID}: events\r\n"
    with stand.connected() as connection:
        connection.sendall(f"{head}Cookie: {stand.cookie}={token}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        for event in events:
            while event not in received:
                piece = connection.recv(65536)
                assert piece, received
                received += piece
            arrived.append(event)


@behaviour
def a_websocket_opens(stand: Stand) -> None:
    """For whoever may, and messages go both ways."""
    cookie = ("Cookie", f"{stand.cookie}={stand.session('ann')[0]}; a=1")
    with opened(stand, "/members/ws", cookie, ("Origin", stand.origin), (ID, "ws")) as (answer, connection):
        assert answer.status == 101, answer.text
        assert say(connection, b"hello") == b"hello"
        assert say(connection, b"again") == b"again"
    seen = stand.upstream.one("ws")
    assert (seen.value("remote-user"), seen.value("cookie")) == ("ann", "a=1")


@behaviour
def a_websocket_is_refused_in_http(stand: Stand) -> None:
    """A handshake without a session gets its 401, one from another site its 403."""
    json = ("Accept", "application/json")
    with opened(stand, "/members/ws", json, ("Origin", stand.origin)) as (answer, _):
        is_whole(answer, 401, "sign-in-required")
    cookie = ("Cookie", f"{stand.cookie}={stand.session('ann')[0]}")
    with opened(stand, "/members/ws", json, cookie, ("Origin", "https://evil.example")) as (answer, _):
        is_whole(answer, 403, "cross-site-refused")
    assert stand.upstream.seen() == []


@behaviour
def other_protocols_are_not_changed_to(stand: Stand) -> None:
    """`Upgrade: h2c` would open a way around every later decision."""
    upgrade = (("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__"))
    lines = [
        f"GET /public/x HTTP/1.1\r\nHost: {stand.host}\r\n{ID}: h2c",
        *(f"{name}: {value}" for name, value in upgrade),
    ]
    with stand.connected() as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(65536).split(b" ")[1] in {b"200", b"400", b"403"}
    for seen in stand.upstream.seen("h2c"):
        assert not seen.value("upgrade")


# --- when demur is not well -------------------------------------------------------------------------


def is_unavailable(stand: Stand, token: str, targets: tuple[str, ...]) -> None:
    """503 with `Retry-After`, nobody signed out, nobody let in and nobody told to sign in."""
    for fields in (SCRIPT, NAVIGATION):
        for target in targets:
            answer, seen = stand.try_("GET", target, token=token, fields=fields)
            assert answer.status == 503, target
            assert answer.value("retry-after") is not None, target
            assert answer.values("set-cookie") == [], target
            assert answer.values("www-authenticate") == [], target
            assert answer.value("cache-control") == "no-store", target
            assert seen == [], target


@behaviour
def a_lost_store_is_503(stand: Stand) -> None:
    """While demur's store is gone; afterwards the same session is good."""
    token, _ = stand.session("ann")
    with contextlib.closing(sqlite3.connect(stand.store_file, isolation_level=None)) as database:
        database.execute("ALTER TABLE session RENAME TO elsewhere")
    try:
        is_unavailable(stand, token, ("/members/x",))
        answer, seen = stand.try_("POST", "/members/x", token=token, body=b"typed")
        assert (answer.status, answer.problem["reason"], seen) == (503, "unavailable", [])
        passed(stand.try_("GET", "/public/x"))
    finally:
        with contextlib.closing(sqlite3.connect(stand.store_file, isolation_level=None)) as database:
            database.execute("ALTER TABLE elsewhere RENAME TO session")
    assert stand.try_("GET", "/members/x", token=token)[0].status == 200


def _uploaded(stand: Stand, token: str) -> tuple[Answer, list[Seen]]:
    """What becomes of a megabyte. A proxy that answers without having read it may close the connection on a client that
    still sends, and the answer is lost with it (RFC 9112, 9.6): then the client tries again."""
    for _ in range(9):
        with contextlib.suppress(ConnectionError):
            return stand.try_("POST", "/members/x", token=token, body=bytes(MEGABYTE))
    return stand.try_("POST", "/members/x", token=token, body=bytes(MEGABYTE))


@behaviour
def a_demur_that_is_down_is_503(stand: Stand) -> None:
    """On every path, at once; and as soon as it is back, everything is as it was."""
    token, _ = stand.session("ann")
    stand.stop_demur()
    try:
        is_unavailable(stand, token, ("/members/x", "/public/x", "/.demur/sign-in"))
        answer, seen = _uploaded(stand, token)
        assert (answer.status, seen) == (503, [])
    finally:
        stand.start_demur()
    assert stand.try_("GET", "/members/x", token=token)[0].status == 200


@behaviour
def a_demur_that_is_down_is_a_problem(stand: Stand) -> None:
    """Scripts that read problems can read the proxy's own, too."""
    stand.stop_demur()
    try:
        answer, _ = stand.try_("GET", "/members/x", token=stand.session("ann")[0])
        assert answer.problem["reason"] == "unavailable"
    finally:
        stand.start_demur()


# --- all of them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_through(stand: Stand, name: str) -> None:
    """Each behaviour through each proxy, but those that cannot.toml says it cannot have."""
    stand.upstream.clear()
    reason = CANNOT.get((stand.name, name))
    if reason is None:
        BEHAVIOURS[name](stand)
        return
    with pytest.raises((AssertionError, OSError, KeyError)):
        BEHAVIOURS[name](stand)


@pytest.fixture(params=PROXIES)
def secure(request: pytest.FixtureRequest, tmp_path: Path, tls: Path) -> Iterator[Stand]:
    """Each proxy, speaking TLS."""
    if request.param in UNTESTED:
        pytest.skip(UNTESTED[request.param])
    servers = f'{CORS}\nauthorization_servers = ["https://login.example"]\nassertion = true'
    with behind(request.param, tmp_path, tls=tls, site=servers) as here:
        yield here


def test_with_tls(secure: Stand) -> None:
    """An https site through each proxy: the recipe's certificate lines work, and the cookie is `__Host-demur`."""
    for name in ("people_sign_in_and_out", "nobody_gets_401", "the_app_is_told_where_from", "our_cookie_stays_here"):
        BEHAVIOURS[name](secure)
    document = secure.ask("GET", "/.well-known/oauth-protected-resource")
    assert (document.status, document.value("content-type")) == (200, "application/json")
    assert "https://login.example" in document.text

    # The assertion reaches the app, whatever the client said, and what is published verifies it.
    token, session = secure.session("ann")
    _, seen = passed(secure.try_("GET", "/members/x", ("Remote-Assertion", "root"), token=token))
    document = secure.ask("GET", "/.well-known/jwks.json")
    assert (document.status, document.value("content-type")) == (200, "application/jwk-set+json")
    said = Verifier(secure.origin, keys=json.loads(document.text)).verify(seen.value("remote-assertion"))
    assert (said.id, said.name, said.groups) == (session.subject, "ann", frozenset({"staff"}))


@pytest.mark.parametrize("name", ["nginx", "caddy", "envoy", "haproxy"])
def test_over_sockets(name: str, tmp_path: Path) -> None:
    """demur at unix sockets, before each proxy that can connect to one. Apache, too, but as a user of its own, who may
    not enter the folders of the tests."""
    if name in UNTESTED:
        pytest.skip(UNTESTED[name])
    with behind(name, tmp_path, sockets=True) as here:
        for each in ("people_sign_in_and_out", "nobody_gets_401", "the_app_is_told_where_from"):
            BEHAVIOURS[each](here)
        BEHAVIOURS["a_demur_that_is_down_is_503"](here)
