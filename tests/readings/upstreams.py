"""Programs that sites are made of, each really run, and each telling how it read a path.

An answer is text: the handler that the program took, then every form in which it offers the path to an application,
one a line.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ports import free_port
from tests.site.houses import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HERE = Path(__file__).parent
APPS = HERE / "apps"
SCRIPTS = Path(sys.executable).parent
NAMES = ["public", "page", "admin", "members"]

NGINX = """
{user} daemon off; worker_processes 1; pid nginx.pid; error_log error.log crit;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type text/plain; keepalive_requests 100000;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  large_client_header_buffers 4 32k;
  proxy_http_version 1.1; proxy_set_header Connection "";
  upstream behind {{ server 127.0.0.1:{behind}; keepalive 4; }}
  # It tells what arrives at a program behind nginx.
  server {{ listen 127.0.0.1:{behind}; location / {{ return 200 "\\n$uri\\n$request_uri"; }} }}
  server {{ listen 127.0.0.1:{locations}; {locations_of} }}
  server {{ listen 127.0.0.1:{unmerged}; merge_slashes off; {locations_of} }}
  server {{ listen 127.0.0.1:{passing}; {passing_of} }}
  server {{ listen 127.0.0.1:{rewriting}; location / {{ proxy_pass http://behind$uri; }} }}
  server {{ listen 127.0.0.1:{files}; root {root}; autoindex on; index index.html;
            location /aliased/ {{ alias {root}/public/; }} }}
}}
"""
LOCATIONS = {
    **{name: f"location /{name}/" for name in NAMES},
    **{f"{name} ": f"location = /{name}" for name in NAMES},
    "account": "location = /account",
    "secret": "location ~ ^/api/[^/]+/secret$",
    "root": "location = /",
    "any": "location /",
}

CADDYFILE = """
{{
  admin off
  auto_https off
  persist_config off
}}
http://:{matching} {{
  bind 127.0.0.1
{matchers}
}}
http://:{files} {{
  bind 127.0.0.1
  root * {root}
  file_server browse
}}
"""


@dataclass(slots=True)
class Upstream:
    """A program that answers at a port. `address` is for the next request, with those before it on one connection."""

    port: int
    connection: socket.socket | None = None
    answered: int = 0

    def ask(self, path: bytes) -> tuple[int, list[str]]:
        """The status and the lines of the answer to GET `path`, byte for byte."""
        for attempt in (1, 2):
            fresh = self.connection is None
            try:
                return self._ask(path)
            except (OSError, HTTPException):
                self.close()
                # what was kept open may have been closed meanwhile; a new connection may be closed without a word
                if fresh and attempt == 2:
                    break
        return 0, []

    def _ask(self, path: bytes) -> tuple[int, list[str]]:
        if self.connection is None:
            self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.closing(HTTPResponse(self.connection, method="GET")) as response:
            response.begin()
            body = response.read()
        self.answered += 1
        if response.will_close:
            self.close()
        return response.status, body.decode("utf-8", "surrogateescape").split("\n")

    def close(self) -> None:
        """Let go of the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


@contextlib.contextmanager
def running(command: Iterable[str], port: int, folder: Path, **environment: str) -> Iterator[None]:
    """A program, for a while."""
    program = Process(tuple(command), folder, folder / f"{port}.log", environment)
    program.start(("127.0.0.1", port))
    try:
        yield
    finally:
        program.stop()


def site_of_files(root: Path) -> Path:
    """A site whose files say who they are."""
    for name in [*NAMES, "api/1", "page"]:
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        handler = name.partition("/")[0]
        for file in ("index.html", "x", "1", "a", "secret"):
            (folder / file).write_text("secret" if (handler, file) == ("api", "secret") else handler)
    (root / "account").write_text("account")
    (root / "index.html").write_text("root")
    return root


def nginx(server: str) -> Callable[[Path], contextlib.AbstractContextManager[int]]:
    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[int]:
        ports = {name: free_port() for name in ("behind", "locations", "unmerged", "passing", "rewriting", "files")}
        inside = [f'{place} {{ return 200 "{name.strip()}\\n$uri"; }}' for name, place in LOCATIONS.items()]
        passing = [f"location /{name}/ {{ proxy_pass http://behind/{name}/; }}" for name in NAMES]
        text = NGINX.format(
            **ports,
            user="user root;" if os.geteuid() == 0 else "",  # so that it may read the files of the test
            root=site_of_files(folder / "root"),
            locations_of=" ".join(inside),
            passing_of=" ".join([*passing, "location / { proxy_pass http://behind; }"]),
        )
        (folder / "nginx.conf").write_text(text)
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin") or "nginx"
        with running([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], ports["locations"], folder):
            yield ports[server]

    return start


def caddy(server: str) -> Callable[[Path], contextlib.AbstractContextManager[int]]:
    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[int]:
        ports = {name: free_port() for name in ("matching", "files")}
        shown = "{http.request.uri.path}\n{http.request.orig_uri.path}"
        places = {f"/{name} /{name}/*": name for name in NAMES}
        places |= {"/account": "account", "/api/*/secret": "secret", "/": "root", "*": "any"}
        matchers = "\n".join(
            f"  @{name} path {paths}\n  handle @{name} {{\n    respond <<ANSWER\n{name}\n{shown}\nANSWER 200\n  }}"
            for paths, name in places.items()
        )
        configuration = folder / "Caddyfile"
        configuration.write_text(CADDYFILE.format(**ports, matchers=matchers, root=site_of_files(folder / "root")))
        command = [str(SCRIPTS / "caddy"), "run", "--config", str(configuration), "--adapter", "caddyfile"]
        with running(command, ports[server], folder, HOME=str(folder), XDG_DATA_HOME=str(folder)):
            yield ports[server]

    return start


@contextlib.contextmanager
def php_router(folder: Path) -> Iterator[int]:
    port = free_port()
    with running(["php", "-S", f"127.0.0.1:{port}", str(APPS / "router.php")], port, folder):
        yield port


@contextlib.contextmanager
def php_files(folder: Path) -> Iterator[int]:
    """PHP's server looks for files, and walks up to the next index.php where there is none."""
    port = free_port()
    root = folder / "root"
    for name in ["public", "page", "admin", "members", ""]:
        (root / name).mkdir(parents=True, exist_ok=True)
        handler = name or "any"
        script = f"<?php $handler = '{handler}'; require '{APPS / 'router.php'}';"
        (root / name / "index.php").write_text(script)
        (root / name / "app.php").write_text(script)
    with running(["php", "-S", f"127.0.0.1:{port}", "-t", str(root)], port, folder):
        yield port


def python(module: str) -> Callable[[Path], contextlib.AbstractContextManager[int]]:
    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[int]:
        port = free_port()
        with running([sys.executable, str(APPS / f"{module}.py"), str(port)], port, folder):
            yield port

    return start


def uvicorn(module: str) -> Callable[[Path], contextlib.AbstractContextManager[int]]:
    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[int]:
        port = free_port()
        quiet = ["--no-access-log", "--log-level", "critical"]
        command = [str(SCRIPTS / "uvicorn"), f"{module}:app", "--app-dir", str(APPS), "--port", str(port), *quiet]
        with running(command, port, folder):
            yield port

    return start


@contextlib.contextmanager
def express(folder: Path) -> Iterator[int]:
    port = free_port()
    shutil.copy(HERE / "express" / "app.js", folder)
    (folder / "node_modules").symlink_to(_express_modules())
    with running(["node", "app.js", str(port)], port, folder, NODE_ENV="production"):
        yield port


def _express_modules() -> Path:
    """Express as package-lock.json has it, installed once on each machine."""
    lock = (HERE / "express" / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "demur-tests"
    folder = cache / f"express-{hashlib.sha256(lock).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache) as made:
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(HERE / "express" / name, made)
                quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
                subprocess.run(["npm", "ci", *quiet], cwd=made, check=True, timeout=300)
                shutil.copytree(made, folder, symlinks=True)
    return folder / "node_modules"


@dataclass(frozen=True, slots=True)
class Kind:
    """How to start an upstream. `mark` is pytest's for the program that it needs."""

    start: Callable[[Path], contextlib.AbstractContextManager[int]]
    mark: str = ""
    more: dict[str, str] = field(default_factory=dict)


KINDS = {
    "nginx": Kind(nginx("locations"), "nginx"),
    "nginx, slashes not merged": Kind(nginx("unmerged"), "nginx"),
    "nginx, passing on": Kind(nginx("passing"), "nginx"),
    "nginx, rewriting": Kind(nginx("rewriting"), "nginx"),
    "nginx, files": Kind(nginx("files"), "nginx"),
    "Caddy": Kind(caddy("matching"), "proxies"),
    "Caddy, files": Kind(caddy("files"), "proxies"),
    "PHP, front controller": Kind(php_router, "php"),
    "PHP, files": Kind(php_files, "php"),
    "Starlette": Kind(uvicorn("asgi_app")),
    "Django, ASGI": Kind(uvicorn("django_app")),
    "Django, WSGI": Kind(python("django_app")),
    "Flask": Kind(python("flask_app")),
    "Express": Kind(express, "node"),
}
