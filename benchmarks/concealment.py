"""Whether the time of an answer tells that something is concealed.

A real `demur serve` before a small site. What is concealed and what is not there are asked for in turns, over one
connection, in an order drawn anew each time: by somebody who may not know of it, where one has to be signed in and
where nobody has to be, with GET and with HEAD. The medians have to lie within 5 % of each other.

    benchmarks/concealment.py [--pairs 1500]

Exit status 1 if a median lies outside.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demur import stores
from demur.core.model import Session, Subject
from demur.core.sessions import NIST_AAL2, identify, mint
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN = 0.05
WARM_UP = 200  # pairs
MISSING = b"<!doctype html><title>Nothing here</title><p>There is no such page.</p>" * 20
CONFIG = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"
workers = 1

[sessions]
store = "sqlite:sessions.db"

[[site]]
origin = "http://localhost:{port}"
upstream = "http://127.0.0.1:{upstream}"

[[site.rule]]
path = "/open/**"
allow = "anyone"

[[site.rule]]
path = "/open/vault/**"
allow = {{ groups = ["keepers"] }}
conceal = true

[[site.rule]]
path = "/members/**"
allow = "signed-in"

[[site.rule]]
path = "/members/vault/**"
allow = {{ groups = ["keepers"] }}
conceal = true
"""


async def site(scope: Any, receive: Any, send: Any) -> None:
    """The site: nothing is there."""
    if scope["type"] != "http":
        return
    fields = [(b"content-type", b"text/html"), (b"content-length", str(len(MISSING)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": fields})
    await send({"type": "http.response.body", "body": MISSING})


# --- servers --------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """A server, from when it listens until the block is left."""
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (folder / f"{port}.log").read_text()
                    raise SystemExit(f"{command[0]} does not listen:\n{said}") from error
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


async def sign_in(folder: Path) -> str:
    """A live session; its token."""
    now = int(time.time())
    store = stores.open(f"sqlite:{folder}/sessions.db")
    subject = Subject("0192f0c4-0000-7000-8000-000000000001", "bob", frozenset({"members"}))
    token = mint(os.urandom(32), FileKeys(folder / "keys").ring().current)
    life = Session(identify(token), subject.id, now, now, now, now + NIST_AAL2.absolute, NIST_AAL2.idle)
    await store.issue(life, subject)
    await store.aclose()
    return token


# --- asking ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked, by whom."""

    name: str
    method: str
    where: str
    token: str

    def request(self, name: str, port: int) -> bytes:
        """The request for what has that name."""
        cookie = [f"Cookie: demur-dev={self.token}"] if self.token else []
        lines = [f"{self.method} {self.where}/{name}/gold HTTP/1.1", f"Host: localhost:{port}", "Accept: text/html"]
        return "\r\n".join([*lines, *cookie, "", ""]).encode()


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def took(self, request: bytes) -> float:
        """The seconds until the whole answer, which has to be a 404, was there."""
        before = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(65536)
        while not _is_whole(answer, head=request.startswith(b"HEAD")):
            answer += self._socket.recv(65536)
        took = time.perf_counter() - before
        if not answer.startswith(b"HTTP/1.1 404 "):
            raise SystemExit(f"not a 404:\n{request.decode()}\n{answer.decode('latin-1')[:600]}")
        return took


def _is_whole(answer: bytes, *, head: bool) -> bool:
    fields, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"(?i)content-length: (\d+)", fields)
    return head or (length is not None and len(body) >= int(length[1]))


def measure(case: Case, port: int, pairs: int) -> tuple[list[float], list[float]]:
    """The seconds that each request for what is concealed took, and each for what is not there."""
    client = Client(port)
    asked = (case.request("vault", port), case.request("thing", port))
    times: tuple[list[float], list[float]] = ([], [])
    gc.disable()
    for number in range(WARM_UP + pairs):
        for which in random.sample((0, 1), 2):
            took = client.took(asked[which])
            if number >= WARM_UP:
                times[which].append(took)
    gc.enable()
    return times


def report(case: Case, times: tuple[list[float], list[float]]) -> bool:
    """Print the medians; whether they lie within the bound."""
    concealed, missing = (statistics.median(values) * 1000 for values in times)
    fine = max(concealed, missing) / min(concealed, missing) - 1 <= WITHIN
    print(
        f"  {case.name:34} concealed {concealed:7.3f} ms   not there {missing:7.3f} ms   {concealed / missing:6.3f}"
        f"   {'within' if fine else 'NOT within'} {WITHIN:.0%}"
    )
    return fine


def run(pairs: int) -> bool:
    """Every measurement; whether all lie within the bound."""
    port, upstream = free_port(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "demur.toml").write_text(CONFIG.format(port=port, upstream=upstream))
        token = asyncio.run(sign_in(folder))
        cases = [
            Case("a member, among members' pages", "GET", "/members", token),
            Case("a member, among open pages", "GET", "/open", token),
            Case("nobody, among open pages", "GET", "/open", ""),
            Case("a member, with HEAD", "HEAD", "/members", token),
        ]
        uvicorn = [sys.executable, "-m", "uvicorn", "concealment:site", "--app-dir", str(Path(__file__).parent)]
        behind = [*uvicorn, "--port", str(upstream), "--log-level", "warning"]
        gateway = [str(Path(sys.executable).with_name("demur")), "serve", "--config", str(folder / "demur.toml")]
        with started(behind, upstream, folder), started(gateway, port, folder):
            print(f"Concealed and not there, {pairs} pairs each, through the built-in proxy; medians and their ratio")
            fine = [report(case, measure(case, port, pairs)) for case in cases]
            return all(fine)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Whether the time of an answer tells that something is concealed.")
    parser.add_argument("--pairs", type=int, default=1500, help="of each kind (1500)")
    return 0 if run(parser.parse_args().pairs) else 1


if __name__ == "__main__":
    sys.exit(main())
