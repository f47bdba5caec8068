"""What a client sends in order to be somebody else, or somewhere else."""

from __future__ import annotations

import socket

import pytest
from tests.site.wire import SCRIPT, exchange

# Some servers read `_` and `.` as `-`, and all of them ignore case.
NAMES = ["Remote-User", "remote-user", "REMOTE-USER", "Remote_User", "remote.user", "Remote-Groups", "REMOTE_GROUPS"]
NAMES += ["Remote-Subject", "Remote-Name", "Remote-Email", "remote_Email", "Remote-Assertion", "remote_assertion"]


@pytest.mark.parametrize("signed_in", [True, False])
def test_identity_fields_are_ours(house, signed_in):
    """Whatever a client sends under their names, in any spelling, the site never sees it: on restricted paths and on
    open ones."""
    token = house.session(house.example.member)[0] if signed_in else None
    target = house.example.api if signed_in else house.example.public
    house.upstream_saw()
    answer = house.ask("GET", target, [*SCRIPT, *((name, "mallory-admins") for name in NAMES)], token=token)
    assert answer.status == 200
    seen = house.upstream_saw()
    assert seen
    assert b"mallory" not in seen
    lower = seen.lower()
    if signed_in:
        assert lower.count(b"remote-user:") == 1
        assert f"remote-user: {house.example.member}\r\n".encode() in lower
        assert b"remote-subject: " in lower
    else:
        assert b"remote-user" not in lower


def test_our_cookie_does_not_reach_the_site(house):
    """The session is between the browser and the gateway; the site's own cookies pass."""
    token, _ = house.session(house.example.member)
    house.upstream_saw()
    own = ("Cookie", f"theme=dark; {house.cookie}={token}; lang=en")
    assert house.ask("GET", house.example.api, [*SCRIPT, own]).status == 200
    seen = house.upstream_saw()
    assert token.encode() not in seen
    assert b"theme=dark" in seen
    assert b"lang=en" in seen
    public = house.ask("GET", house.example.public, [*SCRIPT, own])
    assert public.status == 200
    assert token.encode() not in house.upstream_saw()


def test_a_client_cannot_refuse(house):
    """`Demur-Refuse` and `Demur-Processed` of a request mean nothing."""
    token, _ = house.session(house.example.member)
    fields = [*SCRIPT, ("Demur-Refuse", "not-permitted"), ("Demur-Processed", "?0")]
    answer = house.ask("GET", house.example.api, fields, token=token)
    assert answer.status == 200
    assert answer.value("demur-refuse") is None
    assert answer.value("demur-processed") is None


@pytest.mark.parametrize(
    "target",
    [
        "/public/%00",
        "/public/%0d%0a",
        "/public/%ff",
        "/public/%c0%ae",
        "/public/%",
        "/public/%zz",
        "/public/%2525252525",
        "/" + "a" * 9000,
    ],
)
def test_what_is_no_address_is_refused(house, target):
    """What nobody sends in good faith is 400, for everybody, and the site does not see it."""
    token, _ = house.session(house.example.admin_person)
    house.upstream_saw()
    for who in (None, token):
        answer = house.script(target, who)
        assert answer.status == 400, target[:40]
    assert house.upstream_saw() == b""


@pytest.mark.parametrize(
    "target",
    [
        "/public/../admin/",
        "/public/%2e%2e/admin/",
        "/public/..%2fadmin/",
        "/public/..;/admin/",
        "/public;/../admin/",
        "/public\\..\\admin/",
        "//admin/",
        "/./admin/",
        "/%61dmin/",
        "/public/%252e%252e/admin",
        "/admin%2f",
        "/admin%5c",
        "/ADMIN/",
    ],
)
def test_every_reading_is_judged(house, target):
    """An address that some program reads as a restricted one is refused to whoever may not have that one."""
    member, _ = house.session(house.example.member)
    house.upstream_saw()
    assert house.script(target).status == 401
    assert house.script(target, member).status == 403
    assert house.upstream_saw() == b""
    # In the one example something is open around it; in the other nobody may have the address as it is written.
    admin, _ = house.session(house.example.admin_person)
    refused = house.script(target, admin).status in {400, 401, 403}
    assert refused is (house.example.name == "php")


@pytest.mark.parametrize("target", ["/.demur/..%2fadmin", "/.demur/%2e%2e/admin/", "/.demur//session", "/.demur/%ff"])
def test_nothing_below_our_own_address_is_the_site_s(house, target):
    """What begins with our own prefix never reaches the site, however it goes on."""
    token, _ = house.session(house.example.admin_person)
    house.upstream_saw()
    assert house.script(target, token).status == 404
    assert house.upstream_saw() == b""


@pytest.mark.parametrize("target", ["/caf%C3%A9", "/a%20b", "/a~b-c.d_e", "/?q=[a]|%zz&x=//../", "/%E2%82%AC/"])
def test_what_has_one_reading_is_read(house, target):
    """Unreserved characters, spaces, letters of any language, and any query are plain."""
    assert house.script(target).status in {200, 401, 403, 404}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET http://localhost/admin/ HTTP/1.1\r\nHost: {host}\r\n", {400, 401, 421}),
        ("GET /members/ HTTP/1.1\r\n", {400}),
        ("GET /members/ HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n", {400}),
        ("GET /members/ HTTP/1.1\r\nHost: {host}, evil.example\r\n", {400}),
        ("GET /members/ HTTP/1.1\r\nHost: {host}@evil.example\r\n", {400}),
        ("GET /members/ HTTP/1.1\r\nHost: \r\n", {400}),
        ("GET /members/ HTTP/1.1\r\nHost : {host}\r\n", {400}),
        ("GET /members/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", {400, 401}),
        ("GET /members/ HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example\r\n", {401}),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: {host}\r\n", {400, 401, 404, 405, 501}),
        ("* /members/ HTTP/1.1\r\nHost: {host}\r\n", {400, 401}),
        ("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n", {400}),
    ],
)
def test_odd_heads(house, head, status):
    """No head of a request, however odd, gets past."""
    house.upstream_saw()
    with socket.create_connection(house.address, timeout=10) as connection:
        connection.sendall((head.format(host=house.host) + "Connection: close\r\n\r\n").encode())
        first = connection.makefile("rb").readline()
    assert int(first.split()[1]) in status
    assert house.upstream_saw() == b""


def test_forwarding_fields_of_strangers_are_not_believed(house):
    """Nobody is trusted by default: the origin stays what it is, and the site is told the truth."""
    token, _ = house.session(house.example.member)
    house.upstream_saw()
    lies = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=203.0.113.9")]
    answer = exchange(
        house.address,
        "GET",
        house.example.api,
        [("Host", house.host), *SCRIPT, *lies, ("Cookie", f"{house.cookie}={token}")],
    )
    assert answer.status == 200
    assert b"203.0.113.9" not in house.upstream_saw()
