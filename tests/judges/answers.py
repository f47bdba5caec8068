"""What the judges are shown: the answer to every golden file, as the gateway's own server puts it on the wire."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from tests.golden.club import PEER, add_people, build

from demur.gateway.server.serve import Listener, serve

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

    from tests.golden.club import Club
    from tests.golden.files import Case, Tokens


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: the line and the fields as they came, and the body without its framing. `at` is when it came, in
    seconds since the epoch."""

    name: str
    method: str
    target: str
    request: list[tuple[bytes, bytes]]
    start: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    at: float

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.start.split(b" ")[1])

    def lines(self, name: str) -> list[str]:
        """Every line of a field."""
        return [value.decode("latin-1") for key, value in self.fields if key.lower() == name.encode()]

    @property
    def problems(self) -> list[str]:
        """Every problem document in it, alone or in a page, as text."""
        (kind,) = self.lines("content-type") or [""]
        if not self.body:
            return []
        if kind == "application/problem+json":
            return [self.body.decode()]
        return _Embedded(self.body.decode()).found if kind.startswith("text/html") else []


class _Embedded(HTMLParser):
    """The problems of a page: "a script element ... of type application/problem+json" (RFC 9457, appendix C)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and ("type", "application/problem+json") in attrs
        if self._inside:
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data


class Answers:
    """The answers to the golden files, each asked for once. `folder` is for the club's accounts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, Seen] = {}
        asyncio.run(add_people(folder))

    def to(self, case: Case) -> Seen:
        """The answer to one file."""
        if case.name not in self._kept:
            self._kept[case.name] = asyncio.run(self._ask(case))
        return self._kept[case.name]

    async def _ask(self, case: Case) -> Seen:
        club = build(self._folder, down=case.given.get("store") == "down")
        try:
            return await _over_a_socket(club, case, await club.given(case.given))
        finally:
            await club.aclose()


async def _over_a_socket(club: Club, case: Case, token: Tokens) -> Seen:
    async def behind_tls(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await club.asgi({**scope, "scheme": "https", "client": (PEER, 40000)}, receive, send)

    request = [(name.encode(), value.encode()) for name, value in case.fill(token)]
    stop = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        serving = asyncio.create_task(serve([Listener(listening, behind_tls)], stop, drain=1))
        head = [f"{case.method} {case.target} HTTP/1.1".encode(), *(b": ".join(field) for field in request)]
        try:
            start, fields, body = await asyncio.to_thread(
                _exchange, listening.getsockname(), b"\r\n".join([*head, b"", case.sent]), case.method
            )
        finally:
            stop.set()
            await serving
    return Seen(case.name, case.method, case.target, request, start, fields, body, time.time())


def _exchange(address: tuple[str, int], message: bytes, method: str) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """The status line, the fields with their names as written, and the content."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(message)
        with HTTPResponse(connection, method=method) as response:
            response.begin()
            start = f"HTTP/1.1 {response.status} {response.reason}".encode()
            fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.getheaders()]
            return start, fields, response.read()
