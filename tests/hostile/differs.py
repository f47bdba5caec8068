"""Where a surface answers in another way than a case says, and why that is so: `differs.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = Path(__file__).with_name("differs.json")


@dataclass(frozen=True, slots=True)
class Difference:
    """A surface, the case ("class: id"), the statuses that are right there too, and the reason."""

    surface: str
    case: str
    status: tuple[int, ...]
    why: str


def _read() -> Mapping[tuple[str, str], Difference]:
    read = json.loads(FILE.read_text("utf-8"))
    return {
        (surface, case): Difference(surface, case, tuple(said["status"]), said["why"])
        for surface, by_case in read.items()
        for case, said in by_case.items()
    }


DIFFERENCES: Final = _read()
