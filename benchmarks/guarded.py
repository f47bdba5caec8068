"""What guarding a request costs: the same ASGI app with demur and without, interleaved in one run.

The servers (uvicorn, uvloop, httptools) run on one core and are asked from another, turn by turn, so that whatever
else the machine does meets all of them alike. One guards, one guards and writes a log and counts, and one keeps nothing
of what the store has said, so that each request with a session reads SQLite.
Figures are medians over the rounds, with the quartiles behind them; a ratio is the median of the ratios within a round.

    benchmarks/guarded.py [--rounds 9] [--seconds 2] [--connections 16]

The load comes from wrk if it is installed, else from a client of our own, which asks less per second.
"""

from __future__ import annotations

import argparse
import asyncio
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOST = "localhost"
TICK = os.sysconf("SC_CLK_TCK")
RULES: list[dict[str, Any]] = [
    {"path": "/public/**", "allow": "anyone"},
    {"path": "/members/**", "allow": {"groups": ["members"]}},
    {"path": "/admin/**", "allow": {"groups": ["admins"], "fresh": "15m"}},
    *({"path": f"/team-{number}/**", "allow": {"groups": [f"team-{number}"]}} for number in range(47)),
]
BODY = b'{"shelf": ["pea", "poppy", "carrot"], "person": "bob", "padding": "' + b"x" * 400 + b'"}'


# --- what is measured -----------------------------------------------------------------------------


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """The app: one small answer, whatever is asked."""
    if scope["type"] != "http":
        return
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


def guarded(state: str, port: int, *, which: str = "guarded") -> Any:
    """The same app behind the middleware, with 50 rules and sessions in SQLite."""
    from demur.adapters.asgi import Demur, Surface  # noqa: PLC0415 - the other server must not load it
    from demur.core.page import DEFAULT  # noqa: PLC0415
    from demur.guard import Cache, Guard  # noqa: PLC0415
    from demur.pages.router import Pages  # noqa: PLC0415
    from demur.stores import open as open_store  # noqa: PLC0415
    from demur.stores.keys import FileKeys  # noqa: PLC0415

    store = open_store(f"sqlite:{state}/sessions.db")
    cache = Cache(store, most=0) if which == "asking" else Cache(store)
    notes = observer() if which == "noting" else None
    guard = Guard(_site(port), store, FileKeys(f"{state}/keys"), observer=notes, cache=cache)
    return Demur(plain, Surface(guard, Pages(guard, DEFAULT, {}), DEFAULT))


def observer() -> Any:
    """A log and metrics, as in real life, but that nobody reads the log."""
    from demur.observe import Both  # noqa: PLC0415
    from demur.observe.log import Log  # noqa: PLC0415
    from demur.observe.metrics import Metrics  # noqa: PLC0415

    return Both(Log(open(os.devnull, "w"), human=False), Metrics())  # noqa: PTH123 - until the end


def _site(port: int) -> Any:
    from demur.core import rules  # noqa: PLC0415
    from demur.core.site import Cookie, Site  # noqa: PLC0415

    return Site(f"http://{HOST}:{port}", "Bench", rules.load(RULES), cookie=Cookie("demur-dev", secure=False))


def serve(which: str, state: str, descriptor: int) -> None:
    """Serve one of them until told to stop."""
    import uvicorn  # noqa: PLC0415

    opened = socket.socket(fileno=descriptor)
    app = plain if which == "plain" else guarded(state, opened.getsockname()[1], which=which)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[opened])


async def sign_in(state: str) -> str:
    """A live session among a thousand others; its token."""
    from demur.core.model import Session, Subject  # noqa: PLC0415
    from demur.core.sessions import NIST_AAL2, identify, mint  # noqa: PLC0415
    from demur.stores import open as open_store  # noqa: PLC0415
    from demur.stores.keys import FileKeys  # noqa: PLC0415

    now = int(time.time())
    key = FileKeys(f"{state}/keys").ring().current
    store = open_store(f"sqlite:{state}/sessions.db")
    subject = Subject("0192f0c4-0000-7000-8000-000000000001", "bob", frozenset({"members"}))
    token = ""
    for _ in range(1000):
        token = mint(os.urandom(32), key)
        await store.issue(
            Session(identify(token), subject.id, now, now, now, now + NIST_AAL2.absolute, NIST_AAL2.idle), subject
        )
    await store.aclose()
    return token


# --- servers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and where it is."""

    process: subprocess.Popen[bytes]
    port: int

    def cpu(self) -> float:
        """The seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


def start(which: str, state: str, core: int | None) -> Server:
    """Start a server on a free port, on a core of its own if there are two."""
    opened = socket.socket()
    opened.bind(("127.0.0.1", 0))
    opened.listen(1024)
    command = [sys.executable, __file__, "--serve", which, "--state", state, "--fd", str(opened.fileno())]
    pin = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
    process = subprocess.Popen([*pin, *command], pass_fds=[opened.fileno()])
    server = Server(process, opened.getsockname()[1])
    opened.close()
    return server


# --- load -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """What wrk saw: requests answered, the seconds that took, and the 99th percentile of the answers' times in
    microseconds. `wrong` are answers that were not 2xx or 3xx, or none."""

    count: int
    took: float
    p99: float
    wrong: int = 0


def load(url: str, headers: Sequence[str], connections: int, seconds: float, core: int | None) -> Loaded:
    """Ask for as much as there is, by wrk."""
    pin = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
    marks = [word for header in headers for word in ("-H", header)]
    command = [*pin, "wrk", "--latency", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", *marks, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found, slow = re.search(r"(\d+) requests in ([\d.]+)(m?s)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if not found or not slow:
        raise SystemExit(f"wrk said something else:\n{said}")
    wrong = sum(
        int(each) for each in re.findall(r"(?:Non-2xx or 3xx responses|connect|read|write|timeout):? (\d+)", said)
    )
    unit = {"us": 1, "ms": 1000, "s": 1_000_000}
    return Loaded(int(found[1]), float(found[2]), float(slow[1]) * unit[slow[2]], wrong)


def with_wrk(url: str, headers: Sequence[str], connections: int, seconds: float, core: int | None) -> tuple[int, float]:
    """Requests answered and seconds taken, by wrk."""
    loaded = load(url, headers, connections, seconds, core)
    return loaded.count, loaded.took


async def _ask(port: int, request: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        count += 1
    writer.close()
    return count


async def _with_asyncio(port: int, request: bytes, connections: int, seconds: float) -> tuple[int, float]:
    began = time.perf_counter()
    counts = await asyncio.gather(*(_ask(port, request, began + seconds) for _ in range(connections)))
    return sum(counts), time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked, of which server, and what it must answer."""

    name: str
    server: str
    path: str
    status: int
    token: str = ""

    def headers(self) -> list[str]:
        """The fields that are sent."""
        return ["Accept: application/json", *([f"Cookie: demur-dev={self.token}"] if self.token else [])]

    def request(self, port: int) -> bytes:
        """The request as it goes over the wire."""
        lines = [f"GET {self.path} HTTP/1.1", f"Host: {HOST}:{port}", *self.headers()]
        return "\r\n".join([*lines, "", ""]).encode()


def check(case: Case, port: int) -> None:
    """End unless the answer is the expected one: a benchmark of errors is worth nothing."""
    # The socket listens already: whoever connects early waits until the server is there.
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(case.request(port).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        said = connection.makefile("rb").read()
    status = int(said.split(b" ", 2)[1])
    if status != case.status:
        raise SystemExit(f"{case.name}: {status} in place of {case.status}\n{said.decode('latin-1')[:800]}")


# --- figures --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """One case in one round: requests per second, processor time per request in microseconds, and the 99th percentile
    of the answers' times, 0 if it is not known."""

    rate: float
    cpu: float
    p99: float = 0.0


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median, the upper quartile. One value is all three."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, median, upper


def table(cases: Sequence[Case], rounds: Sequence[dict[str, Measured]]) -> Iterator[str]:
    """The figures, a line for each case."""
    base = cases[0].name
    yield f"{'':<28}{'requests/s':>11} {'(quartiles)':<17}{'CPU us':>7} {'(quartiles)':<15}{'rate':>7}{'CPU':>7}"
    for case in cases:
        rate = spread([each[case.name].rate for each in rounds])
        cpu = spread([each[case.name].cpu for each in rounds])
        slower = statistics.median(each[case.name].rate / each[base].rate for each in rounds)
        dearer = statistics.median(each[case.name].cpu / each[base].cpu for each in rounds)
        rates, costs = f"({rate[0]:.0f} to {rate[2]:.0f})", f"({cpu[0]:.0f} to {cpu[2]:.0f})"
        yield f"{case.name:<28}{rate[1]:>11.0f} {rates:<17}{cpu[1]:>7.0f} {costs:<15}{slower:>6.2f}x{dearer:>6.2f}x"


def run(cases: Sequence[Case], servers: dict[str, Server], options: argparse.Namespace, core: int | None) -> None:
    """Measure all cases in all rounds, and print."""
    wrk = shutil.which("wrk") is not None
    print(f"demur: {options.rounds} rounds of {options.seconds:g} s, {'wrk' if wrk else 'our own client'}, ", end="")
    print(f"{options.connections} connections, {'one core for the servers' if core is not None else 'shared cores'}")
    rounds: list[dict[str, Measured]] = []
    for number in range(-1, options.rounds):  # the first one warms up and does not count
        measured: dict[str, Measured] = {}
        for case in cases if number % 2 else reversed(cases):
            server = servers[case.server]
            before = server.cpu()
            if wrk:
                url = f"http://{HOST}:{server.port}{case.path}"
                count, took = with_wrk(url, case.headers(), options.connections, options.seconds, core)
            else:
                request = case.request(server.port)
                count, took = asyncio.run(_with_asyncio(server.port, request, options.connections, options.seconds))
            measured[case.name] = Measured(count / took, (server.cpu() - before) / count * 1e6)
        if number >= 0:
            rounds.append(measured)
    print("\n".join(table(cases, rounds)))


def main() -> None:
    """Read the arguments; serve, or measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=16)
    for name in ("--serve", "--state", "--fd"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.rounds, options.seconds, options.connections) <= 0:
        parser.error("--rounds, --seconds and --connections are all above 0")
    if options.serve:
        serve(options.serve, options.state, int(options.fd))
        return
    cores = sorted(os.sched_getaffinity(0))
    theirs, ours = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    if ours is not None and not shutil.which("wrk"):
        os.sched_setaffinity(0, {ours})
    with tempfile.TemporaryDirectory(prefix="demur-bench-") as state:
        token = asyncio.run(sign_in(state))
        cases = [
            Case("unguarded", "plain", "/members/shelf", 200, token),
            Case("guarded, public", "guarded", "/public/logo", 200, token),
            Case("guarded, known session", "guarded", "/members/shelf", 200, token),
            Case("the same, log and metrics", "noting", "/members/shelf", 200, token),
            Case("the same, asking the store", "asking", "/members/shelf", 200, token),
            Case("guarded, refused (401)", "guarded", "/members/shelf", 401),
            Case("guarded, refused (403)", "guarded", "/team-7/plans", 403, token),
        ]
        servers = {which: start(which, state, theirs) for which in ("plain", "guarded", "noting", "asking")}
        try:
            for case in cases:
                check(case, servers[case.server].port)
            run(cases, servers, options, ours)
        finally:
            for server in servers.values():
                server.process.terminate()
                server.process.wait(10)


if __name__ == "__main__":
    main()
