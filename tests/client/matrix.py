"""Scenario by engine: what came of each, as it is shown at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PROPERTY = "client scenario"
"""Under which name a test reports `[scenario, engine, result]`."""


def table(rows: Iterable[tuple[str, str, str]]) -> str:
    """The results as text; what a driver cannot do stands below, with the reason."""
    found = {(scenario, engine): result for scenario, engine, result in rows}
    scenarios = list(dict.fromkeys(scenario for scenario, _ in found))
    engines = sorted({engine for _, engine in found})
    width = max(len(name) for name in scenarios)
    lines = [" ".join(("scenario".ljust(width), *(engine.ljust(14) for engine in engines)))]
    notes = []
    for scenario in scenarios:
        cells = []
        for engine in engines:
            result = found.get((scenario, engine), "-")
            short, colon, _ = result.partition(", because ")
            cells.append((short if colon else result.partition(":")[0]).ljust(14))
            if colon or ":" in result:
                notes.append(f"{engine}, {scenario.replace('_', ' ')}: {result}")
        lines.append(" ".join((scenario.replace("_", " ").ljust(width), *cells)).rstrip())
    return "\n".join((*lines, *dict.fromkeys(notes)))
