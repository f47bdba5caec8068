"""Real proxies before a real `demur serve`, with the recipes as they are printed.

- `behind` starts an app that records what reaches it, demur, and a proxy, and stops all of it at the end.
- The recipe is run as `demur recipe` writes it. What is written around it here is what a distribution ships: the file
  that includes it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ports import free_port
from tests.proxies.recorder import ID, Recorder, Reply, Seen
from tests.site.houses import DEMUR, PHP, House, Process, wait_for
from tests.site.settlers import settle
from tests.site.wire import SCRIPT, Answer, Pairs, Tap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROXIES = ("nginx", "caddy", "traefik", "envoy", "haproxy", "apache")
UNTESTED: Mapping[str, str] = {
    name: table["reason"]
    for name, table in tomllib.loads((Path(__file__).parent / "untested.toml").read_text()).items()
}
"""Proxies that cannot be started where the tests run, and why."""

PEOPLE = {"ann": "a walrus in the attic", "bob": "nine lives of a kettle"}
GROUPS = {"ann": ("staff",), "bob": ()}
FRONT = "https://front.example"
"""Another origin, whose pages may read the site's answers."""

CORS = f'cors = {{ origins = ["{FRONT}"], methods = ["GET", "HEAD", "POST", "PUT"], headers = ["x-test-id"] }}'
RULES = """
[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/hello/**"
allow = "anyone"
identify = true

[[site.rule]]
path = "/members/**"
allow = "signed-in"

[[site.rule]]
path = "/staff/**"
allow = { groups = ["staff"] }

[[site.rule]]
path = "/fresh/**"
allow = { groups = ["staff"], fresh = "15m" }

[[site.rule]]
path = "/api/**"
allow = "signed-in"
accepts = ["bearer"]

[[site.rule]]
path = "/notes/**"
methods = ["GET"]
allow = "signed-in"

[[site.rule]]
path = "/notes/**"
allow = { groups = ["staff"] }
"""
_EXAMPLE = replace(PHP, name="stand", people=PEOPLE)


@dataclass(slots=True, kw_only=True)
class Stand(House):
    """A proxy, demur behind or beside it, and an app that records. What `House` has asks through the proxy.

    `pages` and `check` are the ports at which demur listens (0: at sockets in the folder), `upstream` is the app,
    `proxy` the program, `name` its name.
    """

    name: str
    pages: int
    check: int
    proxy: Process
    upstream: Recorder

    @contextlib.contextmanager
    def connected(self, timeout: float = 20) -> Iterator[socket.socket]:
        """A connection to the proxy, with TLS if the site has it."""
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection(self.address, timeout=timeout))
            if self.context is not None:
                connection = stack.enter_context(self.context.wrap_socket(connection, server_hostname="localhost"))
            yield connection

    def raw(self, data: bytes, timeout: float = 20) -> bytes:
        """Send exactly this, and read until the proxy closes. The request should ask for that."""
        received = b""
        with self.connected(timeout) as connection:
            connection.sendall(data)
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    received += piece
        return received

    def try_(
        self,
        method: str,
        target: str,
        *more: tuple[str, str],
        body: bytes = b"",
        token: str | None = None,
        cookies: str = "",
        fields: Pairs = SCRIPT,
        reply: Reply | None = None,
    ) -> tuple[Answer, list[Seen]]:
        """One request through the proxy: its answer, and what reached the app (nothing, if it was refused). `cookies`
        are others beside the session's, in the same field."""
        id_ = secrets.token_hex(8)
        if reply is not None:
            self.upstream.reply(id_, reply)
        pairs = "; ".join(part for part in (cookies, f"{self.cookie}={token}" if token else "") if part)
        cookie = [("Cookie", pairs)] if pairs else []
        answer = self.ask(method, target, [*fields, (ID, id_), *more, *cookie], body)
        return answer, self.upstream.seen(id_)

    def stop_demur(self) -> None:
        """End demur; the proxy goes on."""
        self.gateway.stop()

    def start_demur(self) -> None:
        """Start it again."""
        address: tuple[str, int] | Path = ("127.0.0.1", self.pages) if self.pages else self.folder / "demur.sock"
        self.gateway.start(address)
        assert self.gateway.running is not None
        check: tuple[str, int] | Path = ("127.0.0.1", self.check) if self.check else self.folder / "check.sock"
        wait_for(check, self.gateway.running, self.gateway.log)


# --- the programs -----------------------------------------------------------------------------------


def found(program: str) -> str:
    """Where a program is: beside the tests' Python, or where the system has it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"
    where = shutil.which(program, path=path)
    assert where, f"{program} is not here, and tests/proxies/untested.toml does not say why"
    return where


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
    include {folder}/demur.conf;
}}
"""


def _nginx(folder: Path) -> tuple[str, ...]:
    # a worker of another user could not enter the folders of the tests
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user=user))
    return (found("nginx"), "-p", str(folder), "-c", "nginx.conf")


_APACHE = """\
ServerRoot {folder}
ServerName localhost
PidFile {folder}/httpd.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/httpd-error.log
{user}
{modules}
Include {folder}/demur.conf
"""
_APACHE_MODULES = ("mpm_event", "authz_core", "headers", "proxy", "proxy_http", "rewrite", "setenvif", "ssl")


def _apache(folder: Path) -> tuple[str, ...]:
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _APACHE_MODULES)
    (folder / "httpd.conf").write_text(_APACHE.format(folder=folder, user=user, modules=modules))
    return (found("apache2"), "-f", str(folder / "httpd.conf"), "-D", "FOREGROUND")


def _haproxy(folder: Path) -> tuple[str, ...]:
    return (found("haproxy"), "-db", "-f", str(folder / "haproxy.cfg"))


def _caddy(folder: Path) -> tuple[str, ...]:
    return (found("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"))


def _traefik(folder: Path) -> tuple[str, ...]:
    return (found("traefik"), f"--configfile={folder / 'traefik.yaml'}")


def _envoy(folder: Path) -> tuple[str, ...]:
    return (found("envoy"), "-c", str(folder / "envoy.yaml"), "--use-dynamic-base-id", "--concurrency", "1")


COMMANDS: Mapping[str, Callable[[Path], tuple[str, ...]]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "traefik": _traefik,
    "envoy": _envoy,
    "haproxy": _haproxy,
    "apache": _apache,
}
"""How each program is started in a folder that holds the recipe's files."""

# --- a stand ----------------------------------------------------------------------------------------


def certificate(folder: Path) -> Path:
    """Make `cert.pem` and `key.pem` for localhost there, and `both.pem` with the two; the folder."""
    names = "subjectAltName=DNS:localhost,DNS:app.localhost,IP:127.0.0.1"
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    command = ["openssl", "req", "-x509", *kind, "-subj", "/CN=localhost", "-addext", names, *files]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return folder


def configuration(ports: Mapping[str, int], scheme: str, site: str, rules: str) -> str:
    """A configuration for demur behind a proxy: `ports` are those of pages, check (0: sockets), proxy and app."""
    listen = f"127.0.0.1:{ports['pages']}" if ports["pages"] else "unix:demur.sock"
    check_listen = f"127.0.0.1:{ports['check']}" if ports["check"] else "unix:check.sock"
    return f"""\
version = 1

[gateway]
listen = "{listen}"
check_listen = "{check_listen}"
trusted_proxies = ["{"127.0.0.1" if ports["pages"] else "unix"}"]
drain = "1s"

[accounts]
hashing = "OWASP_19_MIB"
database = "sqlite:accounts.db"

[sessions]
store = "sqlite:sessions.db"

[[site]]
origin = "{scheme}://localhost:{ports["proxy"]}"
upstream = "http://127.0.0.1:{ports["app"]}"
{site}
{rules}"""


@contextlib.contextmanager
def behind(
    name: str,
    folder: Path,
    *,
    rules: str = RULES,
    site: str = CORS,
    tls: Path | None = None,
    changes: Callable[[str], str] = lambda text: text,
    recipe: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda files: files,
    people: bool = True,
    sockets: bool = False,
) -> Iterator[Stand]:
    """The proxy called `name`, demur and an app that records, for as long as the block lasts.

    `rules` and `site` are TOML: the rules, and further lines of the one site; `changes` edits the whole configuration.
    `tls` is a folder as `certificate` makes it, for an https site. `recipe` edits the recipe's files, for tests that
    break one. Without `people` nobody can sign in, and it starts sooner. With `sockets` demur listens at unix sockets.
    """
    with Recorder() as upstream, contextlib.ExitStack() as stack:
        ports = {"app": upstream.address[1], "proxy": free_port()}
        ports |= {key: 0 if sockets else free_port() for key in ("pages", "check")}
        scheme = "http" if tls is None else "https"
        (folder / "demur.toml").write_text(changes(configuration(ports, scheme, site, rules)))
        tap = Tap(upstream.address)
        stack.callback(tap.close)
        stand = Stand(
            _EXAMPLE,
            folder,
            ports["proxy"],
            tap,
            Process((*DEMUR, "serve", "--config", str(folder / "demur.toml")), folder, folder / "demur.log"),
            f"{scheme}://localhost:{ports['proxy']}",
            ssl.create_default_context(cafile=str(tls / "cert.pem")) if tls else None,
            name=name,
            pages=ports["pages"],
            check=ports["check"],
            proxy=Process((), folder, folder / f"{name}.log", {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}),
            upstream=upstream,
        )
        _write_recipe(stand, tls, recipe)
        if people:
            settle(folder, PEOPLE, GROUPS)
        stack.callback(stand.gateway.stop)
        stand.start_demur()
        stand.proxy.command = COMMANDS[name](folder)
        stack.callback(stand.proxy.stop)
        stand.proxy.start(stand.address)
        _settled(stand)
        yield stand


def _settled(stand: Stand) -> None:
    """Until the proxy knows its sites: Traefik listens a moment before, and has 404 for everybody, or no TLS."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if stand.ask("GET", "/public/settled").status != 404:
                break
        time.sleep(0.02)
    stand.upstream.clear()


def _write_recipe(stand: Stand, tls: Path | None, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    files: tuple[str, ...] = ()
    if tls is not None and stand.name == "haproxy":
        files = ("--certificate", str(tls / "both.pem"))
    elif tls is not None:
        files = ("--certificate", str(tls / "cert.pem"), "--key", str(tls / "key.pem"))
    before = set(stand.folder.iterdir())
    stand.demur("recipe", stand.name, "--into", str(stand.folder), *files)
    written = {path.name: path.read_text() for path in set(stand.folder.iterdir()) - before}
    for file, text in change(written).items():
        (stand.folder / file).write_text(text)
