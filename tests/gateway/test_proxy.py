"""The proxy on the wire: what a site is sent, and what becomes of its answer."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from tests.ports import free_port

from demur.core.model import Allow, ConfigError, Request, Subject, UpstreamFailure
from demur.core.reasons import Reason
from demur.gateway.proxy.forward import Proxy, is_dropped

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b"Host: app.example\r\nConnection: close\r\n\r\n"


def lines(head: bytes) -> list[bytes]:
    return head.rstrip(b"\r\n").split(b"\r\n")


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/?",
        b"/a?",
        b"/a?b?c",
        b"/%2f%2F/..%2f./x/../y",
        b"//double//slashes",
        b"/a%20b+c?d=%C3%A9&e=[]|{}",
        b"/;p=1;q?x=;",
        b"/%zz%",
        b"/a?http://x/y#frag",
        b"/~tilde!$&'()*,:@",
    ],
)
async def test_the_target_is_passed_on_byte_for_byte(site: Any, proxied: Any, target: bytes) -> None:
    """No byte of the target changes on the way, whatever it may mean."""
    behind = await site(OK)
    before = await proxied(behind.url)
    answer = await before.exchange(b"GET " + target + b" HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 200")
    assert lines(behind.heads[0])[0] == b"GET " + target + b" HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"])
async def test_the_method_is_passed_on(site: Any, proxied: Any, method: str) -> None:
    """Any method that can be read reaches the site as it is."""
    behind = await site(OK)
    before = await proxied(behind.url)
    await before.exchange(f"{method} /x HTTP/1.1\r\n".encode() + CLOSE)
    assert lines(behind.heads[0])[0] == f"{method} /x HTTP/1.1".encode()


async def test_nothing_is_added_but_what_we_say(site: Any, proxied: Any) -> None:
    """The site sees the fields of the request in their order with their bytes, and after them ours, and no others."""
    behind = await site(OK)
    before = await proxied(behind.url)
    await before.exchange(
        b"GET / HTTP/1.1\r\nX-B: 2\r\nHost: App.example:8443\r\nX-A: \xe9\xff \xc3\xa9\r\nx-b: 1\r\nCookie: a=b; c\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert lines(behind.heads[0])[1:] == [
        b"x-b: 2",
        b"host: App.example:8443",
        b"x-a: \xe9\xff \xc3\xa9",
        b"x-b: 1",
        b"cookie: a=b; c",
        b"via: 1.1 demur",
        b"x-forwarded-proto: http",
        b"x-forwarded-for: 192.0.2.7",
        b"x-forwarded-host: app.example:8443",
        b'forwarded: for=192.0.2.7;host="app.example:8443";proto=http',
    ]


@pytest.mark.parametrize(
    "forged",
    [
        b"Remote-User: root",
        b"remote_user: root",
        b"REMOTE.GROUPS: admins",
        b"Remote-Assertion: forged",
        b"X-Forwarded-For: 127.0.0.1",
        b"X_Forwarded_Host: evil.example",
        b"X-Forwarded-Prefix: /x",
        b"Forwarded: for=127.0.0.1",
        b"X-Real-IP: 127.0.0.1",
        b"X-Original-URL: /public",
        b"X-Rewrite-URL: /public",
        b"X-Original-URI: /public",
        b"Proxy: http://evil.example",
        b"Proxy-Authorization: Basic eDp5",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Trailer: Remote-User",
        b"Demur-Refuse: not-permitted",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    ],
)
async def test_what_is_not_the_clients_to_say_is_dropped(site: Any, proxied: Any, forged: bytes) -> None:
    """A field that names somebody, somewhere else, or this connection only, does not reach the site."""
    behind = await site(OK)
    before = await proxied(behind.url)
    await before.exchange(b"GET / HTTP/1.1\r\n" + forged + b"\r\n" + CLOSE)
    assert forged.partition(b": ")[2] not in behind.heads[0]


async def test_connection_names_what_is_dropped_but_never_what_we_say(site: Any, proxied: Any) -> None:
    """A token of `Connection` removes the client's field, and neither ours nor the host nor the length."""
    behind = await site(_reads(3))
    before = await proxied(behind.url, subject=Subject("0190", "ada"))
    tokens = b"close, X-Secret, Remote-User, X-Forwarded-For, Forwarded, Via, Host, Content-Length, remote-subject"
    await before.exchange(
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Secret: 1\r\nX-Kept: 2\r\nContent-Length: 3\r\nConnection: "
        + tokens
        + b"\r\n\r\nabc"
    )
    names = [line.partition(b":")[0] for line in lines(behind.heads[0])[1:]]
    assert b"x-secret" not in names
    assert {b"host", b"content-length", b"x-kept", b"via", b"forwarded", b"x-forwarded-for"} <= set(names)
    assert {b"remote-user", b"remote-subject"} <= set(names)


async def test_the_site_is_told_who_it_is(site: Any, proxied: Any) -> None:
    """A person who was let in is named once, in fields that the request did not bring."""
    behind = await site(OK)
    ada = Subject("0190-x", "ada", frozenset({"staff"}), display_name="Ada L\u00f6velace", email="ada@example.com")
    before = await proxied(behind.url, subject=ada)
    await before.exchange(b"GET / HTTP/1.1\r\nremote-user: eve\r\nRemote_Groups: admins\r\n" + CLOSE)
    told = [line for line in lines(behind.heads[0]) if line.startswith(b"remote")]
    assert told == [
        b"remote-subject: 0190-x",
        b"remote-user: ada",
        b"remote-name: Ada%20L%C3%B6velace",
        b"remote-email: ada@example.com",
        b"remote-groups: staff",
    ]


def _reads(size: int, answer: bytes = OK) -> Any:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(size)
        writer.write(answer)

    return handle


@pytest.mark.parametrize(
    ("head", "content", "seen"),
    [
        (b"Content-Length: 5\r\n", b"hello", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\nTrailer: Remote-User\r\n", b"1\r\nx\r\n0\r\nRemote-User: root\r\n\r\n", b"x"),
        (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b""),
        (b"Content-Length: 0\r\n", b"", b""),
    ],
)
async def test_content_is_passed_on(site: Any, proxied: Any, head: bytes, content: bytes, seen: bytes) -> None:
    """The content arrives whole and framed as it was sent; trailers are dropped."""
    got = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"transfer-encoding: chunked" in behind.heads[-1]:
            while size := int(await reader.readline(), 16):
                got.extend((await reader.readexactly(size + 2))[:-2])
            assert await reader.readline() == b"\r\n"
        elif b"content-length: 5" in behind.heads[-1]:
            got.extend(await reader.readexactly(5))
        writer.write(OK)

    behind = await site(handle)
    before = await proxied(behind.url)
    answer = await before.exchange(b"POST / HTTP/1.1\r\n" + head + CLOSE + content)
    assert answer.endswith(b"ok")
    assert got == seen
    assert b"root" not in behind.heads[0]


@pytest.mark.parametrize(
    ("method", "given", "status", "fields", "content"),
    [
        (b"GET", OK, b"200", [b"content-length: 2"], b"ok"),
        (
            b"GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n",
            b"200",
            [],
            b"a",
        ),
        (b"GET", b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", b"204", [], b""),
        (b"GET", b'HTTP/1.1 304 Not\r\nETag: "x"\r\nContent-Length: 9\r\n\r\n', b"304", [b'etag: "x"'], b""),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"200", [b"content-length: 900"], b""),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"200", [], b""),
        (
            b"GET",
            b"HTTP/1.1 206 Part\r\nContent-Range: bytes 1-2/9\r\nContent-Length: 2\r\n\r\nbc",
            b"206",
            [b"content-range: bytes 1-2/9"],
            b"bc",
        ),
        (b"GET", b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" + OK, b"200", [], b"ok"),
        (b"GET", b"HTTP/1.1 404 No\r\nContent-Length: 1\r\nServer: s\r\n\r\nx", b"404", [b"server: s"], b"x"),
        (
            b"GET",
            (
                b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Y: \xe9\r\nContent-Encoding: gzip\r\n"
                b"Keep-Alive: timeout=1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: 1\r\n\r\nz"
            ),
            b"200",
            [b"set-cookie: a=1", b"set-cookie: b=2", b"x-y: \xe9", b"content-encoding: gzip"],
            b"z",
        ),
        (b"GET", b"HTTP/1.1 302 F\r\nLocation: http://else.example/\r\nContent-Length: 0\r\n\r\n", b"302", [], b""),
    ],
)
async def test_answers_are_passed_on(
    site: Any, proxied: Any, method: bytes, given: bytes, status: bytes, fields: list[bytes], content: bytes
) -> None:
    """Status, fields with duplicates, and content come through; what belongs to the inner connection does not."""
    behind = await site(given)
    before = await proxied(behind.url)
    answer = await before.exchange(method + b" / HTTP/1.1\r\n" + CLOSE)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert set(fields) <= set(lines(head))
    assert b"hop" not in head.lower()
    assert b"timeout=1" not in head
    assert head.lower().count(b"date:") == 1
    if b"transfer-encoding" in head and method != b"HEAD":
        body = body.partition(b"\r\n")[2].partition(b"\r\n")[0]
    assert body == content


async def test_the_sites_own_date_stays(site: Any, proxied: Any) -> None:
    """Only an answer without a date is given one."""
    behind = await site(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n")
    before = await proxied(behind.url)
    answer = await before.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert [line for line in lines(answer) if line.startswith(b"date")] == [b"date: Sun, 06 Nov 1994 08:49:37 GMT"]


async def test_events_are_not_held_back(site: Any, proxied: Any) -> None:
    """The first event of a stream arrives before the second one is sent."""
    second = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await second.wait()
        writer.write(b"data: 2\n\n")
        writer.close()

    behind = await site(handle)
    before = await proxied(behind.url)
    reader, writer = await before.connect()
    writer.write(b"GET /events HTTP/1.1\r\n" + CLOSE)
    async with asyncio.timeout(5):
        await reader.readuntil(b"data: 1\n\n")
        second.set()
        await reader.readuntil(b"data: 2\n\n")
        assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_cut_off_answer_is_cut_off(
    site: Any, proxied: Any, cut: bytes, version: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that breaks off behind us does not end cleanly before us, not even for HTTP/1.0."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(cut)
        await writer.drain()
        writer.close()

    behind = await site(handle)
    before = await proxied(behind.url)
    reader, writer = await before.connect()
    writer.write(b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n")
    got = b""
    reset = False
    try:
        got = await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        reset = True
    whole = got.endswith(b"0\r\n\r\n") or (b"chunked" not in got and b"content-length" not in got)
    assert reset or not got or not whole
    writer.close()
    assert "was cut off" in caplog.text
    assert "Traceback" not in caplog.text


async def test_nobody_there_is_unreachable(proxied: Any) -> None:
    """A site that refuses connections is upstream-unreachable."""
    before = await proxied(f"http://127.0.0.1:{free_port()}")
    answer = await before.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 502")
    assert before.errors[0].reason is Reason.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_unreachable(site: Any, proxied: Any, nonsense: bytes) -> None:
    """An answer that cannot be passed on is no answer."""
    behind = await site(nonsense)
    before = await proxied(behind.url)
    answer = await before.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 502")


async def test_a_silent_site_is_too_slow(site: Any, proxied: Any) -> None:
    """A site that does not begin its answer in time is upstream-timeout, and its connection is closed."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    behind = await site(handle)
    before = await proxied(behind.url, answer=0.05)
    answer = await before.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 504")
    assert before.errors[0].reason is Reason.UPSTREAM_TIMEOUT
    await asyncio.wait_for(behind.closed.wait(), 20)


async def test_a_slow_client_is_not_a_slow_site(site: Any, proxied: Any) -> None:
    """Waiting for the client's content does not count against the site."""
    behind = await site(_reads(4))
    before = await proxied(behind.url, answer=0.1)
    reader, writer = await before.connect()
    writer.write(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n" + CLOSE + b"ab")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.4)
    writer.write(b"cd")
    assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"ok")
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"]
)
async def test_a_client_that_leaves_ends_the_request_behind(site: Any, proxied: Any, sent: bytes) -> None:
    """When the client goes away, before or within the answer, the site's connection is closed, content unfinished."""
    asked = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    behind = await site(handle)
    before = await proxied(behind.url)
    _, writer = await before.connect()
    writer.write(sent)
    await asyncio.wait_for(asked.wait(), 20)
    writer.close()
    await asyncio.wait_for(behind.closed.wait(), 20)
    assert not before.errors


async def test_a_client_that_leaves_a_stream_ends_it(site: Any, proxied: Any) -> None:
    """A stream that nobody reads any more is closed behind, even if the site says nothing."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n")
        await reader.read()
        writer.close()

    behind = await site(handle)
    before = await proxied(behind.url)
    reader, writer = await before.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"data: 1"), 20)
    writer.close()
    await asyncio.wait_for(behind.closed.wait(), 20)


async def test_connections_are_used_again(site: Any, proxied: Any) -> None:
    """Ten requests one after the other take one connection to the site."""
    behind = await site(OK)
    before = await proxied(behind.url)
    reader, writer = await before.connect()
    for _ in range(10):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"ok"), 20)
    writer.close()
    assert behind.connections == 1
    assert len(behind.heads) == 10


@pytest.mark.parametrize(
    ("request_", "status", "asked"),
    [
        (b"GET / HTTP/1.1\r\n" + CLOSE, b"200", 2),
        (b"DELETE / HTTP/1.1\r\n" + CLOSE, b"200", 2),
        (b"POST / HTTP/1.1\r\n" + CLOSE, b"502", 1),
        (b"PUT / HTTP/1.1\r\nContent-Length: 1\r\n" + CLOSE + b"x", b"502", 1),
    ],
)
async def test_a_stale_connection_is_retried_only_where_that_is_safe(
    site: Any, proxied: Any, request_: bytes, status: bytes, asked: int
) -> None:
    """A request on a connection that the site closes unanswered is repeated once if it may be, and only then."""
    served = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        if served == 2:
            writer.close()
        else:
            writer.write(OK)

    behind = await site(handle)
    before = await proxied(behind.url)
    await before.exchange(b"GET /first HTTP/1.1\r\n" + CLOSE)
    answer = await before.exchange(request_)
    assert answer.split()[1] == status
    assert len(behind.heads) == 1 + asked


async def test_a_first_answer_that_fails_is_not_retried(site: Any, proxied: Any) -> None:
    """A new connection that is closed unanswered is a failure, not a stale connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    behind = await site(handle)
    before = await proxied(behind.url)
    assert (await before.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)).startswith(b"HTTP/1.1 502")
    assert len(behind.heads) == 1


async def test_a_site_may_answer_before_the_upload_ends(site: Any, proxied: Any) -> None:
    """An early answer reaches the client while it is still uploading."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await reader.read()

    behind = await site(handle)
    before = await proxied(behind.url)
    reader, writer = await before.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100)
    assert (await asyncio.wait_for(reader.readuntil(b"big"), 20)).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_content_is_asked_for_only_when_the_site_wants_it(site: Any, proxied: Any) -> None:
    """With `Expect: 100-continue` the client is told to go on after the site was asked and said so."""
    allow = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await allow.wait()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(4) == b"abcd"
        writer.write(OK)

    behind = await site(handle)
    before = await proxied(behind.url)
    reader, writer = await before.connect()
    writer.write(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n" + CLOSE)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    assert b"expect: 100-continue" in behind.heads[0]
    allow.set()
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"abcd")
    assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"ok")
    writer.close()


async def test_a_site_may_refuse_content_unseen(site: Any, proxied: Any) -> None:
    """If the site answers at once, no 100 is sent and the connection is closed afterwards."""
    behind = await site(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    before = await proxied(behind.url)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    answer = await before.exchange(head)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"connection: close" in answer


async def test_a_request_of_nobodys_is_passed_on(site: Any, front: Any) -> None:
    """A middleware may ask for something by itself, with a `receive` that always has an empty content ready."""
    behind = await site(OK)
    proxy = Proxy(behind.url)

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def asking(scope: Any, receive: Any, send: Any) -> None:
        scope["demur"] = SimpleNamespace(allow=Allow(), request=Request("GET", b"/x", "http", "a", "", ()))
        await proxy(scope, nothing, send)

    before = await front(asking)
    assert (await before.exchange(b"GET /x HTTP/1.1\r\n" + CLOSE)).endswith(b"ok")
    await proxy.aclose()


async def test_two_targets_are_one_too_many(site: Any, proxied: Any, front: Any) -> None:
    """What was judged and what was asked for have to be the same bytes, else nothing is passed on."""
    behind = await site(OK)
    proxy = Proxy(behind.url)
    judged = Request("GET", b"/public", "http", "a", "", ())

    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        scope["demur"] = SimpleNamespace(allow=Allow(), request=judged)
        with pytest.raises(RuntimeError, match="not the target"):
            await proxy(scope, receive, send)
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    before = await front(wrong)
    assert (await before.exchange(b"GET /secret HTTP/1.1\r\n" + CLOSE)).startswith(b"HTTP/1.1 500")
    assert not behind.heads


@pytest.mark.parametrize(
    "url", ["http://", "ftp://x", "http://h/path", "http://u:p@h", "http://h:99999", "h:80", "http://h?x"]
)
def test_bad_upstreams_are_known_at_once(url: str) -> None:
    """An address that is more or less than scheme, host and port is an error when the proxy is made."""
    with pytest.raises(ConfigError, match="http://host:port"):
        Proxy(url)


@pytest.mark.parametrize("name", [b"accept", b"authorization", b"cookie", b"x-request-id", b"x-http-method-override"])
def test_ordinary_fields_are_not_dropped(name: bytes) -> None:
    """What is not ours and not the connection's is none of our business."""
    assert not is_dropped(name)


@pytest.mark.parametrize("name", [b"x-" + b"a" * 60_000, b"remote-" + b"a" * 60_000])
def test_names_that_a_client_made_up_are_not_kept(name: bytes) -> None:
    """What is remembered of names takes no more room than the names of fields that there are."""
    before = sys.getrefcount(name)
    assert is_dropped(name) is name.startswith(b"remote-")
    assert sys.getrefcount(name) == before


def test_failures_carry_their_cause() -> None:
    """A failure names its reason for the client and its cause for the log."""
    failure = UpstreamFailure(Reason.UPSTREAM_TIMEOUT, "no answer within 60 s")
    assert failure.cause == "no answer within 60 s"
