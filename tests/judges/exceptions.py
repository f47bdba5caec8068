"""Where a judge is not followed, and why: read from exceptions.toml, and used up by what the judges say."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path(__file__).with_name("exceptions.toml")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judge says about one answer."""

    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Granted:
    """What a judge may say without being followed."""

    judge: str
    message: str
    where: tuple[str, ...]
    clause: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether this is what it was granted for."""
        said = re.fullmatch(self.message, finding.message, re.DOTALL)
        return said is not None and any(fnmatchcase(finding.where, place) for place in self.where)


def granted(judge: str, text: str | None = None) -> list[Granted]:
    """The exceptions to a judge. `text` is what to read in place of the file."""
    listed = tomllib.loads(FILE.read_text() if text is None else text)["exception"]
    read = [Granted(**{**each, "where": tuple(each["where"])}) for each in listed]
    return [each for each in read if each.judge == judge]


def verdict(judge: str, findings: Iterable[Finding], text: str | None = None) -> list[str]:
    """What is left to answer for: findings that no exception explains, and exceptions, or places of them, that explain
    none."""
    exceptions, findings = granted(judge, text), list(findings)
    left = [f"{each.where}: {each.message}" for each in findings if not any(one.covers(each) for one in exceptions)]
    for one in exceptions:
        covered = [each.where for each in findings if one.covers(each)]
        idle = [place for place in one.where if not any(fnmatchcase(where, place) for where in covered)]
        left += [f"unused exception: {one.message} at {place}" for place in idle]
    return sorted(set(left))
