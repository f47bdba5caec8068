"""What must be seen: each line of the table, asked of the running sites as browsers and scripts ask."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.site.wire import CROSS_SITE, NAVIGATION, SCRIPT

from demur.core.model import Ending, Rotate
from demur.core.sessions import identify

REFERENCE = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def seconds(moment: str) -> int:
    """An RFC 3339 moment in seconds since the epoch."""
    return int(datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def test_anonymous_page(house):
    """A page navigation gets 401 with the form in place, the challenge, and the problem embedded."""
    answer = house.page(f"{house.example.page}?tab=2")
    assert answer.status == 401
    assert answer.problem["reason"] == "sign-in-required"
    assert answer.problem["processed"] is False
    assert REFERENCE.fullmatch(answer.problem["instance"])
    assert answer.challenge == {
        "realm": answer.challenge["realm"],
        "form-action": "/.demur/sign-in",
        "cookie-name": house.cookie,
    }
    assert re.search(r'<form[^>]* method="post"[^>]* action="/\.demur/sign-in"', answer.text)
    assert f'value="{house.example.page}?tab=2"' in answer.text
    assert answer.value("cache-control") == "no-store"
    assert answer.value("demur-processed") == "?0"
    assert answer.value("location") is None
    assert "frame-ancestors 'none'" in (answer.value("content-security-policy") or "")


def test_anonymous_admin_page(house):
    """The administration's address answers a stranger like any other restricted page."""
    answer = house.page(house.example.admin)
    assert (answer.status, answer.problem["reason"]) == (401, "sign-in-required")


def test_anonymous_script(house):
    """A script gets the same reason as a problem, and is never redirected."""
    answer = house.script(house.example.api)
    assert answer.status == 401
    assert answer.value("content-type") == "application/problem+json"
    assert answer.problem["reason"] == "sign-in-required"
    assert answer.problem["type"].endswith("/sign-in-required")
    assert "error" not in answer.challenge
    assert answer.value("location") is None
    assert answer.values("set-cookie") == []


def test_public(house):
    """What is open is the site's own answer, for a stranger and for somebody with a dead cookie."""
    for token in (None, "made-up"):
        answer = house.page(house.example.public, token)
        assert answer.status == 200
        assert answer.value("www-authenticate") is None


DAY = 86400


@pytest.mark.parametrize(
    ("reason", "ago"),
    [
        ("session-idle", {"last_seen": 3700, "issued_at": 7000}),
        ("session-expired", {"issued_at": DAY + 100, "expires_at": 100, "last_seen": 200}),
    ],
)
def test_run_out(house, reason, ago):
    """A session that was idle too long, or is too old, is refused with its own reason, and when that was."""
    now = int(time.time())
    token, session = house.session(house.example.member, **{name: now - value for name, value in ago.items()})
    at = session.last_seen + session.idle if reason == "session-idle" else session.expires_at
    answer = house.script(house.example.api, token)
    assert answer.status == 401
    assert answer.problem["reason"] == answer.challenge["error"] == reason
    assert seconds(answer.problem["ended_at"]) == at


@pytest.mark.parametrize(("how", "reason"), [(Ending.ENDED, "session-ended"), (Ending.REVOKED, "session-revoked")])
def test_ended(house, how, reason):
    """A session that was alive a moment ago, and was ended by another process, is refused in the next request."""
    token, session = house.session(house.example.member)
    assert house.script(house.example.api, token).status == 200
    at = house.end(session, how)
    answer = house.script(house.example.api, token)
    assert answer.status == 401
    assert answer.problem["reason"] == answer.challenge["error"] == reason
    assert seconds(answer.problem["ended_at"]) == at
    page = house.page(house.example.page, token)
    assert (page.status, page.problem["reason"]) == (401, reason)


def test_signed_out_elsewhere(house):
    """Signing out by hand: the old cookie, sent again, is refused as ended."""
    token = house.signed_in(house.example.member)
    assert house.script(house.example.api, token).status == 200
    assert house.send("/.demur/sign-out", {}, token).status in {200, 303}
    answer = house.script(house.example.api, token)
    assert (answer.status, answer.problem["reason"]) == (401, "session-ended")


def test_ended_by_an_administrator(house):
    """`demur sessions end --user`: refused as revoked in the next request."""
    token = house.signed_in(house.example.staff)
    house.demur("sessions", "end", "--user", house.example.staff)
    answer = house.script(house.example.api, token)
    assert (answer.status, answer.problem["reason"]) == (401, "session-revoked")
    assert abs(seconds(answer.problem["ended_at"]) - time.time()) < 60


@pytest.mark.parametrize("kind", ["never issued", "cut off", "changed", "noise", "empty"])
def test_not_a_session(house, kind):
    """A cookie that never was a session is `credentials-invalid`, and nothing more is said."""
    token, _ = house.session(house.example.member)
    cookies = {
        "never issued": house.mint(),
        "cut off": token[:-5],
        "changed": token[:10] + ("A" if token[10] != "A" else "B") + token[11:],
        "noise": "hello",
        "empty": "",
    }
    answer = house.ask("GET", house.example.api, [*SCRIPT, ("Cookie", f"{house.cookie}={cookies[kind]}")])
    assert answer.status == 401
    assert answer.problem["reason"] == "credentials-invalid"
    assert "ended_at" not in answer.problem
    assert answer.challenge["error"] == "credentials-invalid"


def test_two_cookies_of_our_name(house):
    """With two cookies of our name nobody chooses one: neither opens anything."""
    token = house.signed_in(house.example.member)
    for pair in (f"{token}; {house.cookie}=x", f"x; {house.cookie}={token}"):
        answer = house.ask("GET", house.example.api, [*SCRIPT, ("Cookie", f"{house.cookie}={pair}")])
        assert (answer.status, answer.problem["reason"]) == (401, "credentials-invalid")


def test_not_permitted(house):
    """Signed in and not in the group: a page that says who one is and names the reference; a problem for a script."""
    token, _ = house.session(house.example.member)
    page = house.page(house.example.admin, token)
    assert (page.status, page.problem["reason"]) == (403, "not-permitted")
    subject = house.subject(house.example.member)
    assert (subject.display_name or subject.name) in page.text
    assert page.text.count(page.problem["instance"].removeprefix("urn:uuid:")) >= 2  # for machines, and for people
    assert "/.demur/sign-out" in page.text
    assert page.value("www-authenticate") is None
    answer = house.script(house.example.admin_api, token)
    assert (answer.status, answer.problem["reason"]) == (403, "not-permitted")
    assert answer.value("cache-control") == "no-store"


def test_step_up(house):
    """Signed in 20 minutes ago and fresh for 15 is asked for: 401 by RFC 9470; after the password the page opens, with
    a new session id, and the old one is `session-replaced`."""
    now = int(time.time())
    who = house.example.admin_person
    token, _ = house.session(who, issued_at=now - 1200, authenticated_at=now - 1200)
    answer = house.script(house.example.admin_api, token)
    assert answer.status == 401
    assert answer.problem["reason"] == "step-up-required"
    assert answer.problem["max_age"] == 900
    assert answer.challenge["error"] == "insufficient_user_authentication"
    assert answer.challenge["max_age"] == "900"

    page = house.page(house.example.admin, token)
    assert (page.status, page.problem["reason"]) == (401, "step-up-required")
    assert 'type="password"' in page.text
    confirmed = house.send(
        "/.demur/sign-in",
        {"username": who, "password": house.example.people[who], "next": house.example.admin},
        token,
    )
    assert (confirmed.status, confirmed.value("location")) == (303, house.example.admin)
    new = house.token(confirmed)
    assert new != token
    assert house.page(house.example.admin, new).status == 200

    old = house.script(house.example.api, token)
    assert (old.status, old.problem["reason"]) == (401, "session-replaced")


def test_replaced_long_ago(house):
    """An old id two minutes after it was replaced is just over."""
    token, session = house.session(house.example.member)
    new = replace(session, id=identify(house.mint()))
    house.apply(Rotate(session.id, new, int(time.time()) - 120))
    answer = house.script(house.example.api, token)
    assert (answer.status, answer.problem["reason"]) == (401, "session-ended")


def test_head(house):
    """HEAD has the status and the fields of GET, and no content: refused and allowed. The site sees what is allowed."""
    token, _ = house.session(house.example.member)
    for who in (None, token):
        get = house.script(house.example.api, who)
        house.upstream_saw()
        head = house.ask("HEAD", house.example.api, SCRIPT, token=who)
        assert house.upstream_saw().partition(b" ")[0] == (b"HEAD" if who else b"")
        assert head.status == get.status
        assert head.body == b""
        ignored = ("server-timing", "transfer-encoding", "content-length", "connection")
        assert sorted(head.without(*ignored)) == sorted(get.without(*ignored))
    refused = house.ask("HEAD", house.example.api)
    assert refused.value("content-length") == house.script(house.example.api).value("content-length")


def test_preflight(house):
    """A preflight without credentials is answered, never 401 or 403, and the site does not see it."""
    house.upstream_saw()
    answer = house.ask(
        "OPTIONS",
        house.example.api,
        [("Origin", "https://elsewhere.example"), ("Access-Control-Request-Method", "PUT")],
    )
    assert answer.status == 204
    assert answer.value("access-control-allow-origin") is None
    assert house.upstream_saw() == b""


def test_plain_options(house):
    """Any other OPTIONS is a request like any other."""
    house.upstream_saw()
    assert house.ask("OPTIONS", house.example.api).problem["reason"] == "sign-in-required"
    assert house.upstream_saw() == b""


def test_post_without_credentials(house):
    """A write by nobody is refused, may be repeated, and never reaches the site."""
    target, body = house.example.post
    house.upstream_saw()
    answer = house.ask("POST", target, [*SCRIPT, ("Content-Type", "application/json")], body)
    assert answer.status == 401
    assert answer.problem["processed"] is False
    assert answer.value("demur-processed") == "?0"
    assert house.upstream_saw() == b""


def test_large_post_without_credentials(house):
    """A refused upload is read to its end, so that its sender reads the answer; the site sees none of it."""
    house.upstream_saw()
    answer = house.ask("POST", house.example.post[0], SCRIPT, b"x" * 8_000_000)
    assert (answer.status, answer.problem["reason"]) == (401, "sign-in-required")
    assert house.upstream_saw() == b""


def test_expect_continue(house):
    """`Expect: 100-continue` is answered with the refusal; nobody is told to go on."""
    fields = [*SCRIPT, ("Expect", "100-continue"), ("Content-Length", "1000000")]
    house.upstream_saw()
    assert house.ask("POST", house.example.post[0], fields).status == 401
    assert house.upstream_saw() == b""


@pytest.mark.parametrize(
    "field",
    [
        ("Range", "bytes=0-9"),
        ("If-Range", '"x"'),
        ("If-None-Match", "*"),
        ("If-Match", '"x"'),
        ("If-Modified-Since", "Sun, 06 Nov 2095 08:49:37 GMT"),
        ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_preconditions_come_after_access(house, method, field):
    """No precondition and no range turns a refusal into 206, 304, 412 or 416, and the site never sees it."""
    house.upstream_saw()
    for target in (house.example.page, house.example.api, house.example.admin):
        answer = house.ask(method, target, [*SCRIPT, field])
        assert answer.status == 401
        assert answer.challenge["form-action"] == "/.demur/sign-in"
        assert answer.value("etag") is None
        assert answer.value("content-range") is None
    assert house.upstream_saw() == b""


def test_the_tap_sees_what_is_passed_on(house):
    """What the rows above find empty is full when somebody may ask, preconditions and range included."""
    token, _ = house.session(house.example.member)
    house.upstream_saw()
    fields = [*SCRIPT, ("Range", "bytes=0-9"), ("If-None-Match", '"x"')]
    assert house.ask("GET", house.example.api, fields, token=token).status in {200, 206}
    seen = house.upstream_saw().lower()
    assert f"get {house.example.api} http/1.1\r\n".encode() in seen
    assert b"\r\nrange: bytes=0-9\r\n" in seen
    assert b'\r\nif-none-match: "x"\r\n' in seen


def test_concealed(house):
    """To somebody who may not know of it, it is the site's own page for what is not there; the site does not learn that
    it was asked for."""
    token, _ = house.session(house.example.member)
    house.upstream_saw()
    answer = house.page(house.example.concealed, token)
    assert answer.status == 404
    assert answer.value("demur-processed") is None
    assert "problem+json" not in answer.text
    seen = house.upstream_saw()
    assert seen.startswith(b"GET /")
    assert house.example.concealed.encode() + b" " not in seen


def test_upstream_refuses(house):
    """The site's `Demur-Refuse` becomes a whole refusal, negotiated, and the field is gone. It says nothing of
    `processed`: the site has seen the request."""
    token, _ = house.session(house.example.member)
    target, body = house.example.refused
    for fields in (SCRIPT, NAVIGATION):
        answer = house.ask("POST", target, [*fields, ("Content-Type", "application/json")], body, token=token)
        assert answer.status == 403
        assert answer.problem["reason"] == "access-pending"
        assert answer.problem["detail"] == house.example.refused_because
        assert "processed" not in answer.problem
        assert answer.value("demur-processed") is None
        assert answer.value("demur-refuse") is None
        assert answer.value("cache-control") == "no-store"
        if house.example.name == "php":
            page = fields is NAVIGATION
            assert answer.value("content-type") == ("text/html; charset=utf-8" if page else "application/problem+json")


def test_allowed(house):
    """An answer that needed a person is kept by nobody else, and says when the session ends."""
    token, _ = house.session(house.example.member)
    answer = house.script(house.example.api, token)
    assert answer.status == 200
    directives = {part.strip() for part in ",".join(answer.values("cache-control")).split(",")}
    assert "private" in directives or "no-store" in directives
    assert not directives & {"public"}
    timing = re.search(r'session;dur=(\d+);desc="(\d+)"', ", ".join(answer.values("server-timing")))
    assert timing
    assert 3500 <= int(timing[1]) <= 3600
    assert 86000 <= int(timing[2]) <= 86400
    assert answer.value("www-authenticate") is None


def test_cross_site_write(house):
    """A form of another site, sent with our cookie, is refused, and the site does not see it."""
    token, _ = house.session(house.example.member)
    house.upstream_saw()
    answer = house.ask("POST", house.example.post[0], CROSS_SITE, b"x=1", token=token)
    assert (answer.status, answer.problem["reason"]) == (403, "cross-site-refused")
    assert house.upstream_saw() == b""


def test_background_is_not_activity(house):
    """What a page asks in the background does not keep a session alive; what a person does, does."""
    now = int(time.time())
    token, _ = house.session(house.example.member, issued_at=now - 3000, last_seen=now - 3000)
    before = house.ask("GET", house.example.api, [*SCRIPT, ("Demur-Background", "?1")], token=token)
    assert before.seconds_left <= 600
    assert house.script("/.demur/session", token).status == 200
    again = house.ask("GET", house.example.api, [*SCRIPT, ("Demur-Background", "?1")], token=token)
    assert again.seconds_left <= 600
    after = house.script(house.example.api, token)
    assert after.seconds_left >= 3590


def test_wrong_host(house):
    """Under a name that is not the site's, 421 says where the site is; there is no form and no loop."""
    port = house.port
    for host in (f"127.0.0.1:{port}", "192.0.2.7", f"evil.example:{port}"):
        answer = house.ask("GET", "/members/", [("Host", host), ("Accept", "text/html")])
        assert (answer.status, answer.problem["reason"]) == (421, "host-unknown")
        assert "<form" not in answer.text
        assert answer.value("location") is None
        assert house.origin in answer.text
