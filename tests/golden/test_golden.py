"""Every golden file, replayed through every surface: the answer is what the file says."""

from __future__ import annotations

import asyncio
import socket
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from tests.golden.club import PEER, Club, add_people, build
from tests.golden.files import FILES, Answer, Case, Tokens, differences, read

from demur.core import page
from demur.gateway.server.serve import Listener, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from pathlib import Path

CASES = [read(path) for path in FILES]


async def asgi(club: Club, case: Case, token: Tokens) -> Answer:
    """Through the ASGI middleware, in process."""
    path, _, query = case.target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": case.method,
        "scheme": "https",
        "path": unquote(path, errors="replace"),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in case.fill(token)],
        "client": (PEER, 40000),
        "server": ("app.example.com", 443),
        "extensions": {},
    }
    told = [{"type": "http.request", "body": case.sent, "more_body": False}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return told.pop(0) if told else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await club.asgi(scope, receive, send)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert not rest[-1].get("more_body", False)
    fields = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return Answer(start["status"], fields, b"".join(part.get("body", b"") for part in rest))


async def wire(club: Club, case: Case, token: Tokens) -> Answer:
    """Over a socket, through the gateway's own server: byte for byte what is in the file."""

    async def behind_tls(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await club.asgi({**scope, "scheme": "https", "client": (PEER, 40000)}, receive, send)

    stop = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        address = listening.getsockname()
        serving = asyncio.create_task(serve([Listener(listening, behind_tls)], stop, drain=1))
        lines = [f"{case.method} {case.target} HTTP/1.1", *(f"{name}: {value}" for name, value in case.fill(token))]
        message = "\r\n".join([*lines, "connection: close", "", ""]).encode() + case.sent
        try:
            return await asyncio.to_thread(_exchange, address, message, case.method)
        finally:
            stop.set()
            await serving


def _exchange(address: tuple[str, int], message: bytes, method: str) -> Answer:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(message)
        with HTTPResponse(connection, method=method) as response:
            response.begin()
            fields = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, fields, response.read())


SURFACES = {"asgi": asgi, "wire": wire}


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the club's accounts, which no case changes."""
    folder = tmp_path_factory.mktemp("people")
    asyncio.run(add_people(folder))
    return folder


@pytest.fixture
async def club(case: Case, people: Path) -> AsyncIterator[Club]:
    """The club as the case needs it."""
    made = build(people, down=case.given.get("store") == "down")
    yield made
    await made.aclose()


@pytest.mark.parametrize("surface", SURFACES.values(), ids=list(SURFACES))
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_answer(case, club, surface):
    """Status, fields and body are what the file says."""
    token = await club.given(case.given)
    answer = await surface(club, case, token)
    assert differences(case, answer, page.DEFAULT.policy) == []
