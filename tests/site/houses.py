"""A real site behind a real `demur serve`: two processes, a tap between them, state as the command line makes it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import pytest
from tests.ports import free_port
from tests.site.settlers import HASHING, settle
from tests.site.wire import NAVIGATION, SCRIPT, Answer, Pairs, Tap, exchange

from demur import accounts, stores
from demur.core import sessions
from demur.core.model import Actor, End, Ending, Rotate, Session, Subject
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

T = TypeVar("T")

needs_php = pytest.mark.skipif(shutil.which("php") is None, reason="needs php: apt install php-cli")

ROOT = Path(__file__).parents[2]
DEMUR = (str(Path(sys.executable).with_name("demur")),)


@dataclass(frozen=True, slots=True)
class Example:
    """A site of `examples/`: what a test asks for there. Targets are paths; `refused` is a request that the site
    itself refuses with access-pending."""

    name: str
    folder: Path
    config: Path
    page: str
    api: str
    post: tuple[str, bytes]
    admin: str
    admin_api: str
    public: str
    concealed: str
    refused: tuple[str, bytes]
    refused_because: str
    member: str
    staff: str
    admin_person: str
    people: Mapping[str, str]


PHP = Example(
    name="php",
    folder=ROOT / "examples/php/after",
    config=ROOT / "examples/php/demur.toml",
    page="/members/",
    api="/members/bookings.php",
    post=("/members/bookings.php", b'{"machine": "lathe", "day": "2026-12-01"}'),
    admin="/admin/",
    admin_api="/admin/introductions.php",
    public="/machines.php",
    concealed="/members/keys/codes.php",
    refused=("/members/bookings.php", b'{"machine": "laser", "day": "2026-12-01"}'),
    refused_because="Your introduction to the Laser cutter is on Thursday at six.",
    member="ben",
    staff="cleo",
    admin_person="ada",
    people={"ada": "lathe and lace", "ben": "plane and plank", "cleo": "kiln and clay", "dov": "rivet and rope"},
)

SAMPLE = Example(
    name="sample",
    folder=ROOT / "examples/sample",
    config=ROOT / "examples/sample/demur.toml",
    page="/members/",
    api="/api/shelf",
    post=("/api/borrow", b'{"seed": "carrot"}'),
    admin="/admin/",
    admin_api="/admin/",
    public="/public/site.css",
    concealed="/vault/",
    refused=("/api/borrow", b'{"seed": "moonflower"}'),
    refused_because="This is the last packet in the world. The keeper of the vault has been asked and will ring you.",
    member="bob",
    staff="alice",
    admin_person="alice",
    people={"alice": "alice-sows-poppies", "bob": "bob-borrows-beans", "carol": "carol-counts-carrots"},
)
GROUPS = {"alice": ("admins", "members", "staff"), "bob": ("members",)}


class NotListening(AssertionError):  # noqa: N818 - it is what the test has found
    """A program ended, or did not begin to listen in time; with what it said last."""


def wait_for(address: tuple[str, int] | Path, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    """Until somebody listens there (a path: at a unix socket); fails with the log if the process ends or takes too
    long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), _connected(address):
            return
        time.sleep(0.02)
    raise NotListening(f"nobody listens at {address}:\n{log.read_text()[-4000:]}")


def _connected(address: tuple[str, int] | Path) -> socket.socket:
    if not isinstance(address, Path):
        return socket.create_connection(address, timeout=1)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(address))
    except OSError:
        connection.close()
        raise
    return connection


@dataclass(slots=True)
class Process:
    """A program in the background; `log` has what it says."""

    command: tuple[str, ...]
    folder: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    running: subprocess.Popen[bytes] | None = None

    def start(self, address: tuple[str, int] | Path) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        wait_for(address, self.running, self.log)

    def children(self) -> list[int]:
        """The ids of the processes that it started."""
        assert self.running is not None
        listed = Path(f"/proc/{self.running.pid}/task/{self.running.pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def stop(self) -> None:
        """End it, with its children."""
        if self.running is None:
            return
        try:
            self.running.terminate()
            self.running.wait(15)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)  # it leads a group of its own
            self.running.wait(5)


def run(work: Coroutine[Any, Any, T]) -> T:
    """A coroutine's result, in a loop of its own."""
    with asyncio.Runner() as runner:
        return runner.run(work)


@dataclass(slots=True)
class House:
    """A running gateway before a running site."""

    example: Example
    folder: Path
    port: int
    tap: Tap
    gateway: Process
    origin: str
    context: ssl.SSLContext | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where the gateway listens."""
        return ("127.0.0.1", self.port)

    @property
    def host(self) -> str:
        """The authority of the origin."""
        return self.origin.partition("://")[2]

    @property
    def cookie(self) -> str:
        """The name of the session cookie."""
        return "__Host-demur" if self.context else "demur-dev"

    # --- asking -----------------------------------------------------------------------------------

    def ask(
        self, method: str, target: str, fields: Pairs = SCRIPT, body: bytes = b"", *, token: str | None = None
    ) -> Answer:
        """One request, with a session's token if there is one."""
        cookie = [("Cookie", f"{self.cookie}={token}")] if token else []
        host = [] if any(name.lower() == "host" for name, _ in fields) else [("Host", self.host)]
        return exchange(self.address, method, target, [*host, *fields, *cookie], body, context=self.context)

    def page(self, target: str, token: str | None = None) -> Answer:
        """What a person sees who opens that address."""
        return self.ask("GET", target, NAVIGATION, token=token)

    def script(self, target: str, token: str | None = None) -> Answer:
        """What a page's script gets."""
        return self.ask("GET", target, SCRIPT, token=token)

    def send(self, target: str, values: Mapping[str, str], token: str | None = None, *more: tuple[str, str]) -> Answer:
        """A form, sent by this site's own page."""
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        fields = [*NAVIGATION, ("Origin", self.origin), kind, *more]
        return self.ask("POST", target, fields, urlencode(values).encode(), token=token)

    def sign_in(
        self, person: str, password: str | None = None, *, token: str | None = None, next_: str = "/"
    ) -> Answer:
        """The answer to a sign-in form."""
        typed = self.example.people[person] if password is None else password
        return self.send("/.demur/sign-in", {"username": person, "password": typed, "next": next_}, token)

    def signed_in(self, person: str) -> str:
        """The token of a new session, got as a person gets it."""
        answer = self.sign_in(person)
        assert answer.status == 303, answer.text[:400]
        return self.token(answer)

    def token(self, answer: Answer) -> str:
        """The session token that an answer sets."""
        return answer.cookies[self.cookie].partition(";")[0]

    def upstream_saw(self) -> bytes:
        """What the site was sent since the last time somebody asked."""
        return self.tap.take()

    # --- state ------------------------------------------------------------------------------------

    def demur(self, *arguments: str, stdin: str = "") -> str:
        """What a command of ours prints."""
        done = subprocess.run(
            [*DEMUR, *arguments, "--config", str(self.folder / "demur.toml")],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def store_file(self) -> Path:
        """The session store."""
        return self.folder / "sessions.db"

    def subject(self, person: str) -> Subject:
        """The snapshot of a person."""

        async def look() -> Subject:
            people = accounts.open(f"sqlite:{self.folder / 'accounts.db'}")
            try:
                account = await people.by_name(person)
                assert account is not None
                return account.subject
            finally:
                await people.aclose()

        return run(look())

    def mint(self) -> str:
        """A token that could be a session's, and is not."""
        return sessions.mint(secrets.token_bytes(32), FileKeys(self.folder / "keys").ring().current)

    def session(self, person: str, **changes: int | bool | str) -> tuple[str, Session]:
        """A session that began a minute ago, with members changed, kept in the store. Its token, and itself."""
        token, subject = self.mint(), self.subject(person)
        now = int(time.time())
        usual = Session(
            id=sessions.identify(token),
            subject=subject.id,
            issued_at=now - 60,
            authenticated_at=now - 60,
            last_seen=now - 60,
            expires_at=now - 60 + 86400,
            idle=3600,
        )
        session = replace(usual, **changes)  # type: ignore[arg-type]
        run(self._kept(session, subject))
        return token, session

    async def _kept(self, session: Session, subject: Subject) -> None:
        store = stores.open(f"sqlite:{self.store_file}")
        await store.issue(session, subject)
        await store.aclose()

    def apply(self, *changes: End | Rotate) -> None:
        """Changes made in the store by another process."""

        async def make() -> None:
            store = stores.open(f"sqlite:{self.store_file}")
            assert all(await store.apply(changes))
            await store.aclose()

        run(make())

    def end(self, session: Session, how: Ending, ago: int = 5) -> int:
        """End a session; the second at which that was."""
        at = int(time.time()) - ago
        self.apply(End(session.id, how, Actor.ADMINISTRATOR if how is Ending.REVOKED else Actor.SELF, at))
        return at


# --- making one -----------------------------------------------------------------------------------


def configuration(example: Example, port: int, upstream: tuple[str, int], changes: Callable[[str], str]) -> str:
    """The example's own configuration, with the addresses of this test."""
    text = example.config.read_text()
    text = text.replace("[accounts]\n", f'[accounts]\nhashing = "{HASHING}"\n')
    text = re.sub(r'(?m)^listen = ".*?"', f'listen = "127.0.0.1:{port}"', text)
    text = re.sub(r'(?m)^origin = ".*?"', f'origin = "http://localhost:{port}"', text)
    text = re.sub(r'(?m)^upstream = ".*?"', f'upstream = "http://127.0.0.1:{upstream[1]}"', text)
    return changes(text)


def site_process(example: Example, folder: Path, port: int) -> Process:
    """The program that is the site."""
    log = folder / "site.log"
    command: tuple[str, ...]
    if example.name == "php":
        command = ("php", "-S", f"127.0.0.1:{port}", "-t", "public")
        state = {"WORKSHOP_DATA": str(folder / "workshop.json"), "PHP_CLI_SERVER_WORKERS": "4"}
        return Process(command, example.folder, log, state)
    command = (sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning")
    return Process(command, example.folder, log)


@contextlib.contextmanager
def running(
    example: Example,
    folder: Path,
    changes: Callable[[str], str] = lambda text: text,
    *,
    tls: Path | None = None,
    site: Callable[[Example, Path, int], Process] = site_process,
) -> Iterator[House]:
    """A site and its gateway, for as long as the block lasts. `changes` edits the configuration, `site` makes the
    program that is the site."""
    site_port, port = free_port(), free_port()
    behind = site(example, folder, site_port)
    behind.start(("127.0.0.1", site_port))
    tap = Tap(("127.0.0.1", site_port))
    text = configuration(example, port, tap.address, changes)
    context = None
    if tls is not None:
        text = text.replace('origin = "http:', 'origin = "https:').replace(
            "[gateway]\n", f'[gateway]\ntls = {{ certificate = "{tls / "cert.pem"}", key = "{tls / "key.pem"}" }}\n'
        )
        context = ssl.create_default_context(cafile=str(tls / "cert.pem"))
    config = folder / "demur.toml"
    config.write_text(text)
    gateway = Process((*DEMUR, "serve", "--config", str(config)), folder, folder / "gateway.log")
    scheme = "https" if tls else "http"
    house = House(example, folder, port, tap, gateway, f"{scheme}://localhost:{port}", context)
    try:
        _people(house)
        gateway.start(house.address)
        yield house
    finally:
        gateway.stop()
        behind.stop()
        tap.close()


def _people(house: House) -> None:
    if house.example.name == "php":
        shutil.copy(house.example.config.parent / "people.csv", house.folder / "people.csv")
        house.demur("user", "import", str(house.folder / "people.csv"))
        return
    settle(house.folder, house.example.people, GROUPS)
