"""What is open behind a running gateway with two workers ends when another process, or another request, changes
something."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.site.houses import SAMPLE, Example, House, Process, running
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

PLENTY = 20
"""Seconds that nothing takes; only a test that fails waits for so long."""


def listening(example: Example, folder: Path, port: int) -> Process:
    """The site."""
    where = ("--app-dir", str(Path(__file__).parent), "--port", str(port), "--log-level", "warning")
    return Process((sys.executable, "-m", "uvicorn", *where, "listening:app"), folder, folder / "site.log")


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The sample's people and rules, before a site to listen to."""
    with running(
        SAMPLE,
        tmp_path_factory.mktemp("listening"),
        lambda text: text.replace("workers = 1", "workers = 2"),
        site=listening,
    ) as house:
        yield house


def chat(house: House, path: str, token: str | None) -> Any:
    """A browser's WebSocket, for a `with`."""
    fields = {"Cookie": f"{house.cookie}={token}"} if token else {}
    uri = house.origin.replace("http", "ws", 1) + path
    return connect(
        uri, sock=socket.create_connection(house.address), origin=Origin(house.origin), additional_headers=fields
    )


def news(house: House, path: str, token: str) -> socket.socket:
    """A browser's EventSource."""
    connection = socket.create_connection(house.address, timeout=PLENTY)
    lines = f"GET {path} HTTP/1.1\r\nHost: {house.host}\r\nAccept: text/event-stream\r\nConnection: close\r\n"
    connection.sendall(f"{lines}Cookie: {house.cookie}={token}\r\n\r\n".encode())
    return connection


def heard(connection: socket.socket, until: bytes) -> bytes:
    """What comes, up to some bytes."""
    data = b""
    while until not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    return data


def sign_out(house: House, token: str) -> None:
    assert house.send("/.demur/sign-out", {}, token).status == 303


def confirm(house: House, token: str) -> None:
    assert house.sign_in("carol", token=token).status == 303


@pytest.mark.parametrize(
    ("person", "path", "change", "code", "reason"),
    [
        ("carol", "/members/", sign_out, 3000, "session-ended"),
        ("carol", "/members/", confirm, 3000, "session-replaced"),
        ("carol", "/members/", ["sessions", "end", "--user", "carol"], 3000, "session-revoked"),
        ("bob", "/api/", ["user", "groups", "bob", "--remove", "members"], 3003, "not-permitted"),
        ("bob", "/members/", ["user", "disable", "bob"], 3000, "session-revoked"),
    ],
)
def test_it_ends_whoever_ends_it(
    open_house: House,
    person: str,
    path: str,
    change: list[str] | Callable[[House, str], None],
    code: int,
    reason: str,
) -> None:
    """Whichever worker serves it, and whichever process changes something, the client is told why."""
    token = open_house.signed_in(person)
    with contextlib.ExitStack() as stack:
        chats = [stack.enter_context(chat(open_house, path, token)) for _ in range(4)]
        assert {each.recv(PLENTY) for each in chats} == {"hello"}
        stream = stack.enter_context(news(open_house, path, token))
        heard(stream, b"data: hello\n\n")
        if callable(change):
            change(open_house, token)
        else:
            open_house.demur(*change)
        for each in chats:
            with pytest.raises(ConnectionClosed):
                each.recv(PLENTY)
            assert (each.close_code, each.close_reason) == (code, reason)
        event = heard(stream, b"\r\n0\r\n\r\n")
    problem = json.loads(event.partition(b"event: demur\ndata: ")[2].partition(b"\n")[0])
    assert problem["reason"] == reason


@pytest.mark.parametrize(
    ("path", "member", "status", "reason"),
    [
        ("/members/", False, 401, "sign-in-required"),
        ("/api/", True, 403, "not-permitted"),
    ],
)
def test_a_handshake_is_refused_in_http(open_house: House, path: str, member: bool, status: int, reason: str) -> None:
    """A handshake that is refused is answered as any request is."""
    token = open_house.signed_in("carol") if member else None
    with pytest.raises(InvalidStatus) as raised:
        chat(open_house, path, token).__enter__()
    answer = raised.value.response
    assert answer.status_code == status
    assert answer.body is not None
    assert json.loads(answer.body)["reason"] == reason
    assert len(answer.headers.get_all("www-authenticate")) == (status == 401)
