"""Several gateways on one store behind a real nginx, and somebody who asks without a pause."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from tests.ports import free_port
from tests.site.houses import Process, run, wait_for

from demur import accounts, stores
from demur.accounts.people import New
from demur.authenticators.password import Argon2Hasher
from demur.core import sessions
from demur.core.model import Session
from demur.stores.keys import FileKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from demur.core.model import Subject

DEMUR = (sys.executable, "-c", "from demur.cli import main; main()")
PEOPLE = {"ann": "correct horse battery", "bob": "staple battery horse"}
COOKIE = "demur-dev"

_NODE = """\
version = 1

[gateway]
listen = "127.0.0.1:{pages}"
check_listen = "127.0.0.1:{check}"
trusted_proxies = ["127.0.0.1"]
workers = {workers}
drain = "5s"

[accounts]
database = "{accounts}"
hashing = "OWASP_19_MIB"

[sessions]
store = "{store}"
keys = "{keys}"

[[site]]
origin = "http://localhost:{port}"
upstream = "http://127.0.0.1:{app}"
assertion = true

[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/**"
allow = "signed-in"
"""

# As docs/how-to/many-nodes.md has it, but for the names of files and the ports.
_NGINX = """\
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    keepalive_requests 1000000;

    upstream demur {{
        {pages}
        keepalive 16;
    }}
    upstream demur_check {{
        {checks}
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version    1.1;
        proxy_connect_timeout 1s;
        proxy_next_upstream   error timeout;
        proxy_set_header      Connection        "";
        proxy_set_header      Host              $http_host;
        proxy_set_header      X-Forwarded-For   $remote_addr;
        proxy_set_header      X-Forwarded-Host  $http_host;
        proxy_set_header      X-Forwarded-Proto http;

        location / {{
            proxy_pass http://demur;
        }}
        location /asked/ {{
            auth_request /asked-check;
            proxy_pass   http://127.0.0.1:{app};
        }}
        location = /asked-check {{
            internal;
            proxy_pass              http://demur_check/check?answer=fields;
            proxy_pass_request_body off;
            proxy_set_header        Content-Length     "";
            proxy_set_header        Connection         "";
            proxy_set_header        Host               $http_host;
            proxy_set_header        X-Forwarded-For    $remote_addr;
            proxy_set_header        X-Forwarded-Host   $http_host;
            proxy_set_header        X-Forwarded-Proto  http;
            proxy_set_header        X-Forwarded-Method $request_method;
            proxy_set_header        X-Forwarded-Uri    $request_uri;
        }}
    }}
}}
"""


class App(ThreadingHTTPServer):
    """The app behind: it says who it was told to be there, in one line."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Says)


class _Says(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = f"{self.headers.get('Remote-User', '-')} {len(self.rfile.read(length))}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - what http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(slots=True)
class Node:
    """One gateway."""

    process: Process
    pages: int
    check: int

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.process.start(("127.0.0.1", self.pages))
        assert self.process.running is not None
        wait_for(("127.0.0.1", self.check), self.process.running, self.process.log)

    def end(self) -> int:
        """Ask it to end, and wait until it has; its status."""
        assert self.process.running is not None
        self.process.running.send_signal(signal.SIGTERM)
        return self.process.running.wait(30)

    def reload(self) -> None:
        """Have it read its configuration again, and wait until the new workers serve and the old ones are gone."""
        running = self.process.running
        assert running is not None
        before = set(self.process.children())
        running.send_signal(signal.SIGHUP)
        until(lambda: len(self.process.children()) == len(before) and not before & set(self.process.children()))

    def kill(self) -> None:
        """Have it gone, with all of its workers, without a word."""
        assert self.process.running is not None
        os.killpg(self.process.running.pid, signal.SIGKILL)
        self.process.running.wait(10)

    def ask(
        self, path: str, token: str = "", *, method: str = "GET", host: str = "", body: bytes | None = None
    ) -> tuple[int, str]:
        """An answer of this very node."""
        return asked(self.pages, path, token, method=method, host=host, body=body)

    def ready(self) -> tuple[int, str]:
        """What it says of itself."""
        return asked(self.check, "/ready")


def asked(
    port: int, path: str, token: str = "", *, method: str = "GET", host: str = "", body: bytes | None = None
) -> tuple[int, str]:
    """One answer, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, _fields(host or f"127.0.0.1:{port}", token))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _fields(host: str, token: str) -> dict[str, str]:
    said = {"Host": host, "Accept": "application/json", "Sec-Fetch-Site": "same-origin"}
    return {**said, "Cookie": f"{COOKIE}={token}"} if token else said


def until(what: object, seconds: float = 30) -> None:
    """Wait for something to be so."""
    assert callable(what)
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@dataclass(slots=True)
class Cluster:
    """All of it."""

    folder: Path
    store: str
    accounts: str
    port: int
    nodes: list[Node]
    nginx: Process
    keys: Path
    app: int

    @property
    def host(self) -> str:
        """The authority of the site."""
        return f"localhost:{self.port}"

    def subject(self, name: str = "ann") -> Subject:
        """One of the people."""
        return run(_subject(self.accounts, name))

    def session(self, name: str = "ann") -> str:
        """The token of a new session."""
        return self.tokens(1, name)[0]

    def tokens(self, count: int, name: str = "ann") -> list[str]:
        """The tokens of new sessions."""
        return run(self._issue(count, self.subject(name)))

    def node(self, number: int | str, *, workers: int = 1, keys: str = "") -> Node:
        """One more, not started, with keys of its own perhaps."""
        own = self.folder / f"node{number}"
        own.mkdir()
        node = Node(Process((*DEMUR, "serve"), own, own / "demur.log"), free_port(), free_port())
        text = _NODE.format(
            pages=node.pages,
            check=node.check,
            workers=workers,
            accounts=self.accounts,
            store=self.store,
            keys=keys or self.keys,
            port=self.port,
            app=self.app,
        )
        (own / "demur.toml").write_text(text)
        return node

    async def _issue(self, count: int, subject: Subject) -> list[str]:
        store, key, now = stores.open(self.store), FileKeys(self.keys).ring().current, int(time.time())
        try:
            made = [sessions.mint(secrets.token_bytes(32), key) for _ in range(count)]
            for token in made:
                await store.issue(
                    Session(sessions.identify(token), subject.id, now, now, now, now + 9000, 3600), subject
                )
            return made
        finally:
            await store.aclose()


async def _subject(url: str, name: str) -> Subject:
    people = accounts.open(url)
    try:
        account = await people.by_name(name)
        assert account is not None
        return account.subject
    finally:
        await people.aclose()


async def _settle(url: str) -> None:
    people, hasher = accounts.open(url), Argon2Hasher("OWASP_19_MIB")
    for name, password in PEOPLE.items():
        await people.add(New(name, frozenset(), encoded=await hasher.hash(password)), by="tests")
    await people.aclose()
    hasher.close()


@contextlib.contextmanager
def cluster(folder: Path, store: str, *, people: str = "", nodes: int = 3, workers: int = 1) -> Iterator[Cluster]:
    """That many nodes, for as long as the block lasts. Without `people` these are in a file that all can open."""
    with App() as app, contextlib.ExitStack() as stack:
        threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        stack.callback(app.shutdown)
        people = people or f"sqlite:{folder / 'accounts.db'}"
        run(_settle(people))
        nginx = Process((), folder, folder / "nginx.log")
        here = Cluster(folder, store, people, free_port(), [], nginx, folder / "keys", app.server_port)
        for number in range(nodes):
            node = here.node(number, workers=workers)
            stack.callback(node.process.stop)
            node.start()
            here.nodes.append(node)
        stack.callback(here.nginx.stop)
        _start_nginx(here)
        yield here


def _start_nginx(here: Cluster) -> None:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    assert program, "nginx is not here"
    text = _NGINX.format(
        # a worker of another user could not enter the folders of the tests
        user="user root;" if os.geteuid() == 0 else "",
        port=here.port,
        app=here.app,
        pages="\n        ".join(f"server 127.0.0.1:{node.pages} max_fails=0;" for node in here.nodes),
        checks="\n        ".join(f"server 127.0.0.1:{node.check} max_fails=0;" for node in here.nodes),
    )
    (here.folder / "nginx.conf").write_text(text)
    here.nginx.command = (program, "-p", str(here.folder), "-c", "nginx.conf")
    here.nginx.start(("127.0.0.1", here.port))


@dataclass(slots=True)
class Load:
    """Requests without a pause, on connections that stay open, each answer counted: pages and what is sent, passed on
    by demur and by nginx that asks demur."""

    port: int
    host: str
    tokens: Sequence[str]
    threads: int = 4
    answers: Counter[tuple[str, str, int | str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._running = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.threads)]
        for thread in self._running:
            thread.start()
        self.more(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(30)

    @property
    def count(self) -> int:
        """How many answers there were."""
        return sum(self.answers.values())

    def more(self, count: int) -> None:
        """Until that many more answers have come."""
        goal = self.count + count
        until(lambda: self.count >= goal)

    def _ask(self, number: int) -> None:
        kinds = (("GET", "/members/a"), ("POST", "/members/b"), ("GET", "/asked/c"), ("POST", "/asked/d"))
        turn, connection = number, http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self._stop.is_set():
            (method, path), token = kinds[turn % 4], self.tokens[turn % len(self.tokens)]
            turn += 1
            body = b"x" * 100 if method == "POST" else None
            try:
                connection.request(method, path, body, _fields(self.host, token))
                answer = connection.getresponse()
                said = answer.read()
                status: int | str = answer.status
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                said, status = b"", type(error).__name__
            self.answers[method, path, status] += 1
            if status != 200:
                self.wrong.append(f"{method} {path}: {status} {said[:300]!r}")
        connection.close()
