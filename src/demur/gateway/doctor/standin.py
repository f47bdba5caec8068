"""In the app's place for a moment: it keeps what reaches it, byte for byte, and answers the same to everything."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from dataclasses import dataclass
from typing import Self

ID = "X-Demur-Doctor-Id"
"""The field by which a request is found again."""
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: doctor-one=1; Path=/\r\n"
    b"Set-Cookie: doctor-two=2; Path=/\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
)
_LONGEST = 256 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived: method, target and the lines of its fields."""

    method: str
    target: bytes
    fields: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """Every value of a field, whatever the case of its name."""
        return [text for key, text in self.fields if key.lower() == name.lower()]


class StandIn:
    """Listens where the app would, while the block lasts. Raises OSError if somebody else does."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=32)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._seen: dict[str, Seen] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def new_id(self) -> tuple[str, str]:
        """A field that marks a request."""
        return ID, secrets.token_hex(8)

    def saw(self, mark: tuple[str, str]) -> Seen | None:
        """The request of that mark, if it arrived."""
        return self._seen.get(mark[1])

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            received = b""
            while b"\r\n\r\n" not in received and len(received) < _LONGEST:
                piece = connection.recv(65536)
                if not piece:
                    return
                received += piece
            seen = _read(received.partition(b"\r\n\r\n")[0])
            for mark in seen.values(ID):
                self._seen[mark] = seen
            connection.sendall(ANSWER + (b"" if seen.method == "HEAD" else b"app"))


def _read(head: bytes) -> Seen:
    first, *lines = head.split(b"\r\n")
    method, _, rest = first.partition(b" ")
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    fields = tuple((name, text.strip()) for name, _, text in pairs)
    return Seen(method.decode("latin-1"), rest.rpartition(b" ")[0], fields)
