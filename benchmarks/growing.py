"""The tables of docs/explanation/growing.md, made of what `scale.py --json` measured.

benchmarks/growing.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOCS = Path(__file__).parents[1] / "docs" / "explanation"
PAGE, MEASURED = DOCS / "growing.md", DOCS / "growing.json"

SIZES = (1, 1_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
PER_PERSON, PER_DAY, PEAK, STRIPES = 2, 50, 5, 4096
"""Sessions of a person; checks of a session in a day; how much more at the busiest time; counters of each kind."""

ENGINES = ("SQLite", "PostgreSQL", "Redis")


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{_two(count / size)} {unit}"
    return f"{count:.0f} B"


def _two(count: float) -> str:
    """Two figures: nothing here is known better than that."""
    return f"{float(f'{count:.2g}'):,g}" if count < 1000 else f"{float(f'{count:.2g}'):,.0f}"


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    rows = [head, ("---",) * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _each(found: dict[str, Any]) -> str:
    """What one takes."""
    lines = [
        ("a stored session", *(f"{found[engine]['session']:.0f} B" for engine in ENGINES)),
        ("a tombstone", *(f"{found[engine]['tombstone']:.0f} B" for engine in ENGINES)),
        ("a person who has one", *(f"{found[engine]['person']:.0f} B" for engine in ENGINES)),
    ]
    return _table(("bytes", *ENGINES), lines)


def _stored(found: dict[str, Any], tombstones: int = 0) -> str:
    """What many take."""
    lines = []
    each = {engine: found[engine]["session"] + found[engine]["person"] / PER_PERSON for engine in ENGINES}
    for size in SIZES:
        taken = (size * (each[engine] + tombstones * found[engine]["tombstone"]) for engine in ENGINES)
        lines.append((f"{size:,}", *map(_bytes, taken)))
    return _table(("sessions", *ENGINES), lines)


def _daily(found: dict[str, Any]) -> str:
    """The same, where everybody signs in every day."""
    return _stored(found, tombstones=30)


def _busy(found: dict[str, Any]) -> str:
    """What many do in a second, at the busiest time of the day."""
    del found
    lines = []
    for size in SIZES[1:]:
        each = size * PEAK / 86_400
        lines.append((f"{size:,}", *map(_two, (each * PER_DAY, each, each * 10))))
    return _table(("sessions", "checks a second", "sign-ins, and as many sign-outs", "seen, written in batches"), lines)


def _lookups(found: dict[str, Any]) -> str:
    """What it costs to look one up."""
    taken = {int(count): cost for count, cost in found["lookup"].items()}
    few = taken[min(taken)]
    lines = [(f"{count:,}", f"{cost / few:.1f}") for count, cost in sorted(taken.items())]
    return _table(("sessions in the file", "cost of a look-up, among 1,000 = 1"), lines)


def _questions(found: dict[str, Any]) -> str:
    """What the store is asked."""
    nodes = found["nodes"]
    lines = [
        ("1,000 people, 1 signs in and 1 signs out each second, one process", _two(found["reads_1"])),
        ("the same, 10 each second", _two(found["reads_10"])),
        ("2,000 people on 8 nodes, 2 each second (simulated network)", _two(nodes["calm"])),
        ("the same, 100 each second", _two(nodes["storm"])),
    ]
    return _table(("everybody asks once a second", "reads of the store for 1,000 checks"), lines)


def _stripes(found: dict[str, Any]) -> str:
    """What the changes of others cost whoever is known."""
    room = 64 * 1024 * 1024 / found["cached"]
    lines = []
    for known in (1_000, 10_000, room):
        reads = (f"{_two(changes * known / STRIPES)}" for changes in (1, 10, 100, 1000))
        lines.append((f"{_two(known)}{' (64 MB are full)' if known == room else ''}", *reads))
    return _table(("known to a process", *(f"{n:,} changes a second" for n in (1, 10, 100, 1000))), lines)


def _machine(found: dict[str, Any]) -> str:
    """Where and when."""
    return (
        f"Measured in {found['date']} on {found['machine']}, Python {found['python']}, by `benchmarks/scale.py`; "
        f"a session in the memory of a process takes about {_two(found['cached'])} bytes there."
    )


PARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "each": _each,
    "stored": _stored,
    "daily": _daily,
    "busy": _busy,
    "lookups": _lookups,
    "questions": _questions,
    "stripes": _stripes,
    "machine": _machine,
}


def page(text: str, found: dict[str, Any]) -> str:
    """The page with its tables made anew."""
    for name, make in PARTS.items():
        between = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert between.search(text), name
        made = make(found)
        text = between.sub(lambda mark, made=made: f"{mark[1]}{made}\n{mark[2]}", text)  # type: ignore[misc]
    return text


def main() -> int:
    """Write the page, or say whether it is as it would be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    before = PAGE.read_text(encoding="utf-8")
    after = page(before, json.loads(MEASURED.read_text(encoding="utf-8")))
    if not check:
        PAGE.write_text(after, encoding="utf-8")
    return int(check and before != after)


if __name__ == "__main__":
    sys.exit(main())
