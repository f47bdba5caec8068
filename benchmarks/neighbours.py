"""demur beside other programs that are asked about each request, and beside the session libraries of Node.

- Through nginx: the same nginx, `auth_request`, the same small file, one core for nginx and whoever it asks, the load
  on another. Each one is asked about somebody who is signed in there, in turns within each round. A ratio above 1 means
  that demur lets more requests a second through.
- In Node: the same app with and without its session library, and in the same round a bare ASGI app with and without
  demur. The ratio is how much of its throughput demur leaves, to how much the library leaves.

What is not here is fetched by its ordinary client into .venv/neighbours and stays there: TinySesam from PyPI (it needs
Python 3.12 or newer), express-session and better-auth from npm, oauth2-proxy by `go`. LemonLDAP::NG comes from Debian
(`apt-get install lemonldap-ng-fastcgi-server lemonldap-ng libimage-magick-perl`, with what they recommend), and
Authelia runs if its program is in PATH. Whatever cannot be had is named as not run.

    benchmarks/neighbours.py [--rounds 5] [--seconds 2] [--connections 16] [--only tinysesam,express]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.guarded import sign_in, spread, with_wrk
else:
    from guarded import sign_in, spread, with_wrk

APPS = Path(__file__).parent / "neighbours_apps"
HOME = Path(sys.prefix) / "neighbours"
BIN = Path(sys.prefix) / "bin"
PASSWORD = "correct horse battery staple"
OAUTH2_PROXY = "github.com/oauth2-proxy/oauth2-proxy/v7"

Row: TypeAlias = "tuple[str, float | None, float, float, str, str]"


class NotHere(Exception):  # noqa: N818 - not an error: it is said, and the rest goes on
    """Why a neighbour cannot run here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody whom nginx asks: how, and the cookie of a person who is signed in there."""

    how: str
    cookie: str
    host: str = "app.test"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of an app, and the same page for whoever is signed in."""

    port: int
    cookie: str
    open: str = "/open"
    guarded: str = "/page"


class Bench:
    """What runs during a measurement, and where. Everything is stopped at the end."""

    def __init__(self, folder: Path) -> None:
        own = sorted(os.sched_getaffinity(0))
        self.folder = folder
        self.core: int | None = own[0] if len(own) > 1 else None
        self.other: int | None = own[1] if len(own) > 1 else None
        self.running: list[subprocess.Popen[str]] = []

    def start(self, command: Sequence[str], **env: str) -> subprocess.Popen[str]:
        """Start a server on the core of the servers. What it prints can be read."""
        pin = ["taskset", "-c", str(self.core)] if self.core is not None and shutil.which("taskset") else []
        started = subprocess.Popen(
            [*pin, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **env},
            cwd=self.folder,
        )
        self.running.append(started)
        return started

    def stop(self) -> None:
        """Stop all of them."""
        for each in reversed(self.running):
            each.terminate()
        for each in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(10)
            each.kill()
            each.communicate()

    def rate(self, port: int, path: str, cookie: str, host: str, connections: int, seconds: float) -> float:
        """Requests a second."""
        sent = [f"Host: {host}", *([f"Cookie: {cookie}"] if cookie else [])]
        count, took = with_wrk(f"http://127.0.0.1:{port}{path}", sent, connections, seconds, self.other)
        return count / took


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def until_open(address: int | str) -> None:
    """Wait until somebody listens at a port or a socket's path."""
    for _ in range(300):
        with socket.socket(socket.AF_INET if isinstance(address, int) else socket.AF_UNIX) as tried:
            if tried.connect_ex(("127.0.0.1", address) if isinstance(address, int) else address) == 0:
                return
        time.sleep(0.1)
    raise NotHere("it did not start within 30 s")


def cookies(answer: http.client.HTTPResponse) -> str:
    """What an answer sets, as it is sent back."""
    return "; ".join(each.partition(";")[0] for each in answer.headers.get_all("set-cookie") or [])


def ask(port: int, method: str, path: str, fields: Mapping[str, str], body: str = "") -> http.client.HTTPResponse:
    """One request; the answer is read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body or None, dict(fields))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


FORM = {"Content-Type": "application/x-www-form-urlencoded"}

# --- who is asked by nginx --------------------------------------------------------------------------


def demur(bench: Bench) -> Asked:
    """demur as `demur init` and its recipe for nginx set it up, log and metrics included."""
    port = free_port()
    (bench.folder / "demur.toml").write_text(
        textwrap.dedent(f"""
            version = 1
            [gateway]
            listen = "127.0.0.1:{port}"
            check_listen = "unix:check.sock"
            insecure_http = true
            [accounts]
            database = "sqlite:accounts.db"
            [sessions]
            store = "sqlite:sessions.db"
            [[site]]
            origin = "http://app.test"
            upstream = "http://127.0.0.1:9"
            [[site.rule]]
            path = "/**"
            allow = "signed-in"
            """)
    )
    config = str(bench.folder / "demur.toml")
    add = [str(BIN / "demur"), "user", "add", "bob", "--password-stdin", "--config", config]
    subprocess.run(add, input=PASSWORD, text=True, check=True, capture_output=True)
    bench.start([str(BIN / "demur"), "serve", "--config", config])
    until_open(port)
    until_open(str(bench.folder / "check.sock"))
    said = {**FORM, "Host": "app.test", "Origin": "http://app.test", "Sec-Fetch-Site": "same-origin"}
    body = urllib.parse.urlencode({"username": "bob", "password": PASSWORD, "next": "/"})
    cookie = cookies(ask(port, "POST", "/.demur/sign-in", said, body))
    how = f"""
        proxy_pass http://unix:{bench.folder}/check.sock:/check?answer=fields;
        proxy_pass_request_body off; proxy_set_header Content-Length "";
        proxy_set_header X-Forwarded-Method $request_method; proxy_set_header X-Forwarded-Proto http;
        proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Uri $request_uri;
        proxy_set_header X-Forwarded-For $remote_addr;"""
    return Asked(_kept_alive(bench, "demur", f"unix:{bench.folder}/check.sock", how), cookie)


def oauth2_proxy(bench: Bench) -> Asked:
    """oauth2-proxy with a password file, sessions in its cookie, its logs off."""
    program, port = _oauth2_proxy(), free_port()
    hashed = subprocess.run(
        ["htpasswd", "-nbB", "bob", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    (bench.folder / "htpasswd").write_text(hashed + "\n")
    bench.start(
        [
            program,
            f"--http-address=127.0.0.1:{port}",
            "--provider=github",
            "--client-id=none",
            "--client-secret=none",
            "--cookie-secret=0123456789abcdef0123456789abcdef",
            "--cookie-secure=false",
            "--email-domain=*",
            f"--htpasswd-file={bench.folder}/htpasswd",
            "--upstream=static://202",
            "--request-logging=false",
            "--auth-logging=false",
            "--standard-logging=false",
        ],
        GOMAXPROCS="1",
    )
    until_open(port)
    body = urllib.parse.urlencode({"username": "bob", "password": PASSWORD})
    cookie = cookies(ask(port, "POST", "/oauth2/sign_in", {**FORM, "Host": "app.test"}, body))
    return Asked(_over(bench, "oauth2", port, "/oauth2/auth"), cookie)


def tinysesam(bench: Bench) -> Asked:
    """TinySesam's forward-auth under uvicorn with uvloop and httptools."""
    python = _tinysesam()
    said = bench.start([str(python), str(APPS / "tinysesam_app.py"), str(bench.folder)])
    port, cookie = (said.stdout or sys.stdin).readline().split(maxsplit=1)
    return Asked(_over(bench, "tinysesam", int(port), "/auth/forward"), cookie.strip())


def lemonldap(bench: Bench) -> Asked:
    """LemonLDAP::NG's handler over FastCGI, one process, its demonstration people."""
    program = shutil.which("llng-fastcgi-server", path="/usr/sbin:/usr/bin")
    conf = Path("/var/lib/lemonldap-ng/conf/lmConf-1.json")
    if program is None or not conf.exists() or os.geteuid() != 0:
        raise NotHere(
            "on Debian: apt-get install lemonldap-ng-fastcgi-server lemonldap-ng libimage-magick-perl; it wants root"
        )
    own = bench.folder / "llng"
    for each in ("conf", "cache", "sessions/lock", "psessions/lock", "notifications", "captcha"):
        (own / each).mkdir(parents=True)
    settings = json.loads(conf.read_text().replace("/var/lib/lemonldap-ng", str(own)))
    settings |= {"requireToken": 0, "portal": "http://auth.example.com/", "securedCookie": 0}
    (own / "conf/lmConf-1.json").write_text(json.dumps(settings))
    ini = Path("/etc/lemonldap-ng/lemonldap-ng.ini").read_text().replace("/var/lib/lemonldap-ng", str(own))
    (own / "lemonldap-ng.ini").write_text(ini.replace("logLevel     = warn", "logLevel     = error"))
    bench.folder.chmod(0o755)
    subprocess.run(["chown", "-R", "www-data:www-data", str(own)], check=True)
    bench.start(
        [
            *(program, "--foreground", "-u", "www-data", "-g", "www-data", "-n", "1"),
            *("-s", f"{own}/llng.sock", "-p", f"{own}/pid"),
        ],
        LLNG_DEFAULTCONFFILE=str(own / "lemonldap-ng.ini"),
    )
    until_open(f"{own}/llng.sock")
    common = f"include /etc/nginx/fastcgi_params; fastcgi_pass unix:{own}/llng.sock;"
    portal = f"""location / {{ {common} fastcgi_param LLTYPE psgi; fastcgi_param HTTP_HOST auth.example.com;
        fastcgi_param SCRIPT_FILENAME /usr/share/lemonldap-ng/portal/htdocs/index.psgi;
        fastcgi_param SCRIPT_NAME ""; fastcgi_param PATH_INFO $uri; }}"""
    port, stop = _nginx(bench, "portal", portal)
    body = urllib.parse.urlencode({"user": "dwho", "password": "dwho"})
    cookie = cookies(ask(port, "POST", "/", {**FORM, "Host": "auth.example.com", "Accept": "text/html"}, body))
    stop()
    how = f"""internal; {common} fastcgi_pass_request_body off; fastcgi_param CONTENT_LENGTH "";
        fastcgi_param HOST $http_host; fastcgi_param X_ORIGINAL_URI $request_uri;"""
    return Asked(how, cookie, "test1.example.com")


def authelia(bench: Bench) -> Asked:
    """Authelia with a file of people, sessions in memory."""
    program = shutil.which("authelia")
    if program is None:
        raise NotHere("there is no program authelia in PATH, and its modules are not all to be had from Go's proxy")
    port = free_port()
    made = [program, "crypto", "hash", "generate", "argon2", "--password", PASSWORD, "--no-confirm"]
    hashed = subprocess.run(made, capture_output=True, text=True, check=True).stdout.partition("Digest: ")[2].strip()
    people = {"users": {"bob": {"displayname": "Bob", "password": hashed, "email": "bob@example.com"}}}
    settings = {
        "server": {"address": f"tcp://127.0.0.1:{port}"},
        "log": {"level": "error"},
        "identity_validation": {"reset_password": {"jwt_secret": "0123456789abcdef0123456789abcdef"}},
        "authentication_backend": {"file": {"path": str(bench.folder / "people.yml")}},
        "access_control": {"default_policy": "one_factor"},
        "session": {
            "secret": "0123456789abcdef0123456789abcdef",
            "cookies": [{"domain": "app.test", "authelia_url": "https://auth.app.test"}],
        },
        "storage": {
            "encryption_key": "0123456789abcdef0123456789abcdef",
            "local": {"path": str(bench.folder / "authelia.db")},
        },
        "notifier": {"filesystem": {"filename": str(bench.folder / "mail.txt")}},
    }
    # JSON is YAML.
    (bench.folder / "people.yml").write_text(json.dumps(people))
    (bench.folder / "authelia.yml").write_text(json.dumps(settings))
    bench.start([program, "--config", str(bench.folder / "authelia.yml")], GOMAXPROCS="1")
    until_open(port)
    said = {"Content-Type": "application/json", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "auth.app.test"}
    body = json.dumps({"username": "bob", "password": PASSWORD, "keepMeLoggedIn": False})
    cookie = cookies(ask(port, "POST", "/api/firstfactor", said, body))
    more = "proxy_set_header X-Original-URL https://app.test/; proxy_set_header X-Original-Method $request_method;"
    return Asked(_over(bench, "authelia", port, "/api/authz/auth-request", more), cookie)


THROUGH_NGINX: dict[str, Callable[[Bench], Asked]] = {
    "demur": demur,
    "oauth2-proxy": oauth2_proxy,
    "Authelia": authelia,
    "TinySesam": tinysesam,
    "LemonLDAP::NG": lemonldap,
}


def _over(bench: Bench, name: str, port: int, path: str, more: str = "") -> str:
    how = f"""proxy_pass http://127.0.0.1:{port}{path}; proxy_pass_request_body off;
        proxy_set_header Content-Length ""; proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Uri $request_uri; {more}"""
    return _kept_alive(bench, name, f"127.0.0.1:{port}", how)


def _kept_alive(bench: Bench, name: str, server: str, how: str) -> str:
    """The same through connections that stay open."""
    upstreams = bench.folder / "upstreams.conf"
    known = upstreams.read_text() if upstreams.exists() else ""
    upstreams.write_text(f"{known}upstream asked_{name} {{ server {server}; keepalive 32; }}\n")
    direct = f"http://{server}:/" if server.startswith("unix:") else f"http://{server}/"
    how = how.replace(direct, f"http://asked_{name}/")
    return f'internal; {how} proxy_http_version 1.1; proxy_set_header Connection "";'


def _nginx(bench: Bench, name: str, locations: str) -> tuple[int, Callable[[], None]]:
    """Start an nginx of one process; its port, and what stops it."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise SystemExit("demur: NOT RUN, because nginx is not here. On Debian: apt-get install nginx")
    port, own = free_port(), bench.folder / name
    own.mkdir()
    (own / "hello.txt").write_text("hello\n")
    upstreams = bench.folder / "upstreams.conf"
    upstreams.touch()
    user = "user root;" if os.geteuid() == 0 else ""
    (own / "nginx.conf").write_text(
        f"""{user} daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error.log;
        events {{ worker_connections 1024; }}
        http {{ access_log off; keepalive_requests 1000000; include {upstreams};
            client_body_temp_path {own}/b; proxy_temp_path {own}/p; fastcgi_temp_path {own}/f;
            uwsgi_temp_path {own}/u; scgi_temp_path {own}/s;
            server {{ listen 127.0.0.1:{port}; root {own}; {locations} }} }}"""
    )
    started = bench.start([program, "-c", str(own / "nginx.conf"), "-e", str(own / "error.log")])
    until_open(port)
    return port, started.terminate


def through_nginx(bench: Bench, wanted: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    """demur to each of the others."""
    asked: dict[str, Asked] = {}
    for name in wanted:
        try:
            asked[name] = THROUGH_NGINX[name](bench)
        except NotHere as why:
            yield f"through nginx: demur / {name}", None, 0, 0, "> 1", f"not run: {why}"
    if len(asked) < 2:
        return
    places = "".join(
        f"location = /{number} {{ auth_request /_{number}; try_files /hello.txt =404; }}\n"
        f"location = /_{number} {{ {each.how} }}\n"
        for number, each in enumerate(asked.values())
    )
    port, _ = _nginx(bench, "front", places)
    for number, (name, each) in enumerate(asked.items()):
        _expect(name, port, f"/{number}", each.cookie, each.host)
    rounds = [
        {
            name: bench.rate(port, f"/{number}", each.cookie, each.host, options.connections, options.seconds)
            for number, (name, each) in enumerate(asked.items())
        }
        for _ in range(options.rounds + 1)
    ][1:]
    for name in list(asked)[1:]:
        low, middle, high = spread([said["demur"] / said[name] for said in rounds])
        yield f"through nginx: demur / {name}", middle, low, high, "> 1", ""


def _expect(name: str, port: int, path: str, cookie: str, host: str) -> None:
    """Ends unless whoever is signed in is answered, and nobody else is."""
    known = ask(port, "GET", path, {"Host": host, "Cookie": cookie}).status
    unknown = ask(port, "GET", path, {"Host": host}).status
    if known != 200 or unknown == 200:
        raise SystemExit(f"demur: {name} answers {known} to somebody who is signed in, and {unknown} to nobody")


# --- in an app --------------------------------------------------------------------------------------


def bare(bench: Bench) -> Page:
    """A bare ASGI app, its page /page guarded by demur."""
    said = bench.start([sys.executable, __file__, "--serve", str(bench.folder)])
    port, cookie = (said.stdout or sys.stdin).readline().split()
    return Page(int(port), cookie)


def serve(folder: str) -> None:
    """Serve it, and say where and as whom."""
    import asyncio  # noqa: PLC0415

    import uvicorn  # noqa: PLC0415

    from demur.adapters.asgi import Demur  # noqa: PLC0415

    async def app(scope: object, receive: object, send: Callable[[dict[str, object]], object]) -> None:
        if scope["type"] == "http":  # type: ignore[index]
            head = [(b"content-type", b"text/plain"), (b"content-length", b"6")]
            await send({"type": "http.response.start", "status": 200, "headers": head})  # type: ignore[misc]
            await send({"type": "http.response.body", "body": b"hello\n"})  # type: ignore[misc]

    token = asyncio.run(sign_in(folder))
    opened = socket.socket()
    opened.bind(("127.0.0.1", 0))
    port = opened.getsockname()[1]
    guarded = Demur(
        app,
        origin=f"http://127.0.0.1:{port}",
        rules=[{"path": "/**", "allow": "signed-in"}],
        store=f"sqlite:{folder}/sessions.db",
        keys=f"{folder}/keys",
    )

    async def both(scope: dict[str, object], receive: object, send: object) -> None:
        await (app if scope.get("path") == "/open" else guarded)(scope, receive, send)  # type: ignore[arg-type]

    print(port, f"demur-dev={token}", flush=True)
    config = uvicorn.Config(both, loop="uvloop", http="httptools", access_log=False, log_level="critical")
    uvicorn.Server(config).run(sockets=[opened])


def _in_node(name: str) -> Callable[[Bench], Page]:
    def start(bench: Bench) -> Page:
        home = _node()
        shutil.copy(APPS / f"{name}.mjs", home)
        said = bench.start(["node", str(home / f"{name}.mjs")], NODE_ENV="production")
        line = (said.stdout or sys.stdin).readline().strip()
        if not line:
            raise NotHere("it ended at once")
        port = int(line)
        return Page(port, cookies(ask(port, "GET", "/login", {})))

    return start


IN_AN_APP: dict[str, Callable[[Bench], Page]] = {
    "demur": bare,
    "express-session": _in_node("express"),
    "better-auth": _in_node("better-auth"),
}


def in_an_app(bench: Bench, wanted: Sequence[str], options: argparse.Namespace) -> Iterator[Row]:
    """How much of its throughput demur leaves an app, to how much each of the others does."""
    pages: dict[str, Page] = {}
    for name in wanted:
        try:
            pages[name] = IN_AN_APP[name](bench)
        except NotHere as why:
            yield f"guarded / unguarded: demur / {name}", None, 0, 0, "> 1", f"not run: {why}"
    if len(pages) < 2:
        return
    for name, page in pages.items():
        _expect(name, page.port, page.guarded, page.cookie, f"127.0.0.1:{page.port}")
    rounds = [{name: _left(bench, page, options) for name, page in pages.items()} for _ in range(options.rounds + 1)][
        1:
    ]
    for name in list(pages)[1:]:
        low, middle, high = spread([said["demur"] / said[name] for said in rounds])
        _, leaves, _ = spread([said[name] for said in rounds])
        yield f"guarded / unguarded: demur / {name}", middle, low, high, "> 1", f"{name} leaves {leaves:.2f}"


def _left(bench: Bench, page: Page, options: argparse.Namespace) -> float:
    guarded, unguarded = (
        bench.rate(page.port, path, page.cookie, f"127.0.0.1:{page.port}", options.connections, options.seconds)
        for path in (page.guarded, page.open)
    )
    return guarded / unguarded


# --- what is fetched --------------------------------------------------------------------------------


def _fetch(command: Sequence[str], folder: Path, **env: str) -> None:
    """Run a client that fetches; half of it is not left behind."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env={**os.environ, **env}, timeout=900
    )
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise NotHere(f"`{' '.join(command[:3])}` says: {(done.stderr or done.stdout).strip().splitlines()[-1][:120]}")


def _oauth2_proxy() -> str:
    if found := shutil.which("oauth2-proxy"):
        return found
    home = HOME / "oauth2-proxy"
    if not (home / "oauth2-proxy").exists():
        if not (shutil.which("go") and shutil.which("htpasswd")):
            raise NotHere("it needs go and htpasswd")
        home.mkdir(parents=True, exist_ok=True)
        (home / "go.mod").write_text(f"module neighbours\n\ngo 1.22\n\nrequire {OAUTH2_PROXY} v7.6.0\n")
        _fetch(["go", "build", "-o", "oauth2-proxy", OAUTH2_PROXY], home, GOFLAGS="-mod=mod")
    return str(home / "oauth2-proxy")


def _tinysesam() -> Path:
    home = HOME / "tinysesam"
    if not (home / "bin/tinysesam").exists():
        home.mkdir(parents=True, exist_ok=True)
        uv = str(BIN / "uv")
        made = [
            uv,
            "venv",
            "--quiet",
            "--allow-existing",
            "--no-python-downloads",
            "--python",
            _newer_python(),
            str(home),
        ]
        _fetch(made, home)
        packages = ["tinysesam==0.24.13", "uvicorn", "uvloop", "httptools"]
        _fetch([uv, "pip", "install", "--quiet", "--python", str(home), *packages], home)
    return home / "bin/python"


def _newer_python() -> str:
    """Python 3.12 or newer: this one, one that is in PATH, or pyenv's."""
    if sys.version_info >= (3, 12):
        return sys.executable
    theirs = sorted(str(each) for each in Path.home().glob(".pyenv/versions/3.1[2-9].*/bin/python3"))
    return theirs[0] if theirs else ">=3.12"


def _node() -> Path:
    home = HOME / "node"
    if not (home / "node_modules/better-auth").exists():
        if not shutil.which("npm"):
            raise NotHere("on Debian: apt-get install nodejs npm")
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text('{"private": true}')
        packages = ["express@5", "express-session@1", "better-auth@1"]
        _fetch(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages], home)
    return home


# --- all of it --------------------------------------------------------------------------------------


def rows(rounds: int, seconds: float, connections: int = 16, only: Sequence[str] = ()) -> Iterator[Row]:
    """A row for each neighbour: what is compared, the median of the ratios, the quartiles, what is asked for, and a
    remark. Without a median it did not run, and the remark says why."""
    options = argparse.Namespace(rounds=rounds, seconds=seconds, connections=connections)
    for known, measure in ((THROUGH_NGINX, through_nginx), (IN_AN_APP, in_an_app)):
        wanted = [name for name in known if name == "demur" or not only or name in only]
        if wanted == ["demur"]:
            continue
        with tempfile.TemporaryDirectory(prefix="demur-bench-") as folder:
            bench = Bench(Path(folder))
            try:
                yield from measure(bench, wanted, options)
            finally:
                bench.stop()


def main() -> None:
    """Read the arguments; serve, or measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", default="", help=", ".join([*THROUGH_NGINX, *IN_AN_APP][1:]))
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if not shutil.which("wrk"):
        raise SystemExit("demur: NOT RUN, because wrk is not here. On Debian: apt-get install wrk")
    only = [name for name in options.only.split(",") if name]
    for name, middle, low, high, asked, remark in rows(options.rounds, options.seconds, options.connections, only):
        figure = "not run" if middle is None else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"{name:<48}{figure:<24}{asked:<6}{remark.removeprefix('not run: ')}", flush=True)


if __name__ == "__main__":
    main()
