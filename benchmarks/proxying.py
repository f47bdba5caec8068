"""The built-in proxy beside nginx and Caddy: the same upstream, the same small answer, one core for all of them.

demur checks a session for each request, and the others check nothing. Then 1 GB goes through demur, down and up, and
what its worker has in memory must not grow with it.

    benchmarks/proxying.py [--rounds 5] [--seconds 2] [--connections 16]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.guarded import sign_in, spread, with_wrk
else:
    from guarded import sign_in, spread, with_wrk

Row: TypeAlias = "tuple[str, float | None, float, float, str, str]"
GIGABYTE = 1024**3
MOST_GROWTH = 64  # MB

NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log error;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0; proxy_temp_path {folder}/{name}-p;
  client_body_temp_path {folder}/{name}-c; fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u;
  scgi_temp_path {folder}/{name}-s;
  {body}
}}
"""
UPSTREAM = """server {{ listen 127.0.0.1:{port}; root {folder}/site; sendfile on;
  location /members/page {{ return 200 "a small answer"; }}
  location /members/up {{ proxy_pass http://127.0.0.1:{sink}; proxy_http_version 1.1;
    proxy_request_buffering off; }} }}"""
PROXY = """upstream site {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://site; proxy_http_version 1.1;
  proxy_set_header Connection ""; proxy_buffering off; }} }}"""
CADDY = """{{
  admin off
  auto_https off
}}
http://localhost:{port} {{
  reverse_proxy 127.0.0.1:{upstream}
}}
"""
CONFIG = """
version = 1

[gateway]
listen = "127.0.0.1:{port}"
workers = 1
log = "json"

[sessions]
store = "sqlite:sessions.db"

[[site]]
origin = "http://localhost:{port}"
upstream = "http://127.0.0.1:{upstream}"

[[site.rule]]
path = "/members/**"
allow = "signed-in"
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    """What runs, on the core of the servers."""

    def __init__(self, folder: Path) -> None:
        own = sorted(os.sched_getaffinity(0))
        self.folder = folder
        self.core: int | None = own[0] if len(own) > 1 else None
        self.other: int | None = own[1] if len(own) > 1 else None
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], port: int) -> subprocess.Popen[bytes]:
        """Start a server; it listens when this returns."""
        pin = ["taskset", "-c", str(self.core)] if self.core is not None and shutil.which("taskset") else []
        with (self.folder / f"{port}.out").open("wb") as out:
            process = subprocess.Popen([*pin, *command], cwd=self.folder, stdout=out, stderr=out)
        self.running.append(process)
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError as error:
                if process.poll() is not None or time.monotonic() > until:
                    said = (self.folder / f"{port}.out").read_text()[-600:]
                    raise SystemExit(f"{command[0]} does not listen:\n{said}") from error
                time.sleep(0.05)
            else:
                return process

    def nginx(self, name: str, body: str, **more: object) -> int:
        """An nginx, and its port."""
        port = _free_port()
        made = body.format(port=port, folder=self.folder, **more)
        place = self.folder / f"{name}.conf"
        place.write_text(NGINX.format(folder=self.folder, name=name, body=made))
        self.start([str(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")), "-c", str(place)], port)
        return port

    def stop(self) -> None:
        """All of it."""
        for each in reversed(self.running):
            each.terminate()
        for each in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(20)
            each.kill()


def _worker(process: subprocess.Popen[bytes]) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def _memory(pid: int) -> float:
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _sink() -> int:
    """Where what is sent up goes: a server that reads all of a request, and then answers; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, listening:
            said = b""
            while b"\r\n\r\n" not in said:
                said += connection.recv(1 << 16)
            left = GIGABYTE - len(said.partition(b"\r\n\r\n")[2])
            while left > 0 and (part := connection.recv(1 << 20)):
                left -= len(part)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return int(listening.getsockname()[1])


class _Watched:
    """The most that a process has in memory while something goes on, in MB."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over, self.most = pid, threading.Event(), _memory(pid)
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.most = max(self.most, _memory(self._pid))


def _down(port: int, cookie: str) -> int:
    """A gigabyte; how many bytes came."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        lines = ("GET /members/large HTTP/1.1", f"Host: localhost:{port}", f"Cookie: {cookie}", "Connection: close")
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        count = 0
        while part := connection.recv(1 << 20):
            count += len(part)
    return count


def _up(port: int, cookie: str) -> bytes:
    """A gigabyte; the first line of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        lines = ("POST /members/up HTTP/1.1", f"Host: localhost:{port}", f"Cookie: {cookie}", "Connection: close")
        fine = ("Sec-Fetch-Site: same-origin", f"Content-Length: {GIGABYTE}")
        connection.sendall("\r\n".join([*lines, *fine, "", ""]).encode())
        part = bytes(1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(GIGABYTE // len(part)):
                connection.sendall(part)
        return connection.recv(1 << 16).partition(b"\r\n")[0]


def _measured(bench: Bench, rounds: int, seconds: float, connections: int) -> Iterator[Row]:
    folder = bench.folder
    (folder / "site" / "members").mkdir(parents=True)
    folder.chmod(0o755)
    with (folder / "site" / "members" / "large").open("wb") as large:
        large.truncate(GIGABYTE)
    upstream = bench.nginx("upstream", UPSTREAM, sink=_sink())
    ports = {"nginx": bench.nginx("proxy", PROXY, upstream=upstream)}
    if caddy := shutil.which("caddy") or shutil.which("caddy", path=str(Path(sys.executable).parent)):
        ports["Caddy"] = _free_port()
        (folder / "Caddyfile").write_text(CADDY.format(port=ports["Caddy"], upstream=upstream))
        bench.start([caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"], ports["Caddy"])
    else:
        yield "built-in proxy / Caddy", None, 0, 0, "report", "not run: caddy is not here"
    port = ports["demur"] = _free_port()
    (folder / "demur.toml").write_text(CONFIG.format(port=port, upstream=upstream))
    cookie = f"demur-dev={asyncio.run(sign_in(str(folder)))}"
    demur = bench.start([str(Path(sys.executable).with_name("demur")), "serve", "--config", "demur.toml"], port)
    taken: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        taken.append({})
        for name, where in ports.items():
            url = f"http://localhost:{where}/members/page"
            count, took = with_wrk(url, [f"Cookie: {cookie}"], connections, seconds, bench.other)
            taken[-1][name] = count / took
    for name in ("nginx", "Caddy"):
        if name in ports:
            lower, median, upper = spread([each["demur"] / each[name] for each in taken[1:]])
            yield f"built-in proxy, guarding / {name}, not: small answers", median, lower, upper, "report", ""
    worker = _worker(demur)
    before = _memory(worker)
    for name, pass_ in (("down", _down), ("up", _up)):
        with _Watched(worker) as watched:
            began, said = time.monotonic(), pass_(port, cookie)
            took = time.monotonic() - began
        fine = said.startswith(b"HTTP/1.1 200") if isinstance(said, bytes) else said > GIGABYTE
        if not fine:
            yield f"built-in proxy: 1 GB {name}", None, 0, 0, "constant memory", f"not run: {said!r}"
            continue
        growth = max(0.0, watched.most - before)
        remark = f"MB more than before in the worker's memory; {GIGABYTE / took / 1e6:.0f} MB/s"
        yield f"built-in proxy: 1 GB {name}", growth, growth, growth, f"≤ {MOST_GROWTH}", remark


def rows(rounds: int, seconds: float, connections: int = 16) -> Iterator[Row]:
    """What is compared, the median of the ratios, the quartiles, what is asked for, and a remark."""
    with tempfile.TemporaryDirectory(prefix="demur-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            yield from _measured(bench, rounds, seconds, connections)
        finally:
            bench.stop()


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    for name, median, lower, upper, asked, remark in rows(options.rounds, options.seconds, options.connections):
        print(f"{name:<60} {median or 0:8.3f} ({lower:.3f} to {upper:.3f})  {asked}  {remark}", flush=True)


if __name__ == "__main__":
    main()
