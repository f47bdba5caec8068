"""What it costs that another proxy asks: demur beside nginx that answers nothing, and beside the least that Go can do.

nginx asks as the recipe has it ask. It, and whoever it asks, share one core; the load comes from wrk on another. A
hundred people are signed in and ask for a thousand addresses each, with the fields of a browser. demur checks rules and
sessions in SQLite, writes its log to a file and counts; the others do neither. The floor is what is left of it without
all that: a protocol on the same event loop that answers whatever it reads with the same few bytes.
The sides take turns in one run. A ratio is the median of the ratios within a round, with the smallest and the largest.

    benchmarks/forward.py [--rounds 7] [--seconds 2]

Needs nginx and wrk, and Go for the rows that name it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Row: TypeAlias = tuple[str, float | None, float | None, float | None, str, str]
"""What is compared, the median of the ratios with the smallest and the largest, what it should be, and a remark."""

HERE: Final = Path(__file__).parent
TICK: Final = os.sysconf("SC_CLK_TCK")
PEOPLE: Final = 100
PATHS: Final = 1000
CONNECTIONS: Final = 16
COOKIE: Final = "demur-dev"
HOST: Final = "localhost:8000"
NO_GO: Final = "not run: go is not here"

CONFIG: Final = """
version = 1

[gateway]
listen = "127.0.0.1:{listen}"
check_listen = "{check}"
workers = 1
log = "json"

[sessions]
store = "sqlite:{folder}/sessions.db"
keys = "{folder}/keys"

[accounts]
database = "sqlite:{folder}/accounts.db"

[[site]]
origin = "http://{host}"
upstream = "http://127.0.0.1:9"

[[site.rule]]
path = "/public/**"
allow = "anyone"

[[site.rule]]
path = "/members/**"
allow = {{ groups = ["members"] }}
"""

NGINX: Final = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log nginx.log;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    keepalive_requests 1000000000;
    upstream demur {{ server unix:{folder}/demur.sock; keepalive 32; keepalive_requests 1000000000; }}
    upstream go {{ server unix:{folder}/go.sock; keepalive 32; keepalive_requests 1000000000; }}
    upstream itself {{ server unix:{folder}/itself.sock; keepalive 32; keepalive_requests 1000000000; }}
    upstream floor {{ server unix:{folder}/floor.sock; keepalive 32; keepalive_requests 1000000000; }}
    upstream other {{ server unix:{folder}/other.sock; keepalive 32; keepalive_requests 1000000000; }}
    {servers}
}}
"""
NOTHING: Final = "server {{ listen unix:{folder}/{name}.sock; location / {{ return 204; }} }}"
SIDE: Final = """
    server {{
        listen 127.0.0.1:{port};
        root {folder}/site;
        location / {{
            auth_request      /ask;
            auth_request_set  $demur_refusal $upstream_http_demur_refusal;
            auth_request_set  $demur_subject $upstream_http_remote_subject;
            auth_request_set  $demur_user    $upstream_http_remote_user;
            auth_request_set  $demur_name    $upstream_http_remote_name;
            auth_request_set  $demur_email   $upstream_http_remote_email;
            auth_request_set  $demur_groups  $upstream_http_remote_groups;
            auth_request_set  $demur_cookie  $upstream_http_cookie;
            auth_request_set  $demur_timing  $upstream_http_server_timing;
            add_header        Server-Timing  $demur_timing always;
            try_files         /page =404;
        }}
        location = /ask {{
            internal;
            proxy_pass              http://{name}/check?for=nginx;
            proxy_http_version      1.1;
            proxy_pass_request_body off;
            proxy_buffer_size       64k;
            proxy_buffers           4 64k;
            proxy_set_header        Host               $host;
            proxy_set_header        Connection         "";
            proxy_set_header        X-Forwarded-For    $remote_addr;
            proxy_set_header        X-Forwarded-Host   {host};
            proxy_set_header        X-Forwarded-Method $request_method;
            proxy_set_header        X-Forwarded-Proto  http;
            proxy_set_header        X-Forwarded-Uri    $request_uri;
            proxy_set_header        Content-Length     "";
        }}
    }}
"""
# wrk asks for all of them in turn, each as it was made before it began.
SCRIPT: Final = """
local asked, at = {{}}, 0
function init()
  local n = 0
  for line in io.lines("{folder}/asked") do
    local cookie, path = line:match("^(%S*) (%S+)$")
    local fields = {{
      ["Host"] = "{host}", ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
      ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
      ["Accept-Language"] = "en-US,en;q=0.5", ["Accept-Encoding"] = "gzip, deflate, br",
    }}
    fields["Cookie"] = (os.getenv("ANONYMOUS") and "" or "{cookie}=" .. cookie .. "; ") .. "theme=dark"
    local target = path
    if os.getenv("DIRECT") then
      target = "/check?for=nginx"
      fields["X-Forwarded-For"], fields["X-Forwarded-Host"] = "127.0.0.1", "{host}"
      fields["X-Forwarded-Method"], fields["X-Forwarded-Proto"] = "GET", "http"
      fields["X-Forwarded-Uri"] = path
    end
    n = n + 1
    asked[n] = wrk.format("GET", target, fields)
  end
  at = math.random(n)
end
function request()
  at = at % #asked + 1
  return asked[at]
end
"""


# --- what is compared -----------------------------------------------------------------------------


@dataclass(slots=True)
class Stand:
    """All servers, at work. `ports` are nginx's for each side, and those of the sides without nginx."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]]
    ports: dict[str, int]
    has_go: bool

    def cpu(self, name: str) -> float:
        """The seconds of processor time that a server has used: of demur and nginx, their worker."""
        pid = self.processes[name].pid
        if not name.startswith(("go", "floor")):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: requests answered in a second, how many of all were not 2xx, and all."""

    per_second: float
    others: int
    requests: int


def load(stand: Stand, side: str, seconds: float, *, direct: bool = False, anonymous: bool = False) -> Load:
    """Ask one side for so long."""
    environment = {**os.environ, **({"DIRECT": "1"} if direct else {}), **({"ANONYMOUS": "1"} if anonymous else {})}
    command = [*_on(1), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", "wrk.lua"]
    url = f"http://127.0.0.1:{stand.ports[side]}/"
    done = subprocess.run(
        [*command, url], cwd=stand.folder, env=environment, capture_output=True, text=True, check=True
    )
    found = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout)
    if found is None:
        raise SystemExit(f"wrk said something else:\n{done.stdout}")
    others = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    return Load(int(found[1]) / float(found[2]), int(others[1]) if others else 0, int(found[1]))


def _on(core: int) -> list[str]:
    return ["taskset", "-c", str(core)] if (os.cpu_count() or 1) > 1 and shutil.which("taskset") else []


def _ratio(name: str, found: Sequence[float], target: str, note: str = "") -> Row:
    return name, statistics.median(found), min(found), max(found), target, note


@dataclass(slots=True)
class Seen:
    """What the rounds of one side showed: processor seconds of an answer, and answers in a second."""

    cost: list[float]
    pace: list[float]

    def add(self, stand: Stand, side: str, servers: Sequence[str], seconds: float, **how: bool) -> Load:
        """One more round. `servers` are those whose time counts."""
        before = sum(stand.cpu(name) for name in servers)
        done = load(stand, side, seconds, **how)
        self.cost.append((sum(stand.cpu(name) for name in servers) - before) / done.requests)
        self.pace.append(done.per_second)
        return done


def _beside(name: str, ours: Seen, theirs: Seen, target: str) -> Row:
    """How many answers of ours a core gives while it gives one of theirs: by the time that the servers took, for others
    take time of the same core, and more of one process than of two."""
    found = [other / own for own, other in zip(ours.cost, theirs.cost, strict=True)]
    pace = statistics.median(own / other for own, other in zip(ours.pace, theirs.pace, strict=True))
    micros = " and ".join(f"{statistics.median(side.cost) * 1e6:.1f}" for side in (ours, theirs))
    return _ratio(name, found, target, f"{micros} µs of CPU; {pace:.2f} in answers a second")


def _through(stand: Stand, rounds: int, seconds: float) -> list[Row]:
    """Through nginx, in turns."""
    servers = {
        "itself": ["nginx"],
        "other": ["nginx", "other"],
        "floor": ["nginx", "floor"],
        "demur": ["nginx", "demur"],
    }
    if stand.has_go:
        servers["go"] = ["nginx", "go"]
    seen = {side: Seen([], []) for side in servers}
    for side in servers:
        load(stand, side, 1)
    for _ in range(rounds):
        for side, counted in servers.items():
            done = seen[side].add(stand, side, counted, seconds)
            if done.others:
                raise SystemExit(f"{side}: {done.others} of {done.requests} answers were not 2xx")
    found = [
        _beside("through nginx, unix socket: demur / nginx answering 204", seen["demur"], seen["other"], ">= 0.95"),
        _beside("the same, where that is the very nginx that asks", seen["demur"], seen["itself"], ""),
        _beside("the floor, a protocol that reads nothing / nginx answering 204", seen["floor"], seen["other"], ""),
    ]
    name = "through nginx, unix socket: demur / Go net/http"
    if not stand.has_go:
        return [*found, (name, None, None, None, ">= 1.3", NO_GO)]
    return [*found, _beside(name, seen["demur"], seen["go"], ">= 1.3")]


def _alone(stand: Stand, rounds: int, seconds: float) -> list[Row]:
    """Without nginx, over TCP: processor time of an answer, and what a refusal costs."""
    sides = ["demur alone", *(["go alone"] if stand.has_go else [])]
    seen, refused = {side: Seen([], []) for side in sides}, Seen([], [])
    for side in sides:
        load(stand, side, 1, direct=True)
    load(stand, "demur alone", 1, direct=True, anonymous=True)
    for _ in range(rounds):
        for side in sides:
            done = seen[side].add(stand, side, [side], seconds, direct=True)
            if done.others:
                raise SystemExit(f"{side}: {done.others} of {done.requests} answers were not 2xx")
        done = refused.add(stand, "demur alone", ["demur alone"], seconds, direct=True, anonymous=True)
        if done.others != done.requests:
            raise SystemExit("somebody was let in who is not signed in")
    name = "without nginx, CPU of an answer: demur / Go net/http"
    row: Row = (name, None, None, None, "<= 0.9", NO_GO)
    if stand.has_go:
        costs = zip(seen["demur alone"].cost, seen["go alone"].cost, strict=True)
        micros = " and ".join(f"{statistics.median(side.cost) * 1e6:.1f}" for side in seen.values())
        row = _ratio(name, [own / other for own, other in costs], "<= 0.9", f"{micros} µs")
    name = "anonymous refusal / allowed check, answers of a core"
    return [row, _beside(name, refused, seen["demur alone"], ">= 1.0")]


def rows(rounds: int = 7, seconds: float = 2) -> list[Row]:
    """All that is compared here. Without nginx or wrk, what was not run."""
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    if missing:
        return [("forward-auth", None, None, None, "", f"not run: {' and '.join(missing)} not here")]
    from benchmarks import signing_in  # noqa: PLC0415 - it needs what is here

    with standing() as stand:
        return [*_through(stand, rounds, seconds), *_alone(stand, rounds, seconds), *signing_in.compare(stand, rounds)]


# --- the servers ----------------------------------------------------------------------------------


@contextlib.contextmanager
def standing() -> Iterator[Stand]:
    """All servers on one core, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="demur-forward-") as made, contextlib.ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)
        sides = ("itself", "other", "floor", "demur", "go", "demur alone", "go alone", "a", "pages")
        ports = {name: _free_port() for name in sides}
        stand = Stand(folder, {}, ports, shutil.which("go") is not None)
        tokens = _prepare(stand)
        (folder / "tokens").write_text("\n".join(tokens) + "\n")
        stack.callback(_stop, stand)
        _start_demur(stand, "demur", f"unix:{folder}/demur.sock", ports["a"])
        _start_demur(stand, "demur alone", f"127.0.0.1:{ports['demur alone']}", ports["pages"])
        if stand.has_go:
            _start_go(stand)
        _start_floor(stand)
        _start_nginx(stand)
        yield stand


def _prepare(stand: Stand) -> list[str]:
    """People who are signed in, and what they ask for."""
    tokens = asyncio.run(_sign_in(stand.folder))
    asked = [f"{tokens[number % PEOPLE]} /members/area-{number // 50}/page-{number}.html" for number in range(PATHS)]
    (stand.folder / "asked").write_text("\n".join(asked) + "\n")
    (stand.folder / "wrk.lua").write_text(SCRIPT.format(folder=stand.folder, host=HOST, cookie=COOKIE))
    (stand.folder / "site").mkdir()
    (stand.folder / "site" / "page").write_text("<!doctype html><title>Members</title><p>Hello.</p>\n")
    return tokens


async def _sign_in(folder: Path) -> list[str]:
    from demur import stores  # noqa: PLC0415 - not for those who only read what is here
    from demur.core.model import Session, Subject  # noqa: PLC0415
    from demur.core.sessions import NIST_AAL2, identify, mint  # noqa: PLC0415
    from demur.stores.keys import FileKeys  # noqa: PLC0415

    now, key = int(time.time()), FileKeys(folder / "keys").ring().current
    store, tokens = stores.open(f"sqlite:{folder / 'sessions.db'}"), []
    for number in range(PEOPLE):
        subject = Subject(f"0192d3f4-7a1b-7c3d-8e9f-{number:012x}", f"person{number}", frozenset({"members"}))
        tokens.append(mint(os.urandom(32), key))
        ends = now + NIST_AAL2.absolute
        await store.issue(Session(identify(tokens[-1]), subject.id, now, now, now, ends, NIST_AAL2.idle), subject)
    await store.aclose()
    return tokens


def _start_demur(stand: Stand, name: str, check: str, listen: int) -> None:
    own = stand.folder / name.replace(" ", "-")
    own.mkdir()
    (own / "demur.toml").write_text(CONFIG.format(listen=listen, check=check, folder=stand.folder, host=HOST))
    command = [*_on(0), str(Path(sys.executable).with_name("demur")), "serve", "--config", "demur.toml"]
    with (own / "log").open("wb") as log:
        stand.processes[name] = subprocess.Popen(command, cwd=own, stdout=log, stderr=log)
    _await(lambda: b"is listening" in (own / "log").read_bytes(), stand.processes[name], own / "log")
    if check.startswith("unix:"):
        Path(check.removeprefix("unix:")).chmod(0o666)  # nginx may run as somebody else


def _start_go(stand: Stand) -> None:
    made = stand.folder / "go-forward"
    subprocess.run(["go", "build", "-o", made, "."], cwd=HERE / "forward_go", check=True)
    for name, listen in (
        ("go", f"unix:{stand.folder}/go.sock"),
        ("go alone", f"tcp:127.0.0.1:{stand.ports['go alone']}"),
    ):
        command = [*_on(0), str(made), listen, COOKIE, str(stand.folder / "tokens")]
        stand.processes[name] = subprocess.Popen(command)
    socket_there = stand.folder / "go.sock"
    _await(socket_there.exists, stand.processes["go"], None)


def _start_floor(stand: Stand) -> None:
    path = stand.folder / "floor.sock"
    stand.processes["floor"] = subprocess.Popen([*_on(0), sys.executable, HERE / "forward_floor.py", path])
    _await(path.exists, stand.processes["floor"], None)
    path.chmod(0o666)


def _start_nginx(stand: Stand) -> None:
    """The one that asks, and another one that answers and does nothing else."""
    names = ("itself", "other", "floor", "demur", *(["go"] if stand.has_go else []))
    sides = [SIDE.format(port=stand.ports[name], name=name, host=HOST, folder=stand.folder) for name in names]
    asked = {"other": [], "nginx": sides}
    for name, servers in asked.items():
        own = stand.folder / f"of-{name}"
        own.mkdir()
        nothing = NOTHING.format(folder=stand.folder, name="itself" if name == "nginx" else name)
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(folder=stand.folder, servers="".join([nothing, *servers]), user=user)
        (own / "nginx.conf").write_text(text)
        command = [*_on(0), "nginx", "-p", str(own), "-e", "stderr", "-c", "nginx.conf"]
        stand.processes[name] = subprocess.Popen(command)
        socket_there = stand.folder / f"{'itself' if name == 'nginx' else name}.sock"
        _await(socket_there.exists, stand.processes[name], own / "nginx.log")
    _await(lambda: _listens(stand.ports["demur"]), stand.processes["nginx"], None)


def _await(there: Callable[[], bool], process: subprocess.Popen[bytes], log: Path | None) -> None:
    until = time.monotonic() + 30
    while not there():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(log.read_text() if log is not None else "a server did not start")
        time.sleep(0.05)


def _stop(stand: Stand) -> None:
    for process in stand.processes.values():
        process.terminate()
    for process in stand.processes.values():
        process.wait(60)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def show(found: Sequence[Row]) -> None:
    """Print the rows."""
    for name, median, low, high, target, note in found:
        said = "" if median is None else f"{median:5.2f}  ({low:.2f} to {high:.2f})"
        print(f"{name:72} {said:24} {target:8} {note}", flush=True)


def main() -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    given = parser.parse_args()
    show(rows(given.rounds, given.seconds))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    raise SystemExit(main())
