"""What a check costs inside one process, without a server: from the fields of a request to those of the answer, with a
log and metrics.

- With 10 rules and with 10,000; with 1,000 people in the cache and with 1,000,000 (`--people`): processor time, the
  least of many turns, taken in turns.
- What a session takes in the cache: the growth of the process's memory, over the sessions.

    benchmarks/inside.py [--rounds 7] [--people 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from demur.adapters.asgi import Demur, Surface
from demur.core import page, rules
from demur.core.model import Live, Session, Subject
from demur.core.sessions import identify, mint
from demur.core.site import Cookie, Site
from demur.guard import Cache, Guard
from demur.pages.router import Pages
from demur.stores.keys import MemoryKeys
from demur.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.guarded import BODY, observer, spread
else:
    from guarded import BODY, observer, spread

Row: TypeAlias = "tuple[str, float | None, float, float, str, str]"
ORIGIN = "https://app.example.com"
TURN = 400  # requests
KEYS = MemoryKeys()
STANDS = time.time()


async def _app(scope: Any, receive: Any, send: Any) -> None:
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


def _site(count: int) -> Site:
    table = [{"path": f"/team-{number}/**", "allow": {"groups": [f"team-{number}"]}} for number in range(count - 1)]
    known = rules.load([{"path": "/members/**", "allow": "signed-in"}, *table])
    return Site(ORIGIN, "Bench", known, cookie=Cookie("demur-dev", secure=False))


class _Told:
    """A store that knows by number who is signed in, and keeps nothing else: what grows is the cache."""

    def __init__(self, numbers: Mapping[bytes, int]) -> None:
        self._numbers = numbers
        moments = MemoryStore()
        self.moment, self.holds = moments.moment, moments.holds

    async def load(self, keys: Sequence[bytes]) -> list[Live]:
        """Each time anew, as out of a database."""
        now, found = int(STANDS), []
        for key in keys:
            number = self._numbers[key]
            subject = f"0192f0c4-0000-7000-8000-{number:012}"
            person = Subject(subject, f"person-{number}", frozenset(("members", f"team-{number % 50}")))
            session = Session(bytes(bytearray(key)), "".join(list(subject)), now, now, now, now + 86400, 3600)
            found.append(Live(session, person))
        return found


class Side:
    """A guarded app, and people who ask it."""

    def __init__(self, count: int, people: int, paths: int = 1) -> None:
        self.tokens = [mint(number.to_bytes(32, "big"), KEYS.ring().current) for number in range(people)]
        store: Any = _Told({identify(token): number for number, token in enumerate(self.tokens)})
        cache = Cache(store, most=4 * 1024**3)
        # A million people take minutes to come, and who came first is not to be written down as seen meanwhile.
        self.guard = Guard(_site(count), store, KEYS, observer=observer(), cache=cache, clock=lambda: STANDS)
        self.app = Demur(_app, Surface(self.guard, Pages(self.guard, page.DEFAULT, {}), page.DEFAULT))
        self.paths = [f"/members/{number}" for number in range(paths)]

    async def begin(self) -> None:
        """Each has been seen once."""
        for token in self.tokens:
            await self.ask(_cookie(token))

    async def ask(self, cookie: bytes, path: str = "/members/0") -> None:
        """One request."""
        fields = [(b"host", b"app.example.com"), (b"cookie", cookie)]
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": fields,
            "client": ("203.0.113.9", 4),
            "extensions": {},
        }
        await self.app(scope, _receive, self._send)

    async def _send(self, message: Any) -> None:
        if message.get("status", 200) != 200:
            raise SystemExit(f"a refusal: {message}")

    async def turn(self) -> float:
        """Microseconds of processor time for a request, by people who come in no order."""
        # A server has just read the cookie; where this list of all tokens lies in memory is none of the check's affair.
        cookies = [_cookie(token) for token in random.choices(self.tokens, k=TURN)]
        began = time.process_time()
        for cookie in cookies:
            await self.ask(cookie)
        return (time.process_time() - began) / TURN * 1e6


def _cookie(token: str) -> bytes:
    return f"demur-dev={token}".encode()


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _compared(sides: Sequence[Side], rounds: int) -> list[float]:
    """The ratio of the second to the first, round by round, of the least of ten turns each."""
    for side in sides:
        await side.begin()
    gc.freeze()
    ratios = []
    for _ in range(rounds):
        least = [min([await side.turn() for _ in range(10)]) for side in sides]
        ratios.append(least[1] / least[0])
    gc.unfreeze()
    return ratios


# --- memory -----------------------------------------------------------------------------------------


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def session_bytes(count: int = 100_000) -> tuple[float, float]:
    """What a session takes in the cache, by the memory of the process; and what the cache counts for it."""
    people = [hashlib.sha256(str(number).encode()).digest() for number in range(count + 1000)]
    store: Any = _Told({key: number for number, key in enumerate(people)})
    cache = Cache(store, most=4 * 1024**3)
    now = int(STANDS)
    for key in people[:1000]:
        await cache.load(key, now)
    gc.collect()
    before, counted = _memory(), cache.size
    for key in people[1000:]:
        await cache.load(key, now)
    gc.collect()
    return (_memory() - before) / count, (cache.size - counted) / count


# --- all of it --------------------------------------------------------------------------------------


def rows(rounds: int, seconds: float, people: int = 1_000_000) -> Iterator[Row]:
    """What is compared, the median, the quartiles, what is asked for, and a remark."""
    del seconds
    # Before anything else, of which the process would still have the memory.
    taken, counted = asyncio.run(session_bytes())
    remark = f"bytes, over 100,000 sessions of as many people; the cache counts {counted:.0f}"
    yield "memory: a cached session", taken, taken, taken, "≤ 600", remark
    ratios = asyncio.run(_compared([Side(10, 1), Side(10_000, 1)], rounds))
    lower, median, upper = spread(ratios)
    yield "whole check, CPU: 10,000 rules / 10", median, lower, upper, "≤ 1.10", ""
    ratios = asyncio.run(_compared([Side(10, 1000), Side(10, people)], rounds))
    lower, median, upper = spread(ratios)
    yield f"whole check, CPU: {people:,} people in the cache / 1,000", median, lower, upper, "≤ 1.15", ""


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--people", type=int, default=1_000_000)
    options = parser.parse_args()
    for name, median, lower, upper, asked, remark in rows(options.rounds, 0, options.people):
        print(f"{name:<60} {median:8.2f} ({lower:.2f} to {upper:.2f})  {asked}  {remark}")


if __name__ == "__main__":
    main()
