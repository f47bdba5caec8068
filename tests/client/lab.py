"""The site under test: the gateway as it is configured from a file, in a thread of this process, before an app that
counts what it executes; with a clock that a test sets.

    lab.now += 3601                     # every session has ended by inactivity
    lab.end("alice", "revoked")         # at once, and told to everything that is open
    lab.page("/x", "<p>Hello {subject}", script="…")
    lab.executed                        # what the app did, and for whom
    lab.requests                        # everything that reached the server, refused or not
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import shutil
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from argon2 import Parameters, Type
from tests.client.upstream import POLICY, Executed, Page, Upstream

from demur import accounts
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher
from demur.core.model import Actor, Ending, Session, Touch
from demur.core.sessions import identify, mint
from demur.gateway.app import Gateway
from demur.gateway.config.tables import read
from demur.gateway.server.serve import Listener, serve, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from demur.core.model import Subject
    from demur.gateway.config.tables import Config, Timeouts
    from demur.guard import Guard

T = TypeVar("T")

PEOPLE = {
    "alice": ("Alice Archer", ("staff",), "alice-in-the-garden"),
    "bob": ("Bob Baker", (), "bob-bakes-bread"),
    "root": ("", ("admins", "staff"), "root-of-all-trees"),
}
"""Display name, groups and password of each."""
# Enough to be a hash; how costly it is is tested elsewhere.
CHEAP = Parameters(type=Type.ID, version=19, salt_len=16, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)
IDLE, ABSOLUTE = 3600, 86400
"""Seconds: the limits of a session here."""

RULES = """
[[site.rule]]
path = "/**"
allow = "signed-in"

[[site.rule]]
path = "/"
allow = "anyone"

[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/whoever/**"
allow = "anyone"
identify = true

[[site.rule]]
path = "/api/admin/**"
allow = { groups = ["admins"] }

[[site.rule]]
path = "/admin/**"
allow = { groups = ["admins"] }

[[site.rule]]
path = "/api/step-up/**"
allow = { fresh = "15m" }
"""

_CONFIGURATION = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"
log = "json"
{tls}

[accounts]
database = "sqlite:accounts.db"
hashing = "OWASP_19_MIB"

[sessions]
store = "memory:"
idle = "{idle}s"
absolute = "{absolute}s"

[[site]]
origin = "{scheme}://localhost:{port}"
upstream = "http://127.0.0.1:9"
name = "Sample"
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that reached the server, whatever became of it; `status` is 0 until it is answered."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    status: int = 0


class _Gateway(Gateway):
    """A gateway before an app of this process, by a clock that is set."""

    def __init__(self, config: Config, app: Upstream, clock: Callable[[], float]) -> None:
        self._app = app
        super().__init__(config)
        for guard in self._guards:
            guard.clock = clock
        self.said = io.StringIO()
        self._log._stream = self.said

    def _behind(self, upstream: str | None, timeouts: Timeouts, guard: Guard) -> Any:
        return self._app


async def make_people(folder: Path) -> None:
    """Make the accounts in a folder."""
    people, hasher = accounts.open(f"sqlite:{folder / 'accounts.db'}"), Argon2Hasher(CHEAP)
    for name, (display_name, groups, password) in PEOPLE.items():
        encoded = await hasher.hash(password)
        await people.add(New(name, frozenset(groups), display_name, "", encoded), by="lab")
    await people.aclose()
    hasher.close()


class Lab:
    """A running site. What it is told from a test's thread happens in its own."""

    def __init__(self, folder: Path, port: int, *, tls: Path | None, rules: str, idle: int, absolute: int) -> None:
        scheme = "https" if tls else "http"
        self.origin = f"{scheme}://localhost:{port}"
        self.cookie = "__Host-demur" if tls else "demur-dev"
        self.idle, self.absolute = idle, absolute
        self.now: float = int(time.time())
        self.site = Upstream()
        self._changed = self.site.changed
        self._requests: list[Asked] = []
        table = f'tls = {{ certificate = "{tls / "cert.pem"}", key = "{tls / "key.pem"}" }}' if tls else ""
        file = folder / "demur.toml"
        text = _CONFIGURATION.format(port=port, scheme=scheme, tls=table, idle=idle, absolute=absolute)
        file.write_text(text + rules)
        self.gateway = _Gateway(read(file), self.site, lambda: self.now)
        # Hashing gives way to whoever else is at work here, which can be long.
        self.gateway._parts.hasher.__init__(CHEAP)  # type: ignore[misc]
        self.store, self.people = self.gateway._parts.store, self.gateway._parts.people
        self.keys = self.gateway._parts.keys
        self.loop = asyncio.new_event_loop()

    # --- what happened

    @property
    def executed(self) -> list[Executed]:
        """What the app executed so far, pages and scripts included, in order."""
        with self._changed:
            return list(self.site.executed)

    @property
    def requests(self) -> list[Asked]:
        """What reached the server so far, in order."""
        with self._changed:
            return list(self._requests)

    def done(self, path: str, method: str | None = None) -> list[Executed]:
        """What the app executed at a path."""
        return [each for each in self.executed if each.path == path and method in {None, each.method}]

    def asked(self, path: str, method: str | None = None) -> list[Asked]:
        """What was asked at a path, whatever became of it."""
        return [each for each in self.requests if each.path == path and method in {None, each.method}]

    def counts(self, prefix: str = "/") -> Counter[str]:
        """How often the app executed each `METHOD path` below a prefix."""
        return Counter(f"{each.method} {each.path}" for each in self.executed if each.path.startswith(prefix))

    def forget(self) -> None:
        """Count from here on."""
        with self._changed:
            self.site.executed.clear()
            self._requests.clear()

    def wait_for(self, true: Callable[[], bool], seconds: float = 30) -> None:
        """Until something is true that changes with requests."""
        with self._changed:
            assert self._changed.wait_for(true, seconds), "it has not happened"

    @property
    def log(self) -> str:
        """What the gateway has said."""
        return self.gateway.said.getvalue()

    # --- what is there

    def page(
        self, path: str, body: str, script: str = "", *, csp: str = POLICY, client: bool = True, lang: str = "en",
        head: str = "", status: int = 200, headers: tuple[tuple[str, str], ...] = (),
    ) -> str:  # fmt: skip
        """Add a page, with a module of its own if there is a script; its address."""
        self.site.pages[path] = Page(body, csp, script, client, lang, head, status, headers)
        return self.origin + path

    def answer(self, path: str, answer: Callable[[Executed], tuple[int, str, bytes]]) -> None:
        """Let the app answer at a path: status, type and body."""
        self.site.answers[path] = answer

    def hold(self, path: str) -> None:
        """Let what is executed at a path wait for its answer. What demur answers itself, waits too."""
        self.site.held[path] = asyncio.Event()

    def release(self, path: str) -> None:
        """Answer what was held."""
        self.loop.call_soon_threadsafe(self.site.held.pop(path).set)

    def url(self, path: str) -> str:
        """The address of a path."""
        return self.origin + path

    # --- people and sessions

    def password(self, name: str) -> str:
        """Somebody's password."""
        return PEOPLE[name][2]

    def subject(self, name: str) -> Subject:
        """The snapshot of a person."""
        account = self.do(self.people.by_name(name))
        assert account is not None
        return account.subject

    def token(self, name: str) -> str:
        """The token of a new session, for a cookie."""
        token, now = mint(secrets.token_bytes(32), self.keys.ring().current), int(self.now)
        subject = self.subject(name)
        session = Session(identify(token), subject.id, now, now, now, now + self.absolute, idle=self.idle)
        self.do(self.store.issue(session, subject))
        return token

    def end(self, name: str, how: str = "ended") -> None:
        """End a person's sessions: "ended" (by themselves), "revoked" (by an administrator), "idle" or "expired" (by
        the clock, which goes on for everybody)."""
        if how == "idle":
            self.now += self.idle + 1
        elif how == "expired":
            self._grow_old(self.subject(name))
        else:
            actor = Actor.ADMINISTRATOR if how == "revoked" else Actor.SELF
            self.do(self.store.end_all(self.subject(name).id, Ending(how), actor, int(self.now)))

    def _grow_old(self, subject: Subject) -> None:
        """Let the time pass with somebody at work all the while."""
        until = self.now + self.absolute + 1
        while self.now < until:
            self.now = min(until, self.now + self.idle * 0.8)
            live = self.do(self.store.sessions(subject.id))
            self.do(self.store.apply([Touch(each.id, int(self.now)) for each in live]))

    def sessions(self, name: str) -> list[Session]:
        """The sessions of a person that nobody has ended."""
        return self.do(self.store.sessions(self.subject(name).id))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something where the server runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    # --- running

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """The gateway's public app, with a list of what reaches it."""
        if scope["type"] not in {"http", "websocket"}:
            await self.gateway.public(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        asked = Asked(scope.get("method", "WEBSOCKET"), scope["path"], query, headers)
        with self._changed:
            place = len(self._requests)
            requests = self._requests
            requests.append(asked)
            self._changed.notify_all()

        if asked.path.startswith("/.demur/") and (event := self.site.held.get(asked.path)) is not None:
            await event.wait()

        async def noted(message: Any) -> None:
            if message["type"].endswith("response.start"):
                with self._changed:
                    # unless it was forgotten meanwhile
                    if place < len(requests) and requests[place] is asked:
                        requests[place] = Asked(asked.method, asked.path, asked.query, asked.headers, message["status"])
                    self._changed.notify_all()
            await send(message)

        await self.gateway.public(scope, receive, noted)

    async def serve(self, sock: socket.socket, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until told to stop."""
        tls = self.gateway.config.gateway.tls
        context = tls_context(tls.certificate, tls.key) if tls else None
        await serve([Listener(sock, self.app, context)], stop, ready=ready, drain=0.05)
        await self.gateway.aclose()


@contextlib.contextmanager
def running(
    folder: Path, people: Path, *, tls: Path | None = None, rules: str = RULES, idle: int = IDLE,
    absolute: int = ABSOLUTE,
) -> Iterator[Lab]:  # fmt: skip
    """The site, for as long as the block lasts, with the accounts of a folder. `tls` has cert.pem and key.pem."""
    shutil.copy(people / "accounts.db", folder / "accounts.db")
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    lab = Lab(folder, sock.getsockname()[1], tls=tls, rules=rules, idle=idle, absolute=absolute)
    ready, stop = threading.Event(), asyncio.Event()

    def run() -> None:
        with contextlib.closing(lab.loop):
            lab.loop.run_until_complete(lab.serve(sock, stop, ready.set))

    thread = threading.Thread(target=run, name="lab")
    thread.start()
    try:
        assert ready.wait(30)
        yield lab
    finally:
        lab.loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        sock.close()
