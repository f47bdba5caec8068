"""The server from its start to an orderly end, with and without TLS."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from demur.core.model import ConfigError
from demur.gateway.server import answers, crowd
from demur.gateway.server.crowd import Share
from demur.gateway.server.serve import Listener, serve, tls_context

if TYPE_CHECKING:
    from pathlib import Path

_OPENSSL = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost "
    "-addext subjectAltName=DNS:localhost -days 2"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key; beside them, another key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [*_OPENSSL.split(), "-out", str(folder / "cert.pem"), "-keyout", str(folder / "key.pem")],
        check=True,
        capture_output=True,
    )
    other = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out"
    subprocess.run([*other.split(), str(folder / "other.pem")], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    body = f"{scope['scheme']} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def test_tls(front: Any, certificate: tuple[Path, Path]) -> None:
    """Over TLS the app is told so, the protocol is agreed on, and old versions are refused."""
    server = await front(hello, tls=tls_context(*certificate))
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await server.connect(ssl=context, server_hostname="localhost")
    tls = writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "http/1.1"
    assert tls.version() == "TLSv1.3"
    writer.write(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"https /x")
    old = ssl.create_default_context(cafile=str(certificate[0]))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):  # Python 3.11.2 hangs up without an alert
        await server.connect(ssl=old, server_hostname="localhost")


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        ("missing.pem", "key.pem", "missing.pem cannot be read: No such file"),
        ("cert.pem", "missing.pem", "missing.pem cannot be read: No such file"),
        ("cert.pem", "cert.pem", "cannot be used"),
        ("key.pem", "key.pem", "cannot be used"),
        ("cert.pem", "other.pem", "cannot be used"),
    ],
)
def test_a_bad_certificate_is_told(certificate: tuple[Path, Path], cert: str, key: str, says: str) -> None:
    """A certificate or key that cannot be used is a configuration error that names the file."""
    folder = certificate[0].parent
    with pytest.raises(ConfigError, match=says) as raised:
        tls_context(folder / cert, folder / key)
    assert raised.value.place == "gateway.tls"
    assert raised.value.fix


async def test_listeners_share_a_loop(tmp_path: Path) -> None:
    """Several listeners, unix sockets among them, each with its own app, run side by side."""

    async def other(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "s"))
    unix.listen()
    stop, ready = asyncio.Event(), asyncio.Event()
    port = tcp.getsockname()[1]
    task = asyncio.create_task(serve([Listener(tcp, hello), Listener(unix, other)], stop, ready=ready.set))
    await ready.wait()
    answers = []
    for reader, writer in (
        await asyncio.open_connection("127.0.0.1", port),
        await asyncio.open_unix_connection(str(tmp_path / "s")),
    ):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers.append(await asyncio.wait_for(reader.read(), 20))
        writer.close()
        await writer.wait_closed()
    assert answers[0].startswith(b"HTTP/1.1 200")
    assert answers[1].startswith(b"HTTP/1.1 204")
    stop.set()
    assert await task


async def test_running_requests_are_finished(front: Any) -> None:
    """After the stop nobody new is let in, what runs is answered whole, and then the server ends."""
    go, asked = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await go.wait()
        await hello(scope, receive, send)

    server = await front(slow, drain=10)
    reader, writer = await server.connect()
    writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    await asked.wait()
    server.stop.set()
    await server.draining.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await server.connect()
    assert not server.task.done()
    go.set()
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.endswith(b"http /slow")
    assert b"connection: close" in answer
    assert await asyncio.wait_for(server.task, 20)


async def test_who_was_let_in_is_answered(front: Any) -> None:
    """A connection that is idle when the server stops may still ask something, once."""
    server = await front(hello, drain=10)
    fresh = await server.connect()
    used = await server.connect()
    used[1].write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
    await used[0].readuntil(b"http /1")
    server.stop.set()
    await server.draining.wait()
    for reader, writer in (fresh, used):
        writer.write(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.endswith(b"http /2")
        assert b"connection: close" in answer
    assert await asyncio.wait_for(server.task, 20)


async def test_idle_connections_do_not_hold_up_the_end(front: Any) -> None:
    """A client that says nothing is left after a moment."""
    server = await front(hello, drain=10)
    reader, _ = await server.connect()
    server.stop.set()
    assert await asyncio.wait_for(reader.read(), 20) == b""
    assert await asyncio.wait_for(server.task, 20)


async def test_what_takes_too_long_is_broken_off(front: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Requests beyond the limit are cancelled, quietly, and the server says that it was not clean."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    server = await front(endless, drain=0.1)
    reader, writer = await server.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await begun.wait()
    server.stop.set()
    assert await asyncio.wait_for(server.task, 20) is False
    assert cancelled.is_set()
    assert await reader.read() == b""
    assert not caplog.records


async def test_connections_leave_room_for_the_rest(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can take all files that the process may open: where all connections are at work, one too many is told so
    and closed."""
    monkeypatch.setattr(crowd, "RESERVED", resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 4)
    asked, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        asked.release()
        await go_on.wait()
        await hello(scope, receive, send)

    serving = await front(waiting)
    sent = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    working = [await serving.connect() for _ in range(2)]
    for _, writer in working:
        writer.write(sent)
        await asked.acquire()
    reader, _ = await serving.connect()
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 503")
    go_on.set()
    for reader, _ in working:
        assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 200")
    assert (await serving.exchange(sent)).startswith(b"HTTP/1.1 200")


async def test_who_rests_makes_room(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all places are taken, the connection on which nothing was asked for longest is closed."""
    monkeypatch.setattr(crowd, "RESERVED", resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 4)
    serving = await front(hello)
    asked = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    (first, first_writer), (second, second_writer) = [await serving.connect() for _ in range(2)]
    for reader, writer in ((second, second_writer), (first, first_writer)):
        writer.write(asked)
        assert (await reader.readuntil(b"http /")).startswith(b"HTTP/1.1 200")
    assert (await serving.exchange(asked[:-2] + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await asyncio.wait_for(second.read(), 20) == b""
    first_writer.write(asked)
    assert (await first.readuntil(b"http /")).startswith(b"HTTP/1.1 200")


async def test_one_address_does_not_take_all_places(front: Any) -> None:
    """Beyond its share an address is told 429; others come in, and so does the next one once a place is free."""
    serving = await front(hello, share=Share(2))
    sent = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    (reader, writer), _ = [await serving.connect() for _ in range(2)]
    refused = await serving.exchange(b"")
    assert refused.startswith(b"HTTP/1.1 429")
    assert b"application/problem+json" in refused
    other, other_writer = await serving.connect(local_addr=("127.0.0.2", 0))
    other_writer.write(sent)
    assert (await asyncio.wait_for(other.read(), 20)).startswith(b"HTTP/1.1 200")
    writer.write(sent)
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 200")
    assert (await serving.exchange(sent)).startswith(b"HTTP/1.1 200")


async def test_who_does_not_read_is_left(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads nothing of its answer is hung up on, and the app hears of it."""
    monkeypatch.setattr(answers, "READ_SECONDS", 0.1)
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    serving = await front(app)
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(gone.wait(), 20)


@pytest.mark.parametrize(("files", "says"), [(300, "300 files open, which is enough for 118 connections"), (4096, "")])
def test_too_few_files_are_said(files: int, says: str) -> None:
    """Whoever starts a gateway that cannot hold many connections is told, and how to mend it."""
    code = (
        "import resource as r; from demur.gateway.server.worker import too_few_files;"
        f"r.setrlimit(r.RLIMIT_NOFILE, (100, {files})); print(too_few_files() or '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert says in done.stdout
    assert ("LimitNOFILE" in done.stdout) is bool(says)


def test_a_worker_takes_the_files_that_it_may_have() -> None:
    """The low limit that processes begin with is not the limit of what a worker serves."""
    code = (
        "import resource as r; from demur.gateway.server.worker import want_files; kind = r.RLIMIT_NOFILE;"
        "r.setrlimit(kind, (100, 300)); want_files(); print(r.getrlimit(kind))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(300, 300)\n"
