"""A refused upload of 8 MB reads its 401, whoever stands in between; a passed one takes no memory."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.ports import free_port

from demur.adapters import asgi
from demur.core.model import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

TRIES = 100
SIZE = 8_000_000
REFUSED = Response(401, ((b"www-authenticate", b'Cookie realm="x"'), (b"content-length", b"7")), b"refused")

NGINX = """
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream demur {{ server 127.0.0.1:{port}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{front};
    location / {{ proxy_pass http://demur; proxy_http_version {version}; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_request_buffering {buffering}; }}
  }}
}}
"""


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """The middleware's own way to refuse."""
    await asgi.answer(REFUSED, asgi.read(scope), scope, receive, send)


@pytest.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Start nginx before a port; the port at which it listens."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        pytest.skip("nginx is not installed")
    processes = []

    async def start(port: int, **options: str) -> int:
        front = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        config = tmp_path / "nginx.conf"
        config.write_text(NGINX.format(folder=tmp_path, port=port, front=front, user=user, **options))
        processes.append(subprocess.Popen([program, "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]))
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", front)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                    continue
                writer.close()
                await writer.wait_closed()
                return front

    yield start
    for process in processes:
        process.send_signal(signal.SIGQUIT)
        process.wait(10)


async def upload(port: int) -> bytes:
    """Send everything, to the last byte, and only then read: the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.transport.set_write_buffer_limits(0)
    try:
        writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
        for _ in range(8):
            writer.write(bytes(SIZE // 8))
            await writer.drain()
        return await asyncio.wait_for(reader.readuntil(b"refused"), 20)
    finally:
        writer.transport.abort()


@pytest.mark.slow
@pytest.mark.nginx
@pytest.mark.parametrize(("buffering", "version"), [("on", "1.1"), ("off", "1.1"), ("on", "1.0"), ("off", "1.0")])
async def test_a_refused_upload_through_nginx(front: Any, nginx: Any, buffering: str, version: str) -> None:
    """Of a hundred uploads through nginx, with and without its request buffering, each one reads the refusal."""
    server = await front(refusing)
    port = await nginx(server.port, buffering=buffering, version=version)
    for _ in range(TRIES):
        assert (await upload(port)).startswith(b"HTTP/1.1 401")


@pytest.mark.slow
async def test_a_refused_upload_directly(front: Any) -> None:
    """The same without anybody in between."""
    server = await front(refusing)
    for _ in range(TRIES):
        assert (await upload(server.port)).startswith(b"HTTP/1.1 401")


# --- memory -----------------------------------------------------------------------------------------

GIGABYTE = 1 << 30
PIECE = bytes(1 << 18)


def resident(pid: int) -> int:
    """The most bytes of a process that ever were in memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


@pytest.fixture
async def worker(site: Any) -> AsyncIterator[tuple[int, int]]:
    """A process that proxies to a site which gives and takes a gigabyte: its id, and its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if behind.heads[-1].startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
            for _ in range(GIGABYTE // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
            return
        left = GIGABYTE
        while left:
            left -= len(await reader.read(left))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntook")

    behind = await site(handle)
    program = Path(__file__).with_name("passing.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), behind.url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    yield process.pid, int(await process.stdout.readline())
    process.terminate()
    await process.wait()


async def get(port: int, path: bytes = b"/") -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    left = GIGABYTE
    while left:
        data = await reader.read(left)
        assert data
        left -= len(data)
    writer.close()
    await writer.wait_closed()


async def put(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
    for _ in range(GIGABYTE // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()
    assert (await reader.readuntil(b"took")).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


@pytest.mark.slow
@pytest.mark.parametrize("move", [get, put])
async def test_a_gigabyte_takes_no_memory(worker: tuple[int, int], move: Callable[[int], Awaitable[None]]) -> None:
    """A gigabyte in either direction makes the process grow by less than 64 MB."""
    pid, port = worker
    before = resident(pid)
    await asyncio.wait_for(move(port), 120)
    assert resident(pid) - before < 64 << 20
