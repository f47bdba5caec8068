"""Asking an app without a server: one request as a server hands it over, and the whole answer.

The app under test sees what a real server shows it, and nothing of the test: a body in one piece, a client that waits
for the answer, one line for each field (ASGI) or one name for all of them (WSGI, as gunicorn joins them).
"""

from __future__ import annotations

import asyncio
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, unquote_to_bytes

from tests.golden.club import PEER
from tests.golden.files import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from tests.golden.files import Pairs

Seen: TypeAlias = "Callable[[str], None]"
"""Is told what happens, in its order: "read" (somebody reads the content), "start" and "part" of the answer."""

HOST = "app.example.com"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. The target is sent byte for byte."""

    method: str
    target: str
    fields: Pairs
    body: bytes = b""


async def over_asgi(app: Any, asked: Asked, seen: Seen | None = None) -> Answer:
    """The answer of an ASGI app. What it raises before it has begun is the server's 500."""
    seen = seen or (lambda _: None)
    sent: list[MutableMapping[str, Any]] = []
    waiting = [{"type": "http.request", "body": asked.body, "more_body": False}]
    answered = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        if waiting:
            seen("read")
            return waiting.pop()
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        seen("start" if message["type"] == "http.response.start" else "part")
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            answered.set()

    try:
        await app(_scope(asked), receive, send)
    except Exception as fault:  # noqa: BLE001 - whatever it is, a server answers 500
        if not sent:
            return Answer(500, [], f"raised {fault!r}".encode())
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert not rest[-1].get("more_body", False)
    fields = [(bytes(name).decode().lower(), bytes(value).decode("latin-1")) for name, value in start["headers"]]
    return Answer(start["status"], fields, b"".join(part.get("body", b"") for part in rest))


def _scope(asked: Asked) -> MutableMapping[str, Any]:
    path, _, query = asked.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "https",
        "path": unquote(path, errors="replace"),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in asked.fields],
        "client": (PEER, 40000),
        "server": (HOST, 443),
        "extensions": {},
        "state": {},
    }


def over_wsgi(app: Any, asked: Asked, seen: Seen | None = None) -> Answer:
    """The answer of a WSGI app. What it raises before it has begun is the server's 500."""
    seen = seen or (lambda _: None)
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        assert not started or exc_info, "start_response was called twice"
        started[:] = [(status, headers)]
        seen("start")
        return written.append

    try:
        parts: Iterable[bytes] = app(_environ(asked, seen), start_response)
    except Exception as fault:  # noqa: BLE001 - whatever it is, a server answers 500
        return Answer(500, [], f"raised {fault!r}".encode())
    try:
        for part in parts:
            written.append(part)
            seen("part")
    finally:
        getattr(parts, "close", lambda: None)()
    ((status, headers),) = started
    return Answer(int(status[:3]), [(name.lower(), value) for name, value in headers], b"".join(written))


class _Input(io.BytesIO):
    """What the client sends, and whether somebody has read of it."""

    seen: Seen

    def read(self, size: int | None = -1, /) -> bytes:
        self.seen("read")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        self.seen("read")
        return super().readline(size)


def _environ(asked: Asked, seen: Seen) -> dict[str, Any]:
    path, _, query = asked.target.partition("?")
    sent = _Input(asked.body)
    sent.seen = seen
    environ: dict[str, Any] = {
        "REQUEST_METHOD": asked.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": asked.target,
        "SERVER_NAME": HOST,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": PEER,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": sent,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for name, value in asked.fields:
        key = name.upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
