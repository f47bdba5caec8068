"""The site behind: it keeps every request that reaches it, byte for byte, and says which one it answers.

It reads strictly. What it could not read with certainty is kept too, with the fault: whoever passed that on has left
open where one request ends and the next one begins.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
from dataclasses import dataclass
from typing import Final

from tests.proxies import recorder as usual

# Bytes beyond ASCII are in no target (RFC 9112, 3.2), and yet leave no doubt where it ends.
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,12}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})")
_MOST = 1 << 20
ANSWERS: Final = b"x-recorded"
"""The field of an answer that says which target is answered: its digest, for some targets are long."""


@dataclass(frozen=True, slots=True)
class Record:
    """A request as it arrived. Names of fields in lower case, in their order; `fault` says what is wrong with it."""

    method: str
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    raw: bytes
    fault: str = ""

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name]


class Recorder(usual.Recorder):
    """Listens as the usual one does, and reads for itself. `take` gives what arrived."""

    def __init__(self) -> None:
        self._kept: list[Record] = []
        super().__init__()

    @property
    def url(self) -> str:
        """Where the gateway finds it."""
        return f"http://127.0.0.1:{self.address[1]}"

    def take(self) -> tuple[Record, ...]:
        """Everything that arrived since the last time."""
        with self._lock:
            kept, self._kept = tuple(self._kept), []
            return kept

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._record(connection, _Stream(connection))
        with self._lock:
            self._open.discard(connection)

    def _record(self, connection: socket.socket, stream: _Stream) -> None:
        """Keep what comes on a connection, and answer it."""
        while (head := stream.head()) is not None:
            record = read_head(head)
            with self._lock:
                self._kept.append(record)
            if not record.fault:
                if b"100-continue" in record.values(b"expect"):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                if fault := stream.skip_content(record):
                    record = Record(record.method, record.target, record.fields, record.raw, fault)
                    with self._lock:
                        self._kept.append(record)
            if record.fault:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            last = b"close" in b",".join(record.values(b"connection")).lower()
            connection.sendall(_answer_to(record, last=last))
            if last:
                return


def digest(target: bytes) -> str:
    """What stands for a target."""
    return hashlib.sha256(target).hexdigest()[:32]


def _answer_to(record: Record, *, last: bool) -> bytes:
    body = b"" if record.method == "HEAD" else b"This is the site.\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n" + ANSWERS + b": " + digest(record.target).encode()
    head += b"\r\ncontent-length: 18\r\n" + (b"connection: close\r\n" if last else b"")
    return head + b"\r\n" + body


class _Stream:
    """Reads requests off one connection. Raises EOFError where it ends in the middle of one: that was broken off, and
    nobody can take it for whole."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""

    def _more(self) -> None:
        piece = self._connection.recv(65536)
        if not piece:
            raise EOFError
        self._data += piece

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            if len(self._data) > _MOST:
                raise EOFError
            self._more()
        part, _, self._data = self._data.partition(mark)
        return part

    def _exactly(self, length: int) -> bytes:
        while len(self._data) < length:
            self._more()
        part, self._data = self._data[:length], self._data[length:]
        return part

    def head(self) -> bytes | None:
        """The next head; None at the end of the connection."""
        try:
            return self._until(b"\r\n\r\n")
        except EOFError:
            # Something that is no whole head is a fault, and kept as one.
            rest, self._data = self._data, b""
            return rest or None

    def skip_content(self, record: Record) -> str:
        """Read a request's content; what is wrong with it."""
        if record.values(b"transfer-encoding"):
            return self._skip_chunks()
        self._exactly(int((record.values(b"content-length") or [b"0"])[0]))
        return ""

    def _skip_chunks(self) -> str:
        while True:
            size = _CHUNK.fullmatch(self._until(b"\r\n"))
            if size is None:
                return "a chunk without a size"
            length = int(size[1], 16)
            if length == 0:
                while self._until(b"\r\n"):
                    pass  # trailers, up to an empty line
                return ""
            if not self._exactly(length + 2).endswith(b"\r\n"):
                return "a chunk that does not end"


def read_head(head: bytes) -> Record:
    """A request's head, with the first thing that is wrong with it (RFC 9112, 3 and 5)."""
    first, *lines = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    fields = [(found[1].lower(), found[2]) for each in lines if (found := _FIELD.fullmatch(each))]
    method = line[1].decode() if line else ""
    target = line[2] if line else b""
    return Record(method, target, tuple(fields), head, _fault(fields, line_is_right=line is not None, lines=len(lines)))


def _fault(fields: list[tuple[bytes, bytes]], *, line_is_right: bool, lines: int) -> str:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    faults = (
        (not line_is_right, "a first line that is not a request's"),
        (len(fields) != lines, "a line that is not a field"),
        (len([name for name, _ in fields if name == b"host"]) != 1, "not exactly one host"),
        (bool(lengths and codings), "a length and a coding"),
        (len(lengths) > 1 or not all(_LENGTH.fullmatch(value) for value in lengths), "a length that is none"),
        (codings not in ([], [b"chunked"]), "a coding that is not chunked"),
    )
    return next((what for is_so, what in faults if is_so), "")
