"""The WSGI middleware under real servers: threads, processes that were forked, and what they do with an upload."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port

from demur import stores
from demur.core.model import Actor, End, Ending, Session, Subject
from demur.core.sessions import identify, mint
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
APP = "wsgi_served:app"
SERVERS = {
    "gunicorn-gthread": f"gunicorn --preload -w 2 -k gthread --threads 4 -b 127.0.0.1:%d {APP}",
    "gunicorn-sync": f"gunicorn --preload -w 2 -k sync -b 127.0.0.1:%d {APP}",
    "waitress": f"waitress --listen=127.0.0.1:%d --threads=4 {APP}",
}
pytestmark = pytest.mark.slow


class Served:
    """The app under one server, and its sessions."""

    def __init__(self, folder: Path, port: int, name: str) -> None:
        self.folder, self.port, self.name = folder, port, name

    def ask(self, path: str, token: str = "", **fields: str) -> tuple[int, dict[str, str], str]:
        """Ask on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        lines = {name.replace("_", "-"): value for name, value in fields.items()}
        lines |= {"host": "localhost", **({"cookie": f"demur-dev={token}"} if token else {})}
        connection.request("GET", path, headers=lines)
        answer = connection.getresponse()
        try:
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def issue(self) -> str:
        """A token of bo, whose session is in the store."""
        token, now = mint(os.urandom(32), FileKeys(str(self.folder / "keys")).ring().current), int(time.time())
        session = Session(identify(token), "0192-bo", now, now, now, now + 3600, idle=600)
        asyncio.run(self._with_store("issue", session, Subject("0192-bo", "bo")))
        return token

    def end(self, token: str) -> None:
        """End it, in this process, which is none of the server's."""
        asyncio.run(
            self._with_store("apply", [End(identify(token), Ending.REVOKED, Actor.ADMINISTRATOR, int(time.time()))])
        )

    async def _with_store(self, name: str, *given: object) -> None:
        store = stores.open(f"sqlite:{self.folder / 'sessions.db'}")
        try:
            await getattr(store, name)(*given)
        finally:
            await store.aclose()


@pytest.fixture(scope="module", params=list(SERVERS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each server, with the app."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    os.mkfifo(folder / "read")
    command = [sys.executable, "-m", *(SERVERS[request.param] % port).split()]
    log = folder / "log"
    with log.open("wb") as said:
        running = subprocess.Popen(
            command, cwd=HERE, env={**os.environ, "SERVED": str(folder)}, stdout=said, stderr=said
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None and time.monotonic() < deadline, log.read_text()  # noqa: PT018
        yield Served(folder, port, request.param)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(20)
    assert "Traceback" not in log.read_text()


def test_refused_and_allowed(served: Served) -> None:
    """Everywhere the same; forged fields do not arrive; nothing was opened before the fork."""
    status, fields, _ = served.ask("/members/")
    assert (status, fields["demur-processed"]) == (401, "?0")
    assert fields["www-authenticate"].startswith("Cookie ")
    status, fields, text = served.ask("/members/", served.issue(), Remote_User="root", Remote__User="root")
    assert (status, text.split()[0], text.split()[3]) == (200, "bo", "[]")
    assert fields["cache-control"] == "private, no-cache"
    _, worker, loaded, *_ = text.split()
    assert (worker != loaded) is served.name.startswith("gunicorn")


def test_signing_out_holds_in_every_process(served: Served) -> None:
    """At once, whichever of them knew the session."""
    token = served.issue()
    seen = {served.ask("/members/", token)[2].split()[1] for _ in range(40)}
    served.end(token)
    answers = [served.ask("/members/", token) for _ in range(20)]
    assert {status for status, _, _ in answers} == {401}
    assert all('"reason":"session-revoked"' in text.replace(" ", "") for _, _, text in answers)
    assert len(seen) >= 1


def test_many_at_once(served: Served) -> None:
    """Nobody is taken for somebody else."""
    token = served.issue()
    with ThreadPoolExecutor(16) as pool:
        known = pool.map(lambda number: served.ask("/members/", token if number % 2 else "")[0], range(120))
    assert list(known) == [401, 200] * 60


def test_a_stream_is_not_held_back(served: Served) -> None:
    """The client reads the first part before the app has the second one."""
    connection = HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("GET", "/public/stream", headers={"host": "localhost"})
    answer = connection.getresponse()
    assert answer.read(3) == b"one"
    with (served.folder / "read").open("w"):
        pass
    assert answer.read() == b"two"
    connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_refused_upload_is_answered(served: Served, chunked: bool) -> None:
    """A client that sends all of it before it reads the answer reads that, and no broken pipe."""
    size = 8 * 1024 * 1024
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"POST /members/upload HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size) if chunked else b"x" * size
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(head)
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_an_allowed_upload_arrives(served: Served) -> None:
    """Byte for byte."""
    connection = HTTPConnection("127.0.0.1", served.port, timeout=20)
    fields = {"host": "localhost", "cookie": f"demur-dev={served.issue()}", "sec-fetch-site": "same-origin"}
    connection.request("POST", "/members/upload", b"x" * 300_000, fields)
    assert connection.getresponse().read() == b"300000"
    connection.close()


def test_our_own_pages(served: Served) -> None:
    """The browser client, and who is signed in."""
    assert served.ask("/.demur/client.js")[1]["content-type"].startswith("text/javascript")
    assert served.ask("/.demur/nothing")[0] == 404
