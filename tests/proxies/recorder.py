"""The app behind a proxy: it keeps what reaches it, byte for byte, and answers what a test sets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ID = "X-Test-Id"
"""The field by which a test finds its request again."""

Lines: TypeAlias = tuple[tuple[str, str], ...]

_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived. `target` is what stood in the request line; names in `lines` are as they came."""

    method: str
    target: bytes
    lines: Lines
    body: bytes
    length: int

    def values(self, name: str) -> list[str]:
        """The values of a field, in any case."""
        return [value for key, value in self.lines if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The value of a field that comes at most once."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer. `pieces` are sent one by one, as chunks, each after `go` was called for it; None: the whole
    `body` with its length. Content is never sent for HEAD."""

    status: int = 200
    fields: Iterable[tuple[str, str]] = ()
    body: bytes = b"app"
    pieces: tuple[bytes, ...] | None = None
    go: Callable[[int], None] = field(default=lambda _: None)


class Recorder:
    """An HTTP/1.1 server at `address`, for as long as the block lasts.

    It answers a WebSocket handshake, and sends each message back. Requests are kept by the value of `ID`, those
    without under "". Content is kept up to 64 kB and counted in full.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._begun: set[str] = set()
        self._seen: list[tuple[str, Seen]] = []
        self._replies: dict[str, Reply] = {}
        self._open: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reply(self, id_: str, reply: Reply) -> None:
        """From now on, answer requests with this id so."""
        with self._lock:
            self._replies[id_] = reply

    def seen(self, id_: str | None = None) -> list[Seen]:
        """What arrived with this id, or all of it."""
        with self._lock:
            return [seen for name, seen in self._seen if id_ is None or name == id_]

    def begun(self, id_: str, timeout: float = 10) -> bool:
        """Wait until the head of a request with this id is here, whatever is still to come of its content."""
        with self._news:
            return self._news.wait_for(lambda: id_ in self._begun, timeout)

    def one(self, id_: str) -> Seen:
        """The one request with this id."""
        found = self.seen(id_)
        assert len(found) == 1, f"{id_} arrived {len(found)} times"
        return found[0]

    def clear(self) -> None:
        """Forget what arrived."""
        with self._lock:
            self._seen.clear()

    def close(self) -> None:
        """Hang up on everybody."""
        with self._lock:
            self._closed = True
            for one in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    # --- one connection ---------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._closed:
                    connection.close()
                    return
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = _Reader(connection)
            while self._exchange(connection, reader):
                pass
        with self._lock:
            self._open.discard(connection)

    def _exchange(self, connection: socket.socket, reader: _Reader) -> bool:
        head = reader.head()
        if not head:
            return False
        request, *rest = head.split(b"\r\n")
        method, _, after = request.partition(b" ")
        target = after.rpartition(b" ")[0]
        pairs = (line.decode("latin-1").partition(":") for line in rest)
        lines = tuple((name, value.strip()) for name, _, value in pairs)
        known = {name.lower(): value for name, value in lines}
        if known.get("expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        id_ = known.get(ID.lower(), "")
        with self._news:
            self._begun.add(id_)
            self._news.notify_all()
        body, length = reader.content(known)
        with self._lock:
            self._seen.append((id_, Seen(method.decode("latin-1"), target, lines, body, length)))
            reply = self._replies.get(id_, Reply())
        if "websocket" in known.get("upgrade", "").lower():
            self._websocket(connection, reader, known["sec-websocket-key"])
            return False
        self._answer(connection, method, reply)
        return known.get("connection", "").lower() != "close"

    def _answer(self, connection: socket.socket, method: bytes, reply: Reply) -> None:
        lines = [f"HTTP/1.1 {reply.status} Whatever", *(f"{name}: {value}" for name, value in reply.fields)]
        if reply.pieces is not None:
            lines.append("Transfer-Encoding: chunked")
        elif reply.status not in {204, 304}:
            lines.append(f"Content-Length: {len(reply.body)}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if method == b"HEAD" or reply.status in {204, 304}:
            return
        if reply.pieces is None:
            connection.sendall(reply.body)
            return
        for number, piece in enumerate(reply.pieces):
            reply.go(number)
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")

    def _websocket(self, connection: socket.socket, reader: _Reader, key: str) -> None:
        accept = base64.b64encode(hashlib.sha1(key.encode() + _WEBSOCKET).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while (frame := reader.frame()) is not None:
            opcode, data = frame
            connection.sendall(bytes((0x80 | opcode, len(data))) + data)
            if opcode == 8:
                return


class _Reader:
    """What comes on a connection, in portions that mean something. Raises EOFError where it ends in the middle."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def head(self) -> bytes:
        """Up to the empty line; b"" if nothing comes any more."""
        while b"\r\n\r\n" not in self._buffer:
            data = self._connection.recv(65536)
            if not data:
                return b""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def content(self, fields: dict[str, str]) -> tuple[bytes, int]:
        """The first 64 kB of the content, and how long it was."""
        if "chunked" not in fields.get("transfer-encoding", "").lower():
            return self._counted(int(fields.get("content-length", "0")))
        kept, length = b"", 0
        while size := int(self._line().partition(b";")[0], 16):
            piece, _ = self._counted(size)
            kept, length = (kept + piece)[:65536], length + size
            self._line()
        while self._line():
            pass
        return kept, length

    def _counted(self, size: int) -> tuple[bytes, int]:
        kept, left = b"", size
        while left:
            if not self._buffer:
                self._more()
            piece, self._buffer = self._buffer[:left], self._buffer[left:]
            left -= len(piece)
            if len(kept) < 65536:
                kept += piece[: 65536 - len(kept)]
        return kept, size

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _more(self) -> None:
        data = self._connection.recv(262144)
        if not data:
            raise EOFError
        self._buffer += data

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def frame(self) -> tuple[int, bytes] | None:
        """A short frame, masked or not (RFC 6455, 5.2): its opcode and content. None at the end."""
        try:
            first, second = self._exactly(2)
        except EOFError:
            return None
        mask = self._exactly(4) if second & 0x80 else bytes(4)
        data = self._exactly(second & 0x7F)
        return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
