"""Bytes onto a socket, and every answer that comes back until the other side closes the connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

PATIENCE = 10.0
"""Seconds for which nothing may come. Nothing waits for that to pass: it is there to end a test that hangs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; names of fields in lower case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back: the final answers in their order, the interim ones, and bytes that are no answer. `hung` if the
    other side neither answered nor closed."""

    answers: tuple[Answer, ...] = ()
    interim: tuple[Answer, ...] = ()
    rest: bytes = b""
    hung: bool = field(default=False)


def send(
    address: tuple[str, int], data: bytes, methods: Sequence[str] = (), *, context: ssl.SSLContext | None = None
) -> Heard:
    """Send it and hear what comes back. `methods` are those of the requests, as far as they are not GET."""
    came, hung, done = b"", False, False
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
        if context is not None:
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
        # Who sends much is answered meanwhile, and has to hear it. (A TLS connection is not for two threads.)
        writer = threading.Thread(target=_write, args=(connection, data), daemon=True)
        writer.start()
        if context is not None:
            writer.join()
        try:
            while piece := connection.recv(65536):
                came += piece
                if not done and _says_last(came, methods):
                    if context is not None:
                        break
                    done = True
                    connection.shutdown(socket.SHUT_WR)
        except TimeoutError:
            hung = True
        except OSError:
            pass  # hung up on while there was more to send
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        writer.join()
    return parse(came, methods, hung=hung)


def _says_last(data: bytes, methods: Sequence[str]) -> bool:
    """Whether there is a whole answer that is the last one. Servers that want it to be read keep the connection open
    for a while, or until they hear that nothing more is sent; a TLS connection cannot be closed halfway."""
    answers = parse(data, methods).answers
    if not answers or "close" not in ",".join(answers[-1].values("connection")).lower():
        return False
    if "chunked" in ",".join(answers[-1].values("transfer-encoding")).lower():
        return data.endswith(b"0\r\n\r\n")
    lengths = answers[-1].values("content-length")
    return bool(lengths) and len(answers[-1].body) == int(lengths[0])


def _write(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(data)


def parse(data: bytes, methods: Sequence[str] = (), *, hung: bool = False) -> Heard:
    """The answers in what came back on one connection (RFC 9112, 6.3)."""
    answers: list[Answer] = []
    interim: list[Answer] = []
    while data.startswith(b"HTTP/1.") and b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        pairs = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]))
        if status < 200:
            interim.append(Answer(status, pairs, b""))
            if status == 101:
                break
            continue
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        body, data = _content(Answer(status, pairs, b""), method, data)
        answers.append(Answer(status, pairs, body))
    return Heard(tuple(answers), tuple(interim), data, hung)


def _content(answer: Answer, method: str, data: bytes) -> tuple[bytes, bytes]:
    if method.upper() == "HEAD" or answer.status in {204, 304}:
        return b"", data
    if "chunked" in ",".join(answer.values("transfer-encoding")).lower():
        return _chunks(data)
    if lengths := answer.values("content-length"):
        length = int(lengths[0])
        return data[:length], data[length:]
    return data, b""


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, rest = data.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if length == 0:
            return body, rest.partition(b"\r\n")[2]
        body, data = body + rest[:length], rest[length + 2 :]
        if not data:
            return body, b""
