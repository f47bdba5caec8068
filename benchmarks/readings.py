"""What reading a path costs: a plain one, new and known, honest odd ones, and the worst legal ones.

The worst are searched for: dense paths of each kind of token, and then changes to the dearest, as far as time allows.

    benchmarks/readings.py [--seconds 20]

Exit status 1 if any path costs more than two milliseconds, or a plain one that is known more than a microsecond.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
import timeit
from typing import TYPE_CHECKING

from demur.core import paths, rules

if TYPE_CHECKING:
    from collections.abc import Callable

WORST = 2000  # µs
KNOWN = 1  # µs
HOST = "app.example.com"
TABLE = rules.load(
    [
        {"path": "/", "allow": "anyone"},
        {"path": "/**", "allow": "anyone"},
        {"path": "/public/**", "allow": "anyone"},
        {"path": "/members/**", "allow": "signed-in"},
        {"path": "/account", "allow": "signed-in"},
        {"path": "/teams/{team}/reports/{report}/**", "allow": "signed-in"},
        {"path": "/admin/**", "allow": {"groups": ["admins"]}},
    ]
)
PLAIN_PATHS = [b"/", b"/members/42", b"/public/assets/app.css", b"/public/Img/Logo.PNG", b"/teams/9/reports/3/pdf"]
HONEST = [
    b"/public/group%2Fproject",
    b"/public/https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%23d",
    b"/public/a;v=1//b",
    b"/public/r%C3%B6ne%40example",
    b"/Admin/x",
    b"/public/..%2fadmin",
]
TOKENS = [
    *("/", "//", "%2f", "%252f", "%25252f", "\\", "%5c", "%255c", ";", "%3b", "%253b", "..", "../", "%2e%2e/", "..;/"),
    *("#", "%23", "%3f", "%25", "%2525", "%61", "a", "aaaaaaaaaaaaaaaa", "%C3%A9", "%E2%80%8B", "A", "admin", "/./"),
    *("reports/", ".php/", ".json", "/..%2f", ";/..", "%25%32%66", "é", ".%20", "\\..\\", "/teams/", "\ufb01", "."),
]


def cost(path: bytes, tries: int = 3) -> float:
    """Microseconds for one judgement, the best of some tries."""
    return least(lambda: paths.judge(TABLE, "GET", path, HOST), 1, tries)


def steady(path: bytes) -> tuple[float, float, float]:
    """Microseconds for the look-up of a rule alone, for a whole judgement of a path that is new, and of one that comes
    again."""

    def new() -> None:
        TABLE.judged.clear()
        paths.judge(TABLE, "GET", path, HOST)

    alone = least(lambda: TABLE.match("GET", path, HOST), 5000, 15)
    return alone, least(new, 5000, 15), least(lambda: paths.judge(TABLE, "GET", path, HOST), 5000, 15)


def least(work: Callable[[], object], number: int, tries: int) -> float:
    """Microseconds of processor time; what others do on the machine at the same time counts little."""
    return min(timeit.repeat(work, number=number, repeat=tries, timer=time.thread_time)) / number * 1e6


def dense(tokens: tuple[str, ...], length: int) -> bytes:
    """Nothing but these."""
    whole = "".join(tokens).encode()
    return (b"/" + whole * (length // len(whole) + 1))[:length].rstrip(b"%0123456789abcdefABCDEF")


def worst(seconds: float) -> list[tuple[float, bytes]]:
    """The dearest paths that can be found in that time, dearest first."""
    lengths = (40, 80, 160, 320, 640, 1280, 2560, 5120, 8192)
    pairs = itertools.chain(((token,) for token in TOKENS), itertools.permutations(TOKENS, 2))
    paths_of = (dense(pair, length) for pair in pairs for length in lengths)
    found = sorted(((cost(path, 1), path) for path in paths_of), reverse=True)
    found = found[:40]
    chance = random.Random(1)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        path = chance.choice(found)[1]
        at = chance.randrange(1, len(path) + 1)
        token = chance.choice(TOKENS).encode() * chance.choice((1, 1, 2, 8, 64))
        path = (path[:at] + token + path[at + chance.choice((0, 0, len(token), 64)) :])[: paths.LONGEST]
        found = sorted({*found, (cost(path, 1), path)}, reverse=True)[:40]
    return sorted(((cost(path, 9), path) for _, path in found), reverse=True)


def main() -> int:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long to search for dear paths")
    seconds = parser.parse_args().seconds
    print("plain paths: µs for the rule alone, for the whole of a new path, and of one that comes again")
    slowest = 0.0
    for path in PLAIN_PATHS:
        alone, new, again = steady(path)
        slowest = max(slowest, again)
        print(f"  {alone:6.2f} {new:6.2f} {again:6.2f}  {path.decode()}")
    print("odd paths: µs, readings")
    for path in HONEST:
        print(f"  {cost(path, 200):6.0f} {len(paths.readings(path) or ()):6}  {path.decode()}")
    print("the dearest that were found: µs, readings (0: refused), bytes")
    dear = worst(seconds)
    for each, path in dear[:5]:
        shown = path[:60].decode(errors="replace")
        print(f"  {each:6.0f} {len(paths.readings(path) or ()):6} {len(path):6}  {shown}")
    return 1 if dear[0][0] > WORST or slowest > KNOWN else 0


if __name__ == "__main__":
    sys.exit(main())
