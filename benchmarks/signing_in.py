"""What checks notice of people who sign in: twenty at once, on the core on which the checks are answered.

wrk asks the check listener for as much as takes about half of the core, and some more connections ask a few thousand
times a second and take the time. In every other round twenty people send their passwords at the same moment. What
counts is the 99th percentile of the checks' times while anybody still waits, over that of a quiet round before it,
under the same load; and the longest wait.

    benchmarks/signing_in.py [--rounds 7]

Needs nginx and wrk, as forward.py does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.forward import Row, Stand

PEOPLE: Final = 20
PASSWORD: Final = "a walrus in the attic"
CONNECTIONS: Final = 4
PAUSE: Final = 0.001
LOAD: Final = 32
"""Connections of wrk, each of which asks again after a millisecond."""
ROUNDS: Final = 5
"""At least so many: what one of them shows is off by a fifth, either way."""
QUIET: Final = 3.0
LONGEST: Final = 60.0


def compare(stand: Stand, rounds: int) -> list[Row]:
    """The two rows, of `ROUNDS` rounds at least."""
    asyncio.run(_add_people(stand.folder))
    token = (stand.folder / "tokens").read_text().split()[0]
    checks = ("--checks", str(stand.ports["demur alone"]), token)
    _sign_in(stand.ports["pages"], 0)  # what is made once is made
    ratios, waits, quiet, shares = [], [], [], []
    with _away(), _loaded(stand):
        for _ in range(max(rounds, ROUNDS)):
            began, before = time.perf_counter(), stand.cpu("demur alone")
            done = _asked(checks, QUIET)
            shares.append((stand.cpu("demur alone") - before) / (time.perf_counter() - began))
            with ThreadPoolExecutor(PEOPLE) as pool:
                asking = _begin(checks, LONGEST)
                took = list(pool.map(lambda number: _sign_in(stand.ports["pages"], number), range(PEOPLE)))
                busy = _end(asking)
            waits.append(max(took))
            quiet.append(done)
            ratios.append(busy / done)
    longest = statistics.median(waits)
    middle, least, most = (of(quiet) * 1000 for of in (statistics.median, min, max))
    # Where the quiet rounds are far apart, others were at work, and the ratio says nothing.
    note = f"quiet {middle:.2f} ms ({least:.2f} to {most:.2f}); checks take {statistics.median(shares):.0%} of the core"
    name = "check p99 while 20 people sign in at once / quiet, one core"
    return [
        (name, statistics.median(ratios), min(ratios), max(ratios), "<= 1.5", note),
        ("longest wait of the 20 for their sign-in, seconds", longest, min(waits), max(waits), "<= 5", ""),
    ]


async def _add_people(folder: Path) -> None:
    from demur import accounts  # noqa: PLC0415 - the load does without
    from demur.accounts.people import New  # noqa: PLC0415
    from demur.authenticators.password import Argon2Hasher  # noqa: PLC0415

    hasher, people = Argon2Hasher(), accounts.open(f"sqlite:{folder / 'accounts.db'}")
    encoded = await hasher.hash(PASSWORD)
    await people.add_all([New(f"guest{number}", encoded=encoded) for number in range(PEOPLE)], by="bench")
    await people.aclose()
    hasher.close()


def _sign_in(port: int, number: int) -> float:
    """Sign somebody in; how many seconds that took."""
    from benchmarks.forward import HOST  # noqa: PLC0415 - it imports this

    body = json.dumps({"username": f"guest{number}", "password": PASSWORD})
    sent = {"Host": HOST, "Content-Type": "application/json", "Accept": "application/json", "Origin": f"http://{HOST}"}
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/.demur/sign-in", body, sent)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"a sign-in was answered {answer.status}")
    return time.perf_counter() - began


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """Keep the calling thread, and those that it starts, away from the servers' core while the block lasts: to begin
    twenty of them takes time, and it would be the checks'."""
    if sys.platform != "linux" or (os.cpu_count() or 1) == 1:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {1})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- the checks, in processes of their own ------------------------------------------------------------


@contextlib.contextmanager
def _loaded(stand: Stand) -> Iterator[None]:
    """Others ask as well while the block lasts."""
    from benchmarks.forward import _on  # noqa: PLC0415 - it imports this

    script = stand.folder / "wrk-slowly.lua"
    script.write_text('dofile("wrk.lua")\nfunction delay() return 1 end\n')
    command = [*_on(1), "wrk", "-t1", f"-c{LOAD}", "-d1h", "-s", script.name]
    process = subprocess.Popen(
        [*command, f"http://127.0.0.1:{stand.ports['demur alone']}/"],
        cwd=stand.folder,
        env={**os.environ, "DIRECT": "1"},
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait(10)


def _begin(checks: tuple[str, ...], seconds: float) -> subprocess.Popen[str]:
    from benchmarks.forward import _on  # noqa: PLC0415 - it imports this

    command = [*_on(1), sys.executable, __file__, *checks, str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # it is at it
    return process


def _end(process: subprocess.Popen[str]) -> float:
    said, _ = process.communicate("\n")
    return float(said)


def _asked(checks: tuple[str, ...], seconds: float) -> float:
    process = _begin(checks, LONGEST)
    time.sleep(seconds)
    return _end(process)


async def _check(port: int, token: str, until: asyncio.Event, times: list[float]) -> None:
    from benchmarks.forward import COOKIE, HOST  # noqa: PLC0415 - it imports this

    fields = (
        f"Host: {HOST}\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: {HOST}\r\nX-Forwarded-Method: GET\r\n"
        f"X-Forwarded-Proto: http\r\nX-Forwarded-Uri: /members/page\r\nCookie: {COOKIE}={token}\r\n\r\n"
    )
    asked = f"GET /check?answer=fields HTTP/1.1\r\n{fields}".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not until.is_set():
        began = time.perf_counter()
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        times.append(time.perf_counter() - began)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a check was answered {head!r}")
        await asyncio.sleep(PAUSE)
    writer.close()


async def _checks(port: int, token: str, seconds: float) -> float:
    over, times = asyncio.Event(), list[float]()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, over.set)
    loop.call_later(seconds, over.set)
    asking = [asyncio.create_task(_check(port, token, over, times)) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.2)
    times.clear()
    print("ready", flush=True)
    await asyncio.gather(*asking)
    return statistics.quantiles(times, n=100)[98]


def main() -> int:
    """Compare, and print."""
    from benchmarks.forward import show, standing  # noqa: PLC0415 - it imports this

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with standing() as stand:
        show(compare(stand, given.rounds))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    if sys.argv[1:2] == ["--checks"]:
        import uvloop

        print(uvloop.run(_checks(int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))), flush=True)
    else:
        raise SystemExit(main())
