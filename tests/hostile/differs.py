"""Where a surface answers in another way than a case says, and why that is so: `differs.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("differs.json")


@dataclass(frozen=True, slots=True)
class Difference:
    """A surface, the cases ("class: id", with `*` for many), the statuses that are right there too, and the reason."""

    surface: str
    cases: str
    status: tuple[int, ...]
    why: str


DIFFERENCES: Final = tuple(
    Difference(surface, cases, tuple(said["status"]), said["why"])
    for surface, by_cases in json.loads(FILE.read_text("utf-8")).items()
    for cases, said in by_cases.items()
)


def status(surface: str, case: str) -> tuple[int, ...]:
    """The statuses that are right for a case on a surface, beside those that the case lists."""
    return tuple(
        each
        for difference in DIFFERENCES
        if difference.surface == surface and fnmatchcase(case, difference.cases)
        for each in difference.status
    )
