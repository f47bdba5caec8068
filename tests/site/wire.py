"""HTTP/1.1 as it is on the wire: what is written here is sent byte for byte, and fields are seen as they came."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import ssl

Pairs: TypeAlias = list[tuple[str, str]]

# What a browser sends along with a page that a person opens, and with a script's request.
NAVIGATION: Pairs = [
    ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
]
SCRIPT: Pairs = [
    ("Accept", "application/json"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
]
CROSS_SITE: Pairs = [
    ("Accept", "text/html"),
    ("Origin", "https://evil.example"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; names of fields in lower case, in the order of the wire."""

    status: int
    fields: Pairs
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name.lower()]

    def value(self, name: str) -> str | None:
        """The value of a field that comes at most once."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document, on its own or embedded in a page."""
        kind = self.value("content-type") or ""
        if kind.startswith("text/html"):
            found = re.search(r'<script type="application/problem\+json">(.*?)</script>', self.text, re.DOTALL)
            assert found, f"no problem in the page: {self.text[:500]}"
            document = json.loads(found[1])
        else:
            assert kind == "application/problem+json", f"{self.status} {kind}: {self.text[:300]}"
            document = json.loads(self.body)
        assert document["status"] == self.status
        return dict(document)

    @property
    def challenge(self) -> dict[str, str]:
        """The parameters of the one `Cookie` challenge."""
        value = self.value("www-authenticate")
        assert value is not None, f"{self.status} without a challenge"
        scheme, _, params = value.partition(" ")
        assert scheme == "Cookie"
        return dict(re.findall(r'([a-z_-]+)="([^"]*)"', params))

    @property
    def cookies(self) -> dict[str, str]:
        """What is set, by name; the value with its attributes."""
        return dict(value.split("=", 1) for value in self.values("set-cookie"))

    @property
    def seconds_left(self) -> int:
        """Until when the session lasts if nothing happens, as `Server-Timing` says."""
        found = re.search(r'session;dur=(\d+);desc="(\d+)"', ", ".join(self.values("server-timing")))
        assert found, f"{self.status} without the end of the session"
        return int(found[1])

    def without(self, *names: str) -> Pairs:
        """The fields but those named, and the date."""
        return [(name, value) for name, value in self.fields if name not in {*names, "date"}]


def exchange(
    address: tuple[str, int],
    method: str,
    target: str,
    fields: Pairs,
    body: bytes = b"",
    *,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """One request on a connection of its own, and its answer."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection(address, timeout=20))
        if context is not None:
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        if body and not any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in fields):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
        connection.sendall(head + body)
        response = stack.enter_context(HTTPResponse(connection, method=method))
        response.begin()
        came = [(name.lower(), value) for name, value in response.getheaders()]
        return Answer(response.status, came, response.read())


class Tap:
    """A pipe in front of an upstream that keeps what the gateway sends to it."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._lock = threading.Lock()
        self._sent = bytearray()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self) -> bytes:
        """Everything that came since the last time."""
        with self._lock:
            sent, self._sent = bytes(self._sent), bytearray()
            return sent

    def close(self) -> None:
        """Accept nobody any more, and hang up on everybody."""
        with self._lock:
            for one in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), socket.create_connection(self._upstream) as behind:
            with self._lock:
                self._open.add(connection)
            back = threading.Thread(target=self._pipe, args=(behind, connection), daemon=True)
            back.start()
            self._pipe(connection, behind, keep=True)
            back.join()
            with self._lock:
                self._open.discard(connection)

    def _pipe(self, source: socket.socket, sink: socket.socket, *, keep: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keep:
                    with self._lock:
                        self._sent += data
                sink.sendall(data)
        # The gateway may stop sending and still read; when the site has ended, both ways are over.
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR if keep else socket.SHUT_RDWR)


class Jar:
    """The cookies of one browser at one origin, as far as a browser without scripts keeps them."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def field(self) -> Pairs:
        """The `Cookie` field to send, if there is one."""
        pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return [("Cookie", pairs)] if pairs else []

    def keep(self, answer: Answer) -> Answer:
        """Take from an answer what it sets, and drop what it takes away."""
        for line in answer.values("set-cookie"):
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, _, value = pair.partition("=")
            if "max-age=0" in {attribute.lower() for attribute in attributes}:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer
