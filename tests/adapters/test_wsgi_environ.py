"""What a WSGI server hands over, and what a request is made of."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from demur.adapters import wsgi
from demur.core import fields

if TYPE_CHECKING:
    from collections.abc import Sequence


def environ(**more: Any) -> dict[str, Any]:
    """What a server hands over for `GET /`."""
    return {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "wsgi.url_scheme": "https",
        "HTTP_HOST": "app.example.com", "REMOTE_ADDR": "192.0.2.1", "wsgi.input": io.BytesIO(), **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("root", "path", "query", "target"),
    [
        ("", "/", "", b"/"),
        ("", "", "", b"/"),  # what was asked for had no path: every framework reads "/"
        ("/app", "", "", b"/app"),
        ("/app", "/x", "y=1", b"/app/x?y=1"),
        ("", "/a b", "", b"/a%20b"),
        ("", "/b%61", "", b"/b%2561"),  # sent as %2561, and decoded once
        ("", "/b?/../a", "", b"/b%3F/../a"),
        ("", "/a#b", "", b"/a%23b"),
        ("", "/a\\b;c", "", b"/a%5Cb;c"),
        ("", "/\xc3\xb6", "q=\xc3", b"/%C3%B6?q=\xc3"),
        ("", "/\xff", "", b"/%FF"),
        ("", "/@x:!$&'()*+,=~-._", "", b"/@x:!$&'()*+,=~-._"),
        ("", "//evil.example/x", "", b"//evil.example/x"),
        ("", "*", "", b""),
        ("/app", "x", "", b""),
        ("", "x", "", b""),
        ("", "/\u0101", "", b""),
        ("", "/", "\u0101", b""),
    ],
)
def test_the_target_is_what_the_app_reads(root, path, query, target):
    """Root, path and query are put together again, byte for byte; b"" is no path, and so refused."""
    given = environ(SCRIPT_NAME=root, PATH_INFO=path, QUERY_STRING=query, REQUEST_URI="/else", RAW_URI="/else")
    assert wsgi.read(given).target == target


def test_the_facts():
    """Method, scheme, host, peer and fields, in the words of a request."""
    request = wsgi.read(
        environ(
            REQUEST_METHOD="POST",
            CONTENT_TYPE="text/plain",
            CONTENT_LENGTH="3",
            HTTP_ACCEPT_LANGUAGE="d\xe9",
            HTTP_HOST="App.Example.com:443",
            HTTP_CONTENT_LENGTH="9",
            REMOTE_USER="root",
            SERVER_NAME="x",
        )
    )
    assert (request.method, request.scheme) == ("POST", "https")
    assert (request.host, request.peer) == ("app.example.com", "192.0.2.1")
    assert request.value(b"content-type") == b"text/plain"
    assert request.value(b"accept-language") == b"d\xe9"
    assert request.value(b"content-length") == b"3"
    assert request.value(b"remote-user") is None


@pytest.mark.parametrize("host", [None, "", "a b", "a,b", "x:70000", "\u0101"])
def test_no_valid_host(host):
    """What is no authority is none, and several hosts, which a server joins, are none either."""
    given = environ(HTTP_HOST=host)
    if host is None:
        del given["HTTP_HOST"]
    assert wsgi.read(given).host == ""


def test_an_empty_content_type_is_none():
    """Servers may leave these two out, or hand over "" (PEP 3333, environ Variables)."""
    request = wsgi.read(environ(CONTENT_TYPE="", CONTENT_LENGTH=""))
    assert fields.cookie_values(request.values(b"cookie"), b"x") == []
    assert [name for name, _ in request.fields] == [b"host"]


class Client(io.RawIOBase):
    """Sends what it was given piece by piece; to read on after `length` bytes would wait for ever."""

    def __init__(self, parts: Sequence[bytes], length: int | None = None) -> None:
        self.parts = list(parts)
        self.left = sum(map(len, parts)) if length is None else length
        self.asked: list[int] = []

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= self.left, "this would wait for ever"
        self.asked.append(size)
        if not self.parts:
            return b""
        part = self.parts.pop(0)
        if len(part) > size:
            self.parts.insert(0, part[size:])
        self.left -= len(part[:size])
        return part[:size]


def upload(client: Any, **more: str) -> wsgi.Upload:
    """What that client sends."""
    return wsgi.Upload(environ(**{"wsgi.input": client, **more}))


@pytest.mark.parametrize(
    ("parts", "length", "most", "body"),
    [
        ([b"abc", b"def"], "6", 10, b"abcdef"),
        ([b"abc", b"def"], "6", 6, b"abcdef"),
        ([b"abc", b"def"], "6", 5, None),
        ([], "0", 5, b""),
        ([b"abc"], "", 5, b""),  # without a length it has none
        ([b"abc"], "x", 5, b""),
        ([b"abc"], "-1", 5, b""),
        ([b"abc"], "\u0663", 5, b""),  # a digit of another script
    ],
)
def test_a_body_is_read_to_its_length(parts, length, most, body):
    """Never beyond it: a server need not say where it ends."""
    assert upload(Client(parts), CONTENT_LENGTH=length).body(most) == body


def test_what_is_too_long_is_not_read_at_all():
    """Its length says so."""
    client = Client([b"abc"])
    assert upload(client, CONTENT_LENGTH="3").body(2) is None
    assert client.asked == []


def test_a_body_that_breaks_off_is_none():
    """The client went away."""
    assert upload(Client([b"abc"], 6), CONTENT_LENGTH="6").body(10) is None


@pytest.mark.parametrize(("most", "body"), [(10, b"abcdef"), (6, b"abcdef"), (5, None)])
def test_a_server_may_promise_an_end(most, body):
    """Then a body without a length (chunked) is read to that."""
    given = environ(**{"wsgi.input": io.BytesIO(b"abcdef"), "wsgi.input_terminated": True})
    assert wsgi.Upload(given).body(most) == body


@pytest.mark.parametrize(("length", "asked"), [(10, [10]), (100_000, [65536, 34464])])
def test_what_is_still_sent_is_dropped(length, asked):
    """Up to its length."""
    client = Client([b"x" * each for each in asked])
    upload(client, CONTENT_LENGTH=str(length)).drop()
    assert client.asked == asked
    assert client.left == 0


def test_no_more_than_a_bounded_amount_is_dropped(monkeypatch):
    """An upload without end is given up."""
    monkeypatch.setattr(wsgi.wire, "MOST_DROPPED", 100_000)

    class Endless(io.RawIOBase):
        sent = 0

        def read(self, size: int = -1) -> bytes:
            self.sent += size
            return b"x" * size

    client = Endless()
    upload(client, CONTENT_LENGTH="1000000000").drop()
    assert 100_000 <= client.sent <= 100_000 + 65536


def test_a_client_that_leaves_meanwhile_disturbs_nobody():
    """The answer is out."""

    class Gone(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError

    upload(Gone(), CONTENT_LENGTH="5").drop()
