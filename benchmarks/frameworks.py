"""What guarding costs in each framework: the same app without and with demur, and beside them what others do there.

All servers run on one core and are asked from another, turn by turn in one run, so that whatever else the machine does
meets all of them alike. Each app has one view with a small answer; with demur it is marked, the sessions are demur's,
in SQLite, and there are a log and metrics. `…, refused` is the same asked for by nobody in particular. The others are
asked for the same view with their own session: whoever is not signed in is refused. `… and demur` is step one of the
how-to pages: the others' login, read by a bridge. `…, the least` is what no check in Python can go below.

ASGI is served by uvicorn with uvloop and httptools, WSGI by gunicorn with one process and threads.
Figures are medians over the rounds, with the quartiles behind them. A ratio is the median of the ratios within a round,
to the app without demur, or, for `… and demur`, to the same login without it.

    benchmarks/frameworks.py [--rounds 7] [--seconds 2] [--connections 16] [--only flask,django]
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.guarded import HOST, TICK, Measured, load, observer, sign_in, spread
    from benchmarks.setups import PATH, SETUPS, Setup
else:
    from guarded import HOST, TICK, Measured, load, observer, sign_in, spread
    from setups import PATH, SETUPS, Setup

Row: TypeAlias = "tuple[str, float | None, float, float, str, str]"
REQUIRED = {"asgi": 0.90, "starlette": 0.86, "fastapi": 0.92, "django": 0.90, "flask": 0.86}
"""The least that is asked for: the throughput with demur, of that without."""
LEAST = "nothing but cookie, hash, two look-ups and two fields: no log, no numbers, no revocation"


def serve(name: str, state: str, descriptor: int) -> None:
    """Serve one of them until told to stop."""
    setup = next(each for each in SETUPS if each.name == name)
    sys.path[:0] = [str(setup.packages)] if setup.beside else []
    opened = socket.socket(fileno=descriptor)
    origin = f"http://{HOST}:{opened.getsockname()[1]}"
    given = {"origin": origin, "store": f"sqlite:{state}/sessions.db", "keys": f"{state}/keys"}
    more = {"observer": observer()} if setup.session == "demur" else {}
    if setup.server:
        more[setup.server] = os.environ[f"BENCH_{setup.server.upper()}"]
    app = setup.make({**given, **more})
    if not setup.wsgi:
        import uvicorn  # noqa: PLC0415

        config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
        uvicorn.Server(config).run(sockets=[opened])
        return
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # noqa: PLC0415

    class Served(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            said = {"bind": f"fd://{descriptor}", "worker_class": "gthread", "threads": 4, "workers": 1}
            for key, value in {**said, "keepalive": 60, "loglevel": "error", "control_socket_disable": True}.items():
                if key in self.cfg.settings:
                    self.cfg.set(key, value)

        def load(self) -> Any:
            return app

    Served().run()


# --- asking ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs, and what it is sent."""

    setup: Setup
    process: subprocess.Popen[bytes]
    port: int

    def cpu(self) -> float:
        """The seconds of processor time that it and its workers have used."""
        pid = self.process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(_cpu(each) for each in (str(pid), *workers))

    def get(self, path: str, cookie: str = "") -> http.client.HTTPResponse:
        """Ask it once."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        connection.request("GET", path, headers={"Connection": "close", **({"Cookie": cookie} if cookie else {})})
        return connection.getresponse()


def _cpu(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def start(setup: Setup, state: str, core: int | None) -> Running:
    """Start a server on a free port."""
    opened = socket.socket()
    opened.bind(("127.0.0.1", 0))
    opened.listen(1024)
    own = Path(state) / setup.name.replace(" ", "-")
    own.mkdir()
    command = [sys.executable, __file__, "--serve", setup.name, "--state", state, "--fd", str(opened.fileno())]
    pin = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
    running = Running(setup, subprocess.Popen([*pin, *command], pass_fds=[opened.fileno()]), opened.getsockname()[1])
    opened.close()
    return running


def cookie_of(running: Running, token: str) -> str:
    """The session with which it is asked. Ends unless whoever has one is answered, and nobody else is."""
    # The app without demur is sent what the one with it is: to read a cookie is the server's work.
    cookie = "" if running.setup.session == "own" else f"demur-dev={token}"
    if running.setup.session == "own":
        set_by = running.get("/login").headers.get_all("set-cookie") or []
        cookie = "; ".join(each.partition(";")[0] for each in set_by)
    said, without = running.get(PATH, cookie).status, running.get(PATH).status
    if said != 200 or (running.setup.session and without == 200):
        raise SystemExit(f"{running.setup.name}: {said} with a session, {without} without one")
    return cookie


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a server, asked with a cookie or without one."""

    name: str
    server: Running
    cookie: str
    refused: bool = False


def run(setups: Sequence[Setup], options: argparse.Namespace) -> list[dict[str, Measured]]:
    """Measure all in all rounds."""
    own = sorted(os.sched_getaffinity(0))
    cores = (own[0], own[1]) if len(own) > 1 else (None, None)
    with tempfile.TemporaryDirectory(prefix="demur-bench-") as state:
        token = asyncio.run(sign_in(state))
        servers = [start(each, state, cores[0]) for each in setups]
        try:
            cases = [Case(each.setup.name, each, cookie_of(each, token)) for each in servers]
            refused = [each for each in cases if each.server.setup.session == "demur"]
            cases += [Case(f"{each.name}, refused", each.server, "", refused=True) for each in refused]
            rounds = [_round(cases, options, number, cores[1]) for number in range(-1, options.rounds)]
        finally:
            for each in servers:
                each.process.terminate()
            for each in servers:
                each.process.wait(10)
    return rounds[1:]  # the first one warms up and does not count


def _round(cases: Sequence[Case], options: argparse.Namespace, number: int, core: int | None) -> dict[str, Measured]:
    measured = {}
    for case in cases if number % 2 else reversed(cases):
        server = case.server
        before = server.cpu()
        sent = [f"Cookie: {case.cookie}"] if case.cookie else []
        loaded = load(f"http://{HOST}:{server.port}{PATH}", sent, options.connections, options.seconds, core)
        if (loaded.wrong > 0) is not case.refused:
            raise SystemExit(f"{case.name}: {loaded.wrong} of {loaded.count} answers were refusals or none")
        spent = (server.cpu() - before) / loaded.count * 1e6
        measured[case.name] = Measured(loaded.count / loaded.took, spent, loaded.p99)
    return measured


def table(setups: Sequence[Setup], rounds: Sequence[dict[str, Measured]]) -> Iterator[str]:
    """The figures, a line for each."""
    yield f"{'':<33}{'requests/s':>11} {'(quartiles)':<17}{'CPU us':>7}{'rate':>8} {'(quartiles)':<15}{'CPU':>6}  of"
    for each in setups:
        yield _line(each.name, each.base, rounds) + _asked(each, rounds)
        if each.session == "demur":
            yield _line(f"{each.name}, refused", each.name, rounds)


def _line(name: str, base: str, rounds: Sequence[dict[str, Measured]]) -> str:
    rate = spread([said[name].rate for said in rounds])
    cpu = statistics.median(said[name].cpu for said in rounds)
    line = f"{name:<33}{rate[1]:>11.0f} {f'({rate[0]:.0f} to {rate[2]:.0f})':<17}{cpu:>7.0f}"
    if not base:
        return line
    slower = spread([said[name].rate / said[base].rate for said in rounds])
    dearer = statistics.median(said[name].cpu / said[base].cpu for said in rounds)
    return f"{line}{slower[1]:>7.2f}x {f'({slower[0]:.2f} to {slower[2]:.2f})':<15}{dearer:>5.2f}x  {base}"


def _asked(setup: Setup, rounds: Sequence[dict[str, Measured]]) -> str:
    least = REQUIRED.get(setup.framework) if setup.session == "demur" else None
    if least is None:
        return ""
    ratio = statistics.median(said[setup.name].rate / said[setup.base].rate for said in rounds)
    return f", at least {least:.2f}{'' if ratio >= least else ': MISSED'}"


# --- for the report -------------------------------------------------------------------------------


def rows(rounds: int, seconds: float, connections: int = 16, only: str = "") -> Iterator[Row]:
    """What is compared, the median of the ratios, the quartiles, what is asked for, and a remark. Without a median it
    did not run, and the remark says why."""
    wanted = [each for each in SETUPS if not only or each.framework in only.split(",")]
    here = [each for each in wanted if is_here(each)]
    for each in wanted:
        if each not in here:
            yield (
                f"beside it: demur / {each.name}",
                None,
                0,
                0,
                "> 1",
                f"not run: {each.needs or each.server} is not here",
            )
    options = argparse.Namespace(rounds=rounds, seconds=seconds, connections=connections)
    for framework in dict.fromkeys(each.framework for each in here):
        # Each framework by itself: what waits for its turn meanwhile takes memory and caches.
        setups = [each for each in here if each.framework == framework]
        yield from _rows(framework, setups, run(setups, options))


def _rows(framework: str, setups: Sequence[Setup], rounds: Sequence[dict[str, Measured]]) -> Iterator[Row]:
    ours = [each for each in setups if each.session == "demur"]
    name, plain = ours[0].name, ours[0].base
    for each in ours:
        least = f"≥ {REQUIRED[framework]:.2f}" if each is ours[0] and framework in REQUIRED else ""
        added = statistics.median(_added(each.name, each.base, rounds))
        remark = f"{added:.0f} µs of processor time added"
        yield _row(f"guarded / unguarded: {each.name}", _over("rate", each.name, each.base, rounds), least, remark)
        yield _row(f"p99, guarded / unguarded: {each.name}", _over("p99", each.name, each.base, rounds), "≤ 1.3")
        no = f"{each.name}, refused"
        yield _row(f"anonymous refusal / allowed: {each.name}", _over("rate", no, each.name, rounds), "≥ 1.0")
    for each in setups:
        if each.session == "least":
            yield _row(f"guarded / unguarded: {each.name}", _over("rate", each.name, each.base, rounds), "", LEAST)
    others = [each.name for each in setups if each.session == "own" and each.base == plain]
    if others:
        cheapest = min(others, key=lambda other: statistics.median(_added(other, plain, rounds)))
        both = zip(_added(name, plain, rounds), _added(cheapest, plain, rounds), strict=True)
        shares = [own / max(1.0, theirs) for own, theirs in both]
        yield _row(f"CPU added: {name} / {cheapest}", shares, "≤ 0.20")
    for other in others:
        yield _row(f"beside it: {name} / {other}", _over("rate", name, other, rounds), "> 1")


def _over(what: str, one: str, other: str, rounds: Sequence[dict[str, Measured]]) -> list[float]:
    return [getattr(each[one], what) / getattr(each[other], what) for each in rounds]


def _added(name: str, base: str, rounds: Sequence[dict[str, Measured]]) -> list[float]:
    return [each[name].cpu - each[base].cpu for each in rounds]


def _row(name: str, ratios: Sequence[float], asked: str, remark: str = "") -> Row:
    lower, median, upper = spread(ratios)
    return name, median, lower, upper, asked, remark


def is_here(setup: Setup) -> bool:
    """Whether a set-up can run. What it needs beside our own packages is installed now, where that is possible."""
    if setup.server and not os.environ.get(f"BENCH_{setup.server.upper()}"):
        return False
    if not setup.needs or find_spec(setup.needs):
        return True
    if setup.beside and not setup.packages.exists():
        command = [f"{sys.prefix}/bin/uv", "pip", "install", "--quiet", "--no-deps", "--target", str(setup.packages)]
        if subprocess.run([*command, *setup.beside], check=False).returncode:
            shutil.rmtree(setup.packages, ignore_errors=True)
    return bool(setup.beside) and setup.packages.exists()


def main() -> None:
    """Read the arguments; serve, or measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", default="", help="some of asgi, starlette, fastapi, litestar, django, flask")
    for name in ("--serve", "--state", "--fd"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.state, int(options.fd))
        return
    if not shutil.which("wrk"):
        raise SystemExit("demur: NOT RUN, because wrk is not here. On Debian: apt-get install wrk")
    wanted = [each for each in SETUPS if not options.only or each.framework in options.only.split(",")]
    here = [each for each in wanted if is_here(each)]
    for each in wanted:
        if each not in here:
            print(f"demur: {each.name} is NOT RUN, because {each.server or each.needs} is not here")
    print(f"demur: {options.rounds} rounds of {options.seconds:g} s, wrk, {options.connections} connections")
    print("\n".join(table(here, run(here, options))))


if __name__ == "__main__":
    main()
