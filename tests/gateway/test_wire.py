"""What the server makes of bytes: requests for the app, or a refusal that ends the connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tracemalloc
from typing import Any

import pytest

from demur.gateway.server import wire
from demur.gateway.server.wire import HEAD_LIMIT

CLOSE = b"Host: a\r\nConnection: close\r\n\r\n"


class Recorder:
    """An app that keeps what it was asked and answers with the content that it read."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        fields = [(b"content-length", b"%d" % (len(body) + 1))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"=" + body})


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/?", "/", b"/", b""),
        (b"/a%2Fb?c%20d", "/a/b", b"/a%2Fb", b"c%20d"),
        (b"//x/y?a?b", "//x/y", b"//x/y", b"a?b"),
        (b"/%C3%A9%ff", "/é\ufffd", b"/%C3%A9%ff", b""),
        (b"https://a/x", "https://a/x", b"https://a/x", b""),
        (b"http://user@a/x", "http://user@a/x", b"http://user@a/x", b""),
        (b"http:///x", "http:///x", b"http:///x", b""),
        (b"*", "*", b"*", b""),
        (b"/a#b?c", "/a#b", b"/a#b", b"c"),
    ],
)
async def test_the_app_gets_the_target_as_it_was_sent(
    front: Any, target: bytes, path: str, raw_path: bytes, query: bytes
) -> None:
    """The raw bytes of the target reach the app, beside what ASGI makes of them."""
    app = Recorder()
    server = await front(app)
    answer = await server.exchange(b"OPTIONS " + target + b" HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 200")
    scope = app.scopes[0]
    assert scope["extensions"]["demur.target"] == {"raw": target}
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


@pytest.mark.parametrize(
    ("target", "host", "rest"),
    [
        (b"http://else.example/x?y", b"else.example", b"/x?y"),
        (b"HTTP://Else.Example:8000", b"Else.Example:8000", b"/"),
        (b"http://else.example?y", b"else.example", b"/?y"),
        (b"http://[::1]:80//x/../y#z", b"[::1]:80", b"//x/../y#z"),
    ],
)
async def test_a_whole_address_names_the_host(front: Any, target: bytes, host: bytes, rest: bytes) -> None:
    """In absolute-form, the host is that of the target, and what `Host` says is ignored (RFC 9112, 3.2.2)."""
    app = Recorder()
    server = await front(app)
    answer = await server.exchange(b"GET " + target + b" HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 200")
    scope = app.scopes[0]
    assert scope["extensions"]["demur.target"] == {"raw": rest}
    assert [value for name, value in scope["headers"] if name == b"host"] == [host]


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: a\r\n"])
async def test_a_whole_address_does_not_stand_for_a_host(front: Any, hosts: bytes) -> None:
    """A request names exactly one host in its field, whatever its target is (RFC 9112, 3.2)."""
    app = Recorder()
    server = await front(app)
    await server.exchange(b"GET http://a/x HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    assert app.scopes[0]["raw_path"] == b"http://a/x"


async def test_own_answers_have_a_date_and_no_name(front: Any) -> None:
    """An answer carries the date once, and does not tell what serves it."""
    server = await front(Recorder())
    answer = await server.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert answer.count(b"date: ") == 1
    assert b"server:" not in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\n" + CLOSE, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/2.0\r\n" + CLOSE, 505),
        (b"CONNECT a:443 HTTP/1.1\r\n" + CLOSE, 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1\r\n" + CLOSE, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + CLOSE, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 257 + CLOSE, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2 * HEAD_LIMIT, 431),
    ],
)
async def test_what_cannot_be_read_is_refused(front: Any, sent: bytes, status: int) -> None:
    """Bytes that are no request we take are answered with a problem that may not be stored, and a closed connection."""
    app = Recorder()
    server = await front(app)
    answer = await server.exchange(sent)
    assert app.bodies == []
    head, _, body = answer[answer.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert b"application/problem+json" in head
    assert b"no-store" in head
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem.get("reason") == ("request-malformed" if status == 400 else None)


async def test_each_head_is_bounded(front: Any) -> None:
    """A second head on the same connection may be as large as the first one, and no larger."""
    server = await front(Recorder())
    reader, writer = await server.connect()
    for _ in range(3):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\nX: " + b"a" * 60_000 + b"\r\n\r\n")
        writer.write(b"b" * 60_000)
        assert (await reader.readuntil(b"b" * 60_000)).startswith(b"HTTP/1.1 200")
    for _ in range(5):
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT)
        await writer.drain()
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 431")


async def test_garbage_behind_a_request_does_not_spoil_its_answer(front: Any) -> None:
    """What cannot be read ends the connection only after the request before it was answered, and adds nothing."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"cd"})

    server = await front(app)
    reader, writer = await server.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"ab")
    writer.write(b"\x00garbage\r\n\r\n")
    await writer.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    go.set()
    assert await asyncio.wait_for(reader.read(), 20) == b"cd"


async def test_a_head_in_small_pieces_is_bounded_in_time(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not finish its head in time is told so; one that says nothing is left."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.1)
    server = await front(Recorder())
    assert (await server.exchange(b"GET / HTTP/1.1\r\nHost:")).startswith(b"HTTP/1.1 408")
    assert await server.exchange(b"") == b""
    reader, writer = await server.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /second HT")
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answer


async def test_content_that_does_not_come_is_not_waited_for(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that falls silent within the content is told so, and the app that it is gone."""
    monkeypatch.setattr(wire, "CONTENT_SECONDS", 0.1)
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    server = await front(app)
    answer = await server.exchange(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    assert answer.startswith(b"HTTP/1.1 408")
    assert gone.is_set()


# 30 bytes take 1.2 s at least, and longer on a busy machine.
@pytest.mark.parametrize(("seconds", "least", "status"), [(0.2, 10, b"408"), (1.0, 1, b"200")])
async def test_content_that_drips_is_not_waited_for(
    front: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, least: int, status: bytes
) -> None:
    """A client that always sends something and never much is too slow all the same."""
    monkeypatch.setattr(wire, "CONTENT_SECONDS", seconds)
    monkeypatch.setattr(wire, "CONTENT_LEAST", least)
    app = Recorder()
    server = await front(app)
    reader, writer = await server.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30\r\n\r\n")
    answer = asyncio.create_task(reader.read())
    for _ in range(30):
        writer.write(b"x")
        await asyncio.wait((answer,), timeout=0.04)
        if answer.done():
            break
    assert (await asyncio.wait_for(answer, 20)).startswith(b"HTTP/1.1 " + status)


async def test_a_slow_app_is_not_a_slow_client(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was not asked for the content yet, cannot send more, or has been answered, is not too late with it."""
    monkeypatch.setattr(wire, "CONTENT_SECONDS", 0.05)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/answered":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await asyncio.sleep(0.3)
        length = 0
        while (message := await receive()).get("more_body"):
            length += len(message["body"])
        if scope["path"] != "/answered":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    server = await front(app)
    for path, field, at_once in (
        (b"/asked", b"Expect: 100-continue", 0),
        (b"/full", b"X: y", 200_000),
        (b"/answered", b"X: y", 10),
    ):
        reader, writer = await server.connect()
        writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n" + field + b"\r\n\r\n")
        writer.write(bytes(at_once))
        await asyncio.sleep(0.2)
        writer.write(bytes(300_000 - at_once))
        assert b"HTTP/1.1 200" in await asyncio.wait_for(reader.readuntil(b"ok"), 20), path


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_an_upgrade_that_we_do_not_make_is_ignored(front: Any, upgrade: bytes, framing: str) -> None:
    """The content of a request with a foreign `Upgrade` is content, never the next request."""
    app = Recorder()
    server = await front(app)
    content = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /real HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\n"
    sent = {
        "length": head + b"Content-Length: %d\r\n\r\n" % len(content) + content,
        "chunked": head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(content), content),
        "none": head + b"\r\n",
    }[framing]
    for step in (len(sent), len(sent) - 10, 1):
        app.scopes.clear()
        app.bodies.clear()
        reader, writer = await server.connect()
        for start in range(0, len(sent), step):
            writer.write(sent[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"GET /next HTTP/1.1\r\n" + CLOSE)
        await asyncio.wait_for(reader.read(), 20)
        assert [scope["path"] for scope in app.scopes] == ["/real", "/next"]
        assert app.bodies[0] == (b"" if framing == "none" else content)


@pytest.mark.parametrize(
    "wrong",
    [
        b"Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
        b"Sec-WebSocket-Version: 13\r\n",
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 0\r\n",
    ],
)
async def test_a_handshake_that_is_none_is_an_ordinary_request(front: Any, wrong: bytes) -> None:
    """Only a complete opening handshake becomes a WebSocket."""
    app = Recorder()
    server = await front(app)
    head = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + wrong + b"\r\n"
    await server.exchange(head + b"GET /last HTTP/1.1\r\n" + CLOSE)
    assert [scope["type"] for scope in app.scopes] == ["http", "http"]


async def test_trailers_are_dropped(front: Any) -> None:
    """Fields behind the content reach neither this request nor the next one on the connection."""
    app = Recorder()
    server = await front(app)
    await server.exchange(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nRemote-User: root\r\n\r\n"
        b"GET / HTTP/1.1\r\n" + CLOSE
    )
    assert len(app.scopes) == 2
    assert all(name != b"remote-user" for scope in app.scopes for name, _ in scope["headers"])


@pytest.mark.parametrize(("fields", "ends"), [([], b"\r\n\r\nabcd"), ([(b"content-length", b"4")], b"\r\n\r\nabcd")])
async def test_http_1_0_is_never_chunked(front: Any, fields: Any, ends: bytes) -> None:
    """An answer to HTTP/1.0 is as long as it says, or as the connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(fields)})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"cd"})

    server = await front(app)
    answer = await server.exchange(b"GET / HTTP/1.0\r\n\r\n")
    assert b"chunked" not in answer
    assert answer.endswith(ends)


@pytest.mark.parametrize("whole", [True, False])
async def test_only_an_unfinished_answer_is_broken_off(front: Any, whole: bool) -> None:
    """Breaking off leaves an answer alone that is whole already, and closes the connection of any other."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"abcd" if whole else b"ab", "more_body": not whole})
        scope["extensions"]["demur.abort"]["call"]()

    server = await front(app)
    reader, writer = await server.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    if whole:
        await asyncio.wait_for(reader.readuntil(b"abcd"), 20)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"abcd"), 20)
    else:
        assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"\r\n\r\nab")


async def test_pipelined_requests_are_answered_in_order(front: Any) -> None:
    """Requests that were sent at once are answered one after the other."""
    server = await front(Recorder())
    sent = b"".join(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d" % number for number in range(5))
    answer = await server.exchange(sent + b"GET / HTTP/1.1\r\n" + CLOSE)
    assert [part[:2] for part in answer.split(b"\r\n\r\n")[1:6]] == [b"=0", b"=1", b"=2", b"=3", b"=4"]


async def test_only_so_many_requests_may_wait(front: Any) -> None:
    """Whoever sends thousands of requests at once gets some of them answered, and has to send the others again."""
    go_on = asyncio.Event()
    asked = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope)
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    server = await front(app)
    reader, writer = await server.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5000)
    while not asked:
        await asyncio.sleep(0)
    go_on.set()
    with contextlib.suppress(ConnectionError):  # closed while there was more to read
        await asyncio.wait_for(reader.read(), 20)
    assert len(asked) <= wire.MOST_WAITING + 1


# --- refused uploads --------------------------------------------------------------------------------


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """Refuse as the middleware does: answer, read on for a while, then end the answer."""
    expects = (b"expect", b"100-continue") in scope["headers"]
    fields = [(b"content-length", b"7"), *([(b"connection", b"close")] if expects else [])]
    await send({"type": "http.response.start", "status": 401, "headers": fields})
    await send({"type": "http.response.body", "body": b"refused", "more_body": not expects})
    if expects:
        return
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.slow
async def test_a_refused_upload_reads_its_answer(front: Any) -> None:
    """Of a hundred clients that send 8 MB before they read, each one reads the refusal, and can go on."""
    server = await front(refusing)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n"
    content = bytes(8_000_000)
    for _ in range(100):
        reader, writer = await server.connect()
        writer.write(head + content)
        await writer.drain()
        assert (await asyncio.wait_for(reader.readuntil(b"refused"), 10)).startswith(b"HTTP/1.1 401")
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"refused"), 10)).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_content_that_was_announced_is_not_asked_for(front: Any) -> None:
    """With `Expect: 100-continue`, a refusal is the only answer, and the connection is closed."""
    server = await front(refusing)
    answer = await server.exchange(
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 8000000\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"100 Continue" not in answer


# --- WebSocket ----------------------------------------------------------------------------------------

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = bytes(4)  # RFC 6455, 5.3, with a mask that changes nothing
PING = b"\x89\xfd" + MASK + b"p" * 125


async def listening(scope: Any, receive: Any, send: Any) -> None:
    """Take a WebSocket, and send the length of each message."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": str(len(message["bytes"]))})


async def test_who_does_not_read_is_not_answered_for_ever(front: Any) -> None:
    """Pings of a client that reads no pongs do not pile up here; those of one that reads are answered."""
    all_seen = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            all_seen.set()

    room, pings = 16 * 1024, 32_000
    server = await front(app, room=room)
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        for message, answer in ((HANDSHAKE, b"\r\n\r\n"), (PING, b"p" * 125)):
            await loop.sock_sendall(sock, message)
            received = b""
            while not received.endswith(answer):
                received += await asyncio.wait_for(loop.sock_recv(sock, 65536), 20)
        for _ in range(pings // 800):
            await loop.sock_sendall(sock, PING * 800)
        await loop.sock_sendall(sock, b"\x82\x80" + MASK)
        await asyncio.wait_for(all_seen.wait(), 20)  # every ping before it was answered, or was not
        await loop.sock_sendall(sock, b"\x88\x80" + MASK)
        length = 0
        while data := await asyncio.wait_for(loop.sock_recv(sock, 1 << 20), 20):
            length += len(data)
    # both rooms, of which the kernel takes twice as much, and the 64 KiB after which a transport is full; not 4 MB
    assert length < 1_000_000


async def test_a_message_in_many_pieces_takes_its_own_room(front: Any) -> None:
    """However small the pieces are, they take no more memory than the message, and it is whole in the end."""
    server = await front(listening)
    reader, writer = await server.connect()
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    pieces = 30_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        writer.write(b"\x02\x82" + MASK + b"ab")
        for _ in range(pieces // 1000):
            writer.write((b"\x00\x82" + MASK + b"ab") * 1000)
            await writer.drain()
        writer.write(PING)
        await asyncio.wait_for(reader.readuntil(b"p" * 125), 20)
        assert tracemalloc.get_traced_memory()[0] - before < 700_000
    finally:
        tracemalloc.stop()
    writer.write(b"\x80\x80" + MASK)
    assert await asyncio.wait_for(reader.readexactly(7), 20) == b"\x81\x0560002"
