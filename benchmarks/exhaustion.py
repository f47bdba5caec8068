"""What others notice of somebody who tries to use a gateway up.

A real `demur serve` before a small site, with one worker. People with a session ask for a page, again and again; in
every other round somebody at another address does one of the things in `ATTACKS`, from a process of its own. What
counts is the 99th percentile of the people's times: the median of the rounds with, over the median of those without.
It has to stay below 2.

The same is done to the check listener, beside a proxy that asks there.

    benchmarks/exhaustion.py [--rounds 5] [--seconds 3] [--only idle,cookies]

Exit status 1 if a ratio is larger, if anybody else is answered 5xx, or if the worker takes more than 128 MB for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from demur import stores
from demur.core.model import Session, Subject
from demur.core.sessions import NIST_AAL2, identify, mint
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

BELOW: Final = 2.0
MOST_MEMORY: Final = 128 * 1024 * 1024
HOSTILE: Final = "127.0.0.66"
"""Where the attacks come from: the address of somebody else."""

PEOPLE: Final = 4
PAUSE: Final = 0.002
PAGE: Final = b"<!doctype html><title>Members</title><p>Hello.</p>" * 20
LARGE: Final = bytes(4 * 1024 * 1024)
CONFIG: Final = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"
check_listen = "127.0.0.1:{check}"
workers = 1
log = "json"
connections_per_address = 1500

[sessions]
store = "sqlite:sessions.db"

[[site]]
origin = "http://localhost:{port}"
upstream = "http://127.0.0.1:{upstream}"

[[site.rule]]
path = "/large"
allow = "anyone"

[[site.rule]]
path = "/members/**"
allow = "signed-in"
"""

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


# --- what is attacked -----------------------------------------------------------------------------


@dataclass(slots=True)
class Gateway:
    """A gateway that runs: where, and the token of somebody who is signed in."""

    port: int
    check: int
    token: str
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def worker(self) -> int:
        """The process id of the worker."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(listed.split()[0])

    @property
    def memory(self) -> int:
        """What the worker has in memory, in bytes."""
        found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{self.worker}/status").read_text())
        return int(found[1]) * 1024 if found else 0


async def _site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = LARGE if head.startswith(b"GET /large") else PAGE
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()
    writer.close()


async def _be_site() -> None:
    server = await asyncio.start_server(_site, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _session(folder: Path) -> str:
    token = mint(b"p" * 32, FileKeys(folder / "keys").ring().current)
    store = stores.open(f"sqlite:{folder / 'sessions.db'}")
    now = int(time.time())
    subject = Subject("0190-person", "person")
    await store.issue(
        Session(identify(token), subject.id, now, now, now, now + NIST_AAL2.absolute, NIST_AAL2.idle), subject
    )
    await store.aclose()
    return token


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Gateway]:
    """A gateway before the site, for as long as the block lasts."""
    port, check = _free_port(), _free_port()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        site = subprocess.Popen((sys.executable, __file__, "--site"), stdout=subprocess.PIPE)
        assert site.stdout is not None
        upstream = (await asyncio.to_thread(site.stdout.readline)).decode().strip()
        (folder / "demur.toml").write_text(CONFIG.format(port=port, check=check, upstream=upstream))
        token = await _session(folder)
        with (folder / "log").open("wb") as log:
            command = (str(Path(sys.executable).with_name("demur")), "serve", "--config", "demur.toml")
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        gateway = Gateway(port, check, token, process, folder)
        try:
            await _until_it_listens(gateway)
            yield gateway
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 60)
            site.kill()
            site.communicate()


async def _until_it_listens(gateway: Gateway) -> None:
    while True:
        if gateway.process.poll() is not None:
            raise RuntimeError((gateway.folder / "log").read_text())
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.close()
            return
        await asyncio.sleep(0.05)


# --- the people -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """What people saw in a round: seconds of each answer, and statuses that were not 200."""

    times: list[float] = field(default_factory=list)
    others: list[int] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """The 99th percentile, in seconds."""
        return statistics.quantiles(self.times, n=100)[98]


async def _person(gateway: Gateway, until: float, seen: Seen, *, asks: bool) -> None:
    host = f"localhost:{gateway.port}"
    forwarded = (
        f"X-Forwarded-Method: GET\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\n"
        "X-Forwarded-Uri: /members/page\r\nX-Forwarded-For: 192.0.2.7\r\n"
    )
    first = "/check?answer=fields" if asks else "/members/page"
    cookie = f"Cookie: demur-dev={gateway.token}\r\n"
    asked = f"GET {first} HTTP/1.1\r\nHost: {host}\r\n{forwarded if asks else ''}{cookie}\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.check if asks else gateway.port)
    while (began := time.perf_counter()) < until:
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: ([0-9]+)", head)
        await reader.readexactly(int(found[1]) if found else 0)
        seen.times.append(time.perf_counter() - began)
        if not head.startswith(b"HTTP/1.1 200"):
            seen.others.append(int(head.split()[1]))
        await asyncio.sleep(PAUSE)
    writer.close()


async def people(gateway: Gateway, seconds: float, *, asks: bool = False) -> Seen:
    """Some people ask for their page for that long, or a proxy `asks` for them."""
    seen = Seen()
    until = time.perf_counter() + seconds
    await asyncio.gather(*(_person(gateway, until, seen, asks=asks) for _ in range(PEOPLE)))
    return seen


# --- the attacks ----------------------------------------------------------------------------------


async def _connect(port: int) -> Streams:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(HOSTILE, 0))


async def say(port: int, pieces: Sequence[bytes]) -> int:
    """Send that on a connection of its own; the status of the answer, or 0."""
    with contextlib.suppress(OSError):
        reader, writer = await _connect(port)
        answer = asyncio.create_task(reader.read())
        with contextlib.suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        heard = b""
        with contextlib.suppress(OSError):
            heard = await answer
        writer.close()
        return int(heard.split()[1]) if heard.startswith(b"HTTP/1.1 ") else 0
    return 0


def _again(what: Callable[[int], Sequence[bytes]], every: float) -> Callable[[int], Awaitable[None]]:
    """Say it that often, in seconds, whatever is answered."""

    async def attack(port: int) -> None:
        going: set[asyncio.Task[int]] = set()
        while True:
            going.add(task := asyncio.create_task(say(port, what(port))))
            task.add_done_callback(going.discard)
            await asyncio.sleep(every)

    return attack


async def _many(port: int, count: int, begin: bytes) -> list[Streams]:
    streams = []
    for _ in range(count):
        streams.append(await _connect(port))
        streams[-1][1].write(begin)
    return streams


async def _idle(port: int) -> None:
    """A thousand connections that say nothing."""
    kept = await _many(port, 1000, b"")
    print("ready", flush=True)
    await asyncio.Event().wait()
    del kept


async def _drip(port: int) -> None:
    """A thousand connections, each of which sends a byte of its head every two seconds."""
    kept = await _many(port, 1000, b"GET / HTTP/1.1\r\nX: ")
    print("ready", flush=True)
    while True:
        for _, writer in kept:
            writer.write(b"a")
            await asyncio.sleep(0.002)


async def _unread(port: int) -> None:
    """A hundred connections that ask for a large page and read nothing of it."""
    await _without_reading(port, f"GET /large HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    await asyncio.Event().wait()


async def _deaf(port: int) -> None:
    """A hundred connections that ask on and on, as far as anybody listens, and read no answer."""
    asked = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 1000
    kept = await _without_reading(port, asked)
    while True:
        for sock in kept:
            with contextlib.suppress(OSError):  # full, or closed by then
                sock.send(asked)
            await asyncio.sleep(0.001)


async def _without_reading(port: int, asked: bytes) -> list[socket.socket]:
    """A hundred connections with little room for answers, each of which has asked; once all that fits in between is on
    its way."""
    loop, kept = asyncio.get_running_loop(), []
    for _ in range(100):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0)
        sock.bind((HOSTILE, 0))
        await loop.sock_connect(sock, ("127.0.0.1", port))
        with contextlib.suppress(BlockingIOError):
            sock.send(asked)
        kept.append(sock)
    await asyncio.sleep(1.5)
    print("ready", flush=True)
    return kept


def _head(target: str, *lines: str) -> Callable[[int], Sequence[bytes]]:
    def made(port: int) -> Sequence[bytes]:
        head = [f"GET {target} HTTP/1.1", f"Host: localhost:{port}", *lines, "Connection: close", "", ""]
        return ["\r\n".join(head).encode()]

    return made


def _endless(port: int) -> Sequence[bytes]:
    head = f"POST /members/form HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 1000000000000\r\n\r\n"
    return [head.encode(), *[bytes(65536)] * 2000]


def _pipelined(port: int) -> Sequence[bytes]:
    return [f"GET /members/page HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode() * 5000]


ATTACKS: Final[dict[str, Callable[[int], Awaitable[None]]]] = {
    "idle": _idle,
    "drip": _drip,
    "unread": _unread,
    "cookies": _again(_head("/members/page", f"Cookie: a={'a' * 100_000}"), 0.05),
    "fields": _again(_head("/members/page", *["X: y"] * 10_000), 0.05),
    "targets": _again(_head(f"/members/{'a' * 100_000}"), 0.05),
    "contents": _again(_endless, 0.5),
    "pipelined": _again(_pipelined, 0.5),
    "deaf": _deaf,
}
"""What somebody does, by name. What is done again and again is done at the rate of one client, not of a flood."""

PAGES: Final = tuple(name for name in ATTACKS if name != "deaf")
"""What is done to the sites."""

CHECKS: Final = tuple(name for name in ATTACKS if name != "unread")
"""What is done to the check listener: it has nothing large to ask for."""


@contextlib.asynccontextmanager
async def attacked(name: str, port: int) -> AsyncIterator[None]:
    """Somebody does that, for as long as the block lasts."""
    command = (sys.executable, __file__, "--attack", name, "--port", str(port))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _attack(name: str, port: int) -> None:
    if ATTACKS[name] not in (_idle, _drip, _unread, _deaf):
        print("ready", flush=True)
    await ATTACKS[name](port)


# --- the comparison -------------------------------------------------------------------------------


@dataclass(slots=True)
class Compared:
    """An attack: the 99th percentiles without it and with it (medians of the rounds, in seconds), the smallest ratio of
    a round with to the one before it, statuses that were not 200, and the bytes that the worker took for it.

    The smallest ratio is for a machine that does much else meanwhile: it shows only an attack that works every time.
    """

    name: str
    quiet: float
    loaded: float
    ratio: float
    others: list[int]
    memory: int

    @property
    def typical(self) -> float:
        """How many times slower the slowest hundredth of the people is served."""
        return self.loaded / self.quiet

    @property
    def is_right(self) -> bool:
        """Whether nobody has noticed much."""
        return self.typical < BELOW and not self.others and self.memory < MOST_MEMORY


async def compare(
    gateway: Gateway, name: str, rounds: int, seconds: float, *, enough: float = 0.0, asks: bool = False
) -> Compared:
    """Rounds with and without an attack, in turns, until a ratio is below `enough`. With `asks` all of it is about the
    check listener."""
    port = gateway.check if asks else gateway.port
    await people(gateway, 0.5, asks=asks)
    before = gateway.memory
    quiet, loaded, others, most, ratio = [], [], [], 0, 0.0
    for _ in range(rounds):
        quiet.append((await people(gateway, seconds, asks=asks)).p99)
        async with attacked(name, port):
            seen = await people(gateway, seconds, asks=asks)
            most = max(most, gateway.memory)
        loaded.append(seen.p99)
        others += seen.others
        ratio = min(one / other for one, other in zip(loaded, quiet, strict=True))
        if ratio < enough:
            break
    return Compared(name, statistics.median(quiet), statistics.median(loaded), ratio, others, most - before)


async def _main(names: Sequence[str], rounds: int, seconds: float) -> bool:
    right = True
    print("attack            quiet p99  loaded p99   ratio   memory   others' answers")
    async with serving() as gateway:
        for name, asks in [*((name, False) for name in PAGES), *((name, True) for name in CHECKS)]:
            if name not in names:
                continue
            found = await compare(gateway, name, rounds, seconds, asks=asks)
            right = right and found.is_right
            print(
                f"{name:10} {'check' if asks else '':5} {found.quiet * 1000:7.2f} ms {found.loaded * 1000:8.2f} ms"
                f" {found.typical:7.2f} {found.memory / 1e6:5.1f} MB   "
                f"{'all 200' if not found.others else found.others[:5]}",
                flush=True,
            )
    return right


def main() -> int:
    """Compare, or be the attack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(ATTACKS))
    parser.add_argument("--attack")
    parser.add_argument("--port", type=int)
    parser.add_argument("--site", action="store_true")
    given = parser.parse_args()
    if given.site:
        asyncio.run(_be_site())
    if given.attack:
        asyncio.run(_attack(given.attack, given.port))
        return 0
    return 0 if asyncio.run(_main(given.only, given.rounds, given.seconds)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
