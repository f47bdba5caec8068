"""One request as it is written here, byte for byte, and its answer with every field as it came."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeAlias

Pairs: TypeAlias = tuple[tuple[str, str], ...]

SCRIPT: Pairs = (
    ("Accept", "application/json"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
)
PAGE: Pairs = (
    ("Accept", "text/html,*/*;q=0.8"),
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
)
_TIMEOUT = 10.0
_MOST = 1024 * 1024


class NoAnswer(Exception):  # noqa: N818 - what happened
    """Nobody answered, or not in HTTP. The text and `fix` are for people."""

    def __init__(self, said: str, fix: str = "Start the proxy, or say where it is with --connect.") -> None:
        super().__init__(said)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; names of fields in lower case."""

    status: int
    fields: Pairs
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of a field, one for each line."""
        return [value for key, value in self.fields if key == name]

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document, or {} if there is none."""
        if not any(value.startswith("application/problem+json") for value in self.values("content-type")):
            return {}
        with contextlib.suppress(ValueError):
            said = json.loads(self.body)
            return said if isinstance(said, dict) else {}
        return {}


@dataclass(frozen=True, slots=True)
class Line:
    """How a site is reached: the origin that a browser would type, and where to connect in its place."""

    scheme: str
    host: str
    authority: str
    address: tuple[str, int]
    context: ssl.SSLContext | None

    def ask(self, method: str, target: str, fields: Pairs = SCRIPT, body: bytes = b"") -> Answer:
        """One request on a connection of its own. Raises `NoAnswer`."""
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {self.authority}",
            *(f"{name}: {text}" for name, text in fields),
        ]
        if body or method in {"POST", "PUT"}:
            lines.append(f"Content-Length: {len(body)}")
        if not any(name.lower() == "connection" for name, _ in fields):
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            with contextlib.ExitStack() as stack:
                connection = stack.enter_context(socket.create_connection(self.address, timeout=_TIMEOUT))
                if self.context is not None:
                    wrapped = self.context.wrap_socket(connection, server_hostname=self.host.strip("[]"))
                    connection = stack.enter_context(wrapped)
                connection.sendall(head + body)
                response = stack.enter_context(HTTPResponse(connection, method=method))
                response.begin()
                came = tuple((name.lower(), text) for name, text in response.getheaders())
                content = b"" if response.status == 101 else response.read(_MOST)
                return Answer(response.status, came, content)
        except ssl.SSLCertVerificationError as error:
            raise NoAnswer(
                f"the certificate of {self.authority} is not trusted: {error.verify_message}",
                "If it is one of your own, name it with --certificates.",
            ) from None
        except ssl.SSLError as error:
            raise NoAnswer(
                f"TLS with {self.authority} fails: {error.reason or error}", "Does the proxy speak TLS at that port?"
            ) from None
        except (OSError, HTTPException) as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NoAnswer(f"{method} {target} at {self.address[0]}:{self.address[1]}: {said}") from None
