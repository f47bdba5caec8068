"""How long after its acknowledgement another process honours a revocation, and how long a lost channel can hide it.

Two processes on one store: one ends sessions, the other asks for them again and again, out of its cache as long as that
may say yes. What counts is the time from the acknowledgement to the first no; less than nothing is nothing.
For the lost channel, everything between the other process and the server is swallowed first (a relay that no longer
passes anything on), and the time from the acknowledgement to the last yes counts.

    benchmarks/revoking.py [--times 300] [--only sqlite,redis,postgresql]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Row: TypeAlias = "tuple[str, float | None, float, float, str, str]"
LEAST = {"SQLite": 1, "Redis": 5, "PostgreSQL": 5}  # milliseconds
ORIGIN = "https://app.example.com"


def _guard(url: str, keys: str) -> Any:
    from demur import stores  # noqa: PLC0415 - the parent need not load it
    from demur.core import rules  # noqa: PLC0415
    from demur.core.site import Cookie, Site  # noqa: PLC0415
    from demur.guard import Guard  # noqa: PLC0415
    from demur.stores.keys import FileKeys  # noqa: PLC0415

    site = Site(
        ORIGIN, "Bench", rules.load([{"path": "/**", "allow": "signed-in"}]), cookie=Cookie("demur-dev", secure=False)
    )
    return Guard(site, stores.open(url), FileKeys(keys))


def _request(token: str) -> Any:
    from demur.core.model import Request  # noqa: PLC0415

    fields = ((b"host", b"app.example.com"), (b"cookie", b"demur-dev=" + token.encode()))
    return Request("GET", b"/x", "https", "app.example.com", "203.0.113.9", fields)


async def ask(url: str, keys: str) -> None:
    """The other process: for each token on standard input, ask until the answer is no, and print when that was: of the
    first no and of the last yes."""
    from demur.core.model import Allow  # noqa: PLC0415

    guard = _guard(url, keys)
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        asked, known, last = _request(line), False, 0.0
        until = time.monotonic() + 15
        while time.monotonic() < until:
            yes = isinstance((await guard.acheck(asked)).decision, Allow)
            if yes:
                last = time.monotonic()
                if not known:
                    known = True
                    print("known", flush=True)
            elif known:
                break
            await asyncio.sleep(0)
        print(f"{time.monotonic()} {last}", flush=True)
    await guard.aclose()
    await guard.store.aclose()


class Relay:
    """Passes on what comes, until it is told not to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.swallows = False
        self.port = 0
        self._serving: set[asyncio.Task[Any] | None] = set()

    async def start(self) -> None:
        """Listen."""
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())  # nobody else holds on to it
        with contextlib.suppress(OSError, asyncio.CancelledError):
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(self._pass(reader, ours), self._pass(theirs, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                if not self.swallows:
                    writer.write(part)
                    await writer.drain()
            if not self.swallows:
                writer.close()


class Both:
    """One process that ends sessions, this one, and one that asks."""

    def __init__(self, url: str, theirs: str, folder: Path) -> None:
        self._guard = _guard(url, str(folder / "keys"))
        self._guard.keys.ring()
        self._number = 0
        command = [sys.executable, __file__, "--ask", theirs, str(folder / "keys")]
        self._other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    async def _said(self) -> str:
        assert self._other.stdout is not None
        return (await asyncio.to_thread(self._other.stdout.readline)).strip()

    async def once(self, before: Any = None) -> tuple[float, float]:
        """Sign somebody in, let the other process know them, and end it: seconds from the acknowledgement to the first
        no, and to the last yes."""
        from demur.core.model import Actor, End, Ending, Session, Subject  # noqa: PLC0415
        from demur.core.sessions import identify, mint  # noqa: PLC0415

        self._number += 1
        now, token = int(time.time()), mint(os.urandom(32), self._guard.keys.ring().current)
        person = Subject(f"0192f0c4-0000-7000-8000-{self._number:012}", f"p{self._number}", frozenset({"members"}))
        await self._guard.store.issue(Session(identify(token), person.id, now, now, now, now + 3600, 1800), person)
        assert self._other.stdin is not None
        self._other.stdin.write(token + "\n")
        self._other.stdin.flush()
        said = await self._said()
        if said != "known":
            raise SystemExit(f"the other process does not know somebody who is signed in: {said!r}")
        await asyncio.sleep(0.002)
        if before is not None:
            before()
        await self._guard.store.apply([End(identify(token), Ending.REVOKED, Actor.ADMINISTRATOR, int(time.time()))])
        at = time.monotonic()
        first, last = (float(each) for each in (await self._said()).split())
        return max(0.0, first - at), max(0.0, last - at)

    async def stop(self) -> None:
        """End both."""
        assert self._other.stdin is not None
        self._other.stdin.close()
        await asyncio.to_thread(self._other.wait, 20)
        await self._guard.store.aclose()


async def _delays(name: str, url: str, folder: Path, times: int) -> Row:
    both = Both(url, url, folder)
    try:
        for _ in range(10):
            await both.once()
        delays = [(await both.once())[0] * 1000 for _ in range(times)]
    finally:
        await both.stop()
    lower, median, upper = statistics.quantiles(delays, n=4, method="inclusive")
    p99 = statistics.quantiles(delays, n=100, method="inclusive")[98]
    remark = f"milliseconds, p99 of {times}; median {median:.2f}, longest {max(delays):.2f}"
    return f"revocation acknowledged → refused elsewhere: {name}", p99, lower, upper, f"≤ {LEAST[name]}", remark


async def _lost(name: str, url: str, port: int, folder: Path, times: int) -> Row:
    longest = []
    for _ in range(times):
        relay = Relay(port)
        await relay.start()
        both = Both(url, url.replace(f":{port}", f":{relay.port}"), folder)
        try:
            await both.once()

            def cut(relay: Relay = relay) -> None:
                relay.swallows = True

            longest.append((await both.once(cut))[1])
        finally:
            await both.stop()
    remark = f"seconds to the last yes, the longest of {times}"
    return f"stale after a lost channel: {name}", max(longest), min(longest), max(longest), "≤ 2.0", remark


def rows(rounds: int, seconds: float, only: str = "", times: int = 0) -> Iterator[Row]:
    """What is measured, the 99th percentile, the quartiles, what is asked for, and a remark."""
    times = times or max(50, int(rounds * seconds * 20))
    for name, measure in (("SQLite", _sqlite), ("Redis", _redis), ("PostgreSQL", _postgres)):
        if not only or name.lower() in only.split(","):
            with tempfile.TemporaryDirectory(prefix="demur-bench-") as folder:
                yield from measure(Path(folder), times)


def _sqlite(folder: Path, times: int) -> Iterator[Row]:
    yield asyncio.run(_delays("SQLite", f"sqlite:{folder}/sessions.db", folder, times))


def server(kind: str) -> Any:
    """A real server, as tests start them: `redis` or `postgres`."""
    place = Path(__file__).parents[1] / "tests" / "servers" / f"{kind}.py"
    spec = importlib.util.spec_from_file_location(f"served_{kind}", place)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Server()


def _redis(folder: Path, times: int) -> Iterator[Row]:
    with server("redis") as started:
        yield asyncio.run(_delays("Redis", started.tcp(), folder, times))
        yield asyncio.run(_lost("Redis", started.tcp(), started.port, folder, 3))


def _postgres(folder: Path, times: int) -> Iterator[Row]:
    with server("postgres") as started:
        yield asyncio.run(_delays("PostgreSQL", started.tcp(), folder, times))
        yield asyncio.run(_lost("PostgreSQL", started.tcp(), started.port, folder, 3))


def main() -> None:
    """Read the arguments; ask, or measure and print."""
    if sys.argv[1:2] == ["--ask"]:
        asyncio.run(ask(*sys.argv[2:4]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for name, median, lower, upper, asked, remark in rows(1, 1, options.only, options.times):
        print(f"{name:<60} {median:8.3f} ({lower:.3f} to {upper:.3f})  {asked}  {remark}", flush=True)


if __name__ == "__main__":
    main()
