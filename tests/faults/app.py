"""A gateway with its pages before a small site, and people who ask it things and keep what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from argon2 import Parameters, Type

from demur import accounts
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher
from demur.core.model import Session
from demur.core.sessions import identify, mint
from demur.gateway.app import build
from demur.gateway.config.findings import load
from demur.gateway.server.serve import Listener, serve
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from demur.core.model import Subject
    from demur.core.ports import Store
    from demur.gateway.app import Gateway
    from demur.gateway.config.tables import Config

CHEAP = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "rivet and rope"
CONFIG = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"

[accounts]
database = "{database}"

[sessions]
store = "{store}"
keys = "{keys}"

[[site]]
origin = "http://localhost:{port}"
upstream = "http://127.0.0.1:{upstream}"

[[site.rule]]
path = "/**"
allow = "signed-in"

[[site.rule]]
path = "/open"
allow = "anyone"

[[site.rule]]
path = "/staff"
allow = {{ groups = ["staff"] }}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody was told: `began` in monotonic seconds, `seconds` without those in which the machine had no time
    for us."""

    began: float
    seconds: float
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def value(self, name: str) -> str | None:
        """The value of a field that comes at most once."""
        found = [value for key, value in self.fields if key == name]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def reason(self) -> str:
        """The reason of a refusal; "" for everything else."""
        if self.value("content-type") != "application/problem+json":
            return ""
        return str(json.loads(self.body)["reason"])

    @property
    def token(self) -> str:
        """The session that came along."""
        return (self.value("set-cookie") or "").partition("=")[2].partition(";")[0]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in."""

    subject: Subject
    token: str

    @property
    def session(self) -> bytes:
        """The id of the session."""
        return identify(self.token)


def waited() -> float:
    """For how many seconds this thread was ready and the machine had no time for it (Linux, `sched-stats`)."""
    try:
        said = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text()
    except OSError:
        return 0.0
    return int(said.split()[1]) / 1e9


async def request(port: int, method: str, target: str, token: str = "", form: dict[str, str] | None = None) -> Answer:
    """One request of a script, on a connection of its own."""
    body = urlencode(form).encode() if form is not None else b""
    lines = [f"{method} {target} HTTP/1.1", f"Host: localhost:{port}", "Accept: application/json"]
    lines += ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Connection: close"]
    lines += [f"Cookie: demur-dev={token}"] if token else []
    lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"] if body else []
    began, idle = time.monotonic(), waited()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        said = await reader.read()
    finally:
        writer.close()
    seconds = time.monotonic() - began - (waited() - idle)
    head, _, content = said.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest))
    return Answer(began, seconds, int(first.split()[1]), pairs, content)


@dataclass
class App:
    """A gateway that runs in this loop. `store` is its own, `people` are in the database of its accounts."""

    folder: Path
    port: int
    config: Config
    gateway: Gateway
    keys: FileKeys
    subjects: list[Subject]
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def store(self) -> Store:
        """What the gateway asks."""
        return self.gateway._parts.store

    async def get(self, person: Person | None, target: str = "/page") -> Answer:
        """Ask for a page of the site."""
        return await request(self.port, "GET", target, person.token if person else "")

    async def sign_in(self, subject: Subject) -> Answer:
        """Sign in with the right password."""
        form = {"username": subject.name, "password": PASSWORD}
        return await request(self.port, "POST", "/.demur/sign-in", form=form)

    async def sign_out(self, person: Person) -> Answer:
        """Sign out."""
        return await request(self.port, "POST", "/.demur/sign-out", person.token, {"a": "1"})

    async def somebody(self, at: Store) -> Person:
        """Somebody who has signed in elsewhere, with a session that this gateway has not seen yet."""
        number = next(self._numbers)
        token = mint(number.to_bytes(32, "big"), self.keys.ring().current)
        now = int(time.time())
        subject = self.subjects[number % len(self.subjects)]
        await at.issue(Session(identify(token), subject.id, now, now, now, now + 86400, 3600), subject)
        return Person(subject, token)

    async def stop(self) -> None:
        """As if its process ended: it lets go of the store."""
        await self.gateway.aclose()
        del self.gateway

    def start(self) -> None:
        """As if a new process began."""
        self.gateway = _built(self.config)


def _built(config: Config) -> Gateway:
    table = config.accounts.model_copy(update={"hashing": CHEAP})
    return build(config.model_copy(update={"accounts": table}))


async def _answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The site behind."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n")
    writer.close()


_enlisting = threading.Lock()
_made: dict[int, tuple[bytes, list[Subject]]] = {}


def _enlisted(count: int) -> tuple[bytes, list[Subject]]:
    """A file with so many people in it, made once; Alembic makes tables in one thread of a process at a time."""
    with _enlisting:
        if count not in _made:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "accounts.db"
                subjects = asyncio.run(enlist(f"sqlite:{path}", count))
                _made[count] = path.read_bytes(), subjects
        return _made[count]


async def enlist(database: str, count: int) -> list[Subject]:
    """People in the database of accounts, all with one password."""
    people = accounts.open(database)
    hasher = Argon2Hasher(CHEAP)
    try:
        encoded = await hasher.hash(PASSWORD)
        new = [New(f"person{number}", frozenset({"staff"}), encoded=encoded) for number in range(count)]
        return [person.subject for person in await people.add_all(new, by="test")]
    finally:
        hasher.close()
        await people.aclose()


@contextlib.asynccontextmanager
async def running(folder: Path, store: str, database: str = "", people: int = 12) -> AsyncIterator[App]:
    """A gateway on that store, for as long as the block lasts."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    port = listening.getsockname()[1]
    upstream = await asyncio.start_server(_answer_all, "127.0.0.1", 0)
    behind = upstream.sockets[0].getsockname()[1]
    if database:
        subjects = await enlist(database, people)
    else:
        database = f"sqlite:{folder / 'accounts.db'}"
        content, subjects = await asyncio.to_thread(_enlisted, people)
        (folder / "accounts.db").write_bytes(content)
    text = CONFIG.format(port=port, database=database, store=store, keys=folder / "keys", upstream=behind)
    (folder / "demur.toml").write_text(text)
    config = load(folder / "demur.toml")
    app = App(folder, port, config, _built(config), FileKeys(folder / "keys"), subjects)

    async def public(scope: Any, receive: Any, send: Any) -> None:
        await app.gateway.public(scope, receive, send)

    stop = asyncio.Event()
    serving = asyncio.create_task(serve([Listener(listening, public)], stop, drain=1))
    try:
        yield app
    finally:
        stop.set()
        await serving
        await app.gateway.aclose()
        upstream.close()


async def eventually(what: Callable[[], Any], seconds: float) -> bool:
    """Ask until the answer is yes, for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if await what():
            return True
        await asyncio.sleep(0.05)
    return False
