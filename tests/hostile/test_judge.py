"""What finds breaches finds them: each kind, made on purpose."""

from __future__ import annotations

import pytest
from tests.hostile import judge
from tests.hostile.judge import ADMIN, NOBODY, OPEN, PERSON, Asker, Sight
from tests.hostile.recorder import Record, read_head
from tests.hostile.sender import Answer, parse

MIA = Asker({b"remote-user": b"mia"}, PERSON)
ORIGIN = "http://localhost:8000"


def seen(*lines: str, asker: Asker | None = None, secrets: tuple[bytes, ...] = ()) -> list[str]:
    """The breaches of one request that arrived."""
    record = read_head("\r\n".join([*lines, "Host: localhost:8000"]).encode("latin-1"))
    return judge.breaches(Sight(asker or Asker(), ORIGIN, secrets, (record,), ()))


@pytest.mark.parametrize(
    ("target", "level"),
    [
        (b"/public/page", OPEN),
        (b"/shop/catalogue/x", OPEN),
        (b"/shop/catalogue/../x", PERSON),
        (b"/shop/catalogues", PERSON),
        (b"/administration", OPEN),
        (b"/?x=/../admin", OPEN),
        (b"/public/../admin", ADMIN),
        (b"/public/%252e%252e%255cadmin", ADMIN),
        (b"/public/..;x/admin", ADMIN),
        (b"//Admin", ADMIN),
        (b"//x/admin", ADMIN),
        (b"/admin%00.css", ADMIN),
        (b"/public%3f/../admin", ADMIN),
        (b"/public/..%c0%afadmin", ADMIN),
        (b"/%C5%BFhop", PERSON),
        (b"/admin.%20/x", ADMIN),
        (b"http://x/nobody/", NOBODY),
        (b"/health", OPEN),
        (b"/health/x", ADMIN),
    ],
)
def test_readings(target: bytes, level: int) -> None:
    """What asks for most among all the ways to read a target."""
    assert judge.asks(target, ["GET"]) == level


def test_what_nobody_may_have_seen_is_fine() -> None:
    """An open page, and a restricted one with the person who may have it."""
    assert seen("GET /public/page HTTP/1.1", "X-Custom: mallory", "Cookie: a=mallory") == []
    assert seen("GET /members/ HTTP/1.1", "Remote-User: mia", asker=MIA) == []


@pytest.mark.parametrize(
    ("lines", "asker"),
    [
        (["GET /members/ HTTP/1.1"], Asker()),
        (["GET /admin/ HTTP/1.1", "Remote-User: mia"], MIA),
        (["GET /members/ HTTP/1.1"], MIA),
        (["GET /members/ HTTP/1.1", "Remote-User: mia", "Remote-User: mia"], MIA),
        (["DELETE /posts/1 HTTP/1.1"], Asker()),
        (["POST /posts/1 HTTP/1.1", "X_HTTP_Method_Override: delete"], Asker()),
        (["GET /public/ HTTP/1.1", "Remote_User: mallory"], Asker()),
        (["GET /public/ HTTP/1.1", "Remote-Groups: admins"], Asker()),
        (["GET /public/ HTTP/1.1", "Demur-Refusal: x"], Asker()),
        (["GET /public/ HTTP/1.1", "X-Forwarded-For: 203.0.113.66"], Asker()),
        (["GET /public/ HTTP/1.1", "X-Original-URL: /admin/forged"], Asker()),
        (["GET /public/ HTTP/1.1", "Cookie: a=SECRET"], Asker()),
        (["GET /public/ HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"], Asker()),
        (["GET /public/ HTTP/1.1", "X-Custom: a", " folded"], Asker()),
        (["GET /public/ HTTP/1.1", "X-Custom : a"], Asker()),
        (["GET /public/ HTTP/1.1", "Host: evil.example"], Asker()),
        (["GET /public/ HTTP/1.1", "Content-Length: +5"], Asker()),
        (["GET /public/ HTTP/1.1\nX: y"], Asker()),
        (["GET /pub lic/ HTTP/1.1"], Asker()),
    ],
)
def test_what_arrives_and_should_not(lines: list[str], asker: Asker) -> None:
    """Each of these is a breach."""
    assert seen(*lines, asker=asker, secrets=(b"SECRET",))


@pytest.mark.parametrize("location", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example"])
def test_an_answer_that_leads_away(location: str) -> None:
    """A redirect to anywhere else, as browsers read it."""
    answer = Answer(303, (("location", location),), b"")
    assert judge.breaches(Sight(Asker(), ORIGIN, (), (), (answer,)))
    assert not judge.breaches(Sight(Asker(), ORIGIN, (), (), (Answer(303, (("location", "/x"),), b""),)))


def test_a_refusal_that_may_be_kept() -> None:
    """A refusal without `no-store`."""
    assert judge.breaches(Sight(Asker(), ORIGIN, (), (), (Answer(401, (), b""),)))


def test_answers_are_told_apart() -> None:
    """Interim answers, chunks, answers to HEAD, and what is no answer."""
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n"
        b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nX-Recorded: 2a\r\n\r\nnogarbage"
    )
    heard = parse(data, ["HEAD"])
    assert [answer.status for answer in heard.interim] == [100]
    assert [(answer.status, answer.body) for answer in heard.answers] == [(200, b""), (200, b"a"), (401, b"no")]
    assert heard.rest == b"garbage"
    assert judge.answered(heard.answers) == ["2a"]


def test_a_record_knows_its_fields() -> None:
    """Names in small letters, values without white space around."""
    record = read_head(b"GET /x HTTP/1.1\r\nHost:  a \r\nX: b")
    assert record == Record("GET", b"/x", ((b"host", b"a"), (b"x", b"b")), record.raw)
    assert record.values(b"host") == [b"a"]
