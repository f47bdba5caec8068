"""What guarding costs in each framework: the same app without and with demur, and beside them what others do there.

All servers run on one core and are asked from another, turn by turn in one run, so that whatever else the machine does
meets all of them alike. Each app has one view with a small answer; with demur it is marked, and the sessions are
demur's, in SQLite. The others are asked for the same view with their own session: whoever is not signed in is refused.
`… and demur` is step one of the how-to pages: the others' login, read by a bridge.

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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.guarded import HOST, TICK, Measured, sign_in, spread, with_wrk
    from benchmarks.setups import PATH, SETUPS, Setup
else:
    from guarded import HOST, TICK, Measured, sign_in, spread, with_wrk
    from setups import PATH, SETUPS, Setup

REQUIRED = {"asgi": 0.90, "starlette": 0.86, "fastapi": 0.92, "django": 0.90, "flask": 0.86}
"""The least that is asked for: the throughput with demur, of that without."""


def serve(name: str, state: str, descriptor: int) -> None:
    """Serve one of them until told to stop."""
    setup = next(each for each in SETUPS if each.name == name)
    sys.path[:0] = [str(setup.packages)] if setup.beside else []
    opened = socket.socket(fileno=descriptor)
    origin = f"http://{HOST}:{opened.getsockname()[1]}"
    app = setup.make({"origin": origin, "store": f"sqlite:{state}/sessions.db", "keys": f"{state}/keys"})
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
    cookie = {"demur": f"demur-dev={token}", "own": "", "": ""}[running.setup.session]
    if running.setup.session == "own":
        set_by = running.get("/login").headers.get_all("set-cookie") or []
        cookie = "; ".join(each.partition(";")[0] for each in set_by)
    said, without = running.get(PATH, cookie).status, running.get(PATH).status
    if said != 200 or (running.setup.session and without == 200):
        raise SystemExit(f"{running.setup.name}: {said} with a session, {without} without one")
    return cookie


def run(setups: Sequence[Setup], state: str, options: argparse.Namespace, cores: tuple[int | None, int | None]) -> None:
    """Measure all in all rounds, and print."""
    token = asyncio.run(sign_in(state))
    servers = {each.name: start(each, state, cores[0]) for each in setups}
    try:
        cookies = {name: cookie_of(each, token) for name, each in servers.items()}
        rounds = [_round(servers, cookies, options, number, cores[1]) for number in range(-1, options.rounds)]
    finally:
        for each in servers.values():
            each.process.terminate()
            each.process.wait(10)
    print("\n".join(table(setups, rounds[1:])))  # the first one warms up and does not count


def _round(
    servers: dict[str, Running], cookies: dict[str, str], options: argparse.Namespace, number: int, core: int | None
) -> dict[str, Measured]:
    measured = {}
    for name in servers if number % 2 else reversed(servers):
        server = servers[name]
        before = server.cpu()
        sent = [f"Cookie: {cookies[name]}"] if cookies[name] else []
        url = f"http://{HOST}:{server.port}{PATH}"
        count, took = with_wrk(url, sent, options.connections, options.seconds, core)
        measured[name] = Measured(count / took, (server.cpu() - before) / count * 1e6)
    return measured


def table(setups: Sequence[Setup], rounds: Sequence[dict[str, Measured]]) -> Iterator[str]:
    """The figures, a line for each."""
    yield f"{'':<28}{'requests/s':>11} {'(quartiles)':<17}{'CPU us':>7}{'rate':>8} {'(quartiles)':<15}{'CPU':>6}  of"
    for each in setups:
        rate = spread([said[each.name].rate for said in rounds])
        cpu = statistics.median(said[each.name].cpu for said in rounds)
        line = f"{each.name:<28}{rate[1]:>11.0f} {f'({rate[0]:.0f} to {rate[2]:.0f})':<17}{cpu:>7.0f}"
        if each.base:
            slower = spread([said[each.name].rate / said[each.base].rate for said in rounds])
            dearer = statistics.median(said[each.name].cpu / said[each.base].cpu for said in rounds)
            ratios = f"({slower[0]:.2f} to {slower[2]:.2f})"
            line += f"{slower[1]:>7.2f}x {ratios:<15}{dearer:>5.2f}x  {each.base}{_asked(each, slower[1])}"
        yield line


def _asked(setup: Setup, ratio: float) -> str:
    least = REQUIRED.get(setup.framework) if setup.session == "demur" else None
    return "" if least is None else f", at least {least:.2f}{'' if ratio >= least else ': MISSED'}"


def is_here(setup: Setup) -> bool:
    """Whether a set-up can run. What it needs beside our own packages is installed now, where that is possible."""
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
            print(f"demur: {each.name} is NOT RUN, because {each.needs} is not here")
    own = sorted(os.sched_getaffinity(0))
    cores = (own[0], own[1]) if len(own) > 1 else (None, None)
    print(f"demur: {options.rounds} rounds of {options.seconds:g} s, wrk, {options.connections} connections")
    with tempfile.TemporaryDirectory(prefix="demur-bench-") as state:
        run(here, state, options, cores)


if __name__ == "__main__":
    main()
