"""How many hostile requests were sent, and what became of them: counted, kept, and shown as a table.

It imports nothing of ours, so that the documentation's generator can read it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROPERTY: Final = "hostile"
HONEST: Final = "honest"
FOLDER: Final = Path(__file__).parent
FILE: Final = FOLDER / "results.json"
KINDS: Final = tuple(json.loads(path.read_text("utf-8"))["class"] for path in sorted(FOLDER.glob("[0-9][0-9]-*.json")))
OWN: Final = ("demur", "demur, TLS")
SURFACES: Final = (*OWN, "nginx", "caddy", "traefik", "envoy", "haproxy", "apache")


@dataclass(frozen=True, slots=True)
class Row:
    """One class through one surface: requests sent, breaches, answers of 5xx that were not right, and honest requests
    that were refused."""

    sent: int
    breaches: int
    errors: int
    refused: int


Figures: TypeAlias = dict[str, dict[str, Row]]


def gathered(rows: Iterable[Mapping[str, Any]]) -> Figures:
    """The figures out of the reports of tests: by class, then by surface."""
    found: Figures = {}
    for row in rows:
        found.setdefault(row["kind"], {})[row["surface"]] = Row(**row["row"])
    return _sorted(found)


def _sorted(found: Figures) -> Figures:
    return {
        kind: {name: found[kind][name] for name in SURFACES if name in found[kind]} for kind in KINDS if kind in found
    }


def kept() -> Figures:
    """The figures of the last time."""
    if not FILE.exists():
        return {}
    read = json.loads(FILE.read_text("utf-8"))
    return {kind: {name: Row(**row) for name, row in by_name.items()} for kind, by_name in read.items()}


def keep(found: Figures) -> None:
    """Keep figures for the next time, and others as they are."""
    both = kept()
    for kind, by_name in found.items():
        both.setdefault(kind, {}).update(by_name)
    lines = (
        f"  {json.dumps(kind)}: {{\n"
        + ",\n".join(f"    {json.dumps(name)}: {json.dumps(asdict(row))}" for name, row in by_name.items())
        + "\n  }"
        for kind, by_name in _sorted(both).items()
    )
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def total(rows: Iterable[Row]) -> Row:
    """The sum."""
    listed = list(rows)
    return Row(*(sum(getattr(row, name) for row in listed) for name in Row.__slots__))


def cell(row: Row | None) -> str:
    """A row in a few characters: how many were sent, and whatever of it went wrong."""
    if row is None:
        return "-"
    words = [str(row.sent)]
    for count, one, many in (
        (row.breaches, "breach", "breaches"),
        (row.errors, "5xx", "5xx"),
        (row.refused, "refused", "refused"),
    ):
        if count:
            words.append(f"{count} {one if count == 1 else many}")
    return ", ".join(words)


def cells(found: Figures) -> list[list[str]]:
    """The table: a line for the surfaces, one for each class, and the sums. Honest requests come last."""
    names = [name for name in SURFACES if any(name in by_name for by_name in found.values())]
    lines = [["class", *names]]
    lines += [[kind, *(cell(found[kind].get(name)) for name in names)] for kind in found if kind != HONEST]

    def of(name: str) -> list[Row]:
        return [by_name[name] for kind, by_name in found.items() if kind != HONEST and name in by_name]

    sums = [total(of(name)) for name in names]
    lines.append(["**hostile, sent**", *(str(row.sent) for row in sums)])
    lines.append(["**breaches**", *(str(row.breaches) for row in sums)])
    lines.append(["**5xx**", *(str(row.errors) for row in sums)])
    if HONEST in found:
        honest = [found[HONEST].get(name) for name in names]
        lines.append(["**honest, sent**", *("-" if row is None else str(row.sent) for row in honest)])
        lines.append(["**honest, refused**", *("-" if row is None else str(row.refused) for row in honest)])
    return lines


def table(found: Figures) -> str:
    """For a terminal."""
    lines = [[word.replace("**", "") for word in line] for line in cells(found)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()


def markdown(found: Figures) -> str:
    """For a page."""
    first, *others = cells(found)
    head = f"| {' | '.join(first)} |\n|{' --- |' * len(first)}\n"
    return head + "\n".join(f"| {' | '.join(line)} |" for line in others) + "\n"
